"""Edges between shards, Chinese Whispers over shards, and communities into parts."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from synthetic_faces import make_graph

from faceindex.clustering import grouping, spreading
from faceindex.clustering.chinese_whispers import chinese_whispers, propagate
from faceindex.clustering.graph import graph_from_edges, symmetric_graph
from faceindex.clustering.grouping import divide, in_order
from faceindex.clustering.shards import MemoryArrays, ThreadRunner
from faceindex.clustering.shuffling import (
    Shards,
    gather,
    make_edges,
    make_rows,
    once,
    prepare_sending,
    send,
    write_rows,
)
from faceindex.clustering.spreading import spread_labels
from faceindex.metrics import bcubed
from faceindex.types import I64, Graph


def put_graph(runner: ThreadRunner, graph: Graph, shards: Shards) -> None:
    for shard in range(len(shards)):
        low, high = shards.range(shard)
        own = slice(graph.indptr[low], graph.indptr[high])
        rows = Graph(graph.indptr[low : high + 1] - graph.indptr[low], graph.indices[own], graph.weights[own])
        write_rows(runner.arrays, "graph", shard, rows)


def spread(graph: Graph, shards: Shards, seed: int = 0) -> I64:
    with ThreadRunner() as runner:
        put_graph(runner, graph, shards)
        return spread_labels(runner, shards, seed).astype(np.int64)


def groups_graph(groups: int, size: int, seed: int, *, between: float = 0.2) -> tuple[Graph, I64]:
    """A graph of groups with edges inside of weight 1 on average, some missing, and weak ones between."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(groups), size))
    a, b = np.triu_indices(len(truth), 1)
    inside = truth[a] == truth[b]
    kept = rng.random(len(a)) < np.where(inside, 0.7, 0.02)
    weights = np.where(inside, 1, between) * rng.random(len(a))
    return graph_from_edges(len(truth), a[kept], b[kept], weights[kept].astype(np.float32)), truth


@pytest.mark.parametrize(("n", "number"), list(itertools.product([0, 1, 2, 7, 100], [1, 2, 3, 7, 200])))
def test_shards_cover_the_nodes(n: int, number: int) -> None:
    shards = Shards.of(n, number)
    assert len(shards) <= number
    ranges = [shards.range(shard) for shard in range(len(shards))]
    assert [i for low, high in ranges for i in range(low, high)] == list(range(n))
    assert all(low < high for low, high in ranges)


def test_gathered_rows_are_those_of_the_symmetric_graph() -> None:
    rng = np.random.default_rng(0)
    n = 50
    found = rng.integers(0, n + 1, (n, 8)).astype(np.int32)
    weights = rng.integers(1, 6, (n, 8)).astype(np.float32)
    expected = symmetric_graph(np.where(found == n, -1, found), weights)
    shards, arrays = Shards.of(n, 4), MemoryArrays()
    rows = np.repeat(np.arange(n), 8)
    kept = (found.ravel() != n) & (found.ravel() != rows)
    edges = make_edges(rows[kept], found.ravel()[kept], weights.ravel()[kept])
    own = [edges[(edges["a"] >= low) & (edges["a"] < high)] for low, high in map(shards.range, range(4))]
    prepare_sending(arrays, "edge", 4, shards)
    for shard in range(4):
        back = make_edges(own[shard]["b"], own[shard]["a"], own[shard]["weight"])
        send(arrays, "edge", shard, back, shards)
    for shard in range(4):
        low, high = shards.range(shard)
        part = gather(arrays, "edge", shard, shards, own[shard], add=False)
        inside = slice(expected.indptr[low], expected.indptr[high])
        assert (part.indptr == expected.indptr[low : high + 1] - expected.indptr[low]).all()
        assert (part.indices == expected.indices[inside]).all()
        assert (part.weights == expected.weights[inside]).all()


def test_equal_edges_are_added() -> None:
    edges = make_edges(np.array([2, 1, 2, 0]), np.array([3, 0, 3, 1]), np.array([1, 2, 4, 8], np.float32))
    assert once(edges, add=True).tolist() == [(0, 1, 8.0), (1, 0, 2.0), (2, 3, 5.0)]
    assert not len(once(edges[:0], add=True))
    assert once(edges, add=False).tolist() == [(0, 1, 8.0), (1, 0, 2.0), (2, 3, 4.0)]
    rows = make_rows(once(edges, add=True), 4)
    assert rows.indptr.tolist() == [0, 1, 2, 3, 3]
    arrays = MemoryArrays()
    prepare_sending(arrays, "edge", 1, Shards.of(4, 1))
    send(arrays, "edge", 0, edges, Shards.of(4, 1))
    assert gather(arrays, "edge", 0, Shards.of(4, 1), add=True).weights.tolist() == [8, 2, 5]


