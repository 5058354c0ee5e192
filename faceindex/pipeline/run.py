"""Carry out the plan of a run of `index`: load, recognise, commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from faceindex.errors import ImageError, Reason
from faceindex.images import IMAGE_SUFFIXES, Picture
from faceindex.pipeline.batches import DECODE_THREADS, Outcome, recognise_in_batches
from faceindex.pipeline.content import Content, read_contents
from faceindex.pipeline.events import (
    Committed,
    Event,
    Hashing,
    Loaded,
    Loading,
    PhotoDone,
    PhotoFailed,
    Summary,
    Warned,
)
from faceindex.pipeline.moves import Match, Moves, find_moves
from faceindex.pipeline.plan import TRY_AGAIN, Plan, Stopped, Task, count_photos
from faceindex.recognition import Recogniser
from faceindex.store import NewMetadata, NewPhoto, PhotoRecord, Status, Store

__all__ = ["COMMIT_PHOTOS", "COMMIT_SECONDS", "TEMPORARY", "carry_out"]

COMMIT_PHOTOS = 64  # a power cut loses at most this many photos...
COMMIT_SECONDS = 5.0  # ...or this much work
COMMIT_PICTURES = 512  # they are read far faster than faces are found

# Reasons that are not about the photo: its faces are kept until it can be read again.
TEMPORARY = {Reason.MISSING, Reason.DENIED, Reason.IO_ERROR, Reason.FAILED}


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
        tasks = run.settle_moves(should_stop) + run.read_pictures(should_stop)
        run.work(tasks, should_stop)
    except Stopped:
        run.summary.interrupted = True
    if not run.summary.interrupted:
        run.remove_gone(prune)
    return run.summary, run.settled and not run.summary.interrupted


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
        self._lost: dict[bytes | None, list[PhotoRecord]] = {}
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
        """Store the new paths, times and metadata of known photos; return the remaining tasks."""
        moves = find_moves(self.plan, threads=DECODE_THREADS, should_stop=should_stop)
        for record in moves.lost:
            self._lost.setdefault(record.picture, []).append(record)
        self._keep(moves)
        return moves.tasks

    def _keep(self, moves: Moves) -> None:
        matches = [*moves.kept, *moves.moved]
        moved_ids = {match.record.id for match in moves.moved}
        replaced = [
            match.task.known
            for match in moves.moved
            if match.task.known is not None and match.task.known.id not in moved_ids
        ]
        rewritten = [match for match in matches if match.rewritten]
        # Before the paths: after a kill between the two, the new content identifies moved photos.
        if rewritten:
            self.store.update_metadata(
                NewMetadata(
                    m.record.id, m.task.size, m.task.mtime_ns, m.content.hash, m.content.picture.taken
                )
                for m in rewritten
            )
        if pictures := [(m.record.id, m.content.picture) for m in matches if m.record.picture is None]:
            self.store.save_pictures(pictures)
        if touched := [(m.record.id, m.task.size, m.task.mtime_ns) for m in moves.kept if not m.rewritten]:
            self.store.update_size_and_time(touched)
        if moves.moved:
            self.store.move_photos(
                [
                    (m.record.id, self._root_ids[m.task.root], m.task.relpath, m.task.size, m.task.mtime_ns)
                    for m in moves.moved
                ]
            )
        self._moved |= moved_ids
        self.summary.unchanged += len(touched)
        self.summary.new_metadata += len(moves.kept) - len(touched)
        self.summary.moved += len(moves.moved)
        self.summary.opened += len(matches)
        self.summary.gone += sum(record.status is Status.OK for record in replaced)
        for match in matches:
            self.emit(PhotoDone(match.task.name, match.record.faces))
        if matches:
            self.emit(Committed(len(matches)))

    def read_pictures(self, should_stop: Callable[[], bool]) -> list[Task]:
        """Store the pictures of unchanged photos that lack them; return those whose content is another."""
        if not self.plan.without_picture:
            return []
        self.emit(Hashing())
        changed: list[Task] = []
        pictures: list[tuple[int, Picture]] = []

        def commit() -> None:
            self._committed_at = time.monotonic()
            if pictures:
                self.store.save_pictures(pictures)
                self.emit(Committed(len(pictures)))
                pictures.clear()

        try:
            for task, content in read_contents(
                self.plan.without_picture, threads=DECODE_THREADS, should_stop=should_stop
            ):
                record = task.known
                assert record is not None
                if isinstance(content, ImageError) and content.reason in TEMPORARY:
                    self.summary.unchanged -= 1
                    self._fail(task, content, None)
                elif isinstance(content, ImageError) or content.hash != record.content_hash:
                    self.summary.unchanged -= 1
                    changed.append(task)  # although it has the same size and time
                else:
                    pictures.append((record.id, content.picture))
                    self.summary.read_once += 1
                    self.summary.opened += 1
                    self.emit(PhotoDone(task.name, record.faces))
                late = time.monotonic() - self._committed_at > COMMIT_SECONDS
                if len(pictures) >= COMMIT_PICTURES or late:
                    commit()
        finally:
            commit()
        return changed

    def work(self, tasks: Sequence[Task], should_stop: Callable[[], bool]) -> None:
        if not tasks:
            return
        left = len(tasks)
        for outcomes in recognise_in_batches(
            tasks, self.recogniser, number=len(tasks), should_stop=should_stop
        ):
            left -= len(outcomes)
            for outcome in outcomes:
                self._settle(outcome)
            late = time.monotonic() - self._committed_at > COMMIT_SECONDS
            if len(self._pending) >= COMMIT_PHOTOS or late:
                self._commit()
        self.summary.interrupted = left > 0
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

    def _settle(self, outcome: Outcome[Task]) -> None:
        """Store a result of the networks; the order of the photos is the order of their faces."""
        task = outcome.source
        if (match := self._find_lost(outcome)) is not None:
            self._commit()
            self._keep(Moves(moved=[match]))
            return
        self.summary.opened += 1
        if isinstance(outcome.result, ImageError):
            self._fail(task, outcome.result, outcome.content_hash)
            return
        self._succeed(
            task,
            self._without_forgotten(
                NewPhoto(
                    root_id=self._root_ids[task.root],
                    relpath=task.relpath,
                    size=task.size,
                    mtime_ns=task.mtime_ns,
                    content_hash=outcome.content_hash,
                    width=outcome.width,
                    height=outcome.height,
                    faces=outcome.result,
                    picture=None if outcome.picture is None else outcome.picture.hash,
                    orientation=1 if outcome.picture is None else outcome.picture.orientation,
                    taken=None if outcome.picture is None else outcome.picture.taken,
                )
            ),
        )

    def _without_forgotten(self, photo: NewPhoto) -> NewPhoto:
        """Leave out the faces at places that were forgotten: only this way are they not counted as new."""
        return self.store.forgotten.without(photo)

    def _find_lost(self, outcome: Outcome[Task]) -> Match | None:
        """Return the photo that is gone and has the picture of a result, and remove it from `_lost`."""
        if outcome.picture is None or outcome.content_hash is None:
            return None
        content = Content(outcome.content_hash, outcome.picture, outcome.width, outcome.height)
        for record in self._lost.get(outcome.picture.hash, ()):
            if content.shows(record):
                self._lost[outcome.picture.hash].remove(record)
                return Match(record, outcome.source, content)
        return None

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
        if was_fine and error.reason in TEMPORARY:
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
