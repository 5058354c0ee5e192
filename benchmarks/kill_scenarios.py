"""Operations that change an index, for `benchmarks/kills.py`.

To add one, write a function with the decorator `scenario`: it prepares ``place`` and returns the operation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fakes
from old_formats import downgrade

from faceindex import FaceIndex

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


@dataclass(frozen=True)
class Scenario:
    name: str
    prepare: Callable[[Place], Operation]
    repeats: bool


SCENARIOS: list[Scenario] = []


def scenario(*, repeats: bool) -> Callable[[Callable[[Place], Operation]], Callable[[Place], Operation]]:
    """Register a function that prepares a place, unless it is prepared already, and returns the operation.

    Parameters
    ----------
    repeats : bool
        Whether the operation, run again after a kill, must lead to the state of the undisturbed run.
    """

    def register(prepare: Callable[[Place], Operation]) -> Callable[[Place], Operation]:
        SCENARIOS.append(Scenario(prepare.__name__, prepare, repeats))
        return prepare

    return register


def is_new(place: Place) -> bool:
    """Return whether a place is still to be prepared: operations are made again for copies of it."""
    return not place.album.exists()


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


def add(place: Place, *, check_content: bool = False) -> None:
    """Bring the index up to date."""
    with place.open() as index:
        index.add(place.album, check_content=check_content)
