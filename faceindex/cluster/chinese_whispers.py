"""Chinese Whispers: weighted label propagation until nothing changes.

C. Biemann, "Chinese Whispers: an efficient graph clustering algorithm", TextGraphs 2006,
https://aclanthology.org/W06-3812.
"""

from __future__ import annotations

import numba
import numpy as np

from faceindex.cluster import ClusterOptions
from faceindex.errors import UsageError
from faceindex.graph import graph_from_edges, log_odds
from faceindex.models.spec import Calibration, ClustererSpec
from faceindex.types import F32, I64, Graph

__all__ = ["ChineseWhispers", "chinese_whispers"]

SETTLED = 5
"""Faces that make a cluster one that stray faces may join on weaker evidence."""

MAX_BIAS = 4.0
"""Cap of the prior log-odds that a stray face belongs to a settled cluster: a share of 98 %."""

_MAX_SWEEPS = 1000  # never reached: each change raises the weight inside clusters; a bound all the same


class ChineseWhispers:
    """The clusterer of the registry: Chinese Whispers in three steps.

    The graph's weights are log-odds that two faces show the same person, with the prior that a
    face has one such partner among all. That prior is right for strangers and too strict for
    photos of people who are all over the album, so:

    1. Chinese Whispers over the edges of positive weight.
    2. Faces outside clusters of `SETTLED` or more join one of those if their log-odds are
       positive under the prior that step 1 has shown: of all faces, this share is settled.
    3. Clusters whose *average* similarity has positive log-odds, with the prior of one partner
       among the clusters, are joined: Chinese Whispers over the graph of clusters.

    With `options.threshold` there is only step 1.
    """

    def __init__(self, spec: ClustererSpec, options: ClusterOptions) -> None:
        self.spec = spec
        self.options = options
        if options.calibration is None and options.threshold is None:
            raise ValueError("Chinese Whispers needs a calibration or a threshold")
        if options.k is not None:
            raise UsageError(
                "Chinese Whispers finds the number of clusters itself and takes no --k.",
                "Leave out --k, or choose --algorithm kmeans.",
            )

    def fit(self, vectors: F32, graph: Graph | None, fixed: I64 | None = None) -> I64:
        """See `Clusterer.fit`."""
        if graph is None:
            raise ValueError("Chinese Whispers needs a graph")
        seed = self.options.seed
        labels = chinese_whispers(graph, seed=seed, fixed=fixed)
        if self.options.threshold is not None or self.options.calibration is None:
            return labels
        _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        settled = sizes[codes] >= SETTLED
        odds = (settled.sum() + 1) / (len(labels) - settled.sum() + 1)
        bias = settled * np.float32(np.clip(np.log(odds), 0.0, MAX_BIAS))
        stays = settled if fixed is None else settled | (fixed >= 0)
        labels = chinese_whispers(graph, seed=seed, fixed=np.where(stays, labels, -1), bias=bias)
        ids, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        clusters = _contract(vectors, graph, codes, sizes, self.options.calibration)
        kept = np.full(len(ids), -1, np.int64)
        if fixed is not None:
            known = np.isin(ids, fixed[fixed >= 0])
            kept[known] = ids[known]
        return _by_size(chinese_whispers(clusters, seed=seed, fixed=kept)[codes], fixed)


