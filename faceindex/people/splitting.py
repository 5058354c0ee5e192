"""Divide faces into two people, by seeds that the user names or by what distinguishes the faces best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from faceindex.clustering.strangers import APART, COPIES, stranger_similarity
from faceindex.evidence import evidence
from faceindex.models.spec import Calibration
from faceindex.types import F32, F64, I64, BoolArray

__all__ = ["ONE_PERSON", "Division", "divide"]

ONE_PERSON: Final = 0.72
"""Likeness of the two sides from which a division is no better than chance: they may be one person.

In `benchmarks/splits.py`, the best division of one person's faces has 0.72 to 0.97 in either half of the
people, apart from one person with faces that are wrong; that of two people has up to 0.54, and up to 0.78 for
the members of two bands."""

_TOGETHER, _FEWEST_TOGETHER = 0.2, 3  # pairs on one photo, per face of the smaller side, that are enough

_NEAREST = 3
_ROUNDS = 30
_STARTS = 4  # principal components whose signs are starts
_COLUMNS = 2048  # faces of a side that others are compared with, at most
_SEEDED = 0.5  # share of the range of similarities to the seeds from which a face starts with them


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Two sides of some faces.

    Attributes
    ----------
    part : (n,) bool
        The faces of the part that is split off: that of the seeds, or the smaller side.
    likeness : float
        Average similarity between the sides without that of strangers, divided by that within the sides: 1 if
        they are as similar to each other as each is in itself, 0 if they are as different as strangers.
    margins : (n,) float64
        By how much each face resembles its own side more than the other one, in nats.
    together : int
        Pairs of faces on one photo, one on either side.
    """

    part: BoolArray
    likeness: float
    margins: F64
    together: int

    @property
    def is_clear(self) -> bool:
        """Whether the sides differ more than two halves of one person's faces would, or are on one photo."""
        smaller = min(int(self.part.sum()), int((~self.part).sum()))
        return self.likeness < ONE_PERSON or self.together >= max(_FEWEST_TOGETHER, _TOGETHER * smaller)


def divide(
    vectors: F32,
    photos: I64,
    calibration: Calibration,
    *,
    seeds: I64 | None = None,
    units: I64 | None = None,
) -> Division | None:
    """Divide faces into two sides.

    A face goes to the side for which it has more evidence (`faceindex.evidence`): by its three most similar
    faces there and by the centre, so that the sizes of the sides do not matter. Two faces of one photo go to
    different sides, unless they are copies or that contradicts their similarities.

    Without seeds, several divisions along the directions in which the faces differ most are refined like
    this, and the one whose centres are farthest apart, weighted by the sizes as in k-means, is chosen.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    photos : (n,) int64
    calibration : Calibration
    seeds : (k,) int64, optional
        Positions of faces that are on the part that is split off.
    units : (n,) int64, optional
        Faces with the same number stay together, such as those of one cluster.

    Returns
    -------
    Division or None
        None if there are fewer than two faces or units.
    """
    problem = _Problem(vectors, photos, calibration, units)
    if problem.units < 2:
        return None
    fixed = np.zeros(len(vectors), bool)
    if seeds is not None and len(seeds):
        fixed[seeds] = True
        similarity = vectors @ problem.unit(vectors[seeds].sum(axis=0))
        low, high = float(similarity[~fixed].min(initial=1)), float(similarity[~fixed].max(initial=-1))
        starts = [fixed | (similarity > low + _SEEDED * (high - low))]
        starts += [fixed | (side if side[seeds].mean() >= 0.5 else ~side) for side in problem.starts()]
    else:
        starts = problem.starts()
    best: Division | None = None
    most = -np.inf
    for start in starts:
        part, margins = problem.refine(start, fixed)
        if not 0 < int(part.sum()) < len(part):
            continue
        gain = problem.gain(part)
        if gain > most:
            most = gain
            if seeds is None and part.sum() * 2 > len(part):
                part, margins = ~part, margins
            best = Division(part, problem.likeness(part), margins, problem.count_together(part))
    return best


