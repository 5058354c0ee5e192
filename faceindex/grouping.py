"""From the faces of an index to cluster ids that survive: what surrounds a clusterer."""

from __future__ import annotations

import numpy as np

from faceindex.cluster import Clusterer, ClusterOptions
from faceindex.models.spec import Calibration
from faceindex.store import EXACT_BELOW, Clustering, FaceTable, Store
from faceindex.types import F32, I64, BoolArray, Graph

__all__ = ["group_faces", "leading", "similarity_to_centroid"]

# Neighbours of a face in the graph that is clustered; more than the photos of most people, so that
# a person's photos hang together although the most alike ones use up the places.
_GRAPH_NEIGHBOURS = 80
_QUERY_BLOCK = 4096
_BLOCK_BYTES = 64 << 20

# Edges below even odds are kept this deep (nats), for stray faces of settled clusters.
_GRAPH_FLOOR = -4.0


def group_faces(
    store: Store,
    table: FaceTable,
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
    store : Store
        Searched for neighbours when there are too many faces to compare them all.
    table : FaceTable
        n faces.
    vectors : (n, d) float32
        Their unit vectors.
    clusterer : Clusterer
    options : ClusterOptions
        Those that the clusterer was built with.
    min_size : int
        New clusters with fewer faces are dissolved.
    previous : Clustering or None
        The clustering that `table` tells of.
    started_over : bool
        Whether its clusters only give their ids to the new ones; if not, faces stay where they are.

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
        labels = _fit_graph(store, table, vectors, clusterer, fixed, options)
    else:
        # Those that an earlier run left out stay out, unless it left out all.
        joining = (fixed >= 0) | new if (fixed >= 0).any() else np.ones(len(table), bool)
        labels = fixed.copy()
        labels[joining] = clusterer.fit(vectors[joining], None, fixed[joining])
    labels = _dissolve(labels, fixed, min_size)
    if started_over:
        return _reuse_ids(labels, table.cluster, next_id)
    return _new_ids(labels, fixed, next_id)


def leading(table: FaceTable, clusters: I64, calibration: Calibration) -> BoolArray:
    """Which faces speak for people: those that are not blurred, and all of a cluster that has none.

    Where most faces are soft, soft is not blurred.

    Parameters
    ----------
    table : FaceTable
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
    store: Store, table: FaceTable, vectors: F32, clusterer: Clusterer, fixed: I64, options: ClusterOptions
) -> I64:
    """Cluster the sharp faces; blurred ones join the cluster of the most alike sharp face, or nobody.

    Blurred faces resemble each other whoever they are: left to themselves they form clusters of
    passers-by, and tie other people's together.
    """
    assert options.calibration is not None
    threshold = options.threshold
    if threshold is None:
        threshold = options.calibration.threshold(len(table))
    sharp = leading(table, fixed, options.calibration)
    leaders, followers = np.flatnonzero(sharp), np.flatnonzero(~sharp & (fixed < 0))
    graph = _graph(store, table, vectors, leaders, options)
    labels: I64 = fixed.copy()
    labels[leaders] = clusterer.fit(vectors[leaders], graph, fixed[leaders])
    rows = max(1, _BLOCK_BYTES // (4 * len(leaders)))
    for start in range(0, len(followers), rows):
        block = followers[start : start + rows]
        similarities = vectors[block] @ vectors[leaders].T
        nearest = similarities.argmax(axis=1)
        joins = similarities[np.arange(len(block)), nearest] >= threshold
        labels[block[joins]] = labels[leaders[nearest[joins]]]
    return labels


def _graph(store: Store, table: FaceTable, vectors: F32, members: I64, options: ClusterOptions) -> Graph:
    from faceindex.graph import exact_neighbours, log_odds, symmetric_graph

    if len(table) < EXACT_BELOW:
        neighbours, similarities = exact_neighbours(vectors[members], _GRAPH_NEIGHBOURS)
    else:
        neighbours, similarities = _neighbours(store, table, vectors, members)
        position = np.full(len(table) + 1, -1, np.int64)  # the last entry is for "no neighbour", -1
        position[members] = np.arange(len(members))
        neighbours = position[neighbours]
    if options.threshold is not None:
        return symmetric_graph(neighbours, similarities - np.float32(options.threshold))
    assert options.calibration is not None
    weights = log_odds(similarities, len(table), options.calibration)
    return symmetric_graph(neighbours, weights, floor=_GRAPH_FLOOR)


def _neighbours(store: Store, table: FaceTable, vectors: F32, which: I64) -> tuple[I64, F32]:
    """Positions in `table` of the most alike faces of some, and the similarities; -1 pads."""
    k = _GRAPH_NEIGHBOURS + 1  # the face itself is among them
    neighbours = np.empty((len(which), k), np.int64)
    similarities = np.empty((len(which), k), np.float32)
    for start in range(0, len(which), _QUERY_BLOCK):
        block = slice(start, start + _QUERY_BLOCK)
        ids, similarities[block] = store.search(vectors[which[block]], k)
        neighbours[block] = np.where(ids >= 0, np.searchsorted(table.face, ids), -1)
    return neighbours, similarities


def _dissolve(labels: I64, fixed: I64, min_size: int) -> I64:
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
    both = (labels >= 0) & (old >= 0)
    pairs, counts = np.unique(np.stack([labels[both], old[both]]), axis=1, return_counts=True)
    names: dict[int, int] = {}
    taken: set[int] = set()
    for i in np.lexsort((pairs[1], pairs[0], -counts)):
        new, known = int(pairs[0, i]), int(pairs[1, i])
        if new not in names and known not in taken:
            names[new] = known
            taken.add(known)
    for label in np.unique(labels[labels >= 0]).tolist():
        if label not in names:
            names[label] = next_id
            next_id += 1
    return np.array([names.get(int(label), -1) for label in labels], np.int64)


def similarity_to_centroid(vectors: F32, labels: I64) -> F32:
    """Dot product of each vector with the unit centroid of its cluster; NaN where there is none."""
    similarity = np.full(len(labels), np.nan, np.float32)
    member = labels >= 0
    if not member.any():
        return similarity
    _, codes = np.unique(labels[member], return_inverse=True)
    centroids = np.zeros((codes.max() + 1, vectors.shape[1]), np.float32)
    np.add.at(centroids, codes, vectors[member])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    similarity[member] = np.einsum("ij,ij->i", vectors[member], centroids[codes])
    return similarity
