"""An index that was made by the first code with format 1 is read and written as it was then.

``tests/fixtures/index-format-1/make.py`` made it and the expected values. Neither may ever be made again.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceindex.documents import as_json
from faceindex.store import NewPhoto, ScanCounts, Store
from faceindex.store.migrations import format_version
from faceindex.types import F32, Faces

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "index-format-1"
ROW = 8 * 4
SCAN = "digest of a scan"


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture
def directory(tmp_path: Path, expected: dict[str, Any]) -> Path:
    """A copy of the index, with the time of the HNSW index's file, on which a saved scan depends."""
    directory = tmp_path / "index"
    directory.mkdir()
    for file in (FIXTURE / "index").iterdir():
        shutil.copyfile(file, directory / file.name)  # without the mode: a checkout may be read-only
    os.utime(directory / "ann.hnsw", ns=(0, expected["hnsw_mtime_ns"]))
    return directory


def array(values: list[Any]) -> F32:
    return np.array(values, np.float32)  # None becomes NaN


UNKNOWN: dict[str, object] = {
    "picture": None,
    "orientation": 1,
    "taken": None,
    "ctime_ns": None,
    "inode": None,
    "failed": None,
}  # of photos, until they are read


def check(store: Store, expected: dict[str, Any], version: int) -> None:
    """Check everything that can be read."""
    photos = [{**photo, **UNKNOWN} for photo in expected["photos"]]
    assert store.format_version == version
    assert as_json(store.pins) == expected["pins"]
    assert as_json(store.roots()) == expected["roots"]
    assert as_json(list(store.photos().values())) == photos
    assert as_json(list(store.photos_by_id([1, 5, 12]).values())) == [
        photo for photo in photos if photo["id"] in (1, 5, 12)
    ]
    table = store.faces()
    for name, values in expected["faces"].items():
        found = getattr(table, name)
        np.testing.assert_array_equal(found, array(values) if found.dtype == np.float32 else values, name)
    some = store.assignments()
    for name in ("face", "row", "cluster", "similarity", "sharpness", "quality"):
        np.testing.assert_array_equal(getattr(some, name), getattr(table, name), name)
    assert not table.turns.any()
    assert (table.quality >= 0).all()
    assert (table.quality <= 1).all()
    assert len(np.unique(table.quality)) > 5
    np.testing.assert_array_equal(store.vectors(), array(expected["vectors"]))
    np.testing.assert_array_equal(store.vectors(table.row), array(expected["vectors"])[table.row])
    assert as_json(store.active_clustering()) == expected["clustering"]
    assert store.previous_clustering() is None
    assert store.count_newer_faces() == 0
    assert as_json(store.runs()) == expected["runs"]
    counts = as_json(store.counts())
    assert isinstance(counts, dict)
    assert {name: counts[name] for name in expected["counts"]} == expected["counts"]
    assert store.load_scan(SCAN) is None  # the next run reads all photos once
    assert store.photos_by_picture(b"") == []
    assert store.load_scan("another") is None
    for name, exact in (("exact", True), ("hnsw", False)):
        faces, similarities = store.search(array(expected["queries"]), 5, exact=exact)
        answers = expected["answers"][name]
        np.testing.assert_array_equal(faces, answers["faces"])
        np.testing.assert_allclose(similarities, array(answers["similarities"]), atol=1e-6)


def test_a_reader(directory: Path, expected: dict[str, Any]) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with Store.open(directory) as store:
        check(store, expected, expected["format"])
        assert store.generation == expected["generation"]
        assert store.transfer() is None
    for name, content in before.items():
        assert (directory / name).read_bytes() == content


def test_a_writer(directory: Path, expected: dict[str, Any]) -> None:
    rows = expected["counts"]["rows"]
    assert (directory / "vectors.f32").stat().st_size > rows * ROW
    with Store.open(directory, write=True) as store:
        check(store, expected, format_version())
        assert (directory / "vectors.f32").stat().st_size == rows * ROW
    with Store.open(directory) as store:
        check(store, expected, format_version())


def test_the_quality_is_the_same_before_and_after_the_migration(directory: Path) -> None:
    with Store.open(directory) as store:
        before = store.faces()
    with Store.open(directory, write=True) as store:
        after = store.faces()
    np.testing.assert_array_equal(before.quality, after.quality)
    np.testing.assert_array_equal(before.turns, after.turns)


