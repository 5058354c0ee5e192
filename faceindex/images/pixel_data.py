"""The parts of JPEG, PNG, WebP and GIF files from which pixels are decoded, without metadata.

Each function returns slices of the file, in an order that metadata do not change, or raises any exception
if it finds no pixels. Nothing is decoded.
"""

from __future__ import annotations

import re
import struct
from typing import TypeAlias

__all__ = ["Parts", "count_gif_frames", "gif_data", "jpeg_data", "png_data", "webp_data"]

Parts: TypeAlias = "list[bytes | memoryview]"
"""Slices of a file to hash, one after the other."""

# Markers of JPEG (ITU-T T.81, table B.1). Among entropy-coded data, FF 00 is a byte of data, FF D0 to FF D7
# are restart markers, and further FF are padding.
_MARKER = re.compile(rb"\xff[\x01-\xfe]", re.DOTALL)
_SCAN_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)
_TEM, _RST0, _SOI, _EOI, _SOS, _APP0, _APP14, _APP15, _COM = (
    *(0x01, 0xD0, 0xD8, 0xD9, 0xDA),
    *(0xE0, 0xEE, 0xEF, 0xFE),
)
_GIF_FRAME = 0x2C
_NOT_SOF = frozenset({0xC4, 0xC8, 0xCC})  # DHT, JPG and DAC: markers from C0 to CF that begin no frame


def jpeg_data(data: bytes) -> Parts:
    """Return the tables, frame and scans of the first picture of a JPEG, up to its end marker.

    The first part is a byte for the colours, which decoders derive from two of the metadata segments, APP0
    of JFIF and APP14 of Adobe: 1 for RGB instead of YCbCr, 2 for YCCK instead of CMYK, else 0. The rule is
    that of libjpeg (``default_decompress_parms``). So these segments matter only where they change the
    decoded pixels: an editor may drop or add them in the common case of YCbCr.
    """
    view = memoryview(data)
    parts: Parts = []
    jfif, adobe, components, scans = False, -1, b"", 0
    position = 2
    while found := _MARKER.search(data, position):
        start, marker = found.end(), data[found.start() + 1]
        if marker == _EOI:
            break
        if marker == _TEM or _RST0 <= marker <= _SOI:  # they stand alone
            position = start
            continue
        length = int.from_bytes(data[start : start + 2], "big")
        position = end = start + length
        if length < 2 or end > len(data):
            break
        if marker == _APP0:
            jfif |= length >= 16 and data[start + 2 : start + 7] == b"JFIF\0"
        elif marker == _APP14 and length >= 14 and data[start + 2 : start + 7] == b"Adobe":
            adobe = data[start + 13]
        if _APP0 <= marker <= _APP15 or marker == _COM:
            continue
        if marker == _SOS:
            scans += 1
            position = end = _scan_end(data, end)
        elif 0xC0 <= marker <= 0xCF and marker not in _NOT_SOF:
            components = data[start + 8 : start + 8 + 3 * data[start + 7] : 3]
        parts.append(view[found.start() : end])
    if not scans:
        raise ValueError("no scan")
    colours = 0
    if len(components) == 3 and not jfif:
        colours = int(components == b"RGB" if adobe < 0 else adobe == 0)
    elif len(components) == 4 and adobe > 0:
        colours = 2
    return [bytes([colours]), *parts]


def _scan_end(data: bytes, start: int) -> int:
    """Return the end of entropy-coded data, without padding."""
    found = _SCAN_END.search(data, start)
    end = len(data) if found is None else found.start()
    while end > start and data[end - 1] == 0xFF:
        end -= 1
    return end


def png_data(data: bytes) -> Parts:
    """Return the header, palette, transparency and compressed pixels of a PNG, without further frames.

    The chunks of compressed pixels are joined: editors may divide them anew.
    """
    view = memoryview(data)
    header: Parts = []
    pixels: Parts = []
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        payload = view[position + 8 : position + 8 + length]
        if kind == b"IDAT":
            pixels.append(payload)
        elif kind in (b"IHDR", b"PLTE", b"tRNS"):
            header += [data[position : position + 8], payload]
        elif kind == b"IEND":
            break
        position += length + 12
    if not header or not pixels:
        raise ValueError("no pixels")
    return [*header, b"IDAT", *pixels]


def webp_data(data: bytes) -> Parts:
    """Return the compressed pixels of a WebP, and the canvas and the frames of an animation."""
    view = memoryview(data)
    parts: Parts = []
    canvas = b""
    animated = False
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF"):
            animated |= kind == b"ANMF"
            parts += [data[position : position + 8], view[position + 8 : position + 8 + length]]
        elif kind == b"VP8X":
            canvas = data[position + 12 : position + 18]  # the flags before it state which metadata there are
        position += 8 + length + length % 2
    if not parts:
        raise ValueError("no pixels")
    return [canvas, *parts] if animated else parts


def gif_data(data: bytes) -> Parts:
    """Return the screen, palettes and frames of a GIF, without comments and data of applications."""
    view = memoryview(data)
    # The version before the screen changes with the first comment.
    parts: Parts = [view[6 : 13 + _palette_bytes(data[10])]]
    blocks = _gif_blocks(data)
    if not any(kind == _GIF_FRAME for kind, _, _ in blocks):
        raise ValueError("no frame")
    return [*parts, *(view[start:end] for _, start, end in blocks)]


def count_gif_frames(data: bytes) -> int:
    """Return the number of frames of a GIF; raises any exception for a damaged file."""
    return sum(kind == _GIF_FRAME for kind, _, _ in _gif_blocks(data))


def _gif_blocks(data: bytes) -> list[tuple[int, int, int]]:
    """Return kind, start and end of the frames and of the extensions that change pixels."""
    blocks = []
    position = 13 + _palette_bytes(data[10])
    while position < len(data):
        start, kind = position, data[position]
        if kind == 0x21:  # extension
            position = _blocks_end(data, position + 2)
            if data[start + 1] in (0xFE, 0xFF):  # comment, application
                continue
        elif kind == _GIF_FRAME:
            position = _blocks_end(data, position + 11 + _palette_bytes(data[position + 9]))
        else:  # the trailer, or damage
            break
        blocks.append((kind, start, position))
    return blocks


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks_end(data: bytes, position: int) -> int:
    """Return the end of a chain of GIF's data blocks; each has up to 255 bytes."""
    while position < len(data) and data[position]:
        position += data[position] + 1
    return position + 1
