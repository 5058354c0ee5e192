"""Videos by their content, and the paths of their moments. Needs neither PyAV nor NumPy.

A *moment* is one frame of a video. It is a photo of the index, and its path is that of the file, a slash, and
the time of the frame: ``film.mp4/0:01:23.480.jpg``. Times are those that players show: 0 is the first frame.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from importlib.util import find_spec
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceindex.types import Image

__all__ = [
    "AMBIGUOUS_SUFFIXES",
    "MOST_MILLISECONDS",
    "VIDEO_SUFFIXES",
    "FrameBytes",
    "at_moment",
    "duration_text",
    "moment_name",
    "sniff_video",
    "split_moment",
    "video_digest",
    "videos_are_readable",
]

VIDEO_SUFFIXES: frozenset[str] = frozenset(
    {".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob"}
    | {".mts", ".m2ts", ".wmv", ".asf"}
)
"""Lower-case suffixes of videos. Files are recognised by content, whatever their suffix."""

AMBIGUOUS_SUFFIXES: frozenset[str] = frozenset({".mts"})
"""Of these: ``.mts`` is also a suffix of program text (TypeScript)."""

MOST_MILLISECONDS = 100 * 3_600_000 - 1  # the times of longer videos do not count

_BLOCKS, _BLOCK = 16, 1 << 16  # that stand for a file

_MOMENT = re.compile(r"([0-9]{1,2}):([0-5][0-9]):([0-5][0-9])\.([0-9]{3})\.jpg")

# Major brands of ISO media files (RFC 6381, mp4ra.org) without pictures that move.
_NOT_VIDEO = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ", b"crx ", b"jxl ", b"jp2 ", b"jpx "})
_IMAGE_BRANDS = re.compile(rb"(hei[cxms]|hev[cxms]|avi[fs]|mi[af][12f]|msf1)")

# The first box of a QuickTime file that has no brands (QuickTime File Format Specification).
_QUICKTIME = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_TS_PACKETS = ((188, 0), (192, 4))  # length and first mark of transport streams, plain and of cameras (M2TS)


def sniff_video(head: bytes) -> str | None:
    """Recognise a video from the first bytes of its file.

    Parameters
    ----------
    head : bytes
        4,096 bytes are enough.

    Returns
    -------
    str or None
        Name of FFmpeg's demuxer: ``"mov"`` (MP4, MOV, M4V, 3GP), ``"matroska"`` (MKV, WebM), ``"avi"``,
        ``"mpegts"`` (MTS), ``"mpeg"`` or ``"asf"``; None for anything else.
    """
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return None if brand in _NOT_VIDEO or _IMAGE_BRANDS.fullmatch(brand) else "mov"
    if head[4:8] in _QUICKTIME:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith(_ASF):
        return "asf"
    if head.startswith(b"\0\0\x01\xba"):
        return "mpeg"
    for length, first in _TS_PACKETS:
        if len(head) > first + 2 * length and all(head[first + i * length] == 0x47 for i in range(3)):
            return "mpegts"
    return None


def moment_name(milliseconds: int) -> str:
    """Return the name of a moment in its video, such as ``0:01:23.480.jpg``."""
    return f"{duration_text(milliseconds, exact=True)}.jpg"


def duration_text(milliseconds: int, *, exact: bool = False) -> str:
    """Return a time as hours, minutes and seconds: ``0:01:23``; or ``0:01:23.480`` if it is to be `exact`."""
    seconds, rest = divmod(max(0, milliseconds), 1000)
    text = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest:03}" if exact else text


def split_moment(path: str | PathLike[str]) -> tuple[str, int] | None:
    """Split the path of a moment into that of its video, and its time in milliseconds.

    Only the text is looked at. A folder may be named like a video, and a file like a moment: see
    `faceindex.images.containers` for what is there.

    Returns
    -------
    (str, int) or None
        None if the path does not end like that of a moment.
    """
    text = os.fspath(path)
    video, name = os.path.split(text)
    found = _MOMENT.fullmatch(name)
    if found is None or not video or video.endswith((os.sep, "/")):
        return None
    hours, minutes, seconds, milliseconds = map(int, found.groups())
    return video, ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds


def at_moment(name: str) -> str:
    """Return a name for people: ``film.mp4 at 0:01:23`` for a moment, and any other name as it is."""
    found = split_moment(name)
    return name if found is None else f"{found[0]} at {duration_text(found[1])}"


def videos_are_readable() -> bool:
    """Return whether PyAV is installed."""
    return find_spec("av") is not None


def video_digest(path: str | PathLike[str]) -> bytes:
    """Compute what stands for the content of a video file, without reading all of it: 16 bytes.

    It covers the size and a mebibyte in blocks that are spread evenly.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    from faceindex.paths import open_for_reading

    with open_for_reading(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.blake2b(b"faceindex video file 1" + size.to_bytes(8, "little"), digest_size=16)
        for number in range(_BLOCKS):
            file.seek(max(0, size - _BLOCK) * number // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
            if size <= _BLOCK:
                break
    return digest.digest()


class FrameBytes(bytes):
    """A frame of a video as the bytes of an image file (BMP), with what identifies its picture.

    An image file, because everything that takes the bytes of a photo takes these. Not compressed, because
    that takes longer than decoding. The identity is kept beside the bytes: what a decoder makes of the same
    packets can differ by a step between versions and processors.

    Attributes
    ----------
    identity : bytes
        16 bytes; the result of `faceindex.images.content_hash` and the hash of `faceindex.images.Picture`.
    taken : int or None
        As in `faceindex.images.Picture`.
    """

    identity: bytes
    taken: int | None

    @classmethod
    def of(cls, image: Image, identity: bytes, taken: int | None, milliseconds: int) -> FrameBytes:
        """Make the bytes of a frame.

        Parameters
        ----------
        image : (h, w, 3) uint8
            RGB, upright.
        identity : bytes
        taken : int or None
            When the recording began.
        milliseconds : int
            Time of the frame in it.
        """
        import numpy as np

        height, width = image.shape[:2]
        stride = -(-width * 3 // 4) * 4
        rows = np.zeros((height, stride), np.uint8)
        rows[:, : width * 3] = image[::-1, :, ::-1].reshape(height, -1)
        # BITMAPFILEHEADER and BITMAPINFOHEADER, 24 bits, no compression, rows from the bottom.
        header = struct.pack("<2sIHHI", b"BM", 54 + rows.nbytes, 0, 0, 54)
        header += struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.nbytes, 0, 0, 0, 0)
        frame = cls(b"".join((header, rows.data)))
        frame.identity = identity
        frame.taken = None if taken is None else taken + milliseconds // 1000
        return frame
