"""Carry out the plan of a run of `index`: load, recognise, commit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from faceindex.cores import cores
from faceindex.errors import FaceIndexError, ImageError, Reason
from faceindex.images import IMAGE_SUFFIXES
from faceindex.pipeline.events import (
    Committed,
    Event,
    Loaded,
    Loading,
    PhotoDone,
    PhotoFailed,
    Summary,
    Warned,
)
from faceindex.pipeline.load import Loader, LoadResult, photo_bytes, processing_failed
from faceindex.pipeline.moves import find_moves
from faceindex.pipeline.plan import TRY_AGAIN, Plan, Stopped, Task, count_photos
from faceindex.recognition import LoadedPhoto, Recogniser, use_one_thread
from faceindex.store import NewPhoto, Status, Store
from faceindex.types import Faces

__all__ = ["BATCH_BYTES", "BATCH_PHOTOS", "BUDGET_BYTES", "COMMIT_PHOTOS", "carry_out", "count_workers"]

BATCH_PHOTOS = 16  # enough faces for full batches of the embedder, few enough to stay in cache
_GPU_BATCH_PHOTOS = 64
BATCH_BYTES = 32 << 20  # limit for a batch of large photos, so that each worker gets one soon
BUDGET_BYTES = 256 << 20  # decoded photos in memory at a time
COMMIT_PHOTOS = 64  # a power cut loses at most this many photos...
_COMMIT_SECONDS = 5.0  # ...or this much work
_THREADS = 2  # to read and decode ahead of the networks
_MOST_WORKERS = 4  # batches in the networks at a time, one thread each; limits memory on large machines
_GPU_WORKERS = 2  # one cuts chips while the other waits for the GPU

# Reasons that are not about the photo: its faces are kept until it can be read again.
_TEMPORARY = {Reason.MISSING, Reason.DENIED, Reason.IO_ERROR, Reason.FAILED}


def carry_out(
    plan: Plan,
    store: Store,
    recogniser: Callable[[], Recogniser],
    *,
    prune: bool,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> tuple[Summary, bool]:
    """Carry out a plan; parameters as in `faceindex.pipeline.index_photos`.

    Returns
    -------
    summary : Summary
        Without its `seconds`.
    settled : bool
        Whether a next run over the same files would have nothing to do.
    """
    for path, given in plan.folders:
        store.add_root(path, given)
    run = _Run(store, recogniser, plan, on_event)
    run.count_unchanged()
    run.record_unreachable()
    try:
        run.work(run.settle_moves(should_stop), should_stop)
    except Stopped:
        run.summary.interrupted = True
    if not run.summary.interrupted:
        run.remove_gone(prune)
    return run.summary, run.settled and not run.summary.interrupted


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The result of the networks for one photo, without its pixels."""

    task: Task
    content_hash: bytes | None
    result: NewPhoto | ImageError


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
        self.settled = True  # until something remains for the next run
        self._load_recogniser = recogniser
        self._recogniser: Recogniser | None = None
        self._root_ids = {root.path: root.id for root in store.roots()}
        self._moved: set[int] = set()
        self._batch: list[LoadResult] = []
        self._batch_bytes = 0
        self._workers = 1
        self._running: deque[Future[list[_Outcome]]] = deque()
        self._pending: list[NewPhoto] = []
        self._committed_at = time.monotonic()

    @property
    def recogniser(self) -> Recogniser:
        if self._recogniser is None:
            self.emit(Loading())
            self._recogniser = self._load_recogniser()
            self.emit(Loaded())
        return self._recogniser

    def count_unchanged(self) -> None:
        self.summary.count_unchanged(self.plan.unchanged)

    def record_unreachable(self) -> None:
        for task, error in self.plan.failed:
            self._fail(task, error, None)
        self._commit()

    def settle_moves(self, should_stop: Callable[[], bool]) -> list[Task]:
        """Store the new paths of moved photos; return the remaining tasks."""
        moves = find_moves(self.plan, threads=_THREADS, should_stop=should_stop)
        touched = [(t.known.id, t.size, t.mtime_ns) for t in moves.touched if t.known is not None]
        moved = [
            (record.id, self._root_ids[task.root], task.relpath, task.size, task.mtime_ns)
            for record, task in moves.moved
        ]
        if touched:
            self.store.update_size_and_time(touched)
        if moved:
            self.store.move_photos(moved)
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
        self._workers = count_workers() if on_cpu else _GPU_WORKERS
        batch_photos = min(BATCH_PHOTOS, -(-len(tasks) // self._workers)) if on_cpu else _GPU_BATCH_PHOTOS
        batch_bytes = min(BATCH_BYTES, BUDGET_BYTES // 2) if on_cpu else BUDGET_BYTES // 2
        loader = Loader(
            tasks,
            self.recogniser.decode_photo,
            budget=BUDGET_BYTES,
            threads=_THREADS if on_cpu else count_workers(),
        )
        with ThreadPoolExecutor(
            self._workers, thread_name_prefix="faceindex-recognise", initializer=use_one_thread
        ) as pool:
            for loaded in loader:
                self.summary.opened += 1
                if loaded.photo is None:
                    assert loaded.error is not None
                    self._fail(loaded.task, loaded.error, loaded.content_hash)
                else:
                    self._batch.append(loaded)
                    self._batch_bytes += photo_bytes(loaded.photo)
                if len(self._batch) >= batch_photos or self._batch_bytes > batch_bytes:
                    self._submit(pool, loader)
                late = time.monotonic() - self._committed_at > _COMMIT_SECONDS
                if len(self._pending) >= COMMIT_PHOTOS or late:
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
            self.summary.missing = count_photos(missing)
            self.settled = False
            self.emit(
                Warned(
                    f"All indexed photos in {', '.join(self.plan.empty_folders)} are missing "
                    f"({self.summary.missing:,}). They were kept, in case a disk is not mounted; pass "
                    "`prune=True` to remove them."
                )
            )
        else:
            gone += missing
        if gone or (prune and self.plan.empty_folders):  # roots whose photos have all moved are removed too
            self.store.remove_photos([record.id for record in gone])
        self.summary.gone += count_photos(gone)

    def _submit(self, pool: ThreadPoolExecutor, loader: Loader) -> None:
        """Pass the batch to the workers; if all are busy, wait for the oldest batch."""
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            self._running.append(pool.submit(self._work_on, batch, loader))
        if len(self._running) > self._workers:
            self._collect()

    def _work_on(self, batch: Sequence[LoadResult], loader: Loader) -> list[_Outcome]:
        """Recognise a batch and release its photos."""
        photos = [loaded.photo for loaded in batch if loaded.photo is not None]
        try:
            return [
                _Outcome(
                    loaded.task,
                    loaded.content_hash,
                    faces if isinstance(faces, ImageError) else self._new_photo(loaded, photo, faces),
                )
                for loaded, photo, faces in zip(batch, photos, self._faces(photos), strict=True)
            ]
        finally:
            for photo in photos:
                loader.release(photo)  # here, not in _collect, which may wait for more photos

    def _new_photo(self, loaded: LoadResult, photo: LoadedPhoto, faces: Faces) -> NewPhoto:
        task = loaded.task
        return NewPhoto(
            root_id=self._root_ids[task.root],
            relpath=task.relpath,
            size=len(photo.data),  # may differ from the walk's: the file may have grown since
            mtime_ns=task.mtime_ns,
            content_hash=loaded.content_hash,
            width=photo.decoded.width,
            height=photo.decoded.height,
            faces=faces,
        )

    def _collect(self) -> None:
        """Store the results of the oldest batch, so that faces are numbered in the order of the photos."""
        for outcome in self._running.popleft().result():
            if isinstance(outcome.result, ImageError):
                self._fail(outcome.task, outcome.result, outcome.content_hash)
            else:
                self._succeed(outcome.task, outcome.result)

    def _faces(self, photos: list[LoadedPhoto]) -> list[Faces | ImageError]:
        """Recognise a batch; if it fails, each photo alone, so that only the photo at fault fails."""
        try:
            found = self.recogniser.recognise(photos)
        except Exception as error:  # of any kind: one photo never stops a run
            if len(photos) > 1:
                return [faces for photo in photos for faces in self._faces([photo])]
            if isinstance(error, ImageError):
                return [error]
            if isinstance(error, FaceIndexError):
                raise
            return [processing_failed(photos[0].path, f"{type(error).__name__}: {error}")]
        return [
            faces
            if np.isfinite(faces.vectors).all()
            else processing_failed(photo.path, "its vectors are NaN")
            for photo, faces in zip(photos, found, strict=True)
        ]

    def _succeed(self, task: Task, photo: NewPhoto) -> None:
        self._pending.append(photo)
        self.settled &= photo.size == task.size
        faces = 0 if photo.faces is None else len(photo.faces)
        if task.known is None or task.known.status is not Status.OK:
            self.summary.new += 1
        else:
            self.summary.changed += 1
        self.summary.faces += faces
        self.summary.without_face += not faces
        self.emit(PhotoDone(str(task.path), faces))

    def _fail(self, task: Task, error: ImageError, content_hash: bytes | None) -> None:
        self.settled &= error.reason not in TRY_AGAIN
        was_fine = task.known is not None and task.known.status is Status.OK
        if was_fine and error.reason in _TEMPORARY:
            self.summary.unreadable[error.reason.value] += 1
            self.emit(PhotoFailed(error))
            return
        not_a_photo = (
            error.reason in (Reason.NOT_AN_IMAGE, Reason.EMPTY)
            and task.path.suffix.lower() not in IMAGE_SUFFIXES
        )
        self._pending.append(
            NewPhoto(
                root_id=self._root_ids[task.root],
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


def count_workers() -> int:
    """Return how many batches are in the networks at a time on a CPU, one thread each."""
    return min(cores(), _MOST_WORKERS)
