"""Journals of two machines: what both have is applied once, and conflicts are shown, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
from decided_index import make_index

from faceindex import FaceIndex


class Machine:
    """An index of the same pictures as those of other machines."""

    def __init__(self, folder: Path, pictures: int = 12) -> None:
        make_index(folder, pictures)
        self.journal = folder.with_suffix(".jsonl")
        self.index = FaceIndex.open(folder, write=True)
        self.index.cluster()
        self.people = self.index.people

    def person_of(self, face: int) -> str | None:
        return {found.face: found.person for found in self.index}[face]

    def export(self) -> Path:
        self.people.export(self.journal)
        return self.journal


@pytest.fixture
def make_machine(tmp_path: Path, fake_models: ModuleType) -> Iterator[Callable[..., Machine]]:
    """Make machines by name and number of pictures."""
    with ExitStack() as indexes:

        def make(name: str, pictures: int = 12) -> Machine:
            machine = Machine(tmp_path / name, pictures)
            indexes.enter_context(machine.index)
            return machine

        yield make


@pytest.fixture
def machines(make_machine: Callable[..., Machine]) -> tuple[Machine, Machine]:
    return make_machine("one"), make_machine("other")


def test_decisions_of_both_machines_add_up(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    assert other.people.apply(one.export()).decisions == 1
    other.people.confirm([4], "Anna")
    one.people.born("Anna", "1950")
    one.people.name("Ben", faces=[8])
    for to, of in ((one, other), (other, one)):
        replayed = to.people.apply(of.export())
        assert not replayed.conflicts
    for machine in machines:
        assert [machine.person_of(face) for face in (1, 4, 8)] == ["Anna", "Anna", "Ben"]
        assert machine.people.get("anna").born == "1950"
    assert one.people.apply(other.export()).decisions == 0


def test_a_face_with_two_names_is_a_conflict(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    for name in ("Anna", "Ben"):
        one.people.name(name, faces=[20 if name == "Anna" else 21])
    other.people.apply(one.export())
    one.people.name("Anna", faces=[1, 2])
    other.people.name("Ben", faces=[1])
    journal = one.export()
    before = other.people.log()
    shown = other.people.apply(journal, dry_run=True)
    assert other.people.log() == before
    replayed = other.people.apply(journal)
    assert replayed.conflicts == shown.conflicts
    (conflict,) = replayed.conflicts
    assert conflict.problem == "A face of Anna is Ben here."
    assert conflict.photo == "0.jpg"
    assert (other.person_of(1), other.person_of(2)) == ("Ben", "Anna")  # the rest is applied


@pytest.mark.parametrize(("prefer", "name"), [("file", "Anna"), ("index", "Ben")])
def test_one_side_can_be_preferred(machines: tuple[Machine, Machine], prefer: str, name: str) -> None:
    one, other = machines
    for each, face in (("Anna", 20), ("Ben", 21)):
        one.people.name(each, faces=[face])
    other.people.apply(one.export())
    one.people.name("Anna", faces=[1])
    other.people.name("Ben", faces=[1])
    replayed = other.people.apply(one.export(), prefer=prefer)  # type: ignore[arg-type]
    assert not replayed.conflicts
    assert other.person_of(1) == name


def test_a_later_decision_that_knew_the_earlier_one_is_no_conflict(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    other.people.apply(one.export())
    other.people.name("Ben", faces=[1])
    assert not one.people.apply(other.export()).conflicts
    assert one.person_of(1) == "Ben"


def test_one_name_added_twice_is_not_guessed(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    other.people.name("ANNA", faces=[4])
    replayed = other.people.apply(one.export())
    assert [conflict.problem for conflict in replayed.conflicts] == [
        "Both have 'Anna', added separately: one person, or two of one name?"
    ]
    assert (replayed.decisions, other.person_of(1)) == (0, None)
    replayed = other.people.apply(one.export(), same_names=True)
    assert not replayed.conflicts
    assert [person.name for person in other.people.list()] == ["ANNA"]
    assert (other.person_of(1), other.person_of(4)) == ("ANNA", "ANNA")
    one.people.confirm([2], "Anna")  # later decisions about the same person are understood
    other.people.apply(one.export())
    assert other.person_of(2) == "ANNA"


def test_a_rejection_here_is_a_conflict_with_a_name_there(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[20])
    other.people.apply(one.export())
    one.people.confirm([1], "Anna")
    other.people.reject([1], "Anna")
    assert [c.problem for c in other.people.apply(one.export()).conflicts] == [
        "A face of Anna was rejected here."
    ]
    assert [c.problem for c in one.people.apply(other.export()).conflicts] == [
        "A face that is Anna here is somebody else there."
    ]
    assert (one.person_of(1), other.person_of(1)) == ("Anna", None)


def test_an_undone_decision_is_undone_there_too(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    other.people.apply(one.export())
    one.people.undo()
    assert not other.people.apply(one.export()).conflicts
    assert other.people.list() == []
    assert other.person_of(1) is None


def test_an_undone_decision_that_was_built_upon_is_a_conflict(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    other.people.apply(one.export())
    other.people.rename("Anna", "Annika")
    one.people.undo()
    (conflict,) = other.people.apply(one.export()).conflicts
    assert "has changed here since" in conflict.problem
    assert [person.name for person in other.people.list()] == ["Annika"]


def test_decisions_wait_for_their_photos(make_machine: Callable[..., Machine]) -> None:
    one, other = make_machine("one"), make_machine("other", 3)
    faces = [face.face for face in one.index]
    one.people.name("Anna", faces=[faces[-1]])
    replayed = other.people.apply(one.export())
    assert (replayed.faces, replayed.unmatched) == (0, 1)
    assert [(person.name, person.faces) for person in other.people.list()] == [("Anna", 0)]


def test_applying_needs_no_clusters(make_machine: Callable[..., Machine], tmp_path: Path) -> None:
    one = make_machine("one")
    one.people.name("Anna", clusters=[one.index.clusters()[0].cluster])
    make_index(tmp_path / "fresh", 12)
    with FaceIndex.open(tmp_path / "fresh", write=True) as index:
        index.people.apply(one.export())
        (anna,) = index.people.list()
        assert anna.faces == one.people.get("Anna").faces
        index.cluster()
        assert len(index.people.get("Anna").clusters) == 1
