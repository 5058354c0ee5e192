"""Nearest neighbours: exact for few vectors, by partition for many."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
import threadpoolctl  # type: ignore[import-untyped]

from faceindex.types import F32, I32, I64

__all__ = ["EXACT_UP_TO", "exact_neighbours", "near_neighbours", "nearest"]

EXACT_UP_TO = 20_000
"""Vectors that `near_neighbours` compares all with all: that takes 2 core-seconds and is exact."""

# Products of this shape fill half of a core's level-2 cache, and are scanned while they are there.
_QUERY_BLOCK = 256
_COLUMN_BLOCK = 1024

# The partition, chosen by benchmarks/scale.py on made-up faces of long-tailed people.
_CELLS_PER_ROOT = 2.0  # cells for each square root of the number of vectors
_PROBES = 28  # cells that are searched for each vector, its own among them
_ROUNDS = 2  # of looking at the neighbours of neighbours
_HOPS = 20  # neighbours that are looked at, and of each of those again
_SAMPLE_PER_CELL = 32  # vectors that the centroids are fitted to
_FITTING_STEPS = 5
_SHARD = 8192  # vectors that a thread searches the cells for at a time
_CROWDED = 16  # times the mean: a cell with more vectors (duplicates, mostly) is searched in part


def near_neighbours(vectors: F32, k: int, *, floor: float = -np.inf, seed: int = 0) -> tuple[I32, F32]:
    """The k most similar other vectors of each vector: exact for few, most of them for many.

    Above `EXACT_UP_TO` vectors, they are partitioned by spherical k-means and every vector is compared
    with those of the nearest cells (an inverted file, Jegou et al. 2011,
    https://doi.org/10.1109/TPAMI.2010.57), block by block; then with the neighbours of its neighbours
    (as in NN-descent, Dong et al. 2011, https://doi.org/10.1145/1963405.1963487). What is left out are
    mostly neighbours that are hardly more similar than those that come after: recall of 20 neighbours is
    0.98 for 30,000 made-up faces of 128 dimensions, 0.97 for 100,000 and 0.95 for a million, and time grows
    with the power 1.4 of the number (benchmarks/scale.py).

    Parameters
    ----------
    vectors : (n, d) float32
        Unit length; may be a memory map.
    k : int
        At most n - 1 are returned.
    floor : float
        Neighbours of this similarity or less are left out; it makes the search faster.
    seed : int
        Same vectors and seed, same neighbours.

    Returns
    -------
    neighbours : (n, min(k, n - 1)) int32
        Positions, most similar first; padded with -1.
    similarities : (n, min(k, n - 1)) float32
        Padded with `floor`.
    """
    n = len(vectors)
    k = max(0, min(k, n - 1))
    if n <= EXACT_UP_TO or k == 0:
        return _exact(vectors, vectors, k, floor, np.arange(n, dtype=np.int32))
    with _Workers() as workers:
        partition = _Partition.fit(vectors, seed, workers)
        ordered, cells = partition.vectors, partition.cells
        found, similarities = partition.search(
            ordered, cells, k, floor, np.arange(n, dtype=np.int32), workers
        )
        for _ in range(_ROUNDS):
            known = found[:, :_HOPS].copy()  # read by all threads while each changes its own lists

            def refine(start: int, known: I32 = known) -> None:
                _refine(ordered, known, start, min(start + _SHARD, n), found, similarities)

            workers.run(refine, range(0, n, _SHARD))
    place = np.argsort(partition.order)
    return partition.names[found[place]], similarities[place]


def exact_neighbours(vectors: F32, k: int) -> tuple[I64, F32]:
    """The k most similar other vectors of each vector, by blocked matrix products.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit length.
    k : int
        At most n - 1 are returned.

    Returns
    -------
    neighbours : (n, min(k, n - 1)) int64
        Positions, most similar first, ties by position.
    similarities : (n, min(k, n - 1)) float32
    """
    k = max(0, min(k, len(vectors) - 1))
    found, similarities = _exact(vectors, vectors, k, -np.inf, np.arange(len(vectors), dtype=np.int32))
    return found.astype(np.int64), similarities


def nearest(
    queries: F32,
    vectors: F32,
    k: int,
    *,
    floor: float = -np.inf,
    leave_out: I32 | None = None,
    seed: int = 0,
) -> tuple[I32, F32]:
    """The k vectors most similar to each query: exact, or by partition as in `near_neighbours`.

    Parameters
    ----------
    queries : (m, d) float32
        Compared with all vectors while ``m n`` is at most the square of `EXACT_UP_TO`.
    vectors : (n, d) float32
        May be a memory map.
    k : int
    floor : float
        Vectors of this similarity or less are left out.
    leave_out : (m,) int32, optional
        Position of a vector that each query is not to find, such as itself; -1 for none.
    seed : int
        Of the partition.

    Returns
    -------
    found : (m, k) int32
        Positions, most similar first, ties by position if exact; padded with -1.
    similarities : (m, k) float32
        Padded with `floor`.
    """
    m, n = len(queries), len(vectors)
    out = np.full(m, -1, np.int32) if leave_out is None else leave_out
    if m * n <= EXACT_UP_TO**2 or k == 0:
        return _exact(queries, vectors, k, floor, out)
    with _Workers() as workers:
        partition = _Partition.fit(vectors, seed, workers)
        cells = _nearest_cells(queries, partition.centroids, workers)
        order = np.argsort(cells[:, 0], kind="stable")
        place = np.append(np.argsort(partition.order).astype(np.int32), np.int32(-1))
        found, similarities = partition.search(
            queries[order], cells[order], k, floor, place[out[order]], workers
        )
    back = np.argsort(order)
    return partition.names[found[back]], similarities[back]


def _exact(queries: F32, vectors: F32, k: int, floor: float, leave_out: I32) -> tuple[I32, F32]:
    m, n = len(queries), len(vectors)
    found, similarities = _empty_lists(m, k, floor, n)
    if k == 0 or m == 0:
        return found, similarities
    # Few queries are spread over the cores too, as far as a product is worth a call.
    rows = min(_QUERY_BLOCK, max(16, -(-m // _cores())))

    def search(start: int) -> None:
        stop = min(start + rows, m)
        lines = np.arange(start, stop)
        for column in range(0, n, _COLUMN_BLOCK):
            block = queries[start:stop] @ vectors[column : column + _COLUMN_BLOCK].T
            _keep_best(block, lines, leave_out[start:stop], column, n, found, similarities)
        _sort_lists(found, similarities, start, stop)

    with _Workers() as workers:
        workers.run(search, range(0, m, rows))
    found[found == n] = -1
    return found, similarities


@dataclass(frozen=True, slots=True)
class _Partition:
    """Vectors in the order of the cells that they are in.

    ``vectors[i]`` was at ``order[i]``, its nearest cells are ``cells[i]``, its own first; cell c is
    ``vectors[start[c]:start[c + 1]]``.
    """

    order: I64
    vectors: F32
    cells: I32
    start: I64
    centroids: F32

    @staticmethod
    def fit(vectors: F32, seed: int, workers: _Workers) -> _Partition:
        n = len(vectors)
        n_cells = min(n, round(_CELLS_PER_ROOT * n**0.5))
        rng = np.random.default_rng(seed)
        sample = vectors[np.sort(rng.choice(n, min(n, _SAMPLE_PER_CELL * n_cells), replace=False))]
        centroids = _centroids(sample, n_cells, rng, workers)
        cells = _nearest_cells(vectors, centroids, workers)
        order = np.argsort(cells[:, 0], kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(cells[:, 0], minlength=n_cells))])
        return _Partition(order, vectors[order], cells[order], start, centroids)

    @property
    def names(self) -> I32:
        """Positions before the partition, and -1 for the one behind all."""
        return np.append(self.order.astype(np.int32), np.int32(-1))

    def search(
        self, queries: F32, cells: I32, k: int, floor: float, leave_out: I32, workers: _Workers
    ) -> tuple[I32, F32]:
        """The best of the cells of each query, in the order of the partition; len(vectors) pads."""
        m = len(queries)
        found, similarities = _empty_lists(m, k, floor, len(self.vectors))
        crowd = _CROWDED * max(1, len(self.vectors) // len(self.centroids))

        def probe(first: int, cells: I32) -> None:
            by_cell = np.argsort(cells, axis=None, kind="stable")
            ordered = cells.ravel()[by_cell]
            lines = first + by_cell // cells.shape[1]
            begin = 0
            for end in (*(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(ordered)):
                low, high = self.start[ordered[begin]], self.start[ordered[begin] + 1]
                for i in range(begin, end, _QUERY_BLOCK):
                    asking = lines[i : min(i + _QUERY_BLOCK, end)]
                    out = leave_out[asking]
                    # In a crowded cell its own vectors look around themselves.
                    near = int(np.clip(out[0] - crowd // 2, low, max(low, high - crowd)))
                    block = queries[asking] @ self.vectors[near : min(high, near + crowd)].T
                    _keep_best(block, asking, out, near, len(self.vectors), found, similarities)
                begin = end

        def search(start: int) -> None:
            stop = min(start + _SHARD, m)
            # Its own cell first: later ones then have little that is better than what there is.
            probe(start, cells[start:stop, :1])
            if cells.shape[1] > 1:
                probe(start, cells[start:stop, 1:])
            _sort_lists(found, similarities, start, stop)

        workers.run(search, range(0, m, _SHARD))
        return found, similarities


class _Workers:
    """A thread for each core; a matrix product stays in its thread, as the cores have their own."""

    def __enter__(self) -> _Workers:
        self._limits = _libraries().limit(limits=1, user_api="blas")
        self._pool = ThreadPoolExecutor(_cores())
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._limits.restore_original_limits()

    def run(self, work: Callable[[int], None], items: Iterable[int]) -> None:
        for _ in self._pool.map(work, items):
            pass


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()  # looks at all that is loaded, which takes milliseconds


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _empty_lists(rows: int, k: int, floor: float, nobody: int) -> tuple[I32, F32]:
    """Lists of k entries that any better one replaces; `nobody` is a position behind all."""
    return np.full((rows, k), nobody, np.int32), np.full((rows, k), floor, np.float32)


def _nearest_cells(vectors: F32, centroids: F32, workers: _Workers) -> I32:
    """(n, probes) cells of each vector, the nearest first."""
    cells = np.empty((len(vectors), min(_PROBES, len(centroids))), np.int32)

    def assign(start: int) -> None:
        block = vectors[start : start + _QUERY_BLOCK] @ centroids.T
        part, similarities = _empty_lists(len(block), cells.shape[1], -np.inf, len(centroids))
        lines, none = np.arange(len(block)), np.full(len(block), -1, np.int32)
        _keep_best(block, lines, none, 0, len(centroids), part, similarities)
        _sort_lists(part, similarities, 0, len(block))
        cells[start : start + len(block)] = part

    workers.run(assign, range(0, len(vectors), _QUERY_BLOCK))
    return cells


def _centroids(sample: F32, n_cells: int, rng: np.random.Generator, workers: _Workers) -> F32:
    """Spherical k-means: unit vectors that most of the sample is near to one of."""
    centroids = sample[rng.choice(len(sample), n_cells, replace=False)]
    cell = np.empty(len(sample), np.int64)
    for _ in range(_FITTING_STEPS):

        def assign(start: int, centroids: F32 = centroids) -> None:
            block = slice(start, start + _QUERY_BLOCK)
            cell[block] = (sample[block] @ centroids.T).argmax(axis=1)

        workers.run(assign, range(0, len(sample), _QUERY_BLOCK))
        used, first = np.unique(np.sort(cell), return_index=True)
        sums = np.add.reduceat(sample[np.argsort(cell, kind="stable")], first, axis=0)
        # A cell that nothing is nearest to starts again elsewhere.
        centroids = sample[rng.choice(len(sample), n_cells, replace=False)]
        centroids[used] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centroids


@numba.njit(cache=True, nogil=True)
def _sift(values, positions, k, value, position):  # type: ignore[no-untyped-def]
    """Replace the first of the k entries of a heap."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= k:
            break
        if child + 1 < k and (
            values[child + 1] < values[child]
            or (values[child + 1] == values[child] and positions[child + 1] > positions[child])
        ):
            child += 1
        if values[child] > value or (values[child] == value and positions[child] < position):
            break
        values[at], positions[at] = values[child], positions[child]
        at = child
    values[at], positions[at] = value, position


@numba.njit(cache=True, nogil=True)
def _keep_best(block, lines, leave_out, first, nobody, found, similarities):  # type: ignore[no-untyped-def]
    """Put row r of `block`, similarities to positions from `first` on, into list ``lines[r]``."""
    k = found.shape[1]
    columns = block.shape[1]
    for r in range(len(lines)):
        row = block[r]
        values, positions = similarities[lines[r]], found[lines[r]]
        for start in range(0, columns, 16):
            stop = min(start + 16, columns)
            # Next to nothing is better than what there is: 16 at a time, without branches.
            worst = values[0]
            better = 0
            if stop - start == 16:
                for c in range(16):
                    better += row[start + c] >= worst
            else:
                better = 1
            if better == 0:
                continue
            for c in range(start, stop):
                position = first + c
                tie = row[c] == values[0] and position < positions[0] != nobody
                if (row[c] > values[0] or tie) and position != leave_out[r]:
                    _sift(values, positions, k, row[c], np.int32(position))


@numba.njit(cache=True, nogil=True)
def _sort_lists(found, similarities, start, stop):  # type: ignore[no-untyped-def]
    """Turn heaps into lists, best first."""
    for line in range(start, stop):
        values, positions = similarities[line], found[line]
        for last in range(len(values) - 1, 0, -1):
            value, position = values[last], positions[last]
            values[last], positions[last] = values[0], positions[0]
            _sift(values, positions, last, value, position)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _refine(vectors, known, start, stop, found, similarities):  # type: ignore[no-untyped-def]
    """Compare vectors with the `known` neighbours of their known neighbours; lists in, lists out."""
    n, d = vectors.shape
    k = found.shape[1]
    seen = np.full(n, -1, np.int32)
    for i in range(start, stop):
        values, positions = similarities[i], found[i]
        seen[i] = i
        for t in range(k):
            if positions[t] < n:
                seen[positions[t]] = i
        values[:] = values[::-1].copy()  # worst first is a heap
        positions[:] = positions[::-1].copy()
        vector = vectors[i]
        for j in known[i]:
            if j == n:
                break
            for other in known[j]:
                if other == n:
                    break
                if seen[other] == i:
                    continue
                seen[other] = i
                value = np.float32(0)
                for e in range(d):
                    value += vector[e] * vectors[other, e]
                if value > values[0]:
                    _sift(values, positions, k, value, other)
    _sort_lists(found, similarities, start, stop)
