"""Results of `FaceIndex`: frozen dataclasses, each with `as_dict` for JSON.

A face in no cluster has ``cluster`` None, here and in JSON; the arrays of `FaceIndex.table` have -1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from faceindex.documents import Json, Result

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from faceindex.api.cluster_changes import ClusterChanges
    from faceindex.errors import ImageError
    from faceindex.evidence import Confidence

__all__ = [
    "Cluster",
    "ClusterResult",
    "Face",
    "Identification",
    "IdentifiedFace",
    "IndexPlan",
    "Neighbour",
    "Source",
]

Source: TypeAlias = Literal["similarity", "confirmed", "named", "stranger", "not a face"]
"""Where an answer comes from; see `IdentifiedFace`."""


@dataclass(frozen=True, slots=True)
class Face(Result):
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
    quality : float
        Of the face, 0..1, higher is better; see `faceindex.quality`.
    turn : int
        0, 90, 180 or 270: degrees by which the photo must be turned clockwise for the face to be upright.
    cluster : int or None
        None if the face is in no cluster.
    similarity : float or None
        Similarity to the centroid of the cluster, -1..1; None if the face is in no cluster.
    person : str or None
        Name of the person that the face shows: the user's word, or else that of its cluster. None if nobody
        is named.
    confirmed : bool
        Whether the user named or confirmed this very face.
    by_hand : bool
        Whether the user drew the face, because no detector found it; its score is 1.
    """

    face: int
    photo: str
    path: str
    box: tuple[float, float, float, float]
    score: float
    quality: float
    turn: int
    cluster: int | None
    similarity: float | None
    person: str | None = None
    confirmed: bool = False
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Cluster(Result):
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
        The face of the highest quality among the half of its faces that are most similar to the centroid.
    person : str or None
        Name of its person; None if the user has not named it.
    """

    cluster: int
    faces: int
    photos: int
    cohesion: float
    example: Face
    person: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterResult(Result):
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
        Whether all faces were clustered afresh. Earlier clusters then only determine the ids.
    threshold : float or None
        The similarity at which two faces are as likely to show one person as two people.
    seed : int
    parameters : mapping
        All parameters, as they are stored with the clustering.
    moved : int
        Number of faces that left their cluster.
    changes : ClusterChanges or None
        With `dry_run`, the differences from the current clusters; nothing was stored then.
    distributed : bool
        Whether neighbours were searched on Ray: with `on`, and only if the faces are many.
    """

    algorithm: str
    sizes: dict[int, int]
    faces: int
    unclustered: int
    kept: int
    started_over: bool
    threshold: float | None
    seed: int = 0
    parameters: Mapping[str, Json] = field(default_factory=dict)
    moved: int = 0
    changes: ClusterChanges | None = None
    distributed: bool = False


@dataclass(frozen=True, slots=True)
class Neighbour(Result):
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
class IdentifiedFace(Result):
    """One face on a query photo, and its best match.

    Attributes
    ----------
    box : tuple of float
        ``x1 y1 x2 y2`` in pixels of the upright full-size query photo.
    score : float
        Confidence of the detector, 0..1.
    quality : float
        Of the face, 0..1, higher is better; see `faceindex.quality`.
    turn : int
        0, 90, 180 or 270: degrees by which the photo must be turned clockwise for the face to be upright.
    cluster : int or None
        The cluster of the person; None if nobody is named, because the person is doubtful or unknown. A
        person may have several clusters; this is the one with the most evidence.
    nearest_cluster : int or None
        The best cluster, named or not; None if the faces are not clustered.
    similarity : float
        Mean similarity to the three most similar faces of `nearest_cluster`; NaN if that is None.
    needed : float
        The similarity with which `nearest_cluster` would be named; NaN if it is None.
    margin : float
        Lead of the best cluster over the best one of another person, in units of similarity; NaN if there is
        none.
    probability : float
        That the face shows the person of `nearest_cluster`, 0..1; see `faceindex.evidence`. NaN if that is
        None, or if the embedder is not calibrated.
    false_alarm : float
        Share of strangers whose best cluster has at least as much evidence, 0..1; NaN like `probability`.
    confidence : {"certain", "likely", "doubtful", "unknown"} or None
        The answer in a word. *Certain* (99 % and more) and *likely* people are named; *doubtful* ones have
        50 % and more, but are not named. None if the embedder is not calibrated. A constant threshold does
        not change the word.
    neighbours : tuple of Neighbour
        The most similar faces of the index, best first.
    person, nearest_person : str or None
        Names of the people of `cluster` and `nearest_cluster`; None if the user has not named them.
    source : str
        ``"similarity"``, or else what the user said of this face on this picture: ``"confirmed"`` (this very
        face shows the person), ``"named"`` (with its cluster), ``"stranger"`` or ``"not a face"``. The first
        two have probability 1, and neither `needed` nor `margin`; the last two have 0, and nobody is named.
    """

    box: tuple[float, float, float, float]
    score: float
    quality: float
    turn: int
    cluster: int | None
    nearest_cluster: int | None
    similarity: float
    needed: float
    margin: float
    probability: float
    false_alarm: float
    confidence: Confidence | None
    neighbours: tuple[Neighbour, ...]
    person: str | None = None
    nearest_person: str | None = None
    source: Source = "similarity"


