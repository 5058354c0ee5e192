"""Neighbour graphs: symmetric, weighted, in compressed sparse rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceindex.clustering import ClusterOptions
from faceindex.compiled import compiled
from faceindex.models.spec import Calibration
from faceindex.types import F32, I32, I64, Graph

__all__ = [
    "GRAPH_FLOOR",
    "Evidence",
    "add_edges",
    "graph_from_edges",
    "log_odds",
    "prior_log_odds",
    "symmetric_graph",
]

GRAPH_FLOOR = -4.0
"""Log-odds up to which edges are left out. Edges below 0 let faces join settled clusters."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What similarities mean for the edges of a neighbour graph.

    Attributes
    ----------
    even : float
        Similarity where one person and two are equally probable: the weight is 0.
    slope : float
        Weight for each unit of similarity.
    floor : float
        Weight up to which edges are left out.
    """

    even: float
    slope: float
    floor: float

    def weights(self, similarities: F32) -> F32:
        """Return the weights of edges, float32 of the same shape."""
        weights: F32 = similarities - np.float32(self.even)
        weights *= np.float32(self.slope)
        return weights

    @property
    def least(self) -> float:
        """Similarity up to which edges are left out."""
        return self.even + self.floor / self.slope


def log_odds(similarities: F32, n: int, calibration: Calibration) -> F32:
    """Return the log-odds that two faces show the same person.

    The evidence comes from the embedder's calibration; the prior is one match among `n`.

    Parameters
    ----------
    similarities : float32, any shape
    n : int
        Number of faces (or clusters) that were searched for a match.
    calibration : Calibration

    Returns
    -------
    float32, same shape
        0 where one person and two people are equally probable.
    """
    odds = calibration.slope * (similarities - calibration.threshold(n))
    return odds.astype(np.float32, copy=False)


def prior_log_odds(n: int, options: ClusterOptions) -> float:
    """Return the prior that is part of `log_odds`: the log-odds at the midpoint of the calibration.

    Parameters
    ----------
    n : int
        As in `log_odds`.
    options : ClusterOptions
        With a calibration. A constant threshold replaces the prior of one match among `n`.
    """
    calibration = options.calibration
    assert calibration is not None
    even = calibration.threshold(n) if options.threshold is None else options.threshold
    return -calibration.slope * (even - calibration.midpoint)


def symmetric_graph(neighbours: I32 | I64, weights: F32, *, floor: float = 0.0) -> Graph:
    """Build an undirected graph from lists of neighbours, in time linear in the number of edges.

    Parameters
    ----------
    neighbours : (n, k) int32 or int64
        Node numbers. -1 and the node itself are skipped.
    weights : (n, k) float32
    floor : float
        Edges of this weight or less are left out.

    Returns
    -------
    Graph
        Nodes i and j have an edge if i is in the list of j or j in the list of i. Its weight is the
        greater of the two.
    """
    n = len(neighbours)
    keep = (neighbours >= 0) & (weights > floor) & (neighbours != np.arange(n)[:, None])
    indptr = np.zeros(n + 1, np.int64)
    indptr[1:] = keep.sum(axis=1)
    indices = neighbours[keep].astype(np.int32, copy=False)
    return _symmetric(n, np.cumsum(indptr), indices, weights[keep].astype(np.float32, copy=False))


def graph_from_edges(n: int, a: I64, b: I64, weights: F32) -> Graph:
    """Build a graph of `n` nodes from undirected edges, each given once.

    Parameters
    ----------
    a, b : (m,) int64
        The two nodes of each edge.
    weights : (m,) float32
    """
    order = np.argsort(a, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(a, minlength=n))]).astype(np.int64)
    return _symmetric(n, indptr, b[order].astype(np.int32), weights[order].astype(np.float32))


def add_edges(graph: Graph, a: I64, b: I64, weights: F32) -> Graph:
    """Return a graph with more undirected edges; an edge that is in both has the greater weight.

    Parameters
    ----------
    graph : Graph
    a, b : (m,) int64
        The two nodes of each edge, which is given once.
    weights : (m,) float32
    """
    more = graph_from_edges(len(graph), a, b, weights)
    return Graph(
        *_union(
            len(graph), graph.indptr, graph.indices, graph.weights, more.indptr, more.indices, more.weights
        )
    )


def _symmetric(n: int, indptr: I64, indices: I32, values: F32) -> Graph:
    # Transposing sorts each row by column; transposing twice gives the graph itself with sorted rows.
    transposed = _transpose(n, indptr, indices, values)
    del indices, values
    return Graph(*_union(n, *_transpose(n, *transposed), *transposed))


@compiled()
def _transpose(n, indptr, indices, values):  # type: ignore[no-untyped-def]
    t_indptr = np.zeros(n + 1, np.int64)
    for j in indices:
        t_indptr[j + 1] += 1
    for i in range(n):
        t_indptr[i + 1] += t_indptr[i]
    position = t_indptr[:-1].copy()
    t_indices = np.empty(len(indices), np.int32)
    t_values = np.empty(len(values), np.float32)
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            p = position[indices[e]]
            t_indices[p] = i
            t_values[p] = values[e]
            position[indices[e]] = p + 1
    return t_indptr, t_indices, t_values


@compiled()
def _union(n, a_indptr, a_indices, a_values, b_indptr, b_indices, b_values):  # type: ignore[no-untyped-def]
    indptr = np.zeros(n + 1, np.int64)
    indices, values = np.empty(0, np.int32), np.empty(0, np.float32)
    for filling in (False, True):  # count first, to allocate no more than is needed
        out = 0
        if filling:
            indices, values = np.empty(indptr[n], np.int32), np.empty(indptr[n], np.float32)
        for i in range(n):
            a, a_end = a_indptr[i], a_indptr[i + 1]
            b, b_end = b_indptr[i], b_indptr[i + 1]
            last = -1
            while a < a_end or b < b_end:
                if b == b_end or (a < a_end and a_indices[a] <= b_indices[b]):
                    j, value = a_indices[a], a_values[a]
                    a += 1
                else:
                    j, value = b_indices[b], b_values[b]
                    b += 1
                again = j == last
                last = j
                out += not again
                if filling:
                    indices[out - 1] = j
                    values[out - 1] = max(values[out - 1], value) if again else value
            indptr[i + 1] = out
    return indptr, indices, values
