"""Evidence, probability and false alarms: on made-up faces, whose calibration is measured on other people."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from faceindex.evidence import (
    FALSE_ALARMS,
    Odds,
    Ranking,
    confidence,
    evidence,
    is_named,
    least_probability,
    needed_evidence,
    odds,
    rivals,
)
from faceindex.metrics import reliability, weigh_people
from faceindex.metrics.calibration import fit_line, pairs_of_people
from faceindex.metrics.strangers import evidence_of_known, evidence_of_strangers
from faceindex.models import Calibration
from faceindex.types import F32, F64, I64

CALIBRATION = Calibration(slope=36.0, midpoint=0.38, source="made up", strangers=-12.0, known=14.0, poor=7.0)


def faces(people: int, each: int, seed: int, noise: float = 1.2, alike: float = 0.0) -> tuple[F32, I64]:
    """Make faces in 96 dimensions; `alike` is the share of all people's centres that is the same."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, 96)) + alike * rng.standard_normal(96)
    codes = np.repeat(np.arange(people), each)
    vectors = centres[codes] + noise * rng.standard_normal((len(codes), 96))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), codes


@pytest.fixture(scope="module")
def measured() -> Calibration:
    """A calibration of made-up faces, as `faceindex models calibrate` makes it."""
    vectors, codes = faces(300, 6, seed=0)
    different, same, weights = pairs_of_people(vectors, codes, np.arange(len(codes)))
    line = fit_line(different, same, weights)
    assert line is not None
    made = Calibration(line.slope, line.midpoint, "made up")
    strangers = evidence_of_strangers(different, 300, made)
    known = evidence_of_known(vectors, codes, np.ones(len(codes), np.float32), made)
    assert strangers is not None
    assert known is not None
    assert known[1] == 0
    return dataclasses.replace(made, strangers=strangers, known=known[0])


@pytest.mark.parametrize("each", [2, 12, 80])
@pytest.mark.parametrize("people", [1, 8, 36, 500])
def test_at_most_one_percent_of_strangers_are_named(measured: Calibration, people: int, each: int) -> None:
    vectors, codes = faces(people, each + 4, seed=people + each)
    probe = np.arange(len(codes)) % (each + 4) >= each
    strangers, _ = faces(2000, 1, seed=7)
    queries = np.concatenate([vectors[probe], strangers])
    best, ranking = weigh_people(queries, vectors[~probe], codes[~probe], measured)
    named = is_named(odds(ranking, measured))
    mated = int(probe.sum())
    assert named[mated:].mean() <= FALSE_ALARMS
    assert (named[:mated] & (best[:mated] == codes[probe])).mean() >= (0.6 if each == 2 else 0.9)


def test_probabilities_are_as_often_right(measured: Calibration) -> None:
    found: list[tuple[F64, np.ndarray, np.ndarray]] = []
    for seed in range(12):
        vectors, codes = faces(60, 6, seed=100 + seed)
        known = (codes < 30) & (np.arange(len(codes)) % 6 < 4)
        best, ranking = weigh_people(vectors[~known], vectors[known], codes[known], measured)
        worth = odds(ranking, measured)
        found.append((worth.probability, best == codes[~known], codes[~known] < 30))
    bins = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)
    rows = reliability(*(np.concatenate(part) for part in zip(*found, strict=True)), bins=bins)
    assert [row.low for row in rows] == [0.0, 0.1, 0.5, 0.9, 0.99]
    assert all(row.searches >= 20 for row in rows)
    assert all(abs(row.right - row.probability) <= 0.3 for row in rows)
    assert rows[0].right <= 0.02
    assert rows[3].right >= 0.95
    assert rows[4].right >= 0.995


def test_strangers_of_one_family_are_kept_out(measured: Calibration) -> None:
    vectors, codes = faces(40, 12, seed=3, alike=0.8)
    gallery = (codes < 20) & (np.arange(len(codes)) % 12 < 9)
    strangers = vectors[codes >= 20]
    _, ranking = weigh_people(strangers, vectors[gallery], codes[gallery], measured)
    share = is_named(odds(ranking, measured)).mean()
    without = dataclasses.replace(ranking, second=np.full(len(strangers), -np.inf))
    alone = is_named(odds(without, measured)).mean()
    assert alone > 0.5  # without the runner-up
    assert share < 0.15 * alone


def ranked(best: F64, second: F64, people: int) -> Ranking:
    of = np.full(len(best), float(people))
    return Ranking(best, second, of, of, people)


def worth_of(best: F64, second: F64, people: int, quality: F64 | None = None) -> Odds:
    return odds(ranked(best, second, people), CALIBRATION, quality)


def test_evidence_by_hand() -> None:
    found = evidence(np.array([0.6]), np.array([0.7]), 12.0, CALIBRATION)
    assert found[0] == pytest.approx(36 * (0.65 - 0.38) - 0.6 * np.log(12))
    many = evidence(np.array([0.6, 0.6]), np.array([0.7, 0.7]), np.array([100.0, 5000.0]), CALIBRATION)
    assert many[0] == many[1]


