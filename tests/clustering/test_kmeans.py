"""KMeans: clusters of known number, fixed labels, errors."""

from __future__ import annotations

import numpy as np
import pytest

from faceindex import models
from faceindex.clustering import ClusterOptions
from faceindex.clustering import kmeans as kmeans_module
from faceindex.clustering.kmeans import KMeans
from faceindex.errors import UsageError
from faceindex.metrics import bcubed
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


@pytest.mark.parametrize("minibatch", [False, True])
def test_finds_the_people_and_numbers_them_by_size(minibatch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if minibatch:
        monkeypatch.setattr(kmeans_module, "MINIBATCH_ABOVE", 50)
    vectors, truth = people([40, 30, 20, 10])
    labels = kmeans(4).fit(vectors, None)
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(labels, truth)


def test_same_seed_same_labels() -> None:
    vectors = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    first = kmeans(7, seed=3).fit(vectors, None)
    np.testing.assert_array_equal(first, kmeans(7, seed=3).fit(vectors, None))
    assert set(first.tolist()) == set(range(7))


def test_as_many_clusters_as_faces() -> None:
    labels = kmeans(5).fit(np.eye(5, dtype=np.float32), None)
    assert sorted(labels.tolist()) == list(range(5))


def test_fixed_faces_keep_their_labels_and_the_others_join_the_nearest() -> None:
    vectors, truth = people([20, 20, 20], seed=1)
    ids = np.array([9, 2, 5])
    known = np.random.default_rng(1).random(60) < 0.5
    fixed = np.where(known, ids[truth], -1)
    before = fixed.copy()
    # `k` is not used: the clusters are those of `fixed`.
    np.testing.assert_array_equal(kmeans(8).fit(vectors, None, fixed), ids[truth])
    np.testing.assert_array_equal(fixed, before)


def test_the_nearest_centroid_is_the_one_at_the_least_distance() -> None:
    # A scattered cluster has a short centroid: (0.6, 0) from (0.6, ±0.8). The dot product would choose the
    # other cluster, (0.96, 0.28).
    vectors = np.array([[0.6, 0.8], [0.6, -0.8], [0.96, 0.28], [0.8, -0.6]], np.float32)
    labels = kmeans(2).fit(vectors, None, np.array([0, 0, 1, -1]))
    distances = [np.hypot(0.8 - 0.6, 0.6), np.hypot(0.8 - 0.96, 0.88)]
    products = [0.8 * 0.6, 0.8 * 0.96 - 0.6 * 0.28]
    assert np.argmin(distances) != np.argmax(products)
    assert labels.tolist() == [0, 0, 1, int(np.argmin(distances))]


def test_fixed_labels_of_minus_one_are_the_same_as_none() -> None:
    vectors, truth = people([12, 8], seed=2)
    labels = kmeans(2).fit(vectors, None, np.full(20, -1))
    assert bcubed(labels, truth).f == 1


@pytest.mark.parametrize("n", [0, 3])
def test_more_clusters_than_faces_are_an_error(n: int) -> None:
    with pytest.raises(UsageError, match=rf"`k` is 4, and there are only {n} faces"):
        kmeans(4).fit(np.eye(4, dtype=np.float32)[:n], None)


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
    labels = models.load(models.get("clusterer", "kmeans"), options=options).fit(vectors, None)
    assert len({tuple(labels[i : i + 4]) for i in (0, 4, 8)}) == 3
    assert all(len(set(labels[i : i + 4])) == 1 for i in (0, 4, 8))
