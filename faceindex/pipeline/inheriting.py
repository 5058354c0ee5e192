"""Find the faces of a photo on the other file of its shot: on the RAW of a JPEG that is gone, or back.

Which photo may be the other file follows from its name, its folder and its capture date. Whether a face is
the same follows from its box and its vector, never from one alone: a camera counts its files from 1 again,
and another picture may have the old name.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from faceindex import models
from faceindex.errors import ModelError
from faceindex.images.special_files import shot_of
from faceindex.pipeline.whereabouts import leaving
from faceindex.store import NewPhoto, PhotoRecord, Status, Store

if TYPE_CHECKING:
    from faceindex.pipeline.moves import Match
    from faceindex.pipeline.plan import Plan, Task
    from faceindex.store.shot_faces import Inheritance, ShotFaces
    from faceindex.types import F32, I64

__all__ = ["NO_THRESHOLD", "Heirs", "match_faces", "waiting_for_the_rest"]

NO_THRESHOLD = 0.7
"""Least similarity of a face on the two files of a shot, for models without a threshold of their own."""

# With a threshold (of one person on two photos), boxes and vectors together: of 186 faces on 120 photos of
# shared/data, these shares were found again on other renditions of the photo, with yunet and mobilefacenet:
# JPEG of quality 70 0.99, flat tones 0.97, half as bright 0.97, half the size and another white balance 0.92.
_LEAST_SHARE = 0.5  # of the faces, that must be the same ones if the capture dates do not show the same shot
_OTHER = {"still": "raw", "raw": "still"}


class Heirs:
    """Finds what new photos take over from photos that are gone, or away.

    Parameters
    ----------
    store : Store
    plan : Plan
    moved : collection of int
        Ids of the photos that were found elsewhere.
    """

    def __init__(self, store: Store, plan: Plan, moved: Collection[int]) -> None:
        self._store = store
        self._plan = plan
        self._photos: dict[str, list[PhotoRecord]] = {}
        self._taken: set[int] = set()
        self._moved = moved
        gone = {record.id for record in leaving(plan)}
        self.add([*(record for record in plan.gone if record.id in gone), *reversed(plan.away)])

    def add(self, records: Iterable[PhotoRecord]) -> None:
        """Add photos that are gone or away; those that come first are tried first."""
        for record in records:
            if record.status is Status.OK and record.picture is not None and not record.video_milliseconds:
                stem, kind = shot_of(self._plan.path_of(record))
                if kind in _OTHER:
                    self._photos.setdefault(stem, []).append(record)

    def _others(self, task: Task, taken: int | None) -> list[PhotoRecord]:
        """Return the photos that may be the other file of a shot."""
        stem, kind = shot_of(os.path.join(task.root, task.relpath))  # noqa: PTH118
        return [
            record
            for record in self._photos.get(stem, ())
            if shot_of(record.relpath)[1] == _OTHER.get(kind)
            and record.id not in self._taken
            and record.id not in self._moved
            and (taken is None or record.taken is None or taken == record.taken)
        ]

    @cached_property
    def _least(self) -> float:
        """Least similarity of one face on the two files of a shot."""
        try:
            threshold = models.get("embedder", self._store.pins.embedder).threshold
        except ModelError:  # photos come back without the model
            threshold = None
        return NO_THRESHOLD if threshold is None else threshold

    def give(self, task: Task, photo: NewPhoto) -> NewPhoto:
        """Return a photo that was just read with what it takes over, and without forgotten faces."""
        if not self._photos or (task.known is not None and task.known.status is Status.OK):
            return photo
        for record in self._others(task, photo.taken):
            new, given = self._inherited(record, photo)
            if given is None:
                continue
            if given.is_same_shot:
                self._taken.add(record.id)
            return replace(new, inheritance=given)
        return photo

    def settle_returned(self, matches: Sequence[Match], root_ids: Mapping[str, int]) -> list[int]:
        """Let photos that came back take over from the other files of their shots; return these photos."""
        taken = []
        for match in matches:
            others = self._others(match.task, match.record.taken) if self._photos else []
            places = [(root_ids[match.task.root], match.task.relpath)] if others else []
            for there in self._store.photos_at(places):
                for record in others:
                    if record.id in (there.id, match.record.id):
                        continue
                    given = self._between(record, there)
                    if given is not None and given.is_same_shot:
                        self._store.inherit(there.id, given)
                        self._taken.add(record.id)
                        taken.append(record.id)
                        break
        return taken

    def _between(self, old: PhotoRecord, new: PhotoRecord) -> Inheritance | None:
        """Return what an indexed photo takes over; None if it may be another shot."""
        faces = self._store.shot_faces(new.id)
        there = _There(new.width, new.height, new.orientation, new.taken, new.picture)
        return _inheritance(self._store, old, there, faces.boxes, faces.vectors, self._least)

    def _inherited(self, old: PhotoRecord, photo: NewPhoto) -> tuple[NewPhoto, Inheritance | None]:
        """Return a photo without forgotten faces, and what it takes over; None if it may be another shot."""
        import numpy as np

        from faceindex.store.forgotten import at_places, select_faces

        there = _There(photo.width, photo.height, photo.orientation, photo.taken, photo.picture)
        boxes = np.empty((0, 4), np.float32) if photo.faces is None else photo.faces.boxes
        vectors = np.empty((0, 1), np.float32) if photo.faces is None else photo.faces.vectors
        given = _inheritance(self._store, old, there, boxes, vectors, self._least)
        if given is None or photo.faces is None or not given.places:
            return photo, given
        kept = ~at_places(given.places, boxes, there.orientation, (there.width, there.height))
        faces = tuple(face for face, is_kept in zip(given.faces, kept.tolist(), strict=True) if is_kept)
        return replace(photo, faces=select_faces(photo.faces, kept)), replace(given, faces=faces)


class _There(NamedTuple):
    """The photo that takes over: its size, orientation, capture date and picture."""

    width: int
    height: int
    orientation: int
    taken: int | None
    picture: bytes | None


def _inheritance(
    store: Store, old: PhotoRecord, new: _There, boxes: F32, vectors: F32, least: float
) -> Inheritance | None:
    """Return what a photo takes over; None if it may be another shot, or there is nothing to take over."""
    import numpy as np

    from faceindex.store.shot_faces import Inheritance

    if new.picture is None or min(new.width, new.height, old.width, old.height) < 1:
        return None
    before = store.shot_faces(old.id)
    forgotten = [place for place in store.forgotten.places(_hashes(old)) if place[1] is not None]
    whole = any(box is None for _, box in store.forgotten.places(_hashes(old)))
    if not (len(before.face) or before.drawn or forgotten or whole):
        return None
    to = _placements((old.width, old.height), (new.width, new.height))
    found, at = match_faces(before.boxes, before.vectors, boxes, vectors, to, least)
    number = int((found >= 0).sum())
    fewer = min(len(before.face), len(boxes))
    same_date = old.taken is not None and old.taken == new.taken
    if not same_date and number < _LEAST_SHARE * fewer:
        return None
    sure = same_date or number > 0
    places: list[tuple[bytes, bytes | None]] = [(new.picture, None)] if whole else []
    for placement in [to[at]] if number else to:
        places += [(new.picture, _place(box, old, new, placement)) for _, box in forgotten if box is not None]
    ids = np.where(found >= 0, before.face[found] if len(before.face) else -1, -1)
    drawn = {}
    if sure and before.drawn:
        missed = [mark for mark, box in before.drawn.items() if not _is_found(box, old, before, found)]
        drawn = {mark: _place(before.drawn[mark], old, new, to[at]) for mark in missed}
    given = Inheritance(old.id, tuple(ids.tolist()), drawn, tuple(dict.fromkeys(places)))
    return given if given.is_same_shot or given.places else None


def _hashes(record: PhotoRecord) -> list[bytes]:
    return [key for key in (record.picture, record.content_hash) if key is not None]


def _is_found(box: bytes, old: PhotoRecord, before: ShotFaces, found: I64) -> bool:
    """Return whether a box that the user drew is that of a face that was found on the new photo."""
    from faceindex.matching import match_boxes

    here = match_boxes(before.boxes, _upright(box, (old.width, old.height), old.orientation))
    return bool(here[0] >= 0 and here[0] in found)


# Places on the two pictures ----------------------------------------------------------------------


class _Placement(NamedTuple):
    """How a place on one photo is found on the other one: scaled, then shifted."""

    scale: F32  # (4,)
    shift: F32  # (4,), in pixels

    def apply(self, boxes: F32) -> F32:
        moved: F32 = boxes * self.scale + self.shift
        return moved


def _placements(old: tuple[int, int], new: tuple[int, int]) -> list[_Placement]:
    """Return where a photo may be on another one of the same shot: all of it, or one is the other's middle.

    A camera that is set to 16:9 or to a square crops the JPEG and not the sensor data, at two of the sides.
    """
    import numpy as np

    ratios = np.array([new[0] / old[0], new[1] / old[1]], np.float32)
    found = []
    for scale in dict.fromkeys([(*ratios.tolist(),), (float(ratios.min()),) * 2, (float(ratios.max()),) * 2]):
        shift = (np.array(new) - np.array(old) * np.array(scale)) / 2
        found.append(
            _Placement(np.array([*scale, *scale], np.float32), np.array([*shift, *shift], np.float32))
        )
    return found


def match_faces(
    old: F32, old_vectors: F32, new: F32, new_vectors: F32, placements: Sequence[_Placement], least: float
) -> tuple[I64, int]:
    """Find the faces of one photo on another one of the same shot.

    Two faces are one if their boxes overlap as `faceindex.matching.match_boxes` requires, their similarity is
    at least `least`, and no other old face is more similar to the new one.

    Parameters
    ----------
    old, new : (m, 4) and (n, 4) float32
        Boxes in pixels of the upright photos.
    old_vectors, new_vectors : (m, d) and (n, d) float32
    placements : sequence of _Placement
        Where the old photo may be on the new one.
    least : float

    Returns
    -------
    found : (n,) int64
        Positions in `old`; -1 for a new face without an old one.
    placement : int
        The position of the placement at which most faces were found.
    """
    import numpy as np

    from faceindex.matching import match_boxes, overlaps

    best, place, most = np.full(len(new), -1, np.int64), 0, (0, 0.0)
    if not len(old) or not len(new):
        return best, place
    similarity = new_vectors @ old_vectors.T
    alike = (similarity >= least) & (similarity >= similarity.max(axis=1, keepdims=True) - 1e-6)
    rows = np.arange(len(new))
    for number, placement in enumerate(placements):
        moved = placement.apply(old)
        found = match_boxes(moved, new)
        found = np.where((found >= 0) & alike[rows, found], found, -1)
        fit = overlaps(moved, new)[found, rows][found >= 0]
        if (score := (len(fit), float(fit.sum()))) > most:
            best, place, most = found, number, score
    return best, place


def _upright(box: bytes, size: tuple[int, int], orientation: int) -> F32:
    import numpy as np

    from faceindex.orientation import to_upright

    stored = np.frombuffer(box, "<f4").reshape(1, 4).astype(np.float32)
    upright: F32 = to_upright(stored, np.array([orientation or 1])) * np.array([*size, *size], np.float32)
    return upright


def _place(box: bytes, old: PhotoRecord, new: _There, placement: _Placement) -> bytes:
    """Return where a box of a mark on one picture is on the other one, as in marks."""
    from faceindex.store.drawn_faces import stored_box

    upright = placement.apply(_upright(box, (old.width, old.height), old.orientation))
    return stored_box(upright[0].tolist(), (new.width, new.height), new.orientation)


# Runs that do not read all files -----------------------------------------------------------------


def waiting_for_the_rest(plan: Plan, tasks: Sequence[Task]) -> set[int]:
    """Return the positions of the tasks that wait for a run that reads all files.

    While files wait, a photo that is not found stays in the index, because it may be one of these. So the
    other file of its shot waits, too.
    """
    if not plan.older:
        return set()
    left = {record.id for record in leaving(plan)}
    staying = {
        shot_of(plan.path_of(record))
        for record in plan.gone
        if record.status is Status.OK and record.id not in left
    }
    found = set()
    for position, task in enumerate(tasks):
        stem, kind = shot_of(os.path.join(task.root, task.relpath))  # noqa: PTH118
        if kind in _OTHER and (stem, _OTHER[kind]) in staying:
            found.add(position)
    return found
