"""The index directory: catalog, vectors, search graph, lock. Opening one loads neither numpy nor hnswlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceindex.store.records import (
    Assignments,
    Clustering,
    Counts,
    FaceTable,
    HnswParams,
    Json,
    NewPhoto,
    PhotoRecord,
    Pins,
    Root,
    Run,
    Status,
    Unchanged,
)
from faceindex.store.store import Store

if TYPE_CHECKING:
    from faceindex.store.search import EXACT_BELOW

__all__ = [
    "EXACT_BELOW",
    "Assignments",
    "Clustering",
    "Counts",
    "FaceTable",
    "HnswParams",
    "Json",
    "NewPhoto",
    "PhotoRecord",
    "Pins",
    "Root",
    "Run",
    "Status",
    "Store",
    "Unchanged",
]


def __getattr__(name: str) -> int:
    if name == "EXACT_BELOW":
        from faceindex.store.search import EXACT_BELOW

        return EXACT_BELOW
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
