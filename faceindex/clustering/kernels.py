"""Compiled kernels of the search for neighbours.

A list of neighbours is one row of two arrays, positions and similarities. While it is filled, it is a heap
with its worst entry first: the lowest similarity, then the greatest position. The order in which entries
are added does not change the result.
"""

from __future__ import annotations

import numpy as np

from faceindex.compiled import compiled
from faceindex.types import F32, I32

__all__ = [
    "add_block",
    "add_reverse_neighbours",
    "empty_lists",
    "make_heaps",
    "mark_new",
    "refine",
    "reverse_edges",
    "sort_lists",
]


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
def _contains(positions, position):  # type: ignore[no-untyped-def]
    for other in positions:  # noqa: SIM110 - numba has no any()
        if other == position:
            return True
    return False


@compiled(nogil=True)
def add_block(block, lists, leave_out, first, padding, repeats, found, similarities):  # type: ignore[no-untyped-def]
    """Add row r of `block` to list ``lists[r]``; its columns are similarities to positions from `first` on.

    List ``lists[r]`` never contains the position ``leave_out[r]``. With `repeats`, a list may have some of
    these positions already, which are not added again.
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
                    if repeats and _contains(positions, position):
                        continue
                    _replace_worst(values, positions, k, row[c], np.int32(position))


@compiled(nogil=True)
def make_heaps(found, similarities):  # type: ignore[no-untyped-def]
    """Turn lists in any order into heaps."""
    k = found.shape[1]
    for i in range(len(found)):
        values, positions = similarities[i], found[i]
        for last in range(1, k):
            value, position, at = values[last], positions[last], last
            while at > 0:
                above = (at - 1) // 2
                if values[above] < value or (values[above] == value and positions[above] >= position):
                    break
                values[at], positions[at] = values[above], positions[above]
                at = above
            values[at], positions[at] = value, position


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
def reverse_edges(found, similarities, hops, padding, part, edges, values, starts):  # type: ignore[no-untyped-def]
    """Write the edges from the first `hops` neighbours of each row back to it, by the part of the neighbour.

    The edges to part p, with the positions ``p * part .. (p + 1) * part - 1``, are
    ``edges[starts[p]:starts[p + 1]]``, in the order of the rows. An edge has the row in its upper 16 bits,
    and in the others the position in the part.
    """
    starts[:] = 0
    for i in range(len(found)):
        for t in range(hops):
            if found[i, t] != padding:
                starts[found[i, t] // part + 1] += 1
    for p in range(len(starts) - 1):
        starts[p + 1] += starts[p]
    place = starts[:-1].copy()
    for i in range(len(found)):
        for t in range(hops):
            j = found[i, t]
            if j != padding:
                p = j // part
                edges[place[p]] = np.uint32((i << 16) | (j - p * part))
                values[place[p]] = similarities[i, t]
                place[p] += 1


@compiled(nogil=True)
def add_reverse_neighbours(  # type: ignore[no-untyped-def]
    edges, values, begins, ends, first_rows, found, similarities
):
    """Add i to list j of a part for each edge from j to i, unless it is there.

    The edges of `reverse_edges` from the rows ``first_rows[s]`` on are ``edges[begins[s]:ends[s]]``. `found`
    and `similarities` are the sorted lists of the part before and after.

    The same i may have another similarity in the list of j, by a rounding, and be replaced before its
    edge comes. So the edges to each j have to come in the order of i.
    """
    k = found.shape[1]
    for j in range(len(found)):
        found[j], similarities[j] = found[j, ::-1].copy(), similarities[j, ::-1].copy()
    for s in range(len(begins)):
        for e in range(begins[s], ends[s]):
            edge, value = np.int64(edges[e]), values[e]
            i, j = first_rows[s] + (edge >> 16), edge & 0xFFFF
            if value < similarities[j, 0]:
                continue
            if value == similarities[j, 0] and i >= found[j, 0]:
                continue
            present = False
            for other in found[j]:
                present |= other == i
            if not present:
                _replace_worst(similarities[j], found[j], k, value, np.int32(i))
    sort_lists(found, similarities, 0, len(found))


@compiled(nogil=True)
def mark_new(known, before, new):  # type: ignore[no-untyped-def]
    """Set ``new[i, t]`` to whether the neighbour ``known[i, t]`` is missing from ``before[i]``."""
    for i in range(len(known)):
        for t in range(known.shape[1]):
            new[i, t] = True
            for other in before[i]:
                if other == known[i, t]:
                    new[i, t] = False
                    break


@compiled(nogil=True, fastmath={"reassoc", "contract"})
def refine(vectors, known, new, start, found, similarities):  # type: ignore[no-untyped-def]
    """Compare vectors with the `known` neighbours of their known neighbours, and add the best.

    Pairs that are linked only by two entries that are not `new` have been compared before and are left
    out. `found` and `similarities` are the sorted lists, before and after, of the vectors from `start` on.
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
    for i in range(start, start + len(found)):
        values, positions = similarities[i - start], found[i - start]
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
    sort_lists(found, similarities, 0, len(found))
