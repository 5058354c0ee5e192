"""Scores of each person, and pairs of people who share clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faceindex.metrics.scores import singletons_apart
from faceindex.types import I64

__all__ = ["Confusion", "Person", "confusions", "per_person"]


@dataclass(frozen=True, slots=True)
class Person:
    """Score of one person in a clustering. A face in no cluster counts as a cluster of its own.

    Attributes
    ----------
    name : str
    photos : int
        Photos with this label.
    no_face : int
        Photos with this label that have no labelled face.
    faces : int
        Faces with this label.
    cluster : int or None
        The cluster with most of the photos; None if that is a single face in no cluster, or if there is
        no face.
    in_cluster : int
        Photos in it; at least 1 if there is a face.
    others : int
        Labelled faces of other people in it.
    own_cluster : int or None
        The cluster of this person if each cluster is assigned to at most one person; None if no cluster
        is left, or only a face in no cluster.
    in_own : int
        Photos in it.
    """

    name: str
    photos: int
    no_face: int
    faces: int
    cluster: int | None
    in_cluster: int
    others: int
    own_cluster: int | None
    in_own: int

    @property
    def accuracy(self) -> float:
        """Share of the photos that are in `cluster`. Photos without a face count as outside."""
        return self.in_cluster / self.photos

    @property
    def own_accuracy(self) -> float:
        """Share of the photos that are in `own_cluster`. Photos without a face count as outside."""
        return self.in_own / self.photos


@dataclass(frozen=True, slots=True)
class Confusion:
    """Two people who share clusters.

    Attributes
    ----------
    owner, other : str
        The two people. `owner` has at least as many faces in the shared clusters.
    clusters : list of (cluster, faces of owner, faces of other)
        The shared clusters. In each, one of the two has more faces than anybody else.
    misplaced : (m,) int64
        Positions, in each shared cluster, of the faces of the person who has fewer there.
    """

    owner: str
    other: str
    clusters: list[tuple[int, int, int]]
    misplaced: I64


def per_person(labels: I64, people: I64, photos: I64, names: Sequence[str], photos_of: I64) -> list[Person]:
    """Score each person.

    Clusters are assigned to people one to one, greedily: the greatest number of shared photos first, ties
    by lower cluster and person. A person who names the clusters would do the same. The optimal assignment
    (Kuhn 1955) can be better by some photos.

    Parameters
    ----------
    labels : (n,) int64
        Cluster of each labelled face, -1 for none.
    people : (n,) int64
        The person on each face, as a position in `names`.
    photos : (n,) int64
        The photo of each face; any numbers.
    names : sequence of str
        p people, including people without a face.
    photos_of : (p,) int64
        Labelled photos of each person, including photos without a face; at least 1.

    Returns
    -------
    list of Person
        In the order of `names`.
    """
    apart = singletons_apart(labels)
    first_single = int(labels.max(initial=-1)) + 1
    # Count photos, not faces: two faces on one photo in one cluster count once.
    triples = np.unique(np.stack([people, apart, photos]), axis=1)
    cells, shared = np.unique(triples[:2], axis=1, return_counts=True)
    order = np.lexsort((cells[0], cells[1], -shared))
    sizes = dict(zip(*(a.tolist() for a in np.unique(apart, return_counts=True)), strict=True))
    pairs, counts = np.unique(np.stack([people, apart]), axis=1, return_counts=True)
    faces_in = {(p, c): n for p, c, n in zip(*pairs.tolist(), counts.tolist(), strict=True)}

    most: dict[int, tuple[int, int]] = {}
    own: dict[int, tuple[int, int]] = {}
    taken: set[int] = set()
    for person, cluster, number in zip(*cells[:, order].tolist(), shared[order].tolist(), strict=True):
        most.setdefault(person, (cluster, number))
        if person not in own and cluster not in taken:
            own[person] = (cluster, number)
            taken.add(cluster)
    with_face = np.bincount(np.unique(np.stack([people, photos]), axis=1)[0], minlength=len(names))
    faces = np.bincount(people, minlength=len(names))
    rows = []
    for i, name in enumerate(names):
        cluster, in_cluster = most.get(i, (first_single, 0))
        own_cluster, in_own = own.get(i, (first_single, 0))
        rows.append(
            Person(
                name=name,
                photos=int(photos_of[i]),
                no_face=int(photos_of[i] - with_face[i]),
                faces=int(faces[i]),
                cluster=cluster if cluster < first_single else None,
                in_cluster=in_cluster,
                others=sizes[cluster] - faces_in[i, cluster] if i in most else 0,
                own_cluster=own_cluster if own_cluster < first_single else None,
                in_own=in_own,
            )
        )
    return rows


def confusions(labels: I64, people: I64, names: Sequence[str]) -> list[Confusion]:
    """Find pairs of people who share clusters.

    In each cluster, each person is paired with the person who has most faces in it.

    Parameters
    ----------
    labels : (n,) int64
        Cluster of each labelled face, -1 for none.
    people : (n,) int64
        The person on each face, as a position in `names`.
    names : sequence of str

    Returns
    -------
    list of Confusion
        Sorted by the number of misplaced faces, highest first.
    """
    cells, counts = np.unique(np.stack([labels, people]), axis=1, return_counts=True)
    by_cluster: dict[int, list[tuple[int, int]]] = {}
    for cluster, person, number in zip(*cells.tolist(), counts.tolist(), strict=True):
        if cluster >= 0:
            by_cluster.setdefault(cluster, []).append((person, number))
    shared: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for cluster, members in by_cluster.items():
        owner, most = max(members, key=lambda member: (member[1], -member[0]))
        for person, number in members:
            if person < owner:
                shared.setdefault((person, owner), []).append((cluster, number, most))
            elif person > owner:
                shared.setdefault((owner, person), []).append((cluster, most, number))
    # Positions of the faces of each (cluster, person), found by one sort.
    order = np.lexsort((people, labels))
    starts = np.concatenate([[0], np.cumsum(counts)])
    position = {(c, p): i for i, (c, p) in enumerate(zip(*cells.tolist(), strict=True))}

    found = []
    for (a, b), clusters in shared.items():
        if sum(cluster[1] for cluster in clusters) < sum(cluster[2] for cluster in clusters):
            a, b, clusters = b, a, [(cluster, y, x) for cluster, x, y in clusters]
        misplaced = []
        for cluster, x, y in clusters:
            i = position[cluster, b if y <= x else a]
            misplaced.append(order[starts[i] : starts[i + 1]])
        found.append(Confusion(names[a], names[b], clusters, np.sort(np.concatenate(misplaced))))
    return sorted(found, key=lambda confusion: (-len(confusion.misplaced), confusion.owner, confusion.other))
