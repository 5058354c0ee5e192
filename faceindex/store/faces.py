"""Live faces in the catalog, and their positions on the photos as BLOBs and as arrays.

Separate from `photo_records`, which does not import numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from faceindex import models
from faceindex.errors import ModelError, UsageError
from faceindex.matching import match_boxes
from faceindex.orientation import to_stored, to_upright
from faceindex.quality import quality_of_faces
from faceindex.store.catalog import Catalog
from faceindex.store.columns import INTEGER, Column, read_columns
from faceindex.store.records import Assignments, FaceTable
from faceindex.store.sqlite import chunks, corrupt, placeholders, translated_errors
from faceindex.types import F32, I64, Faces

__all__ = [
    "BOX_BYTES",
    "VALUE_COLUMNS",
    "assignments",
    "face_rows",
    "face_table",
    "face_values",
    "insert_faces",
    "matched_marks",
    "measures_column",
    "stored_boxes",
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


BOX_BYTES = 16
"""Bytes of a box, 4 float32: the first ones of the column ``geometry``, and the column ``box`` of marks."""

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


def stored_boxes(catalog: Catalog, faces: Sequence[int]) -> list[tuple[bytes, bytes]]:
    """Return the picture of each face, and its box in fractions of the stored picture, as marks have them.

    Raises
    ------
    UsageError
        If a face is not in the index, or the picture of its photo is not known.
    """
    found: dict[int, tuple[bytes, bytes]] = {}
    for chunk in chunks(list(faces)):
        for face, picture, orientation, width, height, box in catalog.query(
            f"SELECT f.id, i.picture, i.orientation, i.width, i.height, substr(f.geometry, 1, {BOX_BYTES})"
            f" FROM faces f JOIN images i ON i.id = f.image_id WHERE f.id IN ({placeholders(chunk)})",
            chunk,
        ):
            if picture is None:
                raise UsageError(
                    f"The picture of face {face} has not been read since the last update of faceindex.",
                    "Run `faceindex index` on its folder once.",
                )
            size = np.array([width, height, width, height], np.float32)
            upright: F32 = np.frombuffer(box, "<f4").reshape(1, 4) / np.maximum(size, np.float32(1))
            stored = to_stored(upright, np.array([orientation or 1]))
            found[face] = picture, stored.astype("<f4").tobytes()
    if missing := [face for face in faces if face not in found]:
        raise UsageError(f"There is no face {missing[0]} in the index.", "`faceindex faces` lists the faces.")
    return [found[face] for face in faces]


def matched_marks(catalog: Catalog, pictures: Sequence[bytes]) -> list[tuple[int, int]]:
    """Match the marks on some pictures to the faces on the photos with these pictures.

    Returns
    -------
    list of (int, int)
        Faces with their marks.
    """
    marks: dict[bytes, list[tuple[int, bytes]]] = {}
    for mark, picture, box in catalog.query(
        f"SELECT id, picture, box FROM marks WHERE picture IN ({placeholders(pictures)}) ORDER BY id",
        pictures,
    ):
        if len(box) != BOX_BYTES:
            raise corrupt(catalog.path, f"the box of a mark has {len(box)} bytes")
        marks.setdefault(picture, []).append((mark, box))
    photos: dict[int, tuple[bytes, int, int, int, list[int], list[bytes]]] = {}
    for photo, picture, orientation, width, height, face, box in catalog.query(
        f"SELECT i.id, i.picture, i.orientation, i.width, i.height, f.id, substr(f.geometry, 1, {BOX_BYTES})"
        f" FROM images i JOIN faces f ON f.image_id = i.id WHERE i.picture IN ({placeholders(pictures)})"
        " ORDER BY f.id",
        pictures,
    ):
        *_, faces, boxes = photos.setdefault(photo, (picture, orientation or 1, width, height, [], []))
        faces.append(face)
        boxes.append(box)
    found = []
    for picture, orientation, width, height, faces, boxes in photos.values():
        places = np.frombuffer(b"".join(box for _, box in marks[picture]), "<f4").reshape(-1, 4)
        here = to_upright(places, np.full(len(places), orientation))
        size = np.array([width, height, width, height], np.float32)
        own = np.frombuffer(b"".join(boxes), "<f4").reshape(-1, 4)
        for face, i in zip(faces, match_boxes(here * size, own).tolist(), strict=True):
            if i >= 0:
                found.append((face, marks[picture][i][0]))
    return found


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
