"""Results of comparing two clusterings: frozen dataclasses, as in `faceindex.api.results`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.documents import Result

if TYPE_CHECKING:
    from datetime import datetime


__all__ = ["ClusterChanges", "ClusterPart", "MovedFace", "RegroupedCluster", "RenumberedCluster"]


@dataclass(frozen=True, slots=True)
class ClusterPart:
    """A cluster, or the part of it that is also in another one.

    Attributes
    ----------
    cluster : int
        Id.
    faces : int
        Number of faces.
    """

    cluster: int
    faces: int


@dataclass(frozen=True, slots=True)
class RegroupedCluster:
    """A cluster, and the clusters that merged into it or that it was split into.

    Attributes
    ----------
    cluster : int
        Id.
    faces : int
        Number of its faces.
    parts : tuple of ClusterPart
        At least two, the largest first, with the numbers of faces that they share with the cluster.
    """

    cluster: int
    faces: int
    parts: tuple[ClusterPart, ...]


@dataclass(frozen=True, slots=True)
class RenumberedCluster:
    """A cluster that neither merged nor split, and has another id.

    Attributes
    ----------
    old_cluster, new_cluster : int
        Ids.
    faces : int
        Number of faces that both have.
    """

    old_cluster: int
    new_cluster: int
    faces: int


@dataclass(frozen=True, slots=True)
class MovedFace(Result):
    """A face that is in another cluster than before.

    Attributes
    ----------
    face : int
        Its id.
    photo, path : str
        The name of its photo in the index, and its absolute path.
    old_cluster, new_cluster : int or None
        None if the face was, or is, in no cluster.
    """

    face: int
    photo: str
    path: str
    old_cluster: int | None
    new_cluster: int | None


@dataclass(frozen=True, slots=True)
class ClusterChanges(Result):
    """What differs between two clusterings of the faces that are in the index; the largest clusters first.

    A cluster continues an earlier one if the two share more than half of the faces of either, or a face and
    the id.

    Attributes
    ----------
    before, after : datetime or None
        When the two were made, UTC; None for one that is not stored.
    old_clusters, new_clusters : int
        Numbers of clusters.
    merged : tuple of RegroupedCluster
        Clusters, each with the earlier ones that merged into it.
    split : tuple of RegroupedCluster
        Earlier clusters, each with those that it was split into.
    renumbered : tuple of RenumberedCluster
    new, gone : tuple of ClusterPart
        Clusters that continue no earlier one, and earlier ones that none continues.
    moved : tuple of MovedFace
        Faces that moved between clusters on their own: their new cluster does not continue their old one.
    joined : tuple of MovedFace
        Faces that an earlier run had put into no cluster, and that are in one.
    left : tuple of MovedFace
        Faces that were in a cluster and are in none.
    newer_faces, newer_unclustered : int
        Numbers of faces that are newer than the earlier clustering, and of those of them in no cluster.
    """

    before: datetime | None
    after: datetime | None
    old_clusters: int
    new_clusters: int
    merged: tuple[RegroupedCluster, ...]
    split: tuple[RegroupedCluster, ...]
    renumbered: tuple[RenumberedCluster, ...]
    new: tuple[ClusterPart, ...]
    gone: tuple[ClusterPart, ...]
    moved: tuple[MovedFace, ...]
    joined: tuple[MovedFace, ...]
    left: tuple[MovedFace, ...]
    newer_faces: int
    newer_unclustered: int
