"""Small videos for tests, written with PyAV: a colour is a person, as for the fake models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceindex.types import Image

__all__ = ["RATE", "frame_of", "scenes", "write_video"]

RATE = 10  # frames a second
_SIZE = (64, 48)
_CLOCK = 1000
_PIXELS = {"libx264rgb": "rgb24", "ffv1": "bgr0", "mjpeg": "yuvj420p"}


def frame_of(colour: Sequence[int], number: int = 0, size: tuple[int, int] = _SIZE) -> Image:
    """Return a frame (h, w, 3) uint8 of one colour; a few pixels at its corner show its number."""
    frame = np.empty((size[1], size[0], 3), np.uint8)
    frame[:] = colour
    if any(colour):  # a black frame shows nobody to the fake detector
        frame[:4, :4] = (number % 7 * 32, number % 5 * 48, number % 3 * 80)
    return frame


def scenes(*parts: tuple[Sequence[int], float]) -> list[Image]:
    """Return the frames of scenes, each a colour and seconds."""
    frames: list[Image] = []
    for colour, seconds in parts:
        frames += [frame_of(colour, len(frames) + i) for i in range(round(seconds * RATE))]
    return frames


def write_video(
    path: Path,
    frames: Iterable[Image],
    *,
    codec: str = "libx264rgb",
    keys: int = 12,
    times: Sequence[float] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a video; ``libx264rgb`` and ``ffv1`` keep the colours exactly.

    Parameters
    ----------
    path : Path
    frames : iterable of (h, w, 3) uint8
    codec : str
    keys : int
        Frames from one key frame to the next, at most.
    times : sequence of float, optional
        Seconds of the frames; None means `RATE` a second.
    metadata : dict, optional
        Tags of the file.
    """
    import av

    exact = {"libx264rgb": {"qp": "0", "preset": "ultrafast"}}
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = None
        for number, pixels in enumerate(frames):
            if stream is None:
                stream = container.add_stream(codec, rate=RATE, options=exact.get(codec, {}))
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = {"libx264rgb": "rgb24", "ffv1": "bgr0", "mjpeg": "yuvj420p"}.get(
                    codec, "yuv420p"
                )
                stream.codec_context.gop_size = keys
                stream.codec_context.time_base = Fraction(1, _CLOCK if codec != "mpeg4" else RATE)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            seconds = number / RATE if times is None else times[number]
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(seconds / frame.time_base)
            container.mux(stream.encode(frame))
        assert stream is not None
        container.mux(stream.encode(None))
    return path
