"""Chinese Whispers over a graph in shards: each moves its own nodes, and reads the labels of the others.

The shards work in supersteps (L. G. Valiant 1990, https://doi.org/10.1145/79173.79181). In one, a shard moves
its nodes by the sequential rule until none moves, while the nodes elsewhere keep the labels that they had at
its start. If two shards moved at once, two linked nodes could swap their labels for ever. So a round has two
supersteps: in the first, a random half of the shards moves, then the other half.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from faceindex.clustering.chinese_whispers import propagate
from faceindex.clustering.shards import Arrays, Runner
from faceindex.clustering.shuffling import Shards, read_rows, remove_rows, write_rows
from faceindex.compiled import compiled
from faceindex.types import I32, BoolArray, Graph

__all__ = ["spread_labels"]

_ROUNDS = 8
_STILL = 0.001  # share of the nodes that moves in the last round

_NAME = "spread"


def spread_labels(runner: Runner, shards: Shards, seed: int) -> I32:
    """Find communities of a graph by Chinese Whispers over its edges of positive weight.

    Parameters
    ----------
    runner : Runner
        Its arrays have the rows of the graph, stored by `faceindex.clustering.shuffling.write_rows` as
        ``graph``.
    shards : Shards
        Of the rows.
    seed : int
        The same graph, shards and seed give the same communities. With one shard they are those of
        `faceindex.clustering.chinese_whispers.chinese_whispers`.

    Returns
    -------
    (n,) int32
        Label of each node: the number of some node.
    """
    arrays, number = runner.arrays, len(shards)
    every = range(number)
    runner.run(partial(_prepare, shards=shards), every)
    arrays.put(f"{_NAME}.0", np.arange(shards.n, dtype=np.int32))
    arrays.create(f"{_NAME}.1", (shards.n,), np.int32)
    random = np.random.default_rng([seed, number])
    side = 0
    for turn in range(_ROUNDS):
        first_half = np.zeros(number, bool)
        first_half[random.permutation(number)[: -(-number // 2)]] = True
        moved = 0
        arrays.remove(*(f"{_NAME}.{shard}.seen{turn % 2}" for shard in every))
        for active in (first_half, ~first_half):
            if active.any():
                moved += sum(
                    runner.run(
                        partial(_sweep, shards=shards, side=side, active=active, turn=turn, seed=seed), every
                    )
                )
                side = 1 - side
        if number == 1 or moved <= _STILL * shards.n:
            break
    labels: I32 = np.array(arrays[f"{_NAME}.{side}"])
    arrays.remove(f"{_NAME}.0", f"{_NAME}.1")
    arrays.remove(*(f"{_NAME}.{shard}.{what}" for shard in every for what in ("elsewhere", "seen0", "seen1")))
    remove_rows(arrays, _NAME, number)
    return labels


def _prepare(arrays: Arrays, shard: int, *, shards: Shards) -> None:
    """Store the edges of positive weight, with numbers of the shard for its nodes and their neighbours."""
    low, high = shards.range(shard)
    rows = read_rows(arrays, "graph", shard)
    kept = rows.weights > 0
    indptr = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[rows.indptr]
    indices = rows.indices[kept]
    outside = (indices < low) | (indices >= high)
    elsewhere = np.unique(indices[outside])
    own = indices - np.int32(low)
    own[outside] = (high - low) + np.searchsorted(elsewhere, indices[outside]).astype(np.int32)
    # The nodes elsewhere have empty rows: they never move.
    indptr = np.concatenate([indptr, np.full(len(elsewhere), indptr[-1])])
    write_rows(arrays, _NAME, shard, Graph(indptr, own, rows.weights[kept]))
    arrays.put(f"{_NAME}.{shard}.elsewhere", elsewhere)


def _sweep(
    arrays: Arrays, shard: int, *, shards: Shards, side: int, active: BoolArray, turn: int, seed: int
) -> int:
    """Move the nodes of a shard until none moves, from the labels of one side to those of the other."""
    low, high = shards.range(shard)
    labels = arrays[f"{_NAME}.{side}"]
    before = np.array(labels[low:high])
    if not active[shard]:
        arrays.write(f"{_NAME}.{1 - side}", low, before)
        return 0
    graph = read_rows(arrays, _NAME, shard)
    elsewhere = labels[arrays[f"{_NAME}.{shard}.elsewhere"]]
    visit = np.ones(len(graph), bool)
    if turn:
        changed = elsewhere != arrays[f"{_NAME}.{shard}.seen{1 - turn % 2}"]
        visit[:] = False
        _next_to(graph.indptr, graph.indices, high - low, changed, visit)
    ids, places = np.unique(np.concatenate([before, elsewhere]), return_inverse=True)
    codes: I32 = places.astype(np.int32)
    propagate(graph, codes, visit, _seed(seed, turn * len(shards) + shard))
    after = ids[codes[: high - low]]
    arrays.write(f"{_NAME}.{1 - side}", low, after)
    # The name changes from turn to turn: a sweep that is done again reads what the first attempt read.
    arrays.put(f"{_NAME}.{shard}.seen{turn % 2}", elsewhere)
    return int((after != before).sum())


def _seed(seed: int, sweep: int) -> int:
    return (seed + sweep * 0xD1B54A32D192ED03) % 2**64


@compiled(nogil=True)
def _next_to(indptr, indices, n, changed, visit):  # type: ignore[no-untyped-def]
    """Mark the first n nodes that have an edge to one of the others that `changed`, in `visit`."""
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            if indices[e] >= n and changed[indices[e] - n]:
                visit[i] = True
                break
