"""Read the videos of a run of `index`: search them, and make the photos to commit of their moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from faceindex.errors import ImageError, Reason
from faceindex.images import Picture
from faceindex.images.containers import locate
from faceindex.images.moments import FrameBytes, moment_name, video_digest
from faceindex.images.video_process import VideoAbout, VideoProcess
from faceindex.pipeline.batches import Outcome, recognise_in_batches
from faceindex.pipeline.content import Content
from faceindex.pipeline.events import Event, Watching
from faceindex.pipeline.plan import Task
from faceindex.pipeline.videos import VIDEO_INTERVAL, SearchedVideo, search_video, without_second_looks
from faceindex.recognition import Recogniser
from faceindex.store import NewPhoto, Store
from faceindex.store.records import VIDEO_PREFIX

__all__ = ["KnownVideo", "MomentSource", "ReadVideo", "VideoReader", "recognise_moments"]


@dataclass(frozen=True, slots=True)
class MomentSource:
    """A moment to recognise, a `faceindex.pipeline.load.Source`."""

    process: VideoProcess
    video: str
    milliseconds: int

    at_once: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its path."""
        return f"{self.video}/{moment_name(self.milliseconds)}"

    def read(self) -> FrameBytes:
        """Decode the frame; raises `ImageError`."""
        return self.process.moment(self.video, self.milliseconds)


@dataclass(frozen=True, slots=True)
class ReadVideo:
    """A video to commit: the photos of its moments, and its own row, which shows that all are there."""

    moments: list[NewPhoto]
    row: NewPhoto
    seconds: float

    @property
    def faces(self) -> int:
        """Faces on the moments."""
        return sum(0 if moment.faces is None else len(moment.faces) for moment in self.moments)


@dataclass(frozen=True, slots=True)
class KnownVideo:
    """What is known of a video before it is searched.

    Attributes
    ----------
    content_hash : bytes
        `faceindex.images.moments.video_digest` of the file.
    about : VideoAbout
    """

    content_hash: bytes
    about: VideoAbout

    @property
    def content(self) -> Content:
        """The identity of the file and of its pictures."""
        about = self.about
        picture = Picture(about.identity, 1, about.taken)
        return Content(self.content_hash, picture, about.width, about.height)


class VideoReader:
    """Reads videos in a process that ends with this; a context manager.

    Parameters
    ----------
    store : Store
    recogniser : Recogniser
    interval : float, optional
        Seconds between frames; None means `VIDEO_INTERVAL`.
    on_event : callable
    should_stop : callable
    """

    def __init__(
        self,
        store: Store,
        recogniser: Recogniser,
        interval: float | None,
        on_event: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._store = store
        self._recogniser = recogniser
        self._interval = VIDEO_INTERVAL if interval is None else interval
        self._emit = on_event
        self._should_stop = should_stop
        self._process = self._new_process()

    @staticmethod
    def _new_process() -> VideoProcess:
        return VideoProcess()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.__exit__(*error)

    def about(self, task: Task) -> KnownVideo:
        """Open a video, and decode nothing; raises `ImageError`."""
        inside = locate(task.path)
        if inside is not None:
            raise ImageError(
                task.name,
                Reason.NESTED,
                f"a video inside {inside.container}, which is not read there.",
                "Unpack it, and index the folder.",
            )
        try:
            return KnownVideo(video_digest(task.path), self._process.about(task.path))
        except OSError as error:
            raise ImageError(
                task.name,
                Reason.IO_ERROR,
                f"it cannot be read ({error.strerror or error}).",
                "Check the disk or the network connection, and try again.",
            ) from error

    def read(self, task: Task, known: KnownVideo, root_id: int) -> ReadVideo | None:
        """Search a video and recognise its moments; None if `should_stop` ended it. Raises `ImageError`."""
        about, path = known.about, task.name

        def on_progress(milliseconds: int) -> None:
            self._emit(Watching(path, milliseconds, about.milliseconds))

        found = search_video(
            self._process,
            path,
            self._recogniser,
            about,
            interval=self._interval,
            should_stop=self._should_stop,
            on_progress=on_progress,
        )
        if found is None:
            return None
        outcomes = recognise_moments(self._process, path, found, self._recogniser, self._should_stop)
        if outcomes is None:
            return None
        notes = [found.note] if found.note else []
        if failed := sum(isinstance(outcome.result, ImageError) for outcome in outcomes):
            what = "1 frame" if failed == 1 else f"{failed} frames"
            notes.append(f"{what} with faces cannot be decoded again.")
        moments = [self._moment(task, outcome, root_id) for outcome in outcomes]
        row = NewPhoto(
            root_id=root_id,
            relpath=task.relpath,
            size=task.size,
            mtime_ns=task.mtime_ns,
            content_hash=known.content_hash,
            width=about.width,
            height=about.height,
            reason=f"{VIDEO_PREFIX}{about.milliseconds}",
            picture=about.identity,
            taken=about.taken,
            detail=" ".join(notes) or None,
            ctime_ns=task.ctime_ns,
            inode=task.inode,
        )
        return ReadVideo([photo for photo in moments if photo is not None], row, about.milliseconds / 1000)

    def _moment(self, task: Task, outcome: Outcome[MomentSource], root_id: int) -> NewPhoto | None:
        """Make the photo of a moment; None if it shows no face, or nobody who is not forgotten."""
        if isinstance(outcome.result, ImageError) or outcome.picture is None:
            return None
        photo = self._store.forgotten.without(
            NewPhoto(
                root_id=root_id,
                relpath=f"{task.relpath}/{moment_name(outcome.source.milliseconds)}",
                size=task.size,
                mtime_ns=task.mtime_ns,
                content_hash=outcome.content_hash,
                width=outcome.width,
                height=outcome.height,
                faces=outcome.result,
                picture=outcome.picture.hash,
                orientation=outcome.picture.orientation,
                taken=outcome.picture.taken,
                detail=outcome.note,
            )
        )
        return photo if photo.faces is not None and len(photo.faces) else None


def recognise_moments(
    process: VideoProcess,
    path: str,
    found: SearchedVideo,
    recogniser: Recogniser,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Outcome[MomentSource]] | None:
    """Recognise the moments of a video at full size; None if `should_stop` ended it.

    They are searched as photos are, but for `SearchedVideo.upright`.
    """
    if found.upright and not found.doubtful:
        recogniser = without_second_looks(recogniser)
    sources = [MomentSource(process, path, time) for time in found.moments]
    outcomes = [
        outcome
        for batch in recognise_in_batches(sources, recogniser, number=len(sources), should_stop=should_stop)
        for outcome in batch
    ]
    return outcomes if len(outcomes) == len(sources) else None
