"""Plain data that the store takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from faceindex.documents import Json, Scalar
    from faceindex.types import F32, I64, BoolArray, Detections, Faces

__all__ = [
    "LEAST_MIN_FACE",
    "Assignments",
    "Clustering",
    "Counts",
    "FacePlaces",
    "FaceTable",
    "HnswParams",
    "NewMetadata",
    "NewPhoto",
    "PhotoRecord",
    "Pins",
    "PreviousClustering",
    "Root",
    "Run",
    "ScanCounts",
    "Status",
]


LEAST_MIN_FACE = 5
"""Side in pixels of the smallest face to find: for a smaller one, an image pyramid takes minutes."""


@dataclass(frozen=True, slots=True)
class Pins:
    """The models that an index is pinned to: chosen when it is created, and fixed from then on.

    Attributes
    ----------
    detector, embedder : str
        Names of models.
    dimension : int
        Length of the embedder's vectors.
    settings : mapping of str to str, int, float or bool
        Options of the models, such as ``{"min_face": 40}``.
    weights : mapping of str to str
        SHA-256 (hexadecimal) of each weight file, by file name.
    """

    detector: str
    embedder: str
    dimension: int
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HnswParams:
    """Parameters of the HNSW index (Malkov and Yashunin 2018, https://arxiv.org/abs/1603.09320).

    Attributes
    ----------
    m : int
        Links per node and layer; twice as many on the lowest layer.
    ef_construction : int
        Length of the candidate list while building.
    ef : int
        Length of the candidate list while searching; at least ``2 k`` is used.
    seed : int
        Seed of the random layers.

    Notes
    -----
    Measured by ``benchmarks/search.py``: the defaults give recall 0.997 for 20 neighbours among
    100,000 faces of 128 dimensions (ef 64: 0.968, 128: 0.990, 400: 0.9995).
    """

    m: int = 16
    ef_construction: int = 200
    ef: int = 200
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Root:
    """A folder whose photos are in the index.

    Attributes
    ----------
    id : int
    path : str
        Absolute.
    given : str
        As the user typed it when it was first indexed.
    """

    id: int
    path: str
    given: str


VIDEO_PREFIX = "video "
"""How the `PhotoRecord.reason` of a video begins."""


class Status(str, Enum):
    """The state of a file. The values are stored in the catalog: append, never rename."""

    OK = "ok"
    UNREADABLE = "unreadable"  # with a reason
    IGNORED = "ignored"  # not an image and not named like one; stored so that it is not opened again


class PhotoRecord(NamedTuple):
    """One photo in the catalog.

    Attributes
    ----------
    id : int
        Never reused for another photo.
    root_id : int
    relpath : str
        Relative to the root, separated by ``/``; undecodable bytes are surrogate-escaped.
    size : int
        Bytes.
    mtime_ns : int
        Modification time in nanoseconds.
    content_hash : bytes or None
        None when the file could not be read.
    width, height : int
        Pixels of the upright photo; 0 when it could not be read.
    status : Status
    reason : str or None
        Value of an `errors.Reason`; None when `status` is OK, but for a video, which has ``"video "`` and its
        playing time in milliseconds.
    detail : str or None
        One line on the reason; of a photo that was read, a note on its file, or None.
    faces : int
        Number of faces on it.
    picture : bytes or None
        ``hash`` of `faceindex.images.Picture`; None if the photo could not be read, or has not been read
        since an older version indexed it.
    orientation : int
        EXIF orientation, 1 to 8; 1 where it is unknown.
    taken : int or None
        Capture date in seconds since 1970-01-01 00:00, in the local time of the camera; None if unknown.
    ctime_ns, inode : int or None
        As in `faceindex.images.volumes.FileIds`, when the content was last read; None if unknown.
    failed : str or None
        Why an indexed photo (`status` OK) could not be read last, as a value of an `errors.Reason`.
    """

    id: int
    root_id: int
    relpath: str
    size: int
    mtime_ns: int
    content_hash: bytes | None
    width: int
    height: int
    status: Status
    reason: str | None
    detail: str | None
    faces: int
    picture: bytes | None = None
    orientation: int = 1
    taken: int | None = None
    ctime_ns: int | None = None
    inode: int | None = None
    failed: str | None = None

    @property
    def video_milliseconds(self) -> int | None:
        """Playing time of a video that was read; None if this is none. Its moments are photos."""
        if self.status is not Status.OK or self.reason is None or not self.reason.startswith(VIDEO_PREFIX):
            return None
        text = self.reason.removeprefix(VIDEO_PREFIX)
        return int(text) if text.isascii() and text.isdigit() else 0


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """One photo to commit. Attributes as in `PhotoRecord`, except:

    Attributes
    ----------
    faces : Faces or None
        Detected and embedded faces; None means no face.
    """

    root_id: int
    relpath: str
    size: int
    mtime_ns: int
    content_hash: bytes | None = None
    width: int = 0
    height: int = 0
    status: Status = Status.OK
    reason: str | None = None
    detail: str | None = None
    faces: Faces | None = None
    picture: bytes | None = None
    orientation: int = 1
    taken: int | None = None
    ctime_ns: int | None = None
    inode: int | None = None


class NewMetadata(NamedTuple):
    """What changes of a photo if its file has new bytes, but the same picture; as in `PhotoRecord`."""

    id: int
    size: int
    mtime_ns: int
    content_hash: bytes
    taken: int | None


@dataclass(frozen=True, slots=True)
class ScanCounts:
    """Number of files that have not changed since they were indexed, and need not be opened.

    Attributes
    ----------
    photos : int
        Photos that could be read.
    ignored : int
        Files that are not photos and are not named like photos.
    unreadable : mapping of str to int
        Photos that could not be read, by reason.
    companions : mapping of str to int
        Files that were left out as the second file of a shot, by kind; ``"store"``: archives and videos in
        object stores; and ``"video"``: those of `ignored` that are videos.
    """

    photos: int = 0
    ignored: int = 0
    unreadable: Mapping[str, int] = field(default_factory=dict)
    companions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)  # `==` of arrays is not a truth value
class Assignments:
    """All live faces and their clusters as parallel arrays, in ascending order of `face`.

    Attributes
    ----------
    face : (n,) int64
        Face ids, never reused for another face.
    row : (n,) int64
        Row of the face's vector in ``vectors.f32``; ascending too, but for faces that were away.
    photo : (n,) int64
        Id of the photo.
    cluster : (n,) int64
        Cluster id in the active clustering; -1 means none.
    similarity : (n,) float32
        Similarity to the centroid of that cluster, -1..1; NaN if there is none.
    sharpness, quality : (n,) float32
        As in `types.Faces`. The quality is never NaN: the store computes what an older version did not store.
    """

    face: I64
    row: I64
    photo: I64
    cluster: I64
    similarity: F32
    sharpness: F32
    quality: F32

    def __len__(self) -> int:
        return len(self.face)


@dataclass(frozen=True, slots=True, eq=False)  # `==` of arrays is not a truth value
class FaceTable(Assignments):
    """All live faces with their clusters, their photos and their positions on these.

    Attributes
    ----------
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright full-size photo.
    landmarks : (n, 5, 2) float32
        NaN where the detector has none.
    scores, norms : (n,) float32
        As in `types.Faces`.
    turns : (n,) int64
        0, 90, 180 or 270, as in `types.Detections`.
    by_hand : (n,) bool
        Whether the user drew the face, instead of a detector. Left out means that nobody drew one.
    """

    boxes: F32
    landmarks: F32
    scores: F32
    norms: F32
    turns: I64
    by_hand: BoolArray = None  # type: ignore[assignment]  # numpy is not imported here

    def __post_init__(self) -> None:
        if self.by_hand is None:
            import numpy as np

            object.__setattr__(self, "by_hand", np.zeros(len(self.face), np.bool_))

    def detections(self, positions: I64 | list[int]) -> Detections:
        """Return the faces at some positions, to cut them out of their photo."""
        from faceindex.types import Detections  # needs numpy

        return Detections(
            self.boxes[positions], self.landmarks[positions], self.scores[positions], self.turns[positions]
        )


@dataclass(frozen=True, slots=True, eq=False)
class FacePlaces:
    """Where some faces are: what drawing them needs of a `FaceTable`.

    Attributes
    ----------
    face, photo : (n,) int64
        Ids.
    boxes : (n, 4) float32
        As in `FaceTable`.
    turns : (n,) int64
    """

    face: I64
    photo: I64
    boxes: F32
    turns: I64

    def __len__(self) -> int:
        return len(self.face)


@dataclass(frozen=True, slots=True)
class Clustering:
    """One run of a clusterer.

    Attributes
    ----------
    id : int
    algorithm : str
        Name of the clusterer.
    params : mapping
        All its parameters.
    seed : int
    created : datetime
        UTC.
    next_cluster_id : int
        Lowest id that no cluster of this index ever had. New clusters are numbered from here, so that an
        id never comes to mean another person.
    """

    id: int
    algorithm: str
    params: Mapping[str, Json]
    seed: int
    created: datetime
    next_cluster_id: int


@dataclass(frozen=True, slots=True, eq=False)  # `==` of arrays is not a truth value
class PreviousClustering:
    """The clustering that the active one replaced, as differences from it.

    Attributes
    ----------
    clustering : Clustering
    face : (m,) int64
        Ids of the live faces that were in another cluster than now, ascending.
    cluster : (m,) int64
        The clusters in which they were, -1 for none.
    """

    clustering: Clustering
    face: I64
    cluster: I64

    def labels(self, table: Assignments) -> I64:
        """Return the previous cluster of each face of a table of the same moment, (n,) int64, -1 for none."""
        import numpy as np

        labels: I64 = table.cluster.copy()
        labels[np.searchsorted(table.face, self.face)] = self.cluster
        return labels


@dataclass(frozen=True, slots=True)
class Run:
    """One entry of the journal: a command that ran on the index.

    Attributes
    ----------
    kind : str
        The command, such as ``"index"``.
    at : datetime
        When it ended, UTC.
    detail : mapping
        Its summary.
    """

    kind: str
    at: datetime
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Counts:
    """Number of photos, faces and clusters, and sizes of files.

    Attributes
    ----------
    photos : mapping of Status to int
        Photos by status; contains every status.
    reasons : mapping of str to int
        Unreadable photos by reason.
    faces : int
        Live faces.
    clustered : int
        Faces in a cluster.
    clusters : int
        Clusters with at least one face.
    newer_faces : int
        Faces added after the newest clustering; 0 without a clustering.
    rows : int
        Rows of ``vectors.f32``: live faces and tombstones.
    bytes : mapping of str to int
        Size on disk by file name; missing files are left out.
    last_run : Run or None
        The newest entry of the journal.
    away_photos, away_faces : int
        Photos that are gone and whose faces are kept, in case they return; and these faces.
    away_since : datetime or None
        When the first of them was found to be gone, UTC.
    videos, moments : int
        Videos that were read, and frames of them that are photos; both count in `photos`, too.
    """

    photos: Mapping[Status, int]
    reasons: Mapping[str, int]
    faces: int
    clustered: int
    clusters: int
    newer_faces: int
    rows: int
    bytes: Mapping[str, int]
    last_run: Run | None
    away_photos: int = 0
    away_faces: int = 0
    away_since: datetime | None = None
    videos: int = 0
    moments: int = 0
