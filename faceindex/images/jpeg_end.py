"""Rebuild a JPEG without its metadata, and measure how many of its rows are missing at the end.

Decoders fill what is missing with grey, and do not report it. The first missing block is found by decoding
the file twice, followed by an end marker alone and by other bits before it: where the pictures differ, pixels
depend on bits that the file does not contain. At an eighth of the size, this takes a fraction of a decode.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
import PIL.Image
from PIL.JpegImagePlugin import JpegImageFile

from faceindex.images.pixel_data import jpeg_data
from faceindex.types import U8

__all__ = ["EOI", "ends_in_grey", "lacks_rows", "rebuild_jpeg"]

EOI = b"\xff\xd9"
"""The end marker of a JPEG (ITU-T T.81, table B.1)."""

_SOI = b"\xff\xd8"
_MARKER = re.compile(rb"\xff[\x01-\xfe]", re.DOTALL)
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without content
_SOS = 0xDA
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_PROGRESSIVE = frozenset({0xC2, 0xCA})

# Segments that are kept: the colours depend on the first two (see `jpeg_data`), the orientation on the third.
_KEPT = {0xE0: (b"JFIF\0", 16), 0xEE: (b"Adobe", 14), 0xE1: (b"Exif\0\0", 8)}  # marker: begin, least length
_EXIF = 0xE1

# Any bits without FF, which begins a marker, and without a short period: no code repeats for long.
_OTHER_BITS = bytes(37 * i * i % 251 for i in range(1, 513))

_SCALE = 8  # the codec reduces a block of 8 x 8 coefficients to one pixel
_GREY = frozenset({127, 128})  # a block without coefficients, as it is or inverted


def rebuild_jpeg(data: bytes, *, keep_exif: bool) -> bytes | None:
    """Return the first picture of a JPEG up to the end of its scans, without its end marker.

    Of the metadata, only the segments that determine the colours are kept, and EXIF data if they are wanted.

    Returns
    -------
    bytes or None
        None if scans are missing, or if a segment ends at a wrong place and a thumbnail may follow.
    """
    try:
        pixels = jpeg_data(data)[1:]
    except Exception:  # of any kind: the file is damaged
        return None
    kept = _segments(data)
    if kept is None or not _has_all_scans(pixels):
        return None
    stream = b"".join([_SOI, *(part for marker, part in kept if keep_exif or marker != _EXIF), *pixels])
    # Programs that copy a file may reserve its space first: what is missing is then zero. A scan ends in
    # zero only if it is stuffing, behind FF.
    stripped = stream.rstrip(b"\0")
    return stripped + b"\0" if len(stripped) < len(stream) and stripped.endswith(b"\xff") else stripped


def _segments(data: bytes) -> list[tuple[int, bytes]] | None:
    """Return the markers and the bytes of the segments to keep; None if their ends are lost."""
    kept = []
    position = 2
    while found := _MARKER.search(data, position):
        begin, position = found.span()
        marker = data[begin + 1]
        if marker == _SOS:
            return kept
        if marker in _ALONE:
            continue
        if marker in (_SOI[1], EOI[1]):
            return None
        end = position + int.from_bytes(data[position : position + 2], "big")
        if end < position + 2 or end > len(data):
            return None
        name, least = _KEPT.get(marker, (b"", 1 << 16))
        if end - position >= least and data.startswith(name, position + 2):
            kept.append((marker, data[begin:end]))
        position = end
    return None


def _has_all_scans(pixels: Sequence[bytes | memoryview]) -> bool:
    """Return whether the scans contain all coefficients of all components in full precision."""
    missing: dict[int, set[int]] = {}
    for part in pixels:
        marker = part[1]
        if marker in _FRAMES:
            whole = range(64) if marker in _PROGRESSIVE else range(1)
            missing = {part[10 + 3 * i]: set(whole) for i in range(part[9])}
        elif marker == _SOS:
            count = part[4]
            first, last, bits = part[5 + 2 * count : 8 + 2 * count]
            for i in range(count):
                if bits & 15 == 0:
                    missing.get(part[5 + 2 * i], set()).difference_update(range(first, last + 1))
    return bool(missing) and not any(missing.values())


def ends_in_grey(image: PIL.Image.Image) -> bool:
    """Return whether the last pixel of a decoded JPEG is as if its block were missing."""
    last = image.getpixel((image.width - 1, image.height - 1))
    return _GREY.issuperset(last if isinstance(last, tuple) else (last,))


def lacks_rows(stream: bytes, *, but_the_last: bool = False) -> int | None:
    """Return the first row of pixels that is missing, also if it is missing in part; None if all are there.

    Parameters
    ----------
    stream : bytes
        A JPEG without end marker, as of `rebuild_jpeg`.
    but_the_last : bool
        Return None if only blocks in the last row of blocks are missing.

    Raises
    ------
    Exception
        Of any kind, if it cannot be decoded.
    """
    first, height, block = _decode_small(stream + EOI)
    other, _, _ = _decode_small(stream + _OTHER_BITS + EOI)
    differ = np.flatnonzero((first != other).reshape(len(first), -1).any(axis=1))
    if not differ.size:
        return None
    row = int(differ[0]) * height // len(first)
    return None if but_the_last and row >= (height - 1) // block * block else row


def _decode_small(stream: bytes) -> tuple[U8, int, int]:
    """Return a JPEG at an eighth of its size, its height, and the height of its blocks in pixels."""
    opened = JpegImageFile(io.BytesIO(stream))
    width, height = opened.size
    opened.draft(None, (max(1, width // _SCALE), max(1, height // _SCALE)))
    block = _SCALE * max(layer[2] for layer in opened.layer)
    opened.load()
    return np.asarray(opened), height, block
