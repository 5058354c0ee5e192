"""What the methods of `FaceIndex` give back."""

from __future__ import annotations

from dataclasses import dataclass

from faceindex.identification import Answer

__all__ = ["ClusterResult", "Face", "IdentifiedFace", "Query"]


@dataclass(frozen=True, slots=True)
class Face:
    """One face of the index.

    Attributes
    ----------
    face : int
        Id, never used again for another face.
    photo : str
        As the user named it: the folder as it was given, and the path inside it.
    path : str
        Absolute.
    box : tuple of float
        ``x1 y1 x2 y2`` in pixels of the upright full-size photo.
    score : float
        Of the detector, 0..1.
    cluster : int or None
    similarity : float or None
        To the centroid of the cluster.
    """

    face: int
    photo: str
    path: str
    box: tuple[float, float, float, float]
    score: float
    cluster: int | None
    similarity: float | None


@dataclass(frozen=True, slots=True)
class ClusterResult:
    """The result of `FaceIndex.cluster`.

    Attributes
    ----------
    algorithm : str
    sizes : dict of int to int
        Faces of each cluster, largest first.
    faces, unclustered : int
        Faces in all, and those in no cluster.
    kept : int
        Faces that kept the cluster they had.
    started_over : bool
        Whether earlier clusters were only used to name the new ones.
    threshold : float or None
        The similarity of even odds that was in force.
    """

    algorithm: str
    sizes: dict[int, int]
    faces: int
    unclustered: int
    kept: int
    started_over: bool
    threshold: float | None


@dataclass(frozen=True, slots=True)
class IdentifiedFace:
    """One face on a query photo: where it is, and what the index says of it."""

    box: tuple[float, float, float, float]
    score: float
    answer: Answer


@dataclass(frozen=True, slots=True)
class Query:
    """A query photo and the faces on it, best score first.

    Attributes
    ----------
    photo : str
    faces : list of IdentifiedFace
        Empty if no face was found.
    nearest : dict of int to Face
        The faces of the index that the answers name, by id.
    """

    photo: str
    faces: list[IdentifiedFace]
    nearest: dict[int, Face]
