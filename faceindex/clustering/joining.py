"""Let faces that are in no cluster, or in a small one, join the large clusters."""

from __future__ import annotations

import numpy as np

from faceindex.clustering.chinese_whispers import unique_labels
from faceindex.clustering.same_photo import PhotoGroups
from faceindex.compiled import compiled
from faceindex.types import I64, Graph

__all__ = ["MAX_BIAS", "SETTLED", "join_settled"]

SETTLED = 5
"""Size from which a cluster is settled: other faces join it at a lower threshold."""

MAX_BIAS = 4.0
"""Maximum of the prior log-odds that a face belongs to a settled cluster: a share of 98 %."""

_TOGETHER = 5.0  # log-odds against joining, per face on the same photo that is in the cluster


def join_settled(labels: I64, graph: Graph, competed: Graph, groups: PhotoGroups, floor: float) -> I64:
    """Let the other faces join settled clusters.

    The prior of the graph, one match among all faces, suits strangers and is too strict for people who are on
    many photos. Here the prior is the share of all faces that are in settled clusters. The evidence is the mean
    of the three greatest log-odds with faces of the cluster. The strongest case is decided first, and a face that
    joins counts against the other faces on its photo.

    Parameters
    ----------
    labels : (n,) int64
        0 and above.
    graph : Graph
        Its weights are log-odds with the prior of one match among all faces.
    competed : Graph
        The same after `faceindex.clustering.same_photo.compete`; marks copies.
    groups : PhotoGroups
    floor : float
        Log-odds of pairs without an edge.

    Returns
    -------
    (n,) int64
    """
    _, codes, sizes = unique_labels(labels)
    settled = sizes >= SETTLED
    inside = int(sizes[settled].sum())
    bias = float(np.clip(np.log((inside + 1) / (len(labels) - inside + 1)), 0.0, MAX_BIAS))
    face, cluster, evidence = _candidates(
        graph.indptr, graph.indices, graph.weights, competed.weights, groups.of, codes, settled, floor, bias
    )
    order = np.lexsort((cluster, face, -evidence))
    joined = codes.copy()
    _join_in_order(
        joined,
        face[order],
        cluster[order],
        evidence[order],
        groups.of,
        groups.indptr,
        groups.members,
        graph.indptr,
        graph.indices,
        competed.weights,
    )
    return joined


@compiled(nogil=True)
def _candidates(indptr, indices, weights, competed, group, codes, settled, floor, bias):  # type: ignore[no-untyped-def]
    """Return the faces outside of settled clusters, and the settled clusters for which their evidence is positive."""
    n, n_clusters = len(codes), len(settled)
    found = 0
    face, cluster = np.empty(0, np.int64), np.empty(0, np.int64)
    evidence = np.empty(0, np.float64)
    best = np.full((n_clusters, 3), floor)
    touched = np.empty(n_clusters, np.int64)
    for filling in (False, True):
        if filling:
            face, cluster = np.empty(found, np.int64), np.empty(found, np.int64)
            evidence = np.empty(found, np.float64)
        found = 0
        for i in range(n):
            if settled[codes[i]]:
                continue
            n_touched = 0
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                c = codes[j]
                if not settled[c] or (group[i] >= 0 and group[j] == group[i] and competed[e] <= 0.0):
                    continue
                w = weights[e]
                top = best[c]
                if w <= top[2]:
                    continue
                if top[0] == floor:
                    touched[n_touched] = c
                    n_touched += 1
                if w > top[0]:
                    top[2], top[1], top[0] = top[1], top[0], w
                elif w > top[1]:
                    top[2], top[1] = top[1], w
                else:
                    top[2] = w
            for t in range(n_touched):
                c = touched[t]
                mean = (best[c, 0] + best[c, 1] + best[c, 2]) / 3.0 + bias
                if mean > 0.0:
                    if filling:
                        face[found], cluster[found], evidence[found] = i, c, mean
                    found += 1
                best[c] = floor
    return face, cluster, evidence


@compiled(nogil=True)
def _join_in_order(codes, face, cluster, evidence, group, members_of, members, indptr, indices, competed):  # type: ignore[no-untyped-def]
    """Let each face join the first cluster for which its evidence outweighs the faces on its photo, in `codes`."""
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
                copies = False
                for e in range(indptr[i], indptr[i + 1]):
                    if indices[e] == j:
                        copies = competed[e] > 0.0
                        break
                if not copies:
                    total -= _TOGETHER
        if total > 0.0:
            codes[i] = cluster[p]
            joined[i] = True
