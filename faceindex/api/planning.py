"""Forecast what indexing some folders would do."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from faceindex.api.results import IndexPlan
from faceindex.images import IMAGE_SUFFIXES
from faceindex.pipeline.counting import count_photos
from faceindex.pipeline.events import Event, Planned, Scanning, ignore_event
from faceindex.pipeline.moves import movable
from faceindex.pipeline.plan import Plan, Task, make_plan
from faceindex.pipeline.selection import Selection
from faceindex.pipeline.whereabouts import leaving
from faceindex.store import Run, Status, Store

__all__ = ["plan_photos"]

_FEWEST = 8  # photos of a run whose rate is used; in shorter runs, loading the models takes most of the time


def plan_photos(
    store: Store | None,
    paths: Sequence[str | os.PathLike[str]],
    *,
    retry_failed: bool = False,
    prune: bool = False,
    check_content: bool = False,
    exclude: Collection[Path] = (),
    selection: Selection | None = None,
    on_event: Callable[[Event], None] = ignore_event,
) -> IndexPlan:
    """Compare folders with an index; see `faceindex.FaceIndex.plan`.

    Parameters
    ----------
    store : Store or None
        None for an index that does not exist yet.
    """
    on_event(Scanning(0))
    plan = make_plan(
        store,
        paths,
        retry_failed=retry_failed,
        prune=prune,
        exclude=[*exclude, *([] if store is None else [store.directory])],
        on_scan=lambda files: on_event(Scanning(files)),
        check_content=check_content,
        selection=selection,
    )
    on_event(Planned(0))
    counts = _count_tasks(plan)
    to_recognise = counts["new"] + counts["changed"] + counts["retried"]
    run = None if store is None else _largest_run(store.runs())
    rate = None if run is None else _photos_of(run) / _number(run, "seconds")
    bytes_per_photo = None if store is None else _bytes_per_photo(store)
    gone, missing = map(count_photos, (leaving(plan), plan.missing))
    return IndexPlan(
        **counts,
        unchanged=plan.unchanged.photos,
        known_unreadable=sum(plan.unchanged.unreadable.values()),
        unreachable=len(plan.failed),
        gone=gone + missing if prune else gone,
        missing=0 if prune else missing,
        seconds=None if rate is None else to_recognise / rate,
        photos_per_second=rate,
        measured_at=None if run is None else run.at,
        bytes=None if bytes_per_photo is None else round(bytes_per_photo * to_recognise),
        read_once=len(plan.without_picture),
        to_check=len(plan.to_compare),
        older=plan.older,
    )


def _count_tasks(plan: Plan) -> dict[str, int]:
    counts = dict.fromkeys(("new", "changed", "to_compare", "retried", "other_files"), 0)
    sizes = {record.size for record in (*movable(plan).values(), *plan.elsewhere, *plan.away)}
    for task in plan.tasks:
        counts[_kind(task, sizes)] += 1
    return counts


def _kind(task: Task, sizes: Collection[int]) -> str:
    known = task.known
    if task.size in sizes:
        return "to_compare"
    if known is not None and known.status is Status.OK:
        return "changed"
    if known is not None and (known.size, known.mtime_ns) == (task.size, task.mtime_ns):
        return "retried"
    return "new" if task.path.suffix.lower() in IMAGE_SUFFIXES else "other_files"


def _largest_run(runs: Sequence[Run]) -> Run | None:
    """Return the run of `index` that recognised most photos; None if there were too few to compute a rate."""
    usable = [
        run
        for run in runs
        if run.kind == "index" and _photos_of(run) >= _FEWEST and _number(run, "seconds") > 0
    ]
    return max(usable, key=_photos_of, default=None)


def _photos_of(run: Run) -> float:
    return _number(run, "new") + _number(run, "changed")


def _number(run: Run, name: str) -> float:
    value = run.detail.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _bytes_per_photo(store: Store) -> float | None:
    counts = store.counts()
    photos = counts.photos[Status.OK]
    # The write-ahead log beside the catalog is empty when nothing is being written.
    used = sum(size for name, size in counts.bytes.items() if not name.endswith(("-wal", "-shm")))
    return used / photos if photos else None
