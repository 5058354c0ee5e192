"""Decode videos in a child process, and end it if it hangs, dies or takes too much memory.

`faceindex.images.video_child` is the other side. The child lives until its `VideoProcess` is closed; a new
one is started after each that died.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from faceindex.cores import cores
from faceindex.errors import ImageError, Reason
from faceindex.images.children import end_child, start_child
from faceindex.images.limits import decode_limit, format_bytes, limit_is_raised, physical_memory
from faceindex.images.moments import FrameBytes, duration_text
from faceindex.types import Image

__all__ = [
    "MOST_SECONDS",
    "SAMPLE_SIDE",
    "STALL_SECONDS",
    "VideoAbout",
    "VideoProcess",
    "VideoSample",
]

STALL_SECONDS = 30.0
"""How long the child may take from one frame to the next. The largest frames (8K) take less than a second."""

MOST_SECONDS = 4 * 3600.0
"""How long the child may work on one video: a file can be made to have frames without end."""

SAMPLE_SIDE = 1280
"""Pixels of the longer side of frames that are searched for faces. Those that are stored have all pixels."""

_CHECK_SECONDS = 0.2
_AHEAD = 4  # frames that wait for the networks, besides those in the pipe
_MOST_LINE = 1 << 16  # bytes of an answer
_MOST_BYTES = 1 << 30
_MODULE = "faceindex.images.video_child"
_PAGE = 4096

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class VideoAbout:
    """What a video says of itself.

    Attributes
    ----------
    identity : bytes
        16 bytes that its pictures and its playing time decide, whatever its tags.
    milliseconds : int
        Playing time; 0 if it is not stated.
    width, height : int
        Of its frames, as stored.
    taken : int or None
        As in `faceindex.images.Picture`.
    """

    identity: bytes
    milliseconds: int
    width: int
    height: int
    taken: int | None


@dataclass(frozen=True, slots=True)
class VideoSample:
    """A frame to search for faces.

    Attributes
    ----------
    milliseconds : int
    is_cut : bool
        Whether another scene has begun since the sample before.
    image : (h, w, 3) uint8
        RGB, upright, at most `SAMPLE_SIDE` pixels on its longer side.
    """

    milliseconds: int
    is_cut: bool
    image: Image


class VideoProcess:
    """A process that decodes videos; a context manager. One request at a time: others wait.

    Parameters
    ----------
    threads : int, optional
        Threads of the decoder; None means one for each core.
    command : sequence of str, optional
        The program and its arguments; for tests.
    stall_seconds : float
        See `STALL_SECONDS`.
    """

    def __init__(
        self,
        threads: int | None = None,
        *,
        command: Sequence[str] | None = None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._threads = threads or cores()
        self._command = command
        self._stall = stall_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[tuple[dict[str, Any], bytes] | None] = queue.Queue(_AHEAD)
        self._one = threading.RLock()

    def __enter__(self) -> VideoProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        with self._one:
            self._end()

    def about(self, path: str | PathLike[str]) -> VideoAbout:
        """Open a video, and decode nothing.

        Raises
        ------
        ImageError
        """
        answers = list(self._ask(path, {"do": "about"}))
        if len(answers) != 1:
            raise _broken(path, "its decoder gave no answer")
        return _checked(path, lambda: _about(answers[0][0]))

    def moment(self, path: str | PathLike[str], milliseconds: int) -> FrameBytes:
        """Decode one frame at full size.

        Raises
        ------
        ImageError
            ``CHANGED`` if there is no frame at this time, and as `sample`.
        """
        answers = list(self._ask(path, {"do": "moment", "time": milliseconds}))
        if len(answers) != 1:
            raise _broken(path, "its decoder gave no frame")

        def frame() -> FrameBytes:
            answer, pixels = answers[0]
            identity = bytes.fromhex(answer["identity"])
            return FrameBytes.of(_image(answer, pixels), identity, _optional(answer["taken"]), milliseconds)

        return _checked(path, frame)

    def sample(
        self,
        path: str | PathLike[str],
        interval: float,
        most: int,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[VideoAbout | VideoSample, None, None]:
        """Yield what the video says of itself, and then the chosen frames.

        Closing the iterator early ends the process; so does `should_stop`.

        Parameters
        ----------
        path : path-like
        interval : float
            Seconds from one frame to the next.
        most : int
            Frames, about; see `faceindex.images.video_samples.sample`.
        should_stop : callable

        Raises
        ------
        ImageError
            ``TOO_SLOW`` if no frame came for `STALL_SECONDS`, ``MEMORY``, or what is wrong with the file.
        """
        request = {
            "do": "sample",
            "interval": max(1, round(interval * 1000)),
            "most": most,
            "side": SAMPLE_SIDE,
        }
        for answer, pixels in self._ask(path, request, should_stop):
            if "identity" in answer:
                yield _checked(path, partial(_about, answer))
            else:
                yield _checked(path, partial(_sample, answer, pixels))

    def _ask(
        self,
        path: str | PathLike[str],
        request: dict[str, Any],
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[tuple[dict[str, Any], bytes], None, None]:
        with self._one:
            finished = False
            try:
                self._send(path, {**request, "path": os.fsencode(path).hex(), "threads": self._threads})
                began = heard = time.monotonic()
                place = 0
                while True:
                    now = time.monotonic()
                    if now - heard > self._stall or now - began > MOST_SECONDS:
                        raise self._too_slow(path, place, now - began)
                    try:
                        found = self._answers.get(timeout=_CHECK_SECONDS)
                    except queue.Empty:
                        if should_stop():
                            return
                        self._check_memory(path)
                        continue
                    if found is None:
                        raise self._died(path, place)
                    answer, data = found
                    if answer.get("end"):
                        error = _refused(path, answer) if "reason" in answer else None
                        finished = True
                        if error is not None:
                            raise error
                        return
                    at = _checked(path, partial(_place, answer, place))
                    if at > place or "reached" not in answer:
                        heard, place = time.monotonic(), max(at, place)
                    if "reached" not in answer:
                        yield answer, data
                        heard = time.monotonic()  # what the networks took does not count
            finally:
                if not finished:
                    self._end()

    def _send(self, path: str | PathLike[str], request: dict[str, Any]) -> None:
        """Send a request; if the process has ended meanwhile, to a new one."""
        line = json.dumps(request).encode("ascii") + b"\n"
        with contextlib.suppress(OSError):
            self._write(line)
            return
        self._end()
        try:
            self._write(line)
        except OSError as error:
            raise ImageError(
                path,
                Reason.FAILED,
                f"no process can be started to decode it ({error.strerror or error}).",
                "Close other programs, and run the command again.",
            ) from error

    def _write(self, line: bytes) -> None:
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(line)
        process.stdin.flush()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = start_child(
                _MODULE,
                str(decode_limit()),
                command=self._command,
                environment={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
            assert self._process.stdout is not None
            self._answers = queue.Queue(_AHEAD)
            threading.Thread(
                target=_pass_answers, args=(self._process.stdout, self._answers), daemon=True
            ).start()
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end_child(process, self._drop_answers)

    def _drop_answers(self) -> None:
        """Empty the queue, so that the thread that fills it comes to its end."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._answers.get_nowait()

    def _check_memory(self, path: str | PathLike[str]) -> None:
        """End a process that takes more than the limit: not every system can limit it from inside."""
        assert self._process is not None
        try:
            text = Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii")
            used = int(text.split()[1]) * _PAGE
        except (OSError, ValueError, IndexError):
            return
        if used > 2 * decode_limit():
            raise _too_much_memory(path)

    def _too_slow(self, path: str | PathLike[str], place: int, seconds: float) -> ImageError:
        how = f"it gave no frame for {self._stall:.0f} seconds"
        if seconds > MOST_SECONDS:
            how = f"it took more than {MOST_SECONDS / 3600:.0f} hours"
        return ImageError(
            path,
            Reason.TOO_SLOW,
            f"its decoder was ended at {duration_text(place)}: {how}.",
            "Copy it again from its source, or convert it; `retry_failed=True` tries it again.",
        )

    def _died(self, path: str | PathLike[str], place: int) -> ImageError:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        code = self._process.poll()
        if code is not None and -code == 9 and physical_memory() is not None:
            return _too_much_memory(path)  # nobody else kills it so
        how = (
            "with an unknown cause"
            if code is None
            else f"signal {-code}"
            if code < 0
            else f"exit code {code}"
        )
        return ImageError(
            path,
            Reason.CORRUPT,
            f"its decoder died at {duration_text(place)} ({how}).",
            "Copy it again from its source, or convert it; `retry_failed=True` tries it again.",
        )


