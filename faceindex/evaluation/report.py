"""How well an index does on labelled photos: clusters, identification, thresholds."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from faceindex import models
from faceindex.api.rows import Naming
from faceindex.clustering import Clusterer, ClusterOptions
from faceindex.clustering.incremental import NEIGHBOURS, cluster_faces, dissolve, follow
from faceindex.errors import EmptyResultError, UsageError
from faceindex.evaluation.labels import (
    FaceChoice,
    PhotoNames,
    choose_faces,
    labels_from_csv,
    labels_from_folders,
)
from faceindex.metrics import (
    Confusion,
    OpenSet,
    Person,
    Scores,
    Similarities,
    TopOne,
    VMeasure,
    bcubed,
    confusions,
    leave_one_out,
    open_set,
    pairwise,
    per_person,
    sample_similarities,
    v_measure,
)
from faceindex.models import ClustererSpec
from faceindex.models.spec import Calibration
from faceindex.store import Clustering, FaceTable, Status
from faceindex.types import F32, I64

__all__ = [
    "ClusterScores",
    "Evaluation",
    "Labelled",
    "Sweep",
    "SweepPoint",
    "cluster_scores",
    "evaluate",
    "label_faces",
    "similarities",
    "sweep",
]

_CARRIERS: tuple[FaceChoice, ...] = ("largest", "center", "all")

# The range of a sweep, in nats of evidence below and above the calibrated threshold. On the photos that
# benchmarks/calibrate.py uses, the best constants are 3 (people) and 0.5 (LFW) below; the sweep goes on
# while the best is at an end.
_SWEEP_BELOW, _SWEEP_ABOVE, _SWEEP_STEP = 6.0, 3.0, 0.5
_SWEEP_MOST = 60

_MIN_SIZE = 2  # of a cluster, as `cluster` has it by default


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labelled faces of an index, m in all.

    Attributes
    ----------
    source : str
        ``"folders"``, or the CSV file.
    face : {"largest", "center", "all"} or None
        Which face of a photo carries its label; None if faces were labelled one by one.
    positions : (m,) int64
        In the table of the index.
    people : (m,) int64
        Who each is, as a position in `names`.
    names : list of str
        p people in alphabetical order; those without a face too.
    photos_of : (p,) int64
        Labelled photos of each person.
    unreadable : int
        Labelled photos that could not be read; they are not in `photos_of`.
    warnings : list of str
    """

    source: str
    face: FaceChoice | None
    positions: I64
    people: I64
    names: list[str]
    photos_of: I64
    unreadable: int
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class ClusterScores:
    """How well clusters agree with labels. A face in no cluster counts as a cluster of its own.

    Attributes
    ----------
    bcubed, pairwise : Scores
        Over faces and over pairs of faces.
    v_measure : VMeasure
    clusters : int
        With a labelled face.
    singletons : int
        Labelled faces that are in no cluster, or alone of all labelled ones in theirs.
    unclustered : int
        Labelled faces that are in no cluster.
    """

    bcubed: Scores
    pairwise: Scores
    v_measure: VMeasure
    clusters: int
    singletons: int
    unclustered: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `FaceIndex.evaluate`.

    Attributes
    ----------
    labelled : Labelled
    scores : ClusterScores
    people : list of Person
        In alphabetical order.
    confusions : list of Confusion
        Most faces astray first; `Confusion.astray` are positions in the table of the index.
    top_one : TopOne
        Each labelled face asks those on other photos; positions are those of `labelled`.
    open_set : OpenSet or None
        None if there are too few people or photos.
    unseen : int
        Faces that were added after `cluster` last ran; they are in no cluster.
    """

    labelled: Labelled
    scores: ClusterScores
    people: list[Person]
    confusions: list[Confusion]
    top_one: TopOne
    open_set: OpenSet | None
    unseen: int

    @property
    def photos(self) -> int:
        """Labelled photos."""
        return int(self.labelled.photos_of.sum())

    @property
    def worst(self) -> list[Person]:
        """People by how many of their photos are not in a cluster of their own, most first."""
        return sorted(self.people, key=lambda p: (p.in_own - p.photos, p.own_accuracy, -p.others, p.name))

    @property
    def accuracy(self) -> float:
        """Share of the photos that are in the cluster with most photos of their person."""
        return sum(person.in_cluster for person in self.people) / self.photos

    @property
    def own_accuracy(self) -> float:
        """The same when no two people may have the same cluster."""
        return sum(person.in_own for person in self.people) / self.photos


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """Chinese Whispers at one threshold, scored."""

    threshold: float
    scores: ClusterScores


@dataclass(frozen=True, slots=True)
class Sweep:
    """The result of `FaceIndex.sweep`.

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


