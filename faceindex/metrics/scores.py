"""Scores of a whole clustering or search, from the table of how many faces of whom are in which cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceindex.types import I64

__all__ = ["Scores", "VMeasure", "bcubed", "pairwise", "recall_at_k", "singletons_apart", "v_measure"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Precision, recall and their harmonic mean, each in 0..1."""

    precision: float
    recall: float

    @property
    def f(self) -> float:
        """Harmonic mean of precision and recall."""
        return _harmonic_mean(self.precision, self.recall)


@dataclass(frozen=True, slots=True)
class VMeasure:
    """Homogeneity, completeness and their harmonic mean, each in 0..1."""

    homogeneity: float
    completeness: float

    @property
    def v(self) -> float:
        """Harmonic mean of homogeneity and completeness."""
        return _harmonic_mean(self.homogeneity, self.completeness)


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
    table = _contingency(labels, truth)
    weight = table.counts.astype(np.float64) ** 2 / table.faces
    return Scores(
        precision=float((weight / table.cluster_sizes[table.cluster]).sum()),
        recall=float((weight / table.person_sizes[table.person]).sum()),
    )


def pairwise(labels: ArrayLike, truth: ArrayLike) -> Scores:
    """Precision and recall over pairs of faces.

    Precision is the share of the pairs in one cluster that show one person, recall the share of the
    pairs that show one person that are in one cluster. Where there is no pair, nothing is wrong: 1.
    The counts are those of `sklearn.metrics.cluster.pair_confusion_matrix`.

    Parameters
    ----------
    labels, truth
        As of `bcubed`.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        If the lengths differ or are 0.
    """
    table = _contingency(labels, truth)
    both = _pairs(table.counts)
    together, same = _pairs(table.cluster_sizes), _pairs(table.person_sizes)
    return Scores(both / together if together else 1.0, both / same if same else 1.0)


def v_measure(labels: ArrayLike, truth: ArrayLike) -> VMeasure:
    """How much of what a cluster says about the person is sure, and the other way round.

    A. Rosenberg and J. Hirschberg, "V-measure: a conditional entropy-based external cluster
    evaluation measure", EMNLP-CoNLL 2007, with beta 1.

    Parameters
    ----------
    labels, truth
        As of `bcubed`.

    Returns
    -------
    VMeasure

    Raises
    ------
    ValueError
        If the lengths differ or are 0.
    """
    table = _contingency(labels, truth)
    cells = table.counts / table.faces
    of_person = -float((cells * np.log(table.counts / table.cluster_sizes[table.cluster])).sum())
    of_cluster = -float((cells * np.log(table.counts / table.person_sizes[table.person])).sum())
    return VMeasure(
        homogeneity=_known(of_person, _entropy(table.person_sizes)),
        completeness=_known(of_cluster, _entropy(table.cluster_sizes)),
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


def singletons_apart(labels: I64) -> I64:
    """The same labels, with a new one above all others for each -1."""
    labels = labels.copy()
    alone = np.flatnonzero(labels < 0)
    start = labels.max(initial=-1) + 1
    labels[alone] = np.arange(start, start + len(alone))
    return labels


@dataclass(frozen=True, slots=True)
class _Contingency:
    """The cells of clusters x people that are not empty: linear in the faces, however many there are."""

    cluster: I64
    person: I64
    counts: I64
    cluster_sizes: I64
    person_sizes: I64

    @property
    def faces(self) -> int:
        return int(self.person_sizes.sum())


def _contingency(labels: ArrayLike, truth: ArrayLike) -> _Contingency:
    found = singletons_apart(np.asarray(labels, np.int64))
    _, people = np.unique(np.asarray(truth), return_inverse=True)
    if len(found) != len(people) or not len(found):
        raise ValueError(f"{len(found)} labels for {len(people)} faces")
    _, found = np.unique(found, return_inverse=True)
    width = int(people.max()) + 1
    cells, counts = np.unique(found * width + people, return_counts=True)
    return _Contingency(cells // width, cells % width, counts, np.bincount(found), np.bincount(people))


def _pairs(sizes: I64) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _entropy(sizes: NDArray[np.int64]) -> float:
    shares = sizes / sizes.sum()
    return -float((shares * np.log(shares)).sum())


def _known(left: float, entropy: float) -> float:
    """The share of an entropy that is gone; all of it where there was none."""
    return min(1.0, max(0.0, 1.0 - left / entropy)) if entropy > 0 else 1.0


def _harmonic_mean(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
