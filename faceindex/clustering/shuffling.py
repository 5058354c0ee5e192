"""Rows of a graph in shards, and the exchange of edges between these.

A shard holds the rows of a range of nodes. An edge that one shard finds, and that belongs to a row of another
one, is sent: it is stored, in a run of edges to that shard, which gathers its runs. So no shard reads all
edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from faceindex.clustering.shards import Arrays
from faceindex.types import F32, I32, I64, Graph

__all__ = [
    "Edges",
    "Shards",
    "gather",
    "make_edges",
    "make_rows",
    "once",
    "prepare_sending",
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


def once(edges: Edges, *, add: bool) -> Edges:
    """Return edges sorted, each once: with the sum of the weights that it has in `edges`, or the greatest."""
    key = edges["a"].astype(np.int64) << 32 | edges["b"]
    order = np.argsort(key, kind="stable")  # so that sums do not depend on who sent what
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    del key
    if not len(first):
        return edges
    unique = edges[order[first]]
    weights = edges["weight"][order]
    unique["weight"] = np.add.reduceat(weights, first) if add else np.maximum.reduceat(weights, first)
    return unique


def prepare_sending(arrays: Arrays, name: str, sources: int, shards: Shards) -> None:
    """Prepare an exchange, before a stage in which so many shards `send`."""
    arrays.create(_starts(name), (sources, len(shards) + 1), np.int64)


def _starts(name: str) -> str:
    """Return the name of the array that has, for each source, where the edges to each shard start."""
    return f"{name}.starts"


def send(arrays: Arrays, name: str, source: int, edges: Edges, shards: Shards) -> None:
    """Store edges for the shards that hold the rows of their first ends.

    Parameters
    ----------
    arrays : Arrays
    name : str
        Of this exchange.
    source : int
        The shard that sends; it sends once. `prepare_sending` has made room for it.
    edges : Edges
    shards : Shards
        Of the rows.
    """
    edges = edges[np.argsort(edges["a"], kind="stable")]
    arrays.put(f"{name}.{source}", edges)
    ends = np.minimum(np.arange(len(shards) + 1, dtype=np.int64) * shards.rows, shards.n)
    arrays.write(_starts(name), source, np.searchsorted(edges["a"], ends).astype(np.int64)[None])


def gather(
    arrays: Arrays,
    name: str,
    shard: int,
    shards: Shards,
    own: Edges | None = None,
    *,
    add: bool,
) -> Graph:
    """Make the rows of a shard of the edges that were sent to it.

    Parameters
    ----------
    arrays : Arrays
    name : str
    shard : int
    shards : Shards
        Of the rows.
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
    starts = np.array(arrays[_starts(name)][:, shard : shard + 2])
    for source, (start, stop) in enumerate(starts.tolist()):
        # By `rows`: the runs of all sources are in use at once, and so many files cannot be open.
        found.append(arrays.rows(f"{name}.{source}", start, stop))
    return _compressed(once(np.concatenate(found), add=add), low, high - low)


def remove_sent(arrays: Arrays, name: str, sources: int) -> None:
    """Remove what `send` stored."""
    arrays.remove(_starts(name), *(f"{name}.{source}" for source in range(sources)))


def make_rows(edges: Edges, n: int) -> Graph:
    """Make the graph of n nodes of edges that are given in both directions, each once."""
    return _compressed(once(edges, add=False), 0, n)


def _compressed(edges: Edges, low: int, n: int) -> Graph:
    """Return the rows of n nodes from `low` on; the edges are sorted."""
    counts = np.bincount(edges["a"] - np.int32(low), minlength=n)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Graph(indptr, np.ascontiguousarray(edges["b"]), np.ascontiguousarray(edges["weight"]))


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
