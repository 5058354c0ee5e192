"""Open a video with PyAV: its stream of pictures, its frames upright, and what identifies them.

Runs in the child process (`faceindex.images.video_child`): FFmpeg may crash or hang on a damaged file.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from faceindex.images.moments import MOST_MILLISECONDS, sniff_video
from faceindex.types import Image

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["MOST_PIXELS", "UnusableVideo", "VideoFile", "VideoFrame", "converted", "turn_upright"]

MOST_PIXELS = 8192 * 8192
"""Larger frames are refused: 8K has half as many pixels (7,680 x 4,320)."""

_BUFFER = 1 << 18  # bytes read at a time
_HEAD = 4096
_THREADS_UP_TO = 3840 * 2160  # each thread of frames holds one more frame
_MOST_BOXES = 10_000  # at the top level; fragmented files have two for some seconds
_EPOCH = datetime(1970, 1, 1)
_OLDEST = datetime(1971, 1, 1)  # cameras without a clock write 1904 or 1970
_SQUARE = 0.05  # ratios of pixels that differ less from 1 are left as they are
_SAMPLED = 3  # places in the file, besides its start, of which the packets identify it
_PACKETS = 64  # at each of them
_MOST_DAMAGED = 4  # places at which reading a file fails, before the rest is given up


class UnusableVideo(Exception):
    """A file has no pictures that can be decoded; the arguments are a `Reason` value and a text."""


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """A decoded frame.

    Attributes
    ----------
    milliseconds : int
        Time since the first frame.
    frame : av.VideoFrame
        As stored: not turned upright, in the colours of the codec.
    """

    milliseconds: int
    frame: av.VideoFrame


class VideoFile:
    """An open video; a context manager.

    Parameters
    ----------
    file : BinaryIO
        Read through Python, so that FFmpeg opens no other file that this one may name.
    threads : int
        Threads of the decoder.

    Raises
    ------
    UnusableVideo
    """

    def __init__(self, file: BinaryIO, threads: int) -> None:
        self._file = file
        self._threads = threads
        self.container, self.stream = self._open()
        self._start = self.stream.start_time or 0

    def _open(self) -> tuple[InputContainer, VideoStream]:
        import av

        self._file.seek(0)
        name = sniff_video(self._file.read(_HEAD))
        self._file.seek(0)
        if name is None:
            raise UnusableVideo("not an image", "it is no video of a known format.")
        try:
            # The name keeps FFmpeg from formats that lead to other files, such as playlists.
            container = av.open(self._file, "r", format=name, buffer_size=_BUFFER)
        except (av.FFmpegError, ValueError, OSError) as error:
            if name == "mov" and _is_cut_short(self._file):
                raise UnusableVideo("truncated", "it is not complete.") from error
            raise UnusableVideo("corrupt", f"the video cannot be opened ({_text(error)}).") from error
        streams = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not streams:
            container.close()
            raise UnusableVideo("not an image", "it has no pictures, only sound or data.")
        context = streams[0].codec_context
        if context is None:
            raise UnusableVideo("corrupt", "its pictures are coded in an unknown way.")
        width, height = context.width, context.height
        if width * height > MOST_PIXELS:
            raise UnusableVideo("too many pixels", f"its frames have {width} x {height} pixels.")
        context.thread_count = self._threads
        context.thread_type = "AUTO" if width * height <= _THREADS_UP_TO else "SLICE"
        return container, streams[0]

    def restart(self) -> None:
        """Open the file anew: a seek to the start leads some formats behind it."""
        self.container.close()
        self.container, self.stream = self._open()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.container.close()

    @property
    def milliseconds(self) -> int:
        """Playing time; 0 if the file does not state it."""
        if self.stream.duration is not None and self.stream.time_base is not None:
            seconds = float(self.stream.duration * self.stream.time_base)
        elif self.container.duration is not None:
            seconds = self.container.duration / 1_000_000
        else:
            return 0
        return int(min(max(seconds, 0.0) * 1000, MOST_MILLISECONDS))

    @property
    def taken(self) -> int | None:
        """When the recording began, as `faceindex.images.Picture.taken`; None if the file does not state it.

        Apple's tag has the local time; the time of other files is in UTC.
        """
        for metadata in (self.container.metadata, self.stream.metadata):
            for key in ("com.apple.quicktime.creationdate", "creation_time", "DATE_RECORDED"):
                try:
                    found = datetime.fromisoformat(metadata.get(key, "")[:19])
                except ValueError:
                    continue
                if found >= _OLDEST:
                    return int((found - _EPOCH).total_seconds())
        return None

    def milliseconds_of(self, timestamp: int | None) -> int | None:
        """Return the time of a timestamp of the stream since its first frame; None if it does not count."""
        if timestamp is None or self.stream.time_base is None:
            return None
        found = round((timestamp - self._start) * self.stream.time_base * 1000)
        return int(found) if 0 <= found <= MOST_MILLISECONDS else None

    def packets(self) -> Iterator[Any]:
        """Yield the packets of the stream that have data, in the order of the file.

        A damaged place ends the iteration of FFmpeg with an error; what follows it is tried, too.
        """
        import av

        for _ in range(_MOST_DAMAGED):
            with contextlib.suppress(av.FFmpegError, OSError):
                for packet in self.container.demux(self.stream):
                    if packet.size:
                        yield packet
                return

    def seek(self, milliseconds: int) -> None:
        """Go to the last key frame at or before a time."""
        assert self.stream.time_base is not None
        timestamp = int(milliseconds / 1000 / self.stream.time_base) + self._start
        self.container.seek(timestamp, stream=self.stream, backward=True, any_frame=False)
        self.stream.codec_context.flush_buffers()

    def identity(self) -> bytes:
        """Compute what identifies the pictures of the video, without decoding: 16 bytes.

        It covers packets at some places of the video, and the playing time; tags do not count.
        """
        import av

        digest = hashlib.blake2b(b"faceindex video 1", digest_size=16)
        digest.update(f"{self.stream.codec_context.name} {self.milliseconds}".encode())
        for place in range(_SAMPLED + 1):
            try:
                if place:
                    self.seek(self.milliseconds * place // (_SAMPLED + 1))
            except (av.FFmpegError, OSError):
                continue
            for number, packet in enumerate(self.packets()):
                digest.update(bytes(packet))
                if number >= _PACKETS:
                    break
        return digest.digest()

    def shown_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Return width and height of a frame with square pixels, before it is turned upright."""
        ratio = float(self.stream.sample_aspect_ratio or 1)
        if abs(ratio - 1) <= _SQUARE or not 1 / 8 <= ratio <= 8:
            return frame.width, frame.height
        return max(1, round(frame.width * ratio)), frame.height

    def upright(self, frame: av.VideoFrame, most: int | None = None) -> Image:
        """Convert a frame to RGB, with square pixels, turned upright.

        Parameters
        ----------
        frame : av.VideoFrame
        most : int, optional
            The longer side in pixels; None means full size.

        Returns
        -------
        (h, w, 3) uint8
        """
        width, height = self.shown_size(frame)
        if width * height > MOST_PIXELS:
            raise UnusableVideo("too many pixels", f"a frame has {width} x {height} pixels.")
        if most is not None and max(width, height) > most:
            scale = most / max(width, height)
            width, height = max(1, round(width * scale)), max(1, round(height * scale))
        interpolation = "AREA" if width < frame.width else "BICUBIC"
        pixels = converted(frame, width, height, "rgb24", interpolation)
        if frame.interlaced_frame and height == frame.height:
            pixels = _one_field(pixels)
        return turn_upright(pixels, _matrix(frame))


