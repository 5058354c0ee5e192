"""The rows of files that could not be read, or are not photos."""

from __future__ import annotations

from collections.abc import Mapping

from faceindex.errors import Reason
from faceindex.pipeline.plan import Task
from faceindex.store import NewPhoto, Status

__all__ = ["unread_photo"]


def unread_photo(
    task: Task,
    root_ids: Mapping[str, int],
    status: Status,
    reason: Reason,
    detail: str | None = None,
    content_hash: bytes | None = None,
) -> NewPhoto:
    """Return what to store of a file that was not read; `root_ids` are those of the roots by their paths."""
    return NewPhoto(
        root_id=root_ids[task.root],
        relpath=task.relpath,
        size=task.size,
        mtime_ns=task.mtime_ns,
        content_hash=content_hash,
        status=status,
        reason=reason.value,
        detail=detail,
        ctime_ns=task.ctime_ns,
        inode=task.inode,
    )