def test_the_hnsw_index_is_loaded_not_built(directory: Path, expected: dict[str, Any]) -> None:
    before = (directory / "ann.hnsw").read_bytes()
    with Store.open(directory, write=True) as store:
        assert store.update_hnsw(always=True) == 2  # the faces that it lacks
        faces, _ = store.search(array(expected["queries"]), 5, exact=False)
        np.testing.assert_array_equal(faces, expected["answers"]["hnsw"]["faces"])
    assert (directory / "ann.hnsw").read_bytes() != before


def test_writing_goes_on(directory: Path, expected: dict[str, Any]) -> None:
    vectors = np.eye(2, 8, dtype=np.float32)
    ones = np.ones(2, np.float32)
    faces = Faces(np.zeros((2, 4), np.float32), np.zeros((2, 5, 2), np.float32), ones, vectors, ones, ones)
    with Store.open(directory, write=True) as store:
        store.commit([NewPhoto(1, "group.jpg", 1, 2, b"new", 3, 4, faces=faces)])
        assert store.load_scan(SCAN) is None
        moved = store.photos()[2, "caf\udce9.jpg"]
        store.move_photos([(moved.id, 1, "café.jpg", 9, 9)])
        store.update_size_and_time([(moved.id, 10, 11)])
        store.remove_photos([store.photos()[1, "beach/日没.jpg"].id])
        parent = store.add_root("/photos", "photos")
        clustering = store.active_clustering()
        assert clustering is not None
        table = store.faces()
        labels = np.full(len(table), clustering.next_cluster_id)
        store.save_clustering("kmeans", {"k": 1}, 0, table.face, labels, np.ones(len(table), np.float32))
        store.log_run("index", {"photos": 1})
        store.save_scan(SCAN, ScanCounts(1))
        store.update_hnsw(always=True)
    with Store.open(directory) as store:
        photos = store.photos()
        assert {root_id for root_id, _ in photos} == {parent.id, 2}
        assert {relpath for root_id, relpath in photos if root_id == parent.id} == {
            f"2019 Holiday/{name}"
            for name in (
                "group.jpg",
                "landscape.jpg",
                "broken.jpg",
                "notes.txt",
                "moved/here.jpg",
                "café.jpg",
            )
        }
        photo = photos[parent.id, "2019 Holiday/café.jpg"]
        assert (photo.id, photo.size, photo.mtime_ns) == (moved.id, 10, 11)
        table = store.faces()
        assert set(table.cluster.tolist()) == {expected["clustering"]["next_cluster_id"]}
        previous = store.previous_clustering()
        assert previous is not None
        assert as_json(previous.clustering) == {
            **expected["clustering"],
            "next_cluster_id": expected["clustering"]["next_cluster_id"] + 1,
        }
        cluster_of = dict(zip(expected["faces"]["face"], expected["faces"]["cluster"], strict=True))
        assert previous.labels(table).tolist() == [cluster_of.get(face, -1) for face in table.face.tolist()]
        kept = [
            row
            for row, photo_id in zip(expected["faces"]["row"], expected["faces"]["photo"], strict=True)
            if photo_id not in (1, 3)
        ]
        assert table.row.tolist() == [*kept, expected["counts"]["rows"], expected["counts"]["rows"] + 1]
        np.testing.assert_array_equal(store.vectors(table.row[-2:]), vectors)
        np.testing.assert_array_equal(
            store.vectors()[: expected["counts"]["rows"]], array(expected["vectors"])
        )
        found, _ = store.search(vectors, 1)
        assert found[:, 0].tolist() == table.face[-2:].tolist()
        assert min(table.face[-2:]) > max(expected["faces"]["face"])
        assert [run.detail for run in store.runs()][1:] == [run["detail"] for run in expected["runs"]]


def test_the_expected_values_are_varied(expected: dict[str, Any]) -> None:
    """A guard against a fixture that tests nothing."""
    faces = expected["faces"]
    assert len(faces["face"]) > 15
    assert {-1, 9} < set(faces["cluster"])
    assert None in np.array(faces["landmarks"], object).ravel()
    assert {photo["status"] for photo in expected["photos"]} == {"ok", "unreadable", "ignored"}
    assert expected["counts"]["rows"] > len(faces["face"])
    assert datetime.fromisoformat(expected["clustering"]["created"]).tzinfo is not None
    with (FIXTURE / "index" / "vectors.f32").open("rb") as file:
        assert len(file.read()) % ROW != 0
    size = sum(path.stat().st_size for path in (FIXTURE / "index").iterdir())
    assert size + (FIXTURE / "expected.json").stat().st_size < 100_000