class _Problem:
    def __init__(self, vectors: F32, photos: I64, calibration: Calibration, units: I64 | None) -> None:
        self.vectors, self.calibration = np.ascontiguousarray(vectors), calibration
        n = len(vectors)
        _, self.unit_of = np.unique(np.arange(n) if units is None else units, return_inverse=True)
        self.units = int(self.unit_of.max(initial=-1)) + 1
        self.strangers = stranger_similarity(calibration)
        order = np.argsort(photos, kind="stable")
        ordered = photos[order]
        pairs = []
        step = 1
        while step < n and (same := np.flatnonzero(ordered[step:] == ordered[:-step])).size:
            pairs.append(np.stack([order[same], order[same + step]], axis=1))
            step += 1
        together = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
        similarity = np.einsum("ij,ij->i", vectors[together[:, 0]], vectors[together[:, 1]])
        copies = calibration.midpoint + COPIES / calibration.slope
        self.together = together[similarity < copies]

    @staticmethod
    def unit(vector: F32) -> F32:
        result: F32 = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return result

    def starts(self) -> list[BoolArray]:
        """Return the signs of the principal components."""
        n = len(self.vectors)
        sample = np.linspace(0, n - 1, min(n, _COLUMNS)).astype(np.int64)
        centre = self.vectors[sample].mean(axis=0)
        _, _, axes = np.linalg.svd(self.vectors[sample] - centre, full_matrices=False)
        return [self._whole((self.vectors - centre) @ axis) > 0 for axis in axes[:_STARTS]]

    def refine(self, part: BoolArray, fixed: BoolArray) -> tuple[BoolArray, F64]:
        """Move faces to the side that they resemble more, until none moves; also return the margins."""
        part = part.copy()
        margins = np.zeros(len(part))
        for _ in range(_ROUNDS):
            if not 0 < int(part.sum()) < len(part):
                break
            lead = self._side(part) - self._side(~part)
            margins = lead.copy()
            lead = self._apart(lead)
            lead = self._whole(lead)
            after = (lead > 0) | fixed
            if (after == part).all():
                break
            part = after
        return part, np.where(part, margins, -margins)

    def _side(self, side: BoolArray) -> F64:
        """Return the evidence that each face is of a side; the face itself does not count."""
        members = np.flatnonzero(side)
        total = self.vectors[members].sum(axis=0, dtype=np.float64)
        sums = total - np.where(side[:, None], self.vectors, 0)
        count = len(members) - side
        centroid = np.einsum("ij,ij->i", sums, self.vectors) / np.maximum(np.linalg.norm(sums, axis=1), 1e-12)
        columns = members[np.linspace(0, len(members) - 1, min(len(members), _COLUMNS)).astype(np.int64)]
        nearest = np.empty(len(side))
        place = np.full(len(side), -1)
        place[columns] = np.arange(len(columns))
        for start in range(0, len(side), 1024):
            products = self.vectors[start : start + 1024] @ self.vectors[columns].T
            own = place[start : start + 1024]
            products[np.flatnonzero(own >= 0), own[own >= 0]] = np.nan
            top = np.sort(np.nan_to_num(products, nan=-2.0), axis=1)[:, ::-1][:, :_NEAREST]
            nearest[start : start + 1024] = np.where(top > -2, top, 0).sum(axis=1) / np.maximum(
                (top > -2).sum(axis=1), 1
            )
        found = evidence(nearest, centroid, np.maximum(count, 1).astype(np.float64), self.calibration)
        result: F64 = np.where(count > 0, found, -50.0)
        return result

    def _apart(self, lead: F64) -> F64:
        """Move one of two faces of a photo to the other side if it hardly belongs to its own."""
        result: F64 = lead.copy()
        for a, b in self.together.tolist():
            if (result[a] > 0) == (result[b] > 0):
                weak = a if abs(result[a]) < abs(result[b]) else b
                if abs(result[weak]) < APART:
                    result[weak] = -np.sign(result[weak]) * 1e-6
        return result

    def _whole(self, lead: F64) -> F64:
        """Return the mean lead of each face's unit."""
        sums = np.bincount(self.unit_of, weights=lead)
        mean: F64 = (sums / np.bincount(self.unit_of))[self.unit_of]
        return mean

    def count_together(self, part: BoolArray) -> int:
        """Count the pairs of faces on one photo with one on either side."""
        one, other = self.together.T
        return int((part[one] != part[other]).sum())

    def gain(self, part: BoolArray) -> float:
        """Return by how much the division lowers the sum of squared distances to the centres."""
        a, b = int(part.sum()), int((~part).sum())
        distance = self.vectors[part].mean(axis=0) - self.vectors[~part].mean(axis=0)
        return a * b / (a + b) * float(distance @ distance)

    def likeness(self, part: BoolArray) -> float:
        """Return the likeness of the sides (`Division.likeness`)."""
        sums = [self.vectors[side].sum(axis=0, dtype=np.float64) for side in (part, ~part)]
        sizes = [int(part.sum()), int((~part).sum())]
        between = float(sums[0] @ sums[1]) / (sizes[0] * sizes[1]) - self.strangers
        inside = [
            (float(s @ s) - n) / (n * (n - 1)) - self.strangers
            for s, n in zip(sums, sizes, strict=True)
            if n > 1
        ]
        if not inside:
            return between / 0.4
        return between / float(np.exp(np.mean(np.log(np.maximum(inside, 1e-6)))))
