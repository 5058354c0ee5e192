"""Rebuild a JPEG without its metadata, and measure how many of its rows are missing at the end.

Decoders fill what is missing with grey, and do not report it. The first missing block is found by decoding
the file twice, followed by an end marker alone and by other bits before it: where the pictures differ, pixels
depend on bits that the file does not contain. At a reduced size, this takes a fraction of a decode.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

import PIL.Image
import PIL.ImageChops
from PIL.JpegImagePlugin import JpegImageFile

from faceindex.images.pixel_data import jpeg_data

__all__ = ["EOI", "ends_in_grey", "lacks_end", "lacks_rows", "rebuild_jpeg"]

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

_RESTART = re.compile(rb"\xff[\xd0-\xd7]", re.DOTALL)  # after each interval, numbered from 0 to 7 and again

_MANY_ZEROS = 16  # fewer may be the codes of a plain area

_SCALE = 8  # the codec reduces a block of 8 x 8 coefficients to one pixel
_DETAILS = 2  # ...or to 4 x 4 pixels, for which it needs 16 of them
_GREY = frozenset(range(124, 133))  # a block without coefficients; smoothing mixes in the rows above it


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
    segments = list(_segments(data))
    if not segments or segments[-1][0] != _SOS or not _has_all_scans(pixels):
        return None
    stream = b"".join(
        [
            _SOI,
            *(
                data[begin:end]
                for marker, begin, end in segments
                if _is_kept(marker, data[begin:end]) and (keep_exif or marker != _EXIF)
            ),
            *pixels,
        ]
    )
    # Programs that copy a file may reserve its space first: what is missing is then zero.
    stripped = stream.rstrip(b"\0")
    return stripped if len(stream) - len(stripped) >= _MANY_ZEROS and lacks_end(data) else stream


def lacks_end(data: bytes) -> bool:
    """Return whether no end marker follows the first scan of a JPEG; False if no scan is found."""
    if data.endswith(EOI):
        return False
    segments = list(_segments(data))
    return bool(segments) and segments[-1][0] == _SOS and data.find(EOI, segments[-1][2]) < 0


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, begin and end of the segments up to the first scan, until one has no sensible end."""
    position = 2
    while found := _MARKER.search(data, position):
        begin, position = found.span()
        marker = data[begin + 1]
        if marker in _ALONE:
            continue
        end = position + int.from_bytes(data[position : position + 2], "big")
        if marker in (_SOI[1], EOI[1]) or end < position + 2 or end > len(data):
            return
        yield marker, begin, end
        if marker == _SOS:
            return
        position = end


def _is_kept(marker: int, segment: bytes) -> bool:
    name, least = _KEPT.get(marker, (b"", 1 << 16))
    return len(segment) - 2 >= least and segment.startswith(name, 4)


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
    other, _, _ = _decode_small(stream + _other_end(stream) + EOI)
    differ = PIL.ImageChops.difference(first, other).getbbox()
    if differ is None:
        return None
    row = differ[1] * height // first.height
    return None if but_the_last and row >= (height - 1) // block * block else row


def _other_end(stream: bytes) -> bytes:
    """Return other bits to follow a JPEG, also for the restart intervals that begin after its end."""
    markers = _RESTART.findall(stream, max(0, stream.rfind(bytes([0xFF, _SOS]))))
    last = markers[-1][1] if markers else 0xD7
    following = (bytes([0xFF, 0xD0 + (last + i) % 8]) + _OTHER_BITS for i in range(1, 9))
    return _OTHER_BITS + b"".join(following)


def _decode_small(stream: bytes) -> tuple[PIL.Image.Image, int, int]:
    """Return a reduced JPEG, the height at full size, and the height of a block in pixels.

    The scans of a progressive JPEG end with details, which are not in a picture at an eighth of its size.
    """
    opened = JpegImageFile(io.BytesIO(stream))
    width, height = opened.size
    progressive = "progressive" in opened.info
    scale = _DETAILS if progressive else _SCALE
    opened.draft("L" if progressive else None, (max(1, width // scale), max(1, height // scale)))
    block = _SCALE * max(layer[2] for layer in opened.layer)
    opened.load()
    return opened, height, block
