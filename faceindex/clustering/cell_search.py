"""Search in the cells near each vector of those that `faceindex.clustering.partition.fit` made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from faceindex.clustering import partition
from faceindex.clustering.kernels import add_block, make_heaps, sort_lists
from faceindex.clustering.partition import blocks_of
from faceindex.clustering.shards import Arrays, Runner
from faceindex.types import F32, I32, I64

__all__ = ["CellQuery", "Cells", "keep_lists", "search_cells"]

_FIRST = 4  # cells that are searched before the others are chosen
_SAMPLED = 512  # vectors from which the number of chosen cells is estimated
_CROWDED = 16  # multiple of the mean size above which a cell (mostly of duplicates) is searched in part


@dataclass(frozen=True, slots=True)
class CellQuery:
    """What is searched for which queries.

    Attributes
    ----------
    k : int
        Vectors to find for each query.
    floor : float
        Vectors of this similarity or less are left out.
    queries : str
        Name of an array of m vectors, in the order of their cells.
    cells : str
        Of the array of the cell of each query, (m,) int32, ascending.
    leave_out : str or None
        Of an array of the position in ``ordered`` that must not be found for each query, -1 for none, (m,)
        int32. None means that each query is the vector of ``ordered`` at its own position, and leaves that
        out.
    resumes : bool
        Whether the lists begin with those that `keep_lists` kept, of an earlier partition.
    """

    k: int
    floor: float
    queries: str = "ordered"
    cells: str = "cell_of"
    leave_out: str | None = None
    resumes: bool = False

    def begin(self, arrays: Arrays, start: int, found: I32, similarities: F32) -> None:
        """Fill the lists, as heaps, of the queries from `start` on."""
        if not self.resumes:
            found[:], similarities[:] = len(arrays["ordered"]), self.floor
            return
        rows = arrays["kept_row"][start : start + len(found)]
        found[:] = arrays["kept_place"][arrays["kept_found"][rows]]
        similarities[:] = arrays["kept_similarities"][rows]
        make_heaps(found, similarities)

    def left_out(self, arrays: Arrays, start: int, stop: int) -> I32:
        """Return what must not be found for some queries."""
        if self.leave_out is None:
            return np.arange(start, stop, dtype=np.int32)
        left_out: I32 = arrays[self.leave_out][start:stop]
        return left_out


def search_cells(runner: Runner, query: CellQuery) -> None:
    """Find the most similar vectors in the cells near each query.

    Makes the arrays ``found``, (m, k) int32: positions in ``ordered``, most similar first, padded with n; and
    ``similarities``, (m, k) float32, padded with the floor.

    Parameters
    ----------
    runner : Runner
        After `partition.fit`. The arrays of `keep_lists` are removed.
    query : CellQuery
    """
    arrays, shard = runner.arrays, partition.SHARD
    m, k = len(arrays[query.queries]), query.k
    first = max(_FIRST, -(-2 * k // partition.CELL))
    slack = _slack(arrays, query, first)
    arrays.create("found", (m, k), np.int32)
    arrays.create("similarities", (m, k), np.float32)
    runner.run(partial(search, rows=shard, query=query, first=first, slack=slack), range(0, m, shard))
    arrays.remove("kept_row", "kept_place", "kept_found", "kept_similarities")


def keep_lists(runner: Runner, rows: I32, place: I32) -> None:
    """Keep the lists of `search_cells` for a search in another partition, which was fitted meanwhile.

    Makes the arrays ``kept_found``, ``kept_similarities``, ``kept_row`` and ``kept_place``. That search
    removes them.

    Parameters
    ----------
    runner : Runner
    rows : (m,) int32
        For each query of that search, its row in these lists.
    place : (n + 1,) int32
        Where each vector of the earlier ``ordered`` is in the new one; n for n, which pads lists.
    """
    arrays = runner.arrays
    arrays.put("kept_place", place)
    arrays.put("kept_row", rows)
    arrays.rename("found", "kept_found")
    arrays.rename("similarities", "kept_similarities")


def search(arrays: Arrays, start: int, *, rows: int, query: CellQuery, first: int, slack: float) -> None:
    """Search for some queries (a stage)."""
    vectors, own_cells = (arrays[name][start : start + rows] for name in (query.queries, query.cells))
    stop = start + len(vectors)
    out = query.left_out(arrays, start, stop)
    everything = Cells.of(arrays, query.resumes)
    found, similarities = arrays.rows("found", start, stop), arrays.rows("similarities", start, stop)
    query.begin(arrays, start, found, similarities)
    at, chosen = [], []
    for begin, end in blocks_of(own_cells):
        near, positions = everything.near[own_cells[begin]], np.arange(begin, end)
        block = vectors[begin:end]
        for cell in near[:first].tolist():
            everything.search(block, positions, cell, out[begin:end], found, similarities)
        enough = _worst(similarities[begin:end]) - slack
        close = block @ everything.centroids[near[first:]].T >= enough[:, None]
        lists, columns = np.divmod(np.flatnonzero(close), close.shape[1])
        at.append(positions[lists])
        chosen.append(near[first:][columns])
    everything.search_each(vectors, np.concatenate(at), np.concatenate(chosen), out, found, similarities)
    sort_lists(found, similarities, 0, len(vectors))
    arrays.write("found", start, found)
    arrays.write("similarities", start, similarities)


@dataclass(frozen=True, slots=True)
class Cells:
    """Vectors in the order of their cells; for the names and shapes see `partition.fit`.

    Attributes
    ----------
    resumes : bool
        Whether lists may have some of the vectors of a cell before it is searched.
    """

    vectors: F32
    start: I64
    centroids: F32
    near: I32
    resumes: bool

    @classmethod
    def of(cls, arrays: Arrays, resumes: bool) -> Cells:
        """Take the arrays."""
        return cls(arrays["ordered"], arrays["cell_start"], arrays["centroids"], arrays["near"], resumes)

    def search_each(
        self, queries: F32, lists: I64, cells: I32, leave_out: I32, found: I32, similarities: F32
    ) -> None:
        """Search ``cells[i]`` for the query ``lists[i]``, for each i."""
        by_cell = np.argsort(cells, kind="stable")
        lists, cells = lists[by_cell], cells[by_cell]
        out = leave_out[lists]
        for begin, end in blocks_of(cells):
            some = lists[begin:end]
            self.search(queries[some], some, int(cells[begin]), out[begin:end], found, similarities)

    def search(
        self, queries: F32, lists: I64, cell: int, leave_out: I32, found: I32, similarities: F32
    ) -> None:
        """Compare some queries with the vectors of one cell, and update their lists."""
        n = len(self.vectors)
        low, high = int(self.start[cell]), int(self.start[cell + 1])
        crowd = max(2 * found.shape[1], _CROWDED * max(1, n // len(self.centroids)))
        if high - low > crowd:  # search a part: around the query itself, if it is in this cell
            low = max(low, min(int(leave_out[0]) - crowd // 2, high - crowd))
            high = low + crowd
        block = queries @ self.vectors[low:high].T
        add_block(block, lists, leave_out, low, n, self.resumes, found, similarities)


def _slack(arrays: Arrays, query: CellQuery, first: int) -> float:
    """Return how much less similar than the worst entry of a list a centroid may be.

    Cells with such centroids are searched. On average these are `PROBES` for a query in each partition: fewer
    for a query with many similar vectors, more for one with few.
    """
    vectors, cell_of, k = arrays[query.queries], arrays[query.cells], query.k
    everything = Cells.of(arrays, query.resumes)
    if everything.near.shape[1] <= max(first, partition.PROBES):
        return np.inf
    some = np.unique(np.linspace(0, len(vectors) - 1, _SAMPLED).astype(np.int64))
    shortfalls = []
    found, similarities = np.empty((1, k), np.int32), np.empty((1, k), np.float32)
    for i in some.tolist():
        near, vector = everything.near[cell_of[i]], vectors[i : i + 1]
        out = query.left_out(arrays, i, i + 1)
        query.begin(arrays, i, found, similarities)
        for cell in near[:first].tolist():
            everything.search(vector, np.zeros(1, np.int64), cell, out, found, similarities)
        shortfalls.append(_worst(similarities) - everything.centroids[near[first:]] @ vector[0])
    searched = max(0, partition.PROBES - first) * len(some)
    return float(np.partition(np.concatenate(shortfalls), searched)[searched])


def _worst(similarities: F32) -> F32:
    """Return the lowest similarity of each heap, (m,); -1 for a heap that is not full."""
    worst: F32 = np.maximum(similarities[:, 0], np.float32(-1))
    return worst
