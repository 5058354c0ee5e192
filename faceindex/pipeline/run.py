"""One run of `index`: plan, load, recognise, commit."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceindex.errors import FaceIndexError, ImageError, Reason
from faceindex.images import IMAGE_SUFFIXES
from faceindex.pipeline.events import (
    Committed,
    Event,
    PhotoDone,
    PhotoFailed,
    Planned,
    Scanning,
    Summary,
    Warned,
)
from faceindex.pipeline.load import Loaded, Loader, processing_failed, shot_bytes
from faceindex.pipeline.moves import Stopped, find_moves
from faceindex.pipeline.plan import Plan, Task, make_plan
from faceindex.recognise import Recogniser, Shot, use_one_thread
from faceindex.store import ImageRecord, NewImage, Status, Store
from faceindex.types import Faces

__all__ = ["index_photos"]

_BATCH_PHOTOS = 16  # enough faces for full batches of the embedder, little enough to stay in cache
_GPU_BATCH_PHOTOS = 64
_BUDGET_BYTES = 256 << 20  # decoded photos alive at a time
_COMMIT_PHOTOS = 64  # at most this many photos are lost by a power cut...
_COMMIT_SECONDS = 5.0  # ...or this much work
_THREADS = 2  # that read and decode ahead of the networks
_MOST_WORKERS = 4  # batches in the networks at a time, one thread each; bounds memory on large machines
_GPU_WORKERS = 2  # while one waits for the GPU, the other cuts chips

# Reasons that say nothing about the photo: what is known of it is kept until it can be read again.
_PASSING = {Reason.MISSING, Reason.DENIED, Reason.IO_ERROR, Reason.FAILED}


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
    """Bring the index up to date with folders and photos.

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
        If a path does not exist.
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
        return Summary(seconds=time.monotonic() - started, interrupted=True)
    on_event(Planned(len(plan.tasks) + len(plan.failed)))
    run = _Run(store, recogniser, plan, on_event)
    run.count_unchanged()
    run.record_unreachable()
    try:
        run.work(run.settle_moves(should_stop), should_stop)
    except Stopped:
        run.summary.interrupted = True
    if not run.summary.interrupted:
        run.remove_gone(prune)
    run.summary.seconds = time.monotonic() - started
    return run.summary


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one photo in the networks; holds none of its pixels."""

    task: Task
    content_hash: bytes | None
    result: NewImage | ImageError


class _Run:
    def __init__(
        self,
        store: Store,
        recogniser: Callable[[], Recogniser],
        plan: Plan,
        on_event: Callable[[Event], None],
    ) -> None:
        self.store = store
        self.plan = plan
        self.emit = on_event
        self.summary = Summary()
        self._load_recogniser = recogniser
        self._recogniser: Recogniser | None = None
        self._moved: set[int] = set()
        self._batch: list[Loaded] = []
        self._batch_bytes = 0
        self._workers = 1
        self._running: deque[Future[list[_Outcome]]] = deque()
        self._pending: list[NewImage] = []
        self._committed_at = time.monotonic()

    @property
    def recogniser(self) -> Recogniser:
        if self._recogniser is None:
            self._recogniser = self._load_recogniser()
        return self._recogniser

    def count_unchanged(self) -> None:
        for record in self.plan.unchanged:
            if record.status is Status.OK:
                self.summary.unchanged += 1
            elif record.status is Status.IGNORED:
                self.summary.ignored += 1
            else:
                self.summary.unreadable[record.reason or Reason.CORRUPT.value] += 1
                self.summary.known_unreadable += 1

    def record_unreachable(self) -> None:
        for task, error in self.plan.failed:
            self._fail(task, error, None)
        self._commit()

    def settle_moves(self, should_stop: Callable[[], bool]) -> list[Task]:
        """Give moved photos their new names; the tasks that are left."""
        moves = find_moves(self.plan, threads=_THREADS, should_stop=should_stop)
        touched = [(t.known.id, t.size, t.mtime_ns) for t in moves.touched if t.known is not None]
        moved = [
            (record.id, task.root_id, task.relpath, task.size, task.mtime_ns) for record, task in moves.moved
        ]
        if touched:
            self.store.touch(touched)
        if moved:
            self.store.relink(moved)
        self._moved = {record.id for record, _ in moves.moved}
        self.summary.unchanged += len(moves.touched)
        self.summary.moved += len(moves.moved)
        self.summary.opened += len(moves.touched) + len(moves.moved)
        self.summary.gone += sum(
            task.known is not None and task.known.status is Status.OK and task.known.id not in self._moved
            for _, task in moves.moved
        )
        for task in moves.touched:
            self.emit(PhotoDone(str(task.path), task.known.faces if task.known else 0))
        for record, task in moves.moved:
            self.emit(PhotoDone(str(task.path), record.faces))
        if moves.touched or moves.moved:
            self.emit(Committed(len(moves.touched) + len(moves.moved)))
        return moves.tasks

    def work(self, tasks: Sequence[Task], should_stop: Callable[[], bool]) -> None:
        if not tasks:
            return
        on_cpu = self.recogniser.device == "cpu"
        self._workers = _workers() if on_cpu else _GPU_WORKERS
        batch_photos = _BATCH_PHOTOS if on_cpu else _GPU_BATCH_PHOTOS
        loader = Loader(
            tasks,
            self.recogniser.take,
            budget=_BUDGET_BYTES,
            threads=_THREADS if on_cpu else _workers(),
        )
        with ThreadPoolExecutor(
            self._workers, thread_name_prefix="faceindex-recognise", initializer=use_one_thread
        ) as pool:
            for loaded in loader:
                self.summary.opened += 1
                if loaded.shot is None:
                    assert loaded.error is not None
                    self._fail(loaded.task, loaded.error, loaded.content_hash)
                else:
                    self._batch.append(loaded)
                    self._batch_bytes += shot_bytes(loaded.shot)
                if len(self._batch) >= batch_photos or self._batch_bytes > _BUDGET_BYTES // 2:
                    self._submit(pool, loader)
                late = time.monotonic() - self._committed_at > _COMMIT_SECONDS
                if len(self._pending) >= _COMMIT_PHOTOS or late:
                    self._commit()
                if should_stop():
                    self.summary.interrupted = True
                    break
            else:
                self._submit(pool, loader)
            while self._running:
                self._collect()
        self._commit()

    def remove_gone(self, prune: bool) -> None:
        gone = [record for record in self.plan.gone if record.id not in self._moved]
        missing = [record for record in self.plan.missing if record.id not in self._moved]
        if missing and not prune:
            self.summary.missing = _count_photos(missing)
            self.emit(
                Warned(
                    f"All {self.summary.missing} indexed photos of a folder are missing and were kept, in "
                    "case its disk is not mounted; pass --prune to take them out."
                )
            )
        else:
            gone += missing
        if gone:
            self.store.remove([record.id for record in gone])
        self.summary.gone += _count_photos(gone)

    def _submit(self, pool: ThreadPoolExecutor, loader: Loader) -> None:
        """Hand a batch to the workers; wait for the oldest when each of them has one."""
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            self._running.append(pool.submit(self._work_on, batch, loader))
        if len(self._running) > self._workers:
            self._collect()

    def _work_on(self, batch: Sequence[Loaded], loader: Loader) -> list[_Outcome]:
        """What is left of a batch once the photos themselves are let go."""
        shots = [loaded.shot for loaded in batch if loaded.shot is not None]
        try:
            return [
                _Outcome(
                    loaded.task,
                    loaded.content_hash,
                    faces if isinstance(faces, ImageError) else _new_image(loaded, shot, faces),
                )
                for loaded, shot, faces in zip(batch, shots, self._faces(shots), strict=True)
            ]
        finally:
            for shot in shots:
                loader.release(shot)  # here, not where results are collected: that may be waiting for more

    def _collect(self) -> None:
        """Take in the oldest batch, so that faces are numbered in the order of the photos."""
        for outcome in self._running.popleft().result():
            if isinstance(outcome.result, ImageError):
                self._fail(outcome.task, outcome.result, outcome.content_hash)
            else:
                self._succeed(outcome.task, outcome.result)

    def _faces(self, shots: list[Shot]) -> list[Faces | ImageError]:
        """Faces of a batch; if the batch fails, of each photo alone, so that only the cause is lost."""
        try:
            found = self.recogniser.faces(shots)
        except Exception as error:  # whatever a network or a codec raises: one photo never stops a run
            if len(shots) > 1:
                return [faces for shot in shots for faces in self._faces([shot])]
            if isinstance(error, ImageError):
                return [error]
            if isinstance(error, FaceIndexError):
                raise
            return [processing_failed(shots[0].path, f"{type(error).__name__}: {error}")]
        return [
            faces if np.isfinite(faces.vectors).all() else processing_failed(shot.path, "its vectors are NaN")
            for shot, faces in zip(shots, found, strict=True)
        ]

    def _succeed(self, task: Task, image: NewImage) -> None:
        self._pending.append(image)
        faces = 0 if image.faces is None else len(image.faces)
        if task.known is None or task.known.status is not Status.OK:
            self.summary.new += 1
        else:
            self.summary.changed += 1
        self.summary.faces += faces
        self.summary.without_face += not faces
        self.emit(PhotoDone(str(task.path), faces))

    def _fail(self, task: Task, error: ImageError, content_hash: bytes | None) -> None:
        was_fine = task.known is not None and task.known.status is Status.OK
        if was_fine and error.reason in _PASSING:
            self.summary.unreadable[error.reason.value] += 1
            self.emit(PhotoFailed(error))
            return
        not_a_photo = (
            error.reason in (Reason.NOT_AN_IMAGE, Reason.EMPTY)
            and task.path.suffix.lower() not in IMAGE_SUFFIXES
        )
        self._pending.append(
            NewImage(
                root_id=task.root_id,
                relpath=task.relpath,
                size=task.size,
                mtime_ns=task.mtime_ns,
                content_hash=content_hash,
                status=Status.IGNORED if not_a_photo else Status.UNREADABLE,
                reason=error.reason.value,
                detail=error.detail,
            )
        )
        if not_a_photo:
            self.summary.ignored += 1
            self.emit(PhotoDone(str(task.path), 0))
        else:
            self.summary.unreadable[error.reason.value] += 1
            self.emit(PhotoFailed(error))

    def _commit(self) -> None:
        self._committed_at = time.monotonic()
        pending, self._pending = self._pending, []
        if pending:
            self.store.commit(pending)
            self.emit(Committed(len(pending)))


def _new_image(loaded: Loaded, shot: Shot, faces: Faces) -> NewImage:
    task = loaded.task
    return NewImage(
        root_id=task.root_id,
        relpath=task.relpath,
        size=len(shot.data),  # not what the walk saw: the file may still have been growing
        mtime_ns=task.mtime_ns,
        content_hash=loaded.content_hash,
        width=shot.photo.width,
        height=shot.photo.height,
        faces=faces,
    )


def _workers() -> int:
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
    return min(os.cpu_count() or 1, _MOST_WORKERS)


def _count_photos(records: Sequence[ImageRecord]) -> int:
    return sum(record.status is not Status.IGNORED for record in records)
