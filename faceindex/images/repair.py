"""Make copies of damaged files that contain only what the pixels need.

Decoders give up a file of which only the metadata around the pixels are damaged: a wrong checksum, a text
that is too long, a profile that is cut short. A copy without them is decoded instead.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from faceindex.images.jpeg_end import EOI, rebuild_jpeg
from faceindex.images.pixel_data_heif import find_metadata_items, merge_associations
from faceindex.images.pixel_data_tiff import end_of_pixels, find_entries

__all__ = ["note_on_checksums", "repaired"]

_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT"})
_PNG_OPTIONAL = frozenset({b"tRNS", b"eXIf"})  # left out, as other decoders do, if the checksum is wrong
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"

_WEBP_PIXELS = frozenset({b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})
_WEBP_KEPT_FLAGS = 0x12  # alpha and animation; the other flags are metadata (RFC 9649, section 2.7)
_WEBP_EXIF_FLAG = 0x08

_TIFF_KEPT = frozenset({274, 34665})  # orientation and EXIF, beside what the pixels need


def repaired(data: bytes, image_format: str) -> Iterator[bytes]:
    """Yield copies of a file without its metadata, the one that keeps most of them first.

    The data of the pixels are copied as they are. The orientation is kept, and lost only in the last copy.

    Parameters
    ----------
    data : bytes
        A file that cannot be decoded.
    image_format : str
        As `faceindex.images.sniff` returns it.

    Yields
    ------
    bytes
        Nothing if the pixels are not found. They may be incomplete: of a JPEG, rows may be missing.
    """
    try:
        yield from _REPAIRS[image_format](data)
    except Exception:  # of any kind: the file is damaged
        return


def note_on_checksums(data: bytes) -> str | None:
    """Return a note if a checksum of the pixels of a PNG is wrong: it may decode to nonsense."""
    if not data.startswith(b"\x89PNG"):
        return None
    view = memoryview(data)
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind == b"IDAT" and not _checksum_holds(view[position:end]):
            return "A checksum of its pixels is wrong, so some of them may be damaged."
        position = end
    return None


def _jpeg(data: bytes) -> Iterator[bytes]:
    for keep_exif in (True, False):
        stream = rebuild_jpeg(data, keep_exif=keep_exif)
        if stream is None:
            return
        yield stream + EOI


def _png(data: bytes) -> Iterator[bytes]:
    chunks: list[tuple[bytes, memoryview]] = []
    view = memoryview(data)
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind == b"IEND":
            break
        if kind == b"IDAT" and end > len(data):  # its header must not cover what follows in the copy
            rest = view[position + 8 : position + 8 + length]
            chunks.append((kind, memoryview(struct.pack(">I4s", len(rest), kind) + bytes(rest) + bytes(4))))
        elif kind in _PNG_NEEDED or (kind in _PNG_OPTIONAL and _checksum_holds(view[position:end])):
            chunks.append((kind, view[position:end]))
        position = end
    kinds = {kind for kind, _ in chunks}
    if not {b"IHDR", b"IDAT"} <= kinds:
        return
    for left_out in ([], [b"eXIf"], [b"tRNS"], [b"tRNS", b"eXIf"]):
        if not kinds.issuperset(left_out):
            continue
        kept = (chunk for kind, chunk in chunks if kind not in left_out)
        yield b"".join([data[:8], *kept, _PNG_END])


def _checksum_holds(chunk: memoryview) -> bool:
    return len(chunk) >= 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _webp(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    kept: list[bytes | memoryview] = []
    canvas = exif = b""
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        end = position + 8 + length
        if end > len(data):
            if kind in _WEBP_PIXELS and not kept:
                return
            break
        padding = b"\0" * (length % 2)
        if kind == b"VP8X" and length >= 10:
            canvas = data[position + 8 : position + 18]
        elif kind in _WEBP_PIXELS:
            kept += [view[position:end], padding]
        elif kind == b"EXIF":
            exif = data[position:end] + padding
        position = end + length % 2
    if not kept:
        return
    for trailer in (exif, b"") if exif and canvas else (b"",):
        flags = canvas[0] & _WEBP_KEPT_FLAGS | _WEBP_EXIF_FLAG * bool(trailer) if canvas else 0
        header = struct.pack("<4sIB", b"VP8X", 10, flags) + canvas[1:] if canvas else b""
        body = b"".join([b"WEBP", header, *kept, trailer])
        yield struct.pack("<4sI", b"RIFF", len(body)) + body


def _gif(data: bytes) -> Iterator[bytes]:
    """Keep the screen, and the first frame with its control block."""
    end = _gif_colours(data, 13, data[10])
    parts = [data[:end]]
    position = end
    while data[position] == 0x21:
        start, position = position, _gif_blocks(data, position + 2)
        if data[start + 1] == 0xF9:
            parts.append(data[start:position])
    if data[position] != 0x2C:
        return
    begin = _gif_colours(data, position + 10, data[position + 9]) + 1
    frame = [data[position:begin]]
    while begin < len(data) and data[begin]:
        block = data[begin + 1 : begin + 1 + data[begin]]  # the last one may be cut short
        frame += [bytes([len(block)]), block]
        begin += 1 + data[begin]
    yield b"".join([*parts, *frame, b"\0;"])


def _gif_colours(data: bytes, position: int, flags: int) -> int:
    return position + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _gif_blocks(data: bytes, position: int) -> int:
    while position < len(data) and data[position]:
        position += data[position] + 1
    return min(position + 1, len(data))


def _tiff(data: bytes) -> Iterator[bytes]:
    """Append a directory with only the needed tags, and refer to it in the header."""
    order, big, entries = find_entries(data, _TIFF_KEPT)
    if end_of_pixels(data) > len(data):
        return  # the directory would be read as pixels
    for kept in (_TIFF_KEPT, frozenset({274}), frozenset[int]()):
        chosen = [entry for tag, entry in entries if tag in kept or tag not in _TIFF_KEPT]
        start = len(data) + len(data) % 2
        number = struct.pack(f"{order}{'Q' if big else 'H'}", len(chosen))
        place = struct.pack(f"{order}{'Q' if big else 'I'}", start)
        header = data[:8] + place if big else data[:4] + place
        rest = memoryview(data)[len(header) :]
        yield b"".join([header, rest, b"\0" * (start - len(data)), number, *chosen, bytes(len(place))])


def _heif(data: bytes) -> Iterator[bytes]:
    """Give items of metadata a type that decoders skip; or merge tables that early encoders of AVIF split."""
    items = find_metadata_items(data)
    for left_out in ({kind for kind, _ in items} - {b"Exif"}, {kind for kind, _ in items}):
        copy = bytearray(data)
        for kind, position in items:
            if kind in left_out:
                copy[position : position + 4] = b"skip"
        if left_out:
            yield bytes(copy)
    if (merged := merge_associations(data)) is not None:
        yield merged


_REPAIRS = {
    "AVIF": _heif,
    "GIF": _gif,
    "HEIF": _heif,
    "JPEG": _jpeg,
    "PNG": _png,
    "TIFF": _tiff,
    "WEBP": _webp,
}
