"""Compaction of the vector file: what it keeps, kills at every line of it, and readers beside it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from faceindex.errors import IndexMigrated, StoreError, UsageError
from faceindex.store import NewPhoto, Pins, Store, compaction
from faceindex.types import F32

MakePhoto: TypeAlias = Callable[..., NewPhoto]
MakeVectors: TypeAlias = Callable[..., F32]


@pytest.fixture
def expected(store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors) -> dict[str, F32]:
    """Photos of an index with 40 rows, of which 20 are dead."""
    vectors = {f"{i}.jpg": unit_vectors(2, i) for i in range(20)}
    store.commit([make_photo(root_id, path, found) for path, found in vectors.items()])
    photos = {record.relpath: record.id for record in store.photos().values()}
    store.remove_photos([photos[f"{i}.jpg"] for i in range(0, 20, 2)])
    return {f"{i}.jpg": vectors[f"{i}.jpg"] for i in range(1, 20, 2)}


def assert_intact(store: Store, expected: dict[str, F32]) -> None:
    paths = {record.id: record.relpath for record in store.photos().values()}
    assert set(paths.values()) == set(expected)
    table = store.faces()
    vectors = store.vectors(table.row)
    for photo, path in paths.items():
        np.testing.assert_array_equal(vectors[table.photo == photo], expected[path])
        faces, _ = store.search(expected[path], 1)
        assert faces.ravel().tolist() == table.face[table.photo == photo].tolist()


def files(directory: Path) -> set[str]:
    return {p.name for p in directory.iterdir() if p.name.startswith(("vectors", "ann"))}


@pytest.mark.parametrize("erase", [False, True])
def test_dead_rows_are_gone_and_faces_keep_their_ids(
    store: Store, directory: Path, expected: dict[str, F32], erase: bool
) -> None:
    before = store.faces().face.tolist()
    store.update_hnsw(always=True)
    store.compact(erase=erase)
    assert (store.counts().rows, store.counts().faces) == (20, 20)
    assert store.faces().face.tolist() == before
    assert_intact(store, expected)
    assert files(directory) == {"vectors-2.f32"}
    store.update_hnsw(always=True)
    assert_intact(store, expected)
    store.close()
    with Store.open(directory, write=True) as writer:
        assert_intact(writer, expected)
        assert writer.compact().rows_after == 20
        assert files(directory) == {"vectors-2.f32", "ann-2.hnsw"}, "nothing was dead"


def test_photos_are_added_after_a_compaction(
    store: Store, root_id: int, expected: dict[str, F32], make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    store.compact()
    expected["new.jpg"] = unit_vectors(3, 99)
    store.commit([make_photo(root_id, "new.jpg", expected["new.jpg"])])
    assert_intact(store, expected)
    assert store.counts().rows == 23


def test_it_runs_by_itself_above_a_share_of_dead_rows(
    store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    def commit(numbers: range) -> None:
        store.commit([make_photo(root_id, f"{i}.jpg", unit_vectors(1, i)) for i in numbers])

    commit(range(100))
    commit(range(25))  # again: 25 of 125 rows are dead
    assert store.compact_if_worthwhile() is None
    commit(range(25))  # 50 of 150
    done = store.compact_if_worthwhile()
    assert done is not None
    assert (done.rows_before, done.rows_after) == (150, 100)
    commit(range(2))
    assert store.compact_if_worthwhile() is None
    store.remove_photos([record.id for record in store.photos().values()])
    done = store.compact_if_worthwhile()
    assert done is not None
    assert done.rows_after == 0
    assert store.vectors().shape == (0, 16)


def test_the_vectors_of_photos_that_are_away_stay(store: Store, expected: dict[str, F32]) -> None:
    catalog = store._catalog
    catalog.execute("PRAGMA foreign_keys = OFF")  # of the photo, which is not moved here
    with store.deciding():
        if "away_faces" not in compaction.row_tables(catalog):  # before format 8
            catalog.execute("CREATE TABLE away_faces (id INTEGER PRIMARY KEY, vector_row INTEGER NOT NULL)")
        ((face, photo, row, geometry),) = catalog.execute(
            "SELECT id, image_id, vector_row, geometry FROM faces ORDER BY id LIMIT 1"
        )
        known = {str(column[1]) for column in catalog.execute("PRAGMA table_info(away_faces)")}
        values = {"id": face, "image_id": photo, "vector_row": row, "geometry": geometry}
        used = {name: value for name, value in values.items() if name in known}
        catalog.execute(
            f"INSERT INTO away_faces ({', '.join(used)}) VALUES ({', '.join('?' * len(used))})",
            list(used.values()),
        )
        catalog.execute("DELETE FROM faces WHERE id = ?", (face,))
    vector = store.vectors(np.array([row]))
    assert store.compact().rows_after == 20
    ((row,),) = catalog.query("SELECT vector_row FROM away_faces")
    np.testing.assert_array_equal(store.vectors()[[row]], vector)


def test_it_waits_for_the_end_of_a_migration(store: Store, expected: dict[str, F32]) -> None:
    transfer = store.begin_transfer(Pins("mtcnn", "other", 8))
    assert store.compact_if_worthwhile() is None
    with pytest.raises(UsageError, match="migration"):
        store.compact()
    transfer.discard()
    assert store.compact().rows_after == 20


@pytest.mark.parametrize("erase", [False, True])
def test_readers_go_on(directory: Path, store: Store, expected: dict[str, F32], erase: bool) -> None:
    with Store.open(directory) as reader, Store.open(directory) as other:
        assert_intact(reader, expected)
        old = reader.faces()
        store.compact(erase=erase)
        with pytest.raises(IndexMigrated, match=r"compacted.*again"):
            reader.vectors(old.row)  # rows of the old file
        faces, _ = other.search(expected["1.jpg"], 1)
        assert faces.ravel().tolist() == old.face[:2].tolist()
        assert_intact(reader, expected)
        assert_intact(other, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="deletes open files")
def test_a_read_during_which_the_vectors_are_erased_fails(
    directory: Path, store: Store, expected: dict[str, F32]
) -> None:
    with Store.open(directory) as reader, pytest.raises(IndexMigrated, match="compacted"), reader._current():
        reader._rows.file.read(40)
        store.compact(erase=True)


def test_a_full_disk_changes_nothing(
    directory: Path, store: Store, expected: dict[str, F32], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("faceindex.store.vectors.sync_file", full)
        with pytest.raises(StoreError, match="make room"):
            store.compact()
    assert files(directory) == {"vectors.f32"}
    assert_intact(store, expected)
    assert store.compact().rows_after == 20


def _kill_at(line: int, directory: Path, erase: bool) -> bool:
    """Compact in a child process that ends before the n-th new line of compaction.py; whether it ended."""
    child = os.fork()
    if child == 0:
        count, seen = 0, set()

        def trace(frame: Any, event: str, argument: object) -> Any:
            nonlocal count
            if frame.f_code.co_filename != compaction.__file__:
                return None
            if event == "line" and frame.f_lineno not in seen:
                seen.add(frame.f_lineno)
                count += 1
            if count > line:
                os._exit(9)
            return trace

        try:
            with Store.open(directory, write=True) as store:
                sys.settrace(trace)
                store.compact(erase=erase)
                sys.settrace(None)
        finally:
            os._exit(0 if count <= line else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("erase", [False, True])
def test_a_kill_at_any_line_loses_nothing(
    directory: Path, store: Store, expected: dict[str, F32], tmp_path: Path, erase: bool
) -> None:
    store.close()
    original = (directory / "vectors.f32").read_bytes()
    line, both = 0, set()
    while True:
        copy = tmp_path / str(line)
        shutil.copytree(directory, copy)
        killed = _kill_at(line, copy, erase)
        with Store.open(copy) as reader:
            assert_intact(reader, expected)
            both.add(reader.counts().rows)
        old = copy / "vectors.f32"
        with Store.open(copy, write=True) as writer:
            assert_intact(writer, expected)
            assert len(files(copy)) == 1
            rows = writer.counts().rows
            assert old.exists() == (rows == 40)
            assert not old.exists() or old.read_bytes() == original
            assert not writer._catalog.query("SELECT 1 FROM meta WHERE key = 'erasing'")
            assert writer.compact().rows_after == 20
        if not killed:
            break
        line += 2 if erase else 5  # the same lines, and those that erase
    assert both == {20, 40}
    assert line > 20, "lines with a kill before them"
