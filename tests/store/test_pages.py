"""Damage of the catalog and of its log is found when they are opened."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import zlib
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from faceindex.errors import IndexCorrupt, StoreError
from faceindex.store import NewPhoto, Store, pages
from faceindex.store.copies import record_copy
from faceindex.store.directory import DIGESTS
from faceindex.store.pages import check_pages, damaged_pages
from faceindex.types import F32

MakePhoto: TypeAlias = Callable[..., NewPhoto]
MakeVectors: TypeAlias = Callable[..., F32]


@pytest.fixture
def filled(
    store: Store, directory: Path, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> Path:
    """A closed index of 300 photos with two faces each."""
    store.commit([make_photo(root_id, f"{i}.jpg", unit_vectors(2, i)) for i in range(300)])
    store.close()
    assert {path.name for path in directory.iterdir()} == {"catalog.sqlite", DIGESTS, "vectors.f32", "lock"}
    return directory


def flip(path: Path, position: int, bits: int = 1) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ bits]))


def test_every_flipped_bit_of_the_catalog_is_found(filled: Path) -> None:
    path = filled / "catalog.sqlite"
    check_pages(path)
    size = path.stat().st_size
    positions = random.Random(0)
    for position in [0, 17, 30, 100, *(positions.randrange(size) for _ in range(60))]:
        flip(path, position)
        page = position // 4096 + 1
        with pytest.raises(IndexCorrupt, match=rf"catalog\.sqlite is damaged.*pages {page} in.*--repair"):
            check_pages(path)
        flip(path, position)
    flip(path, size // 2)
    for write in (False, True):
        with pytest.raises(IndexCorrupt, match=r"catalog\.sqlite is damaged"):
            Store.open(filled, write=write)


@pytest.mark.parametrize("damage", ["truncated", "longer", "swapped", "zeros", "old", "missing pages"])
def test_other_damage_of_the_catalog_is_found(
    filled: Path, make_photo: MakePhoto, unit_vectors: MakeVectors, damage: str
) -> None:
    path = filled / "catalog.sqlite"
    old = path.read_bytes()
    with Store.open(filled, write=True) as store:
        store.commit([make_photo(1, "new.jpg", unit_vectors(1, 3))])
    content = path.read_bytes()
    path.write_bytes({
        "truncated": content[:-1000],
        "longer": content + bytes(4096),
        "swapped": content[:8192] + content[12288:16384] + content[8192:12288] + content[16384:],
        "zeros": content[:8192] + bytes(4096) + content[12288:],
        "old": old,
        "missing pages": content[:-4096],
    }[damage])  # fmt: skip
    for write in (False, True):
        with pytest.raises(IndexCorrupt, match=r"catalog\.sqlite"):
            Store.open(filled, write=write)


def test_the_page_that_sqlite_leaves_out_of_large_files(tmp_path: Path) -> None:
    path, size, beyond = tmp_path / "catalog.sqlite", 65536, 3
    number = (1 << 30) // size + beyond
    with path.open("wb") as file:
        file.truncate(size * number)  # of zeros, which take no room on the disk
    digests = array("I", [zlib.crc32(bytes(size))]) * number
    left_out = number - beyond + 1  # it contains the byte that is 1 GiB from the start
    digests[left_out - 1] = 0  # it never was in the log
    known = pages._Digests(bytes(16), size, 1, digests)
    assert damaged_pages(path, known) == []
    for page in (left_out - 1, left_out + 1):
        flip(path, size * page - 1)
    assert damaged_pages(path, known) == [left_out - 1, left_out + 1]


def test_damage_of_the_digests_is_found(filled: Path) -> None:
    path = filled / DIGESTS
    for position in (3, 20, 25, 29, 34, 41, 64, 100, path.stat().st_size - 1):
        flip(path, position)
        with pytest.raises(IndexCorrupt, match=r"catalog\.digests"):
            Store.open(filled)
        flip(path, position)
    content = path.read_bytes()
    for size in (0, 10, 63, 64, 83, len(content) - 4):
        path.write_bytes(content[:size])
        with pytest.raises(IndexCorrupt, match=r"catalog\.digests"):
            Store.open(filled)
    path.unlink()
    Store.open(filled).close()
    Store.open(filled, write=True).close()
    flip(filled / "catalog.sqlite", 9000)
    with pytest.raises(IndexCorrupt, match=r"pages 3 "):
        Store.open(filled)


_WRITER = """
import os, sys
from faceindex.store import NewPhoto, Store, pages
pages._CHECKPOINT = 60
store = Store.open(sys.argv[1], write=True)
if sys.argv[3] == "unrecorded":  # as if killed between the commit and its digests
    store._catalog._digests = None
for i in range(int(sys.argv[2])):
    store.commit([NewPhoto(1, f"new {j}.jpg", i, i, b"%d" % i, 1, 1) for j in range(40)])
    store.log_run("index", {"n": "x" * 3000})
