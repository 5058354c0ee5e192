"""Which face goes where in the pictures of a gallery, and what those pictures are called.

Thumbnails are packed into *sprites*, pictures of up to 128 faces. A page of a person then takes one or
two files, and 50,000 faces fewer than a thousand. A sprite is called by a hash of what is on it. So a
gallery that is made again finds most of its sprites there already, provided that a face that comes or
goes does not push all others into the next sprite: where a sprite ends is decided by the ids of the
faces themselves, as rsync-like tools cut files (A. Muthitacharoen, B. Chen and D. Mazières, "A
low-bandwidth network file system", SOSP 2001).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faceindex.store import FaceTable, PhotoRecord
from faceindex.types import I64

__all__ = [
    "COLUMNS",
    "MARGIN",
    "QUALITY",
    "SIDE",
    "Layout",
    "Sprite",
    "clusters_by_size",
    "incomplete_name",
    "lay_out",
    "most_alike",
]

SIDE = 112
"""Side of a thumbnail in pixels: sharp at the 100 to 140 CSS pixels of a contact sheet, 2.5 kB as JPEG."""

COLUMNS = 8
QUALITY = 76
MARGIN = 0.3
"""What a thumbnail shows around the box on each side, as a share of its longer side."""

_LEAST, _MOST = 32, 128  # faces on a sprite
_CUT = 64  # one face in so many ends a sprite
_ALONE = 48  # faces of a cluster that shares no sprite with others
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Sprite:
    """Faces, by their position in the table, that are drawn into one picture, and its name.

    Attributes
    ----------
    faces : (n,) int64
        Positions in the face table; slot ``i`` of the sprite shows ``faces[i]``.
    name : str
        File name; a hash of photos, boxes and of how they are drawn.
    """

    faces: I64
    name: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the faces of a gallery are.

    Attributes
    ----------
    order : (n,) int64
        Positions in the face table, in the order of the sprites.
    clusters : (k,) int64
        Cluster ids, largest first.
    covers : (k,) int64
        For each of `clusters` the position of the face most alike to it.
    sprites, cover_sprites : list of Sprite
    """

    order: I64
    clusters: I64
    covers: I64
    sprites: list[Sprite]
    cover_sprites: list[Sprite]


def lay_out(table: FaceTable, images: Mapping[int, PhotoRecord]) -> Layout:
    """Assign faces to sprites.

    Parameters
    ----------
    table : FaceTable
    images : mapping of int to PhotoRecord
        The photos by id.
    """
    clusters, sizes = clusters_by_size(table.cluster)
    large = set(clusters[sizes >= _ALONE].tolist())
    order = np.lexsort((table.face, table.cluster))
    of_cluster = table.cluster[order]
    alone = np.array([cluster in large for cluster in of_cluster.tolist()], bool)
    runs = [order[of_cluster == cluster] for cluster in sorted(large)]
    runs.append(order[(of_cluster >= 0) & ~alone])
    runs.append(order[of_cluster < 0])
    covers = most_alike(table, clusters)
    namer = _Namer(table, images)
    chunks = [chunk for run in runs for chunk in _cut(run, table.face)]
    return Layout(
        order=np.concatenate(runs),
        clusters=clusters,
        covers=covers,
        sprites=[Sprite(chunk, namer.name(chunk)) for chunk in chunks],
        cover_sprites=[Sprite(chunk, namer.name(chunk)) for chunk in _cut(covers, table.face)],
    )


def clusters_by_size(labels: I64) -> tuple[I64, I64]:
    """Ids and sizes of clusters, largest first, then by id; -1 is none."""
    ids, sizes = np.unique(labels[labels >= 0], return_counts=True)
    order = np.lexsort((ids, -sizes))
    return ids[order].astype(np.int64), sizes[order].astype(np.int64)


def incomplete_name(name: str, missing: Iterable[int]) -> str:
    """The name of a sprite some of whose faces could not be drawn: not the one that it should have."""
    digest = hashlib.sha256(f"{name} without {sorted(missing)}".encode()).hexdigest()
    return f"s-{digest[:_DIGITS]}.jpg"


def most_alike(table: FaceTable, clusters: I64) -> I64:
    """For each cluster the position of the face most alike to it; of equals, the oldest."""
    similarity = np.nan_to_num(table.similarity, nan=-2.0)
    order = np.lexsort((table.face, -similarity, table.cluster))
    first = np.searchsorted(table.cluster[order], clusters)
    return order[first].astype(np.int64)


def _cut(run: I64, ids: I64) -> list[I64]:
    """Cut a run of faces where their ids say so (multiplicative hashing: Knuth, TAOCP 3, 6.4)."""
    hashed = (ids[run].astype(np.uint64) * np.uint64(2654435761) >> np.uint64(16)) % np.uint64(_CUT)
    ends = []
    begin = 0
    for position, value in enumerate(hashed.tolist(), 1):
        length = position - begin
        if length == _MOST or (length >= _LEAST and value == 0):
            ends.append(position)
            begin = position
    return [chunk for chunk in np.split(run, ends) if len(chunk)]


class _Namer:
    def __init__(self, table: FaceTable, images: Mapping[int, PhotoRecord]) -> None:
        self._table = table
        self._images = images
        self._style = f"{SIDE} {COLUMNS} {QUALITY} {MARGIN}".encode()

    def name(self, faces: Sequence[int] | I64) -> str:
        digest = hashlib.sha256(self._style)
        for face in faces:
            record = self._images[int(self._table.photo[face])]
            digest.update(record.content_hash or f"{record.id} {record.mtime_ns}".encode())
            digest.update(self._table.boxes[face].astype("<f4").tobytes())
        return f"s-{digest.hexdigest()[:_DIGITS]}.jpg"
