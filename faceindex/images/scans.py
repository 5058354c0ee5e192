"""Refuse JPEGs with so many scans that decoding takes minutes.

A progressive JPEG is decoded scan by scan, each over the whole picture, and an empty scan takes 10 bytes:
3,000 of them on 23 megapixels take 69 seconds. The report "Two Issues with the JPEG Standard" (2015) of the
authors of libjpeg-turbo describes this; the library leaves the limit to its callers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["MOST_SCANS", "count_scans", "has_one_scan", "has_too_many_scans"]

MOST_SCANS = 100
"""The most scans of a JPEG that is decoded.

Progressive JPEGs have 6 to 10 with the scripts of libjpeg (``jpeg_simple_progression``), and mozjpeg chooses
among 64 candidates. The fuzzers of libjpeg-turbo stop at 500, on pictures of 1 megapixel. An empty scan takes
1 ms a megapixel here, so 100 on the largest photo take half a minute.
"""

_SOS, _EOI, _DHT, _JPG, _DAC = 0xDA, 0xD9, 0xC4, 0xC8, 0xCC
_SEGMENT = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])", re.DOTALL)
_ALONE = frozenset({0x01, 0xD8})  # TEM, SOI


def has_too_many_scans(data: bytes) -> bool:
    """Return whether a JPEG has more than `MOST_SCANS` scans.

    This takes no time for sequential JPEGs with one scan, which are most photos from cameras.
    """
    return not has_one_scan(data) and count_scans(data, MOST_SCANS + 1) > MOST_SCANS


def has_one_scan(data: bytes) -> bool:
    """Return whether decoders read one scan only: sequential, with all components in the first scan."""
    components = -1
    for marker, start in _segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (_DHT, _JPG, _DAC):
            if marker not in (0xC0, 0xC1):
                return False
            components = data[start + 7] if start + 7 < len(data) else -1
        elif marker == _SOS:
            return start + 2 < len(data) and data[start + 2] == components
    return False


def count_scans(data: bytes, most: int) -> int:
    """Return the number of scans of the first picture of a JPEG if it is at least `most`, as `most`.

    A smaller result is an upper bound: metadata are counted too.
    """
    # In compressed data, 00 follows FF: the pattern is a marker there. It may also occur in metadata.
    if (candidates := data.count(b"\xff\xda")) < most:
        return candidates
    scans = 0
    for marker, _ in _segments(data):
        scans += marker == _SOS
        if scans >= most:
            break
    return scans


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker of each segment up to the end marker, and the position of its length."""
    position = 2
    while found := _SEGMENT.search(data, position):
        marker, start = found[1][0], found.end()
        if marker == _EOI:
            return
        position = start
        if marker in _ALONE:
            continue
        yield marker, start
        length = int.from_bytes(data[start : start + 2], "big")
        position = start + max(length, 2)
