"""Saved scans, and the changes that make them invalid."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable

import numpy as np
import pytest

from faceindex.errors import UsageError
from faceindex.images import Picture
from faceindex.store import NewMetadata, NewPhoto, ScanCounts, Store

COUNTS = ScanCounts(5, 1, {"corrupt": 2})


@pytest.fixture
def scanned(store: Store) -> Store:
    root = store.add_root("/photos", "photos")
    store.commit([NewPhoto(root.id, "a.jpg", 10, 1)])
    store.save_scan("scan", COUNTS)
    assert store.load_scan("scan") == COUNTS
    assert store.load_scan("another") is None
    return store


def test_another_process_loads_it(scanned: Store) -> None:
    scanned.close()
    with Store.open(scanned.directory) as reader:
        assert reader.load_scan("scan") == COUNTS
        with pytest.raises(UsageError):
            reader.save_scan("scan", COUNTS)


def test_commits_that_change_no_photo_keep_it(scanned: Store) -> None:
    scanned.log_run("index", {})
    nothing = np.empty(0, np.int64)
    scanned.save_clustering("none", {}, 0, nothing, nothing, np.empty(0, np.float32))
    scanned.save_scan("another", ScanCounts())
    assert scanned.load_scan("scan") == COUNTS
    assert scanned.load_scan("another") == ScanCounts()


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.commit([NewPhoto(1, "b.jpg", 10, 1)]),
        lambda store: store.update_size_and_time([(1, 10, 2)]),
        lambda store: store.update_metadata([NewMetadata(1, 10, 2, b"new", None)]),
        lambda store: store.save_pictures([(1, Picture(b"hash", 1, None))]),
        lambda store: store.move_photos([(1, 1, "c.jpg", 10, 1)]),
        lambda store: store.remove_photos([1]),
        lambda store: store.add_root("/elsewhere", "elsewhere"),
    ],
)
def test_every_change_of_photos_makes_it_invalid(scanned: Store, change: Callable[[Store], object]) -> None:
    change(scanned)
    assert scanned.load_scan("scan") is None
    scanned.log_run("index", {})
    assert scanned.load_scan("scan") is None
    scanned.save_scan("another", COUNTS)
    assert scanned.load_scan("scan") is None
    assert scanned.load_scan("another") == COUNTS


def test_a_failed_change_keeps_it(scanned: Store) -> None:
    with pytest.raises(UsageError):
        scanned.commit([NewPhoto(99, "b.jpg", 10, 1)])  # of no root
    assert scanned.load_scan("scan") == COUNTS


def test_a_commit_by_a_version_without_scans_makes_it_invalid(scanned: Store) -> None:
    scanned.close()
    database = sqlite3.connect(scanned.directory / "catalog.sqlite")
    with database:  # what every version does at every commit
        database.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")
    database.close()
    with Store.open(scanned.directory, write=True) as store:
        assert store.load_scan("scan") is None
        store.log_run("index", {})
        assert store.load_scan("scan") is None


def test_another_hnsw_index_makes_it_invalid(scanned: Store) -> None:
    hnsw = scanned.directory / "ann.hnsw"
    hnsw.write_bytes(b"hnsw")
    assert scanned.load_scan("scan") is None
    scanned.save_scan("scan", COUNTS)
    assert scanned.load_scan("scan") == COUNTS
    os.utime(hnsw, ns=(1, 1))
    assert scanned.load_scan("scan") is None
    hnsw.unlink()
    assert scanned.load_scan("scan") is None


def test_only_the_last_scans_are_kept(scanned: Store) -> None:
    for number in range(20):
        scanned.save_scan(f"scan {number}", COUNTS)
    kept = [number for number in range(20) if scanned.load_scan(f"scan {number}")]
    assert kept == list(range(4, 20))


def test_opening_a_store_imports_neither_numpy_nor_hnswlib(scanned: Store) -> None:
    import subprocess
    import sys

    scanned.close()
    program = (
        "import sys; from faceindex.store import Store\n"
        f"with Store.open({str(scanned.directory)!r}, write=True) as store:\n"
        "    store.load_scan('scan'); store.log_run('index', {}); store.photos(); store.counts()\n"
        "print(*sorted({'numpy', 'hnswlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
