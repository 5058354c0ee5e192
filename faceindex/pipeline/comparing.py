"""Read photos of unchanged size and time, to find those whose content is another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from faceindex.errors import ImageError
from faceindex.images import Picture
from faceindex.pipeline.batches import DECODE_THREADS
from faceindex.pipeline.content import read_contents
from faceindex.pipeline.events import Committed, ContentChanged, Event, Hashing, PhotoDone, Summary, Warned
from faceindex.pipeline.plan import TRY_AGAIN, Plan, Task
from faceindex.store import Store

__all__ = ["read_unchanged"]

COMMIT_PICTURES = 512  # they are read far faster than faces are found
COMMIT_SECONDS = 5.0

_NAMED = 5  # photos that a warning names


def read_unchanged(
    plan: Plan,
    store: Store,
    summary: Summary,
    on_event: Callable[[Event], None],
    on_failure: Callable[[Task, ImageError], None],
    should_stop: Callable[[], bool],
) -> tuple[list[Task], set[int]]:
    """Read the photos of unchanged size and time that a plan names.

    Of those with the indexed content, store the picture and what the system reports of the file, as far as
    they are new.

    Parameters
    ----------
    plan : Plan
    store : Store
    summary : Summary
        Counts what is read.
    on_event : callable
    on_failure : callable
        Called with each file that cannot be read at present.
    should_stop : callable

    Returns
    -------
    altered : list of Task
        Photos whose content is another.
    damaged : set of int
        Ids of those to which, by the system, nobody wrote.

    Raises
    ------
    Stopped
        If `should_stop` returns True.
    """
    checks = plan.checks
    committed_at = time.monotonic()
    if checks.note:
        store.save_file_ids((one.record.id, *one.candidate.ids) for one in checks.note if one.candidate.ids)
    tasks = plan.without_picture + plan.to_compare
    if tasks:
        on_event(Hashing())
    altered: list[Task] = []
    pictures: list[tuple[int, Picture]] = []
    file_ids: list[tuple[int, int, int]] = []

    def commit() -> None:
        nonlocal committed_at
        committed_at = time.monotonic()
        if pictures:
            store.save_pictures(pictures)
        if file_ids:
            store.save_file_ids(file_ids)
            on_event(Committed(len(file_ids)))
        pictures.clear()
        file_ids.clear()

    try:
        for task, content in read_contents(
            tasks, threads=DECODE_THREADS, should_stop=should_stop, held=plan.held
        ):
            record = task.known
            assert record is not None
            if isinstance(content, ImageError) and content.reason in TRY_AGAIN:
                summary.unchanged -= 1
                on_failure(task, content)
            elif isinstance(content, ImageError) or content.hash != record.content_hash:
                summary.unchanged -= 1
                altered.append(task)
            else:
                if record.picture is None:
                    pictures.append((record.id, content.picture))
                    summary.read_once += 1
                else:
                    summary.compared += 1
                plan.held.take(task.name)
                file_ids.append((record.id, task.ctime_ns or 0, task.inode or 0))
                summary.opened += 1
                on_event(PhotoDone(task.name, record.faces))
            late = time.monotonic() - committed_at > COMMIT_SECONDS
            if len(file_ids) >= COMMIT_PICTURES or late:
                commit()
    finally:
        commit()
    if checks.volumes is not None and not altered:
        store.save_volumes(checks.volumes)
    return altered, _report_altered(altered, plan, summary, on_event)


def _report_altered(
    tasks: Sequence[Task], plan: Plan, summary: Summary, on_event: Callable[[Event], None]
) -> set[int]:
    """Count photos that have other content, and warn of those to which nobody wrote: return their ids."""
    damaged_ids = set()
    summary.altered = len(tasks)
    damaged = []
    for task in tasks:
        assert task.known is not None
        if task.known.id in plan.untouched:
            damaged.append(task.name)
            damaged_ids.add(task.known.id)
        on_event(ContentChanged(task.name, task.known.id in plan.untouched))
    if damaged:
        what = "1 photo" if len(damaged) == 1 else f"{len(damaged):,} photos"
        names = ", ".join(damaged[:_NAMED]) + (", ..." if len(damaged) > _NAMED else "")
        on_event(
            Warned(
                f"The content of {what} changed, but the file system reports no write to them: {names}. "
                "They may be damaged, or their disk. Compare them with a backup."
            )
        )
    return damaged_ids