@pytest.mark.parametrize("seed", [0, 1, 99])
def test_one_shard_is_chinese_whispers(seed: int) -> None:
    graph, _ = groups_graph(10, 9, seed)
    found = spread(graph, Shards.of(len(graph), 1), seed)
    assert (in_order(found) == in_order(chinese_whispers(graph, seed=seed))).all()


@pytest.mark.parametrize("number", [2, 5, 17, 90])
def test_shards_find_the_groups(number: int) -> None:
    graph, truth = groups_graph(10, 9, 3)
    shards = Shards.of(len(graph), number)
    found = spread(graph, shards)
    assert bcubed(found, truth).f > 0.95
    assert (found == spread(graph, shards)).all()


def test_two_linked_nodes_in_two_shards_do_not_swap_labels_for_ever() -> None:
    pairs = [(i, i + 50, 1.0) for i in range(50)]
    found = spread(make_graph(100, pairs), Shards.of(100, 2))
    assert (found[:50] == found[50:]).all()
    assert len(np.unique(found)) == 50


def test_labels_cross_many_shards() -> None:
    chain = [(i, i + 1, 1.0 + i) for i in range(5)]  # each is drawn to the next
    found = spread(make_graph(6, chain), Shards.of(6, 6))
    assert (found == found[0]).sum() >= 2
    assert ((found[:-1] == found[1:]).sum()) >= 3


def test_edges_of_no_positive_weight_do_not_count() -> None:
    found = spread(make_graph(4, [(0, 1, -1.0), (2, 3, 0.0)]), Shards.of(4, 2))
    assert len(np.unique(found)) == 4


def test_labels_end_where_no_move_is_better() -> None:
    """After the last round, no node has a better label, unless the limit of rounds ended it."""
    graph, _ = groups_graph(12, 8, 5)
    found = spread(graph, Shards.of(len(graph), 4))
    rows = np.repeat(np.arange(len(graph)), np.diff(graph.indptr))
    score = np.zeros((len(graph), len(graph)))
    np.add.at(score, (rows, found[graph.indices]), graph.weights)
    own = score[np.arange(len(graph)), found]
    assert (own >= score.max(axis=1) - 1e-4).all()


def test_no_trace_is_left_among_the_arrays() -> None:
    graph, _ = groups_graph(5, 6, 0)
    shards = Shards.of(len(graph), 3)
    with ThreadRunner() as runner:
        put_graph(runner, graph, shards)
        before = set(runner.arrays._arrays)  # type: ignore[attr-defined]
        labels = spread_labels(runner, shards, 0).astype(np.int64)
        divide(runner, shards, labels, np.empty((0, 2), np.int64), 10)
        assert set(runner.arrays._arrays) == before  # type: ignore[attr-defined]


def test_only_nodes_to_visit_and_their_neighbours_move() -> None:
    graph = make_graph(6, [(0, 1, 1.0), (2, 3, 1.0), (4, 5, 1.0)])
    codes = np.arange(6, dtype=np.int32)
    visit = np.zeros(6, bool)
    visit[2] = True
    propagate(graph, codes, visit, 0)
    assert codes.tolist() == [0, 1, 3, 3, 4, 5]


def test_labels_that_are_shared_from_the_start() -> None:
    """Classes of several nodes, and empty ones: no count of a class is taken for that of a single node."""
    graph = make_graph(5, [(0, 1, 2.0), (1, 2, 1.0), (3, 4, 1.0)])
    codes = np.array([1, 2, 2, 2, 2], np.int32)
    propagate(graph, codes, np.ones(5, bool), 0)
    assert codes.tolist() in ([2, 2, 2, 2, 2], [1, 1, 2, 2, 2], [1, 1, 1, 2, 2])


def divided(
    graph: Graph, communities: I64, part_size: int, together: list[tuple[int, int]] | None = None
) -> I64:
    shards = Shards.of(len(graph), 3)
    pairs = np.array(together or [], np.int64).reshape(-1, 2)
    with ThreadRunner() as runner:
        put_graph(runner, graph, shards)
        return divide(runner, shards, communities, pairs, part_size)


