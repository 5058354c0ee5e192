"""``index.cluster`` and ``faceindex cluster`` on Ray: the same clusters, and no vectors are left behind."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from faceindex import FaceIndex
from faceindex.clustering import incremental, neighbours, partition
from faceindex.store import NewPhoto, Pins, Store
from faceindex.types import F32, Faces

on_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed")
PEOPLE, EACH, DIMENSION = 100, 12, 16


@pytest.fixture(autouse=True)
def _partition_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 300)
    monkeypatch.setattr(neighbours, "SHARD", 300)
    monkeypatch.setattr(partition, "SHARD", 400)


def _faces(seed: int, n: int) -> F32:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((PEOPLE, DIMENSION))
    vectors = centres[rng.integers(PEOPLE, size=n)] + 0.2 * rng.standard_normal((n, DIMENSION))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _commit(store: Store, vectors: F32, first: int) -> None:
    (root,) = store.roots()
    one, point = np.ones(1, np.float32), np.full((1, 5, 2), 2, np.float32)
    box = np.array([[1, 1, 3, 3]], np.float32)
    store.commit(
        [
            NewPhoto(
                root.id,
                f"{i}.jpg",
                9,
                9,
                i.to_bytes(20, "big"),
                64,
                48,
                faces=Faces(box, point, one, vector[None], one, one),
            )
            for i, vector in enumerate(vectors, first)
        ]
    )


@pytest.fixture
def directory(tmp_path: Path, fake_models: ModuleType) -> Path:
    """An index of made-up faces."""
    with Store.create(tmp_path / "index", Pins("fake", "fake", DIMENSION, {"min_face": 30.0})) as store:
        store.add_root(str(tmp_path / "photos"), "photos")
        _commit(store, _faces(1, PEOPLE * EACH), 0)
    return tmp_path / "index"


def _labels(index: FaceIndex, **more: Any) -> tuple[list[int | None], bool]:
    result = index.cluster(threshold=0.8, **more)
    return [face.cluster for face in index], result.distributed


def _parts(directory: Path) -> list[Path]:
    return list(directory.glob(".parts-*"))


@on_ray
def test_the_clusters_are_the_same(
    directory: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaceIndex.open(directory, write=True) as index:
        here, distributed = _labels(index)
        assert (len(set(here)), distributed) == (PEOPLE, False)
        assert _labels(index, rebuild=True, on="ray", actors=2) == (here, True)
        assert index.cluster(threshold=0.8, rebuild=True, on="ray", dry_run=True).distributed
        assert _labels(index, on="ray") == (here, False)  # nothing has changed
        assert not _parts(directory)

        # A part, by a partition that is searched for the new faces.
        monkeypatch.setattr(neighbours, "FEW_QUERIES", 10)
        monkeypatch.setattr(incremental, "PART_ABOVE", 500)
        _commit(index._store, _faces(2, 90), PEOPLE * EACH)
        expected = index.cluster(threshold=0.8, dry_run=True)
        grown, distributed = _labels(index, on="ray", actors=2)
        assert distributed
        assert len(set(grown)) == len(expected.sizes) == PEOPLE
        assert not _parts(directory)


def test_few_faces_start_no_ray(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 20_000)
    monkeypatch.setattr("faceindex.engine.pool.RayEngine.start", lambda self: pytest.fail("Ray is started"))
    monkeypatch.setattr("faceindex.api.extraction.check_installed", lambda: None)
    with FaceIndex.open(directory, write=True) as index:
        here, distributed = _labels(index, on="ray")
        assert (len(set(here)), distributed) == (PEOPLE, False)
