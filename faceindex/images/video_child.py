"""Decode videos in a process of its own, which may die of them: ``python -m faceindex.images.video_child``.

Requests come on standard input, one JSON object a line:

- ``{"do": "sample", "path": HEX, "interval": MS, "most": N, "side": PIXELS, "threads": N}``
- ``{"do": "moment", "path": HEX, "time": MS, "threads": N}``
- ``{"do": "about", "path": HEX, "threads": N}``

Each answer is a JSON object in a line, followed by as many bytes as its ``bytes`` says. An object with
``"end": true`` is the last of a request. ``"reached"`` is a time in the video: it grows as long as there is
progress. `faceindex.images.video_process` is the other side.

The arguments are the bytes of memory that the process may take besides what it has mapped at its start.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceindex.images.video_file import VideoFile
    from faceindex.images.video_moment import MomentFinder
    from faceindex.types import Image

__all__ = ["main"]

_SLACK = 256 << 20  # threads' stacks and heaps, which are mapped, but hardly used
_REPORT_SECONDS = 1.0

_Answer = tuple[dict[str, Any], "Image | None"]


def main() -> None:
    """Answer every request on standard input."""
    import av
    import numpy as np  # noqa: F401 - before the address space is limited

    av.logging.set_level(None)
    _prepare(int(sys.argv[1]))
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    out = sys.stdout.buffer
    while True:
        _answer(json.loads(requests.get()), out)


def _read_requests(requests: queue.SimpleQueue[str]) -> None:
    """Pass requests on; at their end, end the process, whatever a decoder does."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _answer(request: dict[str, Any], out: Any) -> None:
    from faceindex.errors import ImageError
    from faceindex.images.video_file import UnusableVideo

    def send(about: dict[str, Any], pixels: Image | None = None) -> None:
        try:
            out.write(json.dumps({**about, "bytes": 0 if pixels is None else pixels.nbytes}).encode() + b"\n")
            if pixels is not None:
                out.write(pixels.data)
            out.flush()
        except OSError:  # nobody listens
            os._exit(0)

    reported = 0.0

    def reached(milliseconds: int) -> None:
        nonlocal reported
        if time.monotonic() - reported > _REPORT_SECONDS:
            reported = time.monotonic()
            send({"reached": milliseconds})

    try:
        _work(request, send, reached)
        send({"end": True})
    except UnusableVideo as error:
        send({"end": True, "reason": error.args[0], "detail": error.args[1]})
    except ImageError as error:
        send({"end": True, "reason": error.reason.value, "detail": error.detail})
    except MemoryError:
        send({"end": True, "reason": "needs too much memory", "detail": "decoding it takes too much memory."})
    except OSError as error:
        text = error.strerror or str(error)
        if "memory" in text.lower():
            send(
                {
                    "end": True,
                    "reason": "needs too much memory",
                    "detail": "decoding it takes too much memory.",
                }
            )
        else:
            send({"end": True, "reason": "input/output error", "detail": f"it cannot be read ({text})."})
    except Exception as error:  # of any kind, as FFmpeg and PyAV raise them
        text = " ".join(str(error).split()) or type(error).__name__
        send({"end": True, "reason": "corrupt", "detail": f"the video cannot be decoded ({text})."})


class _Kept:
    """The video of the last moment, open: the next one may be near."""

    def __init__(self) -> None:
        self._key: object = None
        self._open = contextlib.ExitStack()
        self._finder: MomentFinder | None = None
        self._video: VideoFile | None = None

    def close(self) -> None:
        self._open.close()
        self._key = self._finder = self._video = None

    def get(self, path: str, threads: int) -> tuple[VideoFile, MomentFinder]:
        from faceindex.images.opening import open_photo
        from faceindex.images.video_file import VideoFile
        from faceindex.images.video_moment import MomentFinder

        found = os.stat(path)  # noqa: PTH116
        key = (path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if key != self._key or self._video is None or self._finder is None:
            self.close()
            file = self._open.enter_context(open_photo(path))
            self._video = self._open.enter_context(VideoFile(file, threads))
            self._finder = MomentFinder(self._video)
            self._key = key
        return self._video, self._finder


_kept = _Kept()


def _work(request: dict[str, Any], send: Any, reached: Any) -> None:
    from faceindex.images.opening import open_photo
    from faceindex.images.video_file import VideoFile
    from faceindex.images.video_samples import Sampled, sample

    path, threads = os.fsdecode(bytes.fromhex(request["path"])), int(request["threads"])
    if request["do"] == "moment":
        try:
            video, finder = _kept.get(path, threads)
            frame, identity = finder.find(int(request["time"]), reached)
            pixels = video.upright(frame)
        except BaseException:
            _kept.close()
            raise
        send({"size": _size(pixels), "identity": identity.hex(), "taken": video.taken}, pixels)
        return
    _kept.close()
    with open_photo(path) as file, VideoFile(file, threads) as video:
        send(_about(video))
        if request["do"] == "about":
            return
        video.restart()
        for found in sample(video, int(request["interval"]), int(request["most"])):
            if not isinstance(found, Sampled):
                reached(found)
                continue
            pixels = video.upright(found.frame.frame, int(request["side"]))
            send({"time": found.frame.milliseconds, "cut": found.cut, "size": _size(pixels)}, pixels)


def _about(video: VideoFile) -> dict[str, Any]:
    identity = video.identity().hex()
    return {
        "identity": identity,
        "taken": video.taken,
        "milliseconds": video.milliseconds,
        "frame": [video.stream.codec_context.width, video.stream.codec_context.height],
    }


def _size(pixels: Image) -> list[int]:
    return [pixels.shape[1], pixels.shape[0]]


def _prepare(limit: int) -> None:
    """Limit the memory of this process, and let the kernel end it before any other."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with contextlib.suppress(OSError, AttributeError):
        os.nice(1)
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError, ValueError):
        return  # not Linux: the process that started this one watches its memory
    most = pages * resource.getpagesize() + limit + _SLACK
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


if __name__ == "__main__":
    main()
