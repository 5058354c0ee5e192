"""The clustering before the active one: what is kept of it, for how long, and how it comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceindex.errors import IndexCorrupt, UsageError
from faceindex.store import NewPhoto, Store
from faceindex.types import F32

MakePhoto = Callable[..., NewPhoto]
MakeVectors = Callable[..., F32]


@pytest.fixture
def clustered(store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors) -> Store:
    """Six faces on two photos; the clustering "a" is active."""
    store.commit([make_photo(root_id, f"{i}.jpg", unit_vectors(3, i)) for i in range(2)])
    save(store, "a", [0, 0, 0, 1, 1, -1])
    return store


def save(store: Store, algorithm: str, labels: Sequence[int], **options: Any) -> None:
    face = store.faces().face
    half = np.full(len(face), 0.5, np.float32)
    store.save_clustering(
        algorithm, {"last_face": int(face.max())}, 0, face, np.array(labels, np.int64), half, **options
    )


def restore(store: Store) -> None:
    previous = store.previous_clustering()
    assert previous is not None
    made = previous.clustering
    table = store.faces()
    store.save_clustering(
        made.algorithm, made.params, made.seed, table.face, previous.labels(table),
        np.ones(len(table), np.float32), restored=made.created,
    )  # fmt: skip


def before(store: Store) -> tuple[str, list[int]] | None:
    previous = store.previous_clustering()
    if previous is None:
        return None
    return previous.clustering.algorithm, previous.labels(store.faces()).tolist()


def test_the_first_clustering_replaces_none(clustered: Store) -> None:
    assert before(clustered) is None


def test_only_the_faces_whose_cluster_differs_are_stored(clustered: Store) -> None:
    save(clustered, "b", [0, 0, 2, 1, -1, 1])
    previous = clustered.previous_clustering()
    assert previous is not None
    face = clustered.faces().face
    assert previous.face.tolist() == face[[2, 4, 5]].tolist()
    assert previous.cluster.tolist() == [0, 1, -1]
    assert before(clustered) == ("a", [0, 0, 0, 1, 1, -1])


@pytest.mark.parametrize("incremental", [False, True])
def test_a_run_that_changes_no_cluster_keeps_the_one_before(clustered: Store, incremental: bool) -> None:
    save(clustered, "b", [3, 3, 3, 1, 1, -1])
    changed = np.zeros(6, bool) if incremental else None
    save(clustered, "c", [3, 3, 3, 1, 1, -1], changed=changed)
    assert before(clustered) == ("a", [0, 0, 0, 1, 1, -1])
    active = clustered.active_clustering()
    assert active is not None
    assert active.algorithm == "c"


def test_an_incremental_run_keeps_what_it_does_not_write(clustered: Store) -> None:
    save(clustered, "b", [9, 9, 9, 9, 1, 0], changed=np.array([0, 0, 1, 0, 1, 1], bool))
    assert clustered.faces().cluster.tolist() == [0, 0, 9, 1, 1, 0]
    assert before(clustered) == ("a", [0, 0, 0, 1, 1, -1])


def test_restored_twice_is_as_it_was(clustered: Store) -> None:
    save(clustered, "b", [0, 0, 7, 7, 7, 7])
    made = clustered.previous_clustering()
    restore(clustered)
    assert clustered.faces().cluster.tolist() == [0, 0, 0, 1, 1, -1]
    assert before(clustered) == ("b", [0, 0, 7, 7, 7, 7])
    active = clustered.active_clustering()
    assert active is not None
    assert made is not None
    assert active.created == made.clustering.created
    assert active.next_cluster_id == 8  # an id is never used again
    restore(clustered)
    assert clustered.faces().cluster.tolist() == [0, 0, 7, 7, 7, 7]
    assert before(clustered) == ("a", [0, 0, 0, 1, 1, -1])


def test_a_clustering_without_differences_is_restored_too(clustered: Store) -> None:
    """All faces that had moved were removed."""
    save(clustered, "b", [0, 0, 0, 2, 2, 2])
    clustered.remove_photos([clustered.photos()[1, "1.jpg"].id])
    restore(clustered)
    assert before(clustered) == ("b", [0, 0, 0])


def test_faces_that_are_removed_are_removed_from_both(clustered: Store, directory: Path) -> None:
    save(clustered, "b", [5, 5, 5, 6, 6, 6])
    clustered.remove_photos([clustered.photos()[1, "0.jpg"].id])
    assert before(clustered) == ("a", [1, 1, -1])
    clustered.close()
    with sqlite3.connect(directory / "catalog.sqlite") as database:
        assert database.execute("SELECT count(*) FROM previous_assignments").fetchone() == (3,)
    database.close()


def test_faces_that_were_added_since_were_in_no_cluster(
    clustered: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    clustered.commit([make_photo(root_id, "new.jpg", unit_vectors(2, 9))])
    assert clustered.count_newer_faces() == 2
    save(clustered, "b", [0, 0, 0, 1, 1, 1, 1, -1])
    assert clustered.count_newer_faces() == 0
    assert before(clustered) == ("a", [0, 0, 0, 1, 1, -1, -1, -1])
    restore(clustered)
    assert clustered.count_newer_faces() == 2


def test_a_refused_clustering_keeps_the_one_before(clustered: Store) -> None:
    save(clustered, "b", [1, 1, 1, 1, 1, 1])
    face = np.array([10**6])
    with pytest.raises(UsageError, match="not in the index"):
        clustered.save_clustering("c", {}, 0, face, np.array([1]), np.ones(1, np.float32))
    assert before(clustered) == ("a", [0, 0, 0, 1, 1, -1])


def test_malformed_values(clustered: Store, directory: Path) -> None:
    save(clustered, "b", [1, 1, 1, 1, 1, 1])
    clustered.close()

    def check(change: str, undo: str, words: str) -> None:
        for statement, error in ((change, words), (undo, None)):
            with sqlite3.connect(directory / "catalog.sqlite") as database:
                database.execute(statement)
            database.close()
            with Store.open(directory) as store:
                if error is None:
                    assert store.previous_clustering() is not None
                else:
                    with pytest.raises(IndexCorrupt, match=error):
                        store.previous_clustering()

    newest = "WHERE id = (SELECT max(id) FROM clusterings)"
    check(
        f"UPDATE clusterings SET previous_id = 'x' {newest}",
        f"UPDATE clusterings SET previous_id = 1 {newest}",
        "previous_id is not an integer",
    )
    check(
        "UPDATE previous_assignments SET cluster_id = 'many'",
        "UPDATE previous_assignments SET cluster_id = 0",
        "p.cluster_id",
    )
    check(
        "UPDATE clusterings SET params = '[]' WHERE id = 1",
        "UPDATE clusterings SET params = '{}' WHERE id = 1",
        "the parameters of a clustering",
    )
