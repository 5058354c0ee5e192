"""The commit protocol: interrupted writers, two writers, readers beside a writer."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from faceindex.errors import IndexCorrupt, IndexLocked, StoreError
from faceindex.store import NewPhoto, Pins, Store, faces, photo_records
from faceindex.store.catalog import Catalog
from faceindex.store.vectors import HEADER_BYTES, VectorFile
from faceindex.types import F32, Faces

MakePhoto: TypeAlias = Callable[..., NewPhoto]
MakeVectors: TypeAlias = Callable[..., F32]

ROW = 16 * 4


def _assert_intact(store: Store, expected: dict[str, F32]) -> None:
    """Check that the store contains exactly `expected`, {relpath: vectors}."""
    paths = {record.id: record.relpath for record in store.photos().values()}
    assert set(paths.values()) == set(expected)
    table = store.faces()
    vectors = store.vectors(table.row)
    for photo, path in paths.items():
        np.testing.assert_array_equal(vectors[table.photo == photo], expected[path])


@pytest.mark.parametrize("garbage", [1, ROW - 1, ROW, 5 * ROW + 3])
def test_a_writer_deletes_what_an_interrupted_append_left(
    store: Store,
    directory: Path,
    root_id: int,
    make_photo: MakePhoto,
    unit_vectors: MakeVectors,
    garbage: int,
) -> None:
    expected = {f"{i}.jpg": unit_vectors(2, i) for i in range(3)}
    store.commit([make_photo(root_id, path, vectors) for path, vectors in expected.items()])
    store.close()
    with (directory / "vectors.f32").open("ab") as file:
        file.write(os.urandom(garbage))
    with Store.open(directory) as reader:
        _assert_intact(reader, expected)
    with Store.open(directory, write=True) as writer:
        assert (directory / "vectors.f32").stat().st_size == HEADER_BYTES + 6 * ROW
        expected["new.jpg"] = unit_vectors(1, 9)
        writer.commit([make_photo(root_id, "new.jpg", expected["new.jpg"])])
        _assert_intact(writer, expected)


@pytest.mark.parametrize("size", [0, HEADER_BYTES + ROW, HEADER_BYTES + 2 * ROW - 1, None])
def test_missing_vectors_are_reported(
    store: Store,
    directory: Path,
    root_id: int,
    make_photo: MakePhoto,
    unit_vectors: MakeVectors,
    size: int | None,
) -> None:
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(2, 0))])
    store.close()
    if size is None:
        (directory / "vectors.f32").unlink()
    else:
        os.truncate(directory / "vectors.f32", size)
    for write in (False, True):
        with pytest.raises(IndexCorrupt, match=r"vectors\.f32.*backup"):
            Store.open(directory, write=write)


def test_a_failure_between_the_vectors_and_the_transaction_commits_nothing(
    store: Store,
    directory: Path,
    root_id: int,
    make_photo: MakePhoto,
    unit_vectors: MakeVectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = {"a.jpg": unit_vectors(2, 0)}
    store.commit([make_photo(root_id, "a.jpg", expected["a.jpg"])])
    generation = store.generation

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(faces, "insert_faces", fail)
        with pytest.raises(KeyboardInterrupt):
            store.commit([make_photo(root_id, "b.jpg", unit_vectors(3, 1))])
    _assert_intact(store, expected)
    assert store.generation == generation
    expected["c.jpg"] = unit_vectors(1, 2)  # overwrites what was appended
    store.commit([make_photo(root_id, "c.jpg", expected["c.jpg"])])
    _assert_intact(store, expected)
    store.close()
    with Store.open(directory, write=True) as writer:
        _assert_intact(writer, expected)


def test_vectors_are_synced_before_they_are_named(
    store: Store,
    root_id: int,
    make_photo: MakePhoto,
    unit_vectors: MakeVectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    append, insert = VectorFile.append, faces.insert_faces

    def spy_append(self: VectorFile, rows: int, vectors: F32) -> None:
        append(self, rows, vectors)
        order.append("appended")

    def spy_insert(catalog: Catalog, photo_id: int, found: Faces) -> None:
        order.append("named")
        insert(catalog, photo_id, found)

    monkeypatch.setattr(VectorFile, "append", spy_append)
    monkeypatch.setattr(faces, "insert_faces", spy_insert)
    monkeypatch.setattr("faceindex.store.vectors.sync_file", lambda fd: order.append("synced"))
    store.commit([make_photo(root_id, f"{i}.jpg", unit_vectors(1, i)) for i in range(2)])
    assert order == ["synced", "appended", "named", "named"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_commits_nothing(
    store: Store,
    root_id: int,
    make_photo: MakePhoto,
    unit_vectors: MakeVectors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(1, 0))])
    with monkeypatch.context() as patched, pytest.raises(StoreError, match="make room"):
        patched.setattr("faceindex.store.vectors.open_own", lambda *_: os.open("/dev/full", os.O_RDWR))
        store.commit([make_photo(root_id, "b.jpg", unit_vectors(1, 1))])
    _assert_intact(store, {"a.jpg": unit_vectors(1, 0)})


# Killed writers. The child commits and replaces photos whose vectors follow from a number, and prints what
# it has committed. The parent kills it at a random moment.

_WRITER = """
import sys
import numpy as np
from faceindex.store import NewPhoto, Store
from faceindex.types import Faces

