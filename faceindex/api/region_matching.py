"""Match the photos and regions of other programs to the photos and faces of the index.

Nothing is decided here. `faceindex.api.importing` makes decisions of the matches.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from faceindex.api.source_boxes import (
    is_cropped,
    is_usable,
    match_regions_to_faces,
    near_faces,
    places,
    same_places,
)
from faceindex.api.source_photos import FoundPhoto, PhotoFinder
from faceindex.orientation import to_upright
from faceindex.store.forgotten import at_places
from faceindex.store.marks import MarkState

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.interchange.regions import Region, SourcePhoto
    from faceindex.store.forgotten import Place
    from faceindex.types import F32, I64

__all__ = ["MOST_REGIONS", "MatchedPhoto", "MatchedRegion", "match_regions"]

MOST_REGIONS: Final = 10_000
"""Regions on one photo up to which they are used; more are damage."""

_BATCH: Final = 1_000  # photos
_BATCH_REGIONS: Final = 20_000


@dataclass(frozen=True, slots=True)
class MatchedRegion:
    """A region, and what the index has at its place.

    Attributes
    ----------
    region : Region
    name : str or None
        As the program writes it, also if only the region's person has it.
    usable : bool
        False if the box is not a place on the picture; all below is empty then.
    stored : tuple of float
        The region's box in fractions of the stored picture, as marks have it.
    upright : tuple of float
        In pixels of the upright photo.
    face : int or None
        The face that it shows. On a photo that is away, an id of ``away_faces``.
    is_near : bool
        Without `face`: whether there is a face at its place, which another region fits better.
    same_as : tuple of int
        Positions of other regions of the photo at the same place.
    mark : int or None
        Of the face.
    state : MarkState
        What the user said of the face: `MarkState.person` is the id of the person that it shows by its label,
        before merges of people (`faceindex.people.roster.Roster.roots`).
    forgotten : bool
        Whether the user has forgotten a face at its place.
    """

    region: Region
    name: str | None
    usable: bool = True
    stored: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    upright: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    face: int | None = None
    is_near: bool = False
    same_as: tuple[int, ...] = ()
    mark: int | None = None
    state: MarkState = field(default_factory=MarkState)
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class MatchedPhoto:
    """A photo of another program, and what the index has of it.

    Attributes
    ----------
    source : SourcePhoto
    found : FoundPhoto
        Where it is in the index, or why not.
    cropped : bool
        Whether its regions do not apply, because the picture had another aspect when they were stored.
    regions : tuple of MatchedRegion
        In the order of `SourcePhoto.regions`; empty if the photo is not found, or cropped.
    faces : tuple of (int, MarkState)
        All faces on it, with what the user said of them.
    has_forgotten : bool
        Whether the user has forgotten a face on it.
    """

    source: SourcePhoto
    found: FoundPhoto
    cropped: bool = False
    regions: tuple[MatchedRegion, ...] = ()
    faces: tuple[tuple[int, MarkState], ...] = ()
    has_forgotten: bool = False


def match_regions(
    reader: Reader,
    photos: Iterable[SourcePhoto],
    *,
    names: dict[str, str | None] | None = None,
    photos_at: str | os.PathLike[str] | None = None,
) -> Iterator[MatchedPhoto]:
    """Match photos and regions to the index, in batches: memory does not grow with the number of photos.

    Parameters
    ----------
    reader : Reader
    photos : iterable of SourcePhoto
        Taken as they are needed.
    names : dict of str to str or None, optional
        Names by `Region.person`, for regions that have no name of their own.
    photos_at : path-like, optional
        The folder that relative paths of the program are relative to.

    Yields
    ------
    MatchedPhoto
        One per photo, in their order.
    """
    finder = PhotoFinder(reader.store, photos_at)
    for batch in _batches(photos):
        with reader.store.snapshot():
            matched = _Batch(reader, finder, batch, names or {}).matched()
        yield from matched


def _batches(photos: Iterable[SourcePhoto]) -> Iterator[list[SourcePhoto]]:
    batch: list[SourcePhoto] = []
    regions = 0
    for photo in photos:
        batch.append(photo)
        regions += len(photo.regions)
        if len(batch) >= _BATCH or regions >= _BATCH_REGIONS:
            yield batch
            batch, regions = [], 0
    if batch:
        yield batch


class _Batch:
    """Some photos, matched together."""

    def __init__(
        self,
        reader: Reader,
        finder: PhotoFinder,
        photos: Sequence[SourcePhoto],
        names: dict[str, str | None],
    ) -> None:
        self._store = reader.store
        self._photos = photos
        self._names = names
        self._found = finder.find(photos)
        self._cropped = [self._is_cropped(i) for i in range(len(photos))]
        self._used = [
            i for i, found in enumerate(self._found) if found.record is not None and not self._cropped[i]
        ]
        self._regions: dict[int, list[MatchedRegion]] = {i: [] for i in self._used}
        self._faces: dict[int, list[tuple[int, MarkState]]] = {}

    def matched(self) -> list[MatchedPhoto]:
        """Return all of them."""
        for away in (False, True):
            self._match([i for i in self._used if self._found[i].away is away], away=away)
        with_forgotten = {i for i, there in self._forgotten_places(self._used).items() if there}
        return [
            MatchedPhoto(
                photo,
                self._found[i],
                self._cropped[i],
                tuple(self._regions.get(i, ())),
                tuple(self._faces.get(i, ())),
                i in with_forgotten,
            )
            for i, photo in enumerate(self._photos)
        ]

    def _is_cropped(self, i: int) -> bool:
        photo, record = self._photos[i], self._found[i].record
        if record is None or photo.dimensions is None or not photo.regions:
            return False
        size = record.width, record.height
        if photo.frame == "stored" and record.orientation >= 5:
            size = size[::-1]
        return is_cropped(photo.dimensions, size)

    def _match(self, which: list[int], *, away: bool) -> None:
        """Match the regions of some photos, given by their positions."""
        if not which:
            return
        face_photo, faces, face_boxes = self._read_faces(which, away=away)
        marks, states = self._said(which, face_photo, faces, face_boxes, away=away)
        for i, face in zip(face_photo.tolist(), faces.tolist(), strict=True):
            self._faces.setdefault(i, []).append((face, states[face]))
        flat = [
            (i, number, region)
            for i in which
            for number, region in enumerate(self._photos[i].regions[:MOST_REGIONS])
        ]
        if not flat:
            return
        photo = np.array([i for i, *_ in flat], np.int64)
        boxes = np.array([region.box for *_, region in flat], np.float64).astype(np.float32).reshape(-1, 4)
        records = [self._record(i) for i, *_ in flat]
        sizes = np.array([(record.width, record.height) for record in records], np.float32)
        in_pixels = np.array([self._photos[i].frame == "pixels" for i, *_ in flat])
        boxes[in_pixels] /= np.maximum(np.concatenate([sizes, sizes], axis=1)[in_pixels], np.float32(1))
        usable = is_usable(boxes)
        stored, upright = places(
            np.where(usable[:, None], boxes, np.float32(0)),
            np.array([self._photos[i].frame == "stored" for i, *_ in flat]),
            np.array([record.orientation for record in records], np.int64),
            sizes,
        )
        at, near, same = self._compare(flat, photo, upright, usable, face_photo, face_boxes)
        forgotten = self._forgotten(photo, stored, upright, usable)
        of_places, of_photos = stored.tolist(), upright.tolist()
        for row, (i, _, region) in enumerate(flat):
            name = region.name
            if name is None and region.person is not None:
                name = self._names.get(region.person)
            if not usable[row]:
                self._regions[i].append(MatchedRegion(region, name, usable=False))
                continue
            face = int(faces[at[row]]) if at[row] >= 0 else None
            self._regions[i].append(
                MatchedRegion(
                    region,
                    name,
                    True,
                    tuple(of_places[row]),
                    tuple(of_photos[row]),
                    face,
                    face is None and bool(near[row]),
                    tuple(flat[other][1] for other in same.get(row, ())),
                    None if face is None else marks.get(face),
                    MarkState() if face is None else states[face],
                    row in forgotten,
                )
            )

    def _record(self, i: int):  # type: ignore[no-untyped-def]
        record = self._found[i].record
        assert record is not None
        return record

    def _read_faces(self, which: list[int], *, away: bool) -> tuple[I64, I64, F32]:
        """Return the faces on some photos: positions of the photos, ascending, ids, and boxes."""
        on: dict[int, list[int]] = {}
        for i in which:
            on.setdefault(self._record(i).id, []).append(i)
        faces, photos, boxes = self._store.importing.faces_on(sorted(on), away=away)
        # A photo may be named twice in a batch: each time with its faces.
        copies = [(i, row) for row, id in enumerate(photos.tolist()) for i in on[id]]
        copies.sort()
        rows = np.array([row for _, row in copies], np.int64)
        return np.array([i for i, _ in copies], np.int64), faces[rows], boxes[rows]

    def _said(
        self, which: list[int], face_photo: I64, faces: I64, boxes: F32, *, away: bool
    ) -> tuple[dict[int, int], dict[int, MarkState]]:
        """Return the marks of faces, and what the user said of each face."""
        tables = self._store.decisions
        if away:
            marks = self._marks_away(which, face_photo, faces, boxes)
        else:
            marks = tables.marks_of_faces(sorted({*faces.tolist()}))
        known = tables.labels(sorted({*marks.values()}))
        return marks, {face: known[marks[face]] if face in marks else MarkState() for face in faces.tolist()}

    def _marks_away(self, which: list[int], face_photo: I64, faces: I64, boxes: F32) -> dict[int, int]:
        """Return the marks of faces on photos that are away, by their places."""
        found: dict[int, int] = {}
        for i in which:
            record = self._record(i)
            known = [] if record.picture is None else self._store.decisions.marks_on_picture(record.picture)
            if not known:
                continue
            rows = np.flatnonzero(face_photo == i)
            stored = np.frombuffer(b"".join(box for _, box in known), "<f4").reshape(-1, 4)
            upright = to_upright(stored.astype(np.float32), np.full(len(stored), record.orientation))
            upright = upright * np.array([record.width, record.height] * 2, np.float32)
            zero = np.zeros(len(known), np.int64)
            at = match_regions_to_faces(zero, upright, np.zeros(len(rows), np.int64), boxes[rows])
            found.update(
                (int(faces[rows[face]]), known[k][0]) for k, face in enumerate(at.tolist()) if face >= 0
            )
        return found

    def _compare(
        self,
        flat: Sequence[tuple[int, int, Region]],
        photo: I64,
        upright: F32,
        usable: np.ndarray,
        face_photo: I64,
        face_boxes: F32,
    ) -> tuple[I64, np.ndarray, dict[int, list[int]]]:
        """Return the face of each region, whether one is near, and the regions at the same place."""
        same: dict[int, list[int]] = {}
        rows = np.flatnonzero(usable)
        first, second = same_places(photo[rows], upright[rows])
        for a, b in zip(rows[first].tolist(), rows[second].tolist(), strict=True):
            same.setdefault(a, []).append(b)
            same.setdefault(b, []).append(a)
        # Of regions at one place, the first that a user named takes part; rejected ones never do.
        taken: set[int] = set()
        order = sorted(rows.tolist(), key=lambda row: (_rank(flat[row][2]), row))
        for row in order:
            if not flat[row][2].rejected and taken.isdisjoint(same.get(row, ())):
                taken.add(row)
        part = np.array(sorted(taken), np.int64)
        at = np.full(len(flat), -1, np.int64)
        at[part] = match_regions_to_faces(photo[part], upright[part], face_photo, face_boxes)
        near = np.zeros(len(flat), np.bool_)
        near[rows] = near_faces(photo[rows], upright[rows], face_photo, face_boxes)
        for row in rows.tolist():
            # The others have the same face.
            if row not in taken:
                others = [other for other in same.get(row, ()) if other in taken]
                at[row] = at[others[0]] if others and not flat[row][2].rejected else -1
        return at, near, same

    def _forgotten_places(self, which: Sequence[int]) -> dict[int, list[Place]]:
        """Return the places of forgotten faces on some photos."""
        keys: dict[int, list[bytes]] = {}
        for i in which:
            record = self._record(i)
            keys[i] = [key for key in (record.picture, record.content_hash) if key is not None]
        known: dict[bytes, list[Place]] = {}
        for place in self._store.forgotten.places(sorted({key for each in keys.values() for key in each})):
            known.setdefault(place[0], []).append(place)
        return {i: [place for key in hashes for place in known.get(key, ())] for i, hashes in keys.items()}

    def _forgotten(self, photo: I64, stored: F32, upright: F32, usable: np.ndarray) -> set[int]:
        """Return the rows of the regions at places of forgotten faces."""
        found: set[int] = set()
        for i, there in self._forgotten_places(np.unique(photo).tolist()).items():
            if not there:
                continue
            record = self._record(i)
            rows = np.flatnonzero((photo == i) & usable)
            gone = at_places(there, upright[rows], record.orientation, (record.width, record.height))
            found.update(rows[gone].tolist())
        return found


def _rank(region: Region) -> int:
    """Return how much a region says: one that a user named comes first."""
    if region.name is None and region.person is None:
        return 2
    return 0 if region.confirmed else 1
