"""Vectors in small cells, each with a list of the cells near it: what is searched when all is too much.

An inverted file (Jegou et al. 2011, https://doi.org/10.1109/TPAMI.2010.57) with cells of a constant size.
So that neither fitting the cells nor finding those near a vector grows with the number of cells, spherical
k-means makes groups of cells first and cells inside each group then, and a vector is compared with the
centroids that are near its own cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from faceindex.clustering.kernels import empty_lists, keep_best, sort_lists
from faceindex.clustering.workers import Workers
from faceindex.types import F32, I32, I64

__all__ = ["Partition"]

# Chosen by benchmarks/scale.py on made-up faces of long-tailed people. Smaller cells hold more neighbours
# for each vector that is looked at, and cost more to find.
_CELL = 64  # vectors in a cell, on average
_PROBES = 64  # cells that are searched for a vector, on average
_RANKED = 2500  # cells near that of a vector, among which those are chosen
_FIRST = 4  # cells that are searched before the others are chosen
_SAMPLED = 512  # vectors that show how many cells would be chosen
_OWN = 256  # cells near a first guess, among which that of a vector is chosen
_SAMPLE_PER_CELL = 32  # vectors that the centroids are fitted to
_FITTING_STEPS = 5
_LARGEST_GROUP = 4  # times the mean: cells in one group; vectors that are all alike need no more
_SHARD = 16_384  # vectors that a thread searches the cells for at a time
_BLOCK = 256  # vectors in a matrix product
_CROWDED = 16  # times the mean: a cell with more vectors (duplicates, mostly) is searched in part

_Run: TypeAlias = Callable[[Callable[[int], None], Iterable[int]], None]


@dataclass(frozen=True, slots=True)
class _Cells:
    """Centroids of cells, in groups.

    Group g has the centroid ``top[g]`` and the cells ``first[g]..first[g + 1] - 1``; cell c has the
    centroid ``centroids[c]``, and the nearest cells to it are ``near[c]``, itself first.
    """

    top: F32
    first: I64
    centroids: F32
    near: I32

    def own(self, vectors: F32, workers: Workers) -> I32:
        """(n,) the nearest cell of each vector, nearly."""
        group = _nearest_centroid(vectors, self.top, workers.run)
        guess = np.empty(len(vectors), np.int32)

        def inside(g: int, rows: I64) -> None:
            centroids = self.centroids[self.first[g] : self.first[g + 1]]
            guess[rows] = self.first[g] + (vectors[rows] @ centroids.T).argmax(axis=1)

        _each(group, len(self.top), inside, workers)
        return self.improved(vectors, guess, workers)

    def improved(self, vectors: F32, guess: I32, workers: Workers) -> I32:
        """The nearest cell of each vector among those near to a guess."""
        best = np.empty(len(vectors), np.int32)

        def look(c: int, rows: I64) -> None:
            near = self.near[c, :_OWN]
            best[rows] = near[(vectors[rows] @ self.centroids[near].T).argmax(axis=1)]

        _each(guess, len(self.centroids), look, workers)
        return best


@dataclass(frozen=True, slots=True)
class Partition:
    """Vectors in the order of the cells that they are in.

    ``vectors[i]`` was at ``order[i]`` and is in cell ``own[i]``; cell c is
    ``vectors[start[c]:start[c + 1]]``.
    """

    order: I64
    vectors: F32
    own: I32
    start: I64
    cells: _Cells

    @staticmethod
    def fit(vectors: F32, seed: int, workers: Workers) -> Partition:
        """Partition (n, d) vectors of unit length, n > 0; same vectors and seed, same partition."""
        cells, guess = _fit_cells(vectors, seed, workers)
        own = cells.improved(vectors, guess, workers)
        order = np.argsort(own, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(own, minlength=len(cells.centroids)))])
        return Partition(order, vectors[order], own[order], start, cells)

    @property
    def names(self) -> I32:
        """Positions before the partition, and -1 for the one behind all."""
        return np.append(self.order.astype(np.int32), np.int32(-1))

    def own_cells(self, queries: F32, workers: Workers) -> I32:
        """(m,) the cell that each query would be in."""
        return self.cells.own(queries, workers)

    def search(
        self, queries: F32, own: I32, k: int, floor: float, leave_out: I32, workers: Workers
    ) -> tuple[I32, F32]:
        """The best of the cells near to each query, by positions in `vectors`; their number pads.

        `own` are the queries' cells, ascending.
        """
        m, n = len(queries), len(self.vectors)
        found, similarities = empty_lists(m, k, floor, n)
        first = max(_FIRST, -(-2 * k // _CELL))
        slack = self._slack(queries, own, k, floor, first, leave_out)

        def search(start: int) -> None:
            stop = min(start + _SHARD, m)
            lines, cells = [], []
            for begin, end in _blocks(own[start:stop], start):
                near, asking = self.cells.near[own[begin]], np.arange(begin, end)
                asked, out = queries[begin:end], leave_out[begin:end]
                for cell in near[:first].tolist():
                    self._look(asked, asking, cell, out, found, similarities)
                enough = _worst(similarities[begin:end]) - slack
                close = asked @ self.cells.centroids[near[first:]].T >= enough[:, None]
                rows, columns = np.divmod(np.flatnonzero(close), close.shape[1])
                lines.append(asking[rows])
                cells.append(near[first:][columns])
            self._probe(queries, np.concatenate(lines), np.concatenate(cells), leave_out, found, similarities)
            sort_lists(found, similarities, start, stop)

        workers.run(search, range(0, m, _SHARD))
        return found, similarities

    def _probe(
        self, queries: F32, lines: I64, cells: I32, leave_out: I32, found: I32, similarities: F32
    ) -> None:
        """Look for the query of each line in the cell beside it."""
        by_cell = np.argsort(cells, kind="stable")
        lines, cells = lines[by_cell], cells[by_cell]
        out = leave_out[lines]
        for begin, end in _blocks(cells):
            asking = lines[begin:end]
            self._look(queries[asking], asking, int(cells[begin]), out[begin:end], found, similarities)

    def _look(self, asked: F32, lines: I64, cell: int, leave_out: I32, found: I32, similarities: F32) -> None:
        """Look for some queries in one cell."""
        n = len(self.vectors)
        low, high = int(self.start[cell]), int(self.start[cell + 1])
        crowd = max(2 * found.shape[1], _CROWDED * max(1, n // len(self.cells.centroids)))
        if high - low > crowd:  # its own vectors look around themselves
            low = max(low, min(int(leave_out[0]) - crowd // 2, high - crowd))
            high = low + crowd
        keep_best(asked @ self.vectors[low:high].T, lines, leave_out, low, n, found, similarities)

    def _slack(self, queries: F32, own: I32, k: int, floor: float, first: int, leave_out: I32) -> float:
        """How far short a centroid may fall for its cell to be searched.

        With it, `_PROBES` cells are searched for a query on average: fewer for one
        with many alike around it, more for a lonely one.
        """
        if self.cells.near.shape[1] <= max(first, _PROBES):
            return np.inf
        some = np.unique(np.linspace(0, len(queries) - 1, _SAMPLED).astype(np.int64))
        short = []
        for i in some.tolist():
            near, asked, out = self.cells.near[own[i]], queries[i : i + 1], leave_out[i : i + 1]
            found, similarities = empty_lists(1, k, floor, len(self.vectors))
            for cell in near[:first].tolist():
                self._look(asked, np.zeros(1, np.int64), cell, out, found, similarities)
            short.append(_worst(similarities) - self.cells.centroids[near[first:]] @ asked[0])
        searched = max(0, _PROBES - first) * len(some)
        return float(np.partition(np.concatenate(short), searched)[searched])


def _worst(similarities: F32) -> F32:
    """(m,) the least similarity of each heap; -1 for one that is not full."""
    worst: F32 = np.maximum(similarities[:, 0], np.float32(-1))
    return worst


def _fit_cells(vectors: F32, seed: int, workers: Workers) -> tuple[_Cells, I32]:
    """Cells of vectors, none of them empty, and a guess of the cell of each vector."""
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

    _each(group, len(top), fit, workers, whole=True)
    used = sorted(inside)
    first = np.concatenate([[0], np.cumsum([len(inside[g]) for g in used])])
    begins = np.zeros(len(top), np.int32)
    begins[used] = first[:-1]
    guess += begins[group]
    centroids = np.concatenate([inside[g] for g in used])
    return _Cells(top[used], first, centroids, _near_cells(top[used], first, centroids, workers)), guess


def _near_cells(top: F32, first: I64, centroids: F32, workers: Workers) -> I32:
    """The cells nearest to each, itself first, among those of the nearest groups."""
    count = min(_RANKED, len(centroids))
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
        np.fill_diagonal(apart, -np.inf)  # its own group comes first
        best = np.argpartition(apart, count - 1, axis=1)[:, :count]
        by_distance = np.argsort(np.take_along_axis(apart, best, axis=1), axis=1, kind="stable")
        near[own] = among[np.take_along_axis(best, by_distance, axis=1)]

    workers.run(rank, range(len(top)))
    return near


def _centroids(sample: F32, n_cells: int, rng: np.random.Generator, run: _Run) -> F32:
    """Spherical k-means: unit vectors that most of the sample is near to one of."""
    centroids = sample[rng.choice(len(sample), n_cells, replace=False)]
    for _ in range(_FITTING_STEPS):
        cell = _nearest_centroid(sample, centroids, run)
        used, first = np.unique(np.sort(cell), return_index=True)
        sums = np.add.reduceat(sample[np.argsort(cell, kind="stable")], first, axis=0)
        # A cell that nothing is nearest to starts again elsewhere.
        centroids = sample[rng.choice(len(sample), n_cells, replace=False)]
        centroids[used] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centroids


def _one_by_one(work: Callable[[int], None], items: Iterable[int]) -> None:
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
    """Start and stop of runs of equal labels, in blocks; of labels of positions from `first` on."""
    ends = [*(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        for begin in range(start, stop, _BLOCK):
            yield first + begin, first + min(begin + _BLOCK, stop)


def _each(
    labels: I32, n_labels: int, work: Callable[[int, I64], None], workers: Workers, *, whole: bool = False
) -> None:
    """Do `work` on each label that there is and the rows that have it, in blocks if not `whole`."""
    order = np.argsort(labels, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n_labels))]).tolist()

    def do(label: int) -> None:
        low, high = start[label], start[label + 1]
        for begin in range(low, high, max(1, high - low) if whole else _BLOCK):
            work(label, order[begin : high if whole else min(begin + _BLOCK, high)])

    workers.run(do, range(n_labels))
