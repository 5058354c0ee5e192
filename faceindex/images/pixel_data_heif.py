"""The parts of HEIC and AVIF files from which the primary picture is decoded.

Sources: ISO/IEC 14496-12 (boxes, items), ISO/IEC 23008-12 (derived pictures, properties).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from faceindex.images.pixel_data import Parts

__all__ = ["find_metadata_items", "heif_data", "merge_associations", "turn_of_picture"]

# Properties that change the decoded pixels. Cropping, rotation and mirroring belong to them: decoders apply
# these, not the EXIF orientation.
_NEEDED = frozenset({b"hvcC", b"av1C", b"avcC", b"ispe", b"clap", b"irot", b"imir"})

# The EXIF orientation (Exif 2.32, section 4.6.4) for 0 to 3 quarter turns anti-clockwise, by the axis of the
# mirroring that follows: 0 exchanges top and bottom, 1 left and right (ISO/IEC 23008-12, sections 6.5.10 and
# 6.5.12).
_ORIENTATIONS = {None: (1, 8, 3, 6), 0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}

_METADATA = frozenset({b"Exif", b"mime", b"uri "})

_BOX_HEADER = 8
_FULL_BOX = 4  # version and flags


def heif_data(data: bytes) -> Parts:
    """Return the properties and the data of the primary picture and of the tiles that it consists of."""
    boxes = {kind: (start, end) for kind, start, end in _boxes(data, 0, len(data))}
    start, end = boxes[b"meta"]
    meta = {kind: place for kind, *place in _boxes(data, start + _FULL_BOX, end)}
    found = {kind: place for kind, *place in _boxes(data, *meta[b"iprp"])}
    properties = list(_boxes(data, *found[b"ipco"]))
    of_item = _associations(data, found[b"ipma"][0])
    extents = _extents(data, meta[b"iloc"][0], meta.get(b"idat", [0, 0])[0])
    parts_of = _derived(data, *meta[b"iref"]) if b"iref" in meta else {}
    primary = _primary(data, meta)
    view = memoryview(data)
    parts: Parts = []
    used = 0
    items, seen = [primary], {primary}
    for item in items:  # it grows
        for index in of_item.get(item, ()):
            kind, start, end = properties[index - 1]
            if kind in _NEEDED:
                parts += [kind, view[start:end]]
        for start, length in extents[item]:
            used += length
            if length < 1 or start + length > len(data) or used > len(data):
                raise ValueError("extents beyond the file")
            parts.append(view[start : start + length])
        new = [part for part in parts_of.get(item, ()) if part not in seen]
        items += new
        seen.update(new)
    return parts


def find_metadata_items(data: bytes) -> list[tuple[bytes, int]]:
    """Return the types of the items that are metadata, and the positions of these types in the file."""
    # What follows may be cut short.
    start, end = next((start, end) for kind, start, end in _boxes(data, 0, len(data)) if kind == b"meta")
    meta = {kind: place for kind, *place in _boxes(data, start + _FULL_BOX, end)}
    start, end = meta[b"iinf"]
    start += _FULL_BOX + (4 if data[start] else 2)
    found = []
    for kind, entry, stop in _boxes(data, start, end):
        position = entry + _FULL_BOX + (6 if data[entry] > 2 else 4)
        if kind == b"infe" and data[entry] >= 2 and position + 4 <= stop:
            name = data[position : position + 4]
            if name in _METADATA:
                found.append((name, position))
    return found


def merge_associations(data: bytes) -> bytes | None:
    """Return a copy whose boxes ``ipma`` are one, where a file has several of a version; else None.

    ISO/IEC 14496-12, section 8.11.14.1, forbids them, and libavif refuses them. Nothing else moves: the bytes
    that are left over become a property that no item has.
    """
    boxes = {kind: (start, end) for kind, start, end in _boxes(data, 0, len(data))}
    start, end = boxes[b"meta"]
    meta = {kind: place for kind, *place in _boxes(data, start + _FULL_BOX, end)}
    inside = list(_boxes(data, *meta[b"iprp"]))
    tables = [(start, end) for kind, start, end in inside if kind == b"ipma"]
    versions = {data[start : start + _FULL_BOX] for start, _ in tables}
    if len(tables) < 2 or len(versions) != 1 or [kind for kind, *_ in inside[1:]] != [b"ipma"] * len(tables):
        return None
    kind, first, last = inside[0]
    if kind != b"ipco":
        return None
    head = _FULL_BOX + 4  # behind it are the entries
    count = sum(int.from_bytes(data[start + _FULL_BOX : start + head], "big") for start, _ in tables)
    entries = b"".join(data[start + head : end] for start, end in tables)
    table = versions.pop() + count.to_bytes(4, "big") + entries
    left = (len(tables) - 1) * (_BOX_HEADER + head)
    filling = struct.pack(">I4s", left, b"free") + bytes(left - _BOX_HEADER)
    properties = data[first:last] + filling
    return b"".join(
        [
            data[: first - _BOX_HEADER],
            struct.pack(">I4s", _BOX_HEADER + len(properties), b"ipco"),
            properties,
            struct.pack(">I4s", _BOX_HEADER + len(table), b"ipma"),
            table,
            data[tables[-1][1] :],
        ]
    )


def turn_of_picture(data: bytes) -> int:
    """Return the EXIF orientation that is the same as the rotation and mirroring of the primary picture."""
    boxes = {kind: (start, end) for kind, start, end in _boxes(data, 0, len(data))}
    start, end = boxes[b"meta"]
    meta = {kind: place for kind, *place in _boxes(data, start + _FULL_BOX, end)}
    found = {kind: place for kind, *place in _boxes(data, *meta[b"iprp"])}
    properties = list(_boxes(data, *found[b"ipco"]))
    angle, axis = 0, None
    for index in _associations(data, found[b"ipma"][0]).get(_primary(data, meta), ()):
        kind, start, _ = properties[index - 1]
        if kind == b"irot":
            angle = data[start] & 3
        elif kind == b"imir":
            axis = data[start] & 1
    return _ORIENTATIONS[axis][angle]


def _primary(data: bytes, meta: dict[bytes, list[int]]) -> int:
    """Return the number of the primary item."""
    start = meta[b"pitm"][0]
    return int.from_bytes(data[start + 4 : start + (8 if data[start] else 6)], "big")


def _boxes(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, start and end of the content of each box between two positions."""
    while position + _BOX_HEADER <= end:
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + _BOX_HEADER
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        stop = position + size if size else end
        if stop < start or stop > end:
            raise ValueError("a box is cut short")
        yield kind, start, stop
        position = stop


