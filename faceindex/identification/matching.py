"""Search the nearest faces of query faces, then compare the clusters of these."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from faceindex.evidence import (
    FALSE_ALARMS,
    Confidence,
    Ranking,
    confidence,
    evidence,
    is_named,
    needed_evidence,
    odds,
    rivals,
)
from faceindex.identification.representatives import Representatives
from faceindex.models.spec import Calibration
from faceindex.types import F32, F64, I64

__all__ = ["Judge", "Match", "identify"]

Search: TypeAlias = Callable[[F32, int], tuple[I64, F32]]
Vectors: TypeAlias = Callable[[I64], F32]

_TOP_FACES = 3  # the similarity of a cluster is the mean over this many of its most similar faces
_CANDIDATES = 5  # people for whose clusters the evidence is computed, by that similarity
_BLOCK = 8192  # vectors of a cluster that are read at a time
_FIRST_K = 32
_LAST_K = 4096


@dataclass(frozen=True, slots=True)
class Match:
    """The best match for one query face.

    Attributes
    ----------
    cluster : int or None
        None if nobody is named.
    nearest_cluster : int or None
        The best cluster, named or not; None if no cluster that may be the answer has a representative face.
    similarity : float
        Mean similarity to the three most similar faces of `nearest_cluster`; NaN if that is None.
    needed : float
        The similarity with which `nearest_cluster` would be named; NaN if it is None.
    margin : float
        Lead over the best cluster of another person, in units of similarity; NaN if there is none.
    faces : list of int
        Ids of the most similar faces, whatever their cluster, best first.
    similarities : list of float
        Their similarities, -1..1.
    probability : float
        That the face shows the person of `nearest_cluster`; NaN if it is None, or without a `Judge`.
    false_alarm : float
        Share of strangers whose best cluster has at least as much evidence; NaN like `probability`.
    confidence : {"certain", "likely", "doubtful", "unknown"} or None
        None without a `Judge`.
    """

    cluster: int | None
    nearest_cluster: int | None
    similarity: float
    needed: float
    margin: float
    faces: list[int]
    similarities: list[float]
    probability: float = math.nan
    false_alarm: float = math.nan
    confidence: Confidence | None = None


@dataclass(frozen=True, slots=True)
class Judge:
    """The calibration and the rate of false alarms by which people are named.

    Attributes
    ----------
    calibration : Calibration
        That of the embedder.
    vectors : callable
        Maps positions in the table of faces, (k,), to unit vectors (k, d).
    false_alarms : float
        Share of strangers that may be named, more than 0.
    """

    calibration: Calibration
    vectors: Vectors
    false_alarms: float = FALSE_ALARMS


def identify(
    queries: F32,
    search: Search,
    *,
    faces: I64,
    clusters: I64,
    threshold: float | None = None,
    judge: Judge | None = None,
    quality: F32 | None = None,
    representatives: Representatives | None = None,
    left_out: Sequence[Collection[int]] | None = None,
    neighbours: int = 5,
) -> list[Match]:
    """Match query faces with the clusters of an index.

    The clusters of the nearest faces are candidates. The one with the most evidence (`faceindex.evidence`)
    is the best, or without a judge the one whose three most similar faces are the most similar.

    Parameters
    ----------
    queries : (m, d) float32
        Unit vectors.
    search : callable
        Maps queries and k to face ids (m, k), padded with -1, and similarities (m, k).
    faces, clusters : (n,) int64
        Live face ids in ascending order, and the cluster of each (-1 for none).
    threshold : float, optional
        Least similarity of a cluster that is named. None means that the evidence decides, by the judge.
    judge : Judge, optional
        None gives no probabilities; then `threshold` is needed.
    quality : (m,) float32, optional
        Quality of the query faces; None means 1.
    representatives : Representatives, optional
        None means that every face represents its cluster.
    left_out : sequence of collection of int, optional
        For each query the clusters that are not the answer: all those of the people that it cannot show.
    neighbours : int
        Number of nearest faces to report.

    Returns
    -------
    list of Match
        One per query.
    """
    if not len(queries) or not len(faces):
        return [_unmatched(judge, [], []) for _ in queries]
    representatives = representatives or Representatives.of(clusters)
    counts, people = representatives.counts, len(representatives.people())
    found: dict[int, _Found] = {}
    open_ = np.arange(len(queries))
    k = max(_FIRST_K, neighbours)
    while len(open_):
        undecided = []
        for query, near, values in zip(open_.tolist(), *search(queries[open_], k), strict=True):
            # A writer may have added faces since the table was read; leave these out.
            position = np.minimum(np.searchsorted(faces, near), len(faces) - 1)
            known = faces[position] == near
            position, values = position[known], values[known]
            more = k < _LAST_K and near[-1] >= 0 and len(position) < len(faces)
            out = [c for c in left_out[query] if c in counts] if left_out is not None else []
            ranking = _rank(representatives.clusters[position], values, counts, out)
            other_people = people - len({representatives.person(cluster) for cluster in out})
            seen = len({representatives.person(r.cluster) for r in ranking})
            enough = seen >= min(2, other_people) and all(r.complete for r in ranking[:1])
            if ranking and len(ranking) < len(counts) - len(out):
                # Could a cluster without a found face be better?
                enough = enough and values[-1] <= ranking[0].similarity
            if more and not (enough and len(position) >= neighbours):
                undecided.append(query)
                continue
            nearest = faces[position[:neighbours]].tolist()
            candidates = _candidates(ranking, representatives)
            found[query] = _Found(candidates, nearest, values[:neighbours].tolist())
        open_ = np.array(undecided, np.int64)
        k = min(4 * k, _LAST_K)
    in_order = [found[query] for query in range(len(queries))]
    if judge is None:
        assert threshold is not None
        return [_by_similarity(one, threshold, representatives) for one in in_order]
    return _by_evidence(queries, in_order, judge, quality, representatives, threshold)


@dataclass(frozen=True, slots=True)
class _Ranked:
    cluster: int
    similarity: float
    complete: bool


@dataclass(frozen=True, slots=True)
class _Found:
    ranking: list[_Ranked]  # best similarity first
    faces: list[int]
    similarities: list[float]


def _rank(
    labels: I64, values: F32, counts: Mapping[int, int], left_out: Collection[int] = ()
) -> list[_Ranked]:
    """Rank clusters by the mean of their three highest similarities; `values` are in descending order.

    A face that the search has not returned yet is at most as similar as the last one that it has.
    """
    top: dict[int, list[float]] = {}
    for label, value in zip(labels.tolist(), values.tolist(), strict=True):
        if label >= 0 and len(best := top.setdefault(label, [])) < _TOP_FACES:
            best.append(value)
    for label in left_out:
        top.pop(label, None)
    ranking = []
    for label, best in top.items():
        wanted = min(_TOP_FACES, counts[label])
        missing = wanted - len(best)
        ranking.append(
            _Ranked(label, (sum(best) + missing * float(values[-1])) / wanted, complete=not missing)
        )
    return sorted(ranking, key=lambda ranked: -ranked.similarity)


def _candidates(ranking: Sequence[_Ranked], representatives: Representatives) -> list[_Ranked]:
    """Return the clusters of the first people of a ranking."""
    people = dict.fromkeys(representatives.person(ranked.cluster) for ranked in ranking)
    first = set(list(people)[:_CANDIDATES])
    return [ranked for ranked in ranking if representatives.person(ranked.cluster) in first]


def _unmatched(judge: Judge | None, faces: list[int], similarities: list[float]) -> Match:
    word: Confidence | None = None if judge is None else "unknown"
    return Match(None, None, math.nan, math.nan, math.nan, faces, similarities, confidence=word)


def _by_similarity(found: _Found, threshold: float, representatives: Representatives) -> Match:
    if not found.ranking:
        return _unmatched(None, found.faces, found.similarities)
    best, person = found.ranking[0], representatives.person(found.ranking[0].cluster)
    others = (one for one in found.ranking if representatives.person(one.cluster) != person)
    second = next(others, None)
    margin = math.nan if second is None else best.similarity - second.similarity
    cluster = best.cluster if best.similarity >= threshold else None
    return Match(cluster, best.cluster, best.similarity, threshold, margin, found.faces, found.similarities)


def _by_evidence(
    queries: F32,
    found: Sequence[_Found],
    judge: Judge,
    quality: F32 | None,
    representatives: Representatives,
    threshold: float | None,
) -> list[Match]:
    calibration, rate = judge.calibration, judge.false_alarms
    people = _People(judge, representatives)
    best: list[_Weighed | None] = []
    first, second = (np.full(len(found), -np.inf) for _ in range(2))
    first_of, second_of = (np.ones(len(found)) for _ in range(2))
    for i, (query, one) in enumerate(zip(queries, found, strict=True)):
        weighed = people.best(query, one.ranking)
        best.append(weighed[0] if weighed else None)
        of = people.rivals([top.cluster for top in weighed])
        for values, numbers, top, number in zip(
            (first, second), (first_of, second_of), weighed, of, strict=False
        ):
            values[i], numbers[i] = top.evidence, number
    ranking = Ranking(first, second, first_of, second_of, max(1, len(people.numbers)))
    worth = odds(ranking, calibration, quality)
    named = is_named(worth, rate)
    needed = needed_evidence(ranking, calibration, quality, rate)
    matches = []
    for i, (answer, nearest) in enumerate(zip(best, found, strict=True)):
        if answer is None:
            matches.append(_unmatched(judge, nearest.faces, nearest.similarities))
            continue
        if threshold is None:
            enough = bool(named[i])
            least = answer.similarity + float(needed[i] - first[i]) / calibration.slope
        else:
            enough, least = answer.similarity >= threshold, threshold
        matches.append(
            Match(
                answer.cluster if enough else None,
                answer.cluster,
                answer.similarity,
                least,
                float(first[i] - second[i]) / calibration.slope if np.isfinite(second[i]) else math.nan,
                nearest.faces,
                nearest.similarities,
                float(worth.probability[i]),
                float(worth.false_alarm[i]),
                confidence(float(worth.probability[i]), named=bool(named[i])),
            )
        )
    return matches


@dataclass(frozen=True, slots=True)
class _Weighed:
    """A cluster and the evidence for it; upper bounds unless `complete`."""

    cluster: int
    similarity: float
    evidence: float
    complete: bool


class _People:
    """The faces and centroids of clusters, read when they are needed."""

    def __init__(self, judge: Judge, representatives: Representatives) -> None:
        self._judge = judge
        self._representatives = representatives
        self._centroids: dict[int, F64] = {}
        self.numbers = representatives.people()
        self._everybody = np.fromiter(self.numbers.values(), np.float64)
        self._chances: dict[int, float] = {}
        for cluster, person in representatives.first.items():
            root = math.sqrt(representatives.counts.get(cluster, 0))
            self._chances[person] = self._chances.get(person, 0.0) + root

    def rivals(self, clusters: list[int]) -> F64:
        """Return N of some clusters, (k,): that of their person (`faceindex.evidence.rivals`), shared out."""
        people = list(map(self._representatives.person, clusters))
        of = rivals(np.array([self.numbers[person] for person in people], np.float64), self._everybody)
        for i, (cluster, person) in enumerate(zip(clusters, people, strict=True)):
            if person in self._chances:
                of[i] *= self._chances[person] / math.sqrt(self._representatives.counts[cluster])
        return of

    def best(self, query: F32, ranking: Sequence[_Ranked]) -> list[_Weighed]:
        """Return the candidate with the most evidence, and then that of another person, if there is one.

        What the search has found of a cluster is an upper bound if faces are missing. Where one person fills
        the nearest faces, it can be far above the similarity, so all faces of such a cluster are compared.
        """
        weighed = [self._weigh(query, r.cluster, r.similarity, complete=r.complete) for r in ranking]
        while True:
            weighed.sort(key=lambda w: -w.evidence)
            people = [self._representatives.person(w.cluster) for w in weighed]
            other = next((i for i, person in enumerate(people) if person != people[0]), None)
            top = [i for i in (0, other) if i is not None and weighed]
            bound = next((i for i in top if not weighed[i].complete), None)
            if bound is None:
                return [weighed[i] for i in top]
            cluster = weighed[bound].cluster
            weighed[bound] = self._weigh(query, cluster, self._similarity(query, cluster), complete=True)

    def _weigh(self, query: F32, cluster: int, similarity: float, *, complete: bool) -> _Weighed:
        """Compute the evidence that a query shows the person of a cluster."""
        if cluster not in self._centroids:
            members = self._judge.vectors(self._representatives.some_of(cluster))
            centroid = members.mean(axis=0, dtype=np.float64)
            self._centroids[cluster] = centroid / max(float(np.linalg.norm(centroid)), 1e-12)
        found = evidence(
            np.array([similarity]),
            np.array([self._centroids[cluster] @ query]),
            np.array([float(self._representatives.counts[cluster])]),
            self._judge.calibration,
        )
        return _Weighed(cluster, similarity, float(found[0]), complete)

    def _similarity(self, query: F32, cluster: int) -> float:
        """Compute the mean similarity to the most similar of all representatives, in blocks."""
        positions = self._representatives.all_of(cluster)
        best = np.empty(0, np.float32)
        for start in range(0, len(positions), _BLOCK):
            values = self._judge.vectors(positions[start : start + _BLOCK]) @ query
            best = np.sort(np.concatenate([best, values]))[-_TOP_FACES:]
        return float(best.mean())
