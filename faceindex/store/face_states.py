"""All faces, those of some clusters, and those on a photo, for code that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from faceindex.store.columns import CHUNK, INTEGER, Column
from faceindex.store.drawn_faces import drawn_faces_among
from faceindex.store.faces import (
    FIRST_BYTES,
    GEOMETRY,
    MOST_CLUSTERS,
    MOST_IDS,
    MOST_SIMILARITY,
    UNITS,
    check_range,
    geometry_column,
    geometry_problem,
    quality_of_geometry,
    similarities,
    unpack_geometry,
)
from faceindex.store.sqlite import chunks, corrupt

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.types import F32, I64

__all__ = ["FaceStates", "FacesOfPhoto", "face_states", "faces_of_photo", "states_of_clusters"]

_QUALITY = np.dtype([("quality", "<f4")])


class FaceStates(NamedTuple):
    """n faces with their clusters, for code that shows all faces.

    Attributes
    ----------
    face, photo, cluster : (n,) int64
        As in `records.Assignments`, ascending by `face`.
    similarity, quality : (n,) float32
        The same.
    """

    face: I64
    photo: I64
    cluster: I64
    similarity: F32
    quality: F32


def face_states(catalog: Catalog) -> FaceStates:
    """Return all live faces with their clusters and qualities."""
    face, photo, quality = catalog.columns(
        "faces f", [("f.id", INTEGER), ("f.image_id", INTEGER), _quality_column("f")]
    )
    check_range(catalog, face, 1, MOST_IDS, "id of a face")
    check_range(catalog, photo, 0, MOST_IDS, "image_id of a face")
    # Two queries take two thirds of the time of a join.
    assigned, of_cluster, similarity = _assigned(catalog, "assignments")
    at = np.minimum(np.searchsorted(face, assigned), max(len(face) - 1, 0))
    live = np.flatnonzero(face[at] == assigned) if len(face) else np.empty(0, np.int64)
    states = FaceStates(
        face,
        photo,
        np.full(len(face), -1),
        np.full(len(face), np.nan, np.float32),
        quality["quality"].astype(np.float32),
    )
    states.cluster[at[live]], states.similarity[at[live]] = of_cluster[live], similarity[live]
    without = np.flatnonzero(np.isnan(states.quality))
    for start in range(0, len(without), CHUNK):  # all at once would take gigabytes
        chosen = without[start : start + CHUNK]
        first, last = int(face[chosen[0]]), int(face[chosen[-1]])
        ids, geometry, *sizes = catalog.columns(
            f"(SELECT f.id AS face, f.geometry, i.width, i.height FROM faces f JOIN images i"
            f" ON i.id = f.image_id WHERE f.id BETWEEN {first} AND {last}) g",
            [("face", INTEGER), (geometry_column("g"), GEOMETRY), ("width", INTEGER), ("height", INTEGER)],
        )
        at = np.searchsorted(ids, face[chosen])
        if not len(ids) or (ids[np.minimum(at, len(ids) - 1)] != face[chosen]).any():
            raise corrupt(catalog.path, "a face is on a photo that does not exist")
        states.quality[chosen] = quality_of_geometry(catalog, geometry[at], np.stack(sizes, axis=1)[at])
    return states


def states_of_clusters(catalog: Catalog, clusters: Sequence[int]) -> tuple[I64, I64, F32]:
    """Return the faces of some clusters, (n,) int64 by cluster, their clusters, and their similarities."""
    parts = [
        _assigned(catalog, f"(SELECT * FROM assignments WHERE cluster_id IN ({', '.join(map(str, chunk))}))")
        for chunk in [*chunks([int(cluster) for cluster in clusters])] or [[]]
    ]
    faces, of_cluster, similarity = (np.concatenate(part) for part in zip(*parts, strict=True))
    return faces, of_cluster, similarity


def _assigned(catalog: Catalog, source: str) -> tuple[I64, I64, F32]:
    """Return faces, their clusters, and their similarities, from the table of assignments or a part of it."""
    face, cluster, units = catalog.columns(
        f"{source} a", [("a.face_id", INTEGER), ("a.cluster_id", INTEGER), (UNITS, INTEGER)]
    )
    check_range(catalog, cluster, -1, MOST_CLUSTERS, "cluster_id of a face")
    check_range(catalog, units, -MOST_SIMILARITY, MOST_SIMILARITY, "similarity of a face")
    return face, cluster, similarities(cluster, units)


class FacesOfPhoto(NamedTuple):
    """The n faces on a photo.

    Attributes
    ----------
    face : (n,) int64
        Ids, ascending.
    boxes : (n, 4) float32
    quality : (n,) float32
        Both as in `records.FaceTable`.
    by_hand : set of int
        Those that the user drew.
    """

    face: I64
    boxes: F32
    quality: F32
    by_hand: set[int]


def faces_of_photo(catalog: Catalog, photo: int, width: int, height: int) -> FacesOfPhoto:
    """Return the faces on a photo, which has this size in pixels."""
    rows = catalog.query("SELECT id, geometry FROM faces WHERE image_id = ? ORDER BY id", (photo,))
    if wrong := [face for face, blob in rows if len(blob) not in (FIRST_BYTES, GEOMETRY.itemsize)]:
        raise corrupt(catalog.path, f"the geometry of face {wrong[0]} has another size")
    geometry = unpack_geometry([blob for _, blob in rows])
    if (problem := geometry_problem(geometry)) is not None:
        what, wrong_ones = problem
        raise corrupt(
            catalog.path, f"face {rows[wrong_ones.argmax()][0]} has {what} that no detector returns"
        )
    quality = geometry["quality"].astype(np.float32)
    if np.isnan(quality).any():
        computed = quality_of_geometry(catalog, geometry, np.array([width, height]))
        quality = np.where(np.isnan(quality), computed, quality)
    faces = [face for face, _ in rows]
    return FacesOfPhoto(
        np.array(faces, np.int64),
        geometry["boxes"].astype(np.float32),
        quality,
        drawn_faces_among(catalog, faces),
    )


def _quality_column(table: str) -> Column:
    return f"substr({geometry_column(table)}, {FIRST_BYTES + 1}, 4)", _QUALITY