def label_faces(
    table: FaceTable, naming: Naming, labels: str | os.PathLike[str] | None, face: str | None
) -> Labelled:
    """Find the labelled faces of an index.

    Raises
    ------
    UsageError
        As `labels_from_csv`, or if there is no such `face`.
    EmptyResultError
        If no face carries a label.
    """
    which = _carrier(face)
    names = [
        PhotoNames(record.id, naming.name(record), naming.path(record), record.relpath)
        for record in naming.records
        if record.status is not Status.IGNORED
    ]
    given = labels_from_folders(names) if labels is None else labels_from_csv(labels, names, table.face)
    unreadable = 0
    if given.kind == "face":
        if face is not None:
            raise UsageError(
                f"{os.fspath(labels or '')} labels each face, and --face chooses among the faces of a photo.",
                "Leave out --face.",
            )
        of, keys, carrying = given.of, table.face, np.ones(len(table), bool)
    else:
        of = {i: name for i, name in given.of.items() if naming.by_id[i].status is Status.OK}
        unreadable = len(given.of) - len(of)
        frames = {record.id: (record.width, record.height) for record in naming.records}
        keys, carrying = table.photo, choose_faces(table.boxes, table.photo, frames, which)
    people = sorted(set(of.values()))
    code = {name: i for i, name in enumerate(people)}
    who = np.array([code[of[i]] if i in of else -1 for i in keys.tolist()], np.int64)
    positions = np.flatnonzero(carrying & (who >= 0))
    if given.kind == "face":  # a photo is labelled with everybody on it
        shots = np.unique(np.stack([who[positions], table.photo[positions]]), axis=1)[0]
    else:
        shots = np.array([code[name] for name in of.values()], np.int64)
    if not len(positions):
        raise EmptyResultError(
            "No face of the index has a label.", "Index labelled photos with `faceindex index PATH...` first."
        )
    return Labelled(
        source="folders" if labels is None else os.fspath(labels),
        face=which if given.kind == "photo" else None,
        positions=positions,
        people=who[positions],
        names=people,
        photos_of=np.bincount(shots, minlength=len(people)),
        unreadable=unreadable,
        warnings=given.warnings,
    )


def cluster_scores(labels: I64, people: I64) -> ClusterScores:
    """Compare clusters (-1 for none) with people, both (m,) int64."""
    sizes = np.unique(labels[labels >= 0], return_counts=True)[1]
    unclustered = int((labels < 0).sum())
    return ClusterScores(
        bcubed=bcubed(labels, people),
        pairwise=pairwise(labels, people),
        v_measure=v_measure(labels, people),
        clusters=len(sizes),
        singletons=int((sizes == 1).sum()) + unclustered,
        unclustered=unclustered,
    )


def evaluate(
    table: FaceTable,
    vectors: F32,
    labelled: Labelled,
    clustering: Clustering,
    calibration: Calibration,
    *,
    repeats: int,
    seed: int,
) -> Evaluation:
    """As `FaceIndex.evaluate`; `vectors` are those of the table."""
    last = clustering.params.get("last_face")
    at = labelled.positions
    clusters, photos, people = table.cluster[at], table.photo[at], labelled.people
    consensus = calibration.consensus / calibration.slope
    shared = [
        Confusion(found.owner, found.other, found.clusters, at[found.astray])
        for found in confusions(clusters, people, labelled.names)
    ]
    return Evaluation(
        labelled=labelled,
        scores=cluster_scores(clusters, people),
        people=per_person(clusters, people, photos, labelled.names, labelled.photos_of),
        confusions=shared,
        top_one=leave_one_out(vectors[at], people, photos, consensus=consensus),
        open_set=open_set(
            vectors[at],
            people,
            photos,
            repeats=repeats,
            seed=seed,
            consensus=consensus,
            threshold=calibration.threshold,
        ),
        unseen=int((table.face > last).sum()) if isinstance(last, int) else 0,
    )


def similarities(table: FaceTable, vectors: F32, labelled: Labelled | None, *, seed: int) -> Similarities:
    """As `FaceIndex.similarities`; `vectors` are those of the table."""
    if not len(table):
        raise EmptyResultError("The index has no faces.", "Add photos with `faceindex index PATH...`.")
    people = None
    if labelled is not None:
        people = np.full(len(table), -1, np.int64)
        people[labelled.positions] = labelled.people
    return sample_similarities(vectors, table.photo, table.cluster, people, seed=seed)


def sweep(table: FaceTable, vectors: F32, labelled: Labelled, calibration: Calibration) -> Sweep:
    """As `FaceIndex.sweep`; `vectors` are those of the table. Nothing is stored."""
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
        assert isinstance(spec, ClustererSpec)
        clusterer: Clusterer = models.load(spec, options=ClusterOptions(threshold=threshold))
        graph = symmetric_graph(self._neighbours, self._similarities - np.float32(threshold))
        labels = np.full(len(self._leaders) + len(self._followers), -1, np.int64)
        labels[self._leaders] = clusterer.fit(self._vectors, graph)
        follow(labels, self._followers, self._leaders, self._nearest, self._nearness, threshold)
        return dissolve(labels, np.full_like(labels, -1), _MIN_SIZE)


def _carrier(face: str | None) -> FaceChoice:
    for which in _CARRIERS:
        if face == which or (face is None and which == "largest"):
            return which
    raise UsageError(f"--face {face} is not possible.", f"Choose one of: {', '.join(_CARRIERS)}.")
