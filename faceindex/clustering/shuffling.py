"""Rows of a graph in shards, and the exchange of edges between these.

A shard holds the rows of a range of nodes. An edge that a shard finds, but that belongs to a row of another one,
is sent: it is stored with the edges for each shard in a run of their own, and that shard gathers its runs. So
no shard reads all edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from faceindex.clustering.shards import Arrays
from faceindex.compiled import compiled
from faceindex.types import F32, I32, I64, Graph

__all__ = [
    "Edges",
    "Shards",
    "add_equal",
    "gather",
    "make_edges",
    "make_rows",
    "read_rows",
    "remove_rows",
    "remove_sent",
    "send",
    "write_rows",
]

Edges: TypeAlias = NDArray[Any]
"""(m,) with the fields ``a``, ``b`` (int32) and ``weight`` (float32)."""

_EDGE = np.dtype([("a", np.int32), ("b", np.int32), ("weight", np.float32)])


@dataclass(frozen=True, slots=True)
class Shards:
    """Ranges of n nodes of nearly equal length.

    Attributes
    ----------
    n : int
    rows : int
        Nodes of a shard; the last one has fewer.
    """

    n: int
    rows: int

    @classmethod
    def of(cls, n: int, number: int) -> Shards:
        """Divide n nodes among so many shards, or among fewer if there are fewer nodes."""
        return cls(n, max(1, -(-n // max(1, number))))

    def __len__(self) -> int:
        return -(-self.n // self.rows)

    def range(self, shard: int) -> tuple[int, int]:
        """Return the first node of a shard, and the one after its last."""
        return shard * self.rows, min((shard + 1) * self.rows, self.n)


def make_edges(a: NDArray[Any], b: NDArray[Any], weights: F32) -> Edges:
    """Return edges as one array."""
    edges = np.empty(len(a), _EDGE)
    edges["a"], edges["b"], edges["weight"] = a, b, weights
    return edges


def add_equal(edges: Edges) -> Edges:
    """Return each edge once, sorted, with the sum of the weights that it has among `edges`."""
    key = edges["a"].astype(np.int64) << 32 | edges["b"]
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    if not len(first):
        return edges
    once = edges[order[first]]
    once["weight"] = np.add.reduceat(edges["weight"][order], first, dtype=np.float64)
    return once


def send(arrays: Arrays, name: str, source: int, edges: Edges, shards: Shards) -> None:
    """Store edges for the shards that hold the rows of their first ends.

    Parameters
    ----------
    arrays : Arrays
    name : str
        Of this exchange.
    source : int
        The shard that sends; it sends once.
    edges : Edges
    shards : Shards
        Of the rows.
    """
    edges = edges[np.argsort(edges["a"], kind="stable")]
    arrays.put(f"{name}.{source}", edges)
    ends = np.minimum(np.arange(len(shards) + 1, dtype=np.int64) * shards.rows, shards.n)
    arrays.put(f"{name}.{source}.starts", np.searchsorted(edges["a"], ends).astype(np.int64))


def gather(
    arrays: Arrays, name: str, shard: int, shards: Shards, sources: int, own: Edges | None = None, *, add: bool
) -> Graph:
    """Make the rows of a shard of the edges that were sent to it.

    Parameters
    ----------
    arrays : Arrays
    name : str
    shard : int
    shards : Shards
        Of the rows.
    sources : int
        Number of shards that sent.
    own : Edges, optional
        More edges of these rows.
    add : bool
        Add the weights of equal edges. Else, their greatest is kept.

    Returns
    -------
    Graph
        Its rows are the nodes of the shard; its indices are any nodes, ascending in each row.
    """
    low, high = shards.range(shard)
    found = [] if own is None else [own]
    for source in range(sources):
        starts = arrays[f"{name}.{source}.starts"]
        found.append(np.asarray(arrays[f"{name}.{source}"][starts[shard] : starts[shard + 1]]))
    return _compressed(np.concatenate(found), low, high - low, add=add)


def remove_sent(arrays: Arrays, name: str, sources: int) -> None:
    """Remove what `send` stored."""
    for source in range(sources):
        arrays.remove(f"{name}.{source}", f"{name}.{source}.starts")


def make_rows(edges: Edges, n: int) -> Graph:
    """Make the graph of n nodes of edges that are given in both directions, each once."""
    return _compressed(edges, 0, n, add=False)


def _compressed(edges: Edges, low: int, n: int, *, add: bool) -> Graph:
    a, b, weights = (np.ascontiguousarray(edges[field]) for field in ("a", "b", "weight"))
    return Graph(*_rows(a, b, weights, low, n, add))


def write_rows(arrays: Arrays, name: str, shard: int, rows: Graph) -> None:
    """Store the rows of a shard."""
    arrays.put(f"{name}.{shard}.indptr", rows.indptr)
    arrays.put(f"{name}.{shard}.indices", rows.indices)
    arrays.put(f"{name}.{shard}.weights", rows.weights)


def read_rows(arrays: Arrays, name: str, shard: int) -> Graph:
    """Return what `write_rows` stored."""
    indptr: I64 = arrays[f"{name}.{shard}.indptr"]
    indices: I32 = arrays[f"{name}.{shard}.indices"]
    return Graph(indptr, indices, arrays[f"{name}.{shard}.weights"])


def remove_rows(arrays: Arrays, name: str, shards: int) -> None:
    """Remove what `write_rows` stored."""
    for shard in range(shards):
        arrays.remove(*(f"{name}.{shard}.{part}" for part in ("indptr", "indices", "weights")))


@compiled(nogil=True)
def _rows(a, b, weights, low, n, add):  # type: ignore[no-untyped-def]
    """Return n rows in compressed form: ascending, equal edges as one. Their order decides how floats add."""
    first = np.zeros(n + 1, np.int64)
    for one in a:
        first[one - low + 1] += 1
    for i in range(n):
        first[i + 1] += first[i]
    at = first[:-1].copy()
    by_row = np.empty(len(a), np.int64)
    for e in range(len(a)):
        row = a[e] - low
        by_row[at[row]] = e
        at[row] += 1
    indptr = np.zeros(n + 1, np.int64)
    indices, values = np.empty(len(a), np.int32), np.empty(len(a), np.float32)
    out = 0
    for i in range(n):
        own = by_row[first[i] : first[i + 1]]
        order = np.argsort(b[own], kind="mergesort")
        last = np.int64(-1)
        total = 0.0
        for e in own[order]:
            value = np.float64(weights[e])
            if b[e] == last:
                total = total + value if add else max(total, value)
            else:
                last, total = np.int64(b[e]), value
                indices[out] = b[e]
                out += 1
            values[out - 1] = total
        indptr[i + 1] = out
    return indptr, indices[:out].copy(), values[:out].copy()
