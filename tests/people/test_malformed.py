"""Malformed decisions in the catalog: an error that names the catalog, and no traceback."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import ModuleType

import pytest
from decided_index import make_index

from faceindex import FaceIndex
from faceindex.errors import IndexCorrupt

DAMAGES = {
    "unknown label": "UPDATE marks SET label = 9",
    "label of text": "UPDATE marks SET label = 'x'",
    "short box": "UPDATE marks SET box = x'00'",
    "actions": "UPDATE decisions SET actions = '{'",
    "actions of another form": "UPDATE decisions SET actions = '[1]'",
    "changes": "UPDATE decisions SET changes = 'x'",
    "change of an unknown kind": """UPDATE decisions SET changes = '[["x", 1]]'""",
    "change without values": """UPDATE decisions SET changes = '[["mark", 1]]'""",
    "empty change": "UPDATE decisions SET changes = '[[]]'",
    "id of a person": "UPDATE people SET id = 2000000000",
    "negative id of a person": "UPDATE people SET id = -3",
    "time": "UPDATE decisions SET at = 'yesterday'",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_decisions_are_reported(damage: str, tmp_path: Path, fake_models: ModuleType) -> None:
    make_index(tmp_path / "index", 8)
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index.cluster()
        index.people.name("Anna", clusters=[0], faces=[1])
    database = sqlite3.connect(tmp_path / "index" / "catalog.sqlite")
    with database:
        database.execute(DAMAGES[damage])
    database.close()
    with FaceIndex.open(tmp_path / "index", write=True) as index, pytest.raises(IndexCorrupt) as caught:
        index.people.log()
        index.people.confirm([1])
        index.people.undo(2)
        with index._store.deciding():
            index._store.decisions.match()
    assert "catalog.sqlite" in caught.value.problem
