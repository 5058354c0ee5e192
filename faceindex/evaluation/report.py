"""The report: scores of the clusters and the identification of an index on labelled faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from faceindex.errors import EmptyResultError
from faceindex.evaluation.labelled import Labelled
from faceindex.metrics import (
    AlbumScores,
    Bin,
    Confusion,
    Interval,
    OpenSet,
    Person,
    Scores,
    Similarities,
    TopOne,
    VMeasure,
    bcubed,
    bcubed_of_faces,
    bootstrap_f,
    confusions,
    leave_one_out,
    open_set,
    pairwise,
    per_person,
    sample_similarities,
    score_album,
    score_bins,
    v_measure,
)
from faceindex.models import Calibration
from faceindex.store import Clustering, FaceTable
from faceindex.types import F32, I64

__all__ = ["ClusterScores", "Evaluation", "cluster_scores", "evaluate", "similarities"]

# Pixels. Chips of most embedders have 112 to 160 px, and detectors find faces of 20 px and more.
_SIZES = (30.0, 40.0, 60.0, 80.0, 120.0, 160.0, 240.0, 320.0)
_QUALITIES = (0.2, 0.4, 0.6, 0.8, 0.9, 0.95)  # most faces of an album have a quality above 0.8


@dataclass(frozen=True, slots=True)
class ClusterScores:
    """Agreement of clusters with labels. A face in no cluster counts as a cluster of its own.

    Attributes
    ----------
    bcubed, pairwise : Scores
        Scores over faces and over pairs of faces.
    v_measure : VMeasure
    clusters : int
        Clusters with a labelled face.
    singletons : int
        Labelled faces that are in no cluster, or the only labelled face in their cluster.
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
    """The result of `IndexEvaluation.score`.

    Attributes
    ----------
    labelled : Labelled
    clustering : Clustering
    scores : ClusterScores
    interval : Interval or None
        95 % interval of the B-cubed F in `scores`, by bootstrap over people; None for one person.
    album : AlbumScores
        Scores of all faces, with and without a label.
    by_size, by_quality : list of Bin
        Scores of the labelled faces within the whole clustering, by the side of the box in pixels (the
        square root of its area), and by the quality.
    people : list of Person
        In alphabetical order.
    confusions : list of Confusion
        Sorted by the number of misplaced faces, highest first. `Confusion.misplaced` are positions in the
        face table of the index.
    top_one : TopOne
        Identification of each labelled face by the labelled faces on other photos. `TopOne.wrong` are
        positions in ``labelled.positions``.
    open_set : OpenSet or None
        Identification where some faces belong to people who are not in the gallery; None if there are too
        few people or photos.
    unseen : int
        Faces that were added after `cluster` last ran. They are in no cluster.
    names : mapping of int to str
        What the user calls the person of each cluster that has one.
    """

    labelled: Labelled
    clustering: Clustering
    scores: ClusterScores
    interval: Interval | None
    album: AlbumScores
    by_size: list[Bin]
    by_quality: list[Bin]
    people: list[Person]
    confusions: list[Confusion]
    top_one: TopOne
    open_set: OpenSet | None
    unseen: int
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def photos(self) -> int:
        """Number of labelled photos."""
        return int(self.labelled.photos_of.sum())

    @property
    def worst(self) -> list[Person]:
        """People sorted by the number of photos outside their own cluster, highest first."""
        return sorted(self.people, key=lambda p: (p.in_own - p.photos, p.own_accuracy, -p.others, p.name))

    @property
    def accuracy(self) -> float:
        """Share of the photos that are in the cluster with most of the photos of their person."""
        return sum(person.in_cluster for person in self.people) / self.photos

    @property
    def own_accuracy(self) -> float:
        """Like `accuracy`, but each cluster counts for at most one person."""
        return sum(person.in_own for person in self.people) / self.photos


def cluster_scores(labels: I64, people: I64) -> ClusterScores:
    """Score clusters against labels.

    Parameters
    ----------
    labels : (m,) int64
        Cluster of each labelled face, -1 for none.
    people : (m,) int64
        The person on each face.
    """
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
    calibration: Calibration | None,
    *,
    repeats: int,
    seed: int,
) -> Evaluation:
    """Score the clusters and the identification of an index.

    Parameters
    ----------
    table : FaceTable
        n faces, with their clusters.
    vectors : (n, d) float32
    labelled : Labelled
    clustering : Clustering
        The clustering in `table`.
    calibration : Calibration or None
        Calibration of the embedder. Without it, the figures of `identify` are left out.
    repeats, seed : int
        As in `open_set`. The intervals use the seed too.
    """
    last = clustering.params.get("last_face")
    at = labelled.positions
    clusters, photos, people = table.cluster[at], table.photo[at], labelled.people
    consensus = 0.0 if calibration is None else calibration.consensus / calibration.slope
    precision, recall = bcubed_of_faces(clusters, people)
    sides = np.sqrt((table.boxes[at, 2:] - table.boxes[at, :2]).clip(0).prod(axis=1))
    shared = [
        Confusion(found.owner, found.other, found.clusters, at[found.misplaced])
        for found in confusions(clusters, people, labelled.names)
    ]
    return Evaluation(
        labelled=labelled,
        clustering=clustering,
        scores=cluster_scores(clusters, people),
        interval=bootstrap_f(precision, recall, people, seed=seed),
        album=score_album(table.cluster, table.photo, labelled.person_of_faces(len(table))),
        by_size=score_bins(sides, _SIZES, precision, recall, people, seed=seed),
        by_quality=score_bins(table.quality[at], _QUALITIES, precision, recall, people, seed=seed),
        people=per_person(clusters, people, photos, labelled.names, labelled.photos_of),
        confusions=shared,
        top_one=leave_one_out(vectors[at], people, photos, consensus=consensus),
        open_set=open_set(
            vectors[at],
            people,
            photos,
            repeats=repeats,
            seed=seed,
            calibration=calibration,
            quality=table.quality[at],
        ),
        unseen=int((table.face > last).sum()) if isinstance(last, int) else 0,
    )


def similarities(table: FaceTable, vectors: F32, labelled: Labelled | None, *, seed: int) -> Similarities:
    """Sample the similarities of pairs of faces of an index.

    Parameters
    ----------
    table : FaceTable
        n faces, with their clusters.
    vectors : (n, d) float32
    labelled : Labelled or None
        Adds pairs with the same label and with different labels.
    seed : int
        Seed of the sample.

    Raises
    ------
    EmptyResultError
        If the index has no faces.
    """
    if not len(table):
        raise EmptyResultError("The index has no faces.", "Add photos with `faceindex index PATH...`.")
    people = None
    if labelled is not None:
        people = labelled.person_of_faces(len(table))
    return sample_similarities(vectors, table.photo, table.cluster, people, seed=seed)
