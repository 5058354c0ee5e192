"""A partition of vectors into small cells, for approximate search among many vectors.

It is an inverted file (Jegou et al. 2011, https://doi.org/10.1109/TPAMI.2010.57) with cells of a constant
average size. Spherical k-means first makes groups of cells, then the cells inside each group. A vector is
compared only with the centroids near its own cell. The time per vector, for fitting the cells and for finding
the cells near a vector, therefore does not grow with the number of cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from faceindex.clustering.kernels import add_block, empty_lists, sort_lists
from faceindex.clustering.workers import Workers
from faceindex.types import F32, I32, I64

__all__ = ["PROBES", "RANKED", "SHARD", "Partition"]

# Chosen by benchmarks/scale.py on made-up faces of people whose numbers of photos have a long tail. Smaller
# cells contain more neighbours for each vector that is compared, and take longer to find.
_CELL = 64  # vectors in a cell, on average
PROBES = 64  # cells that are searched for a vector, on average
RANKED = 2500  # cells nearest to that of a vector, from which those are chosen
_FIRST = 4  # cells that are searched before the others are chosen
_SAMPLED = 512  # vectors from which the number of chosen cells is estimated
_NEAR_GUESS = 256  # cells nearest to a first guess, from which that of a vector is chosen
_SAMPLE_PER_CELL = 32  # vectors for each centroid that is fitted
_FITTING_STEPS = 5
_LARGEST_GROUP = 4  # most cells of a group, as a multiple of the mean; nearly equal vectors need no more
SHARD = 16_384  # vectors that a thread searches the cells for at a time
_BLOCK = 256  # vectors in a matrix product
_CROWDED = 16  # multiple of the mean size above which a cell (mostly of duplicates) is searched in part

_Run: TypeAlias = Callable[[Callable[[int], None], Iterable[int]], None]


@dataclass(frozen=True, slots=True)
class _Cells:
    """Centroids of cells, in groups.

    Group g has the centroid ``top[g]`` and the cells ``first[g]..first[g + 1] - 1``. Cell c has the
    centroid ``centroids[c]``. The cells nearest to it are ``near[c]``, itself first.
    """

    top: F32
    first: I64
    centroids: F32
    near: I32

    def nearest(self, vectors: F32, workers: Workers) -> I32:
        """Return the (nearly) nearest cell of each vector, (n,) int32."""
        group = _nearest_centroid(vectors, self.top, workers.run)
        guess = np.empty(len(vectors), np.int32)

        def guess_in_group(g: int, rows: I64) -> None:
            centroids = self.centroids[self.first[g] : self.first[g + 1]]
            guess[rows] = self.first[g] + (vectors[rows] @ centroids.T).argmax(axis=1)

        _for_each_label(group, len(self.top), guess_in_group, workers)
        return self.nearest_to_guess(vectors, guess, workers)

    def nearest_to_guess(self, vectors: F32, guess: I32, workers: Workers) -> I32:
        """Return the nearest cell of each vector among the cells near `guess`, (n,) int32."""
        best = np.empty(len(vectors), np.int32)

        def choose(c: int, rows: I64) -> None:
            near = self.near[c, :_NEAR_GUESS]
            best[rows] = near[(vectors[rows] @ self.centroids[near].T).argmax(axis=1)]

        _for_each_label(guess, len(self.centroids), choose, workers)
        return best


@dataclass(frozen=True, slots=True)
class Partition:
    """Vectors in the order of their cells.

    ``vectors[i]`` was at position ``order[i]`` and is in cell ``cell_of[i]``. The vectors of cell c are
    ``vectors[start[c]:start[c + 1]]``.
    """

    order: I64
    vectors: F32
    cell_of: I32
    start: I64
    cells: _Cells

    @staticmethod
    def fit(vectors: F32, seed: int, workers: Workers) -> Partition:
        """Partition (n, d) vectors of unit length, n > 0. The same vectors and seed give the same result."""
        cells, guess = _fit_cells(vectors, seed, workers)
        cell_of = cells.nearest_to_guess(vectors, guess, workers)
        order = np.argsort(cell_of, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(cell_of, minlength=len(cells.centroids)))])
        return Partition(order, vectors[order], cell_of[order], start, cells)

    @property
    def original_positions(self) -> I32:
        """Position of each vector before the partition, and -1 for the padding of lists, (n + 1,)."""
        return np.append(self.order.astype(np.int32), np.int32(-1))

    def search(
        self, queries: F32, cell_of: I32, k: int, floor: float, leave_out: I32, workers: Workers
    ) -> tuple[I32, F32]:
        """Find the k most similar vectors in the cells near each query.

        Parameters
        ----------
        queries : (m, d) float32
            In the order of their cells.
        cell_of : (m,) int32
            The cell of each query, ascending.
        k : int
        floor : float
            Vectors of this similarity or less are left out.
        leave_out : (m,) int32
            Position in `vectors` that must not be found for each query; -1 for none.
        workers : Workers

        Returns
        -------
        found : (m, k) int32
            Positions in `vectors`, most similar first; padded with n.
        similarities : (m, k) float32
            Padded with `floor`.
        """
        m, n = len(queries), len(self.vectors)
        found, similarities = empty_lists(m, k, floor, n)
        first = max(_FIRST, -(-2 * k // _CELL))
        slack = self._slack(queries, cell_of, k, floor, first, leave_out)

        def search(start: int) -> None:
            stop = min(start + SHARD, m)
            lists, cells = [], []
            for begin, end in _blocks(cell_of[start:stop], start):
                near, positions = self.cells.near[cell_of[begin]], np.arange(begin, end)
                block, out = queries[begin:end], leave_out[begin:end]
                for cell in near[:first].tolist():
                    self.search_cell(block, positions, cell, out, found, similarities)
                enough = _worst(similarities[begin:end]) - slack
                close = block @ self.cells.centroids[near[first:]].T >= enough[:, None]
                rows, columns = np.divmod(np.flatnonzero(close), close.shape[1])
                lists.append(positions[rows])
                cells.append(near[first:][columns])
            self._search_cells(
                queries, np.concatenate(lists), np.concatenate(cells), leave_out, found, similarities
            )
            sort_lists(found, similarities, start, stop)

        workers.run(search, range(0, m, SHARD))
        return found, similarities

    def _search_cells(
        self, queries: F32, lists: I64, cells: I32, leave_out: I32, found: I32, similarities: F32
    ) -> None:
        """Search ``cells[i]`` for the query ``lists[i]``, for each i."""
        by_cell = np.argsort(cells, kind="stable")
        lists, cells = lists[by_cell], cells[by_cell]
        out = leave_out[lists]
        for begin, end in _blocks(cells):
            some = lists[begin:end]
            self.search_cell(queries[some], some, int(cells[begin]), out[begin:end], found, similarities)

    def search_cell(
        self, queries: F32, lists: I64, cell: int, leave_out: I32, found: I32, similarities: F32
    ) -> None:
        """Compare some queries with the vectors of one cell, and update their lists."""
        n = len(self.vectors)
        low, high = int(self.start[cell]), int(self.start[cell + 1])
        crowd = max(2 * found.shape[1], _CROWDED * max(1, n // len(self.cells.centroids)))
        if high - low > crowd:  # search a part: around the query itself, if it is in this cell
            low = max(low, min(int(leave_out[0]) - crowd // 2, high - crowd))
            high = low + crowd
        add_block(queries @ self.vectors[low:high].T, lists, leave_out, low, n, found, similarities)

    def _slack(self, queries: F32, cell_of: I32, k: int, floor: float, first: int, leave_out: I32) -> float:
        """Return how much less similar than the worst entry of a list a centroid may be.

        Cells with such centroids are searched. On average these are `PROBES` for a query: fewer for a
        query with many similar vectors, more for one with few.
        """
        if self.cells.near.shape[1] <= max(first, PROBES):
            return np.inf
        some = np.unique(np.linspace(0, len(queries) - 1, _SAMPLED).astype(np.int64))
        shortfalls = []
        for i in some.tolist():
            near, query, out = self.cells.near[cell_of[i]], queries[i : i + 1], leave_out[i : i + 1]
            found, similarities = empty_lists(1, k, floor, len(self.vectors))
            for cell in near[:first].tolist():
                self.search_cell(query, np.zeros(1, np.int64), cell, out, found, similarities)
            shortfalls.append(_worst(similarities) - self.cells.centroids[near[first:]] @ query[0])
        searched = max(0, PROBES - first) * len(some)
        return float(np.partition(np.concatenate(shortfalls), searched)[searched])


def _worst(similarities: F32) -> F32:
    """Return the lowest similarity of each heap, (m,); -1 for a heap that is not full."""
    worst: F32 = np.maximum(similarities[:, 0], np.float32(-1))
    return worst


def _fit_cells(vectors: F32, seed: int, workers: Workers) -> tuple[_Cells, I32]:
    """Fit cells to vectors; return the cells, none of them empty, and a guess of the cell of each vector."""
    n = len(vectors)
    n_cells = max(1, round(n / _CELL))
    n_groups = max(1, round(n_cells**0.5))
    rng = np.random.default_rng(seed)
    sample = vectors[np.sort(rng.choice(n, min(n, 2 * _SAMPLE_PER_CELL * n_groups), replace=False))]
    top = _centroids(sample, min(n_groups, len(sample)), rng, workers.run)
    group = _nearest_centroid(vectors, top, workers.run)
    most = _LARGEST_GROUP * -(-n_cells // len(top))
    guess = np.empty(n, np.int32)
    inside: dict[int, F32] = {}

    def fit(g: int, rows: I64) -> None:
        own = np.random.default_rng([seed, g])
        wanted = min(most, max(1, round(len(rows) / _CELL)))
        some = np.sort(own.choice(len(rows), min(len(rows), _SAMPLE_PER_CELL * wanted), replace=False))
        centroids = _centroids(vectors[rows[some]], wanted, own, _one_by_one)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            guess[block] = (vectors[block] @ centroids.T).argmax(axis=1)
        used, guess[rows] = np.unique(guess[rows], return_inverse=True)
        inside[g] = centroids[used]

    _for_each_label(group, len(top), fit, workers, whole=True)
    used = sorted(inside)
    first = np.concatenate([[0], np.cumsum([len(inside[g]) for g in used])])
    begins = np.zeros(len(top), np.int32)
    begins[used] = first[:-1]
    guess += begins[group]
    centroids = np.concatenate([inside[g] for g in used])
    return _Cells(top[used], first, centroids, _near_cells(top[used], first, centroids, workers)), guess


def _near_cells(top: F32, first: I64, centroids: F32, workers: Workers) -> I32:
    """Return the cells nearest to each cell, itself first, from the nearest groups."""
    count = min(RANKED, len(centroids))
    near = np.empty((len(centroids), count), np.int32)
    apart = -(top @ top.T)
    np.fill_diagonal(apart, -np.inf)
    groups = np.argsort(apart, axis=1, kind="stable")
    sizes = np.diff(first)

    def rank(g: int) -> None:
        enough = np.searchsorted(np.cumsum(sizes[groups[g]]), min(4 * count, len(centroids)))
        among = np.concatenate([np.arange(first[h], first[h + 1]) for h in groups[g, : enough + 1]])
        own = np.arange(first[g], first[g + 1])
        apart = -(centroids[own] @ centroids[among].T)
        np.fill_diagonal(apart, -np.inf)  # `among` starts with `own`: each cell is nearest to itself
        best = np.argpartition(apart, count - 1, axis=1)[:, :count]
        by_distance = np.argsort(np.take_along_axis(apart, best, axis=1), axis=1, kind="stable")
        near[own] = among[np.take_along_axis(best, by_distance, axis=1)]

    workers.run(rank, range(len(top)))
    return near


def _centroids(sample: F32, n_cells: int, rng: np.random.Generator, run: _Run) -> F32:
    """Fit unit centroids to a sample by spherical k-means."""
    centroids = sample[rng.choice(len(sample), n_cells, replace=False)]
    for _ in range(_FITTING_STEPS):
        cell = _nearest_centroid(sample, centroids, run)
        used, first = np.unique(np.sort(cell), return_index=True)
        sums = np.add.reduceat(sample[np.argsort(cell, kind="stable")], first, axis=0)
        # Move a centroid that no vector is nearest to, to a random vector.
        centroids = sample[rng.choice(len(sample), n_cells, replace=False)]
        centroids[used] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centroids


def _one_by_one(work: Callable[[int], None], items: Iterable[int]) -> None:
    """Call ``work(item)`` for each item in this thread; used in place of `Workers.run`."""
    for item in items:
        work(item)


def _nearest_centroid(vectors: F32, centroids: F32, run: _Run) -> I32:
    nearest = np.empty(len(vectors), np.int32)

    def assign(start: int) -> None:
        block = slice(start, start + _BLOCK)
        nearest[block] = (vectors[block] @ centroids.T).argmax(axis=1)

    run(assign, range(0, len(vectors), _BLOCK))
    return nearest


def _blocks(labels: I32, first: int = 0) -> Iterator[tuple[int, int]]:
    """Yield start and stop of blocks of equal consecutive labels; the first label is at position `first`."""
    ends = [*(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        for begin in range(start, stop, _BLOCK):
            yield first + begin, first + min(begin + _BLOCK, stop)


def _for_each_label(
    labels: I32, n_labels: int, work: Callable[[int, I64], None], workers: Workers, *, whole: bool = False
) -> None:
    """Call ``work(label, rows)`` for the rows of each label: block by block, or all at once if `whole`."""
    order = np.argsort(labels, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n_labels))]).tolist()

    def do(label: int) -> None:
        low, high = start[label], start[label + 1]
        for begin in range(low, high, max(1, high - low) if whole else _BLOCK):
            work(label, order[begin : high if whole else min(begin + _BLOCK, high)])

    workers.run(do, range(n_labels))
