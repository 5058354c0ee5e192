"""From the faces of an index to cluster ids that survive: what surrounds a clusterer."""

from __future__ import annotations

import numpy as np

from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.models.spec import Calibration
from faceindex.store import Assignments, Clustering
from faceindex.types import F32, I32, I64, BoolArray, Graph

__all__ = [
    "NEIGHBOURS",
    "cluster_faces",
    "dissolve",
    "follow",
    "representative_faces",
    "similarity_to_centroid",
    "update_similarities",
]

NEIGHBOURS = 80
"""Neighbours of a face in the graph that is clustered; more than the photos of most people, so that a
person's photos hang together although the most alike ones use up the places."""

# Edges below even odds are kept this deep (nats), for stray faces of settled clusters.
_GRAPH_FLOOR = -4.0

# New faces up to this part of all are put into the clusters that there are by a graph of their own
# neighbours; for more, the graph of all faces is as cheap.
_FEW = 0.1

# A cluster of hundreds hardly moves when a face joins it: its similarities are not all told anew.
_SIMILARITY_TOLERANCE = 0.0005

_BLOCK = 65_536  # vectors that are gathered at a time


def cluster_faces(
    table: Assignments,
    vectors: F32,
    clusterer: Clusterer,
    options: ClusterOptions,
    *,
    min_size: int,
    previous: Clustering | None,
    started_over: bool,
) -> I64:
    """Cluster all faces of an index.

    Parameters
    ----------
    table : Assignments
        n faces.
    vectors : (n, d) float32
        Their unit vectors; may be a memory map.
    clusterer : Clusterer
    options : ClusterOptions
        Those that the clusterer was built with.
    min_size : int
        New clusters with fewer faces are dissolved.
    previous : Clustering or None
        The clustering that `table` tells of.
    started_over : bool
        Whether its clusters only give their ids to the new ones; if not, faces stay where they are, and
        only the new ones join them or form clusters, with older ones in no cluster that are like them.

    Returns
    -------
    (n,) int64
        Cluster ids, -1 for none.
    """
    next_id = previous.next_cluster_id if previous else 0
    fixed = np.full(len(table), -1, np.int64) if started_over else table.cluster
    last = previous.params.get("last_face") if previous and not started_over else None
    new = table.face > (last if isinstance(last, int) else -1)
    if not new.any():
        return fixed
    if clusterer.spec.needs == "graph":
        labels = _fit_graph(table, vectors, clusterer, fixed, new, options)
    else:
        # Those that an earlier run left out stay out, unless it left out all.
        joining = (fixed >= 0) | new if (fixed >= 0).any() else np.ones(len(table), bool)
        labels = fixed.copy()
        labels[joining] = clusterer.fit(vectors[joining], None, fixed[joining])
    labels = dissolve(labels, fixed, min_size)
    if started_over:
        return _reuse_ids(labels, table.cluster, next_id)
    return _new_ids(labels, fixed, next_id)


def representative_faces(table: Assignments, clusters: I64, calibration: Calibration) -> BoolArray:
    """Which faces speak for people: those that are not blurred, and all of a cluster that has none.

    Where most faces are soft, soft is not blurred.

    Parameters
    ----------
    table : Assignments
        n faces.
    clusters : (n,) int64
        -1 for none.
    calibration : Calibration

    Returns
    -------
    (n,) bool
    """
    if not len(table):
        return np.zeros(0, bool)
    limit = min(calibration.blurred, float(np.median(table.sharpness)) / 2)
    sharp = table.sharpness >= limit
    with_sharp = np.unique(clusters[sharp & (clusters >= 0)])
    speaking: BoolArray = sharp | ((clusters >= 0) & ~np.isin(clusters, with_sharp))
    return speaking


def _fit_graph(
    table: Assignments,
    vectors: F32,
    clusterer: Clusterer,
    fixed: I64,
    new: BoolArray,
    options: ClusterOptions,
) -> I64:
    """Cluster the sharp faces; blurred ones join the cluster of the most alike sharp face, or nobody.

    Blurred faces resemble each other whoever they are: left to themselves they form clusters of
    passers-by, and tie other people's together.
    """
    from faceindex.clustering.neighbours import nearest

    assert options.calibration is not None
    threshold = options.threshold
    if threshold is None:
        threshold = options.calibration.threshold(len(table))
    sharp = representative_faces(table, fixed, options.calibration)
    free = fixed < 0
    few = bool((fixed >= 0).any()) and new.sum() <= _FEW * len(table)
    leaders, followers = np.flatnonzero(sharp), np.flatnonzero(~sharp & free)
    led = vectors if len(leaders) == len(table) else vectors[leaders]
    graph = _graph(led, free[leaders] & new[leaders], free[leaders], few, len(table), options)
    labels: I64 = fixed.copy()
    labels[leaders] = clusterer.fit(led, graph, fixed[leaders])
    if few and len(followers):
        # An older one that no sharp face was like can only follow a new one.
        _, likeness = nearest(vectors[followers], vectors[sharp & new], 1)
        followers = followers[new[followers] | (likeness[:, 0] >= threshold)]
    if len(leaders) and len(followers):
        follow(labels, followers, leaders, *nearest(vectors[followers], led, 1), threshold)
    return labels


