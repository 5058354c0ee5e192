"""Exact nearest neighbours by blocked matrix products."""

from __future__ import annotations

import numpy as np

from faceindex.types import F32, I64, BoolArray

__all__ = ["BLOCK_BYTES", "QUERY_BLOCK", "select_best", "top_k"]

# Limits of one block of vectors and of one block of scores.
BLOCK_BYTES = 64 << 20
QUERY_BLOCK = 1024


def top_k(queries: F32, vectors: F32, k: int, alive: BoolArray) -> tuple[I64, F32]:
    """Find the `k` rows with the greatest dot product with each query.

    It takes two blocks of 64 MB beside the result, for any number of rows.

    Parameters
    ----------
    queries : (m, d) float32
    vectors : (n, d) float32
        Finite; may be a memory map.
    k : int
        At least 1.
    alive : (n,) bool
        Only these rows are found.

    Returns
    -------
    rows : (m, k) int64
        Best first, ties by lower row; padded with -1.
    similarities : (m, k) float32
        Padded with -inf.
    """
    found = [
        _top_k(queries[i : i + QUERY_BLOCK], vectors, k, alive) for i in range(0, len(queries), QUERY_BLOCK)
    ]
    if not found:
        return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
    return np.concatenate([rows for rows, _ in found]), np.concatenate([scores for _, scores in found])


def select_best(rows: I64, scores: F32, k: int) -> tuple[I64, F32]:
    """Select the `k` best of each line, best first, ties by lower row; -1 and -inf mark empty places.

    Parameters
    ----------
    rows : (m, c) int64
    scores : (m, c) float32

    Returns
    -------
    (m, k) int64, (m, k) float32
    """
    missing = k - rows.shape[1]
    if missing > 0:
        rows = np.pad(rows, ((0, 0), (0, missing)), constant_values=-1)
        scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    order = np.lexsort((rows, -scores))[:, :k]
    return np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1)


def _top_k(queries: F32, vectors: F32, k: int, alive: BoolArray) -> tuple[I64, F32]:
    m, d = queries.shape
    rows = np.full((m, k), -1, np.int64)
    scores = np.full((m, k), -np.inf, np.float32)
    block = max(1, BLOCK_BYTES // 4 // max(m, d))
    for start in range(0, len(vectors), block):
        product = queries @ vectors[start : start + block].T
        dead = ~alive[start : start + block]
        if dead.any():
            product[:, dead] = -np.inf
        # Keep only scores above the worst of the k so far: after the first block there are few, so the
        # sort below is small. An equal score of a later row loses its tie.
        if start == 0 and product.shape[1] > k:
            kth = np.partition(product, product.shape[1] - k, axis=1)[:, product.shape[1] - k]
            better = (product >= kth[:, None]) & (product > -np.inf)
        else:
            better = product > scores[:, -1:]
        line, column = np.nonzero(better)
        if len(line):
            _merge(rows, scores, line, column + start, product[line, column])
    return rows, scores


def _merge(rows: I64, scores: F32, line: I64, row: I64, score: F32) -> None:
    """Merge candidates (`line` ascending) into the best of each line so far, in place."""
    k = rows.shape[1]
    touched = np.unique(line)
    every_line = np.concatenate([np.repeat(touched, k), line])
    every_row = np.concatenate([rows[touched].ravel(), row])
    every_score = np.concatenate([scores[touched].ravel(), score])
    order = np.lexsort((every_row, -every_score, every_line))
    every_line, every_row, every_score = every_line[order], every_row[order], every_score[order]
    first = np.searchsorted(every_line, every_line)
    rank = np.arange(len(every_line)) - first
    keep = rank < k
    rows[every_line[keep], rank[keep]] = every_row[keep]
    scores[every_line[keep], rank[keep]] = every_score[keep]
