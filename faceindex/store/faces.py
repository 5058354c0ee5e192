"""Live faces in the catalog, and their positions on the photos as BLOBs and as arrays.

Separate from `photo_records`, which does not import numpy.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from faceindex import models
from faceindex.errors import ModelError
from faceindex.quality import quality_of_faces
from faceindex.store.catalog import Catalog
from faceindex.store.columns import INTEGER, Column, read_columns
from faceindex.store.records import Assignments, FaceTable
from faceindex.store.sqlite import corrupt, placeholders, translated_errors
from faceindex.types import F32, I64, Faces

__all__ = [
    "VALUE_COLUMNS",
    "assignments",
    "face_rows",
    "face_table",
    "face_values",
    "insert_faces",
    "measures_column",
]

_GEOMETRY = np.dtype(
    [
        ("boxes", "<f4", 4),
        ("landmarks", "<f4", (5, 2)),
        ("scores", "<f4"),
        ("norms", "<f4"),
        ("sharpness", "<f4"),
        ("quality", "<f4"),
        ("turns", "<f4"),
    ]
)  # of the column ``geometry``, see the migrations

# Before format 3 there was neither quality nor turn: NaN, to be computed, and 0.
_FIRST_BYTES = _GEOMETRY.itemsize - 8
# The part of it that clustering needs, in half the time.
_MEASURES = np.dtype([("sharpness", "<f4"), ("quality", "<f4")])

# Similarities are read as multiples of its inverse: SQLite takes three times as long to print a real number
# as an integer. A float32 of at least 1/64 is such a multiple; smaller ones change by less than 1e-9.
_SIMILARITY_UNITS = 1 << 30


VALUE_COLUMNS = ("geometry",)
"""Columns of the tables ``faces`` and ``transfer_faces`` that hold what the models returned."""

_VALUES = ", ".join(VALUE_COLUMNS)


def face_values(faces: Faces) -> list[tuple[object, ...]]:
    """Return the values of `VALUE_COLUMNS` for each face."""
    packed = np.empty(len(faces), _GEOMETRY)
    packed["boxes"], packed["landmarks"] = faces.boxes, faces.landmarks
    packed["scores"], packed["norms"] = faces.scores, faces.norms
    packed["sharpness"], packed["quality"], packed["turns"] = faces.sharpness, faces.quality, faces.turns
    return [(face.tobytes(),) for face in packed]


def insert_faces(catalog: Catalog, photo_id: int, faces: Faces) -> None:
    """Insert the faces of a photo; their vectors are the next rows. Inside a transaction."""
    row = catalog.rows
    catalog.executemany(
        f"INSERT INTO faces (image_id, vector_row, {_VALUES}) VALUES (?, ?, {placeholders(VALUE_COLUMNS)})",
        [(photo_id, row + i, *values) for i, values in enumerate(face_values(faces))],
    )
    catalog.set("rows", row + len(faces))


def measures_column(table: str) -> Column:
    """Return the column of the sharpness and the quality of faces, for `read_columns`."""
    return f"substr({_geometry(table)}, {_FIRST_BYTES - 3}, {_MEASURES.itemsize})", _MEASURES


def _geometry(table: str) -> str:
    """Return the expression of the whole column ``geometry``, also for faces of older formats."""
    return (
        f"CASE length({table}.geometry) WHEN {_FIRST_BYTES}"
        f" THEN CAST({table}.geometry || x'0000c07f00000000' AS BLOB) ELSE {table}.geometry END"
    )


def face_rows(catalog: Catalog) -> tuple[I64, I64]:
    """Return (n,) ids of all live faces, ascending, and (n,) their rows."""
    with translated_errors(catalog.path):
        faces, rows = read_columns(catalog.execute, "faces", [("id", INTEGER), ("vector_row", INTEGER)])
    return faces, rows


def face_table(catalog: Catalog) -> FaceTable:
    """Return all live faces."""
    face, photo, row, cluster, units, geometry = _read(
        catalog, ["image_id", "vector_row"], (_geometry("f"), _GEOMETRY)
    )
    # astype converts to the native byte order. On little-endian machines it copies too, so that the array
    # of all structures can be freed.
    table = FaceTable(
        face=face,
        photo=photo,
        row=row,
        boxes=geometry["boxes"].astype(np.float32),
        landmarks=geometry["landmarks"].astype(np.float32),
        scores=geometry["scores"].astype(np.float32),
        norms=geometry["norms"].astype(np.float32),
        sharpness=geometry["sharpness"].astype(np.float32),
        cluster=cluster,
        similarity=_similarity(cluster, units),
        quality=geometry["quality"].astype(np.float32),
        turns=geometry["turns"].astype(np.int64),
    )
    _add_quality(catalog, table)
    return table


def _add_quality(catalog: Catalog, table: FaceTable) -> None:
    """Compute the quality of the faces that were stored without, in place."""
    without = np.flatnonzero(np.isnan(table.quality))
    if not len(without):
        return
    with translated_errors(catalog.path):
        photos, *sizes = read_columns(
            catalog.execute, "images", [("id", INTEGER), ("width", INTEGER), ("height", INTEGER)]
        )
    pins = catalog.pins()
    table.quality[without] = quality_of_faces(
        table.boxes[without],
        table.landmarks[without],
        table.scores[without],
        table.norms[without],
        table.sharpness[without],
        np.stack(sizes, axis=1)[np.searchsorted(photos, table.photo[without])],
        detector=_spec("detector", pins.detector),
        embedder=_spec("embedder", pins.embedder),
    )


def _spec(kind: Literal["detector", "embedder"], name: str) -> Any:
    """Return the spec of a pinned model; None if it is not installed or cannot be used."""
    try:
        return models.get(kind, name)
    except ModelError:
        return None


def assignments(catalog: Catalog) -> Assignments:
    """Return all live faces without their positions."""
    face, photo, row, cluster, units, measures = _read(
        catalog, ["image_id", "vector_row"], measures_column("f")
    )
    quality = measures["quality"].astype(np.float32)
    if np.isnan(quality).any():
        return face_table(catalog)
    return Assignments(
        face=face,
        photo=photo,
        row=row,
        cluster=cluster,
        similarity=_similarity(cluster, units),
        sharpness=measures["sharpness"].astype(np.float32),
        quality=quality,
    )


def _read(catalog: Catalog, integers: list[str], structure: Column) -> list[NDArray[Any]]:
    """Return ids, other integers, clusters, similarities in units, and a structure of all live faces."""
    with translated_errors(catalog.path):
        try:
            return read_columns(
                catalog.execute,
                "faces f LEFT JOIN assignments a ON a.face_id = f.id",
                [
                    ("f.id", INTEGER),
                    *((f"f.{name}", INTEGER) for name in integers),
                    ("coalesce(a.cluster_id, -1)", INTEGER),
                    (f"CAST(round(coalesce(a.similarity, 0) * {_SIMILARITY_UNITS}) AS INTEGER)", INTEGER),
                    structure,
                ],
            )
        except ValueError as error:
            raise corrupt(catalog.path, f"the positions of its faces take {error}") from error


def _similarity(cluster: I64, units: I64) -> F32:
    return np.where(cluster >= 0, units / _SIMILARITY_UNITS, np.nan).astype(np.float32)
