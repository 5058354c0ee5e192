"""Find the frames of moments again, and compute what identifies their pictures. Runs in the child process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from faceindex.images.video_file import UnusableVideo, VideoFile

if TYPE_CHECKING:
    import av

__all__ = ["MomentFinder"]

# Part of the format of the index and of the decisions of users. Another way to hash needs another name.
_VERSION = b"faceindex moment 1"

_STEPS_BACK = (0, 2_000, 15_000)
"""Milliseconds before the moment at which decoding begins: some formats lead to a place behind it, or between
two key frames. If none will do, the file is decoded from its start."""

_AFTER = 2_000  # milliseconds; frames are in order, but packets are not
_ANYWAY = 1_000  # milliseconds that are decoded rather than skipped by a seek


class MomentFinder:
    """Decodes single frames of a video.

    Parameters
    ----------
    video : VideoFile
    """

    def __init__(self, video: VideoFile) -> None:
        self._video = video
        self._decoding: _Decoding | None = None

    def find(self, milliseconds: int, alive: Callable[[int], None]) -> tuple[av.VideoFrame, bytes]:
        """Return the first frame whose time is that of a moment, and the identity of its picture.

        The identity is a hash of the packets from the last key frame to that of the frame. It depends on
        neither the decoder nor the tags of the file, and is the same after a move to another container that
        stores the packets as they are.

        Parameters
        ----------
        milliseconds : int
        alive : callable
            Called with the time of each frame before it.

        Raises
        ------
        UnusableVideo
            If there is no such frame.
        """
        import av

        before, self._decoding = self._decoding, None
        if before is not None and before.leads_to(milliseconds):
            found = self._search(before, milliseconds, alive)
            if found is not None:
                return found
        for back in _STEPS_BACK:
            if milliseconds <= back:
                break
            try:
                self._video.seek(milliseconds - back)
            except (av.FFmpegError, OSError):
                break
            found = self._search(_Decoding(self._video, from_start=False), milliseconds, alive)
            if found is not None:
                return found
        self._video.restart()
        found = self._search(_Decoding(self._video, from_start=True), milliseconds, alive)
        if found is None:
            raise UnusableVideo("changed", "the video has no frame at this time.")
        return found

    def _search(
        self, decoding: _Decoding, milliseconds: int, alive: Callable[[int], None]
    ) -> tuple[av.VideoFrame, bytes] | None:
        """Decode on; None if the frame is not there, or may refer to what was skipped."""
        decoding.wanted = milliseconds
        for time, frame in decoding.frames:
            alive(time)
            if time == milliseconds:
                if decoding.is_first and not frame.key_frame:
                    return None
                decoding.is_first = False
                self._decoding = decoding
                return frame, decoding.identity(time)
            if time > milliseconds + _AFTER or (decoding.is_first and time > milliseconds):
                return None
            decoding.is_first = False
        return None


class _Decoding:
    """Frames from one place of a video on, and what identifies their pictures.

    Attributes
    ----------
    frames : iterator of (int, av.VideoFrame)
        With their times in milliseconds.
    is_first : bool
        Whether the next frame is the first after a seek.
    wanted : int
        Time of the frame that is searched. Frames before it are skipped if no other frame refers to them.
    """

    def __init__(self, video: VideoFile, *, from_start: bool) -> None:
        self._video = video
        self._running = hashlib.blake2b(_VERSION, digest_size=16)
        self._identities: dict[int, bytes] = {}  # of packets whose frames are not decoded yet
        self._has_key = from_start
        self._at = self._key_at = 0
        self.is_first = not from_start
        self.wanted = 0
        self.frames = self._decode()

    def leads_to(self, milliseconds: int) -> bool:
        """Return whether going on is better than a seek: key frames seem to be further apart."""
        return 0 < milliseconds - self._at < self._at - self._key_at + _ANYWAY

    def identity(self, milliseconds: int) -> bytes:
        """Return the identity of the frame that was decoded last."""
        return self._identities.get(milliseconds, self._running.digest())

    def _decode(self) -> Iterator[tuple[int, av.VideoFrame]]:
        import av

        context = self._video.stream.codec_context
        for packet in chain(self._video.packets(), [None]):
            if packet is not None:
                time = self._video.milliseconds_of(packet.pts)
                if packet.is_keyframe:
                    self._has_key = True
                    self._running = hashlib.blake2b(_VERSION, digest_size=16)
                    self._key_at = self._at if time is None else time
                if not self._has_key:
                    continue  # the seek led to a place between two key frames
                self._running.update(packet.size.to_bytes(8, "little") + bytes(packet))
                if time is not None:
                    self._identities.setdefault(time, self._running.digest())
                context.skip_frame = "NONREF" if time is not None and time < self.wanted else "DEFAULT"
            try:
                frames = context.decode(packet)
            except (av.FFmpegError, ValueError):
                continue
            for frame in frames:
                time = self._video.milliseconds_of(frame.pts)
                if time is not None:
                    self._at = max(self._at, time)
                    yield time, frame
                    self._identities = {at: one for at, one in self._identities.items() if at > time}
