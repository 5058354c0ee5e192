"""Match the faces that two detectors found on one photo."""

from __future__ import annotations

import numpy as np

from faceindex.types import F32, I64, BoolArray

__all__ = ["LEAST_OVERLAP", "match_boxes", "match_pairs", "overlaps"]

# Detectors draw boxes of different sizes around one face. On 100 photos of shared/data/people, mtcnn found
# 105 faces and dlib-hog 101. The boxes of 100 overlapped by 0.57 to 0.81; the other one overlapped none.
LEAST_OVERLAP = 0.2
"""Least intersection over union of two boxes of the same face."""


def match_boxes(old: F32, new: F32) -> I64:
    """Find the old box of each new box: the one that overlaps most, if each contains the centre of the other.

    Pairs are chosen in descending order of their intersection over union; each box is in one pair at most.

    Parameters
    ----------
    old : (m, 4) float32
    new : (n, 4) float32
        Boxes ``x1 y1 x2 y2`` on the same photo.

    Returns
    -------
    (n,) int64
        Positions in `old`; -1 for a new box without an old one.
    """
    found = np.full(len(new), -1, np.int64)
    if not len(old) or not len(new):
        return found
    overlap = np.where(_contains_centre(old, new) & _contains_centre(new, old).T, overlaps(old, new), 0)
    taken = np.zeros(len(old), np.bool_)
    pairs = np.argwhere(overlap >= LEAST_OVERLAP)
    for i, j in pairs[np.argsort(-overlap[pairs[:, 0], pairs[:, 1]], kind="stable")].tolist():
        if not taken[i] and found[j] < 0:
            taken[i], found[j] = True, i
    return found


def match_pairs(old: F32, new: F32, which_old: I64, which_new: I64) -> I64:
    """Match boxes on many photos at once, each photo as `match_boxes` does.

    Parameters
    ----------
    old, new : (k, 4) float32
        The boxes of all pairs that may match: all pairs of each photo, by the old box and then the new one.
    which_old, which_new : (k,) int64
        Numbers of the boxes; those of different photos differ.

    Returns
    -------
    (m,) int64
        The pairs that match.
    """
    sides = np.minimum(old[:, 2:], new[:, 2:]) - np.maximum(old[:, :2], new[:, :2])
    both = sides.clip(0).prod(axis=1)
    area_old, area_new = ((x[:, 2:] - x[:, :2]).clip(0).prod(axis=1) for x in (old, new))
    union = area_old + area_new - both
    overlap = both / np.where(union > 0, union, 1)
    inside = np.ones(len(old), np.bool_)
    for outer, inner in ((old, new), (new, old)):
        centre = (inner[:, :2] + inner[:, 2:]) / 2
        inside &= np.all((outer[:, :2] <= centre) & (centre <= outer[:, 2:]), axis=1)
    pairs = np.flatnonzero(inside & (overlap >= LEAST_OVERLAP))
    pairs = pairs[np.argsort(-overlap[pairs], kind="stable")]
    found, taken_old, taken_new = [], set(), set()
    for pair, a, b in zip(pairs.tolist(), which_old[pairs].tolist(), which_new[pairs].tolist(), strict=True):
        if a not in taken_old and b not in taken_new:
            taken_old.add(a)
            taken_new.add(b)
            found.append(pair)
    return np.array(found, np.int64)


def _contains_centre(outer: F32, inner: F32) -> BoolArray:
    """Whether box i of `outer` contains the centre of box j of `inner`, (m, n)."""
    centre = (inner[:, :2] + inner[:, 2:]) / 2
    inside: BoolArray = np.all((outer[:, None, :2] <= centre) & (centre <= outer[:, None, 2:]), axis=2)
    return inside


def overlaps(a: F32, b: F32) -> F32:
    """Return the intersection over union of all pairs of (m, 4) and (n, 4) boxes, (m, n) float32."""
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    both = sides.clip(0).prod(axis=2)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).clip(0).prod(axis=1) for x in (a, b))
    union = area_a[:, None] + area_b - both
    overlap: F32 = both / np.where(union > 0, union, 1)
    return overlap
