"""Nearest neighbours: exact for few vectors, by a partition into cells for many."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from faceindex.clustering.kernels import (
    add_block,
    add_reverse_neighbours,
    empty_lists,
    mark_new,
    refine,
    sort_lists,
)
from faceindex.clustering.partition import Partition
from faceindex.clustering.workers import Workers
from faceindex.cores import cores
from faceindex.types import F32, I32, I64

__all__ = [
    "COLUMN_BLOCK",
    "EXACT_UP_TO",
    "FEW_QUERIES",
    "QUERY_BLOCK",
    "ROUNDS",
    "SHARD",
    "exact_neighbours",
    "near_neighbours",
    "nearest",
]

_Rows = TypeVar("_Rows", F32, I32)

EXACT_UP_TO = 20_000
"""Up to this number of vectors, `near_neighbours` compares all with all: exact, in 2 core-seconds."""

# Up to this number of queries, `nearest` compares each with all vectors: partitioning n vectors takes as long
# as comparing all of them with about 3,000.
FEW_QUERIES = 2000

# Products of this shape fill half of a core's level-2 cache, and are scanned while they are in it.
QUERY_BLOCK = 256
COLUMN_BLOCK = 1024

# Chosen by benchmarks/scale.py.
ROUNDS = 3  # of comparing vectors with the neighbours of their neighbours
_HOPS = 20  # neighbours of a vector, and of each of these, that are followed
SHARD = 8192  # vectors that a thread refines at a time
_PARTS = 8  # most threads that add reverse neighbours: each reads all lists


def near_neighbours(vectors: F32, k: int, *, floor: float = -np.inf, seed: int = 0) -> tuple[I32, F32]:
    """Find the k most similar other vectors of each vector: exactly for few vectors, nearly for many.

    More than `EXACT_UP_TO` vectors are partitioned into small cells, and each vector is compared with
    those in the cells near it (an inverted file, Jegou et al. 2011,
    https://doi.org/10.1109/TPAMI.2010.57): 64 cells on average, more for a vector with few similar ones.
    Then each vector is compared with the vectors that list it as a neighbour, and with the neighbours of
    its neighbours (as in NN-descent, Dong et al. 2011, https://doi.org/10.1145/1963405.1963487). Most
    neighbours that are missed are hardly more similar than the ones that take their place. Recall of
    20 neighbours is 0.9998 for 30,000 made-up faces of 128 dimensions and 0.957 for a million; time grows
    with the power 1.2 of the number of vectors (benchmarks/scale.py).

    Parameters
    ----------
    vectors : (n, d) float32
        Unit length; may be a memory map.
    k : int
        At most n - 1 are returned.
    floor : float
        Neighbours of this similarity or less are left out, which makes the search faster.
    seed : int
        Seed of the partition. The same vectors and seed give the same neighbours.

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
        found, similarities = partition.search(
            partition.vectors, partition.cell_of, k, floor, itself, workers
        )
        vectors, order, original = partition.vectors, partition.order, partition.original_positions
        del partition  # frees the lists of cells
        _refine(vectors, found, similarities, workers)
    del vectors
    for start in range(0, n, SHARD):
        found[start : start + SHARD] = original[found[start : start + SHARD]]
    return _restore_order(found, order), _restore_order(similarities, order)


def exact_neighbours(vectors: F32, k: int) -> tuple[I64, F32]:
    """Find the k most similar other vectors of each vector by matrix products, block by block.

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
    """Find the k vectors most similar to each query: exactly, or by a partition as in `near_neighbours`.

    Parameters
    ----------
    queries : (m, d) float32
        Compared with all vectors if m is at most 2,000, or ``m n`` at most the square of `EXACT_UP_TO`.
    vectors : (n, d) float32
        May be a memory map.
    k : int
    floor : float
        Vectors of this similarity or less are left out.
    leave_out : (m,) int32, optional
        Position of a vector that must not be found for each query, such as itself; -1 for none.
    seed : int
        Seed of the partition.

    Returns
    -------
    found : (m, k) int32
        Positions, most similar first, ties by position if exact; padded with -1.
    similarities : (m, k) float32
        Padded with `floor`.
    """
    m, n = len(queries), len(vectors)
    out = np.full(m, -1, np.int32) if leave_out is None else leave_out
    if m <= FEW_QUERIES or m * n <= EXACT_UP_TO**2 or k == 0:
        return _exact(queries, vectors, k, floor, out)
    with Workers() as workers:
        partition = Partition.fit(vectors, seed, workers)
        cell_of = partition.cells.nearest(queries, workers)
        order = np.argsort(cell_of, kind="stable")
        place = np.append(np.argsort(partition.order).astype(np.int32), np.int32(-1))
        found, similarities = partition.search(
            queries[order], cell_of[order], k, floor, place[out[order]], workers
        )
    return (
        _restore_order(partition.original_positions[found], order),
        _restore_order(similarities, order),
    )


def _restore_order(rows: _Rows, order: I64) -> _Rows:
    """Return the array of which `rows` is the selection ``[order]``, a permutation."""
    restored = np.empty_like(rows)
    restored[order] = rows
    return restored


def _refine(vectors: F32, found: I32, similarities: F32, workers: Workers) -> None:
    """Compare vectors with the neighbours of their neighbours, and update the lists in place."""
    n = len(vectors)
    known, new = found[:, :0], np.empty(found[:, :_HOPS].shape, bool)
    for _ in range(ROUNDS):
        _add_reverse_neighbours(found, similarities, workers)
        before, known = known, found[:, :_HOPS].copy()  # threads read all lists while each changes its own

        def mark(start: int, known: I32 = known, before: I32 = before) -> None:
            mark_new(known, before, start, min(start + SHARD, n), new)

        def compare(start: int, known: I32 = known) -> None:
            refine(vectors, known, new, start, min(start + SHARD, n), found, similarities)

        workers.run(mark, range(0, n, SHARD))
        workers.run(compare, range(0, n, SHARD))
    _add_reverse_neighbours(found, similarities, workers)


def _add_reverse_neighbours(found: I32, similarities: F32, workers: Workers) -> None:
    """Add i to the list of j wherever j is in that of i; this takes next to no time."""
    n = len(found)
    part = -(-n // min(cores(), _PARTS))
    known, known_similarities = found[:, :_HOPS].copy(), similarities[:, :_HOPS].copy()

    def add(low: int) -> None:
        add_reverse_neighbours(known, known_similarities, low, min(low + part, n), found, similarities)

    workers.run(add, range(0, n, part))


def _exact(queries: F32, vectors: F32, k: int, floor: float, leave_out: I32) -> tuple[I32, F32]:
    m, n = len(queries), len(vectors)
    found, similarities = empty_lists(m, k, floor, n)
    if k == 0 or m == 0:
        return found, similarities
    # Spread few queries over the cores too, in blocks that are large enough to be worth a call.
    rows = min(QUERY_BLOCK, max(16, -(-m // cores())))

    def search(start: int) -> None:
        stop = min(start + rows, m)
        lists = np.arange(start, stop)
        for column in range(0, n, COLUMN_BLOCK):
            block = queries[start:stop] @ vectors[column : column + COLUMN_BLOCK].T
            add_block(block, lists, leave_out[start:stop], column, n, found, similarities)
        sort_lists(found, similarities, start, stop)

    with Workers() as workers:
        workers.run(search, range(0, m, rows))
    found[found == n] = -1
    return found, similarities
