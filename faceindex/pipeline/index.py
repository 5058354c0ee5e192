"""One run of `index`. What opens photos is loaded when there are some to open."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.pipeline.events import Event, Planned, Scanning, Summary
from faceindex.pipeline.plan import Stopped, make_plan
from faceindex.store import Store, Unchanged

if TYPE_CHECKING:
    from faceindex.recognition import Recogniser

__all__ = ["index_photos"]


def index_photos(
    store: Store,
    recogniser: Callable[[], Recogniser],
    paths: Sequence[str | os.PathLike[str]],
    *,
    retry_failed: bool = False,
    prune: bool = False,
    exclude: Collection[Path] = (),
    on_event: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Bring the index up to date with folders and photos; the search graph and the journal too.

    Parameters
    ----------
    store : Store
        Open for writing.
    recogniser : callable
        Called once, and only if there is a photo to look at: loading networks takes a second.
    paths : sequence of path-like
        Folders and files. What the index knows in these places and is no longer there is taken
        out of it.
    retry_failed : bool
        Whether unreadable photos that have not changed are tried again.
    prune : bool
        Whether photos are also taken out when nothing at all is left in a place.
    exclude : collection of Path
        Folders that are not walked.
    on_event : callable
        Told of everything that happens.
    should_stop : callable
        Asked between photos; when it says so, what is done is committed and the run ends.

    Returns
    -------
    Summary

    Raises
    ------
    UsageError
        If a path does not exist. Nothing is changed.
    """
    started = time.monotonic()

    def on_scan(files: int) -> None:
        on_event(Scanning(files))
        if should_stop():
            raise Stopped

    on_event(Scanning(0))
    try:
        plan = make_plan(
            store,
            paths,
            retry_failed=retry_failed,
            exclude=[*exclude, store.directory],
            on_scan=on_scan,
        )
    except Stopped:
        summary = Summary(interrupted=True, seconds=time.monotonic() - started)
    else:
        on_event(Planned(len(plan.tasks) + len(plan.failed)))
        if plan.recalled:
            summary = Summary()
            summary.count_unchanged(plan.unchanged)
            summary.seconds = time.monotonic() - started
        else:
            from faceindex.pipeline.run import carry_out

            summary, settled = carry_out(
                plan, store, recogniser, prune=prune, on_event=on_event, should_stop=should_stop
            )
            summary.seconds = time.monotonic() - started
            store.update_hnsw()
            if settled and plan.tree is not None:
                store.remember(plan.tree, _all_unchanged(summary))
    store.log_run("index", {**asdict(summary), "unreadable": dict(summary.unreadable)})
    return summary


def _all_unchanged(summary: Summary) -> Unchanged:
    """What the next run will find if nothing changes."""
    photos = summary.unchanged + summary.new + summary.changed + summary.moved
    return Unchanged(photos, summary.ignored, summary.unreadable)
