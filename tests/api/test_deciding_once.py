"""A decision with a uid is made once, however often the call is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import pytest
from decided_index import make_index

from faceindex import FaceIndex
from faceindex.errors import UsageError


@pytest.fixture
def index(tmp_path: Path, fake_models: ModuleType) -> Iterator[FaceIndex]:
    """A clustered index of four people on twelve pictures."""
    make_index(tmp_path / "index", 12)
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index.cluster()
        yield index


def members(index: FaceIndex, cluster: int) -> list[int]:
    return [face.face for face in index.faces(cluster=cluster)]


def test_every_verb_decides_once(index: FaceIndex) -> None:
    people = index.people
    a, b, c = members(index, 0), members(index, 1), members(index, 2)
    calls: list[Callable[[str], object]] = [
        lambda uid: people.name("Anna", clusters=[0], faces=b[:1], uid=uid),
        lambda uid: people.confirm(a[:2], uid=uid),
        lambda uid: people.reject(a[2:3], uid=uid),
        lambda uid: people.name("Ben", clusters=[1], uid=uid),
        lambda uid: people.different(a[3:4], c[:1], uid=uid),
        lambda uid: people.same(c[1:3], uid=uid),
        lambda uid: people.split(2, c[:1], name="Carl", uid=uid),
        lambda uid: people.rename("Ben", "Benno", uid=uid),
        lambda uid: people.born("Benno", "1950", uid=uid),
        lambda uid: people.died("Benno", "2020-05", uid=uid),
        lambda uid: people.hide("Benno", uid=uid),
        lambda uid: people.note("Benno", "from Ulm", uid=uid),
        lambda uid: people.merge("Anna", "Benno", uid=uid),
        lambda uid: people.ignore(faces=a[4:5], uid=uid),
        lambda uid: people.not_a_face(faces=a[5:6], uid=uid),
        lambda uid: people.undo(uid=uid),
    ]
    for number, call in enumerate(calls, 1):
        uid = uuid4().hex
        first = call(uid)
        before = index.table().cluster.tolist()
        again = call(uid)
        assert people.count_decisions() == number
        assert index.table().cluster.tolist() == before
        if isinstance(first, tuple):  # the split: what is returned of it is the part
            assert (again[0].part, again[1]) == (first[0].part, first[1])  # type: ignore[index]
        elif isinstance(first, list):
            assert again[0][1] == first[0][1]  # type: ignore[index]
            assert again[0][0].undone_by == number  # type: ignore[index]
        else:
            assert again == first


def test_a_repeated_call_does_not_bring_back_what_was_undone(index: FaceIndex) -> None:
    uid = uuid4().hex
    first = index.people.name("Anna", clusters=[0], uid=uid)
    index.people.undo(expected=first.number)
    assert index.people.name("Anna", clusters=[0], uid=uid) == first
    assert index.people.names() == []
    assert index.people.name("Anna", clusters=[0], uid=uid, dry_run=True).number is None


def test_what_says_nothing_new_leaves_its_uid_free(index: FaceIndex) -> None:
    uid = uuid4().hex
    index.people.name("Anna", clusters=[0])
    assert index.people.name("Anna", clusters=[0], uid=uid).number is None
    assert index.people.rename("Anna", "Anne", uid=uid).number is not None
    assert (index.people.names(), index.people.count_decisions()) == (["Anne"], 2)


@pytest.mark.parametrize("uid", ["", "1234", "G" * 32, "A" * 32, "0" * 33, "0" * 31 + "\n"])
def test_a_uid_has_32_digits(index: FaceIndex, uid: str) -> None:
    with pytest.raises(UsageError, match="which no decision can have"):
        index.people.name("Anna", clusters=[0], uid=uid)
    assert index.people.names() == []


def test_undo_takes_back_the_decision_that_was_meant(index: FaceIndex) -> None:
    index.people.name("Anna", clusters=[0])
    second = index.people.name("Ben", clusters=[1])
    with pytest.raises(UsageError, match="Decision 1 is not the newest: decision 2 would be undone"):
        index.people.undo(expected=1)
    assert index.people.names() == ["Anna", "Ben"]
    with pytest.raises(UsageError, match="One `uid`"):
        index.people.undo(2, uid=uuid4().hex)
    ((entry, _),) = index.people.undo(expected=second.number)
    assert (entry.number, index.people.names()) == (2, ["Anna"])


def test_an_answer_is_decided_once(index: FaceIndex) -> None:
    question = next(q for q in index.people.suggest() if q.kind == "who")
    uid = uuid4().hex
    first = index.people.answer(question, name="Anna", uid=uid)
    assert index.people.answer(question, name="Anna", uid=uid) == first
    assert index.people.count_decisions() == 1
