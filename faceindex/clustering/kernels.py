"""Compiled kernels of the search for neighbours.

A list of neighbours is one row of two arrays, positions and similarities. While it is filled, it is a heap
with its worst entry first: the lowest similarity, then the greatest position. The order in which entries
are added does not change the result.
"""

from __future__ import annotations

import numpy as np

from faceindex.compiled import compiled
from faceindex.types import F32, I32

__all__ = ["add_block", "add_reverse_neighbours", "empty_lists", "mark_new", "refine", "sort_lists"]


def empty_lists(rows: int, k: int, floor: float, padding: int) -> tuple[I32, F32]:
    """Create lists of k entries that any neighbour above `floor` replaces.

    `padding` is their position. It must be greater than that of every vector.
    """
    return np.full((rows, k), padding, np.int32), np.full((rows, k), floor, np.float32)


@compiled(nogil=True)
def _replace_worst(values, positions, k, value, position):  # type: ignore[no-untyped-def]
    """Replace the worst, which is the first, of the k entries of a heap."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= k:
            break
        if child + 1 < k and (
            values[child + 1] < values[child]
            or (values[child + 1] == values[child] and positions[child + 1] > positions[child])
        ):
            child += 1
        if values[child] > value or (values[child] == value and positions[child] < position):
            break
        values[at], positions[at] = values[child], positions[child]
        at = child
    values[at], positions[at] = value, position


@compiled(nogil=True)
def add_block(block, lists, leave_out, first, padding, found, similarities):  # type: ignore[no-untyped-def]
    """Add row r of `block` to list ``lists[r]``; its columns are similarities to positions from `first` on.

    List ``lists[r]`` never contains the position ``leave_out[r]``.
    """
    k = found.shape[1]
    columns = block.shape[1]
    for r in range(len(lists)):
        row = block[r]
        values, positions = similarities[lists[r]], found[lists[r]]
        for start in range(0, columns, 16):
            stop = min(start + 16, columns)
            # Hardly any entry is better than those in the list: compare 16 at a time, without branches.
            worst = values[0]
            better = 0
            if stop - start == 16:
                for c in range(16):
                    better += row[start + c] >= worst
            else:
                better = 1
            if better == 0:
                continue
            for c in range(start, stop):
                position = first + c
                tie = row[c] == values[0] and position < positions[0] != padding
                if (row[c] > values[0] or tie) and position != leave_out[r]:
                    _replace_worst(values, positions, k, row[c], np.int32(position))


@compiled(nogil=True)
def sort_lists(found, similarities, start, stop):  # type: ignore[no-untyped-def]
    """Turn the heaps ``start..stop - 1`` into lists, best first."""
    for i in range(start, stop):
        values, positions = similarities[i], found[i]
        for last in range(len(values) - 1, 0, -1):
            value, position = values[last], positions[last]
            values[last], positions[last] = values[0], positions[0]
            _replace_worst(values, positions, last, value, position)


@compiled(nogil=True)
def add_reverse_neighbours(  # type: ignore[no-untyped-def]
    known, known_similarities, low, high, found, similarities
):
    """Add i to list j in ``low..high - 1`` wherever j is one of the `known` neighbours of i.

    `found` and `similarities` are sorted lists before and after.
    """
    k = found.shape[1]
    for j in range(low, high):
        found[j], similarities[j] = found[j, ::-1].copy(), similarities[j, ::-1].copy()
    for i in range(len(known)):
        for t in range(known.shape[1]):
            j, value = known[i, t], known_similarities[i, t]
            if j < low or j >= high or value < similarities[j, 0]:
                continue
            if value == similarities[j, 0] and i >= found[j, 0]:
                continue
            present = False
            for other in found[j]:
                present |= other == i
            if not present:
                _replace_worst(similarities[j], found[j], k, value, np.int32(i))
    sort_lists(found, similarities, low, high)


@compiled(nogil=True)
def mark_new(known, before, start, stop, new):  # type: ignore[no-untyped-def]
    """Set ``new[i, t]`` to whether the neighbour ``known[i, t]`` is missing from ``before[i]``."""
    for i in range(start, stop):
        for t in range(known.shape[1]):
            new[i, t] = True
            for other in before[i]:
                if other == known[i, t]:
                    new[i, t] = False
                    break


@compiled(nogil=True, fastmath={"reassoc", "contract"})
def refine(vectors, known, new, start, stop, found, similarities):  # type: ignore[no-untyped-def]
    """Compare each vector with the `known` neighbours of its known neighbours, and add the best.

    Pairs that are linked only by two entries that are not `new` have been compared before and are left
    out. `found` and `similarities` are sorted lists before and after.
    """
    n, d = vectors.shape
    k, hops = found.shape[1], known.shape[1]
    # A hash table of the vectors that were compared with vector i stays in the level-1 cache; a flag for
    # each of the n would not. Entries contain i, so that the table need not be cleared.
    bits = 4
    while (1 << bits) < 4 * (hops * hops + k + 1):
        bits += 1
    shift, mask = np.uint64(64 - bits), np.int64((1 << bits) - 1)
    table = np.full(1 << bits, -1, np.int64)
    for i in range(start, stop):
        values, positions = similarities[i], found[i]
        mine = np.int64(i) << 32
        for t in range(-1, k):
            other = np.int64(i) if t < 0 else np.int64(positions[t])
            slot = np.int64((np.uint64(other) * np.uint64(0x9E3779B97F4A7C15)) >> shift)
            while table[slot] >> 32 == i and table[slot] != mine | other:
                slot = (slot + 1) & mask
            table[slot] = mine | other
        values[:] = values[::-1].copy()  # sorted worst first, a list is a heap
        positions[:] = positions[::-1].copy()
        vector = vectors[i]
        for a in range(hops):
            j = known[i, a]
            if j == n:
                break
            for b in range(hops):
                if known[j, b] == n:
                    break
                if not (new[i, a] or new[j, b]):
                    continue
                other = np.int64(known[j, b])
                slot = np.int64((np.uint64(other) * np.uint64(0x9E3779B97F4A7C15)) >> shift)
                while table[slot] >> 32 == i and table[slot] != mine | other:
                    slot = (slot + 1) & mask
                if table[slot] == mine | other:
                    continue
                table[slot] = mine | other
                value = np.float32(0)
                for e in range(d):
                    value += vector[e] * vectors[other, e]
                if value > values[0]:
                    _replace_worst(values, positions, k, value, np.int32(other))
    sort_lists(found, similarities, start, stop)
