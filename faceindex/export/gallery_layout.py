"""Layout of a gallery: the assignment of faces to sprites, and the names of the sprites.

A *sprite* is a picture of up to 128 thumbnails. The view of a person then loads one or two files, and
50,000 faces take fewer than a thousand files. The name of a sprite is a hash of its content, so an updated
gallery can keep most of its sprites. A new or removed face must not shift all later faces to other
sprites: the ids of the faces decide where a sprite ends (content-defined chunking: A. Muthitacharoen,
B. Chen and D. Mazières, "A low-bandwidth network file system", SOSP 2001).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from faceindex.clustering.overview import clusters_by_size, cover_faces
from faceindex.export.thumbnails import MARGIN, SIDE
from faceindex.page.bundle import quality_bytes, quantised
from faceindex.store import FaceTable, PhotoRecord
from faceindex.store.decisions import Label
from faceindex.types import I64

__all__ = [
    "COLUMNS",
    "MAX_FACES",
    "QUALITY",
    "Layout",
    "Sprite",
    "incomplete_name",
    "lay_out",
    "shown_table",
]

COLUMNS = 8
"""Thumbnails in a row of a sprite."""

QUALITY = 76
"""JPEG quality of a sprite."""

MAX_FACES = 128
"""Most faces on a sprite."""

_MIN_FACES = 32
_CUT_EVERY = 64  # one face in so many ends a sprite, on average
_OWN_SPRITES = 48  # clusters with at least so many faces have sprites of their own
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Sprite:
    """The faces of one picture, and its file name.

    Attributes
    ----------
    faces : (n,) int64
        Positions in the face table; slot ``i`` of the sprite shows ``faces[i]``.
    name : str
        A hash of the photos, the boxes and the drawing parameters.
    """

    faces: I64
    name: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The sprites of a gallery.

    Attributes
    ----------
    order : (n,) int64
        Positions in the face table, in the order of the sprites.
    clusters : (k,) int64
        Groups, largest first.
    sprites : list of Sprite
        All faces, in `order`.
    cover_sprites : list of Sprite
        The cover of each of `clusters` (`clustering.overview.cover_faces`), in that order.
    """

    order: I64
    clusters: I64
    sprites: list[Sprite]
    cover_sprites: list[Sprite]


def shown_table(table: FaceTable, person: I64, label: I64) -> FaceTable:
    """Return the faces in the groups of the page, with the numbers that the page has.

    Parameters
    ----------
    table : FaceTable
    person, label : (n,) int64
        As in `faceindex.export.gallery_source.GallerySource`.

    Returns
    -------
    FaceTable
        Whose clusters are the groups: the lowest cluster of each person, a number above all clusters for one
        who has none, and the other clusters; -1 for faces in none, of strangers, and for what is no face.
        The page finds the same covers, as it has the same digits.
    """
    groups = table.cluster.copy()
    above = int(groups.max(initial=-1)) + 1
    named = np.flatnonzero(person >= 0)
    people, who = np.unique(person[named], return_inverse=True)
    lowest = above + people
    clustered = groups[named] >= 0
    np.minimum.at(lowest, who[clustered], groups[named][clustered])
    groups[named] = lowest[who]
    groups[(label == Label.STRANGER) | (label == Label.NOT_A_FACE)] = -1
    return replace(
        table,
        cluster=groups,
        similarity=quantised(table.similarity).astype(np.float32),
        quality=quality_bytes(table.quality).astype(np.float32),
    )


def lay_out(table: FaceTable, photos: Mapping[int, PhotoRecord]) -> Layout:
    """Assign faces to sprites.

    Parameters
    ----------
    table : FaceTable
    photos : mapping of int to PhotoRecord
        By id.
    """
    clusters, sizes = clusters_by_size(table.cluster)
    large = set(clusters[sizes >= _OWN_SPRITES].tolist())
    order = np.lexsort((table.face, table.cluster))
    cluster_of = table.cluster[order]
    in_large = np.array([cluster in large for cluster in cluster_of.tolist()], bool)
    runs = [order[cluster_of == cluster] for cluster in sorted(large)]
    runs.append(order[(cluster_of >= 0) & ~in_large])
    runs.append(order[cluster_of < 0])
    covers = cover_faces(table, clusters)

    def sprites(run: I64) -> list[Sprite]:
        return [Sprite(faces, _sprite_name(table, photos, faces)) for faces in _cut(run, table.face)]

    return Layout(
        order=np.concatenate(runs),
        clusters=clusters,
        sprites=[sprite for run in runs for sprite in sprites(run)],
        cover_sprites=sprites(covers),
    )


def incomplete_name(name: str, missing: Iterable[int]) -> str:
    """Make the name of a sprite on which some faces could not be drawn.

    It differs from `name`, so that the next run draws the sprite again.
    """
    digest = hashlib.sha256(f"{name} without {sorted(missing)}".encode()).hexdigest()
    return f"s-{digest[:_DIGITS]}.jpg"


def _cut(run: I64, ids: I64) -> list[I64]:
    """Cut a run of faces after faces whose hashed id is 0 (multiplicative hashing: Knuth, TAOCP 3, 6.4)."""
    hashed = (ids[run].astype(np.uint64) * np.uint64(2654435761) >> np.uint64(16)) % np.uint64(_CUT_EVERY)
    ends = []
    begin = 0
    for position, value in enumerate(hashed.tolist(), 1):
        length = position - begin
        if length == MAX_FACES or (length >= _MIN_FACES and value == 0):
            ends.append(position)
            begin = position
    return [chunk for chunk in np.split(run, ends) if len(chunk)]


def _sprite_name(table: FaceTable, photos: Mapping[int, PhotoRecord], faces: I64) -> str:
    digest = hashlib.sha256(f"{SIDE} {COLUMNS} {QUALITY} {MARGIN}".encode())
    for face in faces:
        record = photos[int(table.photo[face])]
        digest.update(record.content_hash or f"{record.id} {record.mtime_ns}".encode())
        digest.update(table.boxes[face].astype("<f4").tobytes())
        if turn := int(table.turns[face]):
            digest.update(f" turn {turn}".encode())
    return f"s-{digest.hexdigest()[:_DIGITS]}.jpg"
