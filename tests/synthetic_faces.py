"""Made-up albums: unit vectors of faces, their people and their photos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from faceindex import models
from faceindex.clustering import Album, ClusterOptions
from faceindex.clustering.graph import GRAPH_FLOOR, graph_from_edges, log_odds, symmetric_graph
from faceindex.clustering.incremental import drop_small_clusters
from faceindex.clustering.neighbours import exact_neighbours
from faceindex.models import Calibration
from faceindex.types import F32, I64, BoolArray, Graph

__all__ = [
    "CALIBRATION",
    "Edge",
    "blocks",
    "fit_album",
    "made_up",
    "make_graph",
    "neighbour_graph",
    "people_of",
    "same_partition",
    "unit",
    "vectors_with",
]

CALIBRATION = Calibration(slope=36.0, midpoint=0.38, source="made up", blurred=0.14)
"""Strangers have a similarity of ``0.38 - 13.5 / 36 = 0.005`` on average, as in `people_of`."""

Edge = tuple[int, int, float]


def make_graph(n: int, edges: Sequence[Edge]) -> Graph:
    a, b, weights = (np.array([edge[i] for edge in edges]) for i in range(3))
    return graph_from_edges(n, a.astype(np.int64), b.astype(np.int64), weights.astype(np.float32))


def vectors_with(similarities: ArrayLike) -> F32:
    """Make unit vectors with exactly these similarities, an (n, n) matrix."""
    values, basis = np.linalg.eigh(np.asarray(similarities, np.float64))
    assert values.min() > -1e-9
    return np.asarray(basis * np.sqrt(np.maximum(values, 0)), np.float32)


def blocks(*sizes: int, within: float | Sequence[float] = 0.8, between: float = 0.0) -> np.ndarray:
    """Make the similarity matrix of groups of faces: one number inside each group, one between groups."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    inside = np.broadcast_to(np.asarray(within, np.float64), (len(sizes),))
    matrix = np.where(group[:, None] == group, inside[group][:, None], between)
    np.fill_diagonal(matrix, 1)
    return matrix


def people_of(
    truth: ArrayLike, seed: int, *, within: float = 0.6, alike: float = 0.0, dimension: int = 128
) -> F32:
    """Make faces of people around random centres.

    Parameters
    ----------
    truth : (n,) int
        Person of each face.
    seed : int
    within : float
        Average similarity of two faces of one person.
    alike : float
        Average similarity of two faces of different people.
    dimension : int

    Returns
    -------
    (n, dimension) float32
        Unit vectors.
    """
    rng = np.random.default_rng(seed)
    _, codes = np.unique(np.asarray(truth), return_inverse=True)
    common, centres, noise = (
        rng.standard_normal((count, dimension)) / np.sqrt(dimension)
        for count in (1, int(codes.max(initial=-1)) + 1, len(codes))
    )
    vectors = alike**0.5 * common + (within - alike) ** 0.5 * centres[codes] + (1 - within) ** 0.5 * noise
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def neighbour_graph(vectors: F32, calibration: Calibration = CALIBRATION) -> Graph:
    """Build the graph of log-odds of all pairs, as `cluster_faces` does for few faces."""
    neighbours, similarities = exact_neighbours(vectors, 80)
    return symmetric_graph(neighbours, log_odds(similarities, len(vectors), calibration), floor=GRAPH_FLOOR)


def fit_album(
    vectors: F32,
    photos: ArrayLike | None = None,
    good: ArrayLike | None = None,
    *,
    algorithm: str = "album",
    seed: int = 0,
) -> I64:
    """Cluster faces by the clusterer of this name; each face on its own photo and good unless stated.

    Clusters of one face by `album` are dissolved, as `cluster_faces` does.
    """
    n = len(vectors)
    is_good: BoolArray = np.ones(n, bool) if good is None else np.asarray(good, bool)
    album = Album(
        vectors=vectors,
        photos=np.arange(n) if photos is None else np.asarray(photos, np.int64),
        good=is_good,
        graph=neighbour_graph(vectors),
        previous=np.full(n, -1),
        size=n,
    )
    options = ClusterOptions(calibration=CALIBRATION, seed=seed)
    labels: I64 = models.load(models.get("clusterer", algorithm), options=options).fit(album)
    assert labels.dtype == np.int64
    assert labels.shape == (n,)
    return drop_small_clusters(labels, 2) if algorithm == "album" else labels


def same_partition(a: ArrayLike, b: ArrayLike) -> bool:
    """Return whether the same pairs are together; each -1 is alone."""
    one, other = (_first_of_cluster(np.asarray(labels)) for labels in (a, b))
    return bool((one == other).all())


def _first_of_cluster(labels: I64) -> I64:
    alone = np.where(labels < 0, -1 - np.arange(len(labels)), labels)
    _, first, codes = np.unique(alone, return_index=True, return_inverse=True)
    return first[codes]


def unit(vectors: np.ndarray) -> F32:
    units: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units


def made_up(seed: int, people: int = 7, spread: float = 0.8) -> tuple[F32, np.ndarray, np.ndarray]:
    """Make faces of people with one to six faces each; some photos have two faces."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(people), rng.integers(1, 7, people))
    vectors = unit(rng.standard_normal((people, 8))[truth] + spread * rng.standard_normal((len(truth), 8)))
    return vectors, truth, np.arange(len(truth)) // 2 * 2 + (rng.random(len(truth)) < 0.7)