def _pass_answers(stream: IO[bytes], answers: queue.Queue[tuple[dict[str, Any], bytes] | None]) -> None:
    """Pass answers on, and None at the end."""
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        while (line := stream.readline(_MOST_LINE)).endswith(b"\n"):
            answer = json.loads(line)
            size = int(answer.get("bytes", 0))
            if not 0 <= size <= _MOST_BYTES or len(data := stream.read(size)) < size:
                break
            answers.put((answer, data))
    answers.put(None)


def _checked(path: str | PathLike[str], read: Callable[[], _Value]) -> _Value:
    """Read an answer; the process may have been taken over by the video, so that nothing in it is sure."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _broken(path, f"its decoder gave a wrong answer ({error})") from error


def _place(answer: dict[str, Any], before: int) -> int:
    return int(answer.get("reached", answer.get("time", before)))


def _about(answer: dict[str, Any]) -> VideoAbout:
    width, height = answer["frame"]
    return VideoAbout(
        bytes.fromhex(answer["identity"]),
        int(answer["milliseconds"]),
        int(width),
        int(height),
        _optional(answer["taken"]),
    )


def _sample(answer: dict[str, Any], pixels: bytes) -> VideoSample:
    return VideoSample(int(answer["time"]), bool(answer["cut"]), _image(answer, pixels))


def _image(answer: dict[str, Any], pixels: bytes) -> Image:
    width, height = map(int, answer["size"])
    if width < 1 or height < 1 or width * height * 3 != len(pixels):
        raise ValueError("the size of a frame")
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def _optional(value: Any) -> int | None:
    return None if value is None else int(value)


def _refused(path: str | PathLike[str], answer: dict[str, Any]) -> ImageError:
    reason = _checked(path, lambda: Reason(answer["reason"]))
    if reason is Reason.MEMORY:
        return _too_much_memory(path)
    remedy = {
        Reason.CHANGED: "Run `faceindex index` on its folder, then this command again.",
        Reason.TOO_LARGE: "Make a smaller copy, or leave it out.",
        Reason.NOT_AN_IMAGE: "Leave it out.",
    }.get(reason, "Copy it again from its source, or convert it.")
    return ImageError(path, reason, str(answer.get("detail", "it cannot be decoded.")), remedy)


def _broken(path: str | PathLike[str], what: str) -> ImageError:
    return ImageError(path, Reason.CORRUPT, f"{what}.", "Copy it again from its source, or convert it.")


def _too_much_memory(path: str | PathLike[str]) -> ImageError:
    more = "" if limit_is_raised() else ", or pass a larger `max_memory`"
    return ImageError(
        path,
        Reason.MEMORY,
        f"decoding it takes more than {format_bytes(decode_limit())} of memory.",
        f"Make a smaller copy{more}.",
    )
