"""Carry out the plan of a run of `index`: load, recognise, commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from faceindex.addresses import is_address
from faceindex.errors import ImageError, Reason
from faceindex.images import IMAGE_SUFFIXES
from faceindex.images.moments import AMBIGUOUS_SUFFIXES, VIDEO_SUFFIXES
from faceindex.pipeline.batches import DECODE_THREADS, Outcome, recognise_in_batches
from faceindex.pipeline.comparing import read_unchanged
from faceindex.pipeline.content import content_of
from faceindex.pipeline.events import (
    Committed,
    Event,
    Loaded,
    Loading,
    PhotoDone,
    PhotoFailed,
    PhotoUnfinished,
    Summary,
    Warned,
)
from faceindex.pipeline.load import Watch
from faceindex.pipeline.moves import LostPhotos, Match, Moves, find_moves
from faceindex.pipeline.plan import TRY_AGAIN, Plan, Stopped, Task
from faceindex.pipeline.suspects import Examined, examine
from faceindex.pipeline.unfinished import UNFINISHED, is_being_written
from faceindex.pipeline.video_rows import NEITHER
from faceindex.pipeline.whereabouts import Whereabouts
from faceindex.recognition import Recogniser
from faceindex.store import NewPhoto, Status, Store

if TYPE_CHECKING:
    from faceindex.pipeline.remote import RemoteRecognition
    from faceindex.pipeline.video_run import ReadVideo

__all__ = ["COMMIT_PHOTOS", "COMMIT_SECONDS", "carry_out"]

COMMIT_PHOTOS = 64  # a power cut loses at most this many photos...
COMMIT_SECONDS = 5.0  # ...or this much work


def carry_out(
    plan: Plan,
    store: Store,
    recogniser: Callable[[], Recogniser],
    *,
    prune: bool,
    keep_days: float,
    retry_failed: bool,
    video_interval: float | None = None,
    elsewhere: RemoteRecognition | None = None,
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
    run = _Run(store, recogniser, plan, retry_failed, on_event)
    run.video_interval = video_interval
    run.elsewhere = elsewhere
    run.save_mounts()
    run.count_unchanged()
    run.record_unreachable()
    try:
        plan.tasks += run.read_unchanged(should_stop)  # before moves: two photos may have been swapped
        run.work(run.settle_moves(should_stop), should_stop)
    except Stopped:
        run.summary.interrupted = True
    if not run.summary.interrupted:
        run.settled &= run.whereabouts.remove_gone(prune, keep_days)
    return run.summary, run.settled and not run.summary.interrupted


class _Run:
    def __init__(
        self,
        store: Store,
        recogniser: Callable[[], Recogniser],
        plan: Plan,
        retry_failed: bool,
        on_event: Callable[[Event], None],
    ) -> None:
        self.store = store
        self.plan = plan
        self._retry_failed = retry_failed
        self._damaged: set[int] = set()
        self._failed: list[tuple[int, str]] = []
        self.emit = on_event
        self.summary = Summary()
        self.settled = True  # until something remains for the next run
        self._load_recogniser = recogniser
        self._recogniser: Recogniser | None = None
        self._root_ids = {root.path: root.id for root in store.roots()}
        self.whereabouts = Whereabouts(store, plan, self._root_ids, self.summary, on_event)
        self._away = {record.id for record in plan.away}
        self._lost = LostPhotos([], {})
        self._pending: list[NewPhoto] = []
        self._suspected: set[str] = set()
        self._settled: set[str] = set()  # names of the photos in _pending
        self._committed_at = time.monotonic()
        self.video_interval: float | None = None
        self.elsewhere: RemoteRecognition | None = None
        self._videos: list[Task] = []  # which the pipeline for photos met
        self._stale: list[int] = []  # moments of videos that are no longer what they were

    @property
    def recogniser(self) -> Recogniser:
        if self._recogniser is None:
            self.emit(Loading())
            self._recogniser = self._load_recogniser()
            self.emit(Loaded())
        return self._recogniser

    def save_mounts(self) -> None:
        if self.plan.mounts is not None:
            self.store.save_mounts(
                {
                    (self._root_ids[root], folder): last
                    for (root, folder), last in self.plan.mounts.items()
                    if root in self._root_ids
                }
            )

    def count_unchanged(self) -> None:
        self.summary.count_unchanged(self.plan.unchanged)

    def record_unreachable(self) -> None:
        for task, error in self.plan.failed:
            self._fail(task, error, None)
        self._failed += [
            (record.id, reason)
            for record, reason in self.plan.unreached
            if record.status is Status.OK and record.failed != reason
        ]
        self._commit()

    def settle_moves(self, should_stop: Callable[[], bool]) -> list[Task]:
        """Store the new paths, times and metadata of known photos; return the remaining tasks."""
        moves = find_moves(self.plan, threads=DECODE_THREADS, should_stop=should_stop)
        elsewhere = {record.id: self.plan.path_of(record) for record in self.plan.elsewhere}
        self._lost = LostPhotos(moves.lost, elsewhere)
        self.whereabouts.keep(moves)
        if self.elsewhere is not None:
            self.plan.held.clear()  # workers request the objects themselves
        return moves.tasks

    def read_unchanged(self, should_stop: Callable[[], bool]) -> list[Task]:
        """Read photos of unchanged size and time: return those whose content is another."""
        for message in self.plan.checks.warnings:
            self.emit(Warned(message))

        def fail(task: Task, error: ImageError) -> None:
            self._fail(task, error, None)

        altered, self._damaged = read_unchanged(
            self.plan, self.store, self.summary, self.emit, fail, should_stop
        )
        self._committed_at = time.monotonic()
        return altered

    def work(self, tasks: Sequence[Task], should_stop: Callable[[], bool]) -> None:
        if not tasks:
            return
        left = len(tasks)
        examined = self._examine(tasks, should_stop)
        left -= len(examined.failed)
        try:
            with self.store.in_work() as watch:
                watch.alone = True
                for task in examined.alone:
                    left -= self._recognise([task], should_stop, watch)
                    self._commit()
                watch.alone = False
                left -= self._recognise(examined.clear, should_stop, watch)
            left += len(self._videos)  # they are not done yet
            left -= self._read_videos(should_stop)
        finally:
            self._commit()  # what is done, whatever ended the rest
        self.summary.interrupted = left > 0

    def _examine(self, tasks: Sequence[Task], should_stop: Callable[[], bool]) -> Examined:
        """Try the photos that may have ended a run, and set aside those that end a process again."""
        examined = examine(tasks, self.store.suspects(), should_stop)
        for task, error in examined.failed:
            self.summary.opened += 1
            self._fail(task, error, None)
        self._suspected = examined.suspected
        self._commit()
        return examined

    def _recognise(self, tasks: Sequence[Task], should_stop: Callable[[], bool], watch: Watch) -> int:
        """Recognise and settle photos; return how many of them."""
        done = 0
        if not tasks or should_stop():
            return done
        if self.elsewhere is None:
            batches = recognise_in_batches(
                tasks, self.recogniser, number=len(tasks), should_stop=should_stop, watch=watch
            )
        else:
            batches = self.elsewhere.recognise(tasks, on_event=self.emit, should_stop=should_stop)
        for outcomes in batches:
            done += len(outcomes)
            for outcome in outcomes:
                self._settle(outcome)
            late = time.monotonic() - self._committed_at > COMMIT_SECONDS
            if len(self._pending) >= COMMIT_PHOTOS or late:
                self._commit()
        return done

    def _settle(self, outcome: Outcome[Task]) -> None:
        """Store a result of the networks; the order of the photos is the order of their faces."""
        task = outcome.source
        if isinstance(outcome.result, ImageError) and outcome.result.reason is Reason.VIDEO:
            self._videos.append(task)
            return
        if (match := self._lost.find(task, content_of(outcome))) is not None:
            self._keep(match)
            return
        self.summary.opened += 1
        if isinstance(outcome.result, ImageError):
            self._fail(task, outcome.result, outcome.content_hash)
            return
        self._succeed(
            task,
            # Without the faces at places that were forgotten: only this way are they not counted as new.
            self.store.forgotten.without(
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
                    detail=outcome.note,
                    ctime_ns=task.ctime_ns,
                    inode=task.inode,
                )
            ),
        )

    def _read_videos(self, should_stop: Callable[[], bool]) -> int:
        """Read the videos that were met, one after the other; return how many are settled."""
        videos, self._videos = self._videos, []
        unread = [task for task in videos if not self.plan.videos or is_address(task.name)]
        for task in unread:
            self._leave_out(task)
        videos = [task for task in videos if self.plan.videos and not is_address(task.name)]
        if not videos or should_stop():
            return len(unread)
        self._commit()
        from faceindex.pipeline.video_run import VideoReader

        reader = VideoReader(self.store, self.recogniser, self.video_interval, self.emit, should_stop)
        done = len(unread)
        with reader:
            for task in videos:
                try:
                    known = reader.about(task)
                    match = self._lost.find(task, known.content)
                    read = None if match else reader.read(task, known, self._root_ids[task.root])
                except ImageError as error:
                    self.summary.opened += 1
                    self._fail(task, error, None, is_sound=error.reason is Reason.NOT_AN_IMAGE)
                else:
                    if match is not None:
                        self._keep(match)
                    elif read is None:  # it was stopped
                        break
                    else:
                        self._succeed_with_moments(task, read)
                self._commit()
                done += 1
        return done

    def _leave_out(self, task: Task) -> None:
        """Count a video that is not to be read, or cannot be; one that is indexed stays as it is."""
        self.summary.videos_left_out += 1
        if task.known is not None and task.known.status is Status.OK:
            self.settled = False
        else:
            self._pending.append(self._unread(task, Status.IGNORED, Reason.VIDEO))
        self._settled.add(task.name)
        self.emit(PhotoDone(task.name, 0))

    def _succeed_with_moments(self, task: Task, read: ReadVideo) -> None:
        """Commit a video and its moments at once; those of its former content go away."""
        kept = {moment.relpath for moment in read.moments}
        if task.known is not None:
            former = self.plan.moments.live.get(task.known.id, ())
            self._stale += [moment.id for moment in former if moment.relpath not in kept]
        self._pending += read.moments
        self.summary.opened += 1
        self.summary.videos += 1
        self.summary.moments += len(read.moments)
        self.summary.video_seconds += read.seconds
        self._succeed(task, read.row, read.faces)

    def _keep(self, match: Match) -> None:
        """Store where a photo is that was found at last."""
        self._commit()
        is_away = match.record.id in self._away
        self.whereabouts.keep(Moves(returned=[match]) if is_away else Moves(moved=[match]))

    def _succeed(self, task: Task, photo: NewPhoto, faces: int | None = None) -> None:
        if faces is None:
            faces = 0 if photo.faces is None else len(photo.faces)
            self._let_moments_go(task)
        self._pending.append(photo)
        self._settled.add(task.name)
        self.settled &= photo.size == task.size
        if task.known is None or task.known.status is not Status.OK:
            self.summary.new += 1
        else:
            self.summary.changed += 1
        self.summary.faces += faces
        self.summary.without_face += not faces
        self.summary.with_note += photo.detail is not None
        self.emit(PhotoDone(str(task.path), faces, photo.detail))

    def _fail(
        self, task: Task, error: ImageError, content_hash: bytes | None, *, is_sound: bool = False
    ) -> None:
        if error.reason in UNFINISHED and is_being_written(task):
            self.settled = False
            self.summary.unfinished += 1
            self.emit(PhotoUnfinished(task.name))
            return
        self.settled &= error.reason not in TRY_AGAIN
        known, reason = task.known, error.reason.value
        if known is not None and known.status is Status.OK:
            damaged = known.id in self._damaged
            self.settled &= not damaged
            if damaged or error.reason in TRY_AGAIN:
                if known.failed != reason:
                    self._failed.append((known.id, reason))
                self._count_unreadable(task, error, known.failed)
                return
        suffixes = IMAGE_SUFFIXES | VIDEO_SUFFIXES if self.plan.videos else IMAGE_SUFFIXES
        not_a_photo = is_sound or (
            error.reason in (Reason.NOT_AN_IMAGE, Reason.EMPTY, Reason.ENCRYPTED)
            and task.path.suffix.lower() not in suffixes - AMBIGUOUS_SUFFIXES
        )
        self._settled.add(task.name)
        self._let_moments_go(task)
        status = Status.IGNORED if not_a_photo else Status.UNREADABLE
        detail = NEITHER if not_a_photo and self.plan.videos and not is_sound else error.detail
        self._pending.append(self._unread(task, status, error.reason, detail, content_hash))
        if not_a_photo:
            self.summary.ignored += 1
            self.emit(PhotoDone(str(task.path), 0))
        else:
            same = known is not None and (known.size, known.mtime_ns) == (task.size, task.mtime_ns)
            same = same and (content_hash is None or known is None or content_hash == known.content_hash)
            unreadable = known is not None and known.status is Status.UNREADABLE
            self._count_unreadable(task, error, known.reason if known and unreadable and same else None)

    def _unread(
        self,
        task: Task,
        status: Status,
        reason: Reason,
        detail: str | None = None,
        content_hash: bytes | None = None,
    ) -> NewPhoto:
        return NewPhoto(
            root_id=self._root_ids[task.root],
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

    def _let_moments_go(self, task: Task) -> None:
        """Let the moments go away of a video that is none any more, or cannot be read."""
        if task.known is not None:
            self._stale += self.plan.moments.of([task.known.id])

    def _count_unreadable(self, task: Task, error: ImageError, before: str | None) -> None:
        """Count and report a photo that cannot be read; `before`: why an earlier run could not."""
        reason = error.reason.value
        asked = self._retry_failed or (task.root, task.relpath) in self.plan.asked
        known = before == reason and not asked
        self.summary.unreadable[reason] += 1
        self.summary.known_unreadable += known
        self.emit(PhotoFailed(error, known=known))

    def _commit(self) -> None:
        self._committed_at = time.monotonic()
        pending, self._pending = self._pending, []
        failed, self._failed = self._failed, []
        stale, self._stale = self._stale, []
        if stale:  # first: if the run dies between the two, the next one reads the video again
            self.store.put_away(stale)
        if failed:
            self.store.mark_failed(failed)
        if pending:
            self.store.commit(pending)
            self._clear_suspects()
            self.emit(Committed(len(pending)))

    def _clear_suspects(self) -> None:
        """Remove the photos that have a result now from the suspects."""
        if cleared := self._suspected & self._settled:
            self.store.remove_suspects(cleared)
            self._suspected -= cleared
        self._settled.clear()
