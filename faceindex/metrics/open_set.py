"""Identification of known people among strangers, and whether its probabilities are right.

The terms are those of P. Grother, M. Ngan, K. Hanaoka, "Face Recognition Vendor Test (FRVT) Part 2:
Identification", NISTIR 8271, 2019.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faceindex.evidence import Odds, is_named, odds
from faceindex.metrics.identification import rank_people, weigh_people
from faceindex.models.spec import Calibration
from faceindex.types import F32, F64, I64, BoolArray

__all__ = ["OpenSet", "OperatingPoint", "Reliability", "open_set", "reliability"]

_BINS = (0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 1.0)  # probabilities


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """True and false positive identification rates (TPIR, FPIR), over all repetitions.

    Attributes
    ----------
    target : float or None
        The FPIR for which the threshold was chosen; None for the answers of `identify` with its defaults.
    tpir, tpir_std : float
        Mean and standard deviation of the share of mated searches that return the right person.
    fpir, fpir_std : float
        Mean and standard deviation of the share of non-mated searches that return anybody.
    resolved : bool
        Whether there are enough non-mated searches that `target` allows at least one to return somebody.
    """

    target: float | None
    tpir: float
    tpir_std: float
    fpir: float
    fpir_std: float
    resolved: bool


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often answers with some probability are right.

    Attributes
    ----------
    low, high : float
        Range of the probabilities, without `high` unless that is 1.
    searches : int
        Searches whose best person has such a probability, over all repetitions.
    probability : float
        Their mean probability. Mated and non-mated searches count as equally many, as the prior of
        `faceindex.evidence` has it.
    right : float
        Share of them that show this person, weighted in the same way.
    """

    low: float
    high: float
    searches: int
    probability: float
    right: float


@dataclass(frozen=True, slots=True)
class OpenSet:
    """The result of `open_set`. Numbers of faces are means over the repetitions.

    The gallery is the set of faces that are searched. A search for a face is *mated* if its person has
    faces in the gallery, and *non-mated* if not (the terms of NISTIR 8271).

    Attributes
    ----------
    repeats, seed : int
    enrolled, strangers : int
        People in the gallery, and people left out of it.
    gallery : float
        Faces in the gallery.
    mated, non_mated : float
        Searches for faces of enrolled people, and of strangers.
    points : list of OperatingPoint
        One per target rate; then that of `identify`, with a calibration.
    reliability : list of Reliability
        Ranges of the probability without a search are left out; empty without a calibration.
    """

    repeats: int
    seed: int
    enrolled: int
    strangers: int
    gallery: float
    mated: float
    non_mated: float
    points: list[OperatingPoint]
    reliability: list[Reliability]


def open_set(
    vectors: F32,
    people: I64,
    photos: I64,
    *,
    rates: Sequence[float] = (0.01, 0.001),
    left_out: float = 0.5,
    probes: float = 0.2,
    repeats: int = 10,
    seed: int = 0,
    calibration: Calibration | None = None,
    quality: F32 | None = None,
) -> OpenSet | None:
    """Measure identification of known people among strangers.

    Each repetition leaves some people, drawn at random, out of the gallery. Searches for their faces are
    the non-mated searches. Of every other person with two or more photos, some photos are drawn;
    searches for the faces on them are the mated searches. All other faces are the gallery.

    At a threshold, FPIR is the share of non-mated searches that return anybody, and TPIR the share of
    mated searches that return the right person at rank 1. TPIR at an FPIR is that of the lowest
    threshold whose FPIR is no greater (NISTIR 8271, "Performance metrics"; TPIR is 1 - FNIR at rank 1). The
    threshold is one of the log-odds of `faceindex.evidence`; without a calibration, of the mean similarity
    to the three most similar faces.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    people : (n,) int64
        0 and above.
    photos : (n,) int64
        Photo that each is on.
    rates : sequence of float
        Target FPIRs in 0..1.
    left_out : float
        Share of the people who are strangers.
    probes : float
        Share of the photos of each known person that are drawn; at least one is.
    repeats, seed : int
    calibration : Calibration, optional
        That of the embedder.
    quality : (n,) float32, optional
        Quality of the faces; None means 1.

    Returns
    -------
    OpenSet or None
        None if there is only one person, or no enrolled person has two photos.
    """
    rng = np.random.default_rng(seed)
    everybody = np.unique(people)
    # Faces of one person on one photo are drawn together.
    pairs, pair_of = np.unique(np.stack([people, photos]), axis=1, return_inverse=True)
    pair_of = pair_of.reshape(-1)
    strangers = min(max(1, round(left_out * len(everybody))), len(everybody) - 1)
    if strangers < 1:
        return None
    trials = []
    for _ in range(repeats):
        stranger = np.isin(people, rng.permutation(everybody)[:strangers])
        probe = _draw_photos(pairs[0], probes, rng)[pair_of] & ~stranger
        gallery = ~stranger & ~probe
        if not probe.any():
            continue  # all enrolled people have one photo
        found = _search(
            vectors[~gallery],
            vectors[gallery],
            people[gallery],
            calibration,
            None if quality is None else quality[~gallery],
        )
        non_mated = stranger[~gallery]
        right = (found.best == people[~gallery])[~non_mated]
        trials.append(
            _Trial(
                mated=np.where(right, found.score[~non_mated], -np.inf),
                non_mated=np.sort(found.score[non_mated])[::-1],
                gallery=int(gallery.sum()),
                named=None if found.worth is None else is_named(found.worth),
                is_right=found.best == people[~gallery],
                is_mated=~non_mated,
                worth=found.worth,
            )
        )
    if not trials:
        return None
    points = [_operating_point(trials, rate) for rate in rates]
    if calibration is not None:
        points.append(_operating_point(trials, None))
    return OpenSet(
        repeats=len(trials),
        seed=seed,
        enrolled=len(everybody) - strangers,
        strangers=strangers,
        gallery=float(np.mean([trial.gallery for trial in trials])),
        mated=float(np.mean([len(trial.mated) for trial in trials])),
        non_mated=float(np.mean([len(trial.non_mated) for trial in trials])),
        points=points,
        reliability=_reliability(trials),
    )


