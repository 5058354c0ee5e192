"""Chinese Whispers: weighted label propagation until nothing changes.

C. Biemann, "Chinese Whispers: an efficient graph clustering algorithm", TextGraphs 2006,
https://aclanthology.org/W06-3812.
"""

from __future__ import annotations

import numpy as np

from faceindex.clustering import Album, ClusterOptions
from faceindex.clustering.same_photo import PhotoGroups
from faceindex.clustering.strangers import APART
from faceindex.compiled import compiled
from faceindex.errors import UsageError
from faceindex.models.spec import ClustererSpec
from faceindex.types import I32, I64, BoolArray, Graph

__all__ = [
    "ChineseWhispers",
    "check_linked_options",
    "chinese_whispers",
    "number_by_size",
    "propagate",
    "unique_labels",
]

_NO_GROUPS = PhotoGroups(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.int32))

_MAX_SWEEPS = 1000  # not reached: each move raises the weight inside classes, so the process ends


class ChineseWhispers:
    """Cluster faces by Chinese Whispers over the edges of positive weight of the neighbour graph.

    Two faces are linked if the odds that they show one person are even or better; the prior is one match
    among all faces. With a constant `threshold`, they are linked from that similarity.
    """

    def __init__(self, spec: ClustererSpec, options: ClusterOptions) -> None:
        self.spec = spec
        self.options = options
        check_linked_options("Chinese Whispers", options)

    def fit(self, album: Album) -> I64:
        """See `Clusterer.fit`."""
        if album.graph is None:
            raise ValueError("Chinese Whispers needs a graph")
        return chinese_whispers(album.graph, seed=self.options.seed)


def check_linked_options(name: str, options: ClusterOptions) -> None:
    """Check the options of a clusterer that links faces and finds the number of clusters itself.

    Raises
    ------
    UsageError
        If `k` is set.
    """
    if options.calibration is None and options.threshold is None:
        raise ValueError(f"{name} needs a calibration or a threshold")
    if options.k is not None:
        raise UsageError(
            f"{name} finds the number of clusters itself and does not use `k`.",
            "Leave out `k`, or pass `algorithm='kmeans'`.",
        )


def chinese_whispers(graph: Graph, *, seed: int = 0, groups: PhotoGroups | None = None) -> I64:
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
        Seed of the visiting order. The same graph, seed and groups give the same result.
    groups : PhotoGroups, optional
        Groups of the same nodes. Each pair of members in one class lowers the total weight by `APART`. A node
        moves to an empty class if its weight in every other one is below 0.

    Returns
    -------
    (n,) int64
        Labels 0 and above, numbered by the size of the classes, the largest first, ties by their first node.
    """
    n = len(graph)
    codes = np.arange(n, dtype=np.int32)
    groups = groups if groups is not None and len(groups) else _NO_GROUPS
    of = groups.of if len(groups) else np.full(n, -1, np.int32)
    everywhere = np.ones(n, np.bool_)
    _propagate(
        graph.indptr,
        graph.indices,
        graph.weights,
        codes,
        everywhere,
        of,
        groups.indptr,
        groups.members,
        np.uint64(seed),
    )
    return number_by_size(codes.astype(np.int64))


def propagate(graph: Graph, codes: I32, visit: BoolArray, seed: int) -> None:
    """Move nodes between classes by the rule of `chinese_whispers`, from any classes on, until none moves.

    Parameters
    ----------
    graph : Graph
        n nodes. A node without edges of its own never moves, but others may have edges to it.
    codes : (n,) int32
        Class of each node, ``0..n-1``; changed in place.
    visit : (n,) bool
        Nodes to visit even if no neighbour moves; changed in place.
    seed : int
    """
    _propagate(
        graph.indptr,
        graph.indices,
        graph.weights,
        codes,
        visit,
        np.full(len(graph), -1, np.int32),
        _NO_GROUPS.indptr,
        _NO_GROUPS.members,
        np.uint64(seed),
    )


def number_by_size(labels: I64) -> I64:
    """Renumber labels of 0 and above from the largest class to the smallest, ties by their first node."""
    _, codes, sizes = unique_labels(labels)
    first = np.empty(len(sizes), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # the last value that is written stays: the first node
    order = np.lexsort((first, -sizes))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    numbered: I64 = rank[codes]
    return numbered


def unique_labels(labels: I64) -> tuple[I64, I64, I64]:
    """Return unique labels of 0 and above, the position of each label among these, and their counts.

    As `numpy.unique`, but by counting, which is faster because labels are dense.
    """
    counts = np.bincount(labels)
    ids = np.flatnonzero(counts)
    place = np.empty(len(counts), np.int64)
    place[ids] = np.arange(len(ids))
    return ids, place[labels], counts[ids]


@compiled(nogil=True)
def _propagate(  # type: ignore[no-untyped-def]
    indptr, indices, weights, codes, dirty, group, members_of, members, seed
):
    """Move the nodes between classes, in `codes`, until none moves; visit the `dirty` ones at least."""
    n = len(codes)
    order = np.empty(n, np.int32)
    movable = 0
    for i in range(n):
        if indptr[i] < indptr[i + 1]:
            order[movable] = i
            movable += 1
    score = np.zeros(n, np.float64)
    touched = np.empty(n + 1, np.int32)
    size = np.zeros(n, np.int32)
    for code in codes:
        size[code] += 1
    empty = np.empty(n, np.int32)  # a stack of the empty classes
    n_empty = 0
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
            against_own = 0.0
            if group[i] >= 0:
                for p in range(members_of[group[i]], members_of[group[i] + 1]):
                    other = members[p]
                    if other == i:
                        continue
                    if codes[other] == own:
                        against_own += APART
                    elif score[codes[other]] != 0.0:
                        score[codes[other]] -= APART
            best = own
            best_score = score[own] - against_own
            for t in range(n_touched):
                code = touched[t]
                total = score[code]
                score[code] = 0.0
                if code != own and total > best_score:
                    best = code
                    best_score = total
            if best_score < 0.0:
                n_empty -= 1
                best = empty[n_empty]  # there is one: this class has another member
            if best != own:
                codes[i] = best
                moved += 1
                size[best] += 1
                size[own] -= 1
                if size[own] == 0:
                    empty[n_empty] = own
                    n_empty += 1
                # Neighbours that are in class `best` already only gain a reason to stay: no need to visit.
                for e in range(indptr[i], indptr[i + 1]):
                    if weights[e] > 0.0 and codes[indices[e]] != best:
                        dirty[indices[e]] = True
                if group[i] >= 0:
                    for p in range(members_of[group[i]], members_of[group[i] + 1]):
                        dirty[members[p]] = True
        if moved == 0:
            break
