"""The index directory: catalog, vectors, HNSW index, lock. Opening it imports neither numpy nor hnswlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceindex.store.records import (
    Assignments,
    Clustering,
    Counts,
    FacePlaces,
    FaceTable,
    HnswParams,
    NewMetadata,
    NewPhoto,
    PhotoRecord,
    Pins,
    PreviousClustering,
    Root,
    Run,
    ScanCounts,
    Status,
)
from faceindex.store.store import Store

if TYPE_CHECKING:
    from faceindex.store.search import EXACT_BELOW

__all__ = [
    "EXACT_BELOW",
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
    "Store",
]


def __getattr__(name: str) -> int:
    if name == "EXACT_BELOW":
        from faceindex.store.search import EXACT_BELOW

        return EXACT_BELOW
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
