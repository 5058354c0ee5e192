"""Sort the matched regions of an import: what a decision may come of, and what is only counted."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from faceindex.api.adding_faces import LEAST_SIDE
from faceindex.api.import_names import ImportedName, ImportedNames
from faceindex.api.import_results import Counter, ImportConflict
from faceindex.api.region_matching import MOST_REGIONS, MatchedPhoto, MatchedRegion
from faceindex.api.source_boxes import same_places
from faceindex.api.source_photos import Lookup
from faceindex.errors import UsageError
from faceindex.store.marks import Label

if TYPE_CHECKING:
    from faceindex.store import PhotoRecord
    from faceindex.types import BoolArray

__all__ = ["Gathered", "NewPlace", "gather"]

_NOBODY: Final = (Label.STRANGER, Label.NOT_A_FACE)
_LOOKUPS: Final = {
    Lookup.ABSENT: ("absent", "absent_photos"),
    Lookup.AMBIGUOUS: ("ambiguous", "ambiguous_photos"),
    Lookup.UNSURE: ("unsure", "unsure_photos"),
}


@dataclass(frozen=True, slots=True)
class NewPlace:
    """A named region at whose place the index has no face, or has one on a photo that is away.

    Attributes
    ----------
    photo : int
    shape : (int, int, int)
        Width and height of the upright photo, and its orientation.
    picture : bytes or None
        Hash of the picture; None if the index does not know it yet.
    stored : tuple of float
        The box in fractions of the stored picture.
    upright : tuple of float
        In pixels of the upright photo, inside it.
    has_face : bool
        Whether a face is there, on a photo that is away.
    name : int
        Id of an `ImportedName`.
    source : int
        Number of the program's photo.
    path : str
        Of the photo, for messages.
    """

    photo: int
    shape: tuple[int, int, int]
    picture: bytes | None
    stored: tuple[float, float, float, float]
    upright: tuple[float, float, float, float]
    has_face: bool
    name: int
    source: int
    path: str


@dataclass(slots=True)
class Gathered:
    """What the regions of an import say.

    Attributes
    ----------
    names : ImportedNames
    counter : Counter
    faces, face_names, face_sources : array of int
        Faces of the index with their names, and the numbers of the program's photos.
    placed : array of int
        1 where a name had no place, and the face is the only one on its photo.
    drawn, away : list of NewPlace
        On photos of the index, and on those that are away.
    """

    names: ImportedNames = field(default_factory=ImportedNames)
    counter: Counter = field(default_factory=Counter)
    faces: array[int] = field(default_factory=lambda: array("q"))
    face_names: array[int] = field(default_factory=lambda: array("q"))
    face_sources: array[int] = field(default_factory=lambda: array("q"))
    placed: array[int] = field(default_factory=lambda: array("b"))
    drawn: list[NewPlace] = field(default_factory=list)
    away: list[NewPlace] = field(default_factory=list)
    _claims: tuple[array[int], array[int], array[int]] = field(
        default_factory=lambda: (array("q"), array("q"), array("q"))
    )
    _uncertain: dict[int, str] = field(default_factory=dict)

    def add_face(self, face: int, name: int, source: int, *, placed: bool = False) -> None:
        """Keep that a face has a name."""
        self.faces.append(face)
        self.face_names.append(name)
        self.face_sources.append(source)
        self.placed.append(placed)

    def claim(self, photo: int, strength: int, source: int, path: str) -> None:
        """Keep that a photo of the program may be one of the index; 0 means that this is certain."""
        for column, value in zip(self._claims, (photo, strength, source), strict=True):
            column.append(value)
        if strength:
            self._uncertain[source] = path

    def refuse_weaker_claims(self) -> None:
        """Drop what is said of photos that two photos of the program may be: the better match counts.

        Of two that are as good, neither does, unless both have one path: these are two records of one photo.
        """
        if not self._uncertain:
            return
        photo, strength, source = (np.frombuffer(column, np.int64) for column in self._claims)
        rank = np.where(strength == 0, np.iinfo(np.int64).max, strength)
        order = np.lexsort((-rank, photo))
        photo, rank, source = photo[order], rank[order], source[order]
        first = np.searchsorted(photo, photo, "left")
        second = np.minimum(first + 1, len(photo) - 1)
        tied = (photo[second] == photo) & (rank[second] == rank[first]) & (second != first)
        best = np.flatnonzero(tied & (rank == rank[first]) & (rank != np.iinfo(np.int64).max))
        paths: dict[int, set[str]] = {}
        for row in best.tolist():
            paths.setdefault(int(photo[row]), set()).add(self._uncertain[int(source[row])].casefold())
        refused = rank < rank[first]
        refused[[row for row in best.tolist() if len(paths[int(photo[row])]) > 1]] = True
        refused &= rank != np.iinfo(np.int64).max
        lost = {int(number) for number in source[refused]}
        if not lost:
            return
        for number in sorted(lost):
            self.counter.add("found", -1)
            self.counter.add("ambiguous")
            self.counter.list("ambiguous_photos", self._uncertain[number])
        self._keep_faces(~np.isin(np.frombuffer(self.face_sources, np.int64), sorted(lost)), "not_found")
        for entries in (self.drawn, self.away):
            kept = [entry for entry in entries if entry.source not in lost]
            self.counter.add("not_found", len(entries) - len(kept))
            entries[:] = kept

    def drop_faces(self, faces: Collection[int], what: str) -> None:
        """Drop what is said of some faces; their regions are counted as a field of `ImportReport`."""
        self._keep_faces(~np.isin(np.frombuffer(self.faces, np.int64), sorted(faces)), what)

    def drop_names(self, names: Collection[int]) -> None:
        """Drop all that has some names: those of people who were forgotten here."""
        if not names:
            return
        self._keep_faces(~np.isin(np.frombuffer(self.face_names, np.int64), sorted(names)), "forgotten")
        for entries in (self.drawn, self.away):
            kept = [entry for entry in entries if entry.name not in names]
            self.counter.add("forgotten", len(entries) - len(kept))
            entries[:] = kept

    def _keep_faces(self, keep: BoolArray, what: str) -> None:
        placed = np.frombuffer(self.placed, np.int8)
        self.counter.add("undecided", int(((placed == 1) & ~keep).sum()))
        self.counter.add(what, int(((placed == 0) & ~keep).sum()))
        self.faces, self.face_names, self.face_sources = (
            array("q", np.frombuffer(column, np.int64)[keep].tobytes())
            for column in (self.faces, self.face_names, self.face_sources)
        )
        self.placed = array("b", placed[keep].tobytes())

    def pool_copies(self) -> None:
        """Keep a region without a face once, where several records of a photo or of its copies have it."""
        groups: dict[object, list[NewPlace]] = {}
        for place in self.drawn:
            key = place.photo if place.picture is None else (place.picture, place.shape)
            groups.setdefault(key, []).append(place)
        self.drawn = []
        for places in groups.values():
            if len({place.source for place in places}) > 1:
                places = self._pooled(places)
            self.drawn += places

    def _pooled(self, places: list[NewPlace]) -> list[NewPlace]:
        boxes = np.array([place.upright for place in places], np.float32)
        first, second = same_places(np.zeros(len(places), np.int64), boxes)
        dropped: dict[int, str] = {}
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            if places[a].name != places[b].name:
                for one, other in ((a, b), (b, a)):
                    if dropped.get(one) != "contradicting":
                        self._contradicts(places[one], places[other])
                    dropped[one] = "contradicting"
            elif a not in dropped:
                dropped.setdefault(b, "duplicate")
        for what in dropped.values():
            self.counter.add(what)
        return [replace(p, photo=places[0].photo) for i, p in enumerate(places) if i not in dropped]

    def _contradicts(self, place: NewPlace, other: NewPlace) -> None:
        names = self.names.all
        problem = f"The place of this name is that of {names[other.name].name}, too."
        self.counter.list("conflicts", ImportConflict(place.path, names[place.name].name, problem))


def gather(
    photos: Iterable[MatchedPhoto],
    *,
    whole_photos: bool,
    both: bool,
    photo_name: Callable[[PhotoRecord], str],
) -> Gathered:
    """Sort what is said of each photo.

    Parameters
    ----------
    photos : iterable of MatchedPhoto
    whole_photos : bool
        A name without a place is that of the only face on a photo.
    both : bool
        Take a name that is on two faces of one photo for both.
    photo_name : callable
        Returns the name of a photo of the index, for messages.
    """
    found = Gathered()
    for source, photo in enumerate(photos):
        _Sorter(found, photo, source, both, photo_name).sort(whole_photos)
    return found


class _Sorter:
    """Sorts what is said of one photo."""

    def __init__(
        self,
        found: Gathered,
        photo: MatchedPhoto,
        source: int,
        both: bool,
        photo_name: Callable[[PhotoRecord], str],
    ) -> None:
        self._found, self._photo, self._source, self._both = found, photo, source, both
        self._photo_name = photo_name
        self._count = found.counter.add

    def sort(self, whole_photos: bool) -> None:
        """Sort all of it."""
        source, found = self._photo.source, self._photo.found
        self._count("photos")
        self._count("regions", len(source.regions))
        self._count("placeless", len(source.people))
        if found.record is None:
            what, listed = _LOOKUPS[found.lookup]
            self._count(what)
            self._found.counter.list(listed, source.path)
            self._count("not_found", len(source.regions))
            return
        self._count("found")
        self._count("away", int(found.away))
        self._found.claim(found.record.id, 0 if found.certain else found.tail, self._source, source.path)
        if self._photo.cropped:
            self._count("cropped")
            self._count("on_cropped", len(source.regions))
            self._found.counter.list("cropped_photos", source.path)
        elif source.regions:
            self._sort_regions()
        if source.people:
            self._sort_people(whole_photos)

    def _problem(self, text: str) -> None:
        source = self._photo.source
        where = source.source or source.path
        self._found.counter.list("problems", f"{where}: {text}")

    def _sort_regions(self) -> None:
        regions = self._photo.regions
        if left := len(self._photo.source.regions) - len(regions):
            self._count("unusable", left)
            self._problem(f"only the first {MOST_REGIONS:,} regions of the photo are used.")
        named: dict[int, ImportedName] = {}
        for at, region in enumerate(regions):
            if (name := self._name(region)) is not None:
                named[at] = name
        for at, region in enumerate(regions):
            if at in named and any(other < at and named.get(other) is named[at] for other in region.same_as):
                del named[at]
                self._count("duplicate")
        contradicting = self._contradicting(named)
        for at, name in named.items():
            region = regions[at]
            if region.forgotten and region.face is None:
                name.forgotten = True
                self._count("forgotten")
            elif at in contradicting:
                self._count("contradicting")
            else:
                self._sort_region(region, name)

    def _name(self, found: MatchedRegion) -> ImportedName | None:
        """Return the name of a region that counts."""
        region = found.region
        what = None
        if not found.usable:
            what = "unusable"
            self._problem("a region is not on the picture.")
        elif region.rejected:
            what = "rejected"
        elif found.name is None or not found.name.strip():
            what = "unnamed"
        elif not region.confirmed:
            what = "unconfirmed"
        if what is not None or found.name is None:
            self._count(what or "unnamed")
            return None
        name = self._clean(found.name, region.person)
        if name is None:
            self._count("unusable")
        return name

    def _clean(self, written: str, person: str | None = None) -> ImportedName | None:
        """Return a name; None, and a problem, if nobody can have it."""
        try:
            return self._found.names.find(written, person)
        except UsageError as error:
            self._problem(error.problem)
            return None

    def _contradicting(self, named: Mapping[int, ImportedName]) -> set[int]:
        """Return the regions at whose place is another name, and those whose name is at two places."""
        regions = self._photo.regions
        found: set[int] = set()
        at_places: dict[int, list[int]] = {}
        for at, name in named.items():
            at_places.setdefault(name.id, []).append(at)
            others = sorted({named[other].name for other in regions[at].same_as if other in named})
            if others:
                found.add(at)
                self._conflict(name, f"The place of this name is that of {others[0]}, too.")
        for positions in at_places.values():
            if len(positions) > 1 and not self._both:
                name = named[positions[0]]
                self._conflict(name, f"The photo has this name on {len(positions)} faces.")
                found.update(positions)
        return found

    def _conflict(self, name: ImportedName, problem: str) -> None:
        record = self._photo.found.record
        assert record is not None
        self._found.counter.list("conflicts", ImportConflict(self._photo_name(record), name.name, problem))

    def _sort_region(self, region: MatchedRegion, name: ImportedName) -> None:
        """Sort a region that says who a face is."""
        record = self._photo.found.record
        assert record is not None
        away = self._photo.found.away
        if region.face is not None and not away:
            self._found.add_face(region.face, name.id, self._source)
            return
        if region.is_near:
            self._count("crowded")
            return
        x1, y1, x2, y2 = region.upright
        box = max(x1, 0.0), max(y1, 0.0), min(x2, float(record.width)), min(y2, float(record.height))
        if region.face is None and min(box[2] - box[0], box[3] - box[1]) < LEAST_SIDE:
            self._count("small")
        elif away and record.picture is None:
            self._count("unread")
        else:
            shape = record.width, record.height, record.orientation
            entries = self._found.away if away else self._found.drawn
            entries.append(
                NewPlace(
                    record.id, shape, record.picture, region.stored, box, region.face is not None, name.id,
                    self._source, self._photo_name(record),
                )
            )  # fmt: skip

    def _sort_people(self, whole_photos: bool) -> None:
        """Sort the names without a place."""
        names: dict[int, ImportedName] = {}
        for written in self._photo.source.people:
            if (name := self._clean(written)) is not None:
                names[name.id] = name
        faces = tuple(face for face, state in self._photo.faces if state.label not in _NOBODY)
        regions = any(region.name for region in self._photo.source.regions)
        alone = whole_photos and len(names) == 1 and not regions and not self._photo.found.away
        rest = len(self._photo.source.people)
        alone = alone and not self._photo.has_forgotten
        if alone and len(faces) == 1 and not self._has_others(faces[0]):
            # Of several faces, `cluster` finds the one that resembles the person. That is a belief, which
            # later photos may correct; a name that is given here would count as the user's word.
            rest -= 1
            self._found.add_face(faces[0], next(iter(names)), self._source, placed=True)
        self._count("undecided", rest)

    def _has_others(self, face: int) -> bool:
        """Whether the program has a face on the photo that is not this one."""
        regions = (region for region in self._photo.regions if region.usable and not region.region.rejected)
        return any(region.face != face for region in regions)
