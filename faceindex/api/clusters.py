"""Clusters as a user looks at them: a row each, and their faces side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faceindex import images
from faceindex.api.results import Face, Query
from faceindex.api.rows import Naming, face_rows
from faceindex.errors import UsageError
from faceindex.store import FaceTable
from faceindex.types import I64, Image

if TYPE_CHECKING:
    from faceindex.export.gallery_pictures import Painter

__all__ = ["Cluster", "cluster_rows", "cluster_sheet", "face_sheet", "query_sheet"]

_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster.

    Attributes
    ----------
    cluster : int
    faces, photos : int
        How many faces are in it, and on how many photos they are.
    cohesion : float
        Mean similarity of its faces to its centroid, -1..1: the lower, the likelier are several people
        in it.
    example : Face
        The face most alike to the centroid.
    """

    cluster: int
    faces: int
    photos: int
    cohesion: float
    example: Face


def cluster_rows(table: FaceTable, naming: Naming) -> list[Cluster]:
    """All clusters, largest first."""
    from faceindex.export.gallery_layout import clusters_by_size, most_alike

    clusters, sizes = clusters_by_size(table.cluster)
    examples = most_alike(table, clusters)
    pairs = np.unique(np.stack([table.cluster, table.photo], axis=1), axis=0)[:, 0]
    photos = np.searchsorted(pairs, clusters, "right") - np.searchsorted(pairs, clusters)
    order = np.argsort(table.cluster, kind="stable")
    starts = np.searchsorted(table.cluster[order], clusters)
    return [
        Cluster(
            cluster=int(cluster),
            faces=int(size),
            photos=int(on),
            cohesion=float(table.similarity[order[start : start + size]].mean(dtype=np.float64)),
            example=example,
        )
        for cluster, size, on, start, example in zip(
            clusters, sizes, photos, starts, face_rows(table, naming, examples), strict=True
        )
    ]


def cluster_sheet(table: FaceTable, naming: Naming, cluster: int, most: int) -> Image:
    """Up to `most` faces of a cluster, the most alike to it first.

    Raises
    ------
    UsageError
        If there is no such cluster.
    ImageError
        If none of the photos can be read.
    """
    from faceindex.export.gallery_pictures import contact_sheet

    faces = np.flatnonzero(table.cluster == cluster)
    if cluster < 0 or not len(faces):
        raise UsageError(f"There is no cluster {cluster}.", "`faceindex clusters` lists those there are.")
    best = faces[np.argsort(-table.similarity[faces], kind="stable")][:most]
    return contact_sheet(_painter(table, naming), best.tolist(), _COLUMNS)


def face_sheet(table: FaceTable, naming: Naming, faces: Sequence[int]) -> Image:
    """Faces (by id) side by side.

    Raises
    ------
    ImageError
        If none of the photos can be read.
    """
    from faceindex.export.gallery_pictures import contact_sheet

    return contact_sheet(_painter(table, naming), _positions(table, faces).tolist(), _COLUMNS)


def query_sheet(table: FaceTable, naming: Naming, query: Query) -> Image:
    """A line for each face of a query photo: the face, and the most alike ones of the index.

    Raises
    ------
    UsageError
        If the photo has no face.
    ImageError
        If it cannot be read.
    """
    from faceindex.export.gallery_layout import MARGIN, SIDE
    from faceindex.export.gallery_pictures import tile
    from faceindex.images.thumbnails import cut_squares

    if not query.faces:
        raise UsageError(f"{query.photo} has no face to show.", "Try a photo on which the face is larger.")
    boxes = np.array([face.box for face in query.faces], np.float32)
    photo = images.decode(images.read(query.photo), query.photo)
    asked = cut_squares(photo, boxes, SIDE, margin=MARGIN)
    nearest = [
        [near.face for near in face.answer.neighbours if near.face in query.nearest] for face in query.faces
    ]
    named = sorted({face for faces in nearest for face in faces})
    painter = _painter(table, naming)
    tiles, _ = painter.tiles(_positions(table, named).tolist())
    columns = 1 + max(map(len, nearest))
    squares = np.full((len(asked), columns, SIDE, SIDE, 3), 255, np.uint8)
    squares[:, 0] = asked
    for line, faces in zip(squares, nearest, strict=True):
        line[1 : 1 + len(faces)] = tiles[np.searchsorted(named, faces)]
    return tile(squares.reshape(-1, SIDE, SIDE, 3), columns, gap=4)


def _painter(table: FaceTable, naming: Naming) -> Painter:
    from faceindex.export.gallery_pictures import Painter

    return Painter(table, naming.by_id, naming.path)


def _positions(table: FaceTable, faces: Sequence[int]) -> I64:
    return np.searchsorted(table.face, np.asarray(faces, np.int64)).astype(np.int64)