class _Reader:
    """Reads integers of given sizes one after the other."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self.position = position

    def __call__(self, size: int) -> int:
        start, self.position = self.position, self.position + size
        if self.position > len(self._data):
            raise ValueError("the file ends here")
        return int.from_bytes(self._data[start : self.position], "big")


def _associations(data: bytes, position: int) -> dict[int, list[int]]:
    """Return the numbers of the properties of each item, from 1, of a box ``ipma``."""
    read = _Reader(data, position)
    version, flags = read(1), read(3)
    width = 2 if flags & 1 else 1
    found: dict[int, list[int]] = {}
    for _ in range(read(4)):
        item = read(4 if version else 2)
        numbers = [read(width) & (0x7FFF if width == 2 else 0x7F) for _ in range(read(1))]
        found.setdefault(item, []).extend(number for number in numbers if number)
    return found


def _extents(data: bytes, position: int, idat: int) -> dict[int, list[tuple[int, int]]]:
    """Return (position in the file, length) of the data of each item, of a box ``iloc``."""
    read = _Reader(data, position)
    version, _, sizes = read(1), read(3), read(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    found: dict[int, list[tuple[int, int]]] = {}
    for _ in range(read(wide)):
        item = read(wide)
        method = read(2) & 15 if version else 0
        elsewhere, base = read(2), read(base_size)
        if method == 1:
            base += idat
        extents = []
        for _ in range(read(2)):
            read(index_size if version else 0)
            start, length = base + read(offset_size), read(length_size)
            # An item that is part of another item, or in another file, has no place in this one.
            extents.append((start, 0 if elsewhere or method > 1 else length))
        found[item] = extents
    return found


def _derived(data: bytes, start: int, end: int) -> dict[int, list[int]]:
    """Return the items of which each item consists, such as the tiles of a grid, of a box ``iref``."""
    width = 4 if data[start] else 2
    found = {}
    for kind, inner, _ in _boxes(data, start + _FULL_BOX, end):
        if kind == b"dimg":
            read = _Reader(data, inner)
            item = read(width)
            found[item] = [read(width) for _ in range(read(2))]
    return found
