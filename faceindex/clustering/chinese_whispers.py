"""Chinese Whispers: weighted label propagation until nothing changes.

C. Biemann, "Chinese Whispers: an efficient graph clustering algorithm", TextGraphs 2006,
https://aclanthology.org/W06-3812.
"""

from __future__ import annotations

import numpy as np

from faceindex.clustering import ClusterOptions
from faceindex.clustering.graph import graph_from_edges, log_odds
from faceindex.compiled import compiled
from faceindex.errors import UsageError
from faceindex.models.spec import Calibration, ClustererSpec
from faceindex.types import F32, I64, Graph

__all__ = ["ChineseWhispers", "chinese_whispers", "cluster_sums"]

SETTLED = 5
"""Size from which a cluster is settled: unassigned faces join it at a lower threshold."""

MAX_BIAS = 4.0
"""Maximum of the prior log-odds that an unassigned face belongs to a settled cluster: a share of 98 %."""

# Processed at a time, to bound memory.
_PAIRS = 65_536
_CLUSTERS = 4096

_MAX_SWEEPS = 1000  # not reached: each move raises the weight inside clusters, so the process ends


class ChineseWhispers:
    """Cluster faces by Chinese Whispers, in three steps.

    The weights of the graph are log-odds that two faces show the same person. Their prior is that each
    face has one match among all faces. This prior suits strangers and is too strict for people who are
    on many photos, so there are three steps:

    1. Chinese Whispers over the edges of positive weight.
    2. Clusters of `SETTLED` or more faces are settled. Other faces join a settled cluster if their
       log-odds are positive under a new prior: the share of all faces that step 1 put into settled
       clusters.
    3. Clusters are merged if the log-odds of their *average* similarity are positive, with the prior of
       one match among the clusters: Chinese Whispers over the graph of clusters.

    With a constant `threshold` there is only step 1.
    """

    def __init__(self, spec: ClustererSpec, options: ClusterOptions) -> None:
        self.spec = spec
        self.options = options
        if options.calibration is None and options.threshold is None:
            raise ValueError("Chinese Whispers needs a calibration or a threshold")
        if options.k is not None:
            raise UsageError(
                "Chinese Whispers finds the number of clusters itself and does not use `k`.",
                "Leave out `k`, or pass `algorithm='kmeans'`.",
            )

    def fit(self, vectors: F32, graph: Graph | None, fixed: I64 | None = None) -> I64:
        """See `Clusterer.fit`."""
        if graph is None:
            raise ValueError("Chinese Whispers needs a graph")
        seed = self.options.seed
        labels = chinese_whispers(graph, seed=seed, fixed=fixed)
        if self.options.threshold is not None or self.options.calibration is None:
            return labels
        settled = np.bincount(labels)[labels] >= SETTLED
        odds = (settled.sum() + 1) / (len(labels) - settled.sum() + 1)
        bias = settled * np.float32(np.clip(np.log(odds), 0.0, MAX_BIAS))
        stays = settled if fixed is None else settled | (fixed >= 0)
        labels = chinese_whispers(graph, seed=seed, fixed=np.where(stays, labels, -1), bias=bias)
        ids, codes, sizes = _unique_labels(labels)
        clusters = _graph_of_clusters(vectors, graph, codes, sizes, self.options.calibration)
        kept = np.full(len(ids), -1, np.int64)
        if fixed is not None:
            existing = np.isin(ids, fixed[fixed >= 0], kind="table")
            kept[existing] = ids[existing]
        return _number_by_size(chinese_whispers(clusters, seed=seed, fixed=kept)[codes], fixed)


