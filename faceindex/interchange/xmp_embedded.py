"""Find the XMP packet inside the file of a picture, and read no more than the parts that lead to it.

Sources: ISO 16684-3 (JPEG, PNG, TIFF, GIF), with the extended XMP of JPEG in section 1.1.3.1 of Adobe's XMP
Specification Part 3; WebP Container Specification (Google); ISO/IEC 14496-12 and 23008-12 (items of HEIC and
AVIF); ISO/IEC 18181-2 (boxes of JPEG XL); for CR3, the UUID that ExifTool and exiv2 document.

Nothing in a file is trusted: each position is checked, each loop has an end, and no packet is larger than
`MOST_BYTES`, also after decompression.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from faceindex.interchange.xmp_boxes import bmff_xmp
from faceindex.interchange.xmp_jpeg import jpeg_xmp
from faceindex.interchange.xmp_source import BytesSource, Source, integer
from faceindex.interchange.xmp_tree import MOST_BYTES

__all__ = ["embedded_xmp", "packet_in"]

_MOST_CHUNKS = 100_000
_PNG_KEYWORD = b"XML:com.adobe.xmp\0"
_PNG_RAW = b"Raw profile type xmp\0"  # ImageMagick
_GIF_LABEL = b"XMP DataXMP"
_TIFF_XMP = 700
_TIFF_TYPES = {1: 1, 2: 1, 6: 1, 7: 1, 3: 2, 8: 2, 4: 4, 9: 4, 13: 4}  # bytes of a value


def embedded_xmp(data: bytes) -> bytes | None:
    """Return the XMP packet of a picture.

    Parameters
    ----------
    data : bytes
        The whole file: JPEG (with extended XMP), PNG, TIFF and RAW files of its kind, WebP, GIF, HEIC, AVIF,
        CR3, JPEG XL, RAF, or anything else.

    Returns
    -------
    bytes or None
        None if there is none, or if the file is damaged so that it cannot be found.
    """
    return packet_in(BytesSource(data))


def packet_in(source: Source) -> bytes | None:
    """Return the XMP packet of a picture; as `embedded_xmp`, of a file that is read in parts.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    head = source.read(0, 16)
    find = next((find for is_it, find in _FORMATS if is_it(head)), None)
    if find is None:
        return None
    try:
        packet = find(source)
    except (ValueError, RecursionError, zlib.error):
        return None
    return packet if packet and packet.strip(b"\0 \t\r\n") else None


def _png_xmp(source: Source) -> bytes | None:
    position = 8
    for _ in range(_MOST_CHUNKS):
        head = source.read(position, 8)
        if len(head) < 8:
            return None
        length, kind = integer(head, 0, 4), head[4:8]
        if kind == b"iTXt" and length <= MOST_BYTES:
            data = source.read(position + 8, length)
            if data.startswith(_PNG_KEYWORD):
                return _png_text(data[len(_PNG_KEYWORD) :])
        elif kind in (b"tEXt", b"zTXt") and length <= MOST_BYTES:
            data = source.read(position + 8, length)
            if data.startswith(_PNG_RAW):
                rest = data[len(_PNG_RAW) :]
                return _raw_profile(_inflate(rest[1:]) if kind == b"zTXt" else rest)
        elif kind == b"IEND":
            return None
        position += length + 12
    return None


def _png_text(data: bytes) -> bytes:
    """Return the text of an iTXt chunk, from its compression flag on (PNG 1.2, section 4.2.3.3)."""
    compressed = data[:1] == b"\1"
    rest = data[2:].split(b"\0", 2)
    if len(rest) < 3:
        raise ValueError("the chunk is cut short")
    return _inflate(rest[2]) if compressed else rest[2]


