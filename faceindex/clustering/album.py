"""Cluster an album: Chinese Whispers with the evidence of shared photos, then merges and joins."""

from __future__ import annotations

import numpy as np

from faceindex.clustering import Album, ClusterOptions
from faceindex.clustering.assigning import assign_shared_photos
from faceindex.clustering.centroids import cluster_sums
from faceindex.clustering.chinese_whispers import (
    check_linked_options,
    chinese_whispers,
    number_by_size,
    unique_labels,
)
from faceindex.clustering.constrained import consistent_copies, constrain_edges
from faceindex.clustering.copies import IDENTICAL, first_copies, without_copies
from faceindex.clustering.enforcing import separate
from faceindex.clustering.graph import GRAPH_FLOOR, prior_log_odds
from faceindex.clustering.joining import join_settled
from faceindex.clustering.merging import merge_clusters
from faceindex.clustering.same_photo import PhotoGroups, compete, strangers_of_album
from faceindex.clustering.strangers import COPIES
from faceindex.clustering.workers import Workers
from faceindex.models.spec import Calibration, ClustererSpec
from faceindex.types import F32, I64, BoolArray, Graph

__all__ = ["AlbumClusterer", "without_junk"]

# Chosen on one half of the people of shared/data: `benchmarks/clusterers.py` leaves out each step.
_GOOD_SHARE = 0.6  # of the faces of a cluster that is no junk
_GOOD_FEW = 3  # good faces that make up for any number of poor ones
_BOTH_POOR = 2.0  # log-odds against an edge between two poor faces
_ROUNDS = 2
_RUNS = 6
_MANY = 100_000  # faces, of which more runs would take as long as a tenth of the search for neighbours
_RUNS_OF_MANY = 2


