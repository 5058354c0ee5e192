"""How faces lie in the catalog: their places on the photo as one BLOB, and all of them as arrays.

Apart from the catalog because it needs numpy, which takes longer to load than a catalog to open.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceindex.store.records import Assignments, FaceTable
from faceindex.types import F32, I64, Faces

__all__ = [
    "GEOMETRY",
    "SHARPNESS",
    "SHARPNESS_BYTES",
    "SIMILARITY_UNITS",
    "assignments",
    "face_table",
    "pack",
]

GEOMETRY = np.dtype(
    [
        ("boxes", "<f4", 4),
        ("landmarks", "<f4", (5, 2)),
        ("scores", "<f4"),
        ("norms", "<f4"),
        ("sharpness", "<f4"),
    ]
)
"""What the column ``geometry`` holds, see the migrations."""

SHARPNESS = np.dtype([("sharpness", "<f4")])
SHARPNESS_BYTES = f"substr(f.geometry, -{SHARPNESS.itemsize})"
"""The end of it, which is all that clustering needs, in half the time."""

SIMILARITY_UNITS = 1 << 30
"""Whole numbers of it are read for similarities: SQLite takes three times as long to print a real. Every
float32 of at least 1/64 is one, and smaller ones come back to within 1e-9."""


def pack(faces: Faces) -> list[bytes]:
    """The ``geometry`` of each face: 17 little-endian float32."""
    packed = np.empty(len(faces), GEOMETRY)
    packed["boxes"], packed["landmarks"] = faces.boxes, faces.landmarks
    packed["scores"], packed["norms"] = faces.scores, faces.norms
    packed["sharpness"] = faces.sharpness
    return [face.tobytes() for face in packed]


def assignments(
    face: I64, row: I64, cluster: I64, similarity: I64, sharpness: NDArray[np.void]
) -> Assignments:
    """(n,) columns as a table; `cluster` is -1 for none, the others as `face_table` takes them."""
    return Assignments(
        face=face,
        row=row,
        cluster=cluster,
        similarity=_similarity(cluster, similarity),
        sharpness=sharpness["sharpness"].astype(np.float32),
    )


def face_table(
    face: I64, photo: I64, row: I64, cluster: I64, similarity: I64, geometry: NDArray[np.void]
) -> FaceTable:
    """(n,) columns as a table; `cluster` is -1 for none, `similarity` in units of 1 / `SIMILARITY_UNITS`."""
    # Into the native order for arithmetic; on little-endian machines that is a copy all the same,
    # so that the structures as they were read are let go.
    return FaceTable(
        face=face,
        photo=photo,
        row=row,
        boxes=geometry["boxes"].astype(np.float32),
        landmarks=geometry["landmarks"].astype(np.float32),
        scores=geometry["scores"].astype(np.float32),
        norms=geometry["norms"].astype(np.float32),
        sharpness=geometry["sharpness"].astype(np.float32),
        cluster=cluster,
        similarity=_similarity(cluster, similarity),
    )


def _similarity(cluster: I64, units: I64) -> F32:
    return np.where(cluster >= 0, units / SIMILARITY_UNITS, np.nan).astype(np.float32)
