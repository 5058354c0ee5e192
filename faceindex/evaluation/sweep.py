"""The sweep: scores of the default clusterer at many constant thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceindex import models
from faceindex.clustering import Album, Clusterer, ClusterOptions
from faceindex.clustering.incremental import (
    NEIGHBOURS,
    cluster_faces,
    drop_small_clusters,
    evidence_graph,
    good_faces,
)
from faceindex.evaluation.labelled import Labelled
from faceindex.evaluation.report import ClusterScores, cluster_scores
from faceindex.models import Calibration
from faceindex.store import FaceTable
from faceindex.types import F32, I64

__all__ = ["Sweep", "SweepPoint", "ThresholdClusters", "sweep"]

# The first range of a sweep, in nats of evidence below and above the calibrated threshold. On the photos of
# benchmarks/calibrate.py, the best constants are 3 (people) and 0.5 (LFW) nats below. The sweep is extended
# while the best threshold is at an end.
_BELOW, _ABOVE, _STEP = 6.0, 3.0, 0.5
_MOST_POINTS = 60

_MIN_SIZE = 2  # faces in a cluster; the default of `FaceIndex.cluster`


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """Scores of the clusters at one threshold."""

    threshold: float
    scores: ClusterScores


@dataclass(frozen=True, slots=True)
class Sweep:
    """The result of `IndexEvaluation.sweep`.

    Attributes
    ----------
    points : list of SweepPoint
        Constant thresholds in ascending order.
    default : SweepPoint
        The default clusterer, `AlbumClusterer`, at the threshold that is calibrated for the number of faces.
    """

    points: list[SweepPoint]
    default: SweepPoint

    @property
    def best(self) -> SweepPoint:
        """The constant threshold with the highest B-cubed F; ties go to the nearest to the default."""
        return max(
            self.points,
            key=lambda point: (point.scores.bcubed.f, -abs(point.threshold - self.default.threshold)),
        )


def sweep(table: FaceTable, vectors: F32, labelled: Labelled, calibration: Calibration) -> Sweep:
    """Score the default clusterer at many constant thresholds.

    Parameters
    ----------
    table : FaceTable
        n faces.
    vectors : (n, d) float32
    labelled : Labelled
    calibration : Calibration
        Calibration of the embedder.
    """
    people, at = labelled.people, labelled.positions
    calibrated = calibration.threshold(len(table))
    options = ClusterOptions(calibration=calibration)
    clusterer: Clusterer = models.load(models.get("clusterer", "album"), options=options)
    default = cluster_faces(
        table, vectors, clusterer, options, min_size=_MIN_SIZE, previous=None, started_over=True
    )
    default_point = SweepPoint(calibrated, cluster_scores(default.labels[at], people))
    clusters = ThresholdClusters(table, vectors, calibration)

    def score(nats: float) -> SweepPoint:
        threshold = round(calibrated + nats / calibration.slope, 6)
        labels = clusters.at(threshold)
        return SweepPoint(threshold, cluster_scores(labels[at], people))

    steps = round((_BELOW + _ABOVE) / _STEP)
    points = [score(-_BELOW + i * _STEP) for i in range(steps + 1)]
    low, high = -_BELOW, _ABOVE
    while len(points) < _MOST_POINTS:
        best = Sweep(points, default_point).best
        if best is points[-1]:
            high += _STEP
            points.append(score(high))
        elif best is points[0]:
            low -= _STEP
            points.insert(0, score(low))
        else:
            break
    return Sweep(points, default_point)


class ThresholdClusters:
    """Clusters of the default clusterer at any number of constant thresholds.

    They are those of `cluster_faces`. Neighbours do not depend on the threshold and are searched once.

    Parameters
    ----------
    table : FaceTable
        n faces.
    vectors : (n, d) float32
    calibration : Calibration or None
    """

    def __init__(self, table: FaceTable, vectors: F32, calibration: Calibration | None) -> None:
        from faceindex.clustering.neighbours import near_neighbours

        self._table, self._vectors, self._calibration = table, vectors, calibration
        self._good = good_faces(table.quality)
        self._found = near_neighbours(vectors, NEIGHBOURS)

    def at(self, threshold: float) -> I64:
        """Return the cluster of each face at a constant threshold, (n,) int64, -1 for none."""
        n = len(self._table)
        options = ClusterOptions(threshold=threshold, calibration=self._calibration)
        clusterer: Clusterer = models.load(models.get("clusterer", "album"), options=options)
        graph = evidence_graph(*self._found, n, options)
        photos, nowhere = self._table.photo, np.full(n, -1, np.int64)
        album = Album(self._vectors, photos, self._good, graph, previous=nowhere, size=n)
        return drop_small_clusters(clusterer.fit(album), _MIN_SIZE)