def chinese_whispers(
    graph: Graph, *, seed: int = 0, fixed: I64 | None = None, bias: F32 | float = 0.0
) -> I64:
    """Cluster a graph by Chinese Whispers.

    Every node starts in a class of its own. In random order, each node moves to the class with the
    greatest total weight among its neighbours; edges of weight 0 or less do not count. A node stays
    where it is if its class is among the best. So each move raises the total weight inside classes, and
    the process ends. A node is visited again only after a neighbour has moved to another class than its
    own.

    Parameters
    ----------
    graph : Graph
        n nodes.
    seed : int
        Seed of the visiting order. The same graph, seed, `fixed` and `bias` give the same result.
    fixed : (n,) int64, optional
        Nodes with a label of 0 or above keep it.
    bias : float or (n,) float32
        Added to the weight of the edges that lead to each fixed node.

    Returns
    -------
    (n,) int64
        Labels. Classes that are not in `fixed` are numbered by size, the largest first, ties by their
        first node. Their numbers start after the greatest label in `fixed`, or at 0.
    """
    n = len(graph)
    if fixed is None:
        fixed = np.full(n, -1, np.int64)
    if len(fixed) != n:
        raise ValueError(f"fixed has {len(fixed)} labels for {n} nodes")
    frozen = fixed >= 0
    kept_ids, kept_codes, _ = _unique_labels(fixed[frozen])
    # Codes are dense, so that scores fit one array: first the classes of `fixed`, then the nodes.
    codes = np.arange(len(kept_ids), len(kept_ids) + n, dtype=np.int32)
    codes[frozen] = kept_codes
    weights = graph.weights
    if np.any(bias):
        to_fixed = np.where(frozen, np.asarray(bias, np.float32), np.float32(0))
        weights = weights + to_fixed[graph.indices]
    _propagate(graph.indptr, graph.indices, weights, codes, frozen, len(kept_ids) + n, np.uint64(seed))

    labels = np.where(codes < len(kept_ids), np.append(kept_ids, 0)[np.minimum(codes, len(kept_ids))], -1)
    return _number_by_size(np.where(labels >= 0, labels, codes + _first_new_label(fixed)), fixed)


def _unique_labels(labels: I64) -> tuple[I64, I64, I64]:
    """Return unique labels, the position of each label among these, and their counts.

    As `numpy.unique`, but by counting, which is faster because labels are dense.
    """
    counts = np.bincount(labels)
    ids = np.flatnonzero(counts)
    place = np.empty(len(counts), np.int64)
    place[ids] = np.arange(len(ids))
    return ids, place[labels], counts[ids]


def _first_new_label(fixed: I64 | None) -> int:
    return 0 if fixed is None else int(fixed.max(initial=-1)) + 1


