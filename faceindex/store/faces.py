"""Live faces in the catalog, and their positions on the photos as BLOBs and as arrays.

Separate from `photo_records`, which does not import numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from faceindex import models
from faceindex.errors import ModelError, UsageError
from faceindex.matching import match_pairs
from faceindex.orientation import to_stored, to_upright
from faceindex.quality import quality_of_faces
from faceindex.store.catalog import Catalog
from faceindex.store.columns import INTEGER, Column
from faceindex.store.drawn_faces import drawn_face_ids
from faceindex.store.records import Assignments, FacePlaces, FaceTable
from faceindex.store.sqlite import chunks, corrupt, placeholders
from faceindex.types import F32, I64, BoolArray, Faces

__all__ = [
    "BOX_BYTES",
    "FIRST_BYTES",
    "GEOMETRY",
    "MOST_CLUSTERS",
    "MOST_IDS",
    "MOST_SIMILARITY",
    "UNITS",
    "VALUE_COLUMNS",
    "assignments",
    "check_range",
    "face_places",
    "face_rows",
    "face_table",
    "face_values",
    "geometry_column",
    "geometry_problem",
    "insert_faces",
    "matched_marks",
    "measures_column",
    "quality_of_geometry",
    "similarities",
    "stored_boxes",
    "unpack_geometry",
]

_PHOTOS, _FACES = ("images", "away_images"), ("faces", "away_faces")  # there, and away

GEOMETRY = np.dtype(
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
FIRST_BYTES = GEOMETRY.itemsize - 8
# The part of it that clustering needs, in half the time.
_MEASURES = np.dtype([("sharpness", "<f4"), ("quality", "<f4")])

# Similarities are read as multiples of its inverse: SQLite takes three times as long to print a real number
# as an integer. A float32 of at least 1/64 is such a multiple; smaller ones change by less than 1e-9.
_SIMILARITY_UNITS = 1 << 30
UNITS = f"CAST(round(coalesce(a.similarity, 0) * {_SIMILARITY_UNITS}) AS INTEGER)"

BOX_BYTES = 16
"""Bytes of a box, 4 float32: the first ones of the column ``geometry``, and the column ``box`` of marks."""

VALUE_COLUMNS = ("geometry",)
"""Columns of the tables ``faces`` and ``transfer_faces`` that hold what the models returned."""

_VALUES = ", ".join(VALUE_COLUMNS)

_FARTHEST = 1e7  # pixels; no photo that can be decoded has a side of a tenth of it
_LAST_COLUMNS = {
    name: (offset + field.itemsize) // 4 for name, (field, offset, *_) in (GEOMETRY.fields or {}).items()
}
_MAY_BE_MISSING = {"landmarks", "quality"}  # NaN
_ANY_NUMBER = {"scores", "norms", "sharpness"}
_FARTHEST_BITS = int(np.float32(_FARTHEST).view(np.uint32))

MOST_IDS = 1 << 53
_FEW_PHOTOS = 500  # up to which their sizes are read one by one
MOST_SIMILARITY = int(1.01 * _SIMILARITY_UNITS)  # rounding leaves a little more than 1

MOST_CLUSTERS = 10**8
"""Cluster ids are below; some arrays have a value for each."""

Geometry: TypeAlias = "NDArray[np.void]"  # of the type `GEOMETRY`


def face_values(faces: Faces) -> list[tuple[object, ...]]:
    """Return the values of `VALUE_COLUMNS` for each face."""
    packed = np.empty(len(faces), GEOMETRY)
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


def unpack_geometry(blobs: Sequence[bytes]) -> Geometry:
    """Return values of the column ``geometry`` as an array, also of older formats."""
    newer = (blob if len(blob) == GEOMETRY.itemsize else blob + b"\0\0\xc0\x7f\0\0\0\0" for blob in blobs)
    return np.frombuffer(b"".join(newer), GEOMETRY)


def geometry_problem(faces: Geometry) -> tuple[str, BoolArray] | None:
    """Find what no detector returned.

    Parameters
    ----------
    faces : (n,) structure of `GEOMETRY`

    Returns
    -------
    (str, (n,) bool) or None
        What is wrong first, and with which faces.
    """
    values = faces.view("<f4").reshape(len(faces), GEOMETRY.itemsize // 4)
    # As integers without the sign, float32 sort by magnitude; infinity and NaN come last.
    large = (values.view("<u4") & 0x7FFFFFFF) > _FARTHEST_BITS
    turns = values[:, -1]
    turned = (turns == 0) | (turns == 90) | (turns == 180) | (turns == 270)
    if turned.all() and not large.any():
        return None
    wrong: dict[str, BoolArray] = {} if turned.all() else {"turns": ~turned}
    for column in np.flatnonzero(large.any(axis=0)).tolist():
        name = next(field for field, end in _LAST_COLUMNS.items() if column < end)
        found = large[:, column]
        if name in _MAY_BE_MISSING:
            found = found & ~np.isnan(values[:, column])
        elif name in _ANY_NUMBER:
            found = ~np.isfinite(values[:, column])
        if found.any():
            wrong.setdefault(name, found)
    return next(iter(wrong.items()), None)


def measures_column(table: str) -> Column:
    """Return the column of the sharpness and the quality of faces, for `read_columns`."""
    return f"substr({geometry_column(table)}, {FIRST_BYTES - 3}, {_MEASURES.itemsize})", _MEASURES


def geometry_column(table: str) -> str:
    """Return the expression of the whole column ``geometry``, also for faces of older formats."""
    return (
        f"CASE length({table}.geometry) WHEN {FIRST_BYTES}"
        f" THEN CAST({table}.geometry || x'0000c07f00000000' AS BLOB) ELSE {table}.geometry END"
    )


def face_rows(catalog: Catalog) -> tuple[I64, I64]:
    """Return (n,) ids of all live faces, ascending, and (n,) their rows."""
    faces, rows = catalog.columns("faces", [("id", INTEGER), ("vector_row", INTEGER)])
    check_range(catalog, rows, 0, catalog.rows, "vector_row of a face")
    return faces, rows


def face_places(catalog: Catalog, faces: Sequence[int]) -> FacePlaces:
    """Return where faces are, in the order of their ids; unknown ids are ignored."""
    known = sorted({face for face in faces if 0 < face < MOST_IDS})
    found = catalog.query_in("SELECT id, image_id, geometry FROM faces WHERE id IN ({}) ORDER BY id", known)
    geometry = unpack_geometry([blob for *_, blob in found])
    if found and (problem := geometry_problem(geometry)) is not None:
        what, wrong = problem
        raise corrupt(
            catalog.path, f"face {found[int(wrong.argmax())][0]} has {what} that no detector returns"
        )
    return FacePlaces(
        face=np.array([face for face, *_ in found], np.int64),
        photo=np.array([photo for _, photo, _ in found], np.int64),
        boxes=geometry["boxes"].astype(np.float32),
        turns=geometry["turns"].astype(np.int64),
    )


def stored_boxes(catalog: Catalog, faces: Sequence[int]) -> list[tuple[bytes, bytes]]:
    """Return the picture of each face, and its box in fractions of the stored picture, as marks have them.

    Raises
    ------
    UsageError
        If a face is not in the index, or the picture of its photo is not known.
    """
    found: dict[int, tuple[bytes, bytes]] = {}
    for chunk in chunks(list(faces)):
        rows = catalog.query(
            f"SELECT f.id, i.picture, i.orientation, i.width, i.height, substr(f.geometry, 1, {BOX_BYTES})"
            f" FROM faces f JOIN images i ON i.id = f.image_id WHERE f.id IN ({placeholders(chunk)})",
            chunk,
        )
        if unread := [face for face, picture, *_ in rows if picture is None]:
            raise UsageError(
                f"The picture of face {unread[0]} has not been read since the last update of faceindex.",
                "Run `faceindex index` on its folder once.",
            )
        upright = _boxes([row[5] for row in rows]) / _sizes([(row[3], row[4]) for row in rows])
        stored = to_stored(upright, np.array([row[2] or 1 for row in rows], np.int64)).astype("<f4")
        found |= {row[0]: (row[1], box.tobytes()) for row, box in zip(rows, stored, strict=True)}
    if missing := [face for face in faces if face not in found]:
        raise UsageError(f"There is no face {missing[0]} in the index.", "`faceindex faces` lists the faces.")
    return [found[face] for face in faces]


def matched_marks(
    catalog: Catalog, pictures: Sequence[bytes], *, away: bool = False
) -> list[tuple[int, int]]:
    """Match the marks on some pictures to the faces on the photos with these pictures.

    Parameters
    ----------
    catalog : Catalog
    pictures : sequence of bytes
        Each has a mark.
    away : bool
        Match them to the faces on photos that are away instead.

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
    faces = catalog.query(
        f"SELECT i.id, i.picture, i.orientation, i.width, i.height, f.id, substr(f.geometry, 1, {BOX_BYTES})"
        f" FROM {_PHOTOS[away]} i JOIN {_FACES[away]} f ON f.image_id = i.id"
        f" WHERE i.picture IN ({placeholders(pictures)}) ORDER BY f.id",
        pictures,
    )
    on_photo: dict[int, list[int]] = {}
    for row, (photo, *_) in enumerate(faces):
        on_photo.setdefault(photo, []).append(row)
    # All pairs of a mark and a face on a photo of its picture.
    numbers: list[int] = []
    pairs: list[tuple[int, bytes, int]] = []
    for number, rows in enumerate(on_photo.values()):
        for i, (mark, box) in enumerate(marks[faces[rows[0]][1]]):
            pairs += [(mark, box, row) for row in rows]
            numbers += [number << 32 | i] * len(rows)
    if not pairs:
        return []
    which = [row for _, _, row in pairs]
    orientation = np.array([faces[row][2] or 1 for row in which], np.int64)
    sizes = np.array([(faces[row][3], faces[row][4]) * 2 for row in which], np.float32)
    here = to_upright(_boxes([box for _, box, _ in pairs]), orientation) * sizes
    own = _boxes([faces[row][6] for row in which])
    matched = match_pairs(here, own, np.array(numbers, np.int64), np.array(which, np.int64))
    return [(faces[which[pair]][5], pairs[pair][0]) for pair in matched.tolist()]


