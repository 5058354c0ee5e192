"""The identity of a picture: a hash of its stored pixels, its orientation and its capture date.

A file is identified by its bytes, a picture by what its pixels are decoded from. Editors of metadata
rewrite the file and leave that data alone: ratings, keywords, dates and thumbnails change, the picture does
not.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from dataclasses import dataclass
from datetime import datetime

import PIL.Image
from PIL.ImageFile import ImageFile

from faceindex.errors import ImageError
from faceindex.images.exif import exif_orientation, read_exif
from faceindex.images.formats import sniff
from faceindex.images.jxl import jxl_data
from faceindex.images.moments import FrameBytes
from faceindex.images.openers import opener_for
from faceindex.images.pixel_data import Parts, gif_data, jpeg_data, png_data, webp_data
from faceindex.images.pixel_data_heif import heif_data, turn_of_picture
from faceindex.images.pixel_data_tiff import tiff_data
from faceindex.images.raw import RawPicture, raw_picture
from faceindex.images.repair import repaired

__all__ = ["Picture", "read_picture"]

# Part of the format of the index and of the decisions of users. Another way to hash needs another name.
_VERSION = b"faceindex pic 1"

_PARSERS = {
    "AVIF": heif_data,
    "GIF": gif_data,
    "HEIF": heif_data,
    "JPEG": jpeg_data,
    "JXL": jxl_data,
    "PNG": png_data,
    "TIFF": tiff_data,
    "WEBP": webp_data,
}

_EXIF_IFD = 0x8769  # Exif 2.32, section 4.6.3
_TIME_TAKEN = 0x9003  # DateTimeOriginal, section 4.6.5
_EPOCH = datetime(1970, 1, 1)  # no zone: cameras store their local time
_OLDEST, _NEWEST = 1826, 2200  # the year of the oldest photograph that exists; a typing error above

_TIME = re.compile(r"([0-9]{4})[:/.-]([0-9]{2})[:/.-]([0-9]{2})[ T]([0-9]{2}):([0-9]{2}):([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Picture:
    """The identity of a picture.

    Attributes
    ----------
    hash : bytes
        16 bytes. The same for all files that store the same pixels in the same way, whatever their
        metadata.
    orientation : int
        The EXIF orientation that `faceindex.images.decode` applies, 1 to 8; 1 if there is none.
    taken : int or None
        Capture date in seconds since 1970-01-01 00:00, both in the local time of the camera; negative before.
        None if the file does not state it.
    """

    hash: bytes
    orientation: int
    taken: int | None


def read_picture(data: bytes) -> Picture:
    """Compute the identity of a picture from the bytes of its file, without decoding pixels.

    It does not depend on the machine or on versions of libraries. Files of which the structure is damaged
    so that no pixels are found, and BMP, are hashed whole.

    Parameters
    ----------
    data : bytes
        The whole file. Anything is accepted.

    Returns
    -------
    Picture
    """
    if isinstance(data, FrameBytes):
        return Picture(data.identity, 1, data.taken)
    image_format = sniff(data)
    if image_format == "RAW":
        return _read_raw(data, raw_picture(data))
    return Picture(_hash(data, image_format), *_read_header(data, image_format))


def _read_raw(data: bytes, found: RawPicture) -> Picture:
    """Return the identity of a RAW file: that of its preview, which is a JPEG, or of its sensor data."""
    orientation, taken = found.orientation, _time_of(found.taken)
    if found.preview is None:
        view = memoryview(data)
        parts: Parts = [found.layout, *(view[start:end] for start, end in found.sensor)]
        return Picture(_digest("RAW", parts if found.sensor else [data]), orientation or 1, taken)
    preview = data[slice(*found.preview)]
    its_orientation, its_taken = _read_header(preview, "JPEG")
    return Picture(
        _hash(preview, "JPEG"),
        its_orientation if orientation is None else orientation,
        its_taken if taken is None else taken,
    )


def _hash(data: bytes, image_format: str | None) -> bytes:
    try:
        parts = _PARSERS[image_format or ""](data)
    except Exception:  # of any kind: a damaged file must not stop a run
        image_format, parts = "FILE", [data]
    return _digest(image_format or "FILE", parts)


def _digest(image_format: str, parts: Parts) -> bytes:
    digest = hashlib.blake2b(digest_size=16, person=_VERSION)
    digest.update(f"{image_format}\0".encode())
    for part in parts:
        digest.update(part)
    return digest.digest()


def _read_header(data: bytes, image_format: str | None) -> tuple[int, int | None]:
    """Return the orientation and the capture date."""
    if image_format is None:
        return 1, None
    opened = _open(data, image_format)
    if opened is None:  # it cannot be decoded either
        return 1, None
    orientation = exif_orientation(opened, data) if image_format != "AVIF" else _turn_of(data)
    try:
        return orientation, _time_taken(read_exif(opened, data))
    except Exception:
        return orientation, None  # damaged metadata


def _open(data: bytes, image_format: str) -> ImageFile | None:
    """Open a file as `faceindex.images.decode` does, without decoding it."""
    try:
        opener = opener_for(image_format, "")
        return opener(io.BytesIO(data))
    except ImageError:
        return None
    except Exception:  # of any kind: metadata may be damaged
        for copy in repaired(data, image_format):
            with contextlib.suppress(Exception):
                return opener(io.BytesIO(copy))
    return None


def _turn_of(data: bytes) -> int:
    """Return the turn of an AVIF: some decoders apply it, some report it as the EXIF orientation."""
    try:
        return turn_of_picture(data)
    except Exception:  # of any kind: the structure is damaged
        return 1


def _time_taken(exif: PIL.Image.Exif) -> int | None:
    """Return the time of DateTimeOriginal.

    DateTime and DateTimeDigitized are no substitutes: they are the times of the last edit and of the scan.
    """
    return _time_of(exif.get_ifd(_EXIF_IFD).get(_TIME_TAKEN))


def _time_of(value: object) -> int | None:
    """Return the time that a text of EXIF states; None if it states none."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    found = _TIME.match(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        taken = datetime(*map(int, found.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None  # such as 0000:00:00
    if not _OLDEST <= taken.year <= _NEWEST:
        return None
    return int((taken - _EPOCH).total_seconds())
