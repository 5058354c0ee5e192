"""Read single moments of videos, in one process for all of this program."""

from __future__ import annotations

import atexit
import threading
from os import PathLike

from faceindex.errors import ImageError, Reason
from faceindex.images.moments import FrameBytes, videos_are_readable
from faceindex.images.video_process import VideoAbout, VideoProcess

__all__ = ["check_readable", "read_moment", "read_video"]

_shared: VideoProcess | None = None
_sharing = threading.Lock()


def _reader() -> VideoProcess:
    global _shared
    with _sharing:
        if _shared is None:
            _shared = VideoProcess()
            atexit.register(_shared.close)
        return _shared


def read_moment(path: str | PathLike[str], milliseconds: int) -> FrameBytes:
    """Decode one frame of a video, in a process that stays for the next one; parameters as in `VideoProcess`.

    Raises
    ------
    ImageError
        Also if PyAV is not installed.
    """
    check_readable(path)
    return _reader().moment(path, milliseconds)


def read_video(path: str | PathLike[str]) -> VideoAbout:
    """Return what a video says of itself; as `read_moment`."""
    check_readable(path)
    return _reader().about(path)


def check_readable(path: str | PathLike[str]) -> None:
    """Raise the error for a video if PyAV is not installed."""
    if not videos_are_readable():
        raise ImageError(
            path,
            Reason.VIDEO,
            "a video, which needs an extra that is not installed.",
            "Install it with `pip install 'faceindex[video]'`, or leave the video out.",
        )
