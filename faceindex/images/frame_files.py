"""The moments of videos as files; see `faceindex.images.containers`."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from faceindex.errors import ImageError
from faceindex.images.containers import Inside
from faceindex.images.moments import FrameBytes, split_moment

__all__ = ["MOMENTS", "FrameFile"]


class FrameFile(io.BytesIO):
    """A frame as an open file.

    Attributes
    ----------
    frame : FrameBytes
    """

    def __init__(self, frame: FrameBytes) -> None:
        super().__init__(frame)
        self.frame = frame


class _Moments:
    """Opens moments; see `faceindex.images.containers.Kind`."""

    def open(self, inside: Inside) -> BinaryIO:
        from faceindex.images.video_reading import read_moment

        _, milliseconds = split_moment(inside.path) or ("", 0)
        try:
            return FrameFile(read_moment(inside.container, milliseconds))
        except ImageError as error:
            raise ImageError(inside.path, error.reason, error.detail, error.remedy) from error

    def size_and_time(self, inside: Inside, container: os.stat_result) -> tuple[int, int]:
        return container.st_size, container.st_mtime_ns


MOMENTS = _Moments()
"""The `faceindex.images.containers.Kind` of videos. A moment has the size and the time of its video."""