@dataclass(frozen=True, slots=True)
class Identification(Result):
    """The result of `FaceIndex.identify` for one photo.

    Attributes
    ----------
    photo : str
        The path as given, or the name of the input's type.
    faces : tuple of IdentifiedFace
        Best score first; empty if no face was found.
    indexed_as, indexed_path : str or None
        Name and absolute path of a photo of the index with the same content, or else with the same picture
        and other metadata; None if there is none.
    error : ImageError or None
        Why the photo could not be read. Only for photos of an iterable; a single photo raises the error.
    note : str or None
        As `faceindex.images.DecodedImage.note`.
    width, height : int or None
        Pixels of the upright full-size photo; None if it was not read here.
    """

    photo: str
    faces: tuple[IdentifiedFace, ...]
    indexed_as: str | None = None
    indexed_path: str | None = None
    error: ImageError | None = None
    note: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class IndexPlan(Result):
    """The result of `FaceIndex.plan`: what `FaceIndex.add` would find, and forecasts.

    Attributes
    ----------
    new, changed : int
        Photos to recognise: not in the index; in the index with another size. A changed photo of which only
        the metadata are new is not recognised again.
    to_compare : int
        Files as large as an indexed photo that is gone or has a new modification time. `add` reads them,
        and recognises those that were neither moved, renamed nor only touched.
    retried : int
        Unreadable photos to try again.
    other_files : int
        New files that are not named like photos; `add` opens each once.
    unchanged : int
        Photos that need not be opened.
    known_unreadable : int
        Unreadable photos that are not tried again.
    unreachable : int
        Files and folders that cannot be read.
    gone, missing : int
        Photos that no longer exist: those that would be removed, and those that would be kept, as in
        `Summary`. `to_compare` may contain them under new names.
    seconds : float or None
        Forecast for new, changed and retried photos; None without an earlier run to compute it from.
    photos_per_second : float or None
        The rate of the earlier run.
    measured_at : datetime or None
        When that run ended, UTC.
    bytes : int or None
        Forecast of the growth of the index on disk; None if the index has no photos.
    read_once : int
        Unchanged photos that `add` reads for their pictures, because an older version indexed them.
    to_check : int
        Unchanged photos that `add` reads to compare their content: on request, or because of another ctime or
        inode.
    older : int
        New and changed files that are not read, because they were modified before `newer_than`.
    """

    new: int
    changed: int
    to_compare: int
    retried: int
    other_files: int
    unchanged: int
    known_unreadable: int
    unreachable: int
    gone: int
    missing: int
    seconds: float | None
    photos_per_second: float | None
    measured_at: datetime | None
    bytes: int | None
    read_once: int = 0
    to_check: int = 0
    older: int = 0

    @property
    def photos(self) -> int:
        """Photos found, readable or not."""
        known = self.unchanged + self.known_unreadable + self.retried
        return self.new + self.changed + self.to_compare + known
