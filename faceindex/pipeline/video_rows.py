"""The rows of videos in the index, and those of their moments, which share the fate of their video.

A walk finds the files of videos, not their moments. So the moments are taken out of what is compared with it,
and are carried along: a video that moves takes them with it, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from faceindex.errors import Reason
from faceindex.images.moments import VIDEO_SUFFIXES, split_moment
from faceindex.store import PhotoRecord, Status

__all__ = ["NEITHER", "Moments", "is_left_out", "may_be_video", "take_moments"]

NEITHER = "neither an image nor a video of a known format."
"""The ``detail`` of a file that is neither; before videos were read, `_BEFORE`."""

_BEFORE = ("not an image of a known format.", "the file is empty.")

_Key = tuple[str, str]


@dataclass(slots=True)
class Moments:
    """The moments of the videos of an index.

    Attributes
    ----------
    live : dict of int to list of PhotoRecord
        By the id of their video.
    away : dict of int to list of PhotoRecord
        Of videos that are away, likewise.
    """

    live: dict[int, list[PhotoRecord]] = field(default_factory=dict)
    away: dict[int, list[PhotoRecord]] = field(default_factory=dict)

    def of(self, videos: Iterable[int]) -> list[int]:
        """Return the ids of the moments of videos."""
        return [moment.id for video in videos for moment in self.live.get(video, ())]

    def take_away(self, records: Sequence[PhotoRecord]) -> list[PhotoRecord]:
        """Keep the moments among photos that are away; return the others.

        A video may be away more than once, in several versions. Moments have the size and the time of theirs.
        """
        videos = {
            (record.root_id, record.relpath, record.size, record.mtime_ns): record.id
            for record in records
            if record.video_milliseconds is not None
        }
        if not videos:
            return list(records)
        rest = []
        for record in records:
            found = split_moment(record.relpath) if ":" in record.relpath else None
            video = found and videos.get((record.root_id, found[0], record.size, record.mtime_ns))
            if video is None:
                rest.append(record)
            else:
                self.away.setdefault(video, []).append(record)
        return rest


def take_moments(known: dict[_Key, PhotoRecord]) -> Moments:
    """Take the moments of videos out of the indexed photos, given by root and relative path."""
    moments = Moments()
    for key in [key for key in known if ":" in key[1]]:
        found = split_moment(key[1])
        if found is None:
            continue
        video = known.get((key[0], found[0]))
        if video is not None:
            moments.live.setdefault(video.id, []).append(known.pop(key))
    return moments


def is_left_out(record: PhotoRecord) -> bool:
    """Return whether a file is a video that was not read, because that was not possible or not wanted."""
    return record.status is Status.IGNORED and record.reason == Reason.VIDEO.value


def may_be_video(record: PhotoRecord) -> bool:
    """Return whether a file that is no photo may be a video that was not read, and can be now."""
    if record.status is not Status.IGNORED:
        return False
    if is_left_out(record):
        return True
    return record.detail in _BEFORE and PurePath(record.relpath).suffix.lower() in VIDEO_SUFFIXES
