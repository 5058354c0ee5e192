"""Clusterers to compare with that of faceindex, on the same faces and the same neighbour graph.

Each one is a `Rival`: a method with one free parameter. Most work on the graph of `faceindex cluster`, whose
weights are log-odds that two faces show one person. The *offset* is a prior that is added to all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from faceindex import models
from faceindex.clustering import Album, ClusterOptions
from faceindex.clustering.centroids import cluster_sums
from faceindex.clustering.chinese_whispers import chinese_whispers
from faceindex.clustering.graph import graph_from_edges, log_odds, prior_log_odds
from faceindex.clustering.neighbours import nearest
from faceindex.clustering.same_photo import PhotoGroups, compete
from faceindex.clustering.strangers import APART, COPIES
from faceindex.compiled import compiled
from faceindex.models import Calibration
from faceindex.types import F32, F64, I64, Graph

__all__ = ["RIVALS", "Problem", "Rival"]

SETTLED, MAX_BIAS = 5, 4.0  # of the three steps
OFFSETS = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0)
RAISED = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0)
LEVELS = 20  # most aggregations, and most rounds of refinement; not reached
SWEEPS = 200  # most sweeps of local moves


@dataclass(frozen=True, eq=False)
class Problem:
    """The faces of an album, their neighbour graph, and the calibration of their embedder.

    Attributes
    ----------
    album : Album
        With its graph; the graph has edges from a log-odds of `GRAPH_FLOOR` on.
    sharpness : (n,) float32
    calibration : Calibration
    """

    album: Album
    sharpness: F32
    calibration: Calibration

    @property
    def graph(self) -> Graph:
        assert self.album.graph is not None
        return self.album.graph


@dataclass(frozen=True)
class Rival:
    """A clusterer with one free parameter.

    Attributes
    ----------
    name : str
    parameter : str
        What is chosen; empty if nothing is.
    values : sequence of float
        The values to choose from.
    fit : callable
        ``fit(problem, prepared, value)`` returns the labels, (n,) int64; -1 for faces in no cluster.
    prepare : callable
        The part of the work that does not depend on the value.
    """

    name: str
    parameter: str
    values: Sequence[float]
    fit: Callable[[Problem, Any, float], I64]
    prepare: Callable[[Problem], Any] = lambda problem: None


def album(problem: Problem, _: object, value: float) -> I64:
    """Cluster with the default of `faceindex cluster`; its constants were chosen on half A before."""
    options = ClusterOptions(calibration=problem.calibration)
    labels: I64 = models.load(models.get("clusterer", "album"), options=options).fit(problem.album)
    return labels


def plain(problem: Problem, _: object, offset: float) -> I64:
    return chinese_whispers(_shifted(problem.graph, offset))


def competing(problem: Problem) -> Graph:
    """Return the graph in which the faces of two photos compete; edges inside of a photo are -`APART`."""
    groups = PhotoGroups.build(problem.album.photos)
    return compete(problem.graph, groups, _copies_from(problem))


def plain_of_competing(problem: Problem, graph: Graph, offset: float) -> I64:
    return chinese_whispers(_shifted(graph, offset), groups=PhotoGroups.build(problem.album.photos))


# --- Three steps, the default before -----------------------------------------------------------------------


def three_steps(problem: Problem, _: object, offset: float) -> I64:
    """Propagation over the sharp faces, joins to settled clusters, merges; then blurred faces join.

    As in commit 42131a0 for an index that is clustered for the first time; the offset is added to the
    log-odds of faces and of clusters.
    """
    vectors, calibration = problem.album.vectors, problem.calibration
    limit = min(calibration.blurred, float(np.median(problem.sharpness)) / 2)
    sharp = problem.sharpness >= limit
    graph = _shifted(_part(problem.graph, sharp), offset)
    labels = chinese_whispers(graph)
    settled = np.bincount(labels)[labels] >= SETTLED
    odds = (settled.sum() + 1) / (len(labels) - settled.sum() + 1)
    bias = settled * np.float32(np.clip(np.log(odds), 0.0, MAX_BIAS))
    biased = Graph(graph.indptr, graph.indices, np.maximum(graph.weights + bias[graph.indices], 0))
    first = np.unique(labels, return_index=True)[1][labels]
    codes = np.where(settled, first, np.arange(len(labels)))
    codes = np.unique(_moved(biased, codes, np.flatnonzero(~settled)), return_inverse=True)[1]
    found = np.full(len(vectors), -1)
    found[sharp] = _merged(vectors[sharp], graph, codes, calibration, offset)
    if sharp.any() and not sharp.all():
        nearby, similarities = nearest(vectors[~sharp], vectors[sharp], 1)
        joins = similarities[:, 0] >= calibration.threshold(len(vectors)) - offset / calibration.slope
        blurred = np.flatnonzero(~sharp)[joins]
        found[blurred] = found[sharp][nearby[joins, 0]]
    return found


def _merged(vectors: F32, graph: Graph, codes: I64, calibration: Calibration, offset: float) -> I64:
    sizes = np.bincount(codes)
    rows = codes[np.repeat(np.arange(len(graph)), np.diff(graph.indptr))]
    columns = codes[graph.indices]
    n = len(sizes)
    linked = (rows < columns) & ((sizes[rows] > 1) | (sizes[columns] > 1))
    a, b = np.divmod(np.unique(rows[linked] * n + columns[linked]), n)
    sums = cluster_sums(vectors, codes, np.arange(n))
    average = np.einsum("ij,ij->i", sums[a], sums[b]) / (sizes[a] * sizes[b])
    weights = log_odds(average.astype(np.float32), n, calibration) + np.float32(offset)
    return chinese_whispers(graph_from_edges(n, a, b, weights))[codes]


def _part(graph: Graph, nodes: np.ndarray) -> Graph:
    """Return the graph of some of the nodes."""
    rows = np.repeat(np.arange(len(graph)), np.diff(graph.indptr))
    kept = nodes[rows] & nodes[graph.indices] & (rows < graph.indices)
    place = np.cumsum(nodes) - 1
    count = int(nodes.sum())
    return graph_from_edges(count, place[rows[kept]], place[graph.indices[kept]], graph.weights[kept])


# --- Correlation clustering --------------------------------------------------------------------------------


def penalised(problem: Problem) -> Graph:
    """Return the graph with an edge of -`APART` between any two faces of a photo that are no copies."""
    return _with_penalties(problem.graph, problem)


def penalised_and_competing(problem: Problem) -> Graph:
    return _with_penalties(competing(problem), problem)


def signed_propagation(problem: Problem, graph: Graph, offset: float) -> I64:
    """Label propagation with negative edges: a face leaves a class whose total weight is below 0."""
    return _moved(_shifted(graph, offset), np.arange(len(graph)), np.arange(len(graph)))


def greedy_joining(problem: Problem, graph: Graph, offset: float) -> I64:
    """Local moves with aggregation; a pair without an edge counts minus half of the offset.

    With all weights raised by this half it is the constant Potts model (Traag et al. 2011,
    https://doi.org/10.1103/PhysRevE.84.016114). Half of the
    offset is about the best constant on half A, with dlib and mobilefacenet.
    """
    missing = offset / 2
    weights = graph.weights + np.float32(offset + missing)
    level = _Level(graph.indptr, graph.indices, weights, np.ones(len(graph)))
    return _multilevel(level, lambda one, codes: _potts(one, codes, missing))


# --- Communities -------------------------------------------------------------------------------------------


def neighbours(problem: Problem) -> Graph:
    """Return the neighbour graph as it is."""
    return problem.graph


def map_equation(problem: Problem, graph: Graph, offset: float) -> I64:
    """Two-level map equation (Rosvall and Bergstrom 2008, https://doi.org/10.1073/pnas.0706851105)."""
    level = _positive(graph, offset)
    return _multilevel(level, lambda one, codes: _infomap(one, codes))


def modularity(problem: Problem, graph: Graph, resolution: float) -> I64:
    """Modularity by Louvain's method (Blondel et al. 2008, doi 10.1088/1742-5468/2008/10/P10008)."""
    level = _positive(graph, 0.0)
    total = max(float(level.mass.sum()), 1e-12)
    return _multilevel(level, lambda one, codes: _potts(one, codes, resolution / total))


# --- Methods on vectors ------------------------------------------------------------------------------------


def tree(problem: Problem) -> F64:
    """Return the tree of average linkage by the distance ``1 - similarity``."""
    from scipy.cluster.hierarchy import linkage

    n = len(problem.album)
    rows, columns = np.triu_indices(n, 1)
    distances = 1.0 - (problem.album.vectors @ problem.album.vectors.T)[rows, columns].astype(np.float64)
    del rows, columns
    found: F64 = linkage(np.maximum(distances, 0.0), "average")
    return found


def average_linkage(problem: Problem, found: F64, offset: float) -> I64:
    """Cut the tree where the average log-odds with the prior of one match among all faces are -offset."""
    from scipy.cluster.hierarchy import fcluster

    calibration = problem.calibration
    least = calibration.threshold(len(problem.album)) - offset / calibration.slope
    labels: I64 = fcluster(found, 1.0 - least, "distance").astype(np.int64)
    return labels


def hdbscan(problem: Problem, _: object, least: float) -> I64:
    """Cluster with scikit-learn's HDBSCAN by the distance of unit vectors, in clusters of `least` or more.

    Its other parameter, a distance below which nothing is split, raises an error in scikit-learn 1.9 with
    numpy 2.4.
    """
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(min_cluster_size=int(least), algorithm="brute", copy=True)
    labels: I64 = model.fit_predict(problem.album.vectors).astype(np.int64)
    return labels


RESOLUTIONS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 30.0, 100.0)
RIVALS = (
    Rival("album", "", (0.0,), album),
    Rival("three steps, as they were", "", (0.0,), three_steps),
    Rival("three steps", "offset", OFFSETS, three_steps),
    Rival("chinese-whispers", "offset", OFFSETS, plain),
    Rival("chinese-whispers, photos", "offset", OFFSETS, plain_of_competing, competing),
    Rival("signed propagation", "offset", OFFSETS, signed_propagation, penalised),
    Rival("signed prop., competing", "offset", OFFSETS, signed_propagation, penalised_and_competing),
    Rival("greedy joining", "offset", RAISED, greedy_joining, penalised),
    Rival("greedy j., competing", "offset", RAISED, greedy_joining, penalised_and_competing),
    Rival("average linkage", "offset", (0.0, 2.0, 4.0, 6.0, 8.0, 10.0), average_linkage, tree),
    Rival("map equation", "offset", OFFSETS, map_equation, neighbours),
    Rival("map equation, competing", "offset", OFFSETS, map_equation, competing),
    Rival("modularity", "resolution", RESOLUTIONS, modularity, neighbours),
    Rival("modularity, competing", "resolution", RESOLUTIONS, modularity, competing),
    Rival("hdbscan", "least faces", (2.0, 3.0, 4.0, 6.0), hdbscan),
)


# --- Graphs ------------------------------------------------------------------------------------------------


def _copies_from(problem: Problem) -> float:
    options = ClusterOptions(calibration=problem.calibration)
    return COPIES + prior_log_odds(problem.album.size, options)


def _shifted(graph: Graph, offset: float) -> Graph:
    return Graph(graph.indptr, graph.indices, graph.weights + np.float32(offset))


def _with_penalties(graph: Graph, problem: Problem) -> Graph:
    photos = problem.album.photos
    rows = np.repeat(np.arange(len(graph)), np.diff(graph.indptr))
    same = photos[rows] == photos[graph.indices]
    weights = problem.graph.weights
    copies = same & (weights >= _copies_from(problem))
    known = set(zip(rows[copies].tolist(), graph.indices[copies].tolist(), strict=True))
    kept = (~same | copies) & (rows < graph.indices)
    values = np.where(copies, weights, graph.weights)
    groups = PhotoGroups.build(photos)
    pairs = [
        (i, j)
        for start, stop in zip(groups.indptr[:-1].tolist(), groups.indptr[1:].tolist(), strict=True)
        for i in groups.members[start:stop].tolist()
        for j in groups.members[start:stop].tolist()
        if i < j and (i, j) not in known
    ]
    more = np.array(pairs, np.int64).reshape(-1, 2)
    return graph_from_edges(
        len(graph),
        np.concatenate([rows[kept], more[:, 0]]),
        np.concatenate([graph.indices[kept].astype(np.int64), more[:, 1]]),
        np.concatenate([values[kept], np.full(len(more), -APART, np.float32)]),
    )


# --- Local moves with aggregation --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Level:
    """A graph of nodes that may stand for several faces.

    The weight of the edges inside a node is not stored: it does not depend on the class of the node.
    """

    indptr: I64
    indices: np.ndarray
    weights: np.ndarray
    mass: F64  # faces, or total weight of the edges, of each node

    def grouped(self, codes: I64) -> _Level:
        """Return the graph of the classes ``0..c-1``."""
        n = int(codes.max(initial=-1)) + 1
        rows = codes[np.repeat(np.arange(len(codes)), np.diff(self.indptr))]
        columns = codes[self.indices]
        outside = rows != columns
        keys, place = np.unique(rows[outside] * n + columns[outside], return_inverse=True)
        weights = np.bincount(place, weights=self.weights[outside], minlength=len(keys))
        indptr = np.searchsorted(keys // max(n, 1), np.arange(n + 1))
        mass: F64 = np.bincount(codes, weights=self.mass, minlength=n).astype(np.float64)
        return _Level(indptr, keys % max(n, 1), weights, mass)


def _positive(graph: Graph, offset: float) -> _Level:
    """Return the graph with its positive weights only; the mass of a node is their sum."""
    weights = np.maximum(graph.weights.astype(np.float64) + offset, 0.0)
    rows = np.repeat(np.arange(len(graph)), np.diff(graph.indptr))
    mass: F64 = np.bincount(rows, weights, len(graph)).astype(np.float64)
    return _Level(graph.indptr, graph.indices, weights, mass)


def _multilevel(faces: _Level, move: Callable[[_Level, I64], I64]) -> I64:
    """Move nodes between classes, join classes to nodes, and again; then refine the moves of single faces."""
    labels = _dense(move(faces, np.arange(len(faces.mass))))
    for _ in range(LEVELS):
        before = labels
        for _ in range(LEVELS):
            level = faces.grouped(labels)
            codes = _dense(move(level, np.arange(len(level.mass))))
            if len(np.unique(codes)) == len(level.mass):
                break
            labels = codes[labels]
        labels = _dense(move(faces, labels))
        if np.array_equal(labels, before):
            break
    return labels


def _dense(labels: I64) -> I64:
    """Renumber labels from 0 on, in the order of their first node."""
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    dense: I64 = rank[codes]
    return dense


def _moved(graph: Graph, codes: I64, movable: I64) -> I64:
    """Move some nodes to the class of the greatest total weight, until none moves."""
    order = np.random.default_rng(0).permutation(movable)
    mass = np.ones(len(graph))
    codes = codes.copy()
    _move_by_weight(graph.indptr, graph.indices, graph.weights, mass, 0.0, codes, order, SWEEPS)
    return codes


def _potts(level: _Level, codes: I64, missing: float) -> I64:
    order = np.random.default_rng(0).permutation(len(codes))
    codes = codes.copy()
    _move_by_weight(level.indptr, level.indices, level.weights, level.mass, missing, codes, order, SWEEPS)
    return codes


def _infomap(level: _Level, codes: I64) -> I64:
    order = np.random.default_rng(0).permutation(len(codes))
    total = max(float(level.mass.sum()), 1e-12)
    codes = codes.copy()
    _move_by_map(level.indptr, level.indices, level.weights / total, level.mass / total, codes, order, SWEEPS)
    return codes


@compiled(nogil=True)
def _move_by_weight(indptr, indices, weights, mass, missing, codes, order, sweeps):
    """Move nodes to the class with the greatest weight minus ``missing * mass * mass of the class``."""
    n = len(codes)
    masses, sizes = np.zeros(n), np.zeros(n, np.int64)
    for i in range(n):
        masses[codes[i]] += mass[i]
        sizes[codes[i]] += 1
    empty = np.flatnonzero(sizes == 0)
    empty = np.concatenate((empty, np.zeros(n - len(empty), np.int64)))
    n_empty = (sizes == 0).sum()
    score, touched, seen = np.zeros(n), np.empty(n, np.int64), np.zeros(n, np.bool_)
    for _ in range(sweeps):
        moved = 0
        for i in order:
            n_touched = 0
            for e in range(indptr[i], indptr[i + 1]):
                code = codes[indices[e]]
                if not seen[code]:
                    seen[code] = True
                    touched[n_touched] = code
                    n_touched += 1
                score[code] += weights[e]
            own = codes[i]
            best, best_score = own, score[own] - missing * mass[i] * (masses[own] - mass[i])
            for t in range(n_touched):
                code = touched[t]
                value = score[code] - missing * mass[i] * masses[code]
                score[code], seen[code] = 0.0, False
                if code != own and value > best_score + 1e-9:
                    best, best_score = code, value
            if best_score < -1e-9 and sizes[own] > 1:
                n_empty -= 1
                best = empty[n_empty]
            if best != own:
                moved += 1
                codes[i] = best
                masses[own] -= mass[i]
                masses[best] += mass[i]
                sizes[own] -= 1
                sizes[best] += 1
                if sizes[own] == 0:
                    masses[own] = 0.0
                    empty[n_empty] = own
                    n_empty += 1
        if moved == 0:
            break


@compiled(nogil=True)
def _plogp(value):
    return value * np.log(value) if value > 1e-300 else 0.0


@compiled(nogil=True)
def _move_by_map(indptr, indices, flow, mass, codes, order, sweeps):
    """Move nodes to the class that makes the description of a random walk shortest.

    ``flow`` of an edge and ``mass`` of a node are probabilities: both directions of all edges, also those
    inside of the nodes, sum to 1.
    """
    n = len(codes)
    masses, leaving = np.zeros(n), np.zeros(n)
    out = np.zeros(n)  # flow from a node to other nodes
    for i in range(n):
        masses[codes[i]] += mass[i]
        for e in range(indptr[i], indptr[i + 1]):
            out[i] += flow[e]
            if codes[indices[e]] != codes[i]:
                leaving[codes[i]] += flow[e]
    total = leaving.sum()
    to, touched, seen = np.zeros(n), np.empty(n, np.int64), np.zeros(n, np.bool_)
    for _ in range(sweeps):
        moved = 0
        for i in order:
            n_touched = 0
            for e in range(indptr[i], indptr[i + 1]):
                code = codes[indices[e]]
                if not seen[code]:
                    seen[code] = True
                    touched[n_touched] = code
                    n_touched += 1
                to[code] += flow[e]
            own = codes[i]
            without = leaving[own] - out[i] + 2.0 * to[own]
            rest = masses[own] - mass[i]
            base = -2.0 * (_plogp(without) - _plogp(leaving[own]))
            base += _plogp(without + rest) - _plogp(leaving[own] + masses[own])
            best, best_change, best_leaving = own, -1e-12, 0.0
            for t in range(n_touched):
                code = touched[t]
                inside = to[code]
                if code == own or inside == 0.0:
                    continue
                with_it = leaving[code] + out[i] - 2.0 * inside
                all_leaving = total - leaving[own] - leaving[code] + without + with_it
                change = base + _plogp(all_leaving) - _plogp(total)
                change -= 2.0 * (_plogp(with_it) - _plogp(leaving[code]))
                change += _plogp(with_it + masses[code] + mass[i]) - _plogp(leaving[code] + masses[code])
                if change < best_change:
                    best, best_change, best_leaving = code, change, with_it
            for t in range(n_touched):
                to[touched[t]], seen[touched[t]] = 0.0, False
            if best != own:
                moved += 1
                codes[i] = best
                total += without + best_leaving - leaving[own] - leaving[best]
                leaving[own], leaving[best] = without, best_leaving
                masses[own] = rest
                masses[best] += mass[i]
        if moved == 0:
            break
