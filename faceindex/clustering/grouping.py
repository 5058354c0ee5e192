"""Divide the communities of a graph among parts of a bounded size: those that are linked into one part.

Communities are merged to groups, and groups to larger groups, the pairs with the strongest links first. Each
group picks the one that it is linked to most, as in Boruvka's algorithm for spanning trees (M. H. Bateni et
al. 2017, "Affinity clustering: hierarchical clustering at scale", NeurIPS 30). Picks are followed in the
order of their strength while the merged group is not too large. Then the links between the groups are added
up, and they pick again. The links stay with the shards. Only the picks, one of each group, come together.

Where many nodes have the same few neighbours, such as copies of one picture, these neighbours fill a part,
and the rest of the community is left without links. Such rests are merged too: alike nodes stay together.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from faceindex.clustering.shards import Arrays, Runner
from faceindex.clustering.shuffling import (
    Shards,
    gather,
    make_edges,
    once,
    prepare_sending,
    read_rows,
    remove_rows,
    remove_sent,
    send,
    write_rows,
)
from faceindex.compiled import compiled
from faceindex.types import I32, I64

__all__ = ["divide", "in_order"]

_ROUNDS = 50  # not reached: in each, the strongest pick at least is followed
_MOST_ODDS = 20.0  # log-odds above which all edges count the same, so that their sums stay finite


def in_order(labels: I32 | I64) -> I64:
    """Renumber labels in the order in which they first appear, from 0 on."""
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    numbered: I64 = rank[codes]
    return numbered


def divide(runner: Runner, shards: Shards, communities: I64, together: I64, part_size: int) -> I64:
    """Divide the nodes of a graph among parts.

    Two groups are linked by the sum of the odds of the edges between them, for each node of the smaller one.
    Edges below even odds count too: they are most of the links between two communities of one person.

    Parameters
    ----------
    runner : Runner
        Its arrays have the rows of the graph as ``graph``; the weights are log-odds.
    shards : Shards
        Of the rows.
    communities : (n,) int64
        0 and above. The nodes of a community stay together, unless these are more than `part_size`. Such a
        community is divided as the graph is: by the links of its nodes.
    together : (m, 2) int64
        Pairs of nodes whose communities come into one part if they fit, earlier ones first.
    part_size : int
        Most nodes of a part.

    Returns
    -------
    (n,) int64
        Part of each node, ``0..p-1``.
    """
    arrays = runner.arrays
    alone = np.bincount(communities, minlength=1)[communities] > part_size
    group = in_order(np.where(alone, communities.max(initial=-1) + 1 + np.arange(shards.n), communities))
    sizes = np.bincount(group)
    into = in_order(_merged(sizes, group[together[:, 0]], group[together[:, 1]], part_size))
    group, sizes = into[group], _sums(into, sizes)
    into, rows, links = group, shards, "graph"
    for turn in range(_ROUNDS):
        groups = Shards.of(len(sizes), len(shards))
        arrays.put("group_into", into.astype(np.int32))
        arrays.put("group_size", sizes)
        prepare_sending(arrays, "link", len(rows), groups)
        runner.run(partial(_send_links, links=links, shards=rows, groups=groups), range(len(rows)))
        if links != "graph":
            remove_rows(arrays, links, len(rows))
        sources, rows, links = len(rows), groups, f"links{turn % 2}"
        runner.run(partial(_gather_links, links=links, shards=rows), range(len(rows)))
        remove_sent(arrays, "link", sources)
        arrays.create("pick", (rows.n,), np.int32)
        arrays.create("pick_strength", (rows.n,), np.float64)
        runner.run(partial(_pick, links=links, shards=rows, most=part_size), range(len(rows)))
        pick, strength = np.array(arrays["pick"], np.int64), np.array(arrays["pick_strength"])
        picking = np.flatnonzero(pick >= 0)
        if not len(picking):
            # No linked groups fit into one part any more. To which one, of any size, is each linked most?
            runner.run(partial(_pick, links=links, shards=rows, most=2 * shards.n), range(len(rows)))
            beside = np.array(arrays["pick"], np.int64)
            break
        picking = picking[np.argsort(-strength[picking], kind="stable")]
        into = in_order(_merged(sizes, picking, pick[picking], part_size))
        group, sizes = into[group], _sums(into, sizes)
    else:
        beside = np.full(len(sizes), -1)
    remove_rows(arrays, links, len(rows))
    arrays.remove("group_into", "group_size", "pick", "pick_strength")
    home = np.full(len(sizes), -1)
    home[group[alone]] = communities[alone]
    into = in_order(_merged(sizes, *_rests(sizes, home, beside, part_size), part_size))
    group, sizes = into[group], _sums(into, sizes)
    part = in_order(_packed(sizes, np.argsort(-sizes, kind="stable"), part_size))
    divided: I64 = part[group]
    return divided


def _rests(sizes: I64, home: I64, beside: I64, most: int) -> tuple[I64, I64]:
    """Return pairs of groups to merge: the small ones of a community that is too large, one after another.

    Parameters
    ----------
    sizes : (n,) int64
    home : (n,) int64
        The community that a group is a piece of, -1 for groups of whole communities.
    beside : (n,) int64
        The group that each one is linked to most, -1 for none. Pieces beside the same one come together.
    most : int
        Nodes of a part.
    """
    small = np.flatnonzero((home >= 0) & (2 * sizes <= most))
    small = small[np.lexsort((-sizes[small], beside[small], home[small]))]
    a, b = small[:-1], small[1:]
    alike = home[a] == home[b]
    return a[alike], b[alike]


def _sums(into: I64, sizes: I64) -> I64:
    sums = np.zeros(int(into.max(initial=-1)) + 1, np.int64)
    np.add.at(sums, into, sizes)
    return sums


# Stages ------------------------------------------------------------------------------------------


def _send_links(arrays: Arrays, shard: int, *, links: str, shards: Shards, groups: Shards) -> None:
    """Send the links between the groups that the nodes of a shard come into."""
    low, high = shards.range(shard)
    rows, into = read_rows(arrays, links, shard), arrays["group_into"]
    a, b = np.repeat(into[low:high], np.diff(rows.indptr)), into[rows.indices]
    apart = a != b
    odds = rows.weights[apart]
    if links == "graph":
        odds = np.exp(np.minimum(odds, np.float32(_MOST_ODDS)))
    send(arrays, "link", shard, once(make_edges(a[apart], b[apart], odds), add=True), groups)


def _gather_links(arrays: Arrays, shard: int, *, links: str, shards: Shards) -> None:
    """Make the rows of some groups."""
    write_rows(arrays, links, shard, gather(arrays, "link", shard, shards, add=True))


def _pick(arrays: Arrays, shard: int, *, links: str, shards: Shards, most: int) -> None:
    """Pick for each group of a shard another one, -1 for none, and note how strongly they are linked."""
    low, _ = shards.range(shard)
    rows = read_rows(arrays, links, shard)
    pick, strength = _strongest(rows.indptr, rows.indices, rows.weights, low, arrays["group_size"], most)
    arrays.write("pick", low, pick)
    arrays.write("pick_strength", low, strength)


# Kernels -----------------------------------------------------------------------------------------


@compiled(nogil=True)
def _strongest(indptr, indices, weights, low, sizes, most):  # type: ignore[no-untyped-def]
    n = len(indptr) - 1
    pick, strength = np.full(n, -1, np.int32), np.zeros(n, np.float64)
    for i in range(n):
        own = sizes[low + i]
        for e in range(indptr[i], indptr[i + 1]):
            other = sizes[indices[e]]
            if own + other <= most and weights[e] / min(own, other) > strength[i]:
                pick[i], strength[i] = indices[e], weights[e] / min(own, other)
    return pick, strength


@compiled(nogil=True)
def _merged(sizes, a, b, most):  # type: ignore[no-untyped-def]
    """Merge pairs of groups in their order, if the merged one is not too large; return what each becomes."""
    root, size = np.arange(len(sizes)), sizes.copy()
    for p in range(len(a)):
        one, other = a[p], b[p]
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        while root[other] != other:
            root[other] = root[root[other]]
            other = root[other]
        if one != other and size[one] + size[other] <= most:
            root[max(one, other)] = min(one, other)
            size[min(one, other)] = size[one] + size[other]
    for i in range(len(root)):
        root[i] = root[root[i]]  # a root has a lower number, and is final already
    return root


@compiled(nogil=True)
def _packed(sizes, order, most):  # type: ignore[no-untyped-def]
    """Pack groups into parts in their order, each into the first part with room; return their parts."""
    # Two parts that are at most half full would be one. So this many parts do:
    needed = 2 * sizes.sum() // most + 2
    leaves = 1
    while leaves < needed:
        leaves *= 2
    # A binary tree over the parts: node i has the nodes 2 i and 2 i + 1 below it, and their greatest room.
    room = np.full(2 * leaves, most, np.int64)
    part = np.zeros(len(sizes), np.int64)
    for g in order:
        node = 1
        while node < leaves:
            node *= 2
            if room[node] < sizes[g]:
                node += 1
        part[g] = node - leaves
        room[node] -= sizes[g]
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])
    return part