def test_more_people_make_false_alarms_likelier() -> None:
    best, nobody = np.full(1, 3.0), np.full(1, -np.inf)
    worths = [worth_of(best, nobody, people) for people in (1, 10, 1000, 100_000)]
    alarms = [float(worth.false_alarm[0]) for worth in worths]
    probabilities = [float(worth.probability[0]) for worth in worths]
    assert alarms == sorted(alarms)
    assert probabilities == sorted(probabilities, reverse=True)
    assert alarms[1] == pytest.approx(10 * alarms[0], rel=0.01)
    assert probabilities[0] > 0.8 > 0.1 > probabilities[-1]


def test_a_runner_up_shares_the_probability() -> None:
    best = np.full(3, 14.0)
    worth = worth_of(best, np.array([14.0, 10.0, -np.inf]), 8)
    assert worth.probability[0] < 0.5
    assert worth.probability[0] < worth.probability[1] < worth.probability[2]


@pytest.mark.parametrize("people", [1, 8, 1000])
@pytest.mark.parametrize("calibration", [CALIBRATION, Calibration(210.0, 0.905, "made up")])
def test_more_evidence_is_never_worth_less(people: int, calibration: Calibration) -> None:
    best = np.linspace(-60, 80, 561)
    second = np.full(len(best), -np.inf if people == 1 else -3.0)
    for quality in (None, np.full(len(best), 0.1)):
        ranking = ranked(best, second, people)
        worth = odds(ranking, calibration, quality)
        assert (np.diff(worth.log_odds) >= -1e-9).all()
        assert (np.diff(worth.false_alarm) <= 1e-12).all()
        assert ((worth.probability >= 0) & (worth.probability <= 1)).all()
        needed = needed_evidence(ranking, calibration, quality)
        assert np.ptp(needed) < 1e-9
        named = is_named(worth)
        assert named.any()
        assert best[named].min() == pytest.approx(needed[0], abs=0.26)


def test_poor_faces_need_less_to_be_known_but_strangers_are_the_same() -> None:
    best, nobody = np.full(3, 4.0), np.full(3, -np.inf)
    worth = worth_of(best, nobody, 8, np.array([1.0, 0.2, np.nan]))
    assert worth.probability[1] > worth.probability[0] == worth.probability[2]
    assert len(set(worth.false_alarm.tolist())) == 1


def test_strict_rates_need_more() -> None:
    nobody = np.full(1, -np.inf)
    ranking = ranked(nobody, nobody, 8)
    needed = [float(needed_evidence(ranking, CALIBRATION, None, rate)[0]) for rate in (0.05, 0.01, 0.001)]
    assert needed == sorted(needed)
    assert [least_probability(rate) for rate in (0.05, 0.01, 0.001)] == pytest.approx([0.5, 0.8, 0.98])


def test_people_on_few_photos_need_more() -> None:
    faces = np.array([400.0, 100.0, 4.0])
    of = rivals(faces, faces)
    assert of.tolist() == pytest.approx([32 / 20, 32 / 10, 32 / 2])
    assert rivals(np.array([3.0]), np.full(7, 3.0))[0] == pytest.approx(7.0)
    same, nobody = np.full(3, 4.0), np.full(3, -np.inf)
    worth = odds(Ranking(same, nobody, of, of, 3), CALIBRATION)
    assert worth.probability[0] > worth.probability[1] > worth.probability[2]
    assert worth.false_alarm[0] < worth.false_alarm[1] < worth.false_alarm[2]


def test_words() -> None:
    assert confidence(0.995, named=True) == "certain"
    assert confidence(0.85, named=True) == "likely"
    assert confidence(0.85, named=False) == "doubtful"
    assert confidence(0.3, named=False) == "unknown"


def test_measuring_strangers_takes_people() -> None:
    different = np.random.default_rng(0).normal(0, 0.1, 5000)
    assert evidence_of_strangers(different, 29, CALIBRATION) is None
    assert evidence_of_strangers(different[:900], 30, CALIBRATION) is None
    found = evidence_of_strangers(different, 30, dataclasses.replace(CALIBRATION, slope=46.0))
    assert found == pytest.approx(
        -46 * 0.38, abs=1.5
    )  # the spread is 4.6 nats, so the tail is that of the mean


def test_poor_faces_are_measured() -> None:
    sharp, codes = faces(40, 6, seed=1)
    blurred, _ = faces(40, 2, seed=2, noise=1.0)
    rng = np.random.default_rng(1)
    blurred = sharp[::6].repeat(2, axis=0) + 0.12 * rng.standard_normal(blurred.shape).astype(np.float32)
    blurred /= np.linalg.norm(blurred, axis=1, keepdims=True)
    vectors = np.concatenate([sharp, blurred])
    people = np.concatenate([codes, np.arange(40).repeat(2)])
    quality = np.where(np.arange(len(vectors)) < len(sharp), 1.0, 0.1).astype(np.float32)
    found = evidence_of_known(vectors, people, quality, CALIBRATION)
    assert found is not None
    assert found[1] > 1
    assert evidence_of_known(vectors[:12], people[:12], quality[:12], CALIBRATION) is None
