"""Incremental clustering: new faces join existing clusters, and clusters keep their ids."""

from __future__ import annotations

import numpy as np

from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.models.spec import Calibration
from faceindex.store.records import Assignments, Clustering
from faceindex.types import F32, I32, I64, BoolArray, Graph

__all__ = [
    "FEW_NEW",
    "GRAPH_FLOOR",
    "NEIGHBOURS",
    "cluster_faces",
    "drop_small_clusters",
    "join_nearest_sharp",
    "representative_faces",
    "similarity_to_centroid",
    "update_similarities",
]

NEIGHBOURS = 80
"""Neighbours of a face in the neighbour graph. Most people have fewer photos, so the photos of a person stay
linked although the most similar ones come first."""

GRAPH_FLOOR = -4.0
"""Log-odds below which edges are left out. Edges below 0 let unassigned faces join settled clusters."""

# Up to this share of new faces, only these are searched for neighbours. For more, the graph of all faces
# takes no longer.
FEW_NEW = 0.1

# The centroid of a large cluster hardly moves when a face joins. Similarities that change by no more than
# this are not written again.
_SIMILARITY_TOLERANCE = 0.0005

_BLOCK = 65_536  # vectors in memory at a time


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
        The options of `clusterer`.
    min_size : int
        Faces of new clusters with fewer faces end up in no cluster.
    previous : Clustering or None
        The clustering that `table` contains.
    started_over : bool
        If true, all faces are clustered again, and new clusters inherit the ids of the previous ones. If
        false, faces keep their cluster. New faces join these clusters or form new ones, together with
        similar older faces that are in no cluster.

    Returns
    -------
    (n,) int64
        Cluster ids, -1 for none.
    """
    next_id = previous.next_cluster_id if previous else 0
    fixed = np.full(len(table), -1, np.int64) if started_over else table.cluster
    last = previous.params.get("last_face") if previous and not started_over else None
    is_new = table.face > (last if isinstance(last, int) else -1)
    if not is_new.any():
        return fixed
    if clusterer.spec.needs == "graph":
        labels = _fit_graph(table, vectors, clusterer, fixed, is_new, options)
    else:
        # Faces that an earlier run put into no cluster stay there, unless it did so with all faces.
        joining = (fixed >= 0) | is_new if (fixed >= 0).any() else np.ones(len(table), bool)
        labels = fixed.copy()
        labels[joining] = clusterer.fit(vectors[joining], None, fixed[joining])
    labels = drop_small_clusters(labels, fixed, min_size)
    if started_over:
        return _inherit_ids(labels, table.cluster, next_id)
    return _assign_new_ids(labels, fixed, next_id)


def representative_faces(table: Assignments, clusters: I64, calibration: Calibration | None) -> BoolArray:
    """Select the faces that may represent their cluster: sharp faces, and all of a cluster without any.

    A face is sharp unless its sharpness is below both the limit of the embedder and half of the median of
    the index.

    Parameters
    ----------
    table : Assignments
        n faces.
    clusters : (n,) int64
        -1 for none.
    calibration : Calibration or None
        None takes all faces for sharp.

    Returns
    -------
    (n,) bool
    """
    if not len(table) or calibration is None:
        return np.ones(len(table), bool)
    limit = min(calibration.blurred, float(np.median(table.sharpness)) / 2)
    sharp = table.sharpness >= limit
    with_sharp = np.unique(clusters[sharp & (clusters >= 0)])
    representative: BoolArray = sharp | ((clusters >= 0) & ~np.isin(clusters, with_sharp))
    return representative


def _fit_graph(
    table: Assignments,
    vectors: F32,
    clusterer: Clusterer,
    fixed: I64,
    is_new: BoolArray,
    options: ClusterOptions,
) -> I64:
    """Cluster the sharp faces; then blurred faces join the cluster of the most similar sharp face.

    Blurred faces of different people resemble each other. In the graph they would form clusters of
    strangers, and link the clusters of different people.
    """
    from faceindex.clustering.neighbours import nearest

    threshold = options.threshold
    if threshold is None:
        assert options.calibration is not None
        threshold = options.calibration.threshold(len(table))
    is_sharp = representative_faces(table, fixed, options.calibration)
    is_free = fixed < 0
    few = bool((fixed >= 0).any()) and is_new.sum() <= FEW_NEW * len(table)
    sharp, blurred = np.flatnonzero(is_sharp), np.flatnonzero(~is_sharp & is_free)
    sharp_vectors = vectors if len(sharp) == len(table) else vectors[sharp]
    graph = _neighbour_graph(
        sharp_vectors, is_free[sharp] & is_new[sharp], is_free[sharp], few, len(table), options
    )
    labels: I64 = fixed.copy()
    labels[sharp] = clusterer.fit(sharp_vectors, graph, fixed[sharp])
    if few and len(blurred):
        # Only a new sharp face can be similar to an older blurred face that is still in no cluster.
        _, similarities = nearest(vectors[blurred], vectors[is_sharp & is_new], 1)
        blurred = blurred[is_new[blurred] | (similarities[:, 0] >= threshold)]
    if len(sharp) and len(blurred):
        join_nearest_sharp(labels, blurred, sharp, *nearest(vectors[blurred], sharp_vectors, 1), threshold)
    return labels


def join_nearest_sharp(
    labels: I64, blurred: I64, sharp: I64, found: I32, similarities: F32, threshold: float
) -> None:
    """Give blurred faces the label of the most similar sharp face, if that is similar enough.

    Parameters
    ----------
    labels : (n,) int64
        Changed in place.
    blurred, sharp : (b,) and (s,) int64
        Positions in `labels`.
    found : (b, 1) int32
        The sharp face most similar to each blurred face, as a position in `sharp`.
    similarities : (b, 1) float32
        Similarity of the two.
    threshold : float
        Least similarity.
    """
    joins = similarities[:, 0] >= threshold
    labels[blurred[joins]] = labels[sharp[found[joins, 0]]]


def _neighbour_graph(
    vectors: F32, is_new: BoolArray, is_free: BoolArray, few: bool, n_faces: int, options: ClusterOptions
) -> Graph:
    """Build the neighbour graph of all faces; if `few` are new, with only the edges that can move a face.

    These are the edges of the new faces, and of the faces in no cluster (`is_free`) that resemble them.
    """
    from faceindex.clustering.graph import log_odds, symmetric_graph
    from faceindex.clustering.neighbours import near_neighbours, nearest

    calibration = options.calibration
    even = floor = options.threshold
    if even is None or floor is None:
        assert calibration is not None
        even = calibration.threshold(n_faces)
        floor = even + GRAPH_FLOOR / calibration.slope

    def neighbours_of(which: I64) -> tuple[I32, F32]:
        itself = which.astype(np.int32)
        return nearest(vectors[which], vectors, NEIGHBOURS, floor=floor, leave_out=itself)

    if few:
        rows: I64 = np.flatnonzero(is_new)
        found = [neighbours_of(rows)]
        near = np.unique(found[0][0][found[0][1] > even]).astype(np.int64)
        older = near[is_free[near] & ~is_new[near]]
        found.append(neighbours_of(older))
        rows = np.concatenate([rows, older])
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
    assert calibration is not None
    weights = log_odds(similarities, n_faces, calibration)
    return symmetric_graph(neighbours, weights, floor=GRAPH_FLOOR, rows=rows, n=len(vectors))


def drop_small_clusters(labels: I64, fixed: I64, min_size: int) -> I64:
    """Replace the labels of clusters with fewer than `min_size` faces by -1, except those in `fixed`."""
    if not len(labels):
        return labels
    ids, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    small = (sizes < min_size) & ~np.isin(ids, fixed[fixed >= 0])
    return np.where(small[codes], -1, labels)


def _assign_new_ids(labels: I64, fixed: I64, next_id: int) -> I64:
    """Number the clusters that are not in `fixed` from `next_id` on, in the order of their labels."""
    new = (labels >= 0) & ~np.isin(labels, fixed[fixed >= 0])
    labels = labels.copy()
    labels[new] = next_id + np.unique(labels[new], return_inverse=True)[1]
    return labels


def _inherit_ids(labels: I64, old: I64, next_id: int) -> I64:
    """Give each cluster the id of the old cluster with which it shares most faces; each old id once.

    Other clusters are numbered from `next_id` on.
    """
    ids, codes = np.unique(labels, return_inverse=True)
    both = (labels >= 0) & (old >= 0)
    span = int(old.max(initial=0)) + 1
    pairs, counts = np.unique(codes[both] * span + old[both], return_counts=True)
    new_ids = np.full(len(ids), -1, np.int64)
    taken: set[int] = set()
    for pair in pairs[np.lexsort((pairs, -counts))].tolist():
        code, old_id = divmod(pair, span)
        if new_ids[code] < 0 and old_id not in taken:
            new_ids[code] = old_id
            taken.add(old_id)
    without = (ids >= 0) & (new_ids < 0)
    new_ids[without] = next_id + np.arange(without.sum())
    return new_ids[codes]


def similarity_to_centroid(vectors: F32, labels: I64, clusters: I64 | None = None) -> F32:
    """Compute the dot product of each vector with the unit centroid of its cluster.

    Parameters
    ----------
    vectors : (n, d) float32
    labels : (n,) int64
        -1 for none.
    clusters : (m,) int64, optional
        Compute it only for faces of these clusters; None means all.

    Returns
    -------
    (n,) float32
        NaN for faces in no cluster, or not in one of `clusters`.
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
    """Update the similarities to centroids after some faces got another cluster than in the table.

    Only clusters that gained faces are computed. Their faces keep a similarity that is still correct to
    within 0.0005.

    Returns
    -------
    similarities : (n,) float32
    changed : (n,) bool
        Faces whose label or similarity differs from the table.
    """
    changed: BoolArray = labels != table.cluster
    joined = np.unique(labels[changed & (labels >= 0)])
    now = similarity_to_centroid(vectors, labels, joined)
    changed |= np.abs(now - table.similarity) > _SIMILARITY_TOLERANCE  # false where either is NaN
    return np.where(changed, now, table.similarity), changed
