"""Let the faces that are in no settled cluster join one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceindex.clustering.chinese_whispers import unique_labels
from faceindex.clustering.same_photo import PhotoGroups, are_copies
from faceindex.compiled import compiled
from faceindex.types import I64, BoolArray, Graph

__all__ = ["MAX_BIAS", "SETTLED", "TOGETHER", "Candidates", "find_candidates", "join_settled", "settled_bias"]

SETTLED = 5
"""Number of faces from which a cluster is settled: other faces join it at a lower threshold."""

MAX_BIAS = 4.0
"""Greatest prior log-odds that a face belongs to a settled cluster: a share of 98 %."""

TOGETHER = 5.0
"""Log-odds against a cluster, per face on the same photo that is in it."""

_TOP = 3  # most similar faces whose log-odds are averaged: few, because the photos of a person differ


def settled_bias(sizes: I64, n_faces: int) -> float:
    """Return the prior log-odds that a face belongs to a settled cluster: 0 to `MAX_BIAS`.

    Parameters
    ----------
    sizes : (c,) int64
        Sizes of all clusters of the index.
    n_faces : int
        Number of faces of the index.
    """
    inside = int(sizes[sizes >= SETTLED].sum())
    return float(np.clip(np.log((inside + 1) / (n_faces - inside + 1)), 0.0, MAX_BIAS))


def join_settled(
    labels: I64,
    graph: Graph,
    competed: Graph,
    groups: PhotoGroups,
    floor: float,
    *,
    size: int | None = None,
    elsewhere: I64 | None = None,
) -> I64:
    """Let the faces that are in no settled cluster join one.

    The prior of the graph, one match among all faces, suits strangers and is too strict for people who are on
    many photos. Here the prior is the share of all faces that are in settled clusters. The evidence is the
    mean of the three greatest log-odds with faces of the cluster. The face with the most evidence joins
    first. Then it counts against the other faces of its photo.

    Parameters
    ----------
    labels : (n,) int64
        0 and above.
    graph : Graph
        Its weights are log-odds with the prior of one match among all faces.
    competed : Graph
        The same after `faceindex.clustering.same_photo.compete`, which marks copies.
    groups : PhotoGroups
    floor : float
        Log-odds of pairs without an edge.
    size, elsewhere
        As of `faceindex.clustering.Album`; None if these are all faces.

    Returns
    -------
    (n,) int64
    """
    _, codes, sizes = unique_labels(labels)
    loose = sizes[codes] < SETTLED
    all_sizes = sizes if elsewhere is None else np.concatenate([sizes, elsewhere])
    bias = settled_bias(all_sizes, len(labels) if size is None else size)
    found = find_candidates(codes, sizes, loose, graph, competed, groups, top=_TOP, floor=floor, bias=bias)
    order = np.lexsort((found.cluster, found.face, -found.evidence))
    joined: I64 = codes.copy()
    _join_in_order(
        joined,
        found.face[order],
        found.cluster[order],
        found.evidence[order],
        groups.of,
        groups.indptr,
        groups.members,
        graph.indptr,
        graph.indices,
        competed.weights,
    )
    return joined


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Pairs of a face and a settled cluster that it may belong to, with the evidence for it.

    Attributes
    ----------
    face, cluster : (m,) int64
        Each pair once, in ascending order of faces.
    evidence : (m,) float64
        Log-odds above 0.
    """

    face: I64
    cluster: I64
    evidence: NDArray[np.float64]

    def select(self, which: BoolArray) -> Candidates:
        """Return the pairs that a mask selects."""
        return Candidates(self.face[which], self.cluster[which], self.evidence[which])


def find_candidates(
    codes: I64,
    sizes: I64,
    movable: BoolArray,
    graph: Graph,
    competed: Graph,
    groups: PhotoGroups,
    *,
    top: int,
    floor: float,
    bias: float,
) -> Candidates:
    """Find the settled clusters that movable faces may belong to.

    The evidence is the mean of the greatest log-odds with faces of the cluster, and the bias. Faces on the
    same photo do not count, unless they are copies.

    Parameters
    ----------
    codes : (n,) int64
        Cluster of each face, ``0..c-1``.
    sizes : (c,) int64
    movable : (n,) bool
    graph, competed, groups, floor
        As of `join_settled`.
    top : int
        Number of log-odds that are averaged. Of a smaller cluster, all faces count.
    bias : float
        Added to the evidence, as of `settled_bias`.

    Returns
    -------
    Candidates
    """
    settled = sizes >= SETTLED
    found = _candidates(
        graph.indptr,
        graph.indices,
        graph.weights,
        competed.weights,
        groups.of,
        codes,
        np.where(settled, sizes, 0),
        movable,
        top,
        floor,
        bias,
    )
    return Candidates(*found)


@compiled(nogil=True)
def _candidates(  # type: ignore[no-untyped-def]
    indptr, indices, weights, competed, group, codes, settled, movable, top, floor, bias
):
    """Return the movable faces with the clusters for which their evidence is positive, and this evidence.

    ``settled[c]`` is the size of cluster c, 0 if it is not settled.
    """
    n, n_clusters = len(codes), len(settled)
    found = 0
    face, cluster = np.empty(0, np.int64), np.empty(0, np.int64)
    evidence = np.empty(0, np.float64)
    best = np.full((n_clusters, top), floor)  # of face i, in descending order
    touched = np.empty(n_clusters, np.int64)
    for filling in (False, True):
        if filling:
            face, cluster = np.empty(found, np.int64), np.empty(found, np.int64)
            evidence = np.empty(found, np.float64)
        found = 0
        for i in range(n):
            if not movable[i]:
                continue
            n_touched = 0
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                c = codes[j]
                if settled[c] == 0 or (group[i] >= 0 and group[j] == group[i] and competed[e] <= 0.0):
                    continue
                row = best[c]
                if weights[e] <= row[top - 1]:
                    continue
                if row[0] == floor:
                    touched[n_touched] = c
                    n_touched += 1
                at = top - 1
                while at > 0 and row[at - 1] < weights[e]:
                    row[at] = row[at - 1]
                    at -= 1
                row[at] = weights[e]
            for t in range(n_touched):
                c = touched[t]
                number = min(top, settled[c] - (codes[i] == c))
                mean = 0.0
                for k in range(number):
                    mean += best[c, k]
                mean = mean / number + bias
                for k in range(top):
                    best[c, k] = floor
                if mean > 0.0:
                    if filling:
                        face[found], cluster[found], evidence[found] = i, c, mean
                    found += 1
    return face, cluster, evidence


@compiled(nogil=True)
def _join_in_order(  # type: ignore[no-untyped-def]
    codes, face, cluster, evidence, group, members_of, members, indptr, indices, competed
):
    """Move each face to the first cluster whose evidence outweighs the faces on its photo, in `codes`."""
    joined = np.zeros(len(codes), np.bool_)
    for p in range(len(face)):
        i = face[p]
        if joined[i]:
            continue
        total = evidence[p]
        if group[i] >= 0:
            for q in range(members_of[group[i]], members_of[group[i] + 1]):
                j = members[q]
                if j == i or codes[j] != cluster[p]:
                    continue
                if not are_copies(indptr, indices, competed, i, j):
                    total -= TOGETHER
        if total > 0.0:
            codes[i] = cluster[p]
            joined[i] = True
