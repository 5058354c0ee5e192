"""Sums of the vectors of clusters, and similarities of faces to the centroid of their cluster."""

from __future__ import annotations

import numpy as np

from faceindex.types import F32, I32, I64

__all__ = ["cluster_sums", "similarity_to_centroid"]

_VECTORS = 8_192  # processed at a time, to bound memory
_SUMMED = 16_384  # vectors that are gathered at a time; of one cluster, all


def cluster_sums(vectors: F32, labels: I32 | I64, ids: I64) -> F32:
    """Sum the vectors of each of some clusters.

    Parameters
    ----------
    vectors : (n, d) float32
        Only the vectors of these clusters are read.
    labels : (n,) int32 or int64
    ids : (m,) int64
        Clusters in ascending order; each has a vector.

    Returns
    -------
    (m, d) float32
    """
    members = np.flatnonzero(np.isin(labels, ids, kind="table"))
    members = members[np.argsort(labels[members], kind="stable")]
    first = np.searchsorted(labels[members], ids)
    sums = np.empty((len(ids), vectors.shape[1]), np.float32)
    ends = np.append(first[1:], len(members))
    start = 0
    while start < len(ids):
        stop = max(start + 1, int(np.searchsorted(ends, first[start] + _SUMMED, "right")))
        begin, end = first[start], ends[stop - 1]
        sums[start:stop] = np.add.reduceat(vectors[members[begin:end]], first[start:stop] - begin, axis=0)
        start = stop
    return sums


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
    similarity = np.full(len(labels), np.nan, np.float32)
    ids = np.unique(labels[labels >= 0]) if clusters is None else clusters
    if not len(ids):
        return similarity
    centroids = cluster_sums(vectors, labels, ids)
    # Vectors can sum to 0, as two opposite ones do: then the similarity is 0.
    centroids /= np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
    members = np.flatnonzero(np.isin(labels, ids))
    codes = np.searchsorted(ids, labels[members])
    for start in range(0, len(members), _VECTORS):
        block = slice(start, start + _VECTORS)
        similarity[members[block]] = np.einsum("ij,ij->i", vectors[members[block]], centroids[codes[block]])
    return similarity
