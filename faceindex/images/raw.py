"""RAW files of cameras: recognise them, and choose the picture in them that is read.

A RAW file has the data of the sensor, and beside it JPEG pictures that the camera made of them, as it shows
them. The largest is read if it is a full-size preview (`full_size`): its pixels are those that the camera and
most viewers show, and it takes no more time than a JPEG. Without one, LibRaw computes the picture from the
sensor data.
"""

from __future__ import annotations

from dataclasses import dataclass

from faceindex.images.raw_boxes import cr3, raf
from faceindex.images.raw_tiff import Places, RawStructure, is_raw_tiff, raw_tiff

__all__ = ["RawPicture", "full_size", "is_raw", "raw_picture"]

_FUJIFILM = b"FUJIFILMCCD-RAW "
_CRW = b"HEAPCCDR"  # at byte 6: CIFF, the RAW files of Canon before CR2
_TIFF = (b"II", b"MM")

LEAST_SIDE = 1_000
"""A preview with a longer side of so many pixels is full-size in any case.

Sony's cameras of 24 to 61 megapixels store 1616 x 1080 pixels, Canon's of 6 to 12 megapixels 1536 x 1024, and
Olympus' of 10 to 16 1600 x 1200. Previews below that are 160 x 120 to 640 x 480 (tables of ExifTool).
"""

_LEAST_OF_SMALL = 600  # a preview of at least half the side of a sensor of 1.3 megapixels

_SOI, _EOI = b"\xff\xd8\xff", b"\xff\xd9"
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without content (ITU-T T.81, table B.1)
_SOS, _LOSSLESS = 0xDA, 0xC3
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_MOST_SEGMENTS = 300
_TAIL = 4096  # cameras may fill up the last block behind the end marker

_MOST_STARTS = 3_000  # places that may begin a JPEG, in a search through the whole file
_MOST_PIXELS_A_BYTE = 100  # lossy compression stores about 5, and a black frame about 20
_SWAPPING = range(5, 9)  # orientations of pictures that are stored on their side


@dataclass(frozen=True, slots=True)
class RawPicture:
    """What is read of a RAW file.

    Attributes
    ----------
    preview : (int, int) or None
        Start and end of a JPEG; None if there is no full-size preview.
    orientation : int or None
        The EXIF orientation of the file, 1 to 8; None if only the preview or LibRaw may state it.
    taken : bytes or None
        EXIF's DateTimeOriginal; None if only the preview may state it.
    sensor : list of (int, int)
        Start and end of the sensor data, as far as they are known and within the file.
    layout : bytes
        What describes the sensor data.
    cut_short : bool
        Whether the end of the file is missing.
    lacks_sensor_data : bool
        Whether there are far too few sensor data for the size.
    """

    preview: tuple[int, int] | None
    orientation: int | None
    taken: bytes | None
    sensor: Places
    layout: bytes
    cut_short: bool
    lacks_sensor_data: bool


def is_raw(data: bytes) -> bool:
    """Return whether a file is a RAW file of a known kind, by its content.

    Parameters
    ----------
    data : bytes
        The file. The first bytes are enough for CR2, CR3, CRW, RAF, ORF and RW2. The kinds that are TIFFs by
        their first bytes (NEF, ARW, DNG, ...) have sensor data in one of their directories.
    """
    return (
        data.startswith(_FUJIFILM)
        or data[6:14] == _CRW
        or data[4:12] == b"ftypcrx "
        or (data.startswith(_TIFF) and is_raw_tiff(data))
    )


def _structure(data: bytes) -> RawStructure:
    if data.startswith(_FUJIFILM):
        return raf(data)
    if data[4:8] == b"ftyp":
        return cr3(data)
    if data[6:14] == _CRW:
        return RawStructure(is_raw=True)
    return raw_tiff(data)


