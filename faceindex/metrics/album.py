"""Scores of the clusters of a whole album, whose other faces have no label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceindex.metrics.scores import singletons_apart
from faceindex.types import I64, BoolArray

__all__ = [
    "AlbumScores",
    "clusters_per_person",
    "count_doubles",
    "junk_faces",
    "people_per_cluster",
    "score_album",
]

JUNK_LEAST_FACES = 3
"""A cluster with fewer faces is never junk."""

JUNK_LABELLED = 0.25
"""A cluster is junk if fewer than this share of its faces are labelled."""


@dataclass(frozen=True, slots=True)
class AlbumScores:
    """Scores of the clusters of all faces of an album, with and without a label.

    Attributes
    ----------
    faces : int
        All faces.
    doubles : int
        Faces that share photo and cluster with another face: `count_doubles`.
    junk : int
        Faces in junk clusters: `junk_faces`.
    junk_clusters : int
    people_per_cluster, clusters_per_person : float or None
        Means over clusters and over people: functions of the same names. None if there is nothing to
        average over.
    """

    faces: int
    doubles: int
    junk: int
    junk_clusters: int
    people_per_cluster: float | None
    clusters_per_person: float | None


def score_album(clusters: I64, photos: I64, people: I64) -> AlbumScores:
    """Score the clusters of a whole album.

    Parameters
    ----------
    clusters : (n,) int64
        Cluster of each face, -1 for none.
    photos : (n,) int64
        The photo of each face; any numbers.
    people : (n,) int64
        The person on each face, -1 for faces without a label.

    Returns
    -------
    AlbumScores
    """
    labelled = people >= 0
    junk = junk_faces(clusters, labelled)
    return AlbumScores(
        faces=len(clusters),
        doubles=count_doubles(clusters, photos),
        junk=int(junk.sum()),
        junk_clusters=len(np.unique(clusters[junk])),
        people_per_cluster=people_per_cluster(clusters[labelled], people[labelled]),
        clusters_per_person=clusters_per_person(clusters[labelled], people[labelled]),
    )


def count_doubles(clusters: I64, photos: I64) -> int:
    """Count the faces that are too many if a person is on a photo once.

    The sum, over photos and clusters, of the number of faces of the photo in the cluster, minus one. Faces
    in no cluster do not count.

    Parameters
    ----------
    clusters : (n,) int64
        Cluster of each face, -1 for none.
    photos : (n,) int64
        The photo of each face; any numbers.

    Returns
    -------
    int
        0 or more.
    """
    member = clusters >= 0
    pairs = np.unique(np.stack([clusters[member], photos[member]]), axis=1)
    return int(member.sum() - pairs.shape[1])


def junk_faces(clusters: I64, labelled: BoolArray) -> BoolArray:
    """Find the faces in clusters that consist mostly of faces without a label.

    These are clusters of three or more faces of which less than a quarter are labelled. The score means
    something if the labels cover the people of the album: then such a cluster has passers-by, blurred or
    cut-off faces, or things that are not faces.

    Parameters
    ----------
    clusters : (n,) int64
        Cluster of each face, -1 for none.
    labelled : (n,) bool
        Whether the face has a label.

    Returns
    -------
    (n,) bool
        True for all faces of such clusters, labelled ones too. False for faces in no cluster.
    """
    found = np.zeros(len(clusters), np.bool_)
    member = np.flatnonzero(clusters >= 0)
    if len(member):
        _, codes, sizes = np.unique(clusters[member], return_inverse=True, return_counts=True)
        known = np.bincount(codes, weights=labelled[member], minlength=len(sizes))
        junk = (sizes >= JUNK_LEAST_FACES) & (known < JUNK_LABELLED * sizes)
        found[member] = junk[codes]
    return found


def people_per_cluster(clusters: I64, people: I64) -> float | None:
    """Compute the mean number of people in a cluster, 1 at best.

    Clusters without a labelled face and faces in no cluster do not count: a single face is always one
    person, and many of them would hide a mixed cluster.

    Parameters
    ----------
    clusters : (m,) int64
        Cluster of each labelled face, -1 for none.
    people : (m,) int64
        The person on each face.

    Returns
    -------
    float or None
        None if no labelled face is in a cluster.
    """
    member = clusters >= 0
    pairs = np.unique(np.stack([clusters[member], people[member]]), axis=1)
    return pairs.shape[1] / len(np.unique(pairs[0])) if pairs.shape[1] else None


def clusters_per_person(clusters: I64, people: I64) -> float | None:
    """Compute the mean number of clusters that the labelled faces of a person are in, 1 at best.

    Each face in no cluster counts as a cluster of its own, as in `bcubed`.

    Parameters
    ----------
    clusters : (m,) int64
        Cluster of each labelled face, -1 for none.
    people : (m,) int64
        The person on each face.

    Returns
    -------
    float or None
        None without faces.
    """
    pairs = np.unique(np.stack([singletons_apart(clusters), people]), axis=1)
    return pairs.shape[1] / len(np.unique(pairs[1])) if pairs.shape[1] else None
