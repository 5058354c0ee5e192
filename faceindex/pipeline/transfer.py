"""Stage the photos of an index for other models: read again, recognise or only embed, in bounded batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np

from faceindex import images
from faceindex.drawn_faces import embed_drawn
from faceindex.errors import ImageError, Reason
from faceindex.matching import match_boxes
from faceindex.pipeline import run
from faceindex.pipeline.batches import Outcome, recognise_in_batches
from faceindex.pipeline.content import Content
from faceindex.pipeline.events import Committed, Event, PhotoDone, PhotoFailed, Planned
from faceindex.recognition import LoadedPhoto, Recogniser
from faceindex.store import FaceTable, PhotoRecord, Status, Store
from faceindex.store.photos import PhotoNames
from faceindex.store.transfer import StagedPhoto, Transfer
from faceindex.types import F32, I64, BoolArray, Detections, Faces

__all__ = ["Staging", "photos_to_read", "stage_photos"]


@dataclass(slots=True)
class Staging:
    """What `stage_photos` did.

    Attributes
    ----------
    read : int
        Photos that were staged.
    faces : int
        Faces on them.
    failed : list of (PhotoRecord, ImageError)
        Photos that are missing, have changed or cannot be read.
    interrupted : bool
        Whether it was stopped early; everything finished is staged.
    """

    read: int = 0
    faces: int = 0
    failed: list[tuple[PhotoRecord, ImageError]] = field(default_factory=list)
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class _IndexedPhoto:
    """A photo of the index, a `faceindex.pipeline.load.Source`."""

    record: PhotoRecord
    name: str

    at_once: ClassVar[bool] = False

    def read(self) -> bytes:
        return images.read(self.name)


def photos_to_read(store: Store, *, keep_boxes: bool) -> list[PhotoRecord]:
    """Return the photos that other models must read, in the order of their ids; staged ones too.

    Parameters
    ----------
    store : Store
    keep_boxes : bool
        Only photos with faces; else all that could be read.
    """
    return [
        record
        for record in store.photos().values()
        if record.status is Status.OK
        and record.video_milliseconds is None
        and (record.faces or not keep_boxes)
    ]


def stage_photos(
    store: Store,
    transfer: Transfer,
    recogniser: Recogniser,
    photos: Sequence[PhotoRecord],
    *,
    keep_boxes: bool,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool],
) -> Staging:
    """Stage photos; a photo whose content is not the indexed one fails.

    Parameters
    ----------
    store : Store
        Open for writing.
    transfer : Transfer
    recogniser : Recogniser
        The new models.
    photos : sequence of PhotoRecord
        Photos of `photos_to_read` that are not staged.
    keep_boxes : bool
        Embed the faces that are in the index; else detect faces, and match them with these by their boxes.
    on_event, should_stop
        As in `faceindex.pipeline.index_photos`.
    """
    on_event(Planned(len(photos)))
    known = _KnownFaces(store, photos)
    sources = [_IndexedPhoto(record, known.names.path(record)) for record in photos]
    photo_of = {source.name: source.record.id for source in sources}
    drawn: _WithDrawn | None = None
    if keep_boxes:
        recogniser = _Embedding(recogniser, known, photo_of)
    elif boxes_of := store.drawn_faces.boxes_of_photos(photo_of.values()):
        on_photos = {id: store.drawn_faces.upright_boxes(id, boxes) for id, boxes in boxes_of.items()}
        recogniser = drawn = _WithDrawn(recogniser, on_photos, photo_of)
    done = Staging()
    pending: list[StagedPhoto] = []

    def commit() -> None:
        if pending:
            transfer.stage(pending)
            on_event(Committed(len(pending)))
            pending.clear()

    committed_at, left = time.monotonic(), len(sources)
    for outcomes in recognise_in_batches(sources, recogniser, number=len(sources), should_stop=should_stop):
        left -= len(outcomes)
        for outcome in outcomes:
            record, faces = outcome.source.record, _checked(outcome)
            if isinstance(faces, ImageError):
                done.failed.append((record, faces))
                on_event(PhotoFailed(faces))
                continue
            ids, boxes = known.faces(record.id)
            if keep_boxes:
                replaces, by_hand = ids, known.by_hand(record.id)
            else:
                by_hand = np.arange(len(faces)) >= len(faces) - (drawn.added(record.id) if drawn else 0)
                found = match_boxes(boxes, faces.boxes)
                replaces = np.where(found >= 0, ids[found] if len(ids) else -1, -1)
            pending.append(StagedPhoto(record.id, faces, replaces, by_hand))
            done.read += 1
            done.faces += len(faces)
            on_event(PhotoDone(outcome.source.name, len(faces)))
        if len(pending) >= run.COMMIT_PHOTOS or time.monotonic() - committed_at > run.COMMIT_SECONDS:
            commit()
            committed_at = time.monotonic()
    commit()
    done.interrupted = left > 0
    return done


def _checked(outcome: Outcome[_IndexedPhoto]) -> Faces | ImageError:
    """Return the result; an error if the file has neither the indexed content nor the indexed picture."""
    record, found = outcome.source.record, outcome.content_hash
    if found is None or found == record.content_hash:
        return outcome.result
    content = None
    if outcome.picture is not None:
        content = Content(found, outcome.picture, outcome.width, outcome.height)
    if content is None or not content.shows(record):
        return ImageError(
            outcome.source.name,
            Reason.CHANGED,
            "it has changed since it was indexed.",
            "Run `faceindex index` on its folder, then this command again.",
        )
    return outcome.result


class _KnownFaces:
    """The faces that the index has on some photos."""

    def __init__(self, store: Store, photos: Sequence[PhotoRecord]) -> None:
        with store.snapshot():
            self.names = PhotoNames(store, [record.id for record in photos])
            self._table: FaceTable = store.faces()
        self._order = np.argsort(self._table.photo, kind="stable")  # by photo, then by face
        self._photos = self._table.photo[self._order]

    def _positions(self, photo: int) -> I64:
        start, stop = np.searchsorted(self._photos, [photo, photo + 1])
        return self._order[start:stop]

    def faces(self, photo: int) -> tuple[I64, F32]:
        """Return the ids (n,) and boxes (n, 4) of the faces of a photo, by ascending id."""
        positions = self._positions(photo)
        return self._table.face[positions], self._table.boxes[positions]

    def by_hand(self, photo: int) -> BoolArray:
        """Return which faces of a photo the user drew, (n,)."""
        return self._table.by_hand[self._positions(photo)]

    def detections(self, photo: int) -> Detections:
        """Return the faces of a photo, by ascending id."""
        positions, table = self._positions(photo), self._table
        return Detections(
            table.boxes[positions],
            table.landmarks[positions],
            table.scores[positions],
            table.turns[positions],
        )


class _Embedding(Recogniser):
    """Returns known faces with the vectors of an embedder, instead of detecting faces."""

    def __init__(self, models: Recogniser, known: _KnownFaces, photos: Mapping[str, int]) -> None:
        super().__init__(models.detector, models.embedder, device=models.device)
        self._known = known
        self._photos = photos

    def recognise(self, photos: Sequence[LoadedPhoto]) -> list[Faces]:
        return self.embed_faces(
            photos, [self._known.detections(self._photos[photo.path]) for photo in photos]
        )


class _WithDrawn(Recogniser):
    """Recognises photos; the last faces of each are those that the user drew and the detector misses."""

    def __init__(self, models: Recogniser, boxes: Mapping[int, F32], photos: Mapping[str, int]) -> None:
        super().__init__(
            models.detector, models.embedder, device=models.device, second_looks=models.second_looks
        )
        self._boxes = boxes
        self._photos = photos
        self._added: dict[int, int] = {}

    def added(self, photo: int) -> int:
        """Return how many of the faces of a photo, the last ones, are at boxes that the user drew."""
        return self._added.get(photo, 0)

    def recognise(self, photos: Sequence[LoadedPhoto]) -> list[Faces]:
        found = super().recognise(photos)
        for i, photo in enumerate(photos):
            id = self._photos[photo.path]
            if id not in self._boxes:
                continue
            missed = match_boxes(found[i].boxes, self._boxes[id]) < 0
            drawn = embed_drawn(self, photo, self._boxes[id][missed])
            self._added[id] = len(drawn)
            found[i] = Faces(
                **{
                    each.name: np.concatenate([getattr(found[i], each.name), getattr(drawn, each.name)])
                    for each in fields(Faces)
                }
            )
        return found