def reliability(
    probability: F64, right: BoolArray, mated: BoolArray, *, bins: Sequence[float] = _BINS
) -> list[Reliability]:
    """Compare probabilities with how often the answers are right.

    Parameters
    ----------
    probability : (m,) float64
        Probability of the best person of each search.
    right : (m,) bool
        Whether that is the right one.
    mated : (m,) bool
        Whether the right one is enrolled.
    bins : sequence of float
        Limits of the ranges.
    """
    share = mated.mean() if len(mated) else 0.0
    weight = np.where(mated, 0.5 / max(share, 1e-12), 0.5 / max(1 - share, 1e-12))
    rows = []
    for low, high in itertools.pairwise(bins):
        inside = (probability >= low) & ((probability < high) | (high == bins[-1]))
        if inside.any():
            mean = np.average(np.stack([probability, right])[:, inside], axis=1, weights=weight[inside])
            rows.append(Reliability(low, high, int(inside.sum()), float(mean[0]), float(mean[1])))
    return rows


@dataclass(frozen=True, slots=True)
class _Answers:
    best: I64
    score: F64
    worth: Odds | None


def _search(
    probes: F32, gallery: F32, people: I64, calibration: Calibration | None, quality: F32 | None
) -> _Answers:
    if calibration is None:
        best, similarity = rank_people(probes, gallery, people)
        return _Answers(best, similarity.astype(np.float64), None)
    best, ranking = weigh_people(probes, gallery, people, calibration)
    worth = odds(ranking, calibration, quality)
    return _Answers(best, worth.log_odds, worth)


@dataclass(frozen=True, slots=True)
class _Trial:
    mated: F64  # scores of mated searches; -inf if another person is at rank 1
    non_mated: F64  # scores of non-mated searches, highest first
    gallery: int  # faces
    named: BoolArray | None  # whether `identify` would name the best person, of all searches
    is_right: BoolArray
    is_mated: BoolArray
    worth: Odds | None


def _operating_point(trials: Sequence[_Trial], target: float | None) -> OperatingPoint:
    tpir, fpir, resolved = [], [], True
    for trial in trials:
        if target is None:
            assert trial.named is not None
            true_positive = (trial.named & trial.is_right)[trial.is_mated]
            false_positive = trial.named[~trial.is_mated]
        else:
            allowed = int(target * len(trial.non_mated) + 1e-9)
            resolved &= allowed > 0
            # The lowest threshold is just above the most similar stranger who must not be named.
            bar = trial.non_mated[allowed] if allowed < len(trial.non_mated) else -np.inf
            true_positive, false_positive = trial.mated > bar, trial.non_mated > bar
        tpir.append(float(true_positive.mean()))
        fpir.append(float(false_positive.mean()))
    spread = [float(np.std(values, ddof=1)) if len(trials) > 1 else 0.0 for values in (tpir, fpir)]
    return OperatingPoint(target, float(np.mean(tpir)), spread[0], float(np.mean(fpir)), spread[1], resolved)


def _reliability(trials: Sequence[_Trial]) -> list[Reliability]:
    worths = [trial.worth for trial in trials if trial.worth is not None]
    if not worths:
        return []
    return reliability(
        np.concatenate([worth.probability for worth in worths]),
        np.concatenate([trial.is_right for trial in trials]),
        np.concatenate([trial.is_mated for trial in trials]),
    )


def _draw_photos(person: I64, share: float, rng: np.random.Generator) -> BoolArray:
    """Draw some photos of each person who has two or more: at least one, and never all.

    `person` is the person of each pair of a person and one of their photos; the result is a mask of these.
    """
    order = np.lexsort((rng.random(len(person)), person))
    _, starts, counts = np.unique(person[order], return_index=True, return_counts=True)
    rank = np.arange(len(person)) - np.repeat(starts, counts)
    wanted = np.minimum(np.maximum(1, np.rint(share * counts)), counts - 1)
    drawn = np.zeros(len(person), bool)
    drawn[order] = rank < np.repeat(wanted, counts)
    return drawn
