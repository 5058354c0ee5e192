"""KMeans: clusters of known number, previous clusters as a start, errors."""

from __future__ import annotations

import numpy as np
import pytest

from faceindex import models
from faceindex.clustering import Album, ClusterOptions
from faceindex.clustering import kmeans as kmeans_module
from faceindex.clustering.kmeans import KMeans
from faceindex.errors import UsageError
from faceindex.models import Calibration
from faceindex.types import F32, I64


def people(sizes: list[int], seed: int = 0, dimension: int = 32) -> tuple[F32, I64]:
    """Make faces around random centres, and the person of each."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.standard_normal((len(sizes), dimension))
    vectors = centres[truth] + 0.3 * rng.standard_normal((len(truth), dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), truth


def kmeans(k: int, seed: int = 0) -> KMeans:
    clusterer = models.load(models.get("clusterer", "kmeans"), options=ClusterOptions(k=k, seed=seed))
    assert isinstance(clusterer, KMeans)
    return clusterer


def album(vectors: F32, previous: I64 | None = None) -> Album:
    n = len(vectors)
    previous = np.full(n, -1) if previous is None else previous
    return Album(vectors, np.arange(n), np.ones(n, bool), None, previous, size=n)


@pytest.mark.parametrize("minibatch", [False, True])
def test_finds_the_people_and_numbers_them_by_size(minibatch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if minibatch:
        monkeypatch.setattr(kmeans_module, "MINIBATCH_ABOVE", 50)
    vectors, truth = people([40, 30, 20, 10])
    labels = kmeans(4).fit(album(vectors))
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, truth)


def test_same_seed_same_labels() -> None:
    vectors = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    first = kmeans(7, seed=3).fit(album(vectors))
    np.testing.assert_array_equal(first, kmeans(7, seed=3).fit(album(vectors)))
    assert set(first.tolist()) == set(range(7))


def test_as_many_clusters_as_faces() -> None:
    labels = kmeans(5).fit(album(np.eye(5, dtype=np.float32)))
    assert sorted(labels.tolist()) == list(range(5))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("minibatch", [False, True])
def test_fewer_different_faces_than_clusters(minibatch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if minibatch:
        monkeypatch.setattr(kmeans_module, "MINIBATCH_ABOVE", 5)
    labels = kmeans(4).fit(album(np.repeat(np.eye(2, 8, dtype=np.float32), 3, axis=0)))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


PAIRS = np.array([[0, 0], [0, 0.1], [1, 0], [1, 0.1], [9, 0], [9, 0.2]], np.float32)


def test_as_many_previous_clusters_are_the_start() -> None:
    # From the means of these, no point moves, although another solution is better.
    labels = kmeans(3).fit(album(PAIRS, np.array([5, 5, 5, 5, 7, 8])))
    assert labels.tolist() == [0, 0, 0, 0, 1, 2]
    assert kmeans(3).fit(album(PAIRS)).tolist() == [0, 0, 1, 1, 2, 2]
    assert kmeans(3).fit(album(PAIRS, np.array([5, 5, 5, 5, 5, 8]))).tolist() == [0, 0, 1, 1, 2, 2]


def test_previous_clusters_do_not_bind() -> None:
    vectors, truth = people([40, 30, 20, 10], seed=1)
    wrong = truth.copy()
    moved = np.random.default_rng(0).permutation(100)[:15]
    wrong[moved] = (wrong[moved] + 1) % 4
    np.testing.assert_array_equal(kmeans(4).fit(album(vectors, wrong)), truth)
    # Another number of clusters, or faces that had none
    np.testing.assert_array_equal(kmeans(4).fit(album(vectors, truth % 3)), truth)
    known = np.where(np.arange(100) % 2, truth, -1)
    np.testing.assert_array_equal(kmeans(4).fit(album(vectors, known)), truth)


@pytest.mark.parametrize("n", [0, 3])
def test_more_clusters_than_faces_are_an_error(n: int) -> None:
    with pytest.raises(UsageError, match=rf"`k` is 4, and there are only {n} faces"):
        kmeans(4).fit(album(np.eye(4, dtype=np.float32)[:n]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ClusterOptions(), "needs the number of clusters"),
        (ClusterOptions(k=0), "`k` is 0"),
        (ClusterOptions(k=3, threshold=0.5), "does not use `threshold`"),
    ],
)
def test_missing_and_unused_options_are_errors(options: ClusterOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        models.load(models.get("clusterer", "kmeans"), options=options)


def test_a_face_unlike_all_others_gets_no_centroid() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, 16)
    centres[1, 0] = 2  # two of the three people are similar
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    people = np.repeat(centres, 4, axis=0) + rng.normal(scale=0.02, size=(12, 16))
    stranger = -np.eye(1, 16, 3)
    vectors = np.concatenate([people, stranger]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    calibration = Calibration(slope=100.0, midpoint=0.8, source="made up")
    options = ClusterOptions(k=3, calibration=calibration)
    labels = models.load(models.get("clusterer", "kmeans"), options=options).fit(album(vectors))
    assert len({tuple(labels[i : i + 4]) for i in (0, 4, 8)}) == 3
    assert all(len(set(labels[i : i + 4])) == 1 for i in (0, 4, 8))
