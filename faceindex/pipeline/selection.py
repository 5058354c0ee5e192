"""Which of the files that are there a run takes in, and how closely it looks at videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

__all__ = ["Selection", "select"]

LEAST_INTERVAL, MOST_INTERVAL = 0.04, 3600.0  # seconds; the first is every frame of most videos


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files a run takes in.

    Attributes
    ----------
    patterns : tuple of str
        Patterns of gitignore(5) for files and folders that are left out. Photos that match are gone.
    newer_than_ns : int or None
        Files that were modified before, in nanoseconds since 1970, are not read. They are not gone.
    all_versions : bool
        Take in every file of a shot: RAW files beside a JPEG or HEIC, and the clips of Live Photos.
    videos : bool
        Read videos; without PyAV they are only counted. Those that are indexed stay in any case.
    video_interval : float or None
        Seconds between the frames of a video that are searched for faces; None means
        `faceindex.pipeline.videos.VIDEO_INTERVAL`. Videos that are indexed are not read again.
    """

    patterns: tuple[str, ...] = ()
    newer_than_ns: int | None = None
    all_versions: bool = False
    videos: bool = True
    video_interval: float | None = None

    def is_too_old(self, mtime_ns: int) -> bool:
        """Return whether a file was modified too long ago to be read."""
        return self.newer_than_ns is not None and mtime_ns < self.newer_than_ns


def select(
    exclude_patterns: Sequence[str] = (),
    newer_than: str | datetime | timedelta | None = None,
    all_versions: bool = False,
    *,
    videos: bool = True,
    video_interval: float | None = None,
) -> Selection:
    """Return a selection, for example for `faceindex.FaceIndex.add`.

    Parameters
    ----------
    exclude_patterns : sequence of str
        As `Selection.patterns`.
    newer_than : str, datetime or timedelta, optional
        A date, a time, or how long ago, also as text: ``"2024-01-31"``, ``"7d"``, ``"12h"``.
    all_versions, videos, video_interval
        As in `Selection`.

    Raises
    ------
    UsageError
        If `newer_than` is neither a date nor a duration, or the interval is too short or too long.
    """
    if isinstance(exclude_patterns, str):
        exclude_patterns = [exclude_patterns]
    limit = None
    if newer_than is not None:
        from faceindex.pipeline.newer_than import parse_newer_than

        limit = parse_newer_than(newer_than)
    if video_interval is not None and not LEAST_INTERVAL <= video_interval <= MOST_INTERVAL:
        raise UsageError(
            f"`video_interval` is {video_interval:g}.",
            f"Choose {LEAST_INTERVAL:g} to {MOST_INTERVAL:g} seconds.",
        )
    return Selection(tuple(exclude_patterns), limit, all_versions, videos, video_interval)