def raw_picture(data: bytes) -> RawPicture:
    """Return the picture that is read of a RAW file; nothing is decoded.

    Parameters
    ----------
    data : bytes
        The whole file, for which `is_raw` is true.
    """
    found = _structure(data)
    preview, size = _largest(data, found.pictures, found)
    if preview is None:
        preview, size = _largest(data, _search(data), found)
    sensor = found.sensor or [place for place in found.pictures if _frame(data, *place) == "lossless"]
    begun = [place for place in found.pictures if data.startswith(_SOI, place[0])]
    ends = [end for _, end in (*sensor, *begun)]
    held = sum(end - start for start, end in sensor)
    orientation = found.orientation
    if preview is not None and orientation in _SWAPPING and found.width > found.height and size[0] < size[1]:
        orientation = 1  # the preview is upright already
    return RawPicture(
        preview=preview,
        orientation=orientation if orientation in range(1, 9) else None,
        taken=found.taken,
        sensor=[(start, end) for start, end in sensor if start < end <= len(data)],
        layout=found.layout,
        cut_short=found.cut_short or max(ends, default=0) > len(data),
        lacks_sensor_data=0 < held < found.width * found.height / _MOST_PIXELS_A_BYTE,
    )


def full_size(width: int, height: int, sensor_side: int) -> bool:
    """Return whether a preview is large enough to be read instead of the sensor data.

    Its longer side must have 1,000 pixels, or half of those of the sensor but at least 600. So the 160 pixels
    of a thumbnail are never read.

    Parameters
    ----------
    width, height : int
        Of the preview, in pixels.
    sensor_side : int
        The longer side of the sensor, in pixels; 0 if unknown.
    """
    side = max(width, height)
    return side >= LEAST_SIDE or (side >= _LEAST_OF_SMALL and 0 < sensor_side <= 2 * side)


def _largest(
    data: bytes, places: Places, found: RawStructure
) -> tuple[tuple[int, int] | None, tuple[int, int]]:
    """Return the largest complete JPEG that is a full-size preview, and its size."""
    best, best_size = None, (0, 0)
    for start, end in sorted(set(places)):
        size = _frame(data, start, end)
        if not isinstance(size, tuple) or end > len(data):
            continue
        if data.rfind(_EOI, max(start, end - _TAIL), end) < 0:
            continue
        if size[0] * size[1] > best_size[0] * best_size[1] and full_size(
            *size, max(found.width, found.height)
        ):
            best, best_size = (start, end), size
    return best, best_size


def _frame(data: bytes, start: int, end: int) -> tuple[int, int] | str | None:
    """Return width and height of a JPEG in 8 bits, from its header, or ``"lossless"``.

    None if there is none, or if its scan does not follow.
    """
    end = min(end, len(data))
    if not data.startswith(_SOI, start):
        return None
    position = start + 2
    size: tuple[int, int] | None = None
    for _ in range(_MOST_SEGMENTS):
        if position + 9 > end or data[position] != 0xFF:
            return None
        marker = data[position + 1]
        if marker == 0xFF or marker in _ALONE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == _SOS:
            return size
        if marker == _LOSSLESS:
            return "lossless"
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[position + at : position + at + 2], "big") for at in (5, 7))
            if data[position + 4] != 8 or not width or not height:
                return None
            size = width, height
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 2:
            return None
        position += 2 + length
    return None


def _search(data: bytes) -> Places:
    """Return the places of JPEGs anywhere in a file.

    Only for files whose structure leads to none: makers have many ways to store a preview.
    """
    found: Places = []
    start = end = -1
    for _ in range(_MOST_STARTS):
        start = data.find(_SOI, start + 1)
        if start < 0:
            break
        if isinstance(_frame(data, start, len(data)), tuple):
            scan = data.find(b"\xff\xda", start)
            if end < scan:  # else the same marker ends it: none is searched for twice
                end = data.find(_EOI, scan)
                end = len(data) if end < 0 else end
            found.append((start, min(end + 2, len(data))))
    return found
