"""Fit the two normal distributions of `faceindex.evidence` to labelled faces."""

from __future__ import annotations

import numpy as np

from faceindex.evidence import SPREAD, evidence
from faceindex.models.spec import Calibration
from faceindex.quality import POOR_QUALITY
from faceindex.types import F32, F64, I64

__all__ = ["evidence_of_known", "evidence_of_strangers"]

_TAILS = ((0.01, 2.3263), (0.001, 3.0902))  # shares of strangers, and their quantiles of the standard normal
_LEAST_PEOPLE = 30
_FEW = 10  # similarities; where fewer are above, there are no data
_LEAST_MATES = 3  # other faces of a person
_LEAST_KNOWN = 20  # faces
_HIGH_QUALITY = 0.9


def evidence_of_strangers(different: F64, people: int, calibration: Calibration) -> float | None:
    """Fit the mean of the normal distribution whose upper tail is that of strangers (`faceindex.evidence`).

    Parameters
    ----------
    different : (a,) float64
        Similarities of faces of different people.
    people : int
        Number of these people.
    calibration : Calibration
        Its slope and midpoint are used.

    Returns
    -------
    float or None
        Nats. None for fewer than 30 people, because two who look alike would make up the tail. None too if
        fewer than ten pairs are in the highest hundredth.
    """
    if people < _LEAST_PEOPLE:
        return None
    means = [
        calibration.slope * (float(np.quantile(different, 1 - share)) - calibration.midpoint) - z * SPREAD
        for share, z in _TAILS
        if share * len(different) >= _FEW
    ]
    return float(np.mean(means)) if means else None


def evidence_of_known(
    vectors: F32, people: I64, quality: F32, calibration: Calibration
) -> tuple[float, float] | None:
    """Measure the evidence that faces show their person, by the other faces of that person.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    people : (n,) int64
    quality : (n,) float32
        0..1.
    calibration : Calibration
        Its slope and midpoint are used.

    Returns
    -------
    tuple of (float, float) or None
        Nats: the median evidence of faces of a quality of 0.9 and more, and how much lower it is for poor
        faces; 0 for fewer than 20 poor faces. Only people with four faces and more count. None if fewer than
        20 of their faces have a quality of 0.9.
    """
    found = np.full(len(vectors), np.nan)
    for person in np.unique(people):
        at = np.flatnonzero(people == person)
        own, others = vectors[at], len(at) - 1
        if others < _LEAST_MATES:
            continue
        similarities = own @ own.T
        np.fill_diagonal(similarities, -np.inf)
        nearest = np.sort(similarities, axis=1)[:, -3:].mean(axis=1)
        rest = own.sum(axis=0) - own
        rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12)
        centroid = np.einsum("ij,ij->i", own, rest)
        found[at] = evidence(
            nearest.astype(np.float64), centroid.astype(np.float64), float(others), calibration
        )
    high = found[(quality >= _HIGH_QUALITY) & ~np.isnan(found)]
    poor = found[(quality <= POOR_QUALITY) & ~np.isnan(found)]
    if len(high) < _LEAST_KNOWN:
        return None
    known = float(np.median(high))
    return known, max(0.0, known - float(np.median(poor))) if len(poor) >= _LEAST_KNOWN else 0.0
