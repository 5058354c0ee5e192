"""Who is on a new photo: the nearest faces, and the cluster that they speak for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from faceindex.types import F32, I64

__all__ = ["Answer", "Neighbour", "identify"]

Search: TypeAlias = Callable[[F32, int], tuple[I64, F32]]

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
        The nearest cluster, similar enough or not; None if there is no cluster at all.
    similarity : float
        To the most alike face of `best`; NaN if that is None.
    margin : float
        By how much `best` is ahead of the nearest other cluster; NaN if there is no other near.
    neighbours : list of Neighbour
        The most alike faces, whichever cluster they are in.
    """

    cluster: int | None
    best: int | None
    similarity: float
    margin: float
    neighbours: list[Neighbour]


def identify(
    queries: F32,
    search: Search,
    *,
    faces: I64,
    clusters: I64,
    threshold: float,
    neighbours: int = 5,
) -> list[Answer]:
    """Ask the index about query faces.

    A cluster is as similar as its most alike face. ``benchmarks/calibrate.py`` compares this with
    the mean of several faces and with the centroid: they tell members from strangers equally well,
    and this one is as good for a cluster of two.

    Parameters
    ----------
    queries : (m, d) float32
        Unit vectors.
    search : callable
        Queries and k to (m, k) face ids, padded with -1, and (m, k) similarities.
    faces, clusters : (n,) int64
        Live face ids in ascending order, and the cluster of each (-1 for none).
    threshold : float
        Least similarity of a known person.
    neighbours : int
        How many of the nearest faces are told.

    Returns
    -------
    list of Answer
        One per query.
    """
    if not len(queries) or not len(faces):
        return [Answer(None, None, np.nan, np.nan, []) for _ in queries]
    answers: list[Answer | None] = [None] * len(queries)
    open_ = np.arange(len(queries))
    enough = min(2, len(np.unique(clusters[clusters >= 0])))  # a cluster, and one to be ahead of
    k = max(_FIRST_LOOK, neighbours)
    while len(open_):
        found, similarities = search(queries[open_], k)
        undecided = []
        for query, ids, values in zip(open_, found, similarities, strict=True):
            # A writer may have added faces since the table was read: those are left out.
            position = np.minimum(np.searchsorted(faces, ids), len(faces) - 1)
            known = faces[position] == ids
            more = k < _LAST_LOOK and ids[-1] >= 0 and np.count_nonzero(known) < len(faces)
            ids, values, labels = ids[known], values[known], clusters[position[known]]
            ranking = _ranking(labels, values)
            if more and (len(ranking) < enough or len(ids) < neighbours):
                undecided.append(query)
                continue
            answers[query] = _answer(ids, values, labels, ranking, threshold, neighbours)
        open_ = np.array(undecided, np.int64)
        k = min(4 * k, _LAST_LOOK)
    return [answer for answer in answers if answer is not None]


def _ranking(labels: I64, values: F32) -> list[tuple[int, float]]:
    """Clusters by their most alike face; `values` are sorted, greatest first."""
    ids, first = np.unique(labels, return_index=True)
    order = np.argsort(first[ids >= 0])
    return [
        (int(cluster), float(values[position]))
        for cluster, position in zip(ids[ids >= 0][order], first[ids >= 0][order], strict=True)
    ]


def _answer(
    ids: I64, values: F32, labels: I64, ranking: list[tuple[int, float]], threshold: float, neighbours: int
) -> Answer:
    nearest = [
        Neighbour(int(face), float(value), int(label))
        for face, value, label in zip(ids[:neighbours], values, labels, strict=False)
    ]
    if not ranking:
        return Answer(None, None, np.nan, np.nan, nearest)
    best, similarity = ranking[0]
    margin = similarity - ranking[1][1] if len(ranking) > 1 else np.nan
    return Answer(best if similarity >= threshold else None, best, similarity, margin, nearest)
