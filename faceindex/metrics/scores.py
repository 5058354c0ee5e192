"""Scores of a whole clustering, from the contingency table of clusters and people; recall of a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from faceindex.types import F64, I64

__all__ = [
    "Scores",
    "VMeasure",
    "bcubed",
    "bcubed_of_faces",
    "pairwise",
    "recall_at_k",
    "singletons_apart",
    "v_measure",
]


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
    """Compute B-cubed precision and recall, averaged over faces.

    A. Bagga and B. Baldwin, "Entity-based cross-document coreferencing using the vector space
    model", COLING-ACL 1998.

    Parameters
    ----------
    labels : (n,) int
        Cluster of each face; each -1 counts as a cluster of its own.
    truth : (n,)
        Person on each face; numbers or strings.

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


def bcubed_of_faces(labels: ArrayLike, truth: ArrayLike) -> tuple[F64, F64]:
    """Compute the B-cubed precision and recall of each face; `bcubed` returns their means.

    Parameters
    ----------
    labels, truth
        As in `bcubed`.

    Returns
    -------
    precision : (n,) float64
        Share of the faces in the cluster of a face that show its person, 0..1.
    recall : (n,) float64
        Share of the faces of its person that are in its cluster, 0..1.

    Raises
    ------
    ValueError
        If the lengths differ or are 0.
    """
    table = _contingency(labels, truth)
    together = table.counts[table.cell]
    return (
        together / table.cluster_sizes[table.cluster[table.cell]],
        together / table.person_sizes[table.person[table.cell]],
    )


def pairwise(labels: ArrayLike, truth: ArrayLike) -> Scores:
    """Compute precision and recall over pairs of faces.

    Precision is the share of the pairs in one cluster that show one person. Recall is the share of the
    pairs that show one person that are in one cluster. Each is 1 if there is no such pair. The counts
    are those of `sklearn.metrics.cluster.pair_confusion_matrix`.

    Parameters
    ----------
    labels, truth
        As in `bcubed`.

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
    """Compute the V-measure: how far clusters determine people, and people determine clusters.

    Homogeneity is 1 if each cluster contains one person, completeness is 1 if each person is in one
    cluster.

    A. Rosenberg and J. Hirschberg, "V-measure: a conditional entropy-based external cluster
    evaluation measure", EMNLP-CoNLL 2007, with beta 1.

    Parameters
    ----------
    labels, truth
        As in `bcubed`.

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
        homogeneity=_share_explained(of_person, _entropy(table.person_sizes)),
        completeness=_share_explained(of_cluster, _entropy(table.cluster_sizes)),
    )


def recall_at_k(found: I64, truth: I64) -> float:
    """Compute the share of the true neighbours that a search found.

    Parameters
    ----------
    found, truth : (m, k) int64
        Row numbers of the neighbours of m queries; -1 pads both.
    """
    hits = sum(len(np.intersect1d(f[f >= 0], t[t >= 0])) for f, t in zip(found, truth, strict=True))
    return hits / max(1, int((truth >= 0).sum()))


def singletons_apart(labels: I64) -> I64:
    """Replace each -1 by a new label above all others: every face in no cluster is a cluster of its own."""
    labels = labels.copy()
    singletons = np.flatnonzero(labels < 0)
    start = labels.max(initial=-1) + 1
    labels[singletons] = np.arange(start, start + len(singletons))
    return labels


@dataclass(frozen=True, slots=True)
class _Contingency:
    """The non-empty cells of the table of clusters and people; its size is linear in the faces.

    `cell` is the cell of each face.
    """

    cell: I64
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
    cells, cell, counts = np.unique(found * width + people, return_inverse=True, return_counts=True)
    return _Contingency(cell, cells // width, cells % width, counts, np.bincount(found), np.bincount(people))


def _pairs(sizes: I64) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _entropy(sizes: NDArray[np.int64]) -> float:
    shares = sizes / sizes.sum()
    return -float((shares * np.log(shares)).sum())


def _share_explained(conditional: float, entropy: float) -> float:
    """Return by what share a conditional entropy is lower than the entropy; 1 if the entropy is 0."""
    return min(1.0, max(0.0, 1.0 - conditional / entropy)) if entropy > 0 else 1.0


def _harmonic_mean(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
