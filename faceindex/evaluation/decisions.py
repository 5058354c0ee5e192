"""Scores of an index by the decisions of its user, which are the labels.

The clusters of the index satisfy the decisions, so they would score too well. What is scored is how the faces
are clustered without the decisions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceindex.errors import EmptyResultError
from faceindex.evaluation.report import ClusterScores, cluster_scores
from faceindex.metrics import (
    Interval,
    Person,
    Reliability,
    bcubed_of_faces,
    bootstrap_f,
    per_person,
    reliability,
)
from faceindex.store.decisions import Label
from faceindex.types import F64, I64, BoolArray

__all__ = [
    "DecidedFaces",
    "DecidedIdentification",
    "Nobody",
    "PeopleEvaluation",
    "decided_faces",
    "score_answers",
    "score_clusters",
]


@dataclass(frozen=True, slots=True)
class DecidedFaces:
    """The faces of an index that the user decided on.

    Attributes
    ----------
    positions : (m,) int64
        Positions of the faces with the label of a person, in the face table of the index, ascending.
    people : (m,) int64
        The person on each, as a position in `names`.
    ids : (p,) int64
        Ids of the people.
    names : list of str
        p people in alphabetical order.
    confirmed, named : int
        How many of the m faces the user confirmed, and how many were named with their cluster.
    strangers, not_faces : (j,) and (k,) int64
        Positions of the faces that are nobody.
    """

    positions: I64
    people: I64
    ids: I64
    names: list[str]
    confirmed: int
    named: int
    strangers: I64
    not_faces: I64

    @property
    def nobody(self) -> I64:
        """Positions of the faces that are nobody, ascending."""
        return np.union1d(self.strangers, self.not_faces)


@dataclass(frozen=True, slots=True)
class Nobody:
    """Where the clusters without decisions have the faces that are nobody.

    Attributes
    ----------
    faces : int
    with_people : int
        In a cluster with a labelled face of a person.
    in_clusters : int
        In other clusters.
    """

    faces: int
    with_people: int
    in_clusters: int


@dataclass(frozen=True, slots=True)
class DecidedIdentification:
    """Identification of the decided faces, each as if its picture were new.

    Attributes
    ----------
    searched : int
        Labelled faces whose person has a face on another picture.
    right, wrong : int
        Of these, named as their person, and as another one.
    unnamed : int
        In a cluster of which the user has not said who it is.
    alone : int
        Labelled faces that were not searched: their person has no face on another picture.
    nobody, nobody_named : int
        Faces that are nobody, and how many of them got the name of a person.
    reliability : list of Reliability
        How many answers of each probability are right, over all these faces. Each counts once. Those whose
        best cluster is without a name are left out.
    drawn_from : int
        Labelled faces from which those that were searched, or are alone, were drawn.
    """

    searched: int
    right: int
    wrong: int
    unnamed: int
    alone: int
    nobody: int
    nobody_named: int
    reliability: list[Reliability]
    drawn_from: int


@dataclass(frozen=True, slots=True)
class PeopleEvaluation:
    """The result of `IndexEvaluation.people`.

    Attributes
    ----------
    decided : DecidedFaces
    algorithm : str
        Of the clusters.
    scores : ClusterScores
        Of the clusters without decisions, over the labelled faces.
    interval : Interval or None
        95 % interval of the B-cubed F, by bootstrap over people; None for one person.
    people : list of Person
        In alphabetical order; photos are those with a labelled face.
    clusters_of : list of int
        For each person, the number of clusters that the labelled faces are in. Each face in no cluster
        counts as one.
    mixed : int
        Clusters with labelled faces of several people.
    nobody : Nobody
    identification : DecidedIdentification or None
        None if the embedder is not calibrated.
    """

    decided: DecidedFaces
    algorithm: str
    scores: ClusterScores
    interval: Interval | None
    people: list[Person]
    clusters_of: list[int]
    mixed: int
    nobody: Nobody
    identification: DecidedIdentification | None

    @property
    def split(self) -> int:
        """People whose labelled faces are in several clusters."""
        return sum(number > 1 for number in self.clusters_of)


def decided_faces(label: I64, person: I64, names: dict[int, str], *, named: bool) -> DecidedFaces:
    """Collect the faces with a label.

    Parameters
    ----------
    label, person : (n,) int64
        The label of each face, and the person, -1 for none.
    names : dict of int to str
        Names of the people.
    named : bool
        Whether faces count that were named with their cluster.

    Raises
    ------
    EmptyResultError
        If no face counts.
    """
    wanted = [Label.CONFIRMED, Label.NAMED] if named else [Label.CONFIRMED]
    positions = np.flatnonzero(np.isin(label, wanted) & (person >= 0))
    if not len(positions):
        if (label == Label.NAMED).any():
            raise EmptyResultError(
                "No face is confirmed.",
                "Confirm faces with `faceindex people confirm`, or count those that you named with their "
                "cluster: `named`.",
            )
        raise EmptyResultError(
            "No face is confirmed.",
            "Name people with `faceindex people name`, and confirm faces with `faceindex people confirm`.",
        )
    ids = np.array(sorted(set(person[positions].tolist()), key=lambda id: names[id]), np.int64)
    order = np.argsort(ids)
    confirmed = int((label[positions] == Label.CONFIRMED).sum())
    return DecidedFaces(
        positions=positions,
        people=order[np.searchsorted(ids[order], person[positions])].astype(np.int64),
        ids=ids,
        names=[names[id] for id in ids.tolist()],
        confirmed=confirmed,
        named=len(positions) - confirmed,
        strangers=np.flatnonzero(label == Label.STRANGER),
        not_faces=np.flatnonzero(label == Label.NOT_A_FACE),
    )


def score_clusters(
    clusters: I64,
    photos: I64,
    decided: DecidedFaces,
    algorithm: str,
    identification: DecidedIdentification | None,
    *,
    seed: int,
) -> PeopleEvaluation:
    """Score clusters that were made without the decisions.

    Parameters
    ----------
    clusters, photos : (n,) int64
        The cluster, -1 for none, and the photo of each face of the index.
    decided : DecidedFaces
    algorithm : str
    identification : DecidedIdentification or None
    seed : int
        Of the bootstrap.
    """
    at, people = decided.positions, decided.people
    own = clusters[at]
    number = len(decided.names)
    precision, recall = bcubed_of_faces(own, people)
    on = np.unique(np.stack([people, photos[at]]), axis=1)[0]
    pairs = np.unique(np.stack([own, people])[:, own >= 0], axis=1)
    clusters_of = np.bincount(pairs[1], minlength=number) + np.bincount(people[own < 0], minlength=number)
    nobody = clusters[decided.nobody]
    with_people = np.isin(nobody, own[own >= 0])
    return PeopleEvaluation(
        decided=decided,
        algorithm=algorithm,
        scores=cluster_scores(own, people),
        interval=bootstrap_f(precision, recall, people, seed=seed),
        people=per_person(own, people, photos[at], decided.names, np.bincount(on, minlength=number)),
        clusters_of=clusters_of.tolist(),
        mixed=int((np.unique(pairs[0], return_counts=True)[1] > 1).sum()),
        nobody=Nobody(len(nobody), int(with_people.sum()), int(((nobody >= 0) & ~with_people).sum())),
        identification=identification,
    )


def score_answers(
    people: I64,
    best: I64,
    named: BoolArray,
    probability: F64,
    searched: BoolArray,
    *,
    drawn_from: int,
) -> DecidedIdentification:
    """Score the answers to searches for decided faces.

    Parameters
    ----------
    people : (m,) int64
        The person on each face; -1 for faces that are nobody.
    best : (m,) int64
        The person with the most evidence; -1 for a cluster without a name, or none.
    named : (m,) bool
        Whether the evidence is enough.
    probability : (m,) float64
        Of `best`; NaN without any.
    searched : (m,) bool
        Whether the face was searched.
    drawn_from : int
    """
    known, nobody = searched & (people >= 0), searched & (people < 0)
    right = best == people
    judged = searched & (best >= 0) & np.isfinite(probability)
    return DecidedIdentification(
        searched=int(known.sum()),
        right=int((known & named & right).sum()),
        wrong=int((known & named & ~right & (best >= 0)).sum()),
        unnamed=int((known & named & (best < 0)).sum()),
        alone=int((~searched & (people >= 0)).sum()),
        nobody=int(nobody.sum()),
        nobody_named=int((nobody & named & (best >= 0)).sum()),
        reliability=reliability(probability[judged], right[judged], np.ones(int(judged.sum()), bool)),
        drawn_from=drawn_from,
    )
