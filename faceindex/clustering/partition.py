"""A partition of vectors into small cells, for approximate search among many vectors.

It is an inverted file (Jegou et al. 2011, https://doi.org/10.1109/TPAMI.2010.57) with cells of a constant
average size. Spherical k-means first makes groups of cells, then the cells inside each group. A vector is
compared only with the centroids near its own cell. The time per vector, for fitting the cells and for finding
the cells near a vector, therefore does not grow with the number of cells.

The work is done in stages on a `faceindex.clustering.shards.Runner`. `fit` makes these arrays:

============== ===================== ===================================================================
``top``        (groups, d) float32   the centroid of each group; none is empty
``first``      (groups + 1,) int64   the cells of group g are ``first[g]..first[g + 1] - 1``
``centroids``  (cells, d) float32    of the cells; hardly any is empty
``near``       (cells, r) int32      the cells nearest to each, itself first
``order``      (n,) int64            vector ``order[i]`` is the i-th in the order of the cells
``cell_of``    (n,) int32            the cell of the i-th vector in that order
``cell_start`` (cells + 1,) int64    the vectors of cell c are ``cell_start[c]..cell_start[c + 1] - 1``
``ordered``    (n, d) float32        the vectors in that order
============== ===================== ===================================================================

With a runner on files, the process that calls `fit` holds neither vectors nor ``near``: at most some numbers
for each vector, a sample of 64 vectors for each group, and the centroids of one group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from faceindex.clustering.shards import Arrays, Runner
from faceindex.types import F32, I32, I64

__all__ = ["CELL", "PROBES", "RANKED", "SHARD", "blocks_of", "cells_of_queries", "fit"]

# Chosen on made-up faces (benchmarks/made_up.py) of people whose numbers of photos have a long tail. Smaller
# cells contain more neighbours for each vector that is compared, and take longer to find.
CELL = 64
"""Vectors in a cell, on average."""
PROBES = 32
"""Cells of a partition that are searched for a vector, on average."""
RANKED = 1500
"""Cells nearest to that of a vector, from which those are chosen."""
_NEAR_GUESS = 256  # cells nearest to a first guess, from which that of a vector is chosen
_SAMPLE_PER_CELL = 32  # vectors for each centroid that is fitted
_FITTING_STEPS = 5
_LARGEST_GROUP = 4  # most cells of a group, as a multiple of the mean; nearly equal vectors need no more
SHARD = 16_384
"""Vectors that are searched for at a time."""
_BLOCK = 256  # vectors in a matrix product
_ASSIGNED = 16 * _BLOCK  # vectors that are assigned to a group or a cell at a time


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of the arrays of the vectors that are assigned to cells, and what becomes of them."""

    vectors: str
    group: str
    by_group: str
    by_guess: str
    guess_start: str
    cell: str


_VECTORS = _Names("vectors", "group", "by_group", "by_guess", "guess_start", "cell")
_QUERIES = _Names(
    "queries", "query_group", "query_by_group", "query_by_guess", "query_guess_start", "query_cell"
)


def fit(runner: Runner, seed: int, number: int = 0) -> None:
    """Partition the array ``vectors``, (n, d) of unit length, n > 0; see the top of this module.

    The same vectors, seed and number give the same result, other numbers other partitions.
    """
    arrays = runner.arrays
    n, d = arrays["vectors"].shape
    _fit_cells(runner, (seed, number))
    cell = _chosen(runner, _VECTORS, n)
    order = np.argsort(cell, kind="stable")
    arrays.put("order", order)
    arrays.put("cell_of", cell[order])
    arrays.put("cell_start", _starts(cell, len(arrays["centroids"])))
    del cell, order
    arrays.create("ordered", (n, d), np.float32)
    runner.run(partial(select, rows=SHARD, array="vectors", at="order", into="ordered"), range(0, n, SHARD))


def cells_of_queries(runner: Runner) -> I32:
    """Return the (nearly) nearest cell of each vector of the array ``queries``, (m,) int32."""
    arrays = runner.arrays
    m, groups = len(arrays["queries"]), len(arrays["top"])
    _assign(runner, _QUERIES, m, groups)
    arrays.create(_QUERIES.by_guess, (m,), np.int64)
    sizes = runner.run(guess_in_group, range(groups))
    arrays.put(_QUERIES.guess_start, np.concatenate([[0], np.cumsum(np.concatenate(sizes))]))
    arrays.remove(_QUERIES.group, _QUERIES.by_group, f"{_QUERIES.by_group}_start")
    return _chosen(runner, _QUERIES, m)


