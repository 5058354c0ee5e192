"""What a run of `index` does about a plan: load, recognise, commit."""

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
    PhotoDone,
    PhotoFailed,
    Summary,
    Warned,
)
from faceindex.pipeline.heap import keep_level, trim
from faceindex.pipeline.load import Loaded, Loader, photo_bytes, processing_failed
from faceindex.pipeline.moves import find_moves
from faceindex.pipeline.plan import TRY_AGAIN, Plan, Stopped, Task
from faceindex.recognition import LoadedPhoto, Recogniser, use_one_thread
from faceindex.store import NewPhoto, PhotoRecord, Status, Store
from faceindex.types import Faces

__all__ = ["carry_out"]

_BATCH_PHOTOS = 16  # enough faces for full batches of the embedder, little enough to stay in cache
_GPU_BATCH_PHOTOS = 64
_BATCH_BYTES = 32 << 20  # a batch of large photos is full with this, so that each worker has one soon
_BUDGET_BYTES = 256 << 20  # decoded photos alive at a time
_COMMIT_PHOTOS = 64  # at most this many photos are lost by a power cut...
_COMMIT_SECONDS = 5.0  # ...or this much work
_TRIM_COMMITS = 2  # commits from one giving back of memory to the next: 1 % of the time; at each, 3 %
_THREADS = 2  # that read and decode ahead of the networks
_MOST_WORKERS = 4  # batches in the networks at a time, one thread each; bounds memory on large machines
_GPU_WORKERS = 2  # while one waits for the GPU, the other cuts chips

# Reasons that say nothing about the photo: what is known of it is kept until it can be read again.
_PASSING = {Reason.MISSING, Reason.DENIED, Reason.IO_ERROR, Reason.FAILED}


def carry_out(
    plan: Plan,
    store: Store,
    recogniser: Callable[[], Recogniser],
    *,
    prune: bool,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> tuple[Summary, bool]:
    """Do what a plan says; parameters as in `faceindex.pipeline.index_photos`.

    Returns
    -------
    summary : Summary
        But for its `seconds`.
    settled : bool
        Whether the same tree of files would leave nothing to do now.
    """
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
    """What became of one photo in the networks; holds none of its pixels."""

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
        self.settled = True  # until something is left for the next run
        self._load_recogniser = recogniser
        self._recogniser: Recogniser | None = None
        self._moved: set[int] = set()
        self._batch: list[Loaded] = []
        self._batch_bytes = 0
        self._workers = 1
        self._running: deque[Future[list[_Outcome]]] = deque()
        self._pending: list[NewPhoto] = []
        self._committed_at = time.monotonic()
        self._commits = 0

    @property
    def recogniser(self) -> Recogniser:
        if self._recogniser is None:
            self._recogniser = self._load_recogniser()
        return self._recogniser

    def count_unchanged(self) -> None:
        self.summary.count_unchanged(self.plan.unchanged)

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
        keep_level()
        on_cpu = self.recogniser.device == "cpu"
        self._workers = _workers() if on_cpu else _GPU_WORKERS
        batch_photos = min(_BATCH_PHOTOS, -(-len(tasks) // self._workers)) if on_cpu else _GPU_BATCH_PHOTOS
        batch_bytes = min(_BATCH_BYTES, _BUDGET_BYTES // 2) if on_cpu else _BUDGET_BYTES // 2
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
                    self._batch_bytes += photo_bytes(loaded.shot)
                if len(self._batch) >= batch_photos or self._batch_bytes > batch_bytes:
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
            self.settled = False
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

    def _faces(self, shots: list[LoadedPhoto]) -> list[Faces | ImageError]:
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

    def _succeed(self, task: Task, image: NewPhoto) -> None:
        self._pending.append(image)
        self.settled &= image.size == task.size
        faces = 0 if image.faces is None else len(image.faces)
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
        if was_fine and error.reason in _PASSING:
            self.summary.unreadable[error.reason.value] += 1
            self.emit(PhotoFailed(error))
            return
        not_a_photo = (
            error.reason in (Reason.NOT_AN_IMAGE, Reason.EMPTY)
            and task.path.suffix.lower() not in IMAGE_SUFFIXES
        )
        self._pending.append(
            NewPhoto(
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
            self._commits += 1
            if self._commits % _TRIM_COMMITS == 0:
                trim()
            self.emit(Committed(len(pending)))


def _new_image(loaded: Loaded, shot: LoadedPhoto, faces: Faces) -> NewPhoto:
    task = loaded.task
    return NewPhoto(
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
    return min(cores(), _MOST_WORKERS)


def _count_photos(records: Sequence[PhotoRecord]) -> int:
    return sum(record.status is not Status.IGNORED for record in records)
