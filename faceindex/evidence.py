"""Evidence that a face shows a person, and its probability and rate of false alarms.

The evidence is the log-likelihood ratio of `faceindex.models.Calibration` for the similarity of the face to
the person. This similarity is the mean of that to the person's three most similar faces and that to the
centroid of the person's faces. The most similar of many faces are more similar, so the evidence is lower by
``0.6 ln(faces)``: then the tails of strangers for 1 to 70 faces are within 1.2 nats.

Strangers and known people are described by normal distributions of this evidence, in nats:

========  =======================  ==================  =====================================================
          mean                     standard deviation  from
========  =======================  ==================  =====================================================
stranger  `Calibration.strangers`  4.6                 the tail from 1 % to 0.01 % of the faces of lfw/, for
                                                       people of people/, lfw/ and diverse/ with 1 to 24
                                                       faces: 4.2 to 5.2 with dlib, facenet, mobilefacenet
known     `Calibration.known`,     3.8                 the lower half of known people, by quality: 2.7 to
          less for poor faces                          4.5
odd       half of that             6.3                 3 in 100 known faces: the old photo, the mask, the
                                                       label that is wrong
========  =======================  ==================  =====================================================

`benchmarks/strangers.py` measures the means and the tails, and how good the answers are. All people were in
view when the constants were chosen.

Poor faces of a person are less similar to that person; poor faces of strangers are not. So the mean of known
faces is lower by `Calibration.poor` for a quality of up to `faceindex.quality.POOR_QUALITY`, and by a part of
that for one of up to 1.

A stranger is compared with N people, each of whom may cause one N-th of the false alarms. So the false alarm
rate of some evidence is ``1 - (1 - Q(z))^N``: the similarity of the most similar person grows with the
logarithm of N (E. J. Gumbel, "Statistics of Extremes", 1958). The probability follows from Bayes' rule with
even odds that the face shows anybody known: ``L1 / (N + L1 + L2)``, with the likelihood ratios of the best
person and of the second best, who may be the right one too.

A person with many faces is on more photos than one with two, and is more often the right one. So N differs by
person: it is the sum of the square roots of the numbers of faces of all people, divided by the square root of
this person's number. If all have the same number, it is the number of people. (Weighted error rates:
C. Genovese, K. Roeder, L. Wasserman, "False discovery control with p-value weighting", Biometrika 93, 2006.)

Strangers of one family or ethnic group are more similar to each other than those of the calibration. Then the
second best person has more evidence than is expected of the second best of N strangers. Half of the
difference is added to the mean of strangers. This is score normalisation by the nearest impostor, as in
speaker verification (D. Sturim and D. Reynolds, "Speaker adaptive cohort selection for Tnorm", ICASSP 2005).
Half was chosen among 0.5 to 1: with more of it, too many known people are not named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np

from faceindex.models.spec import Calibration
from faceindex.quality import POOR_QUALITY
from faceindex.types import F32, F64, BoolArray

__all__ = [
    "FALSE_ALARMS",
    "SPREAD",
    "STRICT_FALSE_ALARMS",
    "Confidence",
    "Odds",
    "Ranking",
    "confidence",
    "evidence",
    "is_named",
    "least_probability",
    "needed_evidence",
    "odds",
    "rivals",
]

Confidence: TypeAlias = Literal["certain", "likely", "doubtful", "unknown"]

FALSE_ALARMS: Final = 0.01
"""Share of strangers that are named, by default at most."""

STRICT_FALSE_ALARMS: Final = 0.001

SPREAD: Final = 4.6
"""Standard deviation of the evidence from strangers, in nats."""

_GAIN = 0.6  # nats by which the evidence grows with the logarithm of the faces of a person
_MOST_FACES = 100  # up to here that is measured
_SPREAD_KNOWN = 3.8
_ODD, _SPREAD_ODD = 0.03, 6.3
_SHARE = 0.5
_CERTAIN = 0.99
_LOWEST, _HIGHEST = -100.0, 200.0  # evidence in nats, between which the needed one is searched


@dataclass(frozen=True, slots=True)
class Odds:
    """The odds that faces show the person with the most evidence.

    Attributes
    ----------
    probability : (m,) float64
        That it is this person; 0..1.
    false_alarm : (m,) float64
        Share of strangers with at least this evidence for any person; 0..1.
    log_odds : (m,) float64
        Of `probability`; also orders answers whose probability rounds to 0 or 1.
    """

    probability: F64
    false_alarm: F64
    log_odds: F64


def evidence(nearest: F64, centroid: F64, faces: F64 | float, calibration: Calibration) -> F64:
    """Compute the evidence that faces show a person.

    Parameters
    ----------
    nearest : (...) float64
        Mean similarity to the three most similar faces of the person, or to all if there are fewer.
    centroid : (...) float64
        Similarity to the mean of their vectors, scaled to unit length.
    faces : (...) float64, or float
        Number of faces of the person, 1 and more.
    calibration : Calibration

    Returns
    -------
    (...) float64
        Nats.
    """
    similarity = (nearest + centroid) / 2
    found: F64 = calibration.slope * (similarity - calibration.midpoint)
    return found - _GAIN * np.log(np.minimum(faces, _MOST_FACES))


@dataclass(frozen=True, slots=True)
class Ranking:
    """The two people with the most evidence for each of m faces.

    Attributes
    ----------
    best, second : (m,) float64
        Evidence for the best person and for the second best, in nats; -inf for nobody.
    best_of, second_of : (m,) float64
        N of these two people, as in the text above, from `rivals`.
    people : int
        Number of people that were compared, 1 or more.
    """

    best: F64
    second: F64
    best_of: F64
    second_of: F64
    people: int


def rivals(faces: F64, everybody: F64) -> F64:
    """Return N of some people, (k,), as in the text above.

    Parameters
    ----------
    faces : (k,) float64
        Numbers of faces of these people, 1 and more.
    everybody : (n,) float64
        Numbers of faces of all people, including these.
    """
    number: F64 = np.sqrt(everybody).sum() / np.sqrt(faces)
    return number


def odds(ranking: Ranking, calibration: Calibration, quality: F32 | F64 | None = None) -> Odds:
    """Compute the odds that faces show the person with the most evidence.

    Parameters
    ----------
    ranking : Ranking
        Of m faces.
    calibration : Calibration
    quality : (m,) float, optional
        Quality of the faces, 0..1; None or NaN means 1.
    """
    centre = calibration.strangers + _shift(ranking.second, ranking.people, calibration)
    known = np.full(len(centre), calibration.known)
    if quality is not None:
        poor = np.minimum(1, (1 - np.nan_to_num(quality.astype(np.float64), nan=1)) / (1 - POOR_QUALITY))
        known -= calibration.poor * poor
    ratio = _log_ratio(ranking.best, centre, known) - np.log(ranking.best_of)
    other = _log_ratio(ranking.second, centre, known) - np.log(ranking.second_of)
    log_odds: F64 = ratio - np.logaddexp(0, other)
    tail = 0.5 * _erfc((ranking.best - centre) / (SPREAD * math.sqrt(2)))
    return Odds(
        probability=1 / (1 + np.exp(-np.clip(log_odds, -500, 500))),
        false_alarm=-np.expm1(ranking.best_of * np.log1p(-np.minimum(tail, 1 - 1e-12))),
        log_odds=log_odds,
    )


def least_probability(false_alarms: float) -> float:
    """Return the least probability of a person who is named: 80 % for 1 % of false alarms, 98 % for 0.1 %.

    It is at least 50 %.
    """
    return max(0.5, 1 - 20 * false_alarms)


def is_named(found: Odds, false_alarms: float = FALSE_ALARMS) -> BoolArray:
    """Return where the best person may be named.

    The rate of false alarms must be low enough, and the probability high enough (`least_probability`). The
    second condition matters where strangers are hardly ever similar. There, a face that is as similar as the
    most similar strangers is still more often a stranger than known.

    Parameters
    ----------
    found : Odds
        Of m faces.
    false_alarms : float
        Share of strangers that may be named, more than 0.

    Returns
    -------
    (m,) bool
    """
    named: BoolArray = (found.false_alarm <= false_alarms) & (
        found.probability >= least_probability(false_alarms)
    )
    return named


def confidence(probability: float, *, named: bool) -> Confidence:
    """Return the word for an answer: certain from 99 % on; doubtful from 50 % on if it is not named."""
    if named:
        return "certain" if probability >= _CERTAIN else "likely"
    return "doubtful" if probability >= 0.5 else "unknown"


def needed_evidence(
    ranking: Ranking,
    calibration: Calibration,
    quality: F32 | F64 | None = None,
    false_alarms: float = FALSE_ALARMS,
) -> F64:
    """Find the least evidence with which the best person of each face may be named, (m,), in nats.

    Parameters are those of `odds` and `is_named`.
    """
    low, high = np.full(len(ranking.best), _LOWEST), np.full(len(ranking.best), _HIGHEST)
    for _ in range(24):  # to 0.00002 nats
        middle = (low + high) / 2
        with_middle = replace(ranking, best=middle)
        named = is_named(odds(with_middle, calibration, quality), false_alarms)
        low, high = np.where(named, low, middle), np.where(named, middle, high)
    return high


def _shift(second: F64, people: int, calibration: Calibration) -> F64:
    """Return by how much more evidence strangers have than those of the calibration, in nats."""
    if people < 2:
        return np.zeros(len(second))
    expected = calibration.strangers + SPREAD * _expected_maximum(people - 1)
    shift: F64 = np.maximum(0, _SHARE * (second - expected))
    return shift


def _expected_maximum(n: int) -> float:
    """Estimate the mean of the greatest of n standard normal values, by that of the upper n-th of them.

    The mean of the values that one in n exceeds is n times the density there. For n of 2 and more this is
    0.1 to 0.25 above the mean of the greatest.
    """
    if n == 1:
        return 0.0
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * math.erfc(middle / math.sqrt(2)) > 1 / n else (low, middle)
    return n * math.exp(-low * low / 2) / math.sqrt(2 * math.pi)


def _log_ratio(evidence: F64, centre: F64, mean: F64) -> F64:
    """Return the log-likelihood ratio of "this person" to "a stranger"; it never falls with the evidence."""
    least = np.maximum(evidence, centre)  # nobody is less similar than the average stranger
    known = np.minimum(least, mean)  # nor too similar to be the person
    person = np.logaddexp(
        math.log(1 - _ODD) + _log_normal(known, mean, _SPREAD_KNOWN),
        math.log(_ODD) + _log_normal(known, mean / 2, _SPREAD_ODD),
    )
    ratio: F64 = person - _log_normal(least, centre, SPREAD)
    return np.where(np.isneginf(evidence), -np.inf, ratio)


def _log_normal(x: F64, mean: F64 | float, spread: float) -> F64:
    density: F64 = -0.5 * ((x - mean) / spread) ** 2 - math.log(spread * math.sqrt(2 * math.pi))
    return density


def _erfc(x: F64) -> F64:
    """Apply `math.erfc`; NumPy has none, and SciPy takes long to import."""
    return np.fromiter(map(math.erfc, x.tolist()), np.float64, len(x))
