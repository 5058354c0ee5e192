"""Evidence from photos with several faces: two faces on one photo are hardly ever one person.

It counts in two ways. Between two photos, pairs of faces compete: a face matches at most one face of the
other photo, so the odds of a match fall with the odds of the other matches of its two faces. On one photo,
two faces have a penalty if they are in one cluster. The penalty is not absolute, because a collage or a
mirror can show a person twice. Nearly identical faces on one photo are copies, which neither compete nor have
a penalty.

The pairs on one photo also show how similar strangers are in this album (`strangers_of_album`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceindex.clustering.strangers import APART, COPIES, stranger_similarity
from faceindex.compiled import compiled
from faceindex.models.spec import Calibration
from faceindex.types import F32, I32, I64, BoolArray, Graph

__all__ = ["PhotoGroups", "are_copies", "compete", "strangers_of_album"]

# Chosen on one half of the people of shared/data; `benchmarks/clusterers.py` leaves out their uses.
_EXCESS = 0.5  # share that counts of what the strangers of an album are more similar than usual
_ENOUGH_PHOTOS = 30  # photos with several good faces, of which half of that share counts
_SAMPLE = 20_000  # faces


@dataclass(frozen=True, slots=True, eq=False)
class PhotoGroups:
    """The photos with several faces: a group of faces for each.

    Attributes
    ----------
    of : (n,) int32
        Group of each face; -1 if it is alone on its photo.
    indptr : (g + 1,) int64
    members : (m,) int32
        ``members[indptr[i]:indptr[i + 1]]`` are the faces of group i, ascending.
    """

    of: I32
    indptr: I64
    members: I32

    @classmethod
    def build(cls, photos: I64) -> PhotoGroups:
        """Group faces by their photos, (n,) of any numbers."""
        _, codes, sizes = np.unique(photos, return_inverse=True, return_counts=True)
        shared = sizes > 1
        number = np.where(shared, np.cumsum(shared) - 1, -1)
        of = number[codes].astype(np.int32)
        members = np.flatnonzero(of >= 0)
        members = members[np.argsort(of[members], kind="stable")]
        indptr = np.concatenate([[0], np.cumsum(sizes[shared])]).astype(np.int64)
        return cls(of, indptr, members.astype(np.int32))

    def __len__(self) -> int:
        return len(self.indptr) - 1


def compete(graph: Graph, groups: PhotoGroups, copies_from: float) -> Graph:
    """Lower the log-odds of pairs by those of competing pairs, and separate the faces of one photo.

    The pairs (i, j) and (i, k) compete if j and k are on one photo and no copies of each other. The odds of
    (i, j) are divided by 1 plus the sum of the odds of the pairs that compete with it. If a face matches one
    face of another photo at most, these are its posterior odds; both i and j are such a face.

    Parameters
    ----------
    graph : Graph
        Its weights are log-odds with their prior.
    groups : PhotoGroups
        Of the same n faces.
    copies_from : float
        Weight from which two faces on one photo are copies.

    Returns
    -------
    Graph
        With the same edges. Edges between copies have a weight that is `APART` greater, which offsets their
        penalty in `chinese_whispers`. Edges between other faces of one photo have the weight `-APART`. It is
        `graph` itself if no photo has two faces.
    """
    if not len(groups):
        return graph
    weights = _competing(graph.indptr, graph.indices, graph.weights, groups.of, np.float32(copies_from))
    return Graph(graph.indptr, graph.indices, weights)


def strangers_of_album(
    vectors: F32,
    groups: PhotoGroups,
    good: BoolArray,
    calibration: Calibration,
    *,
    at: I64 | None = None,
) -> float:
    """Estimate the average similarity of two strangers of an album, without labels.

    Two people on one photo are strangers in this sense: they are different people. In an album of one family,
    one band or one country, they resemble each other more than the strangers that the embedder was calibrated
    on. Half of the excess counts at most, because faces on one photo also share its light and its camera. It
    counts less the fewer such photos there are.

    Parameters
    ----------
    vectors : (n, d) float32
    groups : PhotoGroups
    good : (n,) bool
        Faces that count.
    calibration : Calibration
    at : (n,) int64, optional
        Which of the vectors are those of the faces. Else, all are.

    Returns
    -------
    float
        At least the `stranger_similarity` of the calibration.
    """
    usual = stranger_similarity(calibration)
    copies = calibration.midpoint + COPIES / calibration.slope
    members = groups.members[good[groups.members]]
    if not len(members):
        return usual
    if len(members) > _SAMPLE:
        whole_photos = int(np.searchsorted(groups.of[members], groups.of[members[_SAMPLE]]))
        members = members[: whole_photos or _SAMPLE]
    _, first = np.unique(groups.of[members], return_index=True)
    averages = []
    for start, stop in zip(first.tolist(), [*first[1:].tolist(), len(members)], strict=True):
        if stop - start > 1:
            which = members[start:stop]
            faces = vectors[which if at is None else at[which]]
            pairs = (faces @ faces.T)[np.triu_indices(stop - start, 1)]
            averages += [pairs[pairs < copies].mean()] if (pairs < copies).any() else []
    if not averages:
        return usual
    weight = _EXCESS * len(averages) / (len(averages) + _ENOUGH_PHOTOS)
    return max(usual, usual + weight * (float(np.mean(averages)) - usual))


@compiled(nogil=True)
def _find(indices, low, high, wanted):  # type: ignore[no-untyped-def]
    """Return the position of `wanted` in the ascending ``indices[low:high]``, or -1."""
    end = high
    while low < high:
        middle = (low + high) // 2
        if indices[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < end and indices[low] == wanted else -1


@compiled(nogil=True)
def are_copies(indptr, indices, competed, i, j):  # type: ignore[no-untyped-def]
    """Return whether two faces of one photo are copies; `competed` are the weights that `compete` returns."""
    at = _find(indices, indptr[i], indptr[i + 1], np.int64(j))
    return at >= 0 and competed[at] > 0.0


@compiled(nogil=True)
def _odds(weight):  # type: ignore[no-untyped-def]
    """Return the odds of log-odds, which are cut where their sum would lose the smaller ones anyway."""
    return np.exp(min(weight, np.float32(40.0)))


@compiled(nogil=True)
def _competing(indptr, indices, weights, group, copies_from):  # type: ignore[no-untyped-def]
    n = len(group)
    n_groups = 0
    for g in group:
        n_groups = max(n_groups, g + 1)
    has_copy = np.zeros(n, np.bool_)
    for i in range(n):
        if group[i] >= 0:
            for e in range(indptr[i], indptr[i + 1]):
                if group[indices[e]] == group[i] and weights[e] >= copies_from:
                    has_copy[i] = True
    others = np.zeros(len(indices), np.float32)  # odds of i with the other faces on the photo of j
    odds = np.zeros(n_groups, np.float64)
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            g = group[indices[e]]
            if g >= 0 and g != group[i]:
                odds[g] += _odds(weights[e])
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            g = group[j]
            if g < 0 or g == group[i]:
                continue
            rest = odds[g] - _odds(weights[e])
            if has_copy[j]:
                for f in range(indptr[j], indptr[j + 1]):
                    if group[indices[f]] == g and weights[f] >= copies_from:
                        at = _find(indices, indptr[i], indptr[i + 1], np.int64(indices[f]))
                        if at >= 0:
                            rest -= _odds(weights[at])
            others[e] = max(rest, 0.0)
        for e in range(indptr[i], indptr[i + 1]):
            if group[indices[e]] >= 0:
                odds[group[indices[e]]] = 0.0
    result = weights.copy()
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if group[i] >= 0 and group[j] == group[i]:
                result[e] = weights[e] + APART if weights[e] >= copies_from else -APART
            elif group[i] >= 0 or group[j] >= 0:
                back = _find(indices, indptr[j], indptr[j + 1], i)
                result[e] = weights[e] - np.log(1.0 + others[e] + others[back])
    return result
