"""Samples of the similarities of two faces on one photo, in one cluster, or of one person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceindex.types import F32, I64

__all__ = ["Sample", "Similarities", "sample_similarities"]

_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """Similarities of some pairs of faces.

    Attributes
    ----------
    values : (m,) float32
    pairs : int
        Number of such pairs. If it is greater than m, `values` are those of m pairs drawn at random.
    """

    values: F32
    pairs: int

    def share_above(self, threshold: float) -> float | None:
        """Return the share of the values that are at least `threshold`; None if there are no values."""
        return float((self.values >= np.float32(threshold)).mean()) if len(self.values) else None


@dataclass(frozen=True, slots=True)
class Similarities:
    """Similarities of several kinds of pairs of faces.

    Attributes
    ----------
    same_photo : Sample
        Two faces on one photo: different people, except in mirrors and collages.
    nearest : Sample
        A face and the most similar one on another photo.
    within_cluster : Sample
        Two faces in one cluster, on different photos.
    same_person, different_person : Sample or None
        Two labelled faces on different photos; None without labels.
    """

    same_photo: Sample
    nearest: Sample
    within_cluster: Sample
    same_person: Sample | None = None
    different_person: Sample | None = None


def sample_similarities(
    vectors: F32,
    photos: I64,
    clusters: I64,
    people: I64 | None = None,
    *,
    limit: int = 200_000,
    queries: int = 5_000,
    seed: int = 0,
) -> Similarities:
    """Draw pairs of faces of each kind.

    Parameters
    ----------
    vectors : (n, d) float32
        Unit vectors.
    photos : (n,) int64
        The photo of each face, 0 and above.
    clusters : (n,) int64
        -1 for none.
    people : (n,) int64, optional
        The person on each face; -1 for faces without a label.
    limit : int
        Most pairs of a kind. If there are no more, all are used.
    queries : int
        Most faces for which the most similar one is searched.
    seed : int

    Returns
    -------
    Similarities
    """
    rng = np.random.default_rng(seed)
    same_photo = _within(vectors, photos, None, limit, rng)
    nearest = _nearest(vectors, photos, queries, rng)
    within_cluster = _within(vectors, clusters, photos, limit, rng)
    if people is None:
        return Similarities(same_photo, nearest, within_cluster)
    same_person = _within(vectors, people, photos, limit, rng)
    different_person = _between(vectors, people, limit, rng)
    return Similarities(same_photo, nearest, within_cluster, same_person, different_person)


def _within(vectors: F32, groups: I64, photos: I64 | None, limit: int, rng: np.random.Generator) -> Sample:
    """Draw pairs in one group (0 and above); on different photos, if `photos` is passed."""
    member = np.flatnonzero(groups >= 0)
    member = member[np.argsort(groups[member], kind="stable")]
    _, starts, sizes = np.unique(groups[member], return_index=True, return_counts=True)
    pairs_of = sizes * (sizes - 1) // 2
    total = int(pairs_of.sum())
    # Pair number r of a group is (i, j) with i < j and r = j (j - 1) / 2 + i.
    drawn = np.arange(total) if total <= limit else rng.integers(total, size=limit)
    ends = np.cumsum(pairs_of)
    group = np.searchsorted(ends, drawn, side="right")
    rank = drawn - (ends[group] - pairs_of[group])
    j = ((1 + np.sqrt(1 + 8 * rank.astype(np.float64))) / 2).astype(np.int64)
    j -= j * (j - 1) // 2 > rank  # the root may be rounded up
    i = rank - j * (j - 1) // 2
    a, b = member[starts[group] + i], member[starts[group] + j]
    if photos is not None:
        apart = photos[a] != photos[b]
        same_photo = _pairs_in_both(groups, photos)
        a, b, total = a[apart], b[apart], total - same_photo
    return Sample(_dot(vectors, a, b), total)


def _between(vectors: F32, people: I64, limit: int, rng: np.random.Generator) -> Sample:
    """Draw pairs of faces with different labels."""
    member = np.flatnonzero(people >= 0)
    sizes = np.unique(people[member], return_counts=True)[1]
    total = (len(member) ** 2 - int((sizes**2).sum())) // 2
    if not total:
        return Sample(np.empty(0, np.float32), 0)
    if total <= limit:
        a, b = (member[side] for side in np.triu_indices(len(member), 1))
    else:
        a, b = member[rng.integers(len(member), size=(2, limit))]
    different = people[a] != people[b]
    return Sample(_dot(vectors, a[different], b[different]), total)


def _nearest(vectors: F32, photos: I64, queries: int, rng: np.random.Generator) -> Sample:
    """Draw faces, each with the most similar face on another photo."""
    n = len(vectors)
    drawn = np.arange(n) if n <= queries else np.sort(rng.choice(n, queries, replace=False))
    values = np.empty(len(drawn), np.float32)
    rows = max(1, _BLOCK_BYTES // (4 * max(1, n)))
    for start in range(0, len(drawn), rows):
        block = drawn[start : start + rows]
        similarities = vectors[block] @ vectors.T
        similarities[photos[block, None] == photos] = -np.inf
        values[start : start + rows] = similarities.max(axis=1)
    found = np.isfinite(values)
    return Sample(values[found], n if len(drawn) < n else int(found.sum()))


def _pairs_in_both(groups: I64, photos: I64) -> int:
    """Count the pairs of faces that share both group and photo."""
    member = groups >= 0
    sizes = np.unique(np.stack([groups[member], photos[member]]), axis=1, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def _dot(vectors: F32, a: I64, b: I64) -> F32:
    values = np.empty(len(a), np.float32)
    for start in range(0, len(a), 1 << 16):
        part = slice(start, start + (1 << 16))
        values[part] = np.einsum("ij,ij->i", vectors[a[part]], vectors[b[part]])
    return values
