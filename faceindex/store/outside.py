"""Search in a neighbour index outside the index directory's own files, and keep it up to date.

A watermark in the catalog (the key ``searched`` of ``meta``) says how far it is: it has the live faces of all
rows below ``rows`` of the vector file ``vectors``, and had ``faces`` of them after the last complete update.
A commit appends rows, also for faces that come back; so what lies above the watermark is missing, and is
compared exactly meanwhile. Rows are written before the watermark. A process that is killed in between leaves
rows that are written once more. A compaction moves the watermark in its own transaction.

What is dead there is found by counting: a range of ids with another number than in the catalog is divided
until it can be listed. So nothing depends on a list of deletions that could be lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from faceindex.errors import FaceIndexError, SearchUnavailable
from faceindex.store.digests import blocks_from
from faceindex.store.exact import select_best, top_k
from faceindex.store.neighbours import BUILD_ANEW, LIST_RANGE, MOST_NEIGHBOURS

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.store.neighbours import NeighbourIndex
    from faceindex.store.search import LiveRows
    from faceindex.store.vectors import VectorFile
    from faceindex.types import F32, I64

__all__ = ["UPSERT_BYTES", "OutsideSearch"]

UPSERT_BYTES = 4 << 20
"""Bytes of vectors in one request: 8,192 of 128 dimensions. Servers refuse messages above 64 MB."""

_MARK_AFTER = 16  # requests after which the watermark moves: an interrupted build goes on from there
_SAMPLED = 64  # faces whose vectors are compared
_SLACK = 8  # more candidates than are wanted: deleted faces may be among them
_LAST = (1 << 63) - 1
_TOGETHER = 256  # queries whose candidates are compared together
_SPLIT = 16  # parts of a range of ids whose number differs

_RETRY_SECONDS = 60.0  # after a failure, until a search tries it again
_RETRY_FACTOR = 10.0  # or so many times as long as it took to fail: of a server that hangs, minutes

_log = logging.getLogger(__name__)


class OutsideSearch:
    """The neighbour index that a face index names.

    Parameters
    ----------
    catalog : Catalog
    connect : callable
        Opens the connection, when it is first needed.
    """

    def __init__(self, catalog: Catalog, connect: Callable[[], NeighbourIndex]) -> None:
        self._catalog = catalog
        self._connect = connect
        self._index: NeighbourIndex | None = None
        self._verified = False
        self._seen: tuple[str, int] | None = None  # the watermark up to which it has answered
        self._warned = False
        self._next_try = 0.0

    def close(self) -> None:
        """Close the connection, if there is one."""
        index, self._index, self._verified, self._seen = self._index, None, False, None
        if index is not None:
            index.close()

    def index(self) -> NeighbourIndex:
        """Return the connection; raises `SearchUnavailable`, or `UsageError` if it may not be made."""
        if self._index is None:
            self._index = self._connect()
        return self._index

    def warn(self, error: FaceIndexError, consequence: str) -> None:
        """Log once why it is not used, and what happens instead."""
        if not self._warned:
            self._warned = True
            _log.warning("%s %s %s", error.problem, consequence, error.remedy)

    # Searching ---------------------------------------------------------------------------------

    def find(self, queries: F32, k: int, live: LiveRows, vectors: VectorFile) -> tuple[I64, F32] | None:
        """Find the nearest rows, with their exact similarities; None, after one warning, if it is no use.

        What has failed is not tried again for a minute, and longer if it took long to fail.

        Returns
        -------
        rows : (m, k) int64
        similarities : (m, k) float32
            Of the index's own vectors, whatever the other side has.
        """
        covered, _ = self._catalog.searched(vectors.path.name) or (0, 0)
        wanted = min(k, live.faces)
        if not covered or not wanted or not len(queries) or k + _SLACK > MOST_NEIGHBOURS:
            return None
        begun = time.monotonic()
        if begun < self._next_try:
            return None
        try:
            index = self.index()
            if not self._verified:
                self._verify(index, live, vectors, covered)
            state = (vectors.path.name, covered)
            ids = index.search(queries, k + _SLACK, latest=state != self._seen)
            self._seen = state
        except FaceIndexError as error:
            now = time.monotonic()
            self._next_try = now + max(_RETRY_SECONDS, _RETRY_FACTOR * (now - begun))
            self.warn(error, "All faces are compared instead: the answers are exact, and take longer.")
            return None
        rows = live.rows_of(ids)
        rows[rows >= covered] = -1
        scores = _similarities(queries, rows, live.rows, vectors)
        rows, scores = select_best(rows, scores, k)
        if covered < live.rows:
            vectors.check(live.rows, blocks_from(covered, live.rows))
            tail_rows, tail = top_k(queries, vectors.read(live.rows)[covered:], k, live.alive[covered:])
            tail_rows[tail_rows >= 0] += covered
            rows, scores = select_best(
                np.concatenate([rows, tail_rows], 1), np.concatenate([scores, tail], 1), k
            )
        short = np.flatnonzero((rows[:, :wanted] < 0).any(axis=1))
        if len(short):  # too many of the candidates were deleted
            vectors.check(live.rows)
            rows[short], scores[short] = top_k(queries[short], vectors.read(live.rows), k, live.alive)
        return rows, scores

    def _verify(self, index: NeighbourIndex, live: LiveRows, vectors: VectorFile, covered: int) -> None:
        """Check once that it has the faces that the watermark says; raises `SearchUnavailable` if not."""
        if problem := self.problem(index, live, vectors, covered):
            raise SearchUnavailable(problem, BUILD_ANEW, mended_by_rebuilding=True)
        self._verified = True

    def problem(self, index: NeighbourIndex, live: LiveRows, vectors: VectorFile, covered: int) -> str | None:
        """Compare its number of faces, its dimension and a sample of its vectors; None if they are right."""
        dimension = index.dimension()
        if dimension is None:
            return f"{index.name} has no collection of this index."
        if dimension != vectors.dimension:
            return f"{index.name} has vectors of {dimension:,} dimensions instead of {vectors.dimension:,}."
        rows = np.flatnonzero(live.alive[:covered])
        if not len(rows):
            return None
        if (found := index.count(0, _LAST)) < len(rows):
            return f"{index.name} has {found:,} of {len(rows):,} faces."
        # The last ones too: a copy of this index may have other faces from some row on.
        half = _SAMPLED // 2
        sample = rows[np.linspace(0, len(rows) - 1, min(len(rows), half)).astype(np.int64)]
        sample = np.unique(np.concatenate([sample, rows[-half:]]))
        faces = live.face_of_row[sample]
        ids, there = index.vectors(np.sort(faces))
        expected = vectors.gather(live.rows, sample)[np.argsort(faces)]
        if len(ids) != len(sample) or not np.allclose(there, expected, atol=1e-6):
            return f"{index.name} has other vectors than this index."
        return None

    # Updating ----------------------------------------------------------------------------------

    def catch_up(
        self,
        live: LiveRows,
        vectors: VectorFile,
        progress: Callable[[int, int], None] | None = None,
        *,
        rebuild: bool = False,
    ) -> tuple[int, str | None]:
        """Write the faces that it lacks, and delete those that it should not have; only the writer may.

        Parameters
        ----------
        live : LiveRows
        vectors : VectorFile
        progress : callable, optional
            Called with the numbers of faces written and to write.
        rebuild : bool
            Start from nothing.

        Returns
        -------
        int
            Number of faces that were written.
        str or None
            After forgetting: what is not certain to be gone.
        """
        index, name, erasing = self.index(), vectors.path.name, self._catalog.search_erasing
        self._seen = None
        mark = self._catalog.searched(name)
        rebuild = rebuild or (erasing and index.erases_by_rebuilding)
        if mark is None or rebuild or mark[0] > live.rows or self._is_other(index, live, vectors, mark[0]):
            index.drop()
            mark = (0, 0)
            with self._catalog.transaction(keep_scans=True, uncounted=True):
                self._catalog.set_searched(name, *mark)
                if index.erases_by_rebuilding:  # the forgotten are gone, also if it cannot be built now
                    self._catalog.delete("search_erasing")
            index.create(vectors.dimension)
        lacking = mark[0] + np.flatnonzero(live.alive[mark[0] : live.rows])
        self._write(index, lacking, live, vectors, progress)
        written = len(lacking)
        if index.count(0, _LAST) != live.faces:
            written += self._reconcile(index, live, vectors)
        index.settle()
        index.finish(live.faces)
        note = index.erase() if erasing else None
        with self._catalog.transaction(keep_scans=True, uncounted=True):
            if erasing:
                self._catalog.delete("search_erasing")
            self._catalog.set_searched(name, live.rows, live.faces)
        self._verified, self._next_try = True, 0.0
        return written, note

    def _is_other(self, index: NeighbourIndex, live: LiveRows, vectors: VectorFile, covered: int) -> bool:
        """Whether it must be built anew: faces that are merely missing can be written again."""
        if self._verified:
            return False
        try:
            if index.dimension() != vectors.dimension:
                return True
            return index.count(0, _LAST) >= int(live.alive[:covered].sum()) and (
                self.problem(index, live, vectors, covered) is not None
            )
        except SearchUnavailable as error:
            if error.mended_by_rebuilding:  # its files are damaged
                return True
            raise

    def _mark(self, name: str, rows: int, faces: int) -> None:
        with self._catalog.transaction(keep_scans=True, uncounted=True):
            self._catalog.set_searched(name, rows, faces)

    def _write(
        self,
        index: NeighbourIndex,
        rows: I64,
        live: LiveRows,
        vectors: VectorFile,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        step = max(1, UPSERT_BYTES // (4 * vectors.dimension))
        for number, start in enumerate(range(0, len(rows), step), 1):
            some = rows[start : start + step]
            index.upsert(live.face_of_row[some], vectors.gather(live.rows, some))
            if progress is not None:
                progress(min(start + step, len(rows)), len(rows))
            if number % _MARK_AFTER == 0:
                index.settle()
                self._mark(vectors.path.name, int(some[-1]) + 1, -1)  # no such number: it is not complete

    def _reconcile(self, index: NeighbourIndex, live: LiveRows, vectors: VectorFile) -> int:
        """Delete and write single faces until it has those that live; return how many were written."""
        want = live.faces_sorted
        end = int(want[-1]) + 1 if len(want) else 0
        if index.count(end, _LAST):
            index.delete_range(end, _LAST)
        written, ranges = 0, [(0, end)] if end else []
        while ranges:
            first, last = ranges.pop()
            here = want[np.searchsorted(want, first) : np.searchsorted(want, last)]
            if index.count(first, last) == len(here):
                continue
            if last - first > LIST_RANGE:
                step = max(LIST_RANGE, -(-(last - first) // _SPLIT))
                ranges += [(at, min(at + step, last)) for at in range(first, last, step)]
                continue
            there = index.ids(first, last)
            if len(extra := np.setdiff1d(there, here)):
                index.delete(extra)
            if len(missing := np.setdiff1d(here, there)):
                rows = live.rows_of(missing)
                index.upsert(missing, vectors.gather(live.rows, rows))
                written += len(missing)
        return written

    # Checking ----------------------------------------------------------------------------------

    def check(
        self, live: LiveRows, vectors: VectorFile, queries: int, k: int, least_recall: float
    ) -> tuple[Sequence[str], float | None]:
        """Return what is wrong with it, and its recall of `k` neighbours for a sample of the faces.

        Raises `SearchUnavailable` or `UsageError` if it cannot be reached.
        """
        index = self.index()
        mark = self._catalog.searched(vectors.path.name)
        covered = min(mark[0], live.rows) if mark is not None else 0
        if problem := self.problem(index, live, vectors, covered):
            return [problem], None
        members, problems = np.flatnonzero(live.alive[:covered]), []
        number = index.count(0, _LAST)
        if number != live.faces or covered != live.rows:
            problems.append(f"{index.name} has {number:,} faces; the index has {live.faces:,}.")
        k = min(k, len(members))
        if not k:
            return problems, None
        sample = np.random.default_rng(0).choice(members, min(queries, len(members)), replace=False)
        wanted = np.ascontiguousarray(vectors.gather(live.rows, np.sort(sample)))
        exact, _ = top_k(wanted, vectors.read(live.rows)[:covered], k, live.alive[:covered])
        near = live.rows_of(index.search(wanted, k + _SLACK))
        near = select_best(near, _similarities(wanted, near, live.rows, vectors), k)[0]
        recall = float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(near, exact, strict=True)]))
        if recall < least_recall:
            problems.append(
                f"{index.name} finds only {recall:.1%} of the {k} nearest faces; it should find"
                f" {least_recall:.0%}."
            )
        return problems, recall


def _similarities(queries: F32, rows: I64, committed: int, vectors: VectorFile) -> F32:
    """Compute the similarities of candidates, (m, c); -inf where a row is -1.

    By matrix products, as exact search does: the sums of single products end in other last digits.
    """
    scores = np.full(rows.shape, -np.inf, np.float32)
    for start in range(0, len(queries), _TOGETHER):
        some = rows[start : start + _TOGETHER]
        line, column = np.nonzero(some >= 0)
        if len(line):
            used, at = np.unique(some[line, column], return_inverse=True)
            product = queries[start : start + _TOGETHER] @ vectors.gather(committed, used).T
            scores[start + line, column] = product[line, at]
    return scores
