"""Nearest neighbours: exact for few vectors, by partition for many."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from faceindex.clustering.kernels import empty_lists, keep_best, mark_new, offer, refine, sort_lists
from faceindex.clustering.partition import Partition
from faceindex.clustering.workers import Workers
from faceindex.cores import cores
from faceindex.types import F32, I32, I64

__all__ = ["EXACT_UP_TO", "exact_neighbours", "near_neighbours", "nearest"]

_Rows = TypeVar("_Rows", F32, I32)

EXACT_UP_TO = 20_000
"""Vectors that `near_neighbours` compares all with all: that takes 2 core-seconds and is exact."""

# Queries that `nearest` compares with all vectors, however many these are: to partition n vectors takes as
# long as to compare all with some 3,000.
_FEW_QUERIES = 2000

# Products of this shape fill half of a core's level-2 cache, and are scanned while they are there.
_QUERY_BLOCK = 256
_COLUMN_BLOCK = 1024

_ROUNDS = 3  # of looking at the neighbours of neighbours; chosen by benchmarks/scale.py, as is
_HOPS = 20  # neighbours that are looked at, and of each of those again
_SHARD = 8192  # vectors that a thread refines at a time
_PARTS = 8  # threads that tell vectors whose neighbours they are; each reads all lists


def near_neighbours(vectors: F32, k: int, *, floor: float = -np.inf, seed: int = 0) -> tuple[I32, F32]:
    """The k most similar other vectors of each vector: exact for few, most of them for many.

    Above `EXACT_UP_TO` vectors, they are partitioned into small cells, and every vector is compared with
    those of the cells near it (an inverted file, Jegou et al. 2011,
    https://doi.org/10.1109/TPAMI.2010.57): 64 cells on average, more for one that has found little. Then
    each is told whose neighbour it is, and compared with the neighbours of its neighbours (as in NN-descent,
    Dong et al. 2011, https://doi.org/10.1145/1963405.1963487). What is left out are mostly neighbours that
    are hardly more similar than those that come after: recall of 20 neighbours is 0.9998 for 30,000
    made-up faces of 128 dimensions and 0.957 for a million, and time grows with the power 1.2 of the
    number (benchmarks/scale.py).

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
    with Workers() as workers:
        partition = Partition.fit(vectors, seed, workers)
        itself = np.arange(n, dtype=np.int32)
        found, similarities = partition.search(partition.vectors, partition.own, k, floor, itself, workers)
        vectors, order, names = partition.vectors, partition.order, partition.names
        del partition  # the lists of cells are no longer needed
        _refine(vectors, found, similarities, workers)
    del vectors
    for start in range(0, n, _SHARD):
        found[start : start + _SHARD] = names[found[start : start + _SHARD]]
    return _put_back(found, order), _put_back(similarities, order)


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
        Compared with all vectors if they are at most 2,000, or ``m n`` is at most the square of
        `EXACT_UP_TO`.
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
    if m <= _FEW_QUERIES or m * n <= EXACT_UP_TO**2 or k == 0:
        return _exact(queries, vectors, k, floor, out)
    with Workers() as workers:
        partition = Partition.fit(vectors, seed, workers)
        own = partition.own_cells(queries, workers)
        order = np.argsort(own, kind="stable")
        place = np.append(np.argsort(partition.order).astype(np.int32), np.int32(-1))
        found, similarities = partition.search(
            queries[order], own[order], k, floor, place[out[order]], workers
        )
    return _put_back(partition.names[found], order), _put_back(similarities, order)


def _put_back(rows: _Rows, order: I64) -> _Rows:
    """Rows as they were before ``rows[order]`` was taken of them."""
    back = np.empty_like(rows)
    back[order] = rows
    return back


def _refine(vectors: F32, found: I32, similarities: F32, workers: Workers) -> None:
    """Compare vectors with the neighbours of their neighbours; lists are changed in place."""
    n = len(vectors)
    known, new = found[:, :0], np.empty(found[:, :_HOPS].shape, bool)
    for _ in range(_ROUNDS):
        _tell(found, similarities, workers)
        before, known = known, found[:, :_HOPS].copy()  # read by all threads while each changes its own

        def mark(start: int, known: I32 = known, before: I32 = before) -> None:
            mark_new(known, before, start, min(start + _SHARD, n), new)

        def look(start: int, known: I32 = known) -> None:
            refine(vectors, known, new, start, min(start + _SHARD, n), found, similarities)

        workers.run(mark, range(0, n, _SHARD))
        workers.run(look, range(0, n, _SHARD))
    _tell(found, similarities, workers)


def _tell(found: I32, similarities: F32, workers: Workers) -> None:
    """Tell each vector whose neighbour it is: that costs next to nothing."""
    n = len(found)
    part = -(-n // min(cores(), _PARTS))
    known, alike = found[:, :_HOPS].copy(), similarities[:, :_HOPS].copy()

    def tell(low: int) -> None:
        offer(known, alike, low, min(low + part, n), found, similarities)

    workers.run(tell, range(0, n, part))


def _exact(queries: F32, vectors: F32, k: int, floor: float, leave_out: I32) -> tuple[I32, F32]:
    m, n = len(queries), len(vectors)
    found, similarities = empty_lists(m, k, floor, n)
    if k == 0 or m == 0:
        return found, similarities
    # Few queries are spread over the cores too, as far as a product is worth a call.
    rows = min(_QUERY_BLOCK, max(16, -(-m // cores())))

    def search(start: int) -> None:
        stop = min(start + rows, m)
        lines = np.arange(start, stop)
        for column in range(0, n, _COLUMN_BLOCK):
            block = queries[start:stop] @ vectors[column : column + _COLUMN_BLOCK].T
            keep_best(block, lines, leave_out[start:stop], column, n, found, similarities)
        sort_lists(found, similarities, start, stop)

    with Workers() as workers:
        workers.run(search, range(0, m, rows))
    found[found == n] = -1
    return found, similarities