@cache
def _reformatter() -> Any:
    """Return the converter of this process: one that belongs to a frame starts threads of its own."""
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()


def converted(frame: av.VideoFrame, width: int, height: int, kind: str, interpolation: str) -> Image:
    """Convert a frame to an array of another size and format, named as by FFmpeg.

    Returns
    -------
    (h, w, 3) uint8, or (h, w) uint8 of grey values
    """
    pixels: Image = (
        _reformatter().reformat(frame, width, height, kind, interpolation=interpolation).to_ndarray()
    )
    return pixels


def turn_upright(pixels: Image, matrix: tuple[int, int, int, int]) -> Image:
    """Turn and mirror a frame as its display matrix demands, in steps of 90 degrees.

    Parameters
    ----------
    pixels : (h, w, 3) uint8
    matrix : (int, int, int, int)
        a, b, c, d of ISO/IEC 14496-12, section 8.2.2: a pixel at (x, y) is shown at (ax + cy, bx + dy).

    Returns
    -------
    (h, w, 3) uint8
        C-contiguous.
    """
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels = pixels.transpose(1, 0, 2)
        x, y = c, b
    else:
        x, y = a, d
    return np.ascontiguousarray(pixels[:: -1 if y < 0 else 1, :: -1 if x < 0 else 1])


def _matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), "<i4").tolist()
    return a, b, c, d


def _one_field(pixels: Image) -> Image:
    """Keep every second row of an interlaced frame, and interpolate the others: what moves has no comb."""
    field = pixels[::2]
    below = np.concatenate([field[1:], field[-1:]])
    result: Image = pixels.copy()
    between = (field.astype(np.uint16) + below) // 2
    result[1::2] = between[: len(result) // 2]
    return result


def _is_cover(stream: VideoStream) -> bool:
    """Return whether a stream is the cover of a film or a song."""
    try:
        return bool(stream.disposition & type(stream.disposition).attached_pic)
    except AttributeError:
        return False


def _text(error: Exception) -> str:
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())


def _is_cut_short(file: BinaryIO) -> bool:
    """Return whether a file ends before its last box does, or has no box ``moov`` (ISO/IEC 14496-12, 4.2)."""
    size, place, has_index = file.seek(0, 2), 0, False
    for _ in range(_MOST_BOXES):
        if place + 8 > size:
            break
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        has_index |= head[4:8] == b"moov"
        place = size if length == 0 else place + max(length, 8)
    return place > size or not has_index