getattr(os, "_exit")(0) if sys.argv[3] != "exit" else None
"""


def run_writer(directory: Path, commits: int, end: str) -> None:
    subprocess.run([sys.executable, "-c", _WRITER, str(directory), str(commits), end], check=True)


@pytest.mark.parametrize("commits", [3, 25])  # below and above the size at which the log is moved
@pytest.mark.parametrize("end", ["kill", "exit"])  # without closing the store
def test_the_log_of_a_writer_that_did_not_close(filled: Path, commits: int, end: str) -> None:
    run_writer(filled, commits, end)
    log = filled / "catalog.sqlite-wal"
    assert log.exists() == (end == "kill")
    with Store.open(filled) as store:
        assert len(store.runs(10**6)) == commits
    if end == "kill":
        frames = range(32 + 24 + 100, log.stat().st_size, 24 + 4096)
        generation = check_pages(filled / "catalog.sqlite")
        flip(log, frames[len(frames) // 2] if commits < 25 else frames[0])
        for write in (False, True):
            with pytest.raises(IndexCorrupt, match=rf"-wal is damaged.* of {generation:,} commits"):
                Store.open(filled, write=write)
        flip(log, frames[len(frames) // 2] if commits < 25 else frames[0])
    for write in (True, False):
        with Store.open(filled, write=write) as store:
            assert len(store.runs(10**6)) == commits


def test_a_log_that_is_missing_or_of_another_time_is_found(filled: Path, tmp_path: Path) -> None:
    run_writer(filled, 3, "kill")
    log = filled / "catalog.sqlite-wal"
    kept = log.read_bytes()
    for other in (None, b"", kept[: len(kept) // 2], kept[: 32 + 4120] + kept[32:]):
        copy = tmp_path / str(other is None or len(other))
        shutil.copytree(filled, copy)
        (copy / "catalog.sqlite-shm").unlink()
        (copy / "catalog.sqlite-wal").unlink() if other is None else (
            copy / "catalog.sqlite-wal"
        ).write_bytes(other)
        for write in (False, True):
            with pytest.raises(IndexCorrupt, match=r"catalog\.sqlite"):
                Store.open(copy, write=write)


def test_readers_beside_a_writer_find_no_damage(
    filled: Path, make_photo: MakePhoto, unit_vectors: MakeVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the log was moved into the file, in part or not, and while a reader holds it back."""
    monkeypatch.setattr("faceindex.store.pages._CHECKPOINT", 20)
    with Store.open(filled, write=True) as store:
        for i in range(30):
            if i % 10 < 5:
                with Store.open(filled) as reader, reader.snapshot():
                    before = len(reader.photos())
                    store.commit([make_photo(1, f"new {i} {j}.jpg", unit_vectors(1, i)) for j in range(10)])
                    Store.open(filled).close()
                    assert len(reader.photos()) == before
            else:
                store.commit([make_photo(1, f"new {i} {j}.jpg", unit_vectors(1, i)) for j in range(10)])
            with Store.open(filled) as reader:
                assert len(reader.photos()) == 310 + 10 * i
    assert os.listdir(filled).count("catalog.sqlite-wal") == 0  # noqa: PTH208
    Store.open(filled).close()
    store = Store.open(filled, write=True)
    store._catalog.execute("DELETE FROM images WHERE id > 5")
    store._catalog.execute("VACUUM")
    store._catalog.checkpoint()
    Store.open(filled).close()
    store.close()
    Store.open(filled).close()


def test_an_interrupt_leaves_no_pages_without_digests(
    filled: Path, make_photo: MakePhoto, unit_vectors: MakeVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While digests are stored, and while an index is opened whose last writer was killed before that."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    photos = [make_photo(1, f"new {i}.jpg", unit_vectors(1, i)) for i in range(30)]
    for name, target in (("_write_at", pages), ("sync", pages.PageDigests)):
        with pytest.raises(KeyboardInterrupt), Store.open(filled, write=True) as store:
            monkeypatch.setattr(target, name, interrupt)
            store.commit(photos)
        monkeypatch.undo()
        Store.open(filled).close()
        Store.open(filled, write=True).close()
    run_writer(filled, 3, "unrecorded")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("faceindex.store.migrations.migrate", interrupt)
        Store.open(filled, write=True)
    for write in (False, True, False):
        with Store.open(filled, write=write) as store:
            assert len(store.runs(10**6)) == 3


def test_the_record_of_a_copy_is_no_damage(filled: Path) -> None:
    for name in ("a", "b"):
        assert record_copy(filled, f"/{name}", "table", {}) == "new"
        Store.open(filled).close()
    Store.open(filled, write=True).close()
    check_pages(filled / "catalog.sqlite")


def test_digests_that_cannot_be_written_or_read_are_an_error_of_the_index(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, *_: object) -> int:
        raise OSError(28, "No space left on device", str(path))

    (filled / DIGESTS).unlink()
    monkeypatch.setattr("faceindex.store.pages.write_durably", fail)
    with pytest.raises(StoreError, match=r"catalog\.digests cannot be written: No space"):
        Store.open(filled, write=True)
    monkeypatch.undo()
    Store.open(filled, write=True).close()
    monkeypatch.setattr("faceindex.store.pages.open_own", fail)
    with pytest.raises(StoreError, match=r"catalog\.digests cannot be read: No space"):
        Store.open(filled)
