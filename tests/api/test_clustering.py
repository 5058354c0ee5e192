"""Which calibration a clustering of an index is made with."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from pathlib import Path
from types import ModuleType

import pytest

from faceindex import FaceIndex, models
from faceindex.models import Calibration

LATEST = "id = (SELECT max(id) FROM clusterings)"


@pytest.fixture
def index(fake_models: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clustered index of the fake models."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    album = fake_models.make_album(tmp_path / "photos")
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as made:
        made.add([album])
        made.cluster()
    return tmp_path / "index"


def edit_json(index: Path, table: str, column: str, change: str, value: object, where: str = "1") -> None:
    """Set or delete (None) a key of a JSON column."""
    with sqlite3.connect(index / "catalog.sqlite") as connection:
        (text,) = connection.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        document = json.loads(text)
        if value is None:
            del document[change]
        else:
            document[change] = value
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (json.dumps(document),))
    connection.close()


def measured() -> Calibration:
    own = models.calibration_of(models.get("embedder", "fake"))
    return dataclasses.replace(own, slope=own.slope * 1.5, source="measured")


def starts_over(index: Path) -> bool:
    with FaceIndex.open(index, write=True) as opened:
        return opened.cluster().started_over


def test_a_clustering_without_a_stored_calibration_had_the_embedders_own(index: Path) -> None:
    edit_json(index, "clusterings", "params", "calibration", None, LATEST)
    assert not starts_over(index)
    edit_json(index, "clusterings", "params", "calibration", None, LATEST)
    models.save_calibration(models.get("embedder", "fake"), measured(), replace=True)
    assert starts_over(index)
    assert not starts_over(index)


def test_the_users_calibration_is_not_for_an_index_with_other_weights(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = index.parent / "weights"
    folder.mkdir()
    (folder / "fake.bin").write_bytes(b"x")
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(folder))
    weight = models.WeightFile(name="fake.bin", size=1, sha256="0" * 64, source="nowhere")
    own = models.get("embedder", "fake")
    models.register(dataclasses.replace(own, weights=(weight,)), replace=True)
    mine = measured()
    models.save_calibration(models.get("embedder", "fake"), mine, replace=True)
    edit_json(index, "meta", "value", "weights", {"fake.bin": "0" * 64}, "key = 'pins'")
    with FaceIndex.open(index) as opened:
        assert opened._reader.embedder_spec.calibration == mine
    edit_json(index, "meta", "value", "weights", {"fake.bin": "1" * 64}, "key = 'pins'")
    with FaceIndex.open(index) as opened:
        assert opened._reader.embedder_spec.calibration == own.calibration
