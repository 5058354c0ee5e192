"""Overview of clusters: sizes and covers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from faceindex.clustering.overview import clusters_by_size, cover_faces
from faceindex.store.records import Assignments

NAN = np.nan
CLUSTERS = np.array([7, -1, 2, 7, 2, 9, -1, 7])
SIMILARITIES = np.array([0.5, NAN, 0.9, 0.8, 0.9, NAN, NAN, 0.7], np.float32)
TABLE = Assignments(
    face=np.array([1, 2, 6, 4, 5, 3, 7, 8]),
    row=np.arange(8),
    photo=np.arange(8),
    sharpness=np.ones(8, np.float32),
    quality=np.ones(8, np.float32),
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


def test_of_equal_quality_the_most_similar_face_is_the_cover() -> None:
    # In cluster 2, faces 6 and 5 are equally similar: the lower id is chosen. Cluster 9 has no similarity.
    assert cover_faces(TABLE, np.array([7, 2, 9])).tolist() == [3, 4, 5]
    assert cover_faces(TABLE, np.empty(0, np.int64)).tolist() == []


def test_the_cover_is_the_best_of_the_typical_half() -> None:
    # The faces of cluster 7 have similarities 0.5, 0.8 and 0.7: the first is not typical, however good.
    quality = np.full(8, 0.2, np.float32)
    quality[[0, 7]] = 0.9, 0.5
    assert cover_faces(replace(TABLE, quality=quality), np.array([7, 2])).tolist() == [7, 4]
    quality[3] = 0.6
    assert cover_faces(replace(TABLE, quality=quality), np.array([7])).tolist() == [3]
