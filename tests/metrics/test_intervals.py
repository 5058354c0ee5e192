"""Intervals by bootstrap over people, and scores of parts of the faces."""

from __future__ import annotations

import numpy as np
import pytest

from faceindex.metrics import Scores, bcubed, bcubed_of_faces, bootstrap_f, score_bins


def test_the_scores_of_faces_average_to_bcubed() -> None:
    rng = np.random.default_rng(0)
    labels, truth = rng.integers(-1, 6, 80), rng.integers(0, 7, 80)
    precision, recall = bcubed_of_faces(labels, truth)
    whole = bcubed(labels, truth)
    assert (precision.mean(), recall.mean()) == pytest.approx((whole.precision, whole.recall))


def test_the_scores_of_faces_by_hand() -> None:
    precision, recall = bcubed_of_faces([4, 4, 4, -1, -1], list("aabbb"))
    assert precision.tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1, 1])
    assert recall.tolist() == pytest.approx([1, 1, 1 / 3, 1 / 3, 1 / 3])


def test_people_without_spread_have_a_narrow_interval() -> None:
    people = np.repeat(np.arange(6), 5)
    found = bootstrap_f(np.full(30, 0.9), np.full(30, 0.6), people)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.72, 0.72))


def test_people_are_drawn_with_all_their_faces() -> None:
    """One of two people is all wrong: a quarter of the draws have only that one, a quarter only the other."""
    people = np.array([3] * 50 + [8] * 50)
    values = np.where(people == 3, 1.0, 0.5)
    found = bootstrap_f(values, values, people)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.5, 1.0))
    wide = bootstrap_f(values, values, people, level=0.4)
    assert wide is not None
    assert (wide.low, wide.high) == pytest.approx((0.75, 0.75))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        of_person = rng.beta(8, 2, 40)
        people = np.repeat(np.arange(40), 3)
        values = of_person[people]
        found = bootstrap_f(values, values, people, repeats=400, seed=trial)
        assert found is not None
        covered += found.low <= 0.8 <= found.high
    assert 0.89 <= covered / 200 <= 0.98


def test_the_seed_decides_the_draws() -> None:
    rng = np.random.default_rng(2)
    values, people = rng.random(60), rng.integers(0, 9, 60)
    first, again, other = (bootstrap_f(values, values, people, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("people", [[], [4], [4, 4, 4]])
def test_one_person_has_no_interval(people: list[int]) -> None:
    values = np.ones(len(people))
    assert bootstrap_f(values, values, np.array(people, np.int64)) is None


def bins(values: list[float], edges: list[float], least: int) -> list[tuple[float, float, int]]:
    ones = np.ones(len(values))
    people = np.arange(len(values)) % 3
    found = score_bins(np.array(values, float), edges, ones, ones, people, least=least)
    return [(part.low, part.high, part.faces) for part in found]


INF = float("inf")
PEOPLE = np.array([0, 0, 0, 1])


@pytest.mark.parametrize(
    ("values", "least", "expected"),
    [
        ([5, 15, 15, 25], 1, [(-INF, 10, 1), (10, 20, 2), (20, INF, 1)]),
        ([5, 15, 15, 25], 2, [(-INF, INF, 4)]),
        ([5, 5, 15, 15, 25], 2, [(-INF, 10, 2), (10, INF, 3)]),
        ([5, 15, 25, 25], 2, [(-INF, 20, 2), (20, INF, 2)]),
        ([5, 25], 9, [(-INF, INF, 2)]),
        ([10, 20], 1, [(-INF, 20, 1), (20, INF, 1)]),  # an edge belongs to the bin above it
        ([], 1, []),
    ],
)
def test_small_bins_are_joined(values: list[float], least: int, expected: list[tuple[float, ...]]) -> None:
    found = bins(values, [10, 20], least)
    assert sum(part[2] for part in found) == len(values)
    assert found == expected


def test_each_bin_has_the_means_of_its_faces() -> None:
    precision, recall = np.array([1.0, 0.5, 0.25, 0.75]), np.array([0.5, 0.5, 1.0, 1.0])
    low, high = score_bins(
        np.array([1, 2, 11, 12.0]), [10], precision, recall, np.array([0, 0, 0, 1]), least=1
    )
    assert (low.bcubed, low.people, low.interval) == (Scores(0.75, 0.5), 1, None)
    assert (high.bcubed, high.people) == (Scores(0.5, 1.0), 2)
    assert high.interval == bootstrap_f(precision[2:], recall[2:], PEOPLE[2:])
