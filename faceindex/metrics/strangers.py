"""Fit the two normal distributions of `faceindex.evidence` to labelled faces."""

from __future__ import annotations

import numpy as np

from faceindex.evidence import SPREAD, evidence
from faceindex.models.spec import Calibration
from faceindex.types import F32, F64, I64

__all__ = ["evidence_of_known", "evidence_of_strangers"]

_TAILS = ((0.01, 2.3263), (0.001, 3.0902))  # shares of strangers, and their quantiles of the standard normal
_LEAST_PEOPLE = 30
_FEW = 10  # similarities; where fewer are above, there are no data
_LEAST_MATES = 3  # other faces of a person
_LEAST_KNOWN = 20  # faces


def evidence_of_strangers(different: F64, people: int, calibration: Calibration) -> float | None:
    """Fit the mean of the normal distribution whose upper tail is that of strangers (`faceindex.evidence`).

    Parameters
    ----------
    different : (a,) float64
        Similarities of faces of different people.
    people : int
        How many people they are of.
    calibration : Calibration
        Its slope and midpoint are used.

    Returns
    -------
    float or None
        Nats; None for fewer than 30 people, or if fewer than ten pairs are in the highest hundredth. Of
        few people, one pair who look alike makes the tail.
    """
    if people < _LEAST_PEOPLE:
        return None
    means = [
        calibration.slope * (float(np.quantile(different, 1 - share)) - calibration.midpoint) - z * SPREAD
        for share, z in _TAILS
        if share * len(different) >= _FEW
    ]
    return float(np.mean(means)) if means else None


def evidence_of_known(vectors: F32, people: I64, calibration: Calibration) -> float | None:
    """Return the median evidence that a face shows its person, by the other faces of that person.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    people : (n,) int64
    calibration : Calibration
        Its slope and midpoint are used.

    Returns
    -------
    float or None
        Nats; None if fewer than 20 faces are of people with four faces and more.
    """
    found = []
    for person in np.unique(people):
        own = vectors[people == person]
        others = len(own) - 1
        if others < _LEAST_MATES:
            continue
        similarities = own @ own.T
        np.fill_diagonal(similarities, -np.inf)
        nearest = np.sort(similarities, axis=1)[:, -3:].mean(axis=1)
        rest = own.sum(axis=0) - own
        rest /= np.linalg.norm(rest, axis=1, keepdims=True)
        centroid = np.einsum("ij,ij->i", own, rest)
        found.append(
            evidence(nearest.astype(np.float64), centroid.astype(np.float64), float(others), calibration)
        )
    values = np.concatenate(found) if found else np.empty(0)
    return float(np.median(values)) if len(values) >= _LEAST_KNOWN else None
