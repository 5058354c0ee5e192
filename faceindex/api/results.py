"""Results of `FaceIndex`: frozen dataclasses, each with `as_dict` for JSON.

A face in no cluster has ``cluster`` None, here and in JSON; the arrays of `FaceIndex.table` have -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from faceindex.documents import Json, as_json

if TYPE_CHECKING:
    from faceindex.errors import ImageError

__all__ = ["Cluster", "ClusterResult", "Face", "Identification", "IdentifiedFace", "Neighbour"]


class _Result:
    __slots__ = ()

    def as_dict(self) -> dict[str, Json]:
        """Return the fields as plain JSON values; NaN becomes None."""
        return cast("dict[str, Json]", as_json(self))


@dataclass(frozen=True, slots=True)
class Face(_Result):
    """One face of the index.

    Attributes
    ----------
    face : int
        Id; never reused for another face.
    photo : str
        The photo as the user named it: the folder as given to `add`, and the path inside it.
    path : str
        Absolute path of the photo.
    box : tuple of float
        ``x1 y1 x2 y2`` in pixels of the upright full-size photo.
    score : float
        Confidence of the detector, 0..1.
    cluster : int or None
        None if the face is in no cluster.
    similarity : float or None
        Similarity to the centroid of the cluster, -1..1; None if the face is in no cluster.
    """

    face: int
    photo: str
    path: str
    box: tuple[float, float, float, float]
    score: float
    cluster: int | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Cluster(_Result):
    """One cluster of the index.

    Attributes
    ----------
    cluster : int
        Id.
    faces, photos : int
        Number of its faces, and of the photos that they are on.
    cohesion : float
        Mean similarity of its faces to its centroid, -1..1. The lower it is, the more likely the cluster
        mixes several people.
    example : Face
        The face most similar to the centroid.
    """

    cluster: int
    faces: int
    photos: int
    cohesion: float
    example: Face


@dataclass(frozen=True, slots=True)
class ClusterResult(_Result):
    """The result of `FaceIndex.cluster`.

    Attributes
    ----------
    algorithm : str
    sizes : dict of int to int
        Number of faces of each cluster, largest first.
    faces, unclustered : int
        Number of all faces, and of those in no cluster.
    kept : int
        Number of faces that kept their cluster.
    started_over : bool
        Whether all faces were clustered afresh and earlier clusters only lent their ids.
    threshold : float or None
        The similarity at which two faces are equally likely to show one person or two.
    """

    algorithm: str
    sizes: dict[int, int]
    faces: int
    unclustered: int
    kept: int
    started_over: bool
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Neighbour(_Result):
    """A face of the index that is similar to a query face.

    Attributes
    ----------
    face : Face
    similarity : float
        To the query face, -1..1.
    """

    face: Face
    similarity: float


@dataclass(frozen=True, slots=True)
class IdentifiedFace(_Result):
    """One face on a query photo, and its best match.

    Attributes
    ----------
    box : tuple of float
        ``x1 y1 x2 y2`` in pixels of the upright full-size query photo.
    score : float
        Confidence of the detector, 0..1.
    cluster : int or None
        The cluster of the person; None if no cluster is similar enough.
    nearest_cluster : int or None
        The best cluster, similar enough or not; None if the faces are not clustered.
    similarity : float
        Mean similarity to the three most similar faces of `nearest_cluster`; NaN if that is None.
    needed : float
        The similarity that `nearest_cluster` needs for a match; NaN if it is None.
    margin : float
        ``similarity - needed`` of the best cluster minus that of the second best; NaN without a second.
    neighbours : tuple of Neighbour
        The most similar faces of the index, best first.
    """

    box: tuple[float, float, float, float]
    score: float
    cluster: int | None
    nearest_cluster: int | None
    similarity: float
    needed: float
    margin: float
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Identification(_Result):
    """The result of `FaceIndex.identify` for one photo.

    Attributes
    ----------
    photo : str
        The path as given, or the name of the input's type.
    faces : tuple of IdentifiedFace
        Best score first; empty if no face was found.
    indexed_as : str or None
        Name of a photo of the index with the same content, if there is one.
    error : ImageError or None
        Why the photo could not be read. Only for photos of an iterable; a single photo raises the error.
    """

    photo: str
    faces: tuple[IdentifiedFace, ...]
    indexed_as: str | None = None
    error: ImageError | None = None
