"""Samples of similarities, compared with all pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from faceindex.metrics import Sample, sample_similarities

N = 60


@pytest.fixture
def faces() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((N, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return vectors, rng.integers(0, 25, N), rng.integers(-1, 6, N), rng.integers(-1, 5, N)


def test_few_pairs_are_all_used(faces) -> None:
    vectors, photos, clusters, people = faces
    found = sample_similarities(vectors, photos, clusters, people)
    products = vectors @ vectors.T

    def pairs(keep) -> list[float]:
        return sorted(products[i, j] for i, j in combinations(range(N), 2) if keep(i, j))

    expected = {
        "same_photo": pairs(lambda i, j: photos[i] == photos[j]),
        "within_cluster": pairs(lambda i, j: clusters[i] == clusters[j] >= 0 and photos[i] != photos[j]),
        "same_person": pairs(lambda i, j: people[i] == people[j] >= 0 and photos[i] != photos[j]),
        "different_person": pairs(lambda i, j: people[i] != people[j] and min(people[i], people[j]) >= 0),
        "nearest": sorted(max(products[i, j] for j in range(N) if photos[j] != photos[i]) for i in range(N)),
    }
    for kind, values in expected.items():
        sample = getattr(found, kind)
        assert sample.pairs == len(values) > 0
        np.testing.assert_allclose(np.sort(sample.values), values, atol=1e-6)


def test_many_pairs_are_sampled(faces) -> None:
    vectors, photos, clusters, people = faces
    every = sample_similarities(vectors, photos, clusters, people)
    some = sample_similarities(vectors, photos, clusters, people, limit=20, queries=10, seed=1)
    again = sample_similarities(vectors, photos, clusters, people, limit=20, queries=10, seed=1)
    for kind in ("same_photo", "nearest", "within_cluster", "same_person", "different_person"):
        sample, whole = getattr(some, kind), getattr(every, kind)
        assert 0 < len(sample.values) <= 20
        assert sample.pairs == whole.pairs
        assert np.isin(sample.values.round(5), whole.values.round(5)).all()
        assert (sample.values == getattr(again, kind).values).all()


def test_nothing_to_compare() -> None:
    found = sample_similarities(np.ones((1, 1), np.float32), np.zeros(1, np.int64), np.full(1, -1))
    assert [found.same_photo.pairs, found.nearest.pairs, found.within_cluster.pairs] == [0, 0, 0]
    assert found.nearest.share_above(0.5) is None
    assert found.same_person is None


def test_share_above_counts_the_threshold_itself() -> None:
    assert Sample(np.array([0.1, 0.5, 0.9], np.float32), 3).share_above(0.5) == pytest.approx(2 / 3)
