"""The XMP packet of files made of boxes: HEIC, AVIF, CR3, JPEG XL, JPEG 2000, MP4.

A packet of JPEG XL that is compressed (a box ``brob``, which needs Brotli) is not read.
"""

from __future__ import annotations

from collections.abc import Iterator

from faceindex.interchange.xmp_source import Source, integer
from faceindex.interchange.xmp_tree import MOST_BYTES

__all__ = ["bmff_xmp"]

_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # XMP Specification Part 3, section 1.3 (MPEG-4)
_MOST_BOXES = 20_000
_MOST_META = 16 << 20
_MOST_ITEMS = 20_000
_TYPE = b"application/rdf+xml"


def bmff_xmp(source: Source) -> bytes | None:
    """Return the packet: an item ``mime`` (HEIC, AVIF), a box ``uuid`` (CR3), or ``xml `` (JPEG XL)."""
    for kind, start, end in _boxes(source, 0, source.size):
        if kind == b"meta":
            found = _item(source, start, end)
            if found is not None:
                return found
        elif kind == b"uuid" and source.read(start, 16) == _UUID:
            return _bounded(source, start + 16, end - start - 16)
        elif kind == b"xml ":
            return _bounded(source, start, end - start)
    return None


def _boxes(source: Source, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type, start and end of the content of each box (ISO/IEC 14496-12, section 4.2)."""
    for _ in range(_MOST_BOXES):
        head = source.read(position, 16)
        if position + 8 > end or len(head) < 8:
            return
        size, kind, start = integer(head, 0, 4), head[4:8], position + 8
        if size == 1:
            size, start = integer(head, 8, 8), position + 16
        stop = position + size if size else end
        if stop < start:
            raise ValueError("a box is shorter than its header")
        yield kind, start, min(stop, end)
        position = stop


def _item(source: Source, start: int, end: int) -> bytes | None:
    """Return the first item that is XMP."""
    boxes = {kind: (a, b) for kind, a, b in _boxes(source, start + 4, end)}
    if b"iinf" not in boxes or b"iloc" not in boxes:
        return None
    number = _number_of_item(source, *boxes[b"iinf"])
    if number is None:
        return None
    idat = boxes.get(b"idat", (source.size, source.size))
    parts, size = [], 0
    for method, position, length in _extents(_meta(source, *boxes[b"iloc"]), number):
        low, high = (0, source.size) if method == 0 else idat
        position += low
        length = length or high - position  # 0: to the end
        size += length
        if method > 1 or position + length > high or size > MOST_BYTES:
            raise ValueError("an extent is outside of the file")
        parts.append(source.read(position, length))
    return b"".join(parts)


def _number_of_item(source: Source, start: int, end: int) -> int | None:
    version = source.read(start, 1)
    first = start + (8 if version[:1] != b"\0" else 6)
    for kind, entry, stop in _boxes(source, first, end):
        if kind != b"infe":
            continue
        data = source.read(entry, min(stop - entry, 4096))
        width = 4 if data[:1] == b"\3" else 2
        if data[:1] not in (b"\2", b"\3") or data[6 + width : 10 + width] != b"mime":
            continue
        _, _, rest = data[10 + width :].partition(b"\0")  # the name of the item
        if rest.partition(b"\0")[0] == _TYPE:
            return integer(data, 4, width)
    return None


def _meta(source: Source, start: int, end: int) -> bytes:
    if end - start > _MOST_META:
        raise ValueError("the box is too large")
    return source.read(start, end - start)


def _extents(data: bytes, wanted: int) -> list[tuple[int, int, int]]:
    """Return (method, position, length) of the parts of an item, of a box ``iloc`` (section 8.11.3)."""
    version = integer(data, 0, 1)
    sizes = integer(data, 4, 2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    if version == 0:
        index_size = 0
    wide, position = (4 if version == 2 else 2), 6
    number, position = integer(data, position, wide), position + wide
    for _ in range(min(number, _MOST_ITEMS)):
        item, position = integer(data, position, wide), position + wide
        method = 0
        if version:
            method, position = integer(data, position, 2) & 15, position + 2
        elsewhere, position = integer(data, position, 2), position + 2
        base, position = integer(data, position, base_size), position + base_size
        count, position = integer(data, position, 2), position + 2
        found = []
        for _ in range(count):
            position += index_size
            offset, position = integer(data, position, offset_size), position + offset_size
            length, position = integer(data, position, length_size), position + length_size
            found.append((method if not elsewhere else 9, base + offset, length))
        if item == wanted:
            return found
    return []


def _bounded(source: Source, position: int, length: int) -> bytes:
    if length > MOST_BYTES:
        raise ValueError("the packet is too large")
    return source.read(position, length)
