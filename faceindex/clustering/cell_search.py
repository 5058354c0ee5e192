"""Search in the cells near each vector of those that `faceindex.clustering.partition.fit` made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from faceindex.clustering import partition
from faceindex.clustering.kernels import add_block, empty_lists, sort_lists
from faceindex.clustering.partition import blocks_of
from faceindex.clustering.shards import Arrays, Runner
from faceindex.types import F32, I32, I64

__all__ = ["Cells", "search_cells"]

_FIRST = 4  # cells that are searched before the others are chosen
_SAMPLED = 512  # vectors from which the number of chosen cells is estimated
_CROWDED = 16  # multiple of the mean size above which a cell (mostly of duplicates) is searched in part


def search_cells(
    runner: Runner, k: int, floor: float, *, queries: str, cells: str, leave_out: str | None
) -> None:
    """Find the k most similar vectors in the cells near each query.

    Makes the arrays ``found``, (m, k) int32: positions in ``ordered``, most similar first, padded with n; and
    ``similarities``, (m, k) float32, padded with `floor`.

    Parameters
    ----------
    runner : Runner
        After `partition.fit`.
    k : int
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
    """
    arrays, shard = runner.arrays, partition.SHARD
    m = len(arrays[queries])
    first = max(_FIRST, -(-2 * k // partition.CELL))
    slack = _slack(arrays, k, floor, first, queries, cells, leave_out)
    arrays.create("found", (m, k), np.int32)
    arrays.create("similarities", (m, k), np.float32)
    stage = partial(
        search,
        rows=shard,
        floor=floor,
        first=first,
        slack=slack,
        queries=queries,
        cells=cells,
        leave_out=leave_out,
    )
    runner.run(stage, range(0, m, shard))


def search(
    arrays: Arrays,
    start: int,
    *,
    rows: int,
    floor: float,
    first: int,
    slack: float,
    queries: str,
    cells: str,
    leave_out: str | None,
) -> None:
    """Search for some queries (a stage)."""
    vectors, own_cells = arrays[queries][start : start + rows], arrays[cells][start : start + rows]
    out = _left_out(arrays, leave_out, start, start + len(vectors))
    everything = Cells.of(arrays)
    stop = start + len(vectors)
    found, similarities = arrays.rows("found", start, stop), arrays.rows("similarities", start, stop)
    found[:], similarities[:] = len(everything.vectors), floor
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
    """Vectors in the order of their cells; for the names and shapes see `partition.fit`."""

    vectors: F32
    start: I64
    centroids: F32
    near: I32

    @classmethod
    def of(cls, arrays: Arrays) -> Cells:
        """Take the arrays."""
        return cls(arrays["ordered"], arrays["cell_start"], arrays["centroids"], arrays["near"])

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
        add_block(queries @ self.vectors[low:high].T, lists, leave_out, low, n, found, similarities)


def _slack(
    arrays: Arrays, k: int, floor: float, first: int, queries: str, cells: str, leave_out: str | None
) -> float:
    """Return how much less similar than the worst entry of a list a centroid may be.

    Cells with such centroids are searched. On average these are `PROBES` for a query: fewer for a
    query with many similar vectors, more for one with few.
    """
    vectors, everything, cell_of = arrays[queries], Cells.of(arrays), arrays[cells]
    if everything.near.shape[1] <= max(first, partition.PROBES):
        return np.inf
    some = np.unique(np.linspace(0, len(vectors) - 1, _SAMPLED).astype(np.int64))
    shortfalls = []
    for i in some.tolist():
        near, query = everything.near[cell_of[i]], vectors[i : i + 1]
        out = _left_out(arrays, leave_out, i, i + 1)
        found, similarities = empty_lists(1, k, floor, len(everything.vectors))
        for cell in near[:first].tolist():
            everything.search(query, np.zeros(1, np.int64), cell, out, found, similarities)
        shortfalls.append(_worst(similarities) - everything.centroids[near[first:]] @ query[0])
    searched = max(0, partition.PROBES - first) * len(some)
    return float(np.partition(np.concatenate(shortfalls), searched)[searched])


def _left_out(arrays: Arrays, name: str | None, start: int, stop: int) -> I32:
    return np.arange(start, stop, dtype=np.int32) if name is None else arrays[name][start:stop]


def _worst(similarities: F32) -> F32:
    """Return the lowest similarity of each heap, (m,); -1 for a heap that is not full."""
    worst: F32 = np.maximum(similarities[:, 0], np.float32(-1))
    return worst
