"""Nearest faces: which rows are alive, and whether to compare them all or to walk the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceindex.errors import IndexCorrupt, StoreError
from faceindex.store import exact as exact_search
from faceindex.store.catalog import Catalog
from faceindex.store.hnsw import MAX_DEAD, HnswIndex
from faceindex.store.vectors import VectorFile
from faceindex.types import F32, I64, BoolArray

__all__ = ["EXACT_BELOW", "LOAD_AFTER", "Search"]

# Measured by benchmarks/search.py (128-d, 20 neighbours, 2 busy cores; results/search-128d.json): at
# 100,000 faces a query of a batch takes 1.3 ms exact and 0.6 ms by the graph (recall 0.997), which takes a
# minute to build; below, exact search is as fast, and exact. Clustering has a search of its own, see
# `faceindex.clustering.neighbours.near_neighbours`.
EXACT_BELOW = 100_000
"""Live faces from which on the HNSW graph is built and, by default, used."""

# Reading and checking the graph of 100,000 faces takes 0.17 s; it then saves 0.7 ms per query of a
# batch, and about 5 ms per query that comes alone. A process with one photo to identify skips it.
LOAD_AFTER = 100
"""Queries that a store answers exactly before it loads the graph."""

# What a query that comes alone counts for: it reads all vectors for itself, where a batch shares them.
_ALONE = 3

# Rows that the graph may lack: comparing a query with 2,000 takes 0.03 ms, catching up with 100 of
# 100,000 half a second.
_LAG = 0.02


@dataclass(frozen=True, slots=True)
class _Live:
    """The state of all rows at one generation."""

    generation: int
    rows: int
    faces: int
    face_of_row: I64  # (rows,), -1 for tombstones
    alive: BoolArray  # (rows,)


class Search:
    """Search over the committed rows of one index, however they came to be.

    Face ids and rows are handed out together and only grow, so the order of rows is the order of
    faces: "ties by lower row" is "ties by lower face".

    Parameters
    ----------
    catalog : Catalog
    vectors : VectorFile
    path : Path
        The graph's file; may be missing, damaged or behind.
    """

    def __init__(self, catalog: Catalog, vectors: VectorFile, path: Path) -> None:
        self._catalog = catalog
        self._vectors = vectors
        self._path = path
        self._params = catalog.hnsw()
        self._ann: HnswIndex | None = None
        self._ann_file: tuple[int, ...] | None = None
        self._failed: tuple[tuple[int, ...] | None, int] | None = None
        self._cache: _Live | None = None
        self._asked = 0

    def close(self) -> None:
        """Free the graph."""
        self._ann = self._ann_file = self._cache = None

    def prepare(self) -> None:
        """Read from the catalog what every search needs."""
        self._live()

    def find(self, queries: F32, k: int, exact: bool | None) -> tuple[I64, F32]:
        """As `Store.search`, for checked arguments."""
        live = self._live()
        self._asked += max(len(queries), _ALONE)
        worth_it = live.faces >= EXACT_BELOW and (self._ann is not None or self._asked >= LOAD_AFTER)
        ann = self._current_ann(live) if exact is False or (exact is None and worth_it) else None
        rows, similarities = self._rows(queries, k, live, ann)
        if live.rows == 0:
            return rows, similarities
        return np.where(rows >= 0, live.face_of_row[rows], -1), similarities

    def update_hnsw(self, always: bool, progress: Callable[[int, int], None] | None) -> int:
        """As `Store.update_hnsw`."""
        with self._catalog.snapshot():
            rows, faces = self._catalog.rows, self._catalog.count_live()
        if rows == 0 or (faces < EXACT_BELOW and not always):
            return 0
        if not always and self._nearly_covers(rows, rows - faces):
            return 0
        live = self._live()
        ann = self._current_ann(live)
        if ann is None or ann.mostly_dead(live.alive):
            ann = HnswIndex.build(self._vectors.dimension, self._params)
        if ann.covered == live.rows:
            return 0
        before = len(ann)
        vectors = self._vectors.read(live.rows)
        try:
            ann.extend(vectors, live.alive, progress)
        finally:  # after an interrupt too: a part of the graph is as good, and the next call goes on
            self._ann = ann
            self._save(ann, vectors)
        return len(ann) - before

    def _nearly_covers(self, rows: int, dead: int) -> bool:
        """Whether the graph lacks few rows, and would even if all tombstones were in it be of use."""
        if self._ann is not None:
            covered, members = self._ann.covered, len(self._ann)
        else:
            found = HnswIndex.coverage(self._path, self._vectors.read(rows), self._params)
            if found is None:
                return False
            covered, members = found
        return rows - covered <= _LAG * rows and dead <= MAX_DEAD * members

    def _save(self, ann: HnswIndex, vectors: F32) -> None:
        try:
            ann.save(self._path, vectors)
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be written: {error.strerror}.",
                "Only speed is lost; make room and run the same command again.",
            ) from error
        self._ann_file = _identity(self._path)

    def _rows(self, queries: F32, k: int, live: _Live, ann: HnswIndex | None) -> tuple[I64, F32]:
        vectors = self._vectors.read(live.rows)
        near = ann.search(queries, k, live.alive) if ann is not None and len(queries) else None
        if ann is None or near is None:
            return exact_search.top_k(queries, vectors, k, live.alive)
        if ann.covered == live.rows:
            return near
        tail_rows, tail = exact_search.top_k(queries, vectors[ann.covered :], k, live.alive[ann.covered :])
        tail_rows[tail_rows >= 0] += ann.covered
        return exact_search.best_of(
            np.concatenate([near[0], tail_rows], 1), np.concatenate([near[1], tail], 1), k
        )

    def _live(self) -> _Live:
        if self._cache is None or self._cache.generation != self._catalog.generation:
            with self._catalog.snapshot():
                generation, rows = self._catalog.generation, self._catalog.rows
                faces, row_of_face = self._catalog.face_rows()
            if len(row_of_face) and int(row_of_face.max()) >= rows:
                raise IndexCorrupt(
                    f"{self._catalog.path} names row {int(row_of_face.max())} of {rows}.",
                    f"Restore it from a backup, or delete {self._catalog.path.parent} and index again.",
                )
            face_of_row = np.full(rows, -1, np.int64)
            face_of_row[row_of_face] = faces
            self._cache = _Live(generation, rows, len(faces), face_of_row, face_of_row >= 0)
        return self._cache

    def _current_ann(self, live: _Live) -> HnswIndex | None:
        if self._ann is None or self._ann.covered < live.rows:
            identity = _identity(self._path)
            attempt = (identity, live.generation)
            if identity is not None and identity != self._ann_file and attempt != self._failed:
                ann = HnswIndex.load(self._path, self._vectors.read(live.rows), self._params)
                if ann is None:
                    self._failed = attempt
                else:
                    self._ann, self._ann_file = ann, identity
        return self._ann


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