class AlbumClusterer:
    """Cluster faces with all evidence that an album has.

    Copies of a face are clustered as one face, so that a photo in several folders counts once
    (`faceindex.clustering.copies`).

    1. The faces of a photo compete for each face of another photo, and faces of one photo are kept apart
       unless they are copies (`faceindex.clustering.same_photo`).
    2. Chinese Whispers runs several times over the edges of positive weight, each time in another order.
       Faces that are together in every run form a cluster: where two people are linked nearly as strongly as
       each of them is, the runs differ. The prior is one match among all faces. It suits strangers; people
       who are on many photos end up in several clusters.
    3. Clusters that show one person are merged (`merge_clusters`), then single faces join settled clusters
       (`join_settled`). Both are done twice.
    4. The faces of each photo with several faces are assigned anew, together (`assign_shared_photos`).
    5. Junk is dissolved (`without_junk`): clusters of mostly poor faces whose good faces do not resemble each
       other. Blurred, cut-off and false faces of many people resemble each other.

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
        calibration = self.options.calibration
        if calibration is None:
            return chinese_whispers(album.graph, seed=self.options.seed)
        prior = prior_log_odds(album.size, self.options)
        identical = calibration.slope * (IDENTICAL - calibration.midpoint) + prior
        first = first_copies(
            album.graph, max(identical, 1e-9)
        )  # with a threshold of 1, copies must be linked
        if album.constraints is not None:
            first = consistent_copies(first, album.constraints)
        copies = int(np.count_nonzero(first != np.arange(len(first))))
        if not copies:
            return self._fit(album, album.graph, calibration)
        fewer = prior_log_odds(album.size - copies, self.options)
        smaller, place = without_copies(album, album.graph, first, fewer - prior)
        assert smaller.graph is not None
        labels = self._fit(smaller, smaller.graph, calibration)
        return _with_copies(labels, place, smaller.good)

    def _fit(self, album: Album, all_edges: Graph, calibration: Calibration) -> I64:
        """Cluster an album without copies."""
        seed = self.options.seed
        groups = PhotoGroups.build(album.photos)
        known = album.constraints
        graph = _doubt_poor_pairs(all_edges, album.good)
        if known is not None:
            graph = constrain_edges(graph, known)
        prior = prior_log_odds(album.size, self.options)
        competed = compete(graph, groups, COPIES + prior)
        if known is not None:
            competed = constrain_edges(competed, known)
        strangers = album.strangers
        if strangers is None:
            strangers = strangers_of_album(album.vectors, groups, album.good, calibration)
        clusters_elsewhere = 0 if album.elsewhere is None else int((album.elsewhere > 1).sum())
        labels = _agreed_clusters(competed, seed, groups, album.size)
        if known is not None:
            labels = separate(labels, album.vectors, known)
        for _ in range(_ROUNDS):
            labels = merge_clusters(
                album.vectors,
                labels,
                competed,
                groups,
                calibration,
                strangers,
                elsewhere=clusters_elsewhere,
                known=known,
            )
            labels = join_settled(
                labels,
                graph,
                competed,
                groups,
                GRAPH_FLOOR,
                size=album.size,
                elsewhere=album.elsewhere,
            )
            if known is not None:
                labels = separate(labels, album.vectors, known)
        labels = assign_shared_photos(labels, graph, competed, groups, GRAPH_FLOOR, known)
        even = calibration.midpoint - prior / calibration.slope
        labelled = None if known is None else known.person >= 0
        return without_junk(album.vectors, number_by_size(labels), album.good, even, labelled)


def _with_copies(labels: I64, place: I64, good: BoolArray) -> I64:
    """Give each face the label of its first copy, at `place`; copies of a poor face alone are no cluster."""
    alone = np.zeros(len(labels), bool)
    clustered = np.flatnonzero(labels >= 0)
    _, codes, sizes = unique_labels(labels[clustered])
    alone[clustered] = sizes[codes] == 1
    several = np.bincount(place, minlength=len(labels)) > 1
    found = np.where(alone & several & ~good, -1, labels)[place]
    clustered = np.flatnonzero(found >= 0)
    found[clustered] = number_by_size(found[clustered])
    return found


def _agreed_clusters(graph: Graph, seed: int, groups: PhotoGroups, size: int) -> I64:
    """Return the clusters of nodes that are together in all of several runs, (n,) int64.

    The number of runs depends on the size of the whole index: a part of it is clustered like the whole.
    """
    runs: dict[int, I64] = {}

    def propagate(run: int) -> None:
        runs[run] = chinese_whispers(graph, seed=seed * _RUNS + run, groups=groups)

    with Workers() as workers:
        workers.run(propagate, range(_RUNS if size <= _MANY else _RUNS_OF_MANY))
    agreed = runs[0]
    for run in range(1, len(runs)):
        agreed = np.unique(agreed * (runs[run].max(initial=0) + 1) + runs[run], return_inverse=True)[1]
    return agreed


def without_junk(
    vectors: F32, labels: I64, good: BoolArray, even: float, labelled: BoolArray | None = None
) -> I64:
    """Dissolve junk: clusters of several faces that show nobody.

    A cluster shows somebody if three in five of its faces are good, or one of two. It also does if three or
    more are good and resemble each other: a person on a few good photos and on many blurred ones stays.

    Parameters
    ----------
    vectors : (n, d) float32
    labels : (n,) int64
        0 and above.
    good : (n,) bool
    even : float
        Similarity that the good faces need on average.
    labelled : (n,) bool, optional
        Clusters with one of these faces stay.

    Returns
    -------
    (n,) int64
        -1 for the faces of dissolved clusters.
    """
    _, codes, sizes = unique_labels(labels)
    number = np.bincount(codes[good], minlength=len(sizes))
    kept = (sizes == 1) | (number >= np.where(sizes == 2, 1, _GOOD_SHARE * sizes))
    doubtful = np.flatnonzero(~kept & (number >= _GOOD_FEW))
    if len(doubtful):
        sums = cluster_sums(vectors, np.where(good, codes, -1), doubtful)
        m = number[doubtful]
        average = (np.einsum("ij,ij->i", sums, sums) - m) / (m * (m - 1))
        kept[doubtful[average >= even]] = True
    if labelled is not None:
        kept[codes[labelled]] = True
    return np.where(kept[codes], labels, -1)


def _doubt_poor_pairs(graph: Graph, good: BoolArray) -> Graph:
    """Lower the log-odds of edges between two poor faces."""
    if good.all():
        return graph
    poor = ~good
    one = np.repeat(poor, np.diff(graph.indptr))
    weights = graph.weights - np.float32(_BOTH_POOR) * (one & poor[graph.indices])
    return Graph(graph.indptr, graph.indices, weights)
