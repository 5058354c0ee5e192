"""Exact search against brute force, HNSW indexes against exact search, damaged HNSW indexes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import numpy as np
import pytest

from faceindex.errors import UsageError
from faceindex.metrics import recall_at_k
from faceindex.store import HnswParams, NewPhoto, Pins, Store, exact, search
from faceindex.store.hnsw import HnswIndex
from faceindex.types import F32, I64

MakePhoto: TypeAlias = Callable[..., NewPhoto]
MakeVectors: TypeAlias = Callable[..., F32]
Fill: TypeAlias = Callable[..., None]
RemovePhotos: TypeAlias = Callable[..., None]

DIMENSION = 16


def _people(faces: int, people: int, seed: int, dimension: int = DIMENSION) -> tuple[F32, I64]:
    """(faces, dimension) unit vectors of `people` people, and the person of each."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, dimension))
    who = rng.integers(0, people, faces)
    vectors = centres[who] + 0.4 * rng.standard_normal((faces, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), who


def _brute_force(queries: F32, vectors: F32, ids: I64, k: int) -> tuple[I64, F32]:
    similarities = queries @ vectors.T
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return ids[order], np.take_along_axis(similarities, order, 1)


@pytest.fixture
def fill(make_photo: MakePhoto) -> Fill:
    """Commit vectors as photos with three faces each."""

    def commit(store: Store, vectors: F32, name: str = "photo") -> None:
        root = store.add_root("/photos", "photos").id
        store.commit(
            [
                make_photo(root, f"{name}{i}.jpg", vectors[i : i + 3], content=f"{name}{i}")
                for i in range(0, len(vectors), 3)
            ]
        )

    return commit


@pytest.fixture
def remove_photos() -> RemovePhotos:
    """Remove every photo of a name, or every second one."""

    def remove(store: Store, name: str, step: int = 1) -> None:
        ids = [r.id for r in store.photos().values() if r.relpath.startswith(name)]
        store.remove_photos(ids[::step])

    return remove


@pytest.mark.parametrize("k", [1, 7, 64, 300])
@pytest.mark.parametrize("block_bytes", [1 << 10, 1 << 14, 64 << 20])
def test_exact_search_equals_brute_force(monkeypatch: pytest.MonkeyPatch, k: int, block_bytes: int) -> None:
    monkeypatch.setattr(exact, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(exact, "QUERY_BLOCK", 17)
    vectors, _ = _people(250, 20, seed=1)
    queries, _ = _people(40, 20, seed=2)
    alive = np.random.default_rng(3).random(250) < 0.7
    rows, similarities = exact.top_k(queries, vectors, k, alive)
    expected_rows, expected = _brute_force(queries, vectors[alive], np.flatnonzero(alive), k)
    n = min(k, int(alive.sum()))
    np.testing.assert_array_equal(rows[:, :n], expected_rows)
    np.testing.assert_allclose(similarities[:, :n], expected, atol=1e-6)
    assert (rows[:, n:] == -1).all()
    assert (similarities[:, n:] == -np.inf).all()
    assert rows.shape == similarities.shape == (40, k)


@pytest.mark.parametrize("block_bytes", [1 << 8, 64 << 20])
def test_ties_go_to_the_lower_row(monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    monkeypatch.setattr(exact, "BLOCK_BYTES", block_bytes)
    vectors = np.tile(np.eye(4, dtype=np.float32), (25, 1))
    rows, similarities = exact.top_k(np.eye(4, dtype=np.float32), vectors, 5, np.ones(100, np.bool_))
    np.testing.assert_array_equal(rows, np.arange(4)[:, None] + 4 * np.arange(5))
    np.testing.assert_array_equal(similarities, 1)


def test_search_finds_live_faces_only(
    store: Store, fill: Fill, remove_photos: RemovePhotos, unit_vectors: MakeVectors
) -> None:
    fill(store, unit_vectors(30, 0), "a")
    fill(store, unit_vectors(30, 1), "b")
    remove_photos(store, "a")
    table = store.faces()
    assert table.row.tolist() == list(range(30, 60))
    queries = unit_vectors(5, 2)
    faces, similarities = store.search(queries, 4)
    expected_faces, expected = _brute_force(queries, store.vectors(table.row), table.face, 4)
    np.testing.assert_array_equal(faces, expected_faces)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    assert faces.dtype == np.int64
    assert similarities.dtype == np.float32


@pytest.mark.parametrize("exact", [True, False, None])
def test_an_empty_index_and_an_empty_query(
    store: Store, fill: Fill, unit_vectors: MakeVectors, exact: bool | None
) -> None:
    none = np.empty((0, DIMENSION), np.float32)
    faces, similarities = store.search(unit_vectors(2, 0), 3, exact=exact)
    assert faces.tolist() == [[-1] * 3] * 2
    assert (similarities == -np.inf).all()
    assert store.update_hnsw(always=True) == 0
    fill(store, unit_vectors(4, 0))
    store.update_hnsw(always=True)
    faces, similarities = store.search(none, 3, exact=exact)
    assert faces.shape == similarities.shape == (0, 3)


def test_a_search_for_no_neighbours_is_an_error(store: Store, unit_vectors: MakeVectors) -> None:
    with pytest.raises(UsageError, match="Choose 1 or more"):
        store.search(unit_vectors(1, 0), 0)


# The HNSW index


def test_hnsw_recall(store: Store, fill: Fill) -> None:
    vectors, _ = _people(2100, 100, seed=4)
    fill(store, vectors[:2000])
    assert store.update_hnsw(always=True) == 2000
    queries = vectors[2000:]
    expected, _ = store.search(queries, 10, exact=True)
    found, found_similarities = store.search(queries, 10, exact=False)
    assert recall_at_k(found, expected) > 0.99
    assert np.all(np.diff(found_similarities, axis=1) <= 0)
    table = store.faces()
    gathered = vectors[np.searchsorted(table.face, found)]
    np.testing.assert_allclose(found_similarities, np.einsum("mkd,md->mk", gathered, queries), atol=1e-6)


def test_rows_that_the_hnsw_index_lacks_are_searched_exactly(
    store: Store, directory: Path, fill: Fill
) -> None:
    vectors, _ = _people(900, 30, seed=5)
    fill(store, vectors[:600], "a")
    store.update_hnsw(always=True)
    with Store.open(directory) as reader:
        reader.search(vectors[:1], 1, exact=False)
        fill(store, vectors[600:], "b")
        found, similarities = reader.search(vectors, 1, exact=False)
        assert found.ravel().tolist() == reader.faces().face.tolist()
        np.testing.assert_allclose(similarities, 1, atol=1e-6)
        assert store.update_hnsw(always=True) == 300
        assert reader.search(vectors, 1, exact=False)[0].ravel().tolist() == found.ravel().tolist()
    assert store.update_hnsw(always=True) == 0


def test_the_hnsw_index_finds_k_live_faces_among_tombstones(
    store: Store, fill: Fill, remove_photos: RemovePhotos
) -> None:
    vectors, _ = _people(600, 10, seed=6)
    fill(store, vectors[:480], "a")
    fill(store, vectors[480:], "b")
    store.update_hnsw(always=True)
    remove_photos(store, "a")
    live = set(store.faces().face.tolist())
    for k in (10, 120, 130):
        found, _ = store.search(vectors[:50], k, exact=False)
        for line in found.tolist():
            neighbours = [face for face in line if face >= 0]
            assert len(neighbours) == len(set(neighbours)) == min(k, 120)
            assert set(neighbours) <= live


def test_the_hnsw_index_is_rebuilt_without_its_tombstones(
    store: Store, fill: Fill, remove_photos: RemovePhotos, unit_vectors: MakeVectors
) -> None:
    fill(store, unit_vectors(90, 0), "a")
    store.update_hnsw(always=True)
    remove_photos(store, "a", step=2)
    assert store.update_hnsw(always=True) == 45
    assert store.update_hnsw(always=True) == 0


def test_two_builds_give_the_same_hnsw_index(
    directory: Path, pins: Pins, fill: Fill, unit_vectors: MakeVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceindex.store.creation.uuid4", lambda: UUID(int=1))  # the file has the index's id
    files = []
    for name in ("1", "2"):
        with Store.create(directory / name, pins) as store:
            fill(store, unit_vectors(200, 0), "a")
            store.update_hnsw(always=True)
            fill(store, unit_vectors(100, 1), "b")
            store.update_hnsw(always=True)
            files.append((directory / name / "ann.hnsw").read_bytes())
    assert files[0] == files[1]


def test_below_the_crossover_no_hnsw_index_is_built_or_used(
    store: Store, directory: Path, fill: Fill, unit_vectors: MakeVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, unit_vectors(30, 0))
    assert store.update_hnsw() == 0
    assert not (directory / "ann.hnsw").exists()
    monkeypatch.setattr(search, "EXACT_BELOW", 30)
    monkeypatch.setattr(search, "LOAD_AFTER", 3)
    assert store.update_hnsw() == 30
    used = []
    monkeypatch.setattr(HnswIndex, "search", lambda self, *arguments: used.append(arguments))
    store.search(unit_vectors(1, 0), 1)
    assert len(used) == 1
    store.search(unit_vectors(1, 0), 1, exact=True)
    monkeypatch.setattr(search, "EXACT_BELOW", 31)
    store.search(unit_vectors(1, 0), 1)
    assert len(used) == 1


def test_a_damaged_hnsw_index_is_not_used_and_is_rebuilt(
    store: Store, directory: Path, fill: Fill, unit_vectors: MakeVectors
) -> None:
    vectors = unit_vectors(300, 0)
    fill(store, vectors)
    store.update_hnsw(always=True)
    store.close()
    path = directory / "ann.hnsw"
    good = path.read_bytes()
    rng = random.Random(0)
    damaged = [b"", good[:3], good[:44], good[:-1], good + b"\0", b"\0" * len(good), rng.randbytes(5000)]
    for _ in range(60):
        flipped = bytearray(good)
        flipped[rng.randrange(rng.choice((60, 2000, len(good))))] ^= 1 << rng.randrange(8)
        damaged.append(bytes(flipped))
    with Store.open(directory) as reader:
        expected = reader.search(vectors[:20], 5, exact=True)
    for content in damaged:
        path.write_bytes(content)
        with Store.open(directory) as reader:
            np.testing.assert_array_equal(reader.search(vectors[:20], 5, exact=False)[0], expected[0])
            assert reader._rows.search().hnsw is None
    with Store.open(directory, write=True) as writer:
        assert writer.update_hnsw(always=True) == 300
    assert path.read_bytes() == good


def test_an_hnsw_index_with_other_parameters_is_rebuilt(
    directory: Path, pins: Pins, fill: Fill, unit_vectors: MakeVectors
) -> None:
    vectors = unit_vectors(30, 0)
    for name, m in (("8", 8), ("12", 12)):
        with Store.create(directory / name, pins, hnsw=HnswParams(m=m)) as store:
            fill(store, vectors)
            store.update_hnsw(always=True)
    (directory / "8" / "ann.hnsw").replace(directory / "12" / "ann.hnsw")
    with Store.open(directory / "12", write=True) as store:
        assert store.update_hnsw(always=True) == 30


def test_an_hnsw_index_of_vectors_from_before_a_restore_is_not_used(
    directory: Path, pins: Pins, fill: Fill, unit_vectors: MakeVectors
) -> None:
    with Store.create(directory, pins) as store:
        fill(store, unit_vectors(30, 0), "a")
    backup = {
        name: (directory / name).read_bytes() for name in ("catalog.sqlite", "catalog.digests", "vectors.f32")
    }
    with Store.open(directory, write=True) as store:
        fill(store, unit_vectors(30, 1), "b")
        store.update_hnsw(always=True)
    for name, content in backup.items():
        (directory / name).write_bytes(content)
    other = unit_vectors(60, 2)
    with Store.open(directory, write=True) as store:
        assert store.search(unit_vectors(30, 0), 1, exact=False)[0].ravel().tolist() == list(range(1, 31))
        fill(store, other, "c")
        found, similarities = store.search(other, 1, exact=False)
        assert found.ravel().tolist() == store.faces().face[30:].tolist()
        np.testing.assert_allclose(similarities, 1, atol=1e-6)
        assert store.update_hnsw(always=True) == 90


def test_the_hnsw_index_is_loaded_only_for_many_queries(
    store: Store, directory: Path, fill: Fill, unit_vectors: MakeVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, unit_vectors(30, 0))
    store.update_hnsw(always=True)
    monkeypatch.setattr(search, "EXACT_BELOW", 30)
    monkeypatch.setattr(search, "LOAD_AFTER", 10)
    with Store.open(directory) as reader:
        reader.search(unit_vectors(6, 1), 1)
        reader.search(unit_vectors(1, 1), 1)  # a single query counts as three
        assert reader._rows.search().hnsw is None
        reader.search(unit_vectors(1, 1), 1)
        assert reader._rows.search().hnsw is not None


def test_an_interrupted_build_is_continued(
    store: Store, fill: Fill, unit_vectors: MakeVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faceindex.store.hnsw.ADD_BLOCK", 10)
    vectors = unit_vectors(30, 0)
    fill(store, vectors)

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.update_hnsw(always=True, progress=stop)
    faces, _ = store.search(vectors, 30, exact=False)
    np.testing.assert_array_equal(np.sort(faces, axis=1), np.tile(np.arange(1, 31), (30, 1)))
    assert store.update_hnsw(always=True) == 10


def test_an_interrupted_save_keeps_the_old_hnsw_index(
    store: Store, directory: Path, fill: Fill, unit_vectors: MakeVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, unit_vectors(30, 0), "a")
    store.update_hnsw(always=True)
    good = (directory / "ann.hnsw").read_bytes()
    fill(store, unit_vectors(30, 1), "b")

    def fail(fd: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("faceindex.files.sync_file", fail)
        with pytest.raises(KeyboardInterrupt):
            store.update_hnsw(always=True)
    assert (directory / "ann.hnsw").read_bytes() == good
    store.close()
    with Store.open(directory, write=True) as again:
        assert again.update_hnsw(always=True) == 30


def test_an_hnsw_index_that_lacks_few_rows_is_not_updated(
    store: Store, directory: Path, fill: Fill, unit_vectors: MakeVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "EXACT_BELOW", 30)
    vectors = unit_vectors(336, 0)
    fill(store, vectors[:300], "a")
    assert store.update_hnsw() == 300
    good = (directory / "ann.hnsw").read_bytes()
    fill(store, vectors[300:306], "b")
    assert store.update_hnsw() == 0
    store.close()
    with Store.open(directory, write=True) as again:
        assert again.update_hnsw() == 0
        assert (directory / "ann.hnsw").read_bytes() == good
        faces, _ = again.search(vectors[300:306], 1, exact=False)
        np.testing.assert_array_equal(faces[:, 0], np.arange(301, 307))
        fill(again, vectors[306:], "c")
        assert again.update_hnsw() == 36
        assert again.update_hnsw() == 0


def test_a_damaged_hnsw_index_is_deleted_and_the_next_writer_builds_it(
    store: Store, directory: Path, fill: Fill, unit_vectors: MakeVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "EXACT_BELOW", 30)
    vectors = unit_vectors(300, 0)
    fill(store, vectors)
    store.update_hnsw()
    store.close()
    path = directory / "ann.hnsw"
    good = path.read_bytes()
    path.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    with Store.open(directory, write=True) as writer:
        writer.search(vectors[:1], 3, exact=False)
        assert not path.exists()
        assert writer.update_hnsw() == 300
    assert path.read_bytes() == good


def test_an_hnsw_index_with_many_tombstones_is_rebuilt(
    store: Store,
    fill: Fill,
    remove_photos: RemovePhotos,
    unit_vectors: MakeVectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search, "EXACT_BELOW", 30)
    fill(store, unit_vectors(90, 0), "a")
    assert store.update_hnsw() == 90
    remove_photos(store, "a", 2)
    assert store.update_hnsw() == 45