def follow(labels: I64, followers: I64, leaders: I64, found: I32, likeness: F32, threshold: float) -> None:
    """Give blurred faces the label of the most alike sharp one, where that is alike enough.

    Parameters
    ----------
    labels : (n,) int64
        Changed in place.
    followers, leaders : (f,) and (l,) int64
        Positions in `labels` of the blurred and of the sharp faces.
    found : (f, 1) int32
        The nearest leader of each follower, as a position in `leaders`.
    likeness : (f, 1) float32
        Its similarity.
    threshold : float
    """
    joins = likeness[:, 0] >= threshold
    labels[followers[joins]] = labels[leaders[found[joins, 0]]]


def _graph(
    vectors: F32, new: BoolArray, free: BoolArray, few: bool, n_faces: int, options: ClusterOptions
) -> Graph:
    """Neighbours of all vectors; of the free ones that there is news for alone, if `few` are new."""
    from faceindex.clustering.graph import log_odds, symmetric_graph
    from faceindex.clustering.neighbours import near_neighbours, nearest

    calibration = options.calibration
    assert calibration is not None
    even = floor = options.threshold
    if even is None or floor is None:
        even = calibration.threshold(n_faces)
        floor = even + _GRAPH_FLOOR / calibration.slope

    def look_up(which: I64) -> tuple[I32, F32]:
        itself = which.astype(np.int32)
        return nearest(vectors[which], vectors, NEIGHBOURS, floor=floor, leave_out=itself)

    if few:
        # The new ones, and the free ones that they may take with them.
        rows: I64 = np.flatnonzero(new)
        found = [look_up(rows)]
        near = np.unique(found[0][0][found[0][1] > even]).astype(np.int64)
        taken = near[free[near] & ~new[near]]
        found.append(look_up(taken))
        rows = np.concatenate([rows, taken])
        order = np.argsort(rows)
        rows = rows[order]
        neighbours = np.concatenate([lists[0] for lists in found])[order]
        similarities = np.concatenate([lists[1] for lists in found])[order]
    else:
        rows = np.arange(len(vectors))
        neighbours, similarities = near_neighbours(vectors, NEIGHBOURS, floor=floor, seed=options.seed)
    if options.threshold is not None:
        weights = similarities - np.float32(options.threshold)
        return symmetric_graph(neighbours, weights, rows=rows, n=len(vectors))
    weights = log_odds(similarities, n_faces, calibration)
    return symmetric_graph(neighbours, weights, floor=_GRAPH_FLOOR, rows=rows, n=len(vectors))


def dissolve(labels: I64, fixed: I64, min_size: int) -> I64:
    """-1 for clusters that are too small, except those that were there before."""
    if not len(labels):
        return labels
    ids, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    small = (sizes < min_size) & ~np.isin(ids, fixed[fixed >= 0])
    return np.where(small[codes], -1, labels)


def _new_ids(labels: I64, fixed: I64, next_id: int) -> I64:
    """Number clusters that are not in `fixed` from `next_id`, in their order."""
    new = (labels >= 0) & ~np.isin(labels, fixed[fixed >= 0])
    labels = labels.copy()
    labels[new] = next_id + np.unique(labels[new], return_inverse=True)[1]
    return labels


def _reuse_ids(labels: I64, old: I64, next_id: int) -> I64:
    """Give each cluster the old id with which it shares most faces; every old id once."""
    ids, codes = np.unique(labels, return_inverse=True)
    both = (labels >= 0) & (old >= 0)
    span = int(old.max(initial=0)) + 1
    pairs, counts = np.unique(codes[both] * span + old[both], return_counts=True)
    names = np.full(len(ids), -1, np.int64)
    taken: set[int] = set()
    for pair in pairs[np.lexsort((pairs, -counts))].tolist():
        new, known = divmod(pair, span)
        if names[new] < 0 and known not in taken:
            names[new] = known
            taken.add(known)
    fresh = (ids >= 0) & (names < 0)
    names[fresh] = next_id + np.arange(fresh.sum())
    return names[codes]


def similarity_to_centroid(vectors: F32, labels: I64, clusters: I64 | None = None) -> F32:
    """Dot product of each vector with the unit centroid of its cluster.

    Parameters
    ----------
    vectors : (n, d) float32
    labels : (n,) int64
        -1 for none.
    clusters : (m,) int64, optional
        Only for members of these; None means all.

    Returns
    -------
    (n,) float32
        NaN where there is no cluster, or not one of these.
    """
    from faceindex.clustering.chinese_whispers import cluster_sums

    similarity = np.full(len(labels), np.nan, np.float32)
    ids = np.unique(labels[labels >= 0]) if clusters is None else clusters
    if not len(ids):
        return similarity
    centroids = cluster_sums(vectors, labels, ids)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    members = np.flatnonzero(np.isin(labels, ids))
    codes = np.searchsorted(ids, labels[members])
    for start in range(0, len(members), _BLOCK):
        block = slice(start, start + _BLOCK)
        similarity[members[block]] = np.einsum("ij,ij->i", vectors[members[block]], centroids[codes[block]])
    return similarity


def update_similarities(vectors: F32, labels: I64, table: Assignments) -> tuple[F32, BoolArray]:
    """As `similarity_to_centroid` after some faces got another cluster than the table tells.

    Only clusters that faces have joined are looked at; their members keep a similarity that is still
    right to within 0.0005.

    Returns
    -------
    similarities : (n,) float32
    changed : (n,) bool
        Where label or similarity are not those of the table.
    """
    changed: BoolArray = labels != table.cluster
    joined = np.unique(labels[changed & (labels >= 0)])
    now = similarity_to_centroid(vectors, labels, joined)
    changed |= np.abs(now - table.similarity) > _SIMILARITY_TOLERANCE  # false where either is NaN
    return np.where(changed, now, table.similarity), changed
