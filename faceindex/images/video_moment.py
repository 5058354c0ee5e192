"""Find the frame of a moment again, and compute what identifies its picture. Runs in the child process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING

from faceindex.images.video_file import UnusableVideo, VideoFile

if TYPE_CHECKING:
    import av

__all__ = ["find_moment"]

# Part of the format of the index and of the decisions of users. Another way to hash needs another name.
_VERSION = b"faceindex moment 1"

_STEPS_BACK = (0, 2_000, 15_000)
"""Milliseconds before the moment at which decoding begins: some formats lead to a place behind it, or between
two key frames. If none will do, the file is decoded from its start."""

_AFTER = 2_000  # milliseconds; frames are in order, but packets are not


def find_moment(
    video: VideoFile, milliseconds: int, alive: Callable[[int], None]
) -> tuple[av.VideoFrame, bytes]:
    """Return the first frame whose time is that of a moment, and the identity of its picture.

    The identity is a hash of the packets from the last key frame to that of the frame. It depends on neither
    the decoder nor the tags of the file, and is the same after a move to another container that stores the
    packets as they are.

    Parameters
    ----------
    video : VideoFile
    milliseconds : int
    alive : callable
        Called with the time of each frame before it.

    Raises
    ------
    UnusableVideo
        If there is no such frame.
    """
    import av

    for back in _STEPS_BACK:
        if milliseconds <= back:
            break
        try:
            video.seek(milliseconds - back)
        except (av.FFmpegError, OSError):
            break
        found = _search(video, milliseconds, alive, from_start=False)
        if found is not None:
            return found
    video.seek(0)
    found = _search(video, milliseconds, alive, from_start=True)
    if found is None:
        raise UnusableVideo("changed", "the video has no frame at this time.")
    return found


def _search(
    video: VideoFile, milliseconds: int, alive: Callable[[int], None], *, from_start: bool
) -> tuple[av.VideoFrame, bytes] | None:
    """Decode from the present place on; None if the frame is not there, or may refer to what was skipped."""
    import av

    context = video.stream.codec_context
    running = hashlib.blake2b(_VERSION, digest_size=16)
    identities: dict[int, bytes] = {}
    has_key = from_start
    is_first = not from_start
    for packet in chain(video.packets(), [None]):
        if packet is not None:
            if packet.is_keyframe:
                has_key = True
                running = hashlib.blake2b(_VERSION, digest_size=16)
            if not has_key:
                continue  # the seek led to a place between two key frames
            running.update(packet.size.to_bytes(8, "little") + bytes(packet))
            if video.milliseconds_of(packet.pts) == milliseconds:
                identities.setdefault(milliseconds, running.digest())
        try:
            frames = context.decode(packet)
        except (av.FFmpegError, ValueError):
            continue
        for frame in frames:
            time = video.milliseconds_of(frame.pts)
            if time is None:
                continue
            alive(time)
            if time == milliseconds:
                if is_first and not frame.key_frame:
                    return None
                return frame, identities.get(time, running.digest())
            if time > milliseconds + _AFTER or (is_first and time > milliseconds):
                return None
            is_first = False
    return None
