"""Trees that were seen with nothing to do: for how long that is known."""

from __future__ import annotations

import os
import sqlite3

import numpy as np
import pytest

from faceindex.errors import UsageError
from faceindex.store import NewPhoto, Store, Unchanged

FOUND = Unchanged(5, 1, {"corrupt": 2})


@pytest.fixture
def remembering(store: Store) -> Store:
    root = store.add_root("/photos", "photos")
    store.commit([NewPhoto(root.id, "a.jpg", 10, 1)])
    store.remember("tree", FOUND)
    assert store.recall("tree") == FOUND
    assert store.recall("another") is None
    return store


def test_it_is_known_to_the_next_process(remembering: Store) -> None:
    remembering.close()
    with Store.open(remembering.directory) as reader:
        assert reader.recall("tree") == FOUND
        with pytest.raises(UsageError):
            reader.remember("tree", FOUND)


def test_commits_that_leave_the_photos_alone_leave_it_known(remembering: Store) -> None:
    remembering.log_run("index", {})
    nothing = np.empty(0, np.int64)
    remembering.save_clustering("none", {}, 0, nothing, nothing, np.empty(0, np.float32))
    remembering.remember("another", Unchanged())
    assert remembering.recall("tree") == FOUND
    assert remembering.recall("another") == Unchanged()


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.commit([NewPhoto(1, "b.jpg", 10, 1)]),
        lambda store: store.touch([(1, 10, 2)]),
        lambda store: store.move_photos([(1, 1, "c.jpg", 10, 1)]),
        lambda store: store.remove([1]),
        lambda store: store.add_root("/elsewhere", "elsewhere"),
    ],
)
def test_every_change_of_photos_forgets_it(remembering: Store, change) -> None:
    change(remembering)
    assert remembering.recall("tree") is None
    remembering.log_run("index", {})
    assert remembering.recall("tree") is None
    remembering.remember("another", FOUND)
    assert remembering.recall("tree") is None
    assert remembering.recall("another") == FOUND


def test_a_change_that_fails_forgets_nothing(remembering: Store) -> None:
    with pytest.raises(UsageError):
        remembering.commit([NewPhoto(99, "b.jpg", 10, 1)])  # of no root
    assert remembering.recall("tree") == FOUND


def test_a_faceindex_that_knows_nothing_of_it_forgets_it_too(remembering: Store) -> None:
    remembering.close()
    database = sqlite3.connect(remembering.directory / "catalog.sqlite")
    with database:  # what every version does at every commit
        database.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")
    database.close()
    with Store.open(remembering.directory, write=True) as store:
        assert store.recall("tree") is None
        store.log_run("index", {})
        assert store.recall("tree") is None


def test_another_search_graph_forgets_it(remembering: Store) -> None:
    graph = remembering.directory / "ann.hnsw"
    graph.write_bytes(b"graph")
    assert remembering.recall("tree") is None
    remembering.remember("tree", FOUND)
    assert remembering.recall("tree") == FOUND
    os.utime(graph, ns=(1, 1))
    assert remembering.recall("tree") is None
    graph.unlink()
    assert remembering.recall("tree") is None


def test_only_the_last_trees_are_kept(remembering: Store) -> None:
    for number in range(20):
        remembering.remember(f"tree {number}", FOUND)
    known = [number for number in range(20) if remembering.recall(f"tree {number}")]
    assert known == list(range(4, 20))


def test_opening_a_store_loads_neither_numpy_nor_hnswlib(remembering: Store) -> None:
    import subprocess
    import sys

    remembering.close()
    program = (
        "import sys; from faceindex.store import Store\n"
        f"with Store.open({str(remembering.directory)!r}, write=True) as store:\n"
        "    store.recall('tree'); store.log_run('index', {}); store.photos(); store.counts()\n"
        "print(*sorted({'numpy', 'hnswlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
