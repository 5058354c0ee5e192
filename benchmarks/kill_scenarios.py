"""Operations that change an index, for `benchmarks/kills.py`.

To add one, write a function with the decorator `scenario`: it prepares ``place`` and returns the operation.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import fakes
from forgetting_album import all_bytes
from old_formats import downgrade

from faceindex import FaceIndex
from faceindex.errors import UsageError
from faceindex.store.vectors import HEADER_BYTES

__all__ = ["SCENARIOS", "Operation", "Place", "Scenario"]


@dataclass(frozen=True)
class Place:
    """Where a scenario works: a folder with an index and an album of 4 people with 6 photos each."""

    folder: Path

    @property
    def index(self) -> Path:
        return self.folder / "index"

    @property
    def album(self) -> Path:
        return self.folder / "album"

    def make_index(self) -> None:
        """Index the album, cluster the faces, and name two people."""
        fakes.make_album(self.album, people=4, photos=6)
        with FaceIndex.create(self.index, detector="fake", embedder="fake") as index:
            index.add(self.album)
            index.cluster()
            first, second, *_ = sorted(cluster.cluster for cluster in index.clusters())
            index.people.name("Anna", clusters=[first])
            index.people.name("Ben", clusters=[second])

    def open(self) -> FaceIndex:
        return FaceIndex.open(self.index, write=True)


Operation = Callable[[], object]
Check = Callable[[Place], str]


@dataclass(frozen=True)
class Scenario:
    name: str
    prepare: Callable[[Place], Operation]
    repeats: bool
    check: Check | None
    damaged: bool


SCENARIOS: list[Scenario] = []


def scenario(
    *, repeats: bool, check: Check | None = None, damaged: bool = False
) -> Callable[[Callable[[Place], Operation]], Callable[[Place], Operation]]:
    """Register a function that prepares a place, unless it is prepared already, and returns the operation.

    Parameters
    ----------
    repeats : bool
        Whether the operation, run again after a kill, must lead to the state of the undisturbed run.
    check : callable, optional
        Returns what is wrong at its end; empty if nothing is. It must find something before the operation.
    damaged : bool
        Whether the prepared index is damaged.
    """

    def register(prepare: Callable[[Place], Operation]) -> Callable[[Place], Operation]:
        SCENARIOS.append(Scenario(prepare.__name__, prepare, repeats, check, damaged))
        return prepare

    return register


def is_new(place: Place) -> bool:
    """Return whether a place is still to be prepared: operations are made again for copies of it."""
    return not (place.album.exists() or place.index.exists())


@scenario(repeats=True)
def index_first(place: Place) -> Operation:
    """The index is created."""
    if is_new(place):
        fakes.make_album(place.album, people=4, photos=6)

    def operate() -> None:
        with FaceIndex.open_or_create(place.index, detector="fake", embedder="fake") as index:
            index.add(place.album)

    return operate


@scenario(repeats=True)
def index_new(place: Place) -> Operation:
    """Photos are added."""
    if is_new(place):
        place.make_index()
        fakes.make_album(place.album / "more", people=6, photos=6)
    return lambda: add(place)


@scenario(repeats=True)
def index_changed(place: Place) -> Operation:
    """Photos have new content, so that their faces are replaced."""
    if is_new(place):
        place.make_index()
        for number in range(6):
            for person in range(3):
                path = place.album / f"person{person}" / f"{number}.png"
                fakes.make_photo(path, fakes.colour_of(person + 1), mark=1000 + 10 * person + number)
    return lambda: add(place)


@scenario(repeats=True)
def index_moved(place: Place) -> Operation:
    """Photos are renamed, moved and swapped."""
    if is_new(place):
        place.make_index()
        (place.album / "person0").rename(place.album / "other")
        for number in range(0, 6, 2):
            one, other = (place.album / f"person{person}" / f"{number}.png" for person in (1, 2))
            one.rename(place.album / "aside.png")
            other.rename(one)
            (place.album / "aside.png").rename(other)
    return lambda: add(place)


@scenario(repeats=True)
def index_gone(place: Place) -> Operation:
    """Photos are deleted."""
    if is_new(place):
        place.make_index()
        shutil.rmtree(place.album / "person1")
        (place.album / "person0" / "0.png").unlink()
    return lambda: add(place)


@scenario(repeats=True)
def index_everything(place: Place) -> Operation:
    """Photos are added, changed, moved, deleted and unreadable in one run, which compares all contents."""
    if is_new(place):
        index_changed(place)
        (place.album / "person3").rename(place.album / "renamed")
        (place.album / "person0" / "5.png").unlink()
        (place.album / "bad.jpg").write_bytes(b"\xff\xd8\xff cut short")
        fakes.make_album(place.album / "more", people=3, photos=4)
    return lambda: add(place, check_content=True)


@scenario(repeats=True)
def index_old_format(place: Place) -> Operation:
    """An index of an older format is brought up to date, schema and pictures."""
    if is_new(place):
        fakes.make_album(place.album, people=4, photos=6)
        with FaceIndex.create(place.index, detector="fake", embedder="fake") as index:
            index.add(place.album)
        downgrade(place.index, 4)
    return lambda: add(place)


@scenario(repeats=True)
def cluster(place: Place) -> Operation:
    """New faces are clustered, and then all again."""
    if is_new(place):
        place.make_index()
        fakes.make_album(place.album / "more", people=6, photos=3)
        add(place)

    def operate() -> None:
        with place.open() as index:
            index.cluster()
            index.cluster(rebuild=True)

    return operate


@scenario(repeats=False)
def people_name(place: Place) -> Operation:
    """People are named, confirmed and rejected."""
    if is_new(place):
        place.make_index()

    def operate() -> None:
        with place.open() as index:
            free = next(cluster.cluster for cluster in index.clusters() if cluster.person is None)
            faces = [face.face for face in index.faces(person="Anna")]
            index.people.confirm(faces[:2])
            index.people.reject(faces[2:3])
            index.people.name("Carl", clusters=[free])
            index.people.not_a_face(faces=faces[3:4])

    return operate


@scenario(repeats=False)
def people_merge(place: Place) -> Operation:
    """People are renamed, hidden, merged, and that is undone."""
    if is_new(place):
        place.make_index()

    def operate() -> None:
        with place.open() as index:
            index.people.rename("Anna", "Annika")
            index.people.hide("Ben")
            index.people.merge("Annika", "Ben")
            index.people.undo(1)

    return operate


@scenario(repeats=False)
def people_apply(place: Place) -> Operation:
    """A journal of another index is applied."""
    if is_new(place):
        other = Place(place.folder / "other")
        other.folder.mkdir()
        other.make_index()
        with other.open() as index:
            index.people.name("Doris", clusters=[max(cluster.cluster for cluster in index.clusters())])
            index.people.export(place.folder / "journal.jsonl")
        place.make_index()

    def operate() -> None:
        with place.open() as index:
            index.people.apply(place.folder / "journal.jsonl", same_names=True)

    return operate


@scenario(repeats=True)
def migrate(place: Place) -> Operation:
    """The index moves to other models, and begins anew where it was killed."""
    if is_new(place):
        place.make_index()

    def operate() -> None:
        with place.open() as index:
            if index.pins.embedder != fakes.OTHER:
                index.migrate(fakes.OTHER, fakes.OTHER)

    return operate


def _check_returned(place: Place) -> str:
    expected = json.loads((place.folder / "ids.json").read_text())
    with FaceIndex.open(place.index) as index:
        ids = {face.photo: face.face for face in index if "person1" in face.photo}
        away = index.counts().away_faces
    return "" if (ids, away) == (expected, 6) else f"{ids} came back instead of {expected}, {away} are away"


@scenario(repeats=True, check=_check_returned)
def index_returned(place: Place) -> Operation:
    """Photos that were away return, and others go away."""
    if is_new(place):
        place.make_index()
        with place.open() as index:
            ids = {face.photo: face.face for face in index if "person1" in face.photo}
        (place.folder / "ids.json").write_text(json.dumps(ids))
        (place.album / "person1").rename(place.folder / "aside")
        add(place)
        (place.folder / "aside").rename(place.album / "person1")
        (place.album / "person2").rename(place.folder / "aside")
    return lambda: add(place)


@scenario(repeats=True, check=lambda place: _check_people(place, {"Anna": 6, "Annika": 6, "Ben": 6}))
def people_split(place: Place) -> Operation:
    """A person with two clusters is split."""
    if is_new(place):
        place.make_index()
        with place.open() as index:
            free = next(cluster.cluster for cluster in index.clusters() if cluster.person is None)
            index.people.name("Anna", clusters=[free])

    def operate() -> None:
        with place.open() as index:
            if "Annika" not in index.people.names():
                index.people.split("Anna", name="Annika")

    return operate


def _check_people(place: Place, faces: dict[str, int]) -> str:
    with FaceIndex.open(place.index) as index:
        found = {person.name: person.faces for person in index.people.list()}
    return "" if found == faces else f"the people are {found} instead of {faces}"


# Files of the index ------------------------------------------------------------------------------


def _keep_vector(place: Place, person: int) -> None:
    """Keep the vector of a person outside the index: all their photos have the same."""
    with FaceIndex.open(place.index) as index:
        row = next(i for i, face in enumerate(index) if f"person{person}" in face.photo)
        (place.folder / "vector").write_bytes(index.vectors()[row].tobytes())


def _check_gone(place: Place, *texts: bytes, folders: Iterable[Path] = ()) -> str:
    """Look for the kept vector, and for texts, in all files of the index and in copies."""
    for path, content in all_bytes(place.index, *folders):
        for what in ((place.folder / "vector").read_bytes(), *texts):
            if what in content:
                return f"{path} still has {what!r}"
    return _check_files(place)


def _check_files(place: Place) -> str:
    return "; ".join(problem.what for problem in FaceIndex.doctor(place.index).problems)


def _remove_photos(place: Place) -> None:
    """Remove a quarter of the photos: too few for a compaction by itself."""
    place.make_index()
    _keep_vector(place, 3)
    with place.open() as index:
        gone = [photo.id for photo in index._store.photos().values() if "person3" in photo.relpath]
        index._store.remove_photos(gone)
        index._store.update_hnsw(always=True)


def _compact(place: Place, *, erase: bool) -> None:
    with place.open() as index:
        index._store.compact(erase=erase)
        index._store.update_hnsw(always=True)


@scenario(repeats=True, check=_check_gone)
def compact(place: Place) -> Operation:
    """The vector file is compacted."""
    if is_new(place):
        _remove_photos(place)
    return lambda: _compact(place, erase=False)


@scenario(repeats=True, check=_check_gone)
def compact_erase(place: Place) -> Operation:
    """The vector file is compacted, and the old one overwritten."""
    if is_new(place):
        _remove_photos(place)
    return lambda: _compact(place, erase=True)


def _repair(place: Place) -> None:
    FaceIndex.doctor(place.index, repair=True)
    add(place)  # reads photos again whose faces could not be saved


def _check_repaired(place: Place) -> str:
    return _check_files(place) or _check_people(place, {"Anna": 6, "Ben": 6})


def _overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


@scenario(repeats=True, check=_check_repaired, damaged=True)
def doctor_vectors(place: Place) -> Operation:
    """A damaged block of the vector file is repaired."""
    if is_new(place):
        place.make_index()
        _overwrite(place.index / "vectors.f32", HEADER_BYTES + 5 * 4 * fakes.DIMENSION, bytes(64))
    return lambda: _repair(place)


@scenario(repeats=True, check=_check_repaired, damaged=True)
def doctor_catalog(place: Place) -> Operation:
    """A catalog with a damaged page, that of the faces, is repaired."""
    if is_new(place):
        place.make_index()
        catalog = place.index / "catalog.sqlite"
        with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as database:
            ((page,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'faces'")
            ((size,),) = database.execute("PRAGMA page_size")
        _overwrite(catalog, (page - 1) * size + size // 2, bytes(size // 2))
    return lambda: _repair(place)


# People and folders that leave the index ---------------------------------------------------------


def _check_forgotten(place: Place) -> str:
    with closing(sqlite3.connect(f"file:{place.index / 'catalog.sqlite'}?mode=ro", uri=True)) as database:
        ((people,),) = database.execute("SELECT count(*) FROM people")
        ((stale,),) = database.execute("SELECT count(*) FROM copies WHERE stale")
        ((away,),) = database.execute("SELECT count(*) FROM away_faces")
    if (people, stale, away) != (1, 0, 0):
        return f"{people} people are left, {stale} stale copies, {away} faces that are away"
    found = _check_gone(place, b"Anna", folders=[place.folder / "copies"])
    return found or _check_people(place, {"Ben": 6})


@scenario(repeats=True, check=_check_forgotten)
def forget(place: Place) -> Operation:
    """A person is forgotten, with a photo that is away and with two copies outside the index."""
    if is_new(place):
        place.make_index()
        with place.open() as index:
            anna = [face for face in index if face.person == "Anna"]
            index.people.confirm([face.face for face in anna[:2]])
            index.people.rename("Anna", "Anna K.")
            index.people.note("Anna K.", "Anna of the seaside")
            index._store.update_hnsw(always=True)
        _keep_vector(place, int(anna[0].photo.partition("person")[2][0]))
        Path(anna[-1].path).unlink()
        add(place)
        (place.folder / "copies").mkdir()
        with FaceIndex.open(place.index) as index:
            index.export.boxes(place.folder / "copies" / "boxes.csv", format="csv-full")
            index.export.embeddings(place.folder / "copies" / "vectors.npz")

    def operate() -> None:
        with place.open() as index:  # finishes what another process has begun
            if "Anna K." in index.people.names():
                index.forget("Anna K.")

    return operate


def _check_roots(place: Place, *expected: Path) -> str:
    with FaceIndex.open(place.index) as index:
        found = {root.path for root in index.roots()}
        lost = [face.path for face in index if not Path(face.path).exists()]
    if lost:
        return f"{lost[0]} is not there"
    return "" if found == {str(path) for path in expected} else f"the folders are {sorted(found)}"


@scenario(
    repeats=True,
    check=lambda place: _check_roots(place, place.folder / "moved", place.folder / "other" / "3"),
)
def roots_relocate(place: Place) -> Operation:
    """A folder of a root moves to another place, and then the root, of which a photo is away."""
    moves = {
        place.album / "person3": place.folder / "other" / "3",
        place.album: place.folder / "moved",
    }
    if is_new(place):
        place.make_index()
        (place.album / "person0" / "0.png").unlink()
        add(place)
        (place.folder / "other").mkdir()
        for old, new in moves.items():
            old.rename(new)

    def operate() -> None:
        with place.open() as index:
            for old, new in moves.items():
                with suppress(UsageError):  # the index has no photos of it: done before
                    index.roots.relocate(old, new)

    return operate


def _check_removed(place: Place) -> str:
    with FaceIndex.open(place.index) as index:
        away = index.counts().away_photos
    return f"{away} photos are away" if away else _check_roots(place, place.folder / "more")


@scenario(repeats=True, check=_check_removed)
def roots_remove(place: Place) -> Operation:
    """One of two roots is removed, with photos that are away."""
    if is_new(place):
        place.make_index()
        shutil.rmtree(place.album / "person0")
        add(place)
        fakes.make_album(place.folder / "more", people=2, photos=3)
        with place.open() as index:
            index.add(place.folder / "more")

    def operate() -> None:
        with place.open() as index, suppress(UsageError):
            index.roots.remove(place.album)

    return operate


def add(place: Place, *, check_content: bool = False) -> None:
    """Bring the index up to date."""
    with place.open() as index:
        index.add(place.album, check_content=check_content)
