"""Who is on a new photo: the nearest faces, and the cluster that they speak for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from faceindex.types import F32, I64, BoolArray

__all__ = ["Answer", "Neighbour", "Representatives", "identify"]

Search: TypeAlias = Callable[[F32, int], tuple[I64, F32]]

_VOICES = 3  # faces of a cluster whose mean similarity is that of the cluster
_FIRST_LOOK = 32
_LAST_LOOK = 4096


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A face of the index that is near to a query face.

    Attributes
    ----------
    face : int
    similarity : float
        -1..1.
    cluster : int
        -1 if in none.
    """

    face: int
    similarity: float
    cluster: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the index says about one query face.

    Attributes
    ----------
    cluster : int or None
        None means unknown: nobody in the index is similar enough.
    best : int or None
        The nearest cluster, similar enough or not; None if there is no cluster with a voice.
    similarity : float
        Mean over the three most alike faces of `best`; NaN if that is None.
    needed : float
        The similarity that would have been enough; NaN if `best` is None.
    margin : float
        By how much more `best` exceeds what it needed than the next cluster does; NaN if there is no
        other near.
    neighbours : list of Neighbour
        The most alike faces, whichever cluster they are in.
    """

    cluster: int | None
    best: int | None
    similarity: float
    needed: float
    margin: float
    neighbours: list[Neighbour]


@dataclass(frozen=True, slots=True)
class Representatives:
    """Which faces speak for which clusters; the same for every query.

    Attributes
    ----------
    clusters : (n,) int64
        For each face the cluster that it speaks for, -1 for none.
    sizes : mapping of int to int
        How many speak for each cluster; clusters without a voice are not in it.
    """

    clusters: I64
    sizes: Mapping[int, int]

    @classmethod
    def of(cls, clusters: I64, speaking: BoolArray | None = None) -> Representatives:
        """From the cluster of each face, (n,), and which of them speak, (n,); None means all."""
        heard = clusters if speaking is None else np.where(speaking, clusters, -1)
        ids, counts = np.unique(heard[heard >= 0], return_counts=True)
        return cls(heard, dict(zip(ids.tolist(), counts.tolist(), strict=True)))


def identify(
    queries: F32,
    search: Search,
    *,
    faces: I64,
    clusters: I64,
    threshold: float,
    consensus: float = 0.0,
    voices: Representatives | None = None,
    neighbours: int = 5,
) -> list[Answer]:
    """Ask the index about query faces.

    A cluster is as similar as its three most alike faces on average. ``benchmarks/calibrate.py``
    compares this with the most alike face alone, with more faces and with the centroid.

    Parameters
    ----------
    queries : (m, d) float32
        Unit vectors.
    search : callable
        Queries and k to (m, k) face ids, padded with -1, and (m, k) similarities.
    faces, clusters : (n,) int64
        Live face ids in ascending order, and the cluster of each (-1 for none).
    threshold : float
        Least similarity of a known person of whom there are one or two faces.
    consensus : float
        How much less will do for a person of whom there are three or more.
    voices : Representatives, optional
        Which faces speak for their clusters; None means all.
    neighbours : int
        How many of the nearest faces are told.

    Returns
    -------
    list of Answer
        One per query.
    """
    if not len(queries) or not len(faces):
        return [_answer(None, None, []) for _ in queries]
    voices = voices or Representatives.of(clusters)
    sizes = voices.sizes
    answers: list[Answer | None] = [None] * len(queries)
    open_ = np.arange(len(queries))
    k = max(_FIRST_LOOK, neighbours)
    while len(open_):
        found, similarities = search(queries[open_], k)
        undecided = []
        for query, near, values in zip(open_, found, similarities, strict=True):
            # A writer may have added faces since the table was read: those are left out.
            position = np.minimum(np.searchsorted(faces, near), len(faces) - 1)
            known = faces[position] == near
            position, values = position[known], values[known]
            more = k < _LAST_LOOK and near[-1] >= 0 and len(position) < len(faces)
            ranking = _ranking(voices.clusters[position], values, sizes, threshold, consensus)
            enough = len(ranking) >= min(2, len(sizes)) and all(r.complete for r in ranking[:1])
            if ranking and len(ranking) < len(sizes):  # could a cluster that has not spoken be ahead?
                enough = enough and values[-1] - (threshold - consensus) <= ranking[0].lead
            if more and not (enough and len(position) >= neighbours):
                undecided.append(query)
                continue
            nearest = [
                Neighbour(int(faces[i]), float(value), int(clusters[i]))
                for i, value in zip(position[:neighbours], values, strict=False)
            ]
            best, second = [*ranking[:2], None, None][:2]
            answers[query] = _answer(best, second, nearest)
        open_ = np.array(undecided, np.int64)
        k = min(4 * k, _LAST_LOOK)
    return [answer for answer in answers if answer is not None]


@dataclass(frozen=True, slots=True)
class _Ranked:
    cluster: int
    similarity: float
    needed: float
    complete: bool

    @property
    def lead(self) -> float:
        return self.similarity - self.needed


def _ranking(
    labels: I64, values: F32, sizes: Mapping[int, int], threshold: float, consensus: float
) -> list[_Ranked]:
    """Clusters by how far their similarity is above the one that is needed; `values` fall.

    A face that has not been found yet is at most as similar as the last that was.
    """
    voices: dict[int, list[float]] = {}
    for label, value in zip(labels.tolist(), values.tolist(), strict=True):
        if label >= 0 and len(heard := voices.setdefault(label, [])) < _VOICES:
            heard.append(value)
    ranking = []
    for label, heard in voices.items():
        wanted = min(_VOICES, sizes[label])
        missing = wanted - len(heard)
        similarity = (sum(heard) + missing * float(values[-1])) / wanted
        needed = threshold - (consensus if wanted == _VOICES else 0.0)
        ranking.append(_Ranked(label, similarity, needed, not missing))
    return sorted(ranking, key=lambda ranked: -ranked.lead)


def _answer(best: _Ranked | None, second: _Ranked | None, nearest: list[Neighbour]) -> Answer:
    if best is None:
        return Answer(None, None, math.nan, math.nan, math.nan, nearest)
    margin = math.nan if second is None else best.lead - second.lead
    known = best.cluster if best.lead >= 0 else None
    return Answer(known, best.cluster, best.similarity, best.needed, margin, nearest)