def _fit_cells(runner: Runner, seed: tuple[int, int]) -> None:
    """Fit cells to the vectors, and guess the cell of each."""
    arrays, names = runner.arrays, _VECTORS
    vectors = arrays["vectors"]
    n, d = vectors.shape
    n_cells = max(1, round(n / CELL))
    n_groups = max(1, round(n_cells**0.5))
    rng = np.random.default_rng(seed)
    sample = vectors[np.sort(rng.choice(n, min(n, 2 * _SAMPLE_PER_CELL * n_groups), replace=False))]
    top = _centroids(sample, min(n_groups, len(sample)), rng)
    del vectors, sample
    arrays.put("top", top)
    _assign(runner, names, n, len(top))
    most = _LARGEST_GROUP * -(-n_cells // len(top))
    wanted = [_wanted(size, most) for size in np.diff(arrays[f"{names.by_group}_start"]).tolist()]
    places = np.concatenate([[0], np.cumsum(wanted)])
    arrays.put("fitted_start", places)
    arrays.create("fitted", (int(places[-1]), d), np.float32)
    arrays.create(names.by_guess, (n,), np.int64)
    sizes = runner.run(partial(fit_group, seed=seed, most=most), range(len(top)))
    used = [g for g in range(len(top)) if len(sizes[g])]
    first = np.concatenate([[0], np.cumsum([len(sizes[g]) for g in used])])
    arrays.put(names.guess_start, np.concatenate([[0], np.cumsum(np.concatenate(sizes))]))
    arrays.put("top", top[used])
    arrays.put("first", first)
    arrays.create("centroids", (int(first[-1]), d), np.float32)
    for i, g in enumerate(used):
        place = int(places[g])
        arrays.write("centroids", int(first[i]), arrays["fitted"][place : place + len(sizes[g])])
    arrays.remove("fitted", "fitted_start", names.group, names.by_group, f"{names.by_group}_start")
    _rank_cells(runner, top[used], first)


def _rank_cells(runner: Runner, top: F32, first: I64) -> None:
    """Make the array ``near``."""
    arrays, n_cells = runner.arrays, int(first[-1])
    apart = -(top @ top.T)
    np.fill_diagonal(apart, -np.inf)
    arrays.put("near_groups", np.argsort(apart, axis=1, kind="stable"))
    count = min(RANKED, n_cells)
    arrays.create("near", (n_cells, count), np.int32)
    runner.run(rank_group, range(len(top)))
    arrays.remove("near_groups")


def _assign(runner: Runner, names: _Names, n: int, n_groups: int) -> None:
    """Assign n vectors to groups, and sort them by group."""
    arrays = runner.arrays
    arrays.create(names.group, (n,), np.int32)
    stage = partial(assign, rows=_ASSIGNED, vectors=names.vectors, into=names.group)
    runner.run(stage, range(0, n, _ASSIGNED))
    group = arrays[names.group]
    arrays.put(names.by_group, np.argsort(group, kind="stable"))
    arrays.put(f"{names.by_group}_start", _starts(group, n_groups))


def _chosen(runner: Runner, names: _Names, n: int) -> I32:
    """Return the cell of each of n vectors, (n,) int32, the best of those near its guess."""
    arrays = runner.arrays
    arrays.create(names.cell, (n,), np.int32)
    runner.run(partial(choose, rows=_ASSIGNED, names=names), range(0, n, _ASSIGNED))
    cell = np.empty(n, np.int32)
    cell[arrays[names.by_guess]] = arrays[names.cell]
    arrays.remove(names.cell, names.by_guess, names.guess_start)
    return cell


# Stages ------------------------------------------------------------------------------------------


def assign(arrays: Arrays, start: int, *, rows: int, vectors: str, into: str) -> None:
    """Find the nearest of the centroids ``top`` for some vectors."""
    arrays.write(into, start, _nearest_centroid(arrays[vectors][start : start + rows], arrays["top"]))


def fit_group(arrays: Arrays, g: int, *, seed: tuple[int, int], most: int) -> I64:
    """Fit at most `most` cells to the vectors of group g; return their sizes, (cells,) int64, none of them 0.

    Writes the centroids, and the rows of the group in the order of their cells.
    """
    vectors, rows, low = arrays["vectors"], *_group(arrays, _VECTORS, g)
    if not len(rows):
        return np.empty(0, np.int64)
    own = np.random.default_rng([*seed, g])
    wanted = _wanted(len(rows), most)
    some = np.sort(own.choice(len(rows), min(len(rows), _SAMPLE_PER_CELL * wanted), replace=False))
    centroids = _centroids(vectors[rows[some]], wanted, own)
    used, guess = np.unique(_nearest_in_blocks(vectors, rows, centroids), return_inverse=True)
    arrays.write("fitted", int(arrays["fitted_start"][g]), centroids[used])
    return _write_by_guess(arrays, _VECTORS, rows, low, guess, len(used))


def guess_in_group(arrays: Arrays, g: int) -> I64:
    """Find the nearest cell of group g for its queries; return how many each has, (cells,) int64.

    Writes the rows of the group in the order of their cells.
    """
    first = arrays["first"]
    centroids = arrays["centroids"][first[g] : first[g + 1]]
    rows, low = _group(arrays, _QUERIES, g)
    guess = _nearest_in_blocks(arrays["queries"], rows, centroids)
    return _write_by_guess(arrays, _QUERIES, rows, low, guess, len(centroids))


def rank_group(arrays: Arrays, g: int) -> None:
    """Find the cells nearest to each cell of group g, in the nearest groups."""
    first, centroids, groups = arrays["first"], arrays["centroids"], arrays["near_groups"][g]
    count = arrays["near"].shape[1]
    enough = np.searchsorted(np.cumsum(np.diff(first)[groups]), min(4 * count, len(centroids)))
    among = np.concatenate([np.arange(first[h], first[h + 1]) for h in groups[: enough + 1]])
    apart = -(centroids[first[g] : first[g + 1]] @ centroids[among].T)
    np.fill_diagonal(apart, -np.inf)  # `among` starts with the own cells: each cell is nearest to itself
    best = np.argpartition(apart, count - 1, axis=1)[:, :count]
    by_distance = np.argsort(np.take_along_axis(apart, best, axis=1), axis=1, kind="stable")
    near = among[np.take_along_axis(best, by_distance, axis=1)]
    arrays.write("near", int(first[g]), near.astype(np.int32))


def choose(arrays: Arrays, start: int, *, rows: int, names: _Names) -> None:
    """Find the nearest cell, of those near the guess, for the vectors whose guess begins in this shard."""
    vectors, centroids, near = arrays[names.vectors], arrays["centroids"], arrays["near"]
    by_guess, starts = arrays[names.by_guess], arrays[names.guess_start]
    first, last = np.searchsorted(starts[:-1], [start, start + rows]).tolist()
    ends = starts[first : last + 1].tolist()
    best = np.empty(ends[-1] - ends[0], np.int32)
    for c, low, high in zip(range(first, last), ends[:-1], ends[1:], strict=True):
        for begin in range(low, high, _BLOCK):
            end = min(begin + _BLOCK, high)
            cells = near[c, :_NEAR_GUESS]
            products = vectors[by_guess[begin:end]] @ centroids[cells].T
            best[begin - ends[0] : end - ends[0]] = cells[products.argmax(axis=1)]
    if len(best):
        arrays.write(names.cell, ends[0], best)


def select(arrays: Arrays, start: int, *, rows: int, array: str, at: str, into: str) -> None:
    """Write the rows of an array at some positions."""
    arrays.write(into, start, arrays[array][arrays[at][start : start + rows]])


# -------------------------------------------------------------------------------------------------


def _group(arrays: Arrays, names: _Names, g: int) -> tuple[I64, int]:
    """Return the rows of a group, and the place of the first one in the order of the groups."""
    low, high = arrays[f"{names.by_group}_start"][g : g + 2].tolist()
    return arrays[names.by_group][low:high], low


def _write_by_guess(arrays: Arrays, names: _Names, rows: I64, low: int, guess: I64, n_cells: int) -> I64:
    """Write the rows of a group in the order of their cells; return the sizes of these."""
    if len(rows):
        arrays.write(names.by_guess, low, rows[np.argsort(guess, kind="stable")])
    return np.bincount(guess, minlength=n_cells)


def _wanted(size: int, most: int) -> int:
    return min(most, max(1, round(size / CELL)))


def _starts(labels: I32, n_labels: int) -> I64:
    """Return where the rows of each label begin if they are sorted, and their number, (n_labels + 1,)."""
    return np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n_labels))])


