"""Labels in, scores out: how good a clustering or a search is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from faceindex.types import I64

__all__ = ["Scores", "bcubed", "recall_at_k"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Precision, recall and their harmonic mean, each in 0..1."""

    precision: float
    recall: float

    @property
    def f(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def bcubed(labels: ArrayLike, truth: ArrayLike) -> Scores:
    """B-cubed precision and recall, averaged over faces.

    A. Bagga and B. Baldwin, "Entity-based cross-document coreferencing using the vector space
    model", COLING-ACL 1998.

    Parameters
    ----------
    labels : (n,) int
        Cluster of each face; each -1 counts as a cluster of its own.
    truth : (n,)
        Who each face is; numbers or strings.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        If the lengths differ or are 0.
    """
    found = _singletons_apart(np.asarray(labels, np.int64))
    _, people = np.unique(np.asarray(truth), return_inverse=True)
    if len(found) != len(people) or not len(found):
        raise ValueError(f"{len(found)} labels for {len(people)} faces")
    _, found = np.unique(found, return_inverse=True)
    _, cell, together = np.unique(
        found * (people.max() + 1) + people, return_inverse=True, return_counts=True
    )
    overlap = together[cell]
    return Scores(
        precision=float((overlap / np.bincount(found)[found]).mean()),
        recall=float((overlap / np.bincount(people)[people]).mean()),
    )


def recall_at_k(found: I64, truth: I64) -> float:
    """Share of the true neighbours that a search returned.

    Parameters
    ----------
    found, truth : (m, k) int64
        Row numbers of the neighbours of m queries; -1 pads both.
    """
    hits = sum(len(np.intersect1d(f[f >= 0], t[t >= 0])) for f, t in zip(found, truth, strict=True))
    return hits / max(1, int((truth >= 0).sum()))


def _singletons_apart(labels: I64) -> I64:
    labels = labels.copy()
    alone = np.flatnonzero(labels < 0)
    start = labels.max(initial=-1) + 1
    labels[alone] = np.arange(start, start + len(alone))
    return labels