def test_linked_communities_come_into_one_part() -> None:
    edges = [(0, 3, 1.0), (1, 2, -1.0), (2, 4, -3.0), (3, 5, -3.5)]
    communities = np.array([0, 1, 2, 3, 4, 5])
    assert divided(make_graph(6, edges), communities, 2).tolist() == [0, 1, 1, 0, 2, 2]
    assert divided(make_graph(6, edges), communities, 3).tolist() == [0, 1, 1, 0, 1, 0]
    assert (divided(make_graph(6, edges), communities, 6) == 0).all()


def test_the_sum_of_the_odds_counts() -> None:
    """Several weak edges are more than a stronger one, and each node of the smaller community counts."""
    edges = [(0, 4, -1.0), (0, 1, -1.5), (0, 2, -1.5), (0, 3, -1.5)]
    found = divided(make_graph(5, edges), np.array([0, 1, 1, 1, 2]), 4)
    assert found.tolist() == [0, 0, 0, 0, 1]


def test_communities_stay_whole_and_parts_bounded() -> None:
    graph, truth = groups_graph(12, 8, 5)
    for most in (8, 9, 16, 30, 95):
        found = divided(graph, truth, most)
        assert np.bincount(found).max() <= most
        for community in range(12):
            assert len(np.unique(found[truth == community])) == 1
    assert len(np.unique(divided(graph, truth, 30))) <= 5


def test_pairs_that_belong_together() -> None:
    graph = make_graph(6, [(0, 1, 2.0)])
    communities = np.arange(6)
    found = divided(graph, communities, 2, [(0, 5), (5, 4), (2, 3)])
    assert found[0] == found[5] != found[4]
    assert found[2] == found[3]
    assert found[1] == found[4]  # 0 has no room


def test_a_community_that_is_too_large_is_divided_by_its_links() -> None:
    graph, truth = groups_graph(4, 10, 2)
    found = divided(graph, np.zeros(40, np.int64), 10)
    assert np.bincount(found).tolist() == [10, 10, 10, 10]
    assert bcubed(found, truth).f > 0.8


def test_the_strongest_edges_divide_a_community_that_is_too_large() -> None:
    """All edges are far above even odds: those inside the groups are stronger."""
    graph, truth = groups_graph(4, 10, 2)
    strong = Graph(graph.indptr, graph.indices, graph.weights * 5 + 8)
    assert bcubed(divided(strong, np.zeros(40, np.int64), 10), truth).f > 0.8


def test_what_is_left_of_a_large_community_stays_together() -> None:
    """Of each of two stars, all leaves are linked to the hub only, whose part is full."""
    star = np.arange(40) % 2
    edges = [(int(star[i]), i, 1.0) for i in range(2, 40)]
    found = divided(make_graph(40, edges), star, 5)
    assert np.bincount(found).tolist() == [5] * 8
    assert sum(len(np.unique(found[star == s])) for s in (0, 1)) == 8
    # One community of both: leaves of one hub stay together, as far as parts have room.
    found = divided(make_graph(40, [*edges, (0, 1, 0.1)]), np.zeros(40, np.int64), 5)
    assert np.bincount(found).tolist() == [5] * 8
    assert sum(len(np.unique(found[star == s])) for s in (0, 1)) == 8


def test_groups_go_into_the_first_part_with_room() -> None:
    rng = np.random.default_rng(0)
    for most in (3, 10, 50):
        sizes = np.sort(rng.integers(1, most + 1, 200))[::-1].copy()
        room = [most] * 200
        expected = []
        for size in sizes.tolist():
            expected.append(next(p for p in range(200) if room[p] >= size))
            room[expected[-1]] -= size
        assert grouping._packed(sizes, np.arange(200), most).tolist() == expected
    assert grouping._packed(np.empty(0, np.int64), np.empty(0, np.int64), 3).tolist() == []


def test_many_groups_are_packed_in_little_time() -> None:
    sizes, order = np.full(200_000, 2), np.arange(200_000)
    grouping._packed(sizes[:2], order[:2], 3)  # compiles
    start = time.process_time()
    assert (grouping._packed(sizes, order, 3) == order).all()
    assert time.process_time() - start < 2  # 0.03 s; 10 s if all full parts are looked at


def test_rounds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "_ROUNDS", 1)
    graph, truth = groups_graph(10, 9, 3)
    found = spread(graph, Shards.of(len(graph), 5))
    assert bcubed(found, truth).precision > 0.8
