"""Photos that cannot be read because a program is still writing them: they are left for the next run.

A photo that can be read is indexed at once, however new it is. If it was written to meanwhile, the next run
finds another size or time. So only photos that fail are examined:

- Their size or time is not that of the walk any more.
- On Linux, a lease shows whether a program has the file open for writing (``F_SETLEASE`` in fcntl(2)).
- Where a file can have no lease (network disks, files of another user), it counts as unfinished if it was
  modified in the last seconds. Other systems than Linux have no leases at all; there, the first sign must do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from faceindex import paths
from faceindex.errors import Reason
from faceindex.images.containers import locate
from faceindex.images.listing import limited_time
from faceindex.locks import is_open_for_writing

if TYPE_CHECKING:
    from faceindex.pipeline.plan import Task

__all__ = ["RECENT_SECONDS", "UNFINISHED", "is_being_written"]

UNFINISHED = frozenset({Reason.TRUNCATED, Reason.CORRUPT, Reason.EMPTY, Reason.NOT_AN_IMAGE, Reason.ARCHIVE})
"""Reasons for which a photo may fail because it is not complete."""

RECENT_SECONDS = 10.0


def is_being_written(task: Task) -> bool:
    """Return whether the file of a photo, or the archive that it is in, seems to be written just now."""
    path = task.name
    inside = locate(path)
    try:
        found = paths.stat(path if inside is None else inside.container)
        changed = (found.st_size, limited_time(found.st_mtime_ns)) != (task.size, task.mtime_ns)
        if inside is None and changed:
            return True
        open_for_writing = is_open_for_writing(path if inside is None else inside.container)
    except (OSError, ValueError):
        return False
    if open_for_writing is not None:
        return open_for_writing
    return 0 <= time.time() - found.st_mtime < RECENT_SECONDS