def chinese_whispers(
    graph: Graph, *, seed: int = 0, fixed: I64 | None = None, bias: F32 | float = 0.0
) -> I64:
    """Cluster a graph by Chinese Whispers.

    Every node starts in a class of its own and, in random order, moves to the class that has
    the greatest total weight among its neighbours; edges of weight 0 or less do not count. A node
    stays where it is when its class is among the best, so each move raises the total weight inside
    classes and the process ends. Only nodes with a neighbour that has moved since their last visit
    are visited again.

    Parameters
    ----------
    graph : Graph
        n nodes.
    seed : int
        Of the visiting order; the result is a function of graph, seed and `fixed`.
    fixed : (n,) int64, optional
        Nodes with a label of 0 or above keep it.
    bias : float or (n,) float32
        Added to the weight of the edges that lead to each fixed node.

    Returns
    -------
    (n,) int64
        Labels. Classes that were not in `fixed` are numbered, from its greatest label + 1 (or
        0) upwards, by size, ties by their first node.
    """
    n = len(graph)
    if fixed is None:
        fixed = np.full(n, -1, np.int64)
    if len(fixed) != n:
        raise ValueError(f"fixed has {len(fixed)} labels for {n} nodes")
    frozen = fixed >= 0
    kept_ids, kept_codes = np.unique(fixed[frozen], return_inverse=True)
    # Internal codes are dense, so that scores fit one array: kept classes first, then the nodes.
    codes = np.arange(len(kept_ids), len(kept_ids) + n, dtype=np.int64)
    codes[frozen] = kept_codes
    _propagate(
        graph.indptr,
        graph.indices,
        graph.weights,
        codes,
        frozen,
        np.full(n, bias, np.float32),
        len(kept_ids) + n,
        np.uint64(seed),
    )

    labels = np.where(codes < len(kept_ids), np.append(kept_ids, 0)[np.minimum(codes, len(kept_ids))], -1)
    return _by_size(np.where(labels >= 0, labels, codes + _above(fixed)), fixed)


def _above(fixed: I64 | None) -> int:
    return 0 if fixed is None else int(fixed.max(initial=-1)) + 1


def _by_size(labels: I64, fixed: I64 | None) -> I64:
    """Renumber the clusters that are not in `fixed` from the largest to the smallest."""
    start = _above(fixed)
    new = labels >= start
    _, first, codes, sizes = np.unique(
        labels[new], return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    labels = labels.copy()
    labels[new] = start + rank[codes]
    return labels


def _contract(vectors: F32, graph: Graph, codes: I64, sizes: I64, calibration: Calibration) -> Graph:
    """The graph of clusters; weights are log-odds of their average similarity.

    Only clusters with an edge between them are compared, and of two single faces nothing new is
    known that the pair itself did not tell.
    """
    n = len(sizes)
    rows = np.repeat(codes, np.diff(graph.indptr))
    columns = codes[graph.indices]
    between = np.unique(rows[rows < columns] * n + columns[rows < columns])
    a, b = between // n, between % n
    a, b = a[np.maximum(sizes[a], sizes[b]) > 1], b[np.maximum(sizes[a], sizes[b]) > 1]
    sums = np.zeros((n, vectors.shape[1]), np.float32)
    np.add.at(sums, codes, vectors)
    average = np.einsum("ij,ij->i", sums[a], sums[b]) / (sizes[a] * sizes[b])
    return graph_from_edges(n, a, b, log_odds(average, n, calibration))


@numba.njit(cache=True)
def _propagate(indptr, indices, weights, codes, frozen, bias, n_codes, seed):  # type: ignore[no-untyped-def]
    n = len(codes)
    order = np.arange(n)
    dirty = ~frozen
    score = np.zeros(n_codes, np.float64)
    touched = np.empty(n_codes, np.int64)
    state = seed
    for _ in range(_MAX_SWEEPS):
        # Fisher-Yates with splitmix64 (Steele et al. 2014): the same order on every platform
        for last in range(n - 1, 0, -1):
            state = state + np.uint64(0x9E3779B97F4A7C15)
            z = state
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            j = np.int64(z % np.uint64(last + 1))
            order[last], order[j] = order[j], order[last]
        moved = 0
        for i in order:
            if not dirty[i]:
                continue
            dirty[i] = False
            n_touched = 0
            for e in range(indptr[i], indptr[i + 1]):
                j = indices[e]
                weight = weights[e] + bias[j] if frozen[j] else weights[e]
                if weight <= 0.0:
                    continue
                code = codes[j]
                if score[code] == 0.0:
                    touched[n_touched] = code
                    n_touched += 1
                score[code] += weight
            best = codes[i]
            best_score = score[best]
            for t in range(n_touched):
                code = touched[t]
                if score[code] > best_score:
                    best = code
                    best_score = score[code]
            for t in range(n_touched):
                score[touched[t]] = 0.0
            if best != codes[i]:
                codes[i] = best
                moved += 1
                for e in range(indptr[i], indptr[i + 1]):
                    j = indices[e]
                    if not frozen[j]:
                        dirty[j] = True
        if moved == 0:
            break