def _boxes(boxes: Sequence[bytes]) -> F32:
    return np.frombuffer(b"".join(boxes), "<f4").reshape(-1, 4).astype(np.float32)


def _sizes(sizes: Sequence[tuple[int, int]]) -> F32:
    """Return width, height, width, height of photos, at least 1, (n, 4)."""
    found: F32 = np.array([(*size, *size) for size in sizes], np.float32).reshape(-1, 4)
    np.maximum(found, np.float32(1), out=found)
    return found


def face_table(catalog: Catalog, faces: Sequence[int] | None = None) -> FaceTable:
    """Return all live faces, or some by their ids; unknown ids are ignored."""
    face, photo, row, cluster, units, geometry = _read(
        catalog, ["image_id", "vector_row"], (geometry_column("f"), GEOMETRY), faces
    )
    if (problem := geometry_problem(geometry)) is not None:
        what, wrong = problem
        raise corrupt(catalog.path, f"face {face[wrong.argmax()]} has {what} that no detector returns")
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
        similarity=similarities(cluster, units),
        quality=geometry["quality"].astype(np.float32),
        turns=geometry["turns"].astype(np.int64),
        by_hand=np.isin(face, np.array(drawn_face_ids(catalog), np.int64)),
    )
    _add_quality(catalog, table)
    return table


