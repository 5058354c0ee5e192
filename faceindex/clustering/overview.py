"""Overview of the clusters of an index: their sizes and covers."""

from __future__ import annotations

import numpy as np

from faceindex.store.records import Assignments
from faceindex.types import I64

__all__ = ["clusters_by_size", "cover_faces"]


def clusters_by_size(labels: I64) -> tuple[I64, I64]:
    """Return the ids and sizes of clusters, the largest first, ties by lower id.

    Parameters
    ----------
    labels : (n,) int64
        Cluster of each face, -1 for none.

    Returns
    -------
    clusters, sizes : (k,) int64
    """
    ids, sizes = np.unique(labels[labels >= 0], return_counts=True)
    order = np.lexsort((ids, -sizes))
    return ids[order].astype(np.int64), sizes[order].astype(np.int64)


def cover_faces(table: Assignments, clusters: I64) -> I64:
    """Choose the face that shows each cluster: the best of its typical faces.

    A face is typical if it is in the half of the cluster that is most similar to its centroid. Of these, the
    one of the highest quality is chosen; ties by similarity, then by lower face id.

    Parameters
    ----------
    table : Assignments
        n faces.
    clusters : (k,) int64
        Ids of clusters that have a face.

    Returns
    -------
    (k,) int64
        Positions in the table.
    """
    similarity = np.nan_to_num(table.similarity, nan=-2.0)
    order = np.lexsort((table.face, -similarity, table.cluster))
    labels = table.cluster[order]
    starts = np.searchsorted(labels, labels)
    sizes = np.searchsorted(labels, labels, "right") - starts
    atypical = np.arange(len(order)) - starts > sizes // 2
    quality = np.nan_to_num(table.quality, nan=-1.0)[order]
    best = order[np.lexsort((-quality, atypical, labels))]  # stable: similarity and id decide ties
    return best[np.searchsorted(labels, clusters)].astype(np.int64)
