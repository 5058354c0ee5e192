"""Count the pages and frames of a file, of which only the first is decoded.

Further pictures of a JPEG (MPO) do not count: phones store maps of brightness and depth there. Neither do
those of HEIC and AVIF files that are no sequences, for the same reason.
"""

from __future__ import annotations

import struct

from faceindex.images.formats import sniff
from faceindex.images.pixel_data import count_gif_frames

__all__ = ["note_on_frames"]

_MOST = 1_000_000  # pages of a TIFF to count: more than any scanner writes


def note_on_frames(data: bytes) -> str | None:
    """Return a note if a file has several pages or frames; None if it has one.

    Parameters
    ----------
    data : bytes
        The whole file. Anything is accepted.
    """
    try:
        image_format = sniff(data)
        if image_format in ("HEIF", "AVIF"):
            return "It is a sequence; only its first picture is read." if _is_sequence(data) else None
        if image_format not in _COUNTS:
            return None
        number = _COUNTS[image_format](data)
    except Exception:  # of any kind: what follows the first frame may be damaged
        return None
    word = "pages" if image_format == "TIFF" else "frames"
    return f"It has {number:,} {word}; only the first is read." if number > 1 else None


def _tiff(data: bytes) -> int:
    """Count the directories that the header leads to; nested ones are thumbnails or parts."""
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]
    pointer, entries, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    place = 8 if big else 4
    seen: set[int] = set()
    while len(seen) < _MOST and place + 4 <= len(data):
        (start,) = struct.unpack_from(order + pointer, data, place)
        if start == 0 or start in seen or start >= len(data):
            break
        (number,) = struct.unpack_from(order + entries, data, start)
        seen.add(start)
        place = start + struct.calcsize(entries) + number * size
    return len(seen)


def _png(data: bytes) -> int:
    """Return the number of frames in the chunk acTL, which is before the pixels of an animation."""
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IDAT":
            break
        if kind == b"acTL" and length == 8:
            return int.from_bytes(data[position + 8 : position + 12], "big")
        position += length + 12
    return 1


def _webp(data: bytes) -> int:
    number, position = 0, 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        number += kind == b"ANMF"
        position += 8 + length + length % 2
    return number


def _is_sequence(data: bytes) -> bool:
    """Return whether a HEIC or AVIF file names itself a sequence (brands of ISO/IEC 23008-12 and of AVIF)."""
    return data[8:12] in (b"msf1", b"hevc", b"hevx", b"hevm", b"hevs", b"avis")


_COUNTS = {"GIF": count_gif_frames, "PNG": _png, "TIFF": _tiff, "WEBP": _webp}
