"""Improve lists of neighbours: by reverse neighbours, and by the neighbours of neighbours.

As in NN-descent (Dong et al. 2011, https://doi.org/10.1145/1963405.1963487).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from faceindex.clustering.kernels import add_reverse_neighbours, mark_new, refine, reverse_edges
from faceindex.clustering.shards import Arrays, Runner

__all__ = ["refine_lists"]

_HOPS = 20  # neighbours of a vector, and of each of these, that are followed; chosen by benchmarks/scale.py
_MOST_PARTS = 512  # of the lists, between which edges are exchanged
_LARGEST_PART = 1 << 16  # positions in a part: edges have 16 bits for them


def refine_lists(runner: Runner, rounds: int, shard: int) -> None:
    """Compare vectors with the neighbours of their neighbours, and update the lists.

    With a runner on files, this process holds nothing of the arrays.

    Parameters
    ----------
    runner : Runner
        With the array ``ordered``, (n, d), and the lists ``found`` and ``similarities`` of
        `faceindex.clustering.cell_search.search_cells`.
    rounds : int
    shard : int
        Vectors that are refined at a time.
    """
    arrays = runner.arrays
    n, k = arrays["found"].shape
    hops = min(k, _HOPS)
    shards = range(0, n, shard)
    part = min(_LARGEST_PART, shard * -(-n // (shard * _MOST_PARTS)))
    lists = ("found", "similarities")
    arrays.create("known", (n, hops), np.int32)
    arrays.create("new", (n, hops), np.bool_)
    for number in range(rounds):
        _add_reverse_neighbours(runner, n, hops, part)
        is_first = number == 0
        runner.run(
            partial(mark, rows=shard, is_first=is_first), shards, updates=() if is_first else ("known",)
        )
        runner.run(partial(compare, rows=shard), shards, updates=lists)
    arrays.remove("known", "new")
    _add_reverse_neighbours(runner, n, hops, part)


def _add_reverse_neighbours(runner: Runner, n: int, hops: int, part: int) -> None:
    """Add i to the list of j wherever j is in that of i.

    Each part of the lists writes its edges in the order of the parts to which they lead. Then each part reads
    those to itself, so that none reads all.
    """
    arrays = runner.arrays
    parts = -(-n // part)
    arrays.create("edges", (n * hops,), np.uint32)
    arrays.create("edge_similarities", (n * hops,), np.float32)
    arrays.create("edge_starts", (parts, parts + 1), np.int64)
    runner.run(partial(write_edges, part=part, hops=hops), range(parts))
    runner.run(partial(add_edges, part=part, hops=hops), range(parts), updates=("found", "similarities"))
    arrays.remove("edges", "edge_similarities", "edge_starts")


# Stages ------------------------------------------------------------------------------------------


def write_edges(arrays: Arrays, number: int, *, part: int, hops: int) -> None:
    """Write the edges to the vectors of one part from their neighbours."""
    low, n = number * part, len(arrays["found"])
    found, similarities = arrays["found"][low : low + part], arrays["similarities"][low : low + part]
    first, last = low * hops, (low + len(found)) * hops
    edges, values = arrays.rows("edges", first, last), arrays.rows("edge_similarities", first, last)
    starts = arrays.rows("edge_starts", number, number + 1)
    reverse_edges(found, similarities, hops, n, part, edges, values, starts[0])
    arrays.write("edges", first, edges)
    arrays.write("edge_similarities", first, values)
    arrays.write("edge_starts", number, starts)


def add_edges(arrays: Arrays, number: int, *, part: int, hops: int) -> None:
    """Add the edges that lead to one part of the lists."""
    low, n = number * part, len(arrays["found"])
    starts = arrays["edge_starts"]
    first_rows = np.arange(0, n, part)
    begins, ends = first_rows * hops + starts[:, number], first_rows * hops + starts[:, number + 1]
    found = arrays.rows("found", low, min(low + part, n))
    similarities = arrays.rows("similarities", low, min(low + part, n))
    edges, values = arrays["edges"], arrays["edge_similarities"]
    add_reverse_neighbours(edges, values, begins, ends, first_rows, found, similarities)
    arrays.write("found", low, found)
    arrays.write("similarities", low, similarities)


def mark(arrays: Arrays, start: int, *, rows: int, is_first: bool) -> None:
    """Note the neighbours that are followed, and which of them were not in the last round."""
    hops = arrays["known"].shape[1]
    known = arrays["found"][start : start + rows, :hops].copy()
    new = np.ones(known.shape, np.bool_)
    if not is_first:
        mark_new(known, arrays["known"][start : start + rows], new)
    arrays.write("new", start, new)
    arrays.write("known", start, known)


def compare(arrays: Arrays, start: int, *, rows: int) -> None:
    """Compare some vectors with the neighbours of their neighbours."""
    stop = min(start + rows, len(arrays["found"]))
    found, similarities = arrays.rows("found", start, stop), arrays.rows("similarities", start, stop)
    refine(arrays["ordered"], arrays["known"], arrays["new"], start, found, similarities)
    arrays.write("found", start, found)
    arrays.write("similarities", start, similarities)
