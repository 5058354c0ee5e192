"""Photos that are in several folders."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_faces import fit_album, people_of, same_partition

from faceindex.clustering import Album
from faceindex.clustering.copies import first_copies, without_copies
from faceindex.clustering.graph import graph_from_edges
from faceindex.metrics import bcubed
from faceindex.types import F32, I64


def again(vectors: F32, seed: int) -> F32:
    """Return the vectors as another run of the networks gives them."""
    noise = 1e-4 * np.random.default_rng(seed).standard_normal(vectors.shape)
    noisy = vectors + noise
    return np.asarray(noisy / np.linalg.norm(noisy, axis=1, keepdims=True), np.float32)


def in_folders(vectors: F32, photos: I64, folders: int) -> tuple[F32, I64]:
    """Copy all photos to several folders."""
    copies = [again(vectors, seed) for seed in range(1, folders)]
    return np.concatenate([vectors, *copies]), np.concatenate(
        [photos + i * len(photos) for i in range(folders)]
    )


@pytest.mark.parametrize("folders", [2, 5, 12])
@pytest.mark.parametrize("seed", range(2))
def test_an_album_in_several_folders_has_the_same_people(folders: int, seed: int) -> None:
    truth = np.repeat(np.arange(6), 24)
    vectors = people_of(truth, seed, within=0.52)
    one = fit_album(vectors)
    labels = fit_album(*in_folders(vectors, np.arange(len(vectors)), folders))
    assert bcubed(one, truth).f > 0.97
    assert bcubed(labels, np.tile(truth, folders)).f > 0.97
    assert (labels.reshape(folders, -1) == labels[: len(vectors)]).all()


def test_copies_of_group_photos_keep_people_apart() -> None:
    truth = np.concatenate([np.random.default_rng(i).permutation(8)[:5] for i in range(24)])
    photos = np.repeat(np.arange(24), 5)
    vectors, photos = in_folders(people_of(truth, 0, within=0.7), photos, 4)
    assert same_partition(fit_album(vectors, photos), np.tile(truth, 4))


def test_copies_of_a_single_face_are_a_cluster_unless_the_face_is_bad() -> None:
    vectors = people_of(np.array([0] * 8 + [1, 2]), 0)
    copied, photos = in_folders(vectors, np.arange(10), 3)
    good = np.tile([True] * 9 + [False], 3)
    labels = fit_album(copied, photos, good)
    assert same_partition(labels, np.tile([0] * 8 + [1, -1], 3))
    assert (labels[[9, 19, 29]] == -1).all()


def test_copies_of_copies() -> None:
    edges = [(0, 3, 9.0), (3, 4, 8.5), (1, 2, 7.9), (1, 4, 2.0), (0, 1, 3.0), (0, 2, -1.0)]
    a, b, weights = (np.array(column) for column in zip(*edges, strict=True))
    graph = graph_from_edges(5, a, b, weights.astype(np.float32))
    first = first_copies(graph, 8.0)
    assert first.tolist() == [0, 1, 2, 0, 0]
    vectors = np.eye(5, dtype=np.float32)
    album = Album(vectors, np.arange(5), np.ones(5, bool), graph, np.full(5, -1), size=105)
    smaller, place = without_copies(album, graph, first, 0.5)
    assert place.tolist() == [0, 1, 2, 0, 0]
    assert smaller.graph is not None
    assert smaller.graph.indptr.tolist() == [0, 2, 4, 6]
    assert smaller.graph.indices.tolist() == [1, 2, 0, 2, 0, 1]
    # The strongest edge between copies of the two.
    np.testing.assert_allclose(smaller.graph.weights, [3.5, -0.5, 3.5, 8.4, -0.5, 8.4], rtol=1e-6)
    assert (smaller.size, smaller.photos.tolist()) == (103, [0, 1, 2])


def test_without_edges_there_are_no_copies() -> None:
    graph = graph_from_edges(3, np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    assert first_copies(graph, 8.0).tolist() == [0, 1, 2]


def test_a_picture_is_good_if_one_of_its_copies_is() -> None:
    """The reduced copy comes first, and is poor."""
    vectors = np.repeat(people_of([0, 1], 5, within=0.6), 2, axis=0)
    good = np.array([False, True, False, False])
    graph = graph_from_edges(4, np.array([0, 2]), np.array([1, 3]), np.full(2, 30.0, np.float32))
    album = Album(vectors, np.arange(4), good, graph, np.full(4, -1), 4)
    smaller, _ = without_copies(album, graph, first_copies(graph, 20.0), 0.0)
    assert smaller.good.tolist() == [True, False]