def vectors(number):
    v = np.random.default_rng(number).standard_normal((1 + number % 3, 16))
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)

def photo(root, path, number):
    v = vectors(number); n = len(v)
    one = np.ones(n, "f4")
    faces = Faces(np.zeros((n, 4), "f4"), np.zeros((n, 5, 2), "f4"), one, v, one, one)
    return NewPhoto(root, path, number, number, b"%d" % number, 1, 1, faces=faces)

with Store.open(sys.argv[1], write=True) as store:
    root = store.add_root("/photos", "photos").id
    number = int(sys.argv[2])
    while True:
        batch = range(number, number + 4)
        # every fourth photo replaces an earlier one
        store.commit([photo(root, f"{n // 2 if n % 4 == 3 else n}.jpg", n) for n in batch])
        number += 4
        print(number, flush=True)
"""


def _number_vectors(number: int) -> F32:
    vectors = np.random.default_rng(number).standard_normal((1 + number % 3, 16))
    unit: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_writers_lose_no_commit(directory: Path, pins: Pins) -> None:
    Store.create(directory, pins).close()
    moments = random.Random(0)
    number = 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(directory), str(number)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child.stdout:
            printed = int(child.stdout.readline())
            with Store.open(directory) as beside, beside.snapshot():
                records = beside.photos().values()
                _assert_intact(beside, {record.relpath: _number_vectors(record.size) for record in records})
            time.sleep(moments.uniform(0, 0.1))
            child.kill()
            printed = max([printed, *map(int, child.stdout.read().split())])
        child.wait()
        with Store.open(directory) as reader:
            records = reader.photos().values()
            # The size of a photo is the number with which it was last committed.
            _assert_intact(reader, {record.relpath: _number_vectors(record.size) for record in records})
            committed = 1 + max(record.size for record in records)
        assert committed % 4 == 0  # whole batches only
        assert printed <= committed <= printed + 4
        expected: dict[str, int] = {}
        for n in range(committed):
            expected[f"{n // 2 if n % 4 == 3 else n}.jpg"] = n
        assert {record.relpath: record.size for record in records} == expected
        number = committed


_CREATOR = """
import sys
from pathlib import Path
from faceindex.store import Pins, Store
print("ready", flush=True)
for i in range(1000):
    Store.create(Path(sys.argv[1]) / str(i), Pins("mtcnn", "dlib", 16)).close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_creation_can_be_repeated(tmp_path: Path, pins: Pins) -> None:
    moments = random.Random(1)
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        child = subprocess.Popen(
            [sys.executable, "-c", _CREATOR, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0, 0.1))
            child.kill()
        child.wait()
        for directory in folder.glob("*"):
            opened = Store.open if Store.exists(directory) else Store.create
            arguments = {"write": True} if Store.exists(directory) else {"pins": pins}
            with opened(directory, **arguments) as store:
                assert store.add_root("/photos", "photos").id == 1


# Locks

_HOLDER = """
import sys
from faceindex.store import Store
with Store.open(sys.argv[1], write=True):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_the_error_for_a_second_writer_names_the_first(store: Store, directory: Path) -> None:
    store.close()
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(IndexLocked, match=f"process {holder.pid} on "):
            Store.open(directory, write=True)
        Store.open(directory).close()
        holder.kill()
        holder.wait()
    Store.open(directory, write=True).close()  # the system released the lock


def test_a_second_writer_in_the_same_process_is_refused(store: Store, directory: Path) -> None:
    with pytest.raises(IndexLocked):
        Store.open(directory, write=True)
    store.close()
    store.close()
    Store.open(directory, write=True).close()


def test_a_writer_waits_for_a_short_one(store: Store, directory: Path) -> None:
    threading.Timer(0.03, store.close).start()
    with Store.open(directory, write=True, wait=30) as second:
        assert second.writable


def test_the_writing_process_is_named(store: Store, directory: Path) -> None:
    with Store.open(directory) as reader:
        assert reader.writer() == store.writer()
        assert f"process {os.getpid()} on " in str(reader.writer())
        store.close()
        assert reader.writer() is None


# Readers


def test_a_reader_reads_each_commit_once_it_is_made(
    store: Store, directory: Path, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    expected: dict[str, F32] = {}
    with Store.open(directory) as reader:
        for i in range(5):
            expected[f"{i}.jpg"] = unit_vectors(3, i)
            store.commit([make_photo(root_id, f"{i}.jpg", expected[f"{i}.jpg"])])
            _assert_intact(reader, expected)
            faces, similarities = reader.search(expected[f"{i}.jpg"], 1)
            assert faces.ravel().tolist() == reader.faces().face[-3:].tolist()
            np.testing.assert_allclose(similarities, 1, atol=1e-6)


def test_a_reader_does_not_wait_for_a_transaction(
    store: Store, directory: Path, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(1, 0))])
    with (
        closing(Catalog.open(directory / "catalog.sqlite", write=True)) as catalog,
        catalog.transaction(),
    ):
        photo_records.delete_photos(catalog, [1])
        with Store.open(directory) as reader:
            _assert_intact(reader, {"a.jpg": unit_vectors(1, 0)})
    _assert_intact(store, {})
