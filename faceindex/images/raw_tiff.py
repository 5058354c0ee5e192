"""The directories of RAW files that are built like a TIFF: where their pictures and their sensor data are.

These are CR2, NEF, NRW, ARW, SR2, DNG, PEF, SRW, and with other magic numbers ORF and RW2. Sources: TIFF 6.0,
TIFF/EP (ISO 12234-2), the DNG specification 1.7, and for the tags of makers the tables of ExifTool.

Everything is bounded: a file may state any count and any place, and its directories may lead to each other.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

__all__ = ["Places", "RawStructure", "is_raw_tiff", "raw_tiff"]

Places: TypeAlias = "list[tuple[int, int]]"
"""Start and end of slices of a file; an end may be behind the end of the file."""

# Sizes in bytes of the types of TIFF 6.0, section 2, and of BigTIFF (13 IFD, 16 to 18 with 8 bytes).
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

_MAGIC = {
    **dict.fromkeys((b"II*\0", b"MM\0*"), "TIFF"),
    **dict.fromkeys((b"II+\0", b"MM\0+"), "BigTIFF"),
    **dict.fromkeys((b"IIRO", b"IIRS", b"MMOR"), "ORF"),
    b"IIU\0": "RW2",
}

_SUBFILE_TYPE, _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 254, 256, 257, 259, 262, 274
_STRIPS, _TILES = (273, 279), (324, 325)  # offsets and sizes
_SUB_DIRECTORIES, _EXIF, _MAKER_NOTE, _TIME_TAKEN = 330, 34665, 37500, 36867
_JPEG_START, _JPEG_LENGTH = 513, 514
_PIXELS = (40962, 40963)  # PixelXDimension and PixelYDimension
_DNG_VERSION = 50706
_RW2_SENSOR, _RW2_JPEGS = (2, 3), (0x2E, 0x127)
_RW2_RAW = 0x118

# Photometric interpretations of sensor data: colour filter array (TIFF/EP), and LinearRaw (DNG).
_SENSOR = frozenset({32803, 34892})
# Compressions that only RAW files have: Sony, Samsung (two), Panasonic, Nikon, Kodak, Pentax.
_RAW_COMPRESSIONS = frozenset({32767, 32770, 32772, 34316, 34713, 65000, 65535})
_JPEG = frozenset({6, 7})
_LAYOUT = (_WIDTH, _HEIGHT, 258, _COMPRESSION, _PHOTOMETRIC, 277, 278, 322, 323, 33421, 33422)

_MOST_DIRECTORIES = 100  # a DNG of today has about 15
_MOST_ENTRIES = 2_000  # the first directory of a DNG has about 100
_MOST_PARTS = 100_000  # strips or tiles; those of 256 x 256 pixels on 300 megapixels are 4,600
_LONGEST_TEXT = 64


class _Entry(NamedTuple):
    kind: int
    number: int
    place: int


_Directory: TypeAlias = "dict[int, _Entry]"


@dataclass(slots=True)
class RawStructure:
    """Where in a RAW file its parts are.

    Attributes
    ----------
    pictures : list of (int, int)
        Start and end of what may be JPEG pictures; nothing of them is checked.
    sensor : list of (int, int)
        Start and end of the sensor data.
    layout : bytes
        The tags that describe the sensor data, in any fixed form.
    width, height : int
        The largest size that the file states for one of its pictures, in pixels; 0 if none.
    orientation : int or None
        The EXIF orientation of the file; None if it states none.
    taken : bytes or None
        EXIF's DateTimeOriginal.
    is_raw : bool
        Whether it has, or had, sensor data.
    cut_short : bool
        Whether the container states an end behind the end of the file.
    """

    pictures: Places = field(default_factory=list)
    sensor: Places = field(default_factory=list)
    layout: bytes = b""
    width: int = 0
    height: int = 0
    orientation: int | None = None
    taken: bytes | None = None
    is_raw: bool = False
    cut_short: bool = False

    def add_size(self, width: int, height: int) -> None:
        """Note a size that the file states."""
        if width * height > self.width * self.height:
            self.width, self.height = width, height


class _Reader:
    """Reads directories; places are from the start of the file, and those in the file from `base`."""

    def __init__(self, data: bytes, base: int = 0) -> None:
        self.data, self.base = data, base
        self.kind = _MAGIC[data[base : base + 4]]
        self.order = "<" if data[base : base + 2] == b"II" else ">"
        self.big = self.kind == "BigTIFF"
        pointer = f"{self.order}{'Q' if self.big else 'I'}"
        self.first: int = struct.unpack_from(pointer, data, base + (8 if self.big else 4))[0]

    def directory(self, start: int) -> tuple[_Directory, int]:
        """Return the entries of a directory at a place of the file, and the stated place of the next one."""
        order, data = self.order, self.data
        head, entry, step, inline = ("Q", "HHQ", 20, 8) if self.big else ("H", "HHI", 12, 4)
        pointer = order + ("Q" if self.big else "I")
        (number,) = struct.unpack_from(order + head, data, start)
        start += struct.calcsize(head)
        found: _Directory = {}
        end = start + min(number, _MOST_ENTRIES) * step
        for position in range(start, min(end, len(data) - step + 1), step):
            tag, kind, count = struct.unpack_from(order + entry, data, position)
            place, size = position + step - inline, count * _SIZES.get(kind, 0)
            if not size:
                continue
            if size > inline:
                place = self.base + struct.unpack_from(pointer, data, place)[0]
            if place + size <= len(data):
                found.setdefault(tag, _Entry(kind, count, place))
        following = 0
        if number <= _MOST_ENTRIES and end + inline <= len(data):
            (following,) = struct.unpack_from(pointer, data, end)
        return found, following

    def values(self, entry: _Entry | None, most: int = 16) -> tuple[int, ...]:
        """Return up to `most` integers of an entry; none if it has none."""
        if entry is None or entry.kind not in _INTEGERS:
            return ()
        form = f"{self.order}{min(entry.number, most)}{_INTEGERS[entry.kind]}"
        return struct.unpack_from(form, self.data, entry.place)

    def value(self, directory: _Directory, tag: int) -> int:
        """Return the first integer of an entry; 0 if there is none."""
        return next(iter(self.values(directory.get(tag), 1)), 0)

    def parts(self, directory: _Directory) -> Places:
        """Return the places of the strips or tiles of a directory."""
        starts, lengths = _STRIPS if _STRIPS[0] in directory else _TILES
        return [
            (self.base + start, self.base + start + length)
            for start, length in zip(
                self.values(directory.get(starts), _MOST_PARTS),
                self.values(directory.get(lengths), _MOST_PARTS),
                strict=False,
            )
        ]

    def walk(self, exif_first: bool = False) -> Iterator[tuple[_Directory, bool]]:
        """Yield the directories that the header leads to, the first one first, and whether they are EXIF."""
        waiting, seen = deque([(self.first, exif_first)]), {self.first}
        while waiting:
            start, is_exif = waiting.popleft()
            if not start or self.base + start >= len(self.data):
                continue
            try:
                directory, following = self.directory(self.base + start)
            except struct.error:  # it begins at the end of the file
                continue
            yield directory, is_exif
            exif = self.value(directory, _EXIF)
            for place in (*self.values(directory.get(_SUB_DIRECTORIES)), exif, following):
                if place not in seen and len(seen) < _MOST_DIRECTORIES:
                    seen.add(place)
                    waiting.append((place, place == exif))


def is_raw_tiff(data: bytes) -> bool:
    """Return whether a file that begins like a TIFF is a RAW file, by its tags.

    Parameters
    ----------
    data : bytes
        The whole file. Of a part of it, the answer may be False for a RAW file.
    """
    if data[8:10] == b"CR":  # CR2: https://lclevy.free.fr/cr2 describes the header
        return True
    try:
        reader = _Reader(data)
        if reader.kind in ("ORF", "RW2"):
            return True
        for number, (directory, is_exif) in enumerate(reader.walk()):
            if not is_exif and _has_sensor_data(reader, directory):
                return True
            # The first picture of a TIFF is the whole one. The sensor data may be cut off.
            if (
                number == 0
                and reader.value(directory, _SUBFILE_TYPE) & 1
                and (_SUB_DIRECTORIES in directory or _DNG_VERSION in directory)
            ):
                return True
    except (struct.error, KeyError):
        return False
    return False


def _has_sensor_data(reader: _Reader, directory: _Directory) -> bool:
    return (
        reader.value(directory, _PHOTOMETRIC) in _SENSOR
        or reader.value(directory, _COMPRESSION) in _RAW_COMPRESSIONS
    )


def raw_tiff(data: bytes, base: int = 0, *, exif_first: bool = False) -> RawStructure:
    """Return the structure of a RAW file that is built like a TIFF, or of a TIFF inside another file.

    Parameters
    ----------
    data : bytes
        The whole file. Damage leaves out what it hides.
    base : int
        Position of the header.
    exif_first : bool
        Whether its first directory is one of EXIF.
    """
    found = RawStructure()
    try:
        reader = _Reader(data, base)
        for number, (directory, is_exif) in enumerate(reader.walk(exif_first)):
            if number == 0 and _ORIENTATION in directory:
                found.orientation = reader.value(directory, _ORIENTATION)
            if is_exif:
                _read_exif(reader, directory, found)
            else:
                _read_picture(reader, directory, found)
    except (struct.error, KeyError):
        pass
    return found


def _read_exif(reader: _Reader, directory: _Directory, found: RawStructure) -> None:
    text = directory.get(_TIME_TAKEN)
    if text is not None and found.taken is None:
        found.taken = reader.data[text.place : text.place + min(text.number, _LONGEST_TEXT)]
    found.add_size(*(reader.value(directory, tag) for tag in _PIXELS))
    note = directory.get(_MAKER_NOTE)
    if note is not None and reader.kind == "ORF":
        found.pictures += _olympus(reader, note.place)


def _read_picture(reader: _Reader, directory: _Directory, found: RawStructure) -> None:
    found.add_size(reader.value(directory, _WIDTH), reader.value(directory, _HEIGHT))
    if reader.kind == "RW2":
        found.add_size(*(reader.value(directory, tag) for tag in _RW2_SENSOR))
        for tag in _RW2_JPEGS:
            if (entry := directory.get(tag)) is not None:
                found.pictures.append((entry.place, entry.place + entry.number))
        if start := reader.value(directory, _RW2_RAW):
            found.sensor.append((start, start + reader.value(directory, _STRIPS[1])))
            found.is_raw = True
            return
    start, length = reader.value(directory, _JPEG_START), reader.value(directory, _JPEG_LENGTH)
    if start and length:
        found.pictures.append((reader.base + start, reader.base + start + length))
    parts = reader.parts(directory)
    if _has_sensor_data(reader, directory):
        found.is_raw = True
        if sum(end - start for start, end in parts) > sum(end - start for start, end in found.sensor):
            found.sensor = parts
            tags = {tag: reader.values(directory.get(tag)) for tag in _LAYOUT}
            found.layout = repr(tags).encode()
    elif len(parts) == 1 and reader.value(directory, _COMPRESSION) in _JPEG:
        found.pictures += parts


# Olympus, and OM System: the header of the maker note, where its byte order is (None: that of the file) and
# its directory, and whether places in it are from its own start.
_OLYMPUS = ((b"OLYMPUS\0", 8, 12, True), (b"OM SYSTEM\0", 12, 16, True), (b"OLYMP\0", None, 8, False))
_CAMERA_SETTINGS = 0x2020
_PREVIEWS = ((0x101, 0x102), (0x88, 0x89), (0x1036, 0x1037))  # in the settings; in the note of older cameras


def _olympus(reader: _Reader, note: int) -> Places:
    """Return where the maker note of an ORF says that the preview is."""
    layout = next((layout for layout in _OLYMPUS if reader.data.startswith(layout[0], note)), None)
    if layout is None:
        return []
    _, order_at, directory_at, own_places = layout
    inner = _Reader(reader.data, reader.base)
    inner.base = note if own_places else reader.base
    inner.big = False
    if order_at is not None:
        inner.order = "<" if reader.data[note + order_at : note + order_at + 2] == b"II" else ">"
    found: Places = []
    try:
        directory, _ = inner.directory(note + directory_at)
        directories = [directory]
        settings = directory.get(_CAMERA_SETTINGS)
        if settings is not None:
            start = settings.place
            if settings.number == 1:
                start = inner.base + inner.value(directory, _CAMERA_SETTINGS)
            directories.append(inner.directory(start)[0])
    except struct.error:
        return []
    for directory in directories:
        for start_tag, length_tag in _PREVIEWS:
            start, length = inner.value(directory, start_tag), inner.value(directory, length_tag)
            if start and length:  # from the note, or from the start of the file: it depends on the camera
                found += [(base + start, base + start + length) for base in {inner.base, reader.base}]
    return found
