"""The files of a new index."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from faceindex.store.catalog import Catalog
from faceindex.store.directory import CATALOG, VECTORS, check_not_orphaned, has_index, hnsw_name
from faceindex.store.records import HnswParams, Pins
from faceindex.store.vectors import VectorFile, make_header

__all__ = ["create_files"]


def create_files(directory: Path, pins: Pins, hnsw: HnswParams) -> None:
    """Write the vector file and the catalog of a new index in a locked directory; both, or none.

    Raises
    ------
    IndexCorrupt
        If it has the vectors of an index whose catalog is missing.
    StoreError
        If the disk is full or fails.
    """
    check_not_orphaned(directory)
    (directory / hnsw_name(VECTORS)).unlink(missing_ok=True)
    index_id = uuid4().hex
    try:
        VectorFile(directory / VECTORS, pins.dimension, make_header(index_id, pins.dimension)).create()
        Catalog.create(directory / CATALOG, pins, hnsw, index_id)
    except BaseException:
        if not has_index(directory):  # so that the next attempt starts clean
            with suppress(OSError):
                (directory / VECTORS).unlink(missing_ok=True)
        raise
