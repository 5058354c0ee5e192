"""Find photos that were moved, renamed or only touched. They keep their faces and clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from faceindex import images
from faceindex.errors import ImageError
from faceindex.pipeline.plan import Plan, Stopped, Task
from faceindex.store import PhotoRecord, Status

__all__ = ["Moves", "find_moves", "movable"]


@dataclass(slots=True)
class Moves:
    """Photos with known content, and the files that are left to open.

    Attributes
    ----------
    touched : list of Task
        The path and the content are unchanged; only the time is new.
    moved : list of (PhotoRecord, Task)
        The content was indexed under another path, which is gone or has other content now.
    tasks : list of Task
        Files to open. `known` is None where the photo that was indexed under the path has moved.
    """

    touched: list[Task] = field(default_factory=list)
    moved: list[tuple[PhotoRecord, Task]] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)


def find_moves(plan: Plan, *, threads: int, should_stop: Callable[[], bool]) -> Moves:
    """Find moved photos by their content hash.

    Only files whose size matches that of a photo that is gone or changed are read. All of them are read
    before anything is written, so that paths may be swapped or shifted: a photo that is overwritten at
    its old path is still found at the new one.

    Raises
    ------
    Stopped
        If `should_stop` returns True between two files.
    """
    left = movable(plan)
    sizes = {record.size for record in left.values()}
    suspects = [task for task in plan.tasks if task.size in sizes]
    hashes: dict[int, bytes | None] = {}
    pool = ThreadPoolExecutor(threads, thread_name_prefix="faceindex-hash")
    try:
        for task, content_hash in zip(suspects, pool.map(_content_hash, suspects), strict=True):
            hashes[id(task)] = content_hash
            if should_stop():
                raise Stopped
    finally:
        pool.shutdown(cancel_futures=True)

    moves = Moves()
    rest = []
    for task in plan.tasks:
        known = task.known
        if known is not None and known.id in left and known.content_hash == hashes.get(id(task)):
            moves.touched.append(task)
            del left[known.id]
        else:
            rest.append(task)
    by_hash: dict[bytes | None, list[PhotoRecord]] = {}
    for record in left.values():
        by_hash.setdefault(record.content_hash, []).append(record)
    for task in rest:
        content_hash = hashes.get(id(task))
        if content_hash is not None and (records := by_hash.get(content_hash)):
            moves.moved.append((records.pop(0), task))
        else:
            moves.tasks.append(task)
    moves.tasks = _without_moved(moves.tasks, {record.id for record, _ in moves.moved})
    return moves


def movable(plan: Plan) -> dict[int, PhotoRecord]:
    """Return the photos that are gone or changed, by id: files of their sizes are read by `find_moves`."""
    return {
        record.id: record
        for record in (*plan.gone, *plan.missing, *(task.known for task in plan.tasks))
        if record is not None and record.status is Status.OK and record.content_hash is not None
    }


def _without_moved(tasks: Sequence[Task], moved: set[int]) -> list[Task]:
    return [
        replace(task, known=None) if task.known is not None and task.known.id in moved else task
        for task in tasks
    ]


def _content_hash(task: Task) -> bytes | None:
    try:
        return images.content_hash(images.read(task.path))
    except ImageError:
        return None  # reported when the file is opened
