"""Faces that share a photo: groups, competition, copies, the strangers of an album."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic_faces import CALIBRATION, make_graph, people_of, vectors_with

from faceindex.clustering.same_photo import PhotoGroups, compete, strangers_of_album
from faceindex.clustering.strangers import APART, COPIES, stranger_similarity
from faceindex.types import I64, Graph

F64 = NDArray[np.float64]


def dense(graph: Graph) -> F64:
    """Return the weights as a matrix; NaN where there is no edge."""
    matrix = np.full((len(graph), len(graph)), np.nan)
    for i in range(len(graph)):
        row = slice(graph.indptr[i], graph.indptr[i + 1])
        matrix[i, graph.indices[row]] = graph.weights[row]
    return matrix


def reference(weights: F64, photos: I64, copies_from: float) -> F64:
    """Let pairs compete, by the formula, pair by pair."""
    n = len(photos)
    odds = np.exp(np.nan_to_num(weights, nan=-np.inf))
    same = photos[:, None] == photos
    copies = same & (np.nan_to_num(weights, nan=-np.inf) >= copies_from)
    result: F64 = weights.copy()
    for i in range(n):
        for j in range(n):
            if i == j or np.isnan(weights[i, j]):
                continue
            if same[i, j]:
                result[i, j] = weights[i, j] + APART if copies[i, j] else -APART
                continue
            others = sum(odds[i, k] for k in range(n) if same[j, k] and k != j and not copies[j, k])
            others += sum(odds[j, k] for k in range(n) if same[i, k] and k != i and not copies[i, k])
            result[i, j] = weights[i, j] - np.log(1 + others)
    return result


class TestGroups:
    def test_faces_alone_on_their_photo_are_in_none(self) -> None:
        groups = PhotoGroups.build(np.array([50, 7, 50, 3, 7, 50, -2]))
        assert len(groups) == 2
        assert groups.of.tolist() == [1, 0, 1, -1, 0, 1, -1]
        assert groups.indptr.tolist() == [0, 2, 5]
        assert groups.members.tolist() == [1, 4, 0, 2, 5]
        assert [part.dtype.name for part in (groups.of, groups.indptr, groups.members)] == [
            "int32",
            "int64",
            "int32",
        ]

    @pytest.mark.parametrize("photos", [[], [4], [3, 1, 2]])
    def test_no_shared_photo(self, photos: list[int]) -> None:
        groups = PhotoGroups.build(np.array(photos, np.int64))
        assert len(groups) == 0
        assert groups.of.tolist() == [-1] * len(photos)

    @pytest.mark.parametrize("seed", range(5))
    def test_members_and_groups_agree(self, seed: int) -> None:
        photos = np.random.default_rng(seed).integers(0, 30, 60)
        groups = PhotoGroups.build(photos)
        for group in range(len(groups)):
            members = groups.members[groups.indptr[group] : groups.indptr[group + 1]]
            assert members.tolist() == np.flatnonzero(photos == photos[members[0]]).tolist()
            assert len(members) > 1
            assert (groups.of[members] == group).all()
        assert len(groups.members) == (groups.of >= 0).sum()


class TestCompetition:
    def test_a_graph_without_shared_photos_is_returned_as_it_is(self) -> None:
        graph = make_graph(4, [(0, 1, 2.0), (2, 3, 1.0)])
        assert compete(graph, PhotoGroups.build(np.arange(4)), 10.0) is graph

    def test_a_face_matches_at_most_one_of_another_photo(self) -> None:
        """The odds that result are those of exactly one match or none."""
        weights = np.array([2.0, 1.5, -1.0, 0.5])
        graph = make_graph(5, [(0, 1 + k, float(weight)) for k, weight in enumerate(weights)])
        found = dense(compete(graph, PhotoGroups.build(np.array([8, 9, 9, 9, 9])), 10.0))[0, 1:]
        expected = np.exp(weights) / (1 + np.exp(weights).sum())
        np.testing.assert_allclose(1 / (1 + np.exp(-found)), expected, rtol=1e-5)

    def test_both_faces_of_a_pair_compete(self) -> None:
        graph = make_graph(4, [(0, 2, 3.0), (0, 3, 1.0), (1, 2, 2.0), (0, 1, -3.0)])
        found = dense(compete(graph, PhotoGroups.build(np.array([5, 5, 6, 6])), 10.0))
        assert found[0, 2] == pytest.approx(3 - np.log(1 + np.exp(1) + np.exp(2)))
        assert found[0, 3] == pytest.approx(1 - np.log(1 + np.exp(3)))
        assert found[1, 2] == pytest.approx(2 - np.log(1 + np.exp(3)))
        assert found[0, 1] == -APART
        assert np.isnan(found[1, 3])

    def test_copies_do_not_compete_and_are_linked_more(self) -> None:
        graph = make_graph(4, [(0, 1, 3.0), (0, 2, 2.5), (0, 3, 1.0), (1, 2, 12.0), (2, 3, 9.9)])
        found = dense(compete(graph, PhotoGroups.build(np.array([0, 4, 4, 4])), 10.0))
        assert found[1, 2] == found[2, 1] == 12 + APART
        assert found[2, 3] == -APART
        assert found[0, 1] == pytest.approx(3 - np.log(1 + np.exp(1)))
        assert found[0, 2] == pytest.approx(2.5 - np.log(1 + np.exp(1)))
        assert found[0, 3] == pytest.approx(1 - np.log(1 + np.exp(3) + np.exp(2.5)))

    def test_faces_of_photos_with_one_face_keep_their_weights(self) -> None:
        graph = make_graph(5, [(0, 1, 3.0), (1, 2, 1.0), (3, 4, 2.0)])
        found = dense(compete(graph, PhotoGroups.build(np.array([0, 1, 2, 3, 3])), 10.0))
        assert (found[0, 1], found[1, 2], found[3, 4]) == (3, 1, -APART)

    def test_odds_beyond_the_range_of_numbers_stay_finite(self) -> None:
        graph = make_graph(3, [(0, 1, 500.0), (0, 2, 400.0)])
        found = compete(graph, PhotoGroups.build(np.array([0, 1, 1])), 1000.0)
        assert np.isfinite(found.weights).all()

    @pytest.mark.parametrize("seed", range(12))
    def test_equals_the_formula(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 25))
        photos = rng.integers(0, max(1, n // 2), n)
        edges = [(i, j, float(rng.normal(1, 4))) for i in range(n) for j in range(i) if rng.random() < 0.6]
        graph = make_graph(n, edges or [(0, 1, 1.0)])
        before = graph.weights.copy()
        found = compete(graph, PhotoGroups.build(photos), copies_from=3.0)
        np.testing.assert_array_equal(graph.weights, before)
        np.testing.assert_array_equal(found.indices, graph.indices)
        np.testing.assert_allclose(dense(found), reference(dense(graph), photos, 3.0), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(dense(found), dense(found).T, atol=1e-5)


class TestStrangers:
    USUAL = stranger_similarity(CALIBRATION)

    @staticmethod
    def estimate(vectors: np.ndarray, photos: np.ndarray, good: np.ndarray | None = None) -> float:
        good = np.ones(len(photos), bool) if good is None else good
        return strangers_of_album(vectors, PhotoGroups.build(photos), good, CALIBRATION)

    @staticmethod
    def pairs(count: int, similarity: float) -> tuple[np.ndarray, np.ndarray]:
        """Photos with two faces of this similarity."""
        return np.tile(vectors_with([[1, similarity], [similarity, 1]]), (count, 1)), np.repeat(
            np.arange(count), 2
        )

    def test_without_shared_photos_it_is_that_of_the_calibration(self) -> None:
        vectors = people_of(np.zeros(20), 0, within=0.5)
        assert self.estimate(vectors, np.arange(20)) == self.USUAL
        assert self.estimate(vectors[:0], np.arange(0)) == self.USUAL

    @pytest.mark.parametrize(("photos", "weight"), [(1, 0.5 / 31), (30, 0.25), (270, 0.45)])
    def test_half_of_the_excess_counts_and_less_for_few_photos(self, photos: int, weight: float) -> None:
        found = self.estimate(*self.pairs(photos, 0.3))
        assert found == pytest.approx(self.USUAL + weight * (0.3 - self.USUAL), abs=1e-6)

    def test_each_photo_counts_once_however_many_faces_it_has(self) -> None:
        many = np.full((9, 9), 0.2)
        np.fill_diagonal(many, 1)
        two, on = self.pairs(1, 0.4)
        vectors = np.zeros((11, 11), np.float32)
        vectors[:9, :9], vectors[9:, 9:] = vectors_with(many), two
        found = self.estimate(vectors, np.concatenate([np.full(9, 5), on + 6]))
        assert found == pytest.approx(self.USUAL + 0.5 * 2 / 32 * (0.3 - self.USUAL), abs=1e-6)

    def test_it_never_falls_below_that_of_the_calibration(self) -> None:
        assert self.estimate(*self.pairs(100, -0.4)) == self.USUAL

    def test_faces_that_are_not_good_do_not_count(self) -> None:
        vectors, photos = self.pairs(30, 0.3)
        assert self.estimate(vectors, photos, np.arange(60) % 2 == 0) == self.USUAL
        assert self.estimate(vectors, photos, np.zeros(60, bool)) == self.USUAL
        half = self.estimate(vectors, photos, np.arange(60) < 30)
        assert half == pytest.approx(self.estimate(vectors[:30], photos[:30]))

    def test_copies_do_not_count(self) -> None:
        copies = CALIBRATION.midpoint + COPIES / CALIBRATION.slope
        assert self.estimate(*self.pairs(100, copies + 0.01)) == self.USUAL
        assert self.estimate(*self.pairs(100, copies - 0.01)) > self.USUAL + 0.2

    def test_a_sample_of_whole_photos_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from faceindex.clustering import same_photo

        vectors, photos = self.pairs(100, 0.3)
        monkeypatch.setattr(same_photo, "_SAMPLE", 59)
        found = self.estimate(vectors, photos)
        assert found == pytest.approx(self.USUAL + 0.5 * 29 / 59 * (0.3 - self.USUAL), abs=1e-6)