def _add_quality(catalog: Catalog, table: FaceTable) -> None:
    """Compute the quality of the faces that were stored without, in place."""
    without = np.flatnonzero(np.isnan(table.quality))
    if not len(without):
        return
    source = "images"
    if len(wanted := np.unique(table.photo[without])) < _FEW_PHOTOS:
        source = f"(SELECT * FROM images WHERE id IN ({', '.join(map(str, wanted.tolist()))}))"
    photos, *sizes = catalog.columns(source, [("id", INTEGER), ("width", INTEGER), ("height", INTEGER)])
    at = np.searchsorted(photos, table.photo[without])
    if not len(photos) or (photos[np.minimum(at, len(photos) - 1)] != table.photo[without]).any():
        raise corrupt(catalog.path, "a face is on a photo that does not exist")
    pins = catalog.pins()
    table.quality[without] = quality_of_faces(
        table.boxes[without],
        table.landmarks[without],
        table.scores[without],
        table.norms[without],
        table.sharpness[without],
        np.stack(sizes, axis=1)[at],
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
        similarity=similarities(cluster, units),
        sharpness=measures["sharpness"].astype(np.float32),
        quality=quality,
    )


def quality_of_geometry(catalog: Catalog, faces: Geometry, sizes: I64) -> F32:
    """Compute the quality of faces on photos of some sizes."""
    pins = catalog.pins()
    return quality_of_faces(
        faces["boxes"].astype(np.float32),
        faces["landmarks"].astype(np.float32),
        faces["scores"].astype(np.float32),
        faces["norms"].astype(np.float32),
        faces["sharpness"].astype(np.float32),
        sizes,
        detector=_spec("detector", pins.detector),
        embedder=_spec("embedder", pins.embedder),
    )


def _read(
    catalog: Catalog, integers: list[str], structure: Column, faces: Sequence[int] | None = None
) -> list[NDArray[Any]]:
    """Return ids, other integers, clusters, values of `UNITS`, and a structure of all live faces."""
    which = ""
    if faces is not None:
        which = f"(SELECT * FROM faces WHERE id IN ({', '.join(str(int(face)) for face in faces)}))"
    source = f"{which or 'faces'} f LEFT JOIN assignments a ON a.face_id = f.id"
    columns = catalog.columns(
        source,
        [
            ("f.id", INTEGER),
            *((f"f.{name}", INTEGER) for name in integers),
            ("coalesce(a.cluster_id, -1)", INTEGER),
            (UNITS, INTEGER),
            structure,
        ],
    )
    *others, cluster, similarity, _ = columns
    check_range(catalog, others[0], 1, MOST_IDS, "id of a face")
    check_range(catalog, cluster, -1, MOST_CLUSTERS, "cluster_id of a face")
    check_range(catalog, similarity, -MOST_SIMILARITY, MOST_SIMILARITY, "similarity of a face")
    for name, values in zip(integers, others[1:], strict=True):
        end = catalog.rows if name == "vector_row" else MOST_IDS
        check_range(catalog, values, 0, end, f"{name} of a face")
    return columns


def check_range(catalog: Catalog, values: I64, first: int, end: int, name: str) -> None:
    """Raise `IndexCorrupt` unless all values are in ``first .. end - 1``."""
    if len(values) and not first <= int(values.min()) <= int(values.max()) < end:
        wrong = values[(values < first) | (values >= end)][0]
        raise corrupt(catalog.path, f"the {name} is {wrong}, which is not in {first}..{end - 1}")


def similarities(cluster: I64, units: I64) -> F32:
    """Return similarities, (n,) float32, from values of `UNITS`; NaN for faces in no cluster."""
    return np.where(cluster >= 0, units / _SIMILARITY_UNITS, np.nan).astype(np.float32)
