"""Score Chinese Whispers at many constant thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceindex import models
from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.clustering.incremental import (
    NEIGHBOURS,
    cluster_faces,
    dissolve,
    follow,
    representative_faces,
)
from faceindex.evaluation.labelled import Labelled
from faceindex.evaluation.report import ClusterScores, cluster_scores
from faceindex.models import Calibration
from faceindex.store import FaceTable
from faceindex.types import F32, I64

__all__ = ["Sweep", "SweepPoint", "sweep"]

# The range of a sweep, in nats of evidence below and above the calibrated threshold. On the photos that
# benchmarks/calibrate.py uses, the best constants are 3 (people) and 0.5 (LFW) below; the sweep goes on
# while the best is at an end.
_SWEEP_BELOW, _SWEEP_ABOVE, _SWEEP_STEP = 6.0, 3.0, 0.5
_SWEEP_MOST = 60

_MIN_SIZE = 2  # of a cluster, as `cluster` has it by default


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """Chinese Whispers at one threshold, scored."""

    threshold: float
    scores: ClusterScores


@dataclass(frozen=True, slots=True)
class Sweep:
    """The result of `IndexEvaluation.sweep`.

    Attributes
    ----------
    points : list of SweepPoint
        Constant thresholds, rising.
    default : SweepPoint
        Without a constant: calibrated for the number of faces, and with the steps that follow.
    """

    points: list[SweepPoint]
    default: SweepPoint

    @property
    def best(self) -> SweepPoint:
        """The constant threshold of greatest B-cubed F; of equals, the nearest to the calibrated one."""
        return max(
            self.points,
            key=lambda point: (point.scores.bcubed.f, -abs(point.threshold - self.default.threshold)),
        )


def sweep(table: FaceTable, vectors: F32, labelled: Labelled, calibration: Calibration) -> Sweep:
    """As `IndexEvaluation.sweep`; `vectors` are those of the table. Nothing is stored."""
    people, at = labelled.people, labelled.positions
    calibrated = calibration.threshold(len(table))
    options = ClusterOptions(calibration=calibration)
    clusterer: Clusterer = models.load(models.get("clusterer", "chinese-whispers"), options=options)
    default = cluster_faces(
        table, vectors, clusterer, options, min_size=_MIN_SIZE, previous=None, started_over=True
    )
    default_point = SweepPoint(calibrated, cluster_scores(default[at], people))
    prepared = _Neighbours(table, vectors, calibration)

    def scored(nats: float) -> SweepPoint:
        threshold = round(calibrated + nats / calibration.slope, 6)
        labels = prepared.cluster(threshold)
        return SweepPoint(threshold, cluster_scores(labels[at], people))

    steps = round((_SWEEP_BELOW + _SWEEP_ABOVE) / _SWEEP_STEP)
    points = [scored(-_SWEEP_BELOW + i * _SWEEP_STEP) for i in range(steps + 1)]
    low, high = -_SWEEP_BELOW, _SWEEP_ABOVE
    while len(points) < _SWEEP_MOST:
        best = Sweep(points, default_point).best
        if best is points[-1]:
            high += _SWEEP_STEP
            points.append(scored(high))
        elif best is points[0]:
            low -= _SWEEP_STEP
            points.insert(0, scored(low))
        else:
            break
    return Sweep(points, default_point)


class _Neighbours:
    """What `faceindex.clustering.incremental` computes before there is a threshold, kept for many of them."""

    def __init__(self, table: FaceTable, vectors: F32, calibration: Calibration) -> None:
        from faceindex.clustering.neighbours import near_neighbours, nearest

        sharp = representative_faces(table, np.full(len(table), -1, np.int64), calibration)
        self._leaders, self._followers = np.flatnonzero(sharp), np.flatnonzero(~sharp)
        self._vectors = vectors[self._leaders]
        self._neighbours, self._similarities = near_neighbours(self._vectors, NEIGHBOURS)
        self._nearest, self._nearness = nearest(vectors[self._followers], self._vectors, 1)

    def cluster(self, threshold: float) -> I64:
        """The clusters of a constant threshold, (n,) int64; lone faces are in none."""
        from faceindex.clustering.graph import symmetric_graph

        spec = models.get("clusterer", "chinese-whispers")
        clusterer: Clusterer = models.load(spec, options=ClusterOptions(threshold=threshold))
        graph = symmetric_graph(self._neighbours, self._similarities - np.float32(threshold))
        labels = np.full(len(self._leaders) + len(self._followers), -1, np.int64)
        labels[self._leaders] = clusterer.fit(self._vectors, graph)
        follow(labels, self._followers, self._leaders, self._nearest, self._nearness, threshold)
        return dissolve(labels, np.full_like(labels, -1), _MIN_SIZE)
