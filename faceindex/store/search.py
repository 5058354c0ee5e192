"""Nearest faces: which rows are alive, and whether to compare all of them or to use the HNSW index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceindex.errors import StoreError
from faceindex.store.catalog import Catalog
from faceindex.store.counts import count_faces
from faceindex.store.digests import blocks_from
from faceindex.store.exact import select_best, top_k
from faceindex.store.faces import face_rows
from faceindex.store.hnsw import MAX_TOMBSTONES, HnswIndex
from faceindex.store.sqlite import corrupt
from faceindex.store.vectors import VectorFile
from faceindex.types import F32, I64, BoolArray

if TYPE_CHECKING:
    from faceindex.store.outside import OutsideSearch

__all__ = ["EXACT_BELOW", "LOAD_AFTER", "LiveRows", "Search"]

# Measured by benchmarks/search.py (128-d, 20 neighbours, 2 busy cores; results/search-128d.json): at
# 100,000 faces a query of a batch takes 1.3 ms exact and 0.6 ms by the HNSW index (recall 0.997), which
# takes a minute to build; below, exact search is as fast, and exact. Clustering has a search of its own, see
# `faceindex.clustering.neighbours.near_neighbours`.
EXACT_BELOW = 100_000
"""Number of live faces from which on the HNSW index is built and, by default, used."""

# Reading and checking the HNSW index of 100,000 faces takes 0.17 s. It then saves 0.7 ms per query of a
# batch, and about 5 ms per single query. A process that identifies one photo does without it.
LOAD_AFTER = 100
"""Number of queries that a store searches exactly before it loads the HNSW index."""

# A single query counts as this many: it reads all vectors, which the queries of a batch share.
_SINGLE_QUERY = 3

# Share of the rows that the HNSW index may lack: comparing a query with 2,000 takes 0.03 ms, adding 100 to
# 100,000 half a second.
_MOST_LACKING = 0.02


@dataclass(frozen=True, slots=True)
class LiveRows:
    """The state of all rows at one generation."""

    generation: int
    rows: int
    faces: int
    face_of_row: I64  # (rows,), -1 for tombstones
    alive: BoolArray  # (rows,)
    ascending: bool  # whether the order of rows is that of faces
    faces_sorted: I64  # (faces,), ascending
    row_of_face: I64  # (faces,), the rows of these

    def rows_of(self, faces: I64) -> I64:
        """Return the rows of faces, of any shape; -1 for those that are not there."""
        if not self.faces:
            return np.full(faces.shape, -1, np.int64)
        at = np.minimum(np.searchsorted(self.faces_sorted, faces), self.faces - 1)
        rows: I64 = np.where(self.faces_sorted[at] == faces, self.row_of_face[at], -1)
        return rows


class Search:
    """Search in the committed rows of one index.

    Face ids and rows are assigned together and only grow, so the order of rows is the order of faces, except
    for faces that were away: these have new rows. The best `k` are chosen with ties by lower row, and sorted
    with ties by lower face.

    Parameters
    ----------
    catalog : Catalog
    vectors : VectorFile
    path : Path
        File of the HNSW index; may be missing, damaged or behind.

    Attributes
    ----------
    hnsw : HnswIndex or None
        None until it has been loaded or built.
    """

    def __init__(self, catalog: Catalog, vectors: VectorFile, path: Path) -> None:
        self.hnsw: HnswIndex | None = None
        self._catalog = catalog
        self._vectors = vectors
        self._path = path
        self._params = catalog.hnsw()
        self._loaded_file: tuple[int, ...] | None = None  # as `_identity`
        self._failed_load: tuple[tuple[int, ...] | None, int] | None = None  # file and generation
        self._cached_rows: LiveRows | None = None
        self._queries = 0

    def close(self) -> None:
        """Free the HNSW index."""
        self.hnsw = self._loaded_file = self._cached_rows = None

    def prepare(self) -> None:
        """Read from the catalog what every search needs."""
        self._read_rows()

    def live(self) -> LiveRows:
        """Return the state of all rows now."""
        return self._read_rows()

    def find(
        self, queries: F32, k: int, exact: bool | None, outside: OutsideSearch | None = None
    ) -> tuple[I64, F32]:
        """Search as `Store.search`, for checked arguments; first in `outside`, if there is one."""
        current = self._read_rows()
        if outside is not None and (found := outside.find(queries, k, current, self._vectors)) is not None:
            return self._faces(*found, current)
        if outside is not None:
            exact = True
        self._queries += max(len(queries), _SINGLE_QUERY)
        worth_it = current.faces >= EXACT_BELOW and (self.hnsw is not None or self._queries >= LOAD_AFTER)
        hnsw = self._load(current) if exact is False or (exact is None and worth_it) else None
        rows, similarities = self._nearest_rows(queries, k, current, hnsw)
        return self._faces(rows, similarities, current)

    def _faces(self, rows: I64, similarities: F32, current: LiveRows) -> tuple[I64, F32]:
        if current.rows == 0:
            return rows, similarities
        faces = np.where(rows >= 0, current.face_of_row[rows], -1)
        if not current.ascending:
            order = np.lexsort((faces, -similarities), axis=1)
            faces, similarities = (np.take_along_axis(each, order, 1) for each in (faces, similarities))
        return faces, similarities

    def update_hnsw(self, always: bool, progress: Callable[[int, int], None] | None) -> int:
        """Update the HNSW index and its file, as `Store.update_hnsw`."""
        with self._catalog.snapshot():
            rows, faces = self._catalog.rows, count_faces(self._catalog)
        if rows == 0 or (faces < EXACT_BELOW and not always):
            return 0
        if not always and self._nearly_covers(rows, rows - faces):
            return 0
        current = self._read_rows()
        hnsw = self._load(current)
        if hnsw is None or hnsw.needs_rebuild(current.alive):
            hnsw = HnswIndex.build(self._vectors.dimension, self._params, self._catalog.index_id)
        if hnsw.covered == current.rows:
            return 0
        before = len(hnsw)
        vectors = self._vectors.read(current.rows)
        self._vectors.check(current.rows, blocks_from(hnsw.covered, current.rows))
        try:
            hnsw.extend(vectors, current.alive, progress)
        finally:  # after an interrupt too: the next call adds the rest
            self.hnsw = hnsw
            self._save(hnsw, vectors)
        return len(hnsw) - before

    def _nearly_covers(self, rows: int, tombstones: int) -> bool:
        """Whether the HNSW index lacks few rows, and has few tombstones even if it contains all of them."""
        if self.hnsw is not None:
            covered, members = self.hnsw.covered, len(self.hnsw)
        else:
            found = HnswIndex.coverage(
                self._path, self._vectors.read(rows), self._params, self._catalog.index_id
            )
            if found is None:
                return False
            covered, members = found
        return rows - covered <= _MOST_LACKING * rows and tombstones <= MAX_TOMBSTONES * members

    def _save(self, hnsw: HnswIndex, vectors: F32) -> None:
        try:
            hnsw.save(self._path, vectors)
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be written: {error.strerror}.",
                "Searches are slower without it; make room and run the same command again.",
            ) from error
        self._loaded_file = _identity(self._path)

    def _nearest_rows(
        self, queries: F32, k: int, current: LiveRows, hnsw: HnswIndex | None
    ) -> tuple[I64, F32]:
        vectors = self._vectors.read(current.rows)
        near = hnsw.search(queries, k, current.alive) if hnsw is not None and len(queries) else None
        if hnsw is None or near is None:
            self._vectors.check(current.rows)
            return top_k(queries, vectors, k, current.alive)
        if hnsw.covered == current.rows:
            return near
        self._vectors.check(current.rows, blocks_from(hnsw.covered, current.rows))
        tail_rows, tail = top_k(queries, vectors[hnsw.covered :], k, current.alive[hnsw.covered :])
        tail_rows[tail_rows >= 0] += hnsw.covered
        return select_best(np.concatenate([near[0], tail_rows], 1), np.concatenate([near[1], tail], 1), k)

    def _read_rows(self) -> LiveRows:
        if self._cached_rows is None or self._cached_rows.generation != self._catalog.generation:
            with self._catalog.snapshot():
                generation, rows = self._catalog.generation, self._catalog.rows
                faces, row_of_face = face_rows(self._catalog)
            if len(row_of_face) and int(row_of_face.max()) >= rows:
                raise corrupt(self._catalog.path, f"it refers to row {int(row_of_face.max())} of {rows}")
            face_of_row = np.full(rows, -1, np.int64)
            face_of_row[row_of_face] = faces
            order = np.argsort(faces, kind="stable")
            self._cached_rows = LiveRows(
                generation,
                rows,
                len(faces),
                face_of_row,
                face_of_row >= 0,
                ascending=bool((np.diff(row_of_face) > 0).all()),
                faces_sorted=faces[order],
                row_of_face=row_of_face[order],
            )
        return self._cached_rows

    def _load(self, current: LiveRows) -> HnswIndex | None:
        """Load the HNSW index if the file has changed since, and the one in memory lacks rows."""
        if self.hnsw is None or self.hnsw.covered < current.rows:
            identity = _identity(self._path)
            attempt = (identity, current.generation)
            if identity is not None and identity != self._loaded_file and attempt != self._failed_load:
                hnsw = HnswIndex.load(
                    self._path, self._vectors.read(current.rows), self._params, self._catalog.index_id
                )
                if hnsw is None:
                    self._failed_load = attempt
                else:
                    self.hnsw, self._loaded_file = hnsw, identity
        return self.hnsw


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
