"""Identification among strangers, compared with its definition and with cases by hand."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from synthetic_faces import made_up, unit

from faceindex.metrics import open_set, reliability
from faceindex.models import Calibration

module = importlib.import_module("faceindex.metrics.open_set")  # the function has the same name

CALIBRATION = Calibration(slope=40.0, midpoint=0.75, source="made up", strangers=-20.0)


def test_open_set_separates_known_people_from_strangers() -> None:
    vectors, people, _ = made_up(0, people=40, spread=0.05)
    found = open_set(vectors, people, np.arange(len(people)), repeats=3, calibration=CALIBRATION)
    assert found is not None
    assert (found.enrolled, found.strangers, found.repeats) == (20, 20, 3)
    assert found.gallery + found.mated + found.non_mated == len(people)
    assert [point.target for point in found.points] == [0.01, 0.001, None]
    assert all(point.tpir > 0.9 and point.fpir <= (point.target or 0.2) for point in found.points)
    assert not found.points[0].resolved  # fewer than a hundred non-mated searches
    assert {row.high for row in found.reliability} <= {0.1, 0.5, 0.9, 0.95, 0.99, 1.0}
    assert sum(row.searches for row in found.reliability) == round(3 * (found.mated + found.non_mated))


def test_open_set_rates_by_definition(monkeypatch) -> None:
    """TPIR at an FPIR is the highest of all thresholds whose FPIR is no greater."""
    recorded = []
    original = module._operating_point

    def record(trials, target):
        recorded.append((list(trials), target))
        return original(trials, target)

    monkeypatch.setattr(module, "_operating_point", record)
    vectors, people, _ = made_up(1, people=60, spread=1.0)
    found = open_set(vectors, people, np.arange(len(people)), rates=(0.1, 0.3), repeats=2)
    assert found is not None
    for (trials, target), point in zip(recorded, found.points, strict=True):
        tpirs = []
        for trial in trials:
            thresholds = [
                t for t in [*trial.mated, *trial.non_mated] if np.mean(trial.non_mated >= t) <= target
            ]
            tpirs.append(max((np.mean(trial.mated >= t) for t in thresholds if t > -np.inf), default=0.0))
        assert point.tpir == pytest.approx(np.mean(tpirs))
        assert point.tpir_std == pytest.approx(np.std(tpirs, ddof=1))
        assert point.resolved


def test_open_set_is_seeded() -> None:
    vectors, people, photos = made_up(2, people=30)
    assert open_set(vectors, people, photos, seed=5) == open_set(vectors, people, photos, seed=5)
    assert open_set(vectors, people, photos, seed=5) != open_set(vectors, people, photos, seed=6)


@pytest.mark.parametrize(
    "people",
    [[0, 0, 0], [0, 1, 2, 3]],
    ids=["one person", "one photo each"],
)
def test_open_set_of_too_few(people: list[int]) -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((len(people), 4)))
    assert open_set(vectors, np.array(people), np.arange(len(people))) is None


def test_reliability_by_hand() -> None:
    probability = np.array([0.05, 0.6, 0.8, 0.95, 1.0, 0.2])
    right = np.array([False, True, True, True, True, False])
    mated = np.array([True, True, True, True, False, False])
    rows = reliability(probability, right, mated, bins=(0.0, 0.5, 1.0))
    assert [(row.low, row.high, row.searches) for row in rows] == [(0.0, 0.5, 2), (0.5, 1.0, 4)]
    # Two strangers weigh as much as four known people: 2 to 1.
    assert rows[0].probability == pytest.approx((0.05 + 2 * 0.2) / 3)
    assert rows[1].right == pytest.approx(1.0)
    assert reliability(np.empty(0), np.empty(0, bool), np.empty(0, bool)) == []
