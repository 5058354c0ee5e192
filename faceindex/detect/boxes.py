"""Box arithmetic on whole arrays: non-maximum suppression, squaring, clipping."""

from __future__ import annotations

from typing import Literal

import numpy as np

from faceindex.types import F32, I64, BoolArray

__all__ = ["PAIRS", "frames", "nms", "square"]

# Pairs of boxes compared at a time; bounds memory at some 100 MB.
PAIRS = 1 << 20


def nms(
    boxes: F32,
    scores: F32,
    groups: I64,
    threshold: float,
    overlap: Literal["union", "min"] = "union",
) -> I64:
    """Greedy non-maximum suppression within groups.

    In each group, the best box is kept and the boxes that overlap it by more than `threshold` are
    dropped; then the best of the rest is kept, and so on. The result equals that of this loop, but no
    loop runs over boxes. A sweep along x finds the pairs that can overlap. The greedy choice is the
    fixed point of the rule "a box is kept unless it overlaps a better box that is kept". It is reached
    in as many steps as the longest chain in which each box decides the next.

    Parameters
    ----------
    boxes : (n, 4) float32
        ``x1 y1 x2 y2``.
    scores : (n,) float32
        Of two boxes with equal scores, the first is the better one.
    groups : (n,) int64
        Only boxes of the same group suppress each other.
    threshold : float
        Between 0 and 1.
    overlap : {"union", "min"}
        The area that the intersection is divided by: that of the union (as in torchvision's nms), or
        the smaller of the two areas with pixels counted inclusively (x2 - x1 + 1), as in the last stage
        of MTCNN.

    Returns
    -------
    (m,) int64
        Indices of the boxes kept, by group, then by descending score.
    """
    order = np.lexsort((-scores, groups))
    better, worse = _conflicts(boxes[order], groups[order], threshold, overlap)
    dropped = np.zeros(len(boxes), np.bool_)
    while len(better):
        contested = np.zeros(len(boxes), np.bool_)
        contested[worse] = True
        dropped[worse[~contested[better]]] = True
        open_ = ~(dropped[better] | dropped[worse])
        better, worse = better[open_], worse[open_]
    return order[~dropped]


def _conflicts(boxes: F32, groups: I64, threshold: float, overlap: str) -> tuple[I64, I64]:
    """Find the overlapping pairs among boxes that are sorted by group and descending score.

    Returns the positions of the better and of the worse box of each pair.
    """
    none = np.empty(0, np.int64)
    if len(boxes) < 2:
        return none, none
    # Two boxes exceed a threshold on the union only if the strip they share is wider than `threshold`
    # times the left box. This limits how far right the other box may start. The slack covers rounding.
    widths = (boxes[:, 2] - boxes[:, 0]).astype(np.float64)
    reach = (1 - threshold) * widths * 1.001 if overlap == "union" else widths + 1
    reach = np.maximum(reach, 0) + 0.01
    starts = boxes[:, 0].astype(np.float64)
    span = starts.max() - starts.min() + reach.max() + 1
    key = np.unique(groups, return_inverse=True)[1] * span + starts
    sweep = np.argsort(key, kind="stable")
    ends = np.searchsorted(key[sweep], (key + reach)[sweep], side="right")
    counts = ends - np.arange(1, len(boxes) + 1)
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])

    better, worse = [none], [none]
    first = 0
    while first < len(boxes):
        end = max(first + 1, int(np.searchsorted(total, total[first] + PAIRS, side="right")) - 1)
        left = np.repeat(np.arange(first, end), counts[first:end])
        right = left + 1 + np.arange(len(left)) - (total[left] - total[first])
        left, right = sweep[left], sweep[right]
        hit = _overlap(boxes, left, right, overlap) > threshold
        left, right = left[hit], right[hit]
        better.append(np.minimum(left, right))
        worse.append(np.maximum(left, right))
        first = end
    return np.concatenate(better), np.concatenate(worse)


def _overlap(boxes: F32, left: I64, right: I64, overlap: str) -> F32:
    border = np.float32(1 if overlap == "min" else 0)
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.T)
    area = (x2 - x1 + border) * (y2 - y1 + border)
    width = np.minimum(x2[left], x2[right]) - np.maximum(x1[left], x1[right]) + border
    height = np.minimum(y2[left], y2[right]) - np.maximum(y1[left], y1[right]) + border
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    a, b = area[left], area[right]
    whole = np.minimum(a, b) if overlap == "min" else a + b - shared
    ratio: F32 = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    return ratio


def square(boxes: F32) -> F32:
    """Extend the shorter side of each box on both ends, so that all boxes are square.

    Parameters
    ----------
    boxes : (n, 4) float32

    Returns
    -------
    (n, 4) float32
    """
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.max(axis=1, keepdims=True)
    half = np.float32(0.5)
    corner = boxes[:, :2] + size * half - side * half
    return np.concatenate([corner, corner + side], axis=1)


def frames(boxes: F32, sizes: I64) -> tuple[I64, BoolArray]:
    """Convert boxes to ranges of whole pixels, clipped to the image.

    The coordinates of `boxes` count from 1 and include both ends. This is the convention of the MATLAB
    original, which facenet-pytorch keeps. Fractions are cut off.

    Parameters
    ----------
    boxes : (n, 4) float32
    sizes : (n, 2) int64
        Width and height of the image of each box.

    Returns
    -------
    frames : (n, 4) int64
        ``x1 y1 x2 y2`` counted from 0, ends excluded, clipped to the image.
    inside : (n,) bool
        Whether the frame contains any pixel.
    """
    whole = np.trunc(boxes).astype(np.int64)
    clipped = np.concatenate([np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], sizes)], axis=1)
    inside: BoolArray = np.all(clipped[:, 2:] > clipped[:, :2], axis=1)
    return clipped, inside
