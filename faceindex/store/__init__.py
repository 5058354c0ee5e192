"""The index directory: catalog, vectors, search graph, lock."""

from faceindex.store.records import (
    Clustering,
    Counts,
    FaceTable,
    HnswParams,
    ImageRecord,
    Json,
    NewImage,
    Pins,
    Root,
    Run,
    Status,
)
from faceindex.store.search import EXACT_BELOW
from faceindex.store.store import Store

__all__ = [
    "EXACT_BELOW",
    "Clustering",
    "Counts",
    "FaceTable",
    "HnswParams",
    "ImageRecord",
    "Json",
    "NewImage",
    "Pins",
    "Root",
    "Run",
    "Status",
    "Store",
]
