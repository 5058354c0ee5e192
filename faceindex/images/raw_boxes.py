"""The boxes of CR3, the RAW files of Canon since 2018, and of the header of RAF, those of Fujifilm.

Sources: ISO/IEC 14496-12 for boxes; https://github.com/lclevy/canon_cr3 for what is in those of a CR3;
ExifTool's tables for RAF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from faceindex.images.raw_tiff import Places, RawStructure, raw_tiff

__all__ = ["cr3", "raf"]

_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")  # in moov: the metadata
_PREVIEW = bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16")  # the box that holds PRVW
_UUID = 16
_INSIDE = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
_DEEPEST = 6  # moov, trak, mdia, minf, stbl, and one to spare
_MOST_BOXES = 1_000  # a CR3 has about 80
_SEARCHED = 64  # bytes of PRVW's own header, behind which its JPEG begins

_RAF_DIRECTORY = 84  # JPEG, directory of the sensor, sensor data: start and length each
_RAF_MOST_ENTRIES = 255
_RAF_SIZE = 0x100


def cr3(data: bytes) -> RawStructure:
    """Return the structure of a CR3: its previews, and its sensor data as the largest track."""
    found = RawStructure(is_raw=True)
    tracks: Places = []
    for kind, start, end in _walk(data):
        if end > len(data):
            found.cut_short = True
        if kind == b"CMT1":
            first = raw_tiff(data, start)
            found.orientation = first.orientation
            found.add_size(first.width, first.height)
        elif kind == b"CMT2":  # a directory of EXIF tags on its own
            found.taken = raw_tiff(data, start, exif_first=True).taken
        elif kind == b"PRVW":
            begin = data.find(b"\xff\xd8\xff", start, start + _SEARCHED)
            if begin >= 0:
                found.pictures.append((begin, end))
        elif kind == b"stbl":
            tracks += _sample(data, start, end)
    for start, end in tracks:
        if data.startswith(b"\xff\xd8\xff", start):
            found.pictures.append((start, end))
    others = [place for place in tracks if place not in found.pictures]
    found.sensor = [max(others, key=lambda place: place[1] - place[0])] if others else []
    return found


def _walk(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the content of each box, at all depths; up to where they make sense."""
    waiting = [(0, len(data), 0)]
    number = 0
    while waiting:
        position, end, depth = waiting.pop()
        while position + 8 <= min(end, len(data)) and number < _MOST_BOXES:
            number += 1
            size, kind = struct.unpack_from(">I4s", data, position)
            start = position + 8
            if size == 1 and start + 8 <= len(data):
                (size,) = struct.unpack_from(">Q", data, start)
                start += 8
            stop = position + size if size else end
            if stop < start or (depth and stop > end):
                break
            if kind == b"uuid" and data.startswith(_CANON, start):
                waiting.append((start + _UUID, stop, depth + 1))
            elif kind == b"uuid" and data.startswith(_PREVIEW, start):
                waiting.append((start + _UUID + 8, stop, depth + 1))  # 8 bytes before the box PRVW
            elif kind in _INSIDE and depth < _DEEPEST:
                waiting.append((start, stop, depth + 1))
            yield kind, start, stop
            position = stop


def _sample(data: bytes, start: int, end: int) -> Places:
    """Return the place of the first sample of a track, from its table of samples."""
    place = length = 0
    position = start
    while position + 16 <= min(end, len(data)):
        size, kind = struct.unpack_from(">I4s", data, position)
        content = position + 12  # behind version and flags
        if kind == b"stsz" and content + 12 <= len(data):
            length, number, first = struct.unpack_from(">III", data, content)
            length = length or (first if number else 0)
        elif kind == b"co64" and content + 12 <= len(data):
            place = struct.unpack_from(">IQ", data, content)[1]
        elif kind == b"stco" and content + 8 <= len(data):
            place = struct.unpack_from(">II", data, content)[1]
        if size < 8:
            break
        position += size
    return [(place, place + length)] if place and length else []


def raf(data: bytes) -> RawStructure:
    """Return the structure of a RAF."""
    found = RawStructure(is_raw=True)
    if len(data) < _RAF_DIRECTORY + 24:
        found.cut_short = True
        return found
    jpeg, length, header, header_length, sensor, sensor_length = struct.unpack_from(
        ">6I", data, _RAF_DIRECTORY
    )
    if jpeg and length:
        found.pictures.append((jpeg, jpeg + length))
    if sensor and sensor_length:
        found.sensor.append((sensor, sensor + sensor_length))
    position, end = header + 4, min(header + header_length, len(data))
    for _ in range(_RAF_MOST_ENTRIES):
        if position + 8 > end:
            break
        tag, size = struct.unpack_from(">HH", data, position)
        if tag == _RAF_SIZE and size >= 4:
            height, width = struct.unpack_from(">HH", data, position + 4)
            found.add_size(width, height)
        position += 4 + size
    return found
