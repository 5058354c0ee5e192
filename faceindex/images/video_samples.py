"""Choose frames of a video, by time and by scene, and decode as little as possible for them.

A frame is due once per interval. Between two key frames that are no further apart than that, nothing is
decoded: cameras write a key frame every half to two seconds, and programs one at each cut. In longer
stretches every reference frame is decoded, so that cuts are found to the frame; `MOST_DECODED` limits this,
and after it only key frames count. A frame after a cut is due, too.

So what is chosen depends on the file alone, not on the speed of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from faceindex.images.video_file import VideoFile, VideoFrame, converted
from faceindex.types import F32, U8

if TYPE_CHECKING:
    import av

__all__ = ["MOST_DECODED", "Sampled", "Signature", "sample"]

MOST_DECODED = 30_000
"""Frames that are decoded between key frames: 20 minutes at 25 frames a second."""

_EARLY = 0.1  # of the interval: a key frame that comes so much too early is taken
_NEAR = 0.25  # of the interval: frames are never closer, whatever is cut
_SETTLED = 80  # milliseconds after a cut: fades and fields of the scene before are over
_MOST_WAITING = 48 << 20  # bytes of packets that wait until it is known whether they are needed
_GRID = 16  # blocks of a signature along each side
_STEPS = 64  # pixels along each side, of which the brightness is counted
_BINS = 32
_SAME = 0.1  # difference in brightness below which no scene has begun: two scenes are hardly ever so alike
_FLAT = 6.0  # standard deviation of the blocks of a frame without structure, such as black with noise
_CUT = 0.45  # of 1; see `Signature.distance`


@dataclass(frozen=True, slots=True)
class Sampled:
    """A chosen frame.

    Attributes
    ----------
    frame : VideoFrame
    cut : bool
        Whether another scene has begun since the frame before.
    """

    frame: VideoFrame
    cut: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """What a frame looks like from far away.

    Attributes
    ----------
    counts : (32,) float32
        Share of the pixels by brightness.
    grid : (256,) float32
        Brightness of blocks, of mean 0 and length 1; 0 for a frame that is nearly uniform.
    """

    counts: F32
    grid: F32

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Signature:
        """Compute the signature of a frame."""
        grey = _brightness(frame)
        counts = np.bincount(grey.ravel() >> 3, minlength=_BINS).astype(np.float32)
        step = max(1, min(grey.shape) // _GRID)
        grid = grey[: step * _GRID, : step * _GRID].astype(np.float32)
        if min(grid.shape) < _GRID:
            grid = np.resize(grid, (_GRID, _GRID))
        grid = grid.reshape(_GRID, grid.shape[0] // _GRID, _GRID, -1).mean(axis=(1, 3)).ravel()
        grid -= grid.mean()
        length = float(np.linalg.norm(grid))
        is_flat = length < _FLAT * _GRID
        return cls(counts / counts.sum(), np.zeros_like(grid) if is_flat else grid / length)

    def distance(self, other: Signature) -> float:
        """Return how different two frames are, 0 to 1: both in brightness and in where it is.

        The mean of two distances: of the counts (half their difference), and of the grids (half of 1 minus
        their correlation, at most 1).
        """
        counts = 0.5 * float(np.abs(self.counts - other.counts).sum())
        grids = min(1.0, 1.0 - float(self.grid @ other.grid))
        if counts < _SAME or not (self.grid.any() or other.grid.any()):
            grids = min(grids, counts)
        return 0.5 * (counts + grids)


def sample(video: VideoFile, interval: int, most: int) -> Iterator[Sampled | int]:
    """Yield chosen frames in the order of their times, and between them times that were reached.

    Parameters
    ----------
    video : VideoFile
        Just opened.
    interval : int
        Milliseconds between two frames, unless a scene begins. It doubles whenever `most` frames are chosen:
        a file need not state how long it is.
    most : int
    """
    chooser = _Chooser(interval, most)
    decoder = _Decoder(video)
    decoded = 0
    before: Signature | None = None
    reached = -1
    for frame in decoder.frames(chooser):
        milliseconds = video.milliseconds_of(frame.pts)
        if milliseconds is None or milliseconds <= reached:
            continue
        reached = milliseconds
        decoded += decoder.continuous
        if decoded > MOST_DECODED:
            decoder.only_keys = True
        signature = Signature.of(frame)
        is_cut = before is not None and signature.distance(before) > _CUT
        before = signature
        if (choice := chooser.choose(milliseconds, is_cut, decoder.continuous)) is None:
            yield milliseconds
        else:
            yield Sampled(VideoFrame(milliseconds, frame), choice)


class _Chooser:
    """Decides which frames are due."""

    def __init__(self, interval: int, most: int) -> None:
        self.interval = interval
        self._most = most
        self._chosen = 0
        self.last = -(1 << 60)
        self._cut: int | None = None  # when the scene began, if no frame of it is chosen yet

    def choose(self, milliseconds: int, is_cut: bool, continuous: bool) -> bool | None:
        """Return whether a chosen frame is the first of a scene; None if the frame is not chosen."""
        if is_cut:
            self._cut = milliseconds
        since = milliseconds - self.last
        due = since >= self.interval * (1 if continuous else 1 - _EARLY)
        if self._cut is not None:
            settled = not continuous or milliseconds - self._cut >= _SETTLED
            due = due or since >= self.interval * _NEAR
            due = due and settled
        if not due:
            return None
        first, self._cut = self._cut is not None, None
        self.last = milliseconds
        self._chosen += 1
        if self._chosen >= self._most:
            self._chosen = self._most // 2
            self.interval *= 2
        return first


class _Decoder:
    """Decodes key frames, and what is between them where they are far apart."""

    def __init__(self, video: VideoFile) -> None:
        self._video = video
        self._context = video.stream.codec_context
        self._context.skip_frame = "NONREF"
        self.continuous = False
        """Whether every reference frame is decoded at present."""
        self.only_keys = False

    def frames(self, chooser: _Chooser) -> Iterator[av.VideoFrame]:
        """Yield decoded frames; damaged ones are left out."""
        waiting: list[Any] = []  # from a key frame on
        size = 0
        start = end = decoded_at = -(1 << 60)  # times of the key frame, the newest packet, the last decoded
        for packet in self._video.packets():
            time = self._video.milliseconds_of(packet.pts if packet.pts is not None else packet.dts)
            end = end if time is None else max(end, time)
            if packet.is_keyframe:
                if self.continuous and (self.only_keys or end - start < chooser.interval):
                    yield from self._drain()
                    self.continuous = False
                waiting, size = [packet], packet.size
                start = end if time is None else time
                if self.continuous:
                    yield from self._decode(packet)
                elif start >= decoded_at + chooser.interval * _NEAR:
                    decoded_at = start
                    yield from self._decode(packet)
                    yield from self._drain()
            elif self.continuous:
                yield from self._decode(packet)
            elif not self.only_keys and (waiting or decoded_at < 0):
                waiting.append(packet)
                size += packet.size
                if end >= chooser.last + chooser.interval or size > _MOST_WAITING:
                    self.continuous = True
                    for one in waiting:
                        yield from self._decode(one)
                    waiting, size = [], 0
        yield from self._drain()

    def _decode(self, packet: Any) -> Iterator[av.VideoFrame]:
        import av

        try:
            yield from self._context.decode(packet)
        except (av.FFmpegError, ValueError):
            return  # this packet is damaged

    def _drain(self) -> Iterator[av.VideoFrame]:
        yield from self._decode(None)
        self._context.flush_buffers()


def _brightness(frame: av.VideoFrame) -> U8:
    """Return 64 x 64 grey values of a frame, or fewer of a small one."""
    kind = frame.format
    parts = kind.components
    if kind.is_planar and not kind.is_rgb and parts[0].bits in (8, 10, 12) and kind.is_big_endian is False:
        plane: Any = frame.planes[0]
        wide = np.uint8 if parts[0].bits == 8 else np.uint16
        rows = np.frombuffer(plane, wide).reshape(plane.height, -1)[:, : plane.width]
        grey = rows[:: max(1, plane.height // _STEPS), :: max(1, plane.width // _STEPS)]
        result: U8 = (grey >> (parts[0].bits - 8)).astype(np.uint8)
        return result
    return converted(frame, _STEPS, _STEPS, "gray", "AREA")
