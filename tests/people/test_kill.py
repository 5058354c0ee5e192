"""A process is killed in the middle of a decision: it is there as a whole afterwards, or not at all."""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from decided_index import make_index, said_by_user
from killing import Kind, run

from faceindex import FaceIndex

KILLS = int(os.environ.get("FACEINDEX_KILLS", "6"))
"""Kills of each verb."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")

VERBS: dict[str, Callable[[FaceIndex, Path], object]] = {
    "name": lambda index, _: index.people.name("Emil", clusters=[2], faces=[1]),
    "confirm": lambda index, _: index.people.confirm([_face(index, "Anna")]),
    "reject": lambda index, _: index.people.reject([_face(index, "Anna")]),
    "ignore": lambda index, _: index.people.ignore(clusters=[3]),
    "not a face": lambda index, _: index.people.not_a_face(faces=[1, 2, 3]),
    "same": lambda index, _: index.people.same([_face_in(index, 2), _face_in(index, 3)]),
    "different": lambda index, _: index.people.different([_face_in(index, 2)], [_face_in(index, 3)]),
    "rename": lambda index, _: index.people.rename("Anna", "Annika"),
    "born": lambda index, _: index.people.born("Anna", "1975"),
    "hide": lambda index, _: index.people.hide("Ben"),
    "note": lambda index, _: index.people.note("Ben", "a neighbour"),
    "merge": lambda index, _: index.people.merge("Anna", "Ben"),
    "undo": lambda index, _: index.people.undo(2),
    "apply": lambda index, folder: index.people.apply(folder / "journal.jsonl", same_names=True),
}


def _face(index: FaceIndex, name: str) -> int:
    return next(face.face for face in index if face.person == name)


def _face_in(index: FaceIndex, cluster: int) -> int:
    return next(index.faces(cluster=cluster)).face


def _state(directory: Path) -> tuple[object, ...]:
    """Return everything that a decision may change, without what is random: people by name, not by uid."""
    with FaceIndex.open(directory) as index:
        labels, rejections, links, people = said_by_user(index)
        name_of = {uid: name for uid, name, *_ in people}
        return (
            {(key, label, name_of.get(uid)) for key, label, uid in labels},
            {(key, name_of[uid]) for key, uid in rejections},
            links,
            {(name, born, hidden) for _, name, born, hidden in people},
            {person.name: person.note for person in index.people.list()},
            {face.face: face.cluster for face in index},
            {face.face: face.person for face in index},
            [(entry.command, entry.undone_by) for entry in index.people.log()],
        )


@pytest.fixture
def decided(tmp_path: Path, fake_models: ModuleType) -> Path:
    """The directory of a clustered index with two people, and beside it a journal of another index."""
    make_index(tmp_path / "other", 20)
    with FaceIndex.open(tmp_path / "other", write=True) as index:
        index.cluster()
        index.people.name("Anna", clusters=[0])
        index.people.name("Gerd", clusters=[3])
        index.people.export(tmp_path / "journal.jsonl")
    make_index(tmp_path / "index", 20)
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index.cluster()
        assert len(index.clusters()) == 4
        index.people.name("Anna", clusters=[0])
        index.people.name("Ben", clusters=[1])
        index.people.reject([_face(index, "Ben")])
    return tmp_path / "index"


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_decision_is_whole_or_not_there(verb: str, decided: Path) -> None:
    folder = decided.parent
    before = _state(decided)
    shutil.copytree(decided, folder / "after")
    undisturbed = run(partial(_decide, verb, folder / "after", folder))
    assert not undisturbed.error
    after = _state(folder / "after")
    assert after != before
    rng = random.Random(verb)
    for number in range(KILLS):
        copy = folder / f"copy{number}"
        shutil.copytree(decided, copy)
        if number % 2:
            seconds = rng.uniform(0.1, 1) * undisturbed.seconds
            done = run(partial(_decide, verb, copy, folder), seconds=seconds)
        else:
            kind: Kind = "file" if number % 4 else "database"
            step = kind, rng.randint(1, undisturbed.steps[kind])
            done = run(partial(_decide, verb, copy, folder), step=step)
            assert done.killed
        assert not done.error
        assert _state(copy) in (before, after)
        with FaceIndex.open(copy, write=True) as index:  # the lock is free, and the index can be changed
            index.people.note(index.people.list()[0], "after the kill")
        shutil.rmtree(copy)


def _decide(verb: str, directory: Path, folder: Path) -> None:
    with FaceIndex.open(directory, write=True) as index:
        VERBS[verb](index, folder)
