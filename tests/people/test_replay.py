"""Journals of two machines: what both have is applied once, and conflicts are shown, not guessed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
from decided_index import make_faces, make_index, make_photo

from faceindex import FaceIndex
from faceindex.people.exchange import SCHEMA


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


def test_a_person_stays_whom_a_decision_here_needs(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    other.people.apply(one.export())
    other.people.confirm([4], "Anna")
    one.people.undo()
    (conflict,) = other.people.apply(one.export()).conflicts
    assert "has changed here since" in conflict.problem
    assert (other.person_of(1), other.person_of(4)) == (None, "Anna")


def test_a_face_of_a_person_who_was_undone_here_is_a_conflict(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    other.people.apply(one.export())
    other.people.confirm([4], "Anna")
    one.people.undo()
    replayed = one.people.apply(other.export())
    assert [conflict.problem for conflict in replayed.conflicts] == ["Anna was undone here."]
    assert (replayed.decisions, one.person_of(4)) == (0, None)


def test_a_change_of_a_person_who_was_undone_here_is_a_conflict(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    other.people.apply(one.export())
    other.people.rename("Anna", "Annika")
    one.people.undo()
    replayed = one.people.apply(other.export())
    assert [conflict.problem for conflict in replayed.conflicts] == ["Annika was undone here."]
    assert not one.people.list()


def test_a_name_there_does_not_drop_what_was_said_of_two_faces_here(
    machines: tuple[Machine, Machine],
) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    other.people.apply(one.export())
    one.people.confirm([4], "Anna")
    other.people.different([1], [4])
    (conflict,) = other.people.apply(one.export()).conflicts
    assert conflict.problem == "A face of Anna is another person here, as was said of two faces."
    assert other.person_of(4) is None


def test_a_rejection_there_does_not_drop_what_was_said_of_two_faces_here(
    machines: tuple[Machine, Machine],
) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    other.people.apply(one.export())
    face = next(face.face for face in one.index.faces(person="Anna") if face.face != 1)
    one.people.reject([face], "Anna")
    other.people.same([1, face])
    (conflict,) = other.people.apply(one.export()).conflicts
    assert conflict.problem == "A face that is Anna here is somebody else there."
    assert other.person_of(face) == "Anna"


def test_an_undone_rename_does_not_make_two_people_of_one_name(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    one.people.name("Anna", faces=[1])
    one.people.rename("Anna", "Annika")
    other.people.apply(one.export())
    other.people.name("Anna", faces=[4])
    one.people.undo()
    (conflict,) = other.people.apply(one.export()).conflicts
    assert "has changed here since" in conflict.problem
    assert sorted(person.name for person in other.people.list()) == ["Anna", "Annika"]


def test_undoing_all_that_was_applied_brings_the_clusters_back(machines: tuple[Machine, Machine]) -> None:
    one, other = machines
    first, second, *_ = (cluster.cluster for cluster in one.index.clusters())
    members = [face.face for face in one.index.faces(cluster=first)]
    one.people.name("Anna", clusters=[first])
    one.people.name("Ben", faces=members[:2])
    one.people.reject(members[2:3], "Anna")
    one.people.ignore(faces=[face.face for face in one.index.faces(cluster=second)][:2])
    before = {face.face: (face.cluster, face.person) for face in other.index}
    assert other.people.apply(one.export()).decisions == 4
    assert {face.face: (face.cluster, face.person) for face in other.index} != before
    other.people.undo(4)
    assert {face.face: (face.cluster, face.person) for face in other.index} == before


def test_two_faces_close_to_each_other_are_not_mistaken(make_machine: Callable[..., Machine]) -> None:
    one, other = make_machine("one"), make_machine("other")
    boxes = [face.box for face in one.index if face.photo.endswith("/0.jpg")][:1]
    for machine in (one, other):  # a second face whose box overlaps the first one by 0.4
        x1, y1, x2, y2 = boxes[0]
        store = machine.index._store
        photo = next(p for p in store.photos().values() if p.relpath == "0.jpg")
        faces = make_faces(0, 0)
        shifted = replace(
            faces,
            boxes=np.array([[x1, y1, x2, y2], [x1 + 0.42 * (x2 - x1), y1, x2 + 0.42 * (x2 - x1), y2]]),
            **{
                name: np.concatenate([getattr(faces, name)[:1]] * 2)
                for name in ("landmarks", "scores", "vectors", "norms", "sharpness", "quality", "turns")
            },
        )
        store.commit([replace(make_photo(photo.root_id, "0.jpg", 0, 0), faces=shifted)])
        machine.index.cluster()
    left, right = (face.face for face in one.index if face.photo.endswith("/0.jpg"))
    one.people.name("Anna", faces=[left])
    other.people.apply(one.export())
    one.people.name("Ben", faces=[right])
    assert not other.people.apply(one.export()).conflicts
    assert (other.person_of(left), other.person_of(right)) == ("Anna", "Ben")


ADAM, BEA = "a" * 32, "b" * 32
ADDED = [
    {"do": "person", "person": ADAM, "set": {"name": "Adam"}},
    {"do": "person", "person": BEA, "set": {"name": "Bea"}},
]


@pytest.mark.parametrize(
    ("decisions", "names"),
    [
        ([[{"do": "person", "person": ADAM, "set": {"name": "Adam", "into": ADAM}}]], ["Adam"]),
        ([[{"do": "person", "person": ADAM, "set": {"name": "ZOE", "into": BEA}}]], []),
        ([ADDED, [{"do": "merge", "person": ADAM, "merged": [ADAM]}]], ["Adam", "Bea"]),
        (
            [
                ADDED,
                [{"do": "person", "person": ADAM, "set": {"into": BEA}}],
                [{"do": "person", "person": BEA, "set": {"into": ADAM}}],
            ],
            ["Bea"],
        ),
        (
            [
                ADDED,
                [{"do": "merge", "person": ADAM, "merged": [BEA]}],
                [{"do": "undo", "decision": f"{2:032x}"}],
                [{"do": "merge", "person": BEA, "merged": [ADAM]}],
                [{"do": "undo", "decision": f"{3:032x}"}],
            ],
            ["Bea"],
        ),
        ([[{"do": "undo", "decision": f"{2:032x}"}], ADDED], ["Adam", "Bea"]),
        ([[*ADDED, {"do": "undo", "decision": f"{1:032x}"}]], ["Adam", "Bea"]),
    ],
)
def test_odd_files_lose_nobody(
    make_machine: Callable[..., Machine], decisions: list[list[dict[str, Any]]], names: list[str]
) -> None:
    """Merges in circles or of a person with itself, a second person of a name, undone undoing."""
    machine = make_machine("one")
    machine.people.name("Zoe", faces=[2])
    lines = [{"schema": SCHEMA, "written": "2026-01-01T00:00:00+00:00"}]
    for number, actions in enumerate(decisions, 1):
        at = "2026-01-01T00:00:00+00:00"
        lines.append({"id": f"{number:032x}", "at": at, "command": "people x", "actions": actions})  # type: ignore[dict-item]
    machine.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    machine.people.apply(machine.journal)
    assert sorted(person.name for person in machine.people.list()) == [*names, "Zoe"]
    assert machine.person_of(2) == "Zoe"


def test_a_face_of_a_person_whom_the_file_lacks_is_a_conflict(make_machine: Callable[..., Machine]) -> None:
    machine = make_machine("one")
    machine.people.name("Anna", faces=[1])
    machine.people.confirm([2], "Anna")
    header, _, confirm = machine.export().read_text().splitlines()
    machine.journal.write_text(f"{header}\n{confirm}\n")
    replayed = make_machine("other").people.apply(machine.journal)
    assert [c.problem for c in replayed.conflicts] == ["Anna is not in the index, nor in the file."]


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


@pytest.mark.parametrize("prefer", ["file", "index"])
def test_a_conflict_can_be_settled_after_it_was_shown(
    machines: tuple[Machine, Machine], prefer: Literal["file", "index"]
) -> None:
    """What conflicted is reported each time, and one side can be preferred later."""
    one, other = machines
    for name, face in (("Anna", 20), ("Ben", 21)):
        one.people.name(name, faces=[face])
    other.people.apply(one.export())
    one.people.name("Anna", faces=[1, 2])
    other.people.name("Ben", faces=[1])
    journal = one.export()
    shown = other.people.apply(journal)
    assert len(shown.conflicts) == 1
    assert other.people.apply(journal).conflicts == shown.conflicts
    assert not other.people.apply(journal, prefer=prefer).conflicts
    assert other.person_of(1) == ("Anna" if prefer == "file" else "Ben")
    assert other.person_of(2) == "Anna"
    if prefer == "file":
        assert other.people.apply(journal).decisions == 0
    assert "left_out" not in other.export().read_text()
    assert not one.people.apply(other.journal).conflicts or prefer == "index"


def test_people_of_one_name_can_be_joined_after_the_conflict_was_shown(
    machines: tuple[Machine, Machine],
) -> None:
    one, other = machines
    other.people.name("Anna", faces=[4])
    one.people.name_many(faces={1: "Anna", 8: "Ben"})
    journal = one.export()
    assert len(other.people.apply(journal).conflicts) == 1
    assert (other.person_of(1), other.person_of(8)) == (None, "Ben")
    assert not other.people.apply(journal, same_names=True).conflicts
    assert (other.person_of(1), other.person_of(4)) == ("Anna", "Anna")


@pytest.mark.parametrize(("seen", "is_conflict"), [("all", False), ("less", True), ("elsewhere", True)])
def test_what_the_author_of_a_gallery_had_seen_is_no_conflict(
    make_machine: Callable[..., Machine], seen: str, is_conflict: bool
) -> None:
    """The file of a gallery says of which index it was, and which was the newest decision then."""
    machine = make_machine("one")
    machine.people.name("Ben", faces=[8])
    machine.people.name("Anna", faces=[1])
    header, ben, anna = map(json.loads, machine.export().read_text().splitlines())
    header["index"] = "0" * 32 if seen == "elsewhere" else machine.index._store.index_id
    header["seen"] = ben["id"] if seen == "less" else anna["id"]
    label = {**ben["actions"][1], "faces": anna["actions"][1]["faces"]}
    line = {"id": "1" * 32, "at": anna["at"], "command": "people name f1 Ben", "actions": [label]}
    machine.journal.write_text(f"{json.dumps(header)}\n{json.dumps(line)}\n")
    conflicts = machine.people.apply(machine.journal).conflicts
    assert [conflict.problem for conflict in conflicts] == ["A face of Ben is Anna here."] * is_conflict
    assert machine.person_of(1) == ("Anna" if is_conflict else "Ben")


def test_decisions_of_a_gallery_leave_the_clusters_that_they_would_have_left_one_by_one(
    machines: tuple[Machine, Machine],
) -> None:
    one, other = machines
    clusters = {face.face: face.cluster for face in one.index}
    given = [cluster for cluster in clusters.values() if cluster is not None]
    largest = max({*given}, key=given.count)
    faces = [face for face, cluster in clusters.items() if cluster == largest]
    one.people.name("Anna", clusters=[largest])
    for face in faces[:3]:
        one.people.reject([face], "Anna")
    one.people.undo()
    header, *lines = one.export().read_text().splitlines()
    written = {**json.loads(header), "index": other.index._store.index_id}
    one.journal.write_text("\n".join([json.dumps(written), *lines]) + "\n")
    assert other.people.apply(one.journal).conflicts == ()
    expected, found = ({f.face: (f.cluster, f.person) for f in machine.index} for machine in (one, other))
    assert found == expected
    other.people.undo(3)
    assert {face.face: face.cluster for face in other.index} == clusters
