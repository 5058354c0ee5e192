"""Count files of an index as the summary of a run does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from faceindex.errors import Reason
from faceindex.pipeline.video_rows import is_left_out
from faceindex.store import PhotoRecord, ScanCounts, Status

__all__ = ["count_photos", "count_records"]


def count_photos(records: Collection[PhotoRecord]) -> int:
    """Count records as `faceindex.pipeline.Summary` does: unreadable photos too, ignored files not."""
    return sum(record.status is not Status.IGNORED for record in records)


def count_records(records: Sequence[PhotoRecord]) -> ScanCounts:
    """Count files that need not be opened."""
    by_status = Counter(record.status for record in records)
    return ScanCounts(
        photos=by_status[Status.OK],
        ignored=by_status[Status.IGNORED],
        companions={"video": number} if (number := sum(map(is_left_out, records))) else {},
        unreadable=Counter(
            record.reason or Reason.CORRUPT.value for record in records if record.status is Status.UNREADABLE
        ),
    )
