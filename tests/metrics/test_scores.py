"""Scores, compared with cases by hand, with their definition and with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from faceindex.metrics import Scores, VMeasure, bcubed, pairwise, recall_at_k, v_measure


def by_definition(labels: list[int], truth: list[int]) -> tuple[float, float]:
    """Average over faces: (cluster and person) / cluster, and (cluster and person) / person."""
    n = len(labels)
    precision, recall = 0.0, 0.0
    for i in range(n):
        cluster = {j for j in range(n) if j == i or (labels[j] == labels[i] and labels[i] >= 0)}
        person = {j for j in range(n) if truth[j] == truth[i]}
        precision += len(cluster & person) / len(cluster) / n
        recall += len(cluster & person) / len(person) / n
    return precision, recall


@pytest.mark.parametrize(
    ("labels", "truth", "precision", "recall"),
    [
        ([0, 0, 1, 1], "aabb", 1, 1),
        ([7, 7, 3, 3], "aabb", 1, 1),  # the ids do not matter
        ([0, 0, 0, 0], "aabb", 1 / 2, 1),
        ([0, 1, 2, 3], "aabb", 1, 1 / 2),
        ([-1, -1, -1, -1], "aabb", 1, 1 / 2),  # a face in no cluster is a cluster of its own
        ([0, 0, 0, 1], "aabb", (2 / 3 + 2 / 3 + 1 / 3 + 1) / 4, (1 + 1 + 1 / 2 + 1 / 2) / 4),
        ([0, 0, -1, -1, 0], "aaaab", (2 / 3 + 2 / 3 + 1 + 1 + 1 / 3) / 5, (2 / 4 * 2 + 1 / 4 * 2 + 1) / 5),
        ([5], "a", 1, 1),
        ([-1], "a", 1, 1),
    ],
)
def test_bcubed_by_hand(labels: list[int], truth: str, precision: float, recall: float) -> None:
    scores = bcubed(labels, list(truth))
    assert scores.precision == pytest.approx(precision)
    assert scores.recall == pytest.approx(recall)
    assert scores.f == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("seed", range(8))
def test_bcubed_by_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 50))
    labels = rng.integers(-1, 6, n)
    truth = rng.integers(-3, 6, n)  # people may have negative numbers
    scores = bcubed(labels, truth)
    assert (scores.precision, scores.recall) == pytest.approx(by_definition(labels.tolist(), truth.tolist()))


def test_bcubed_does_not_change_its_input() -> None:
    labels = np.array([-1, 0, -1])
    bcubed(labels, ["a", "b", "a"])
    assert labels.tolist() == [-1, 0, -1]


@pytest.mark.parametrize(("labels", "truth"), [([], []), ([0, 1], ["a"]), ([0], []), ([], ["a"])])
def test_bcubed_needs_a_label_for_each_face(labels: list[int], truth: list[str]) -> None:
    with pytest.raises(ValueError, match=f"{len(labels)} labels for {len(truth)} faces"):
        bcubed(labels, truth)


def singletons_apart(labels: np.ndarray) -> np.ndarray:
    """Give each -1 a cluster of its own, for scikit-learn."""
    return np.where(labels < 0, 1000 + np.arange(len(labels)), labels)


@pytest.mark.parametrize(
    ("labels", "truth", "precision", "recall"),
    [
        ([0, 0, 1, 1], "aabb", 1, 1),
        ([0, 0, 0, 0], "aabb", 2 / 6, 1),
        ([0, 0, 0, 1], "aabb", 1 / 3, 1 / 2),
        ([0, 0, -1, -1, 0], "aaaab", 1 / 3, 1 / 6),
        ([-1, -1], "aa", 1, 0),  # no pair in a cluster, so none is wrong
        ([0, 0], "ab", 0, 1),
        ([3], "a", 1, 1),
    ],
)
def test_pairwise_by_hand(labels: list[int], truth: str, precision: float, recall: float) -> None:
    scores = pairwise(labels, list(truth))
    assert (scores.precision, scores.recall) == pytest.approx((precision, recall))


@pytest.mark.parametrize("seed", range(6))
def test_pairwise_and_v_measure_agree_with_scikit_learn(seed: int) -> None:
    from sklearn import metrics
    from sklearn.metrics.cluster import pair_confusion_matrix

    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 400))
    labels, truth = rng.integers(-1, 9, n), rng.integers(0, 7, n)
    (_, only_cluster), (only_person, both) = pair_confusion_matrix(truth, singletons_apart(labels))
    scores = pairwise(labels, truth)
    assert scores.precision == pytest.approx(both / (both + only_cluster))
    assert scores.recall == pytest.approx(both / (both + only_person))
    found = v_measure(labels, truth)
    expected = metrics.homogeneity_completeness_v_measure(truth, singletons_apart(labels))
    assert (found.homogeneity, found.completeness, found.v) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("labels", "truth", "homogeneity", "completeness"),
    [
        ([0, 0, 1, 1], "aabb", 1, 1),
        ([0, 0, 0, 0], "aabb", 0, 1),
        ([0, 1, 2, 3], "aabb", 1, 1 / 2),  # the person determines one of the two bits of the cluster
        ([-1, -1], "aa", 1, 0),
        ([5], "a", 1, 1),
    ],
)
def test_v_measure_by_hand(labels: list[int], truth: str, homogeneity: float, completeness: float) -> None:
    found = v_measure(labels, list(truth))
    assert (found.homogeneity, found.completeness) == pytest.approx((homogeneity, completeness))


@pytest.mark.parametrize("score", [pairwise, v_measure])
def test_every_score_needs_a_label_for_each_face(score) -> None:
    with pytest.raises(ValueError, match="2 labels for 1 faces"):
        score([0, 1], ["a"])


def test_fifty_thousand_faces_need_no_square_table() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 20_000, 50_000)
    labels = np.where(rng.random(50_000) < 0.1, -1, truth)
    assert pairwise(labels, truth).precision == 1
    assert bcubed(labels, truth).precision == pytest.approx(1)
    assert v_measure(labels, truth).homogeneity == pytest.approx(1)


def test_f_of_zero_scores_is_zero() -> None:
    assert Scores(0.0, 0.0).f == 0
    assert Scores(1.0, 0.0).f == 0
    assert Scores(0.5, 1.0).f == pytest.approx(2 / 3)
    assert VMeasure(0.5, 1.0).v == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("found", "truth", "recall"),
    [
        ([[1, 2, 3]], [[3, 2, 1]], 1),
        ([[1, 2, 3], [4, 5, 6]], [[1, 2, 9], [7, 8, 9]], 2 / 6),
        ([[1, -1, -1]], [[1, 2, -1]], 1 / 2),  # padding does not count
        ([[-1, -1]], [[-1, -1]], 0),
    ],
)
def test_recall_at_k_by_hand(found: list[list[int]], truth: list[list[int]], recall: float) -> None:
    assert recall_at_k(np.array(found), np.array(truth)) == pytest.approx(recall)


def test_recall_at_k_needs_as_many_queries_as_answers() -> None:
    with pytest.raises(ValueError, match="argument"):
        recall_at_k(np.zeros((2, 3), np.int64), np.zeros((3, 3), np.int64))
