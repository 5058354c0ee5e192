"""Indexing: scan, decode, recognise, commit, in bounded batches. Emits events, prints nothing."""

from faceindex.pipeline.events import (
    Clustering,
    Committed,
    ContentChanged,
    Event,
    Hashing,
    Loaded,
    Loading,
    PhotoDone,
    PhotoFailed,
    PhotoUnfinished,
    Planned,
    Scanning,
    Summary,
    Warned,
    Watching,
    ignore_event,
)
from faceindex.pipeline.index import index_photos
from faceindex.pipeline.selection import Selection, select

__all__ = [
    "Clustering",
    "Committed",
    "ContentChanged",
    "Event",
    "Hashing",
    "Loaded",
    "Loading",
    "PhotoDone",
    "PhotoFailed",
    "PhotoUnfinished",
    "Planned",
    "Scanning",
    "Selection",
    "Summary",
    "Warned",
    "Watching",
    "ignore_event",
    "index_photos",
    "select",
]
