"""Nearest neighbours: exact for few vectors, by partitions into cells for many."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from faceindex.clustering import partition
from faceindex.clustering.cell_search import CellQuery, keep_lists, search_cells
from faceindex.clustering.kernels import add_block, empty_lists, sort_lists
from faceindex.clustering.refining import refine_lists
from faceindex.clustering.shards import Arrays, MakeRunner, Runner, ThreadRunner
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
    "find_lists",
    "is_partitioned",
    "near_neighbours",
    "nearest",
]

EXACT_UP_TO = 20_000
"""Up to this number of vectors, `near_neighbours` compares all with all: exact, in 2 core-seconds."""

# Up to this number of queries, `nearest` compares each with all vectors. Fitting three partitions to a
# million vectors of 192 dimensions takes 36 s of CPU time, and comparing a query with a million of 128, 6 ms.
FEW_QUERIES = 4000

# Products of this shape fill half of a core's level-2 cache, and are scanned while they are in it.
QUERY_BLOCK = 256
COLUMN_BLOCK = 1024

# Chosen by benchmarks/scale.py.
ROUNDS = 3  # of comparing vectors with the neighbours of their neighbours
SHARD = 8192  # vectors that are refined at a time


def near_neighbours(
    vectors: F32,
    k: int,
    *,
    floor: float = -np.inf,
    seed: int = 0,
    make_runner: MakeRunner | None = None,
) -> tuple[I32, F32]:
    """Find the k most similar other vectors of each vector: exactly for few vectors, nearly for many.

    More than `EXACT_UP_TO` vectors are partitioned into small cells, and each vector is compared with
    those in the cells near it (an inverted file, Jegou et al. 2011,
    https://doi.org/10.1109/TPAMI.2010.57): 32 cells on average, more for a vector with few similar ones.
    This is done in several partitions: what lies outside the cells near a vector in one of them is mostly
    inside those of another (as in randomized trees, Muja and Lowe 2014,
    https://doi.org/10.1109/TPAMI.2014.2321376).
    Then each vector is compared with the vectors that list it as a neighbour, and with the neighbours of
    its neighbours (as in NN-descent, Dong et al. 2011, https://doi.org/10.1145/1963405.1963487). Most
    neighbours that are missed are hardly more similar than the ones that take their place.
    benchmarks/scale.py measures recall and time.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit length; may be a memory map.
    k : int
        At most n - 1 are returned.
    floor : float
        Neighbours of this similarity or less are left out, which makes the search faster.
    seed : int
        Seed of the partitions. The same vectors and seed give the same neighbours.
    make_runner : callable, optional
        Makes what runs the stages for more than `EXACT_UP_TO` vectors; threads by default.

    Returns
    -------
    neighbours : (n, min(k, n - 1)) int32
        Positions, most similar first; padded with -1.
    similarities : (n, min(k, n - 1)) float32
        Padded with `floor`.
    """
    n = len(vectors)
    k = max(0, min(k, n - 1))
    if not is_partitioned(n, k):
        return _exact(vectors, vectors, k, floor, np.arange(n, dtype=np.int32))
    with (make_runner or ThreadRunner)() as runner:
        arrays = runner.arrays
        arrays.put("vectors", vectors)
        find_lists(runner, k, floor=floor, seed=seed)
        arrays.remove("ordered", "cell_of", "cell_start")
        return _gathered(arrays, "order", "order")


def is_partitioned(n: int, k: int) -> bool:
    """Return whether `near_neighbours` partitions n vectors, to find k neighbours of each."""
    return n > EXACT_UP_TO and min(k, n - 1) > 0


def partitions(n: int) -> int:
    """Return how many partitions of n vectors are searched: 2 up to 300,000, 3 up to 3,000,000, and so on.

    Of made-up faces, a third one found no more people among 300,000, and many more among three million.
    """
    return max(2, round(math.log10(n)) - 3)


def find_lists(runner: Runner, k: int, *, floor: float, seed: int) -> None:
    """Find what `near_neighbours` finds, and leave it among the arrays of a runner.

    Parameters
    ----------
    runner : Runner
        The array ``vectors``, (n, d) float32 of unit length, is removed. Instead, these are there:

        - ``order``, (n,) int64: the i-th in the order of cells was ``vectors[order[i]]``;
        - ``ordered``, (n, d) float32: the vectors in that order;
        - ``cell_of``, (n,) int32, ascending, and ``cell_start``, (cells + 1,) int64: as those of
          `faceindex.clustering.partition.fit`, whose other arrays are removed;
        - ``found``, (n, k) int32: the neighbours of each in that order, as positions in that order, most
          similar first, padded with n;
        - ``similarities``, (n, k) float32: padded with `floor`.

        With a runner on files, this process holds at most some numbers for each vector.
    k : int
        In 1..n - 1.
    floor : float
    seed : int
    """
    arrays = runner.arrays
    n = len(arrays["vectors"])
    for number in range(partitions(n)):
        moved = _partition(runner, seed, number)
        if moved is not None:
            keep_lists(runner, _places(moved[:n], n)[:n], moved)
        search_cells(runner, CellQuery(k, floor, resumes=number > 0))
        arrays.remove("top", "first", "centroids", "near")
    refine_lists(runner, ROUNDS, SHARD)


def _partition(runner: Runner, seed: int, number: int) -> I32 | None:
    """Make the next partition of ``vectors``, which the last one removes.

    Returns
    -------
    (n + 1,) int32 or None
        Where each position in the order of the partition before is in that of this one, and n at the end.
        None for the first partition.
    """
    arrays = runner.arrays
    n = len(arrays["vectors"])
    before = np.array(arrays["order"]) if number else None
    arrays.remove("ordered")
    partition.fit(runner, seed, number)
    if number == partitions(n) - 1:
        arrays.remove("vectors")
    if before is None:
        return None
    moved: I32 = _places(arrays["order"], n)[np.append(before, n)]
    return moved


def _places(order: I32 | I64, padding: int) -> I32:
    """Return where each position is in `order`, (n + 1,) int32; the last one is `padding`."""
    places = np.empty(len(order) + 1, np.int32)
    places[order], places[-1] = np.arange(len(order), dtype=np.int32), padding
    return places


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
    make_runner: MakeRunner | None = None,
) -> tuple[I32, F32]:
    """Find the k vectors most similar to each query: exactly, or by partitions as in `near_neighbours`.

    Parameters
    ----------
    queries : (m, d) float32
        Compared with all vectors if m is at most `FEW_QUERIES`, or ``m n`` at most the square of
        `EXACT_UP_TO`.
    vectors : (n, d) float32
        May be a memory map.
    k : int
    floor : float
        Vectors of this similarity or less are left out.
    leave_out : (m,) int32, optional
        Position of a vector that must not be found for each query, such as itself; -1 for none.
    seed : int
        Seed of the partitions.
    make_runner : callable, optional
        Makes what runs the stages if the vectors are partitioned; threads by default.

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
    with (make_runner or ThreadRunner)() as runner:
        arrays = runner.arrays
        arrays.put("vectors", vectors)
        arrays.put("queries", queries)
        for number in range(partitions(n)):
            moved = _partition(runner, seed, number)
            cell_of = partition.cells_of_queries(runner)
            rows = np.argsort(cell_of, kind="stable")
            if moved is not None:
                keep_lists(runner, _places(arrays["query_order"], m)[rows], moved)
            _put_queries(runner, rows, cell_of[rows], _places(arrays["order"], -1)[out[rows]])
            names = ("query_ordered", "query_cell", "query_leave_out")
            search_cells(runner, CellQuery(k, floor, *names, resumes=number > 0))
        return _gathered(arrays, "order", "query_order")


def _put_queries(runner: Runner, rows: I64, cell_of: I32, leave_out: I32) -> None:
    """Store some rows of ``queries``, in their order, with what `search_cells` needs of each."""
    arrays = runner.arrays
    arrays.put("query_order", rows)
    arrays.put("query_cell", cell_of)
    arrays.put("query_leave_out", leave_out)
    arrays.create("query_ordered", arrays["queries"].shape, np.float32)
    stage = partial(partition.select, rows=SHARD, array="queries", at="query_order", into="query_ordered")
    runner.run(stage, range(0, len(rows), SHARD))


def _gathered(arrays: Arrays, order: str, rows: str) -> tuple[I32, F32]:
    """Take the lists of `search_cells` out of the arrays: neighbours and similarities.

    Parameters
    ----------
    arrays : Arrays
    order : str
        Name of the positions of the vectors before the partition.
    rows : str
        Name of the positions of the queries, for which the lists are.
    """
    original = np.append(arrays[order].astype(np.int32), np.int32(-1))
    at = arrays[rows]
    found, similarities = np.empty_like(arrays["found"]), np.empty_like(arrays["similarities"])
    for start in range(0, len(at), SHARD):
        found[at[start : start + SHARD]] = original[arrays["found"][start : start + SHARD]]
    arrays.remove("found")
    for start in range(0, len(at), SHARD):
        similarities[at[start : start + SHARD]] = arrays["similarities"][start : start + SHARD]
    arrays.remove("similarities")
    return found, similarities


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
            add_block(block, lists, leave_out[start:stop], column, n, False, found, similarities)
        sort_lists(found, similarities, start, stop)

    with Workers() as workers:
        workers.run(search, range(0, m, rows))
    found[found == n] = -1
    return found, similarities
