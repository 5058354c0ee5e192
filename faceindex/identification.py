"""Find the person that a query face shows: search its nearest faces, then rank their clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from faceindex.types import F32, I64, BoolArray

__all__ = ["Match", "Representatives", "identify"]

Search: TypeAlias = Callable[[F32, int], tuple[I64, F32]]

_TOP_FACES = 3  # the similarity of a cluster is the mean over this many of its most similar faces
_FIRST_K = 32
_LAST_K = 4096


@dataclass(frozen=True, slots=True)
class Match:
    """The best match for one query face.

    Attributes
    ----------
    cluster : int or None
        None if no cluster is similar enough.
    nearest_cluster : int or None
        The best cluster, similar enough or not; None if no cluster has a representative face.
    similarity : float
        Mean similarity to the three most similar faces of `nearest_cluster`; NaN if that is None.
    needed : float
        The similarity that `nearest_cluster` needs for a match; NaN if it is None.
    margin : float
        ``similarity - needed`` of the best cluster minus that of the second best; NaN if there is no
        second one.
    faces : list of int
        Ids of the most similar faces, whatever their cluster, best first.
    similarities : list of float
        Their similarities, -1..1.
    """

    cluster: int | None
    nearest_cluster: int | None
    similarity: float
    needed: float
    margin: float
    faces: list[int]
    similarities: list[float]


@dataclass(frozen=True, slots=True)
class Representatives:
    """The faces that represent their cluster in identification; computed once for all queries.

    Attributes
    ----------
    clusters : (n,) int64
        The cluster that each face represents, -1 for none.
    counts : mapping of int to int
        Number of representatives of each cluster; clusters without any are left out.
    """

    clusters: I64
    counts: Mapping[int, int]

    @classmethod
    def of(cls, clusters: I64, mask: BoolArray | None = None) -> Representatives:
        """Build from the cluster of each face, (n,), and a mask of representatives, (n,); None means all."""
        represented = clusters if mask is None else np.where(mask, clusters, -1)
        ids, counts = np.unique(represented[represented >= 0], return_counts=True)
        return cls(represented, dict(zip(ids.tolist(), counts.tolist(), strict=True)))


def identify(
    queries: F32,
    search: Search,
    *,
    faces: I64,
    clusters: I64,
    threshold: float,
    consensus: float = 0.0,
    representatives: Representatives | None = None,
    neighbours: int = 5,
) -> list[Match]:
    """Match query faces with the clusters of an index.

    The similarity of a cluster is the mean over its three most similar faces.
    ``benchmarks/calibrate.py`` compares this with the single most similar face, with more faces and with
    the centroid.

    Parameters
    ----------
    queries : (m, d) float32
        Unit vectors.
    search : callable
        Maps queries and k to face ids (m, k), padded with -1, and similarities (m, k).
    faces, clusters : (n,) int64
        Live face ids in ascending order, and the cluster of each (-1 for none).
    threshold : float
        Least similarity for a match with a cluster that has one or two representatives.
    consensus : float
        Amount by which the threshold is lower for clusters with three or more.
    representatives : Representatives, optional
        None means that every face represents its cluster.
    neighbours : int
        Number of nearest faces to report.

    Returns
    -------
    list of Match
        One per query.
    """
    if not len(queries) or not len(faces):
        return [_match(None, None, [], []) for _ in queries]
    representatives = representatives or Representatives.of(clusters)
    counts = representatives.counts
    matches: list[Match | None] = [None] * len(queries)
    open_ = np.arange(len(queries))
    k = max(_FIRST_K, neighbours)
    while len(open_):
        found, similarities = search(queries[open_], k)
        undecided = []
        for query, near, values in zip(open_, found, similarities, strict=True):
            # A writer may have added faces since the table was read; leave these out.
            position = np.minimum(np.searchsorted(faces, near), len(faces) - 1)
            known = faces[position] == near
            position, values = position[known], values[known]
            more = k < _LAST_K and near[-1] >= 0 and len(position) < len(faces)
            ranking = _rank(representatives.clusters[position], values, counts, threshold, consensus)
            enough = len(ranking) >= min(2, len(counts)) and all(r.complete for r in ranking[:1])
            if ranking and len(ranking) < len(counts):  # could a cluster without a found face be better?
                enough = enough and values[-1] - (threshold - consensus) <= ranking[0].lead
            if more and not (enough and len(position) >= neighbours):
                undecided.append(query)
                continue
            best, second = [*ranking[:2], None, None][:2]
            nearest = faces[position[:neighbours]].tolist()
            matches[query] = _match(best, second, nearest, values[:neighbours].tolist())
        open_ = np.array(undecided, np.int64)
        k = min(4 * k, _LAST_K)
    return [match for match in matches if match is not None]


@dataclass(frozen=True, slots=True)
class _Ranked:
    cluster: int
    similarity: float
    needed: float
    complete: bool

    @property
    def lead(self) -> float:
        return self.similarity - self.needed


def _rank(
    labels: I64, values: F32, counts: Mapping[int, int], threshold: float, consensus: float
) -> list[_Ranked]:
    """Rank clusters by similarity minus needed similarity; `values` are in descending order.

    A face that the search has not returned yet is at most as similar as the last one that it has.
    """
    top: dict[int, list[float]] = {}
    for label, value in zip(labels.tolist(), values.tolist(), strict=True):
        if label >= 0 and len(best := top.setdefault(label, [])) < _TOP_FACES:
            best.append(value)
    ranking = []
    for label, best in top.items():
        wanted = min(_TOP_FACES, counts[label])
        missing = wanted - len(best)
        similarity = (sum(best) + missing * float(values[-1])) / wanted
        needed = threshold - (consensus if wanted == _TOP_FACES else 0.0)
        ranking.append(_Ranked(label, similarity, needed, not missing))
    return sorted(ranking, key=lambda ranked: -ranked.lead)


def _match(
    best: _Ranked | None, second: _Ranked | None, faces: list[int], similarities: list[float]
) -> Match:
    if best is None:
        return Match(None, None, math.nan, math.nan, math.nan, faces, similarities)
    margin = math.nan if second is None else best.lead - second.lead
    cluster = best.cluster if best.lead >= 0 else None
    return Match(cluster, best.cluster, best.similarity, best.needed, margin, faces, similarities)
