"""Overview of clusters: sizes and typical faces."""

from __future__ import annotations

import numpy as np

from faceindex.clustering.overview import clusters_by_size, most_typical_faces
from faceindex.store.records import Assignments

NAN = np.nan
CLUSTERS = np.array([7, -1, 2, 7, 2, 9, -1, 7])
SIMILARITIES = np.array([0.5, NAN, 0.9, 0.8, 0.9, NAN, NAN, 0.7], np.float32)
TABLE = Assignments(
    face=np.array([1, 2, 6, 4, 5, 3, 7, 8]),
    row=np.arange(8),
    sharpness=np.ones(8, np.float32),
    cluster=CLUSTERS,
    similarity=SIMILARITIES,
)


def test_clusters_are_sorted_by_size_then_id() -> None:
    clusters, sizes = clusters_by_size(np.array([5, 5, 3, 3, 9, -1, -1, -1]))
    assert (clusters.tolist(), sizes.tolist()) == ([3, 5, 9], [2, 2, 1])
    assert clusters.dtype == sizes.dtype == np.int64


def test_without_clusters_there_are_no_sizes() -> None:
    clusters, sizes = clusters_by_size(np.full(3, -1))
    assert (clusters.tolist(), sizes.tolist()) == ([], [])


def test_the_typical_face_is_the_most_similar_to_the_centroid() -> None:
    # In cluster 2, faces 6 and 5 are equally similar: the lower id is chosen. Cluster 9 has no similarity.
    assert most_typical_faces(TABLE, np.array([7, 2, 9])).tolist() == [3, 4, 5]
    assert most_typical_faces(TABLE, np.empty(0, np.int64)).tolist() == []