def _inflate(data: bytes) -> bytes:
    found = zlib.decompressobj().decompress(data, MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise ValueError("the packet is too large")
    return found


def _raw_profile(data: bytes) -> bytes:
    """Return a profile of ImageMagick: a line break, its name, its length, then hexadecimal digits."""
    parts = data.split(b"\n", 3)
    if len(parts) < 4:
        raise ValueError("the profile is cut short")
    return bytes.fromhex(parts[3].decode("ascii", "replace"))


def _webp_xmp(source: Source) -> bytes | None:
    position = 12
    for _ in range(_MOST_CHUNKS):
        head = source.read(position, 8)
        if len(head) < 8:
            return None
        length = integer(head, 4, 4, "little")
        if head[:4] == b"XMP ":
            return _bounded(source, position + 8, length)
        position += 8 + length + (length & 1)
    return None


def _gif_xmp(source: Source) -> bytes | None:
    """Return the packet of an application extension: it is no sequence of sub-blocks, but the text itself."""
    position = 13 + _palette(integer(source.read(0, 13), 10, 1))
    for _ in range(_MOST_CHUNKS):
        block = source.read(position, 14)
        if block[:1] == b"\x21":
            if block[1:2] == b"\xff" and block[3:14] == _GIF_LABEL:
                return _gif_text(source, position + 14)
            position = _past_blocks(source, position + 2)
        elif block[:1] == b"\x2c":
            image = source.read(position, 10)
            position = _past_blocks(source, position + 11 + _palette(integer(image, 9, 1)))
        else:
            return None
    return None


def _palette(flags: int) -> int:
    """Return the bytes of a palette, by the flags before it."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _past_blocks(source: Source, position: int) -> int:
    for _ in range(_MOST_CHUNKS):
        size = source.read(position, 1)
        if not size:
            raise ValueError("the file ends here")
        position += 1 + size[0]
        if not size[0]:
            return position
    raise ValueError("too many blocks")


def _gif_text(source: Source, position: int) -> bytes:
    """Return the text before the trailer 01 FF FE ... 00, which leads readers of sub-blocks to its end."""
    data = source.read(position, min(MOST_BYTES, source.size - position))
    end = data.find(b"\x01\xff\xfe\xfd")
    if end >= 0:
        return data[:end]
    text, here = [], 0  # some programs write real sub-blocks
    while here < len(data) and data[here]:
        text.append(data[here + 1 : here + 1 + data[here]])
        here += 1 + data[here]
    return b"".join(text)


def _tiff_xmp(source: Source, start: int = 0) -> bytes | None:
    """Return tag 700 of the first directories, also of BigTIFF; RW2, ORF and CR2 are of this kind."""
    head = source.read(start, 16)
    order = "little" if head[:2] == b"II" else "big"
    big = integer(head, 2, 2, order) == 43
    size, entry, count_size = (8, 20, 8) if big else (4, 12, 2)
    offset = integer(head, 8 if big else 4, size, order)
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < 32:
        seen.add(offset)
        number = integer(source.read(start + offset, count_size), 0, count_size, order)
        if number > 4096:
            raise ValueError("too many tags")
        table = source.read(start + offset + count_size, number * entry + size)
        for i in range(0, min(number * entry, len(table) - entry + 1), entry):
            if integer(table, i, 2, order) == _TIFF_XMP:
                width = _TIFF_TYPES.get(integer(table, i + 2, 2, order), 0)
                length = width * integer(table, i + 4, size, order)
                place = i + 4 + size
                if length <= size:
                    return table[place : place + length]
                return _bounded(source, start + integer(table, place, size, order), length)
        offset = integer(table, number * entry, size, order)
    return None


def _raf_xmp(source: Source) -> bytes | None:
    """Return the packet of the JPEG inside a RAF of Fujifilm: its position and length are at 84."""
    head = source.read(84, 8)
    position, length = integer(head, 0, 4), integer(head, 4, 4)
    return jpeg_xmp(_Window(source, position, min(length, source.size - position)))


class _Window:
    """A part of a file, as a file."""

    def __init__(self, source: Source, start: int, size: int) -> None:
        self._source, self._start, self.size = source, start, max(0, size)

    def read(self, position: int, length: int) -> bytes:
        if position < 0:
            return b""
        return self._source.read(self._start + position, min(length, self.size - position))


def _bounded(source: Source, position: int, length: int) -> bytes:
    if length > MOST_BYTES:
        raise ValueError("the packet is too large")
    return source.read(position, length)


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[Source], bytes | None]], ...] = (
    (lambda head: head.startswith(b"\xff\xd8"), jpeg_xmp),
    (lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), _png_xmp),
    (
        lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"IIU\0", b"IIRO", b"IIRS"),
        _tiff_xmp,
    ),
    (lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP", _webp_xmp),
    (lambda head: head[:4] == b"GIF8", _gif_xmp),
    (lambda head: head.startswith(b"FUJIFILMCCD-RAW"), _raf_xmp),
    (lambda head: head[4:8] in (b"ftyp", b"JXL ", b"jP  "), bmff_xmp),
)