def _number_by_size(labels: I64, fixed: I64 | None) -> I64:
    """Renumber the clusters that are not in `fixed` from the largest to the smallest."""
    start = _first_new_label(fixed)
    new = labels >= start
    _, codes, sizes = _unique_labels(labels[new] - start)
    first = np.empty(len(sizes), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the last value that is written stays: the first node
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    labels = labels.copy()
    labels[new] = start + rank[codes]
    return labels


def _graph_of_clusters(vectors: F32, graph: Graph, codes: I64, sizes: I64, calibration: Calibration) -> Graph:
    """Build a graph of clusters. Its weights are log-odds of the average similarity of two clusters.

    Only clusters with an edge between their faces are compared. Two single faces are not compared again.
    """
    n = len(sizes)
    members = np.argsort(codes, kind="stable")
    first = np.concatenate([[0], np.cumsum(sizes)])
    a, b = _linked_clusters(graph.indptr, graph.indices, codes, members, first)
    used = np.zeros(n, bool)
    used[a] = used[b] = True
    ids = np.flatnonzero(used)
    place = np.cumsum(used) - 1
    average = np.empty(len(a), np.float32)
    if len(a):
        sums = cluster_sums(vectors, codes, ids)
        for start in range(0, len(a), _PAIRS):
            block = slice(start, start + _PAIRS)
            average[block] = np.einsum("ij,ij->i", sums[place[a[block]]], sums[place[b[block]]])
        average /= sizes[a] * sizes[b]
    return graph_from_edges(n, a, b, log_odds(average, n, calibration))


def cluster_sums(vectors: F32, labels: I64, ids: I64) -> F32:
    """Sum the vectors of each of some clusters.

    Parameters
    ----------
    vectors : (n, d) float32
        Only the vectors of these clusters are read.
    labels : (n,) int64
    ids : (m,) int64
        Clusters in ascending order; each has a vector.

    Returns
    -------
    (m, d) float32
    """
    members = np.flatnonzero(np.isin(labels, ids, kind="table"))
    members = members[np.argsort(labels[members], kind="stable")]
    first = np.searchsorted(labels[members], ids)
    sums = np.empty((len(ids), vectors.shape[1]), np.float32)
    for start in range(0, len(ids), _CLUSTERS):
        stop = min(start + _CLUSTERS, len(ids))
        begin, end = first[start], first[stop] if stop < len(ids) else len(members)
        sums[start:stop] = np.add.reduceat(vectors[members[begin:end]], first[start:stop] - begin, axis=0)
    return sums


@compiled(nogil=True)
def _linked_clusters(indptr, indices, codes, members, first):  # type: ignore[no-untyped-def]
    """Return the pairs a < b of clusters with an edge between them, each once, without pairs of single nodes.

    ``members[first[c]:first[c + 1]]`` are the nodes of cluster c.
    """
    n = len(first) - 1
    found = 0
    a, b = np.empty(0, np.int64), np.empty(0, np.int64)
    for filling in (False, True):
        if filling:
            a, b = np.empty(found, np.int64), np.empty(found, np.int64)
        found = 0
        seen = np.full(n, -1, np.int32)
        for one in range(n):
            single = first[one + 1] - first[one] == 1
            for i in members[first[one] : first[one + 1]]:
                for j in indices[indptr[i] : indptr[i + 1]]:
                    other = codes[j]
                    if other <= one or seen[other] == one:
                        continue
                    seen[other] = one
                    if single and first[other + 1] - first[other] == 1:
                        continue
                    if filling:
                        a[found], b[found] = one, other
                    found += 1
    return a, b


@compiled(nogil=True)
def _propagate(indptr, indices, weights, codes, frozen, n_codes, seed):  # type: ignore[no-untyped-def]
    """Move the nodes that are not frozen between classes, in `codes`, until none moves."""
    n = len(codes)
    order = np.empty(n, np.int32)
    movable = 0
    for i in range(n):
        if not frozen[i] and indptr[i] < indptr[i + 1]:
            order[movable] = i
            movable += 1
    dirty = np.ones(n, np.bool_)
    score = np.zeros(n_codes, np.float64)
    touched = np.empty(n_codes + 1, np.int32)
    state = seed
    for _ in range(_MAX_SWEEPS):
        # Fisher-Yates with splitmix64 (Steele et al. 2014): the same order on every platform. The high
        # half of the product is the random position: no division (Lemire 2019).
        for last in range(movable - 1, 0, -1):
            state = state + np.uint64(0x9E3779B97F4A7C15)
            z = state
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
            j = np.int64(((z >> np.uint64(32)) * np.uint64(last + 1)) >> np.uint64(32))
            order[last], order[j] = order[j], order[last]
        moved = 0
        for i in order[:movable]:
            if not dirty[i]:
                continue
            dirty[i] = False
            n_touched = 0
            for e in range(indptr[i], indptr[i + 1]):
                weight = weights[e]
                if weight <= 0.0:
                    continue
                code = codes[indices[e]]
                before = score[code]
                touched[n_touched] = code  # no branch: it would be hard to predict
                n_touched += before == 0.0
                score[code] = before + weight
            own = codes[i]
            best = own
            best_score = score[own]
            for t in range(n_touched):
                code = touched[t]
                total = score[code]
                score[code] = 0.0
                if total > best_score:
                    best = code
                    best_score = total
            if best != own:
                codes[i] = best
                moved += 1
                # Neighbours that are in class `best` already only gain a reason to stay: no need to visit.
                for e in range(indptr[i], indptr[i + 1]):
                    if weights[e] > 0.0 and codes[indices[e]] != best:
                        dirty[indices[e]] = True
        if moved == 0:
            break
