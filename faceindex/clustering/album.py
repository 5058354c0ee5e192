"""Cluster an album: Chinese Whispers with the evidence of shared photos, then merges and joins."""

from __future__ import annotations

import numpy as np

from faceindex.clustering import Album, ClusterOptions
from faceindex.clustering.assigning import assign_shared_photos
from faceindex.clustering.chinese_whispers import (
    check_linked_options,
    chinese_whispers,
    number_by_size,
    unique_labels,
)
from faceindex.clustering.graph import GRAPH_FLOOR, prior_log_odds
from faceindex.clustering.joining import join_settled
from faceindex.clustering.merging import merge_clusters
from faceindex.clustering.same_photo import COPIES, PhotoGroups, compete
from faceindex.models.spec import ClustererSpec
from faceindex.types import I64, BoolArray, Graph

__all__ = ["AlbumClusterer", "without_junk"]

_GOOD_SHARE = 0.25  # of the faces of a cluster that is no junk
_BOTH_BAD = 4.0  # log-odds against an edge between two faces that are not good
_ROUNDS = 2


class AlbumClusterer:
    """Cluster faces with all evidence that an album has.

    1. The faces of two photos compete for each other, and faces of one photo are kept apart unless they are
       copies (`faceindex.clustering.same_photo`).
    2. Chinese Whispers over the edges of positive weight. Its prior is one match among all faces, which suits
       strangers; people who are on many photos end up in several clusters.
    3. Such clusters are merged (`merge_clusters`), and single faces join them (`join_settled`); twice.
    4. The faces of each photo with several faces are assigned anew, together (`assign_shared_photos`).
    5. Clusters in which hardly a face is good are dissolved. Blurred, cut-off and false faces of many people
       resemble each other.

    Without a calibration there are no log-odds, and only step 2 remains.
    """

    def __init__(self, spec: ClustererSpec, options: ClusterOptions) -> None:
        self.spec = spec
        self.options = options
        check_linked_options("Clustering an album", options)

    def fit(self, album: Album) -> I64:
        """See `Clusterer.fit`."""
        if album.graph is None:
            raise ValueError("clustering an album needs a graph")
        calibration, seed = self.options.calibration, self.options.seed
        if calibration is None:
            return chinese_whispers(album.graph, seed=seed)
        groups = PhotoGroups.build(album.photos)
        graph = _doubt_bad_pairs(album.graph, album.good)
        prior = prior_log_odds(album.size, self.options)
        competed = compete(graph, groups, COPIES + prior)
        labels = chinese_whispers(competed, seed=seed, groups=groups)
        for _ in range(_ROUNDS):
            labels = merge_clusters(album.vectors, labels, competed, groups, calibration)
            labels = join_settled(labels, graph, competed, groups, GRAPH_FLOOR)
        labels = assign_shared_photos(labels, graph, competed, groups, GRAPH_FLOOR)
        return without_junk(number_by_size(labels), album.good)


def without_junk(labels: I64, good: BoolArray) -> I64:
    """Replace the labels of clusters with few good faces by -1, and those of single faces.

    Parameters
    ----------
    labels : (n,) int64
        0 and above.
    good : (n,) bool

    Returns
    -------
    (n,) int64
    """
    _, codes, sizes = unique_labels(labels)
    share = np.bincount(codes[good], minlength=len(sizes)) / np.maximum(sizes, 1)
    kept = (sizes > 1) & (share >= _GOOD_SHARE)
    return np.where(kept[codes], labels, -1)


def _doubt_bad_pairs(graph: Graph, good: BoolArray) -> Graph:
    """Lower the log-odds of edges between two faces that are not good."""
    if good.all():
        return graph
    bad = ~good
    one = np.repeat(bad, np.diff(graph.indptr))
    weights = graph.weights - np.float32(_BOTH_BAD) * (one & bad[graph.indices])
    return Graph(graph.indptr, graph.indices, weights)