def _centroids(sample: F32, n_cells: int, rng: np.random.Generator) -> F32:
    """Fit unit centroids to a sample by spherical k-means."""
    centroids = sample[rng.choice(len(sample), n_cells, replace=False)]
    for _ in range(_FITTING_STEPS):
        cell = _nearest_centroid(sample, centroids)
        used, first = np.unique(np.sort(cell), return_index=True)
        sums = np.add.reduceat(sample[np.argsort(cell, kind="stable")], first, axis=0)
        # Move a centroid that no vector is nearest to, to a random vector.
        centroids = sample[rng.choice(len(sample), n_cells, replace=False)]
        centroids[used] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centroids


def _nearest_centroid(vectors: F32, centroids: F32) -> I32:
    nearest = np.empty(len(vectors), np.int32)
    for start in range(0, len(vectors), _BLOCK):
        block = slice(start, start + _BLOCK)
        nearest[block] = (vectors[block] @ centroids.T).argmax(axis=1)
    return nearest


def _nearest_in_blocks(vectors: F32, rows: I64, centroids: F32) -> I64:
    """Return the nearest centroid of the vectors at some positions."""
    nearest = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        nearest[start : start + _BLOCK] = (vectors[block] @ centroids.T).argmax(axis=1)
    return nearest


def blocks_of(labels: I32, first: int = 0) -> Iterator[tuple[int, int]]:
    """Yield start and stop of blocks of equal consecutive labels; the first label is at position `first`."""
    ends = [*(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        for begin in range(start, stop, _BLOCK):
            yield first + begin, first + min(begin + _BLOCK, stop)
