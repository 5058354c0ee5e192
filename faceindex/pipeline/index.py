"""One run of `index`. Modules that open photos are imported only if there are photos to open."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.images.special_files import IN_STORE
from faceindex.pipeline.drawn import embed_waiting
from faceindex.pipeline.events import Event, Planned, Scanning, Summary, ignore_event
from faceindex.pipeline.plan import Plan, Stopped, make_plan
from faceindex.pipeline.roots import follow_index
from faceindex.pipeline.selection import Selection
from faceindex.store import ScanCounts, Store
from faceindex.store.away import KEEP_DAYS

if TYPE_CHECKING:
    from faceindex.pipeline.remote import RemoteRecognition
    from faceindex.recognition import Recogniser

__all__ = ["index_photos"]


def index_photos(
    store: Store,
    recogniser: Callable[[], Recogniser],
    paths: Sequence[str | os.PathLike[str]],
    *,
    retry_failed: bool = False,
    prune: bool = False,
    keep_days: float = KEEP_DAYS,
    check_content: bool = False,
    exclude: Collection[Path] = (),
    selection: Selection | None = None,
    elsewhere: RemoteRecognition | None = None,
    on_event: Callable[[Event], None] = ignore_event,
    should_stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Bring the index up to date with folders and photos, and update the HNSW index and the journal.

    Parameters
    ----------
    store : Store
        Open for writing.
    recogniser : callable
        Loads the networks. Called once, and only if there is a photo to open: loading takes a second.
    paths : sequence of path-like
        Folders and files. Indexed photos in these folders that no longer exist leave the index. Photos of
        other folders that were moved here keep their faces and clusters.
    retry_failed : bool
        Try unreadable photos again even if they have not changed.
    prune : bool
        Remove the photos of a folder even if all of them, or the folder itself, are missing, and their faces
        for good.
    keep_days : float
        Days for which the faces of photos that are gone are kept. If the photos return, they have the same
        faces, clusters and decisions, and no networks run.
    check_content : bool
        Read all photos of unchanged size and time too, and compare their content with the indexed one.
    exclude : collection of Path
        Files and folders that are left out. Indexed photos in them count as gone.
    selection : Selection, optional
        Which of the files that are there to take in; as `faceindex.pipeline.select` returns it. None means
        all, but one file of each shot.
    elsewhere : RemoteRecognition, optional
        Recognises the photos in other processes. None means in this one; videos and faces that were drawn by
        hand always are.
    on_event : callable
        Called with each event.
    should_stop : callable
        Called between photos; once it returns True, the run commits what is finished and ends.

    Returns
    -------
    Summary

    Raises
    ------
    UsageError
        If a path does not exist, unless it is an indexed folder and `prune` is True. The index does not
        change.
    """
    started = time.monotonic()

    def on_scan(files: int) -> None:
        on_event(Scanning(files))
        if should_stop():
            raise Stopped

    on_event(Scanning(0))
    follow_index(store, on_event)
    try:
        plan = make_plan(
            store,
            paths,
            retry_failed=retry_failed,
            prune=prune,
            exclude=[*exclude, store.directory],
            on_scan=on_scan,
            check_content=check_content,
            selection=selection,
        )
    except Stopped:
        summary = Summary(interrupted=True, seconds=time.monotonic() - started)
    else:
        unchanged = len(plan.without_picture) + len(plan.to_compare)
        on_event(Planned(len(plan.tasks) + len(plan.failed) + unchanged))
        if plan.nothing_changed:
            summary = Summary()
            summary.count_unchanged(plan.unchanged)
            summary.seconds = time.monotonic() - started
        else:
            from faceindex.pipeline.run import carry_out

            summary, settled = carry_out(
                plan,
                store,
                recogniser,
                prune=prune,
                keep_days=keep_days,
                retry_failed=retry_failed,
                video_interval=None if selection is None else selection.video_interval,
                elsewhere=elsewhere,
                on_event=on_event,
                should_stop=should_stop,
            )
            summary.seconds = time.monotonic() - started
            store.compact_if_worthwhile()
            store.update_hnsw()
            if settled and plan.scan_digest is not None:
                store.save_scan(plan.scan_digest, _all_unchanged(summary, plan))
        summary.raw_companions, summary.clips = plan.companions["raw"], plan.companions["clip"]
        summary.in_stores = plan.companions[IN_STORE]
        summary.partial, summary.older = plan.partial, plan.older
    if not summary.interrupted:
        summary.by_hand = embed_waiting(store, recogniser, on_event=on_event, should_stop=should_stop)
    if not summary.interrupted and store.count_away().photos:
        store.remove_expired(keep_days)
    store.searching.catch_up()
    store.log_run("index", {**asdict(summary), "unreadable": dict(summary.unreadable)})
    return summary


def _all_unchanged(summary: Summary, plan: Plan) -> ScanCounts:
    """Return the counts of the next run if nothing changes."""
    photos = summary.photos - sum(summary.unreadable.values())
    left_out = summary.videos_left_out
    kept_out = {**plan.companions, "video": left_out} if left_out else dict(plan.companions)
    return ScanCounts(photos, summary.ignored + left_out, summary.unreadable, kept_out)
