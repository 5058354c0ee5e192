"""Partitions into cells, and the kernels compared with plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from faceindex.clustering import neighbours as neighbours_module
from faceindex.clustering import partition as partition_module
from faceindex.clustering.cell_search import CellQuery, Cells, search_cells
from faceindex.clustering.kernels import (
    add_block,
    add_reverse_neighbours,
    empty_lists,
    make_heaps,
    mark_new,
    refine,
    reverse_edges,
    sort_lists,
)
from faceindex.clustering.shards import Arrays, ThreadRunner
from faceindex.metrics import recall_at_k
from faceindex.types import F32, I32, I64


def people(n: int, each: int, seed: int, dimension: int = 24) -> F32:
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.standard_normal((n // each, dimension)), each, axis=0)
    vectors += 0.4 * rng.standard_normal((n, dimension))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def fit(vectors: F32, seed: int = 0) -> Arrays:
    with ThreadRunner() as runner:
        runner.arrays.put("vectors", vectors)
        partition_module.fit(runner, seed)
        return runner.arrays


class TestPartition:
    def test_every_vector_is_in_one_cell_mostly_the_nearest(self) -> None:
        vectors = people(6000, 20, seed=0)
        made = fit(vectors)
        centroids, cell_of = made["centroids"], made["cell_of"]
        assert sorted(made["order"].tolist()) == list(range(6000))
        np.testing.assert_array_equal(made["ordered"], vectors[made["order"]])
        np.testing.assert_array_equal(np.diff(made["cell_start"]), np.bincount(cell_of))
        assert (np.diff(cell_of) >= 0).all()
        assert (cell_of == (made["ordered"] @ centroids.T).argmax(axis=1)).mean() > 0.9
        np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)

    def test_the_number_of_cells_grows_with_the_vectors(self) -> None:
        cells = [len(fit(people(n, 10, seed=1))["centroids"]) for n in (2000, 8000)]
        assert 0.7 < cells[0] * 64 / 2000 < 1.4
        assert 0.7 < cells[1] * 64 / 8000 < 1.4

    def test_near_cells_are_mostly_the_nearest_and_start_with_the_cell_itself(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(partition_module, "RANKED", 20)
        made = fit(people(8000, 20, seed=2))
        centroids, near = made["centroids"], made["near"]
        np.testing.assert_array_equal(near[:, 0], np.arange(len(centroids)))
        assert all(len(set(row)) == 20 for row in near.tolist())
        products = centroids @ centroids.T
        expected = np.argsort(-products, axis=1)[:, :20]
        assert recall_at_k(near.astype(np.int64), expected) > 0.8  # only the nearest groups are ranked

    def test_more_cells_are_searched_for_vectors_without_similar_ones(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(partition_module, "PROBES", 12)
        rng = np.random.default_rng(3)
        strangers = rng.standard_normal((1000, 24)).astype(np.float32)
        strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
        vectors = np.concatenate([people(7000, 70, seed=3), strangers])
        searched = np.zeros(8000, np.int64)
        search = Cells.search

        def count(
            self: Cells, queries: F32, lists: I64, cell: int, out: I32, found: I32, similarities: F32
        ) -> None:
            if len(found) == 8000:  # not one of the searches that estimate how many cells are chosen
                searched[lists] += 1
            search(self, queries, lists, cell, out, found, similarities)

        monkeypatch.setattr(Cells, "search", count)
        with ThreadRunner() as runner:
            runner.arrays.put("vectors", vectors)
            partition_module.fit(runner, 0)
            search_cells(runner, CellQuery(10, -np.inf))
            is_stranger = runner.arrays["order"] >= 7000
        assert 8 < searched.mean() < 16
        assert searched[is_stranger].mean() > 2 * searched[~is_stranger].mean()

    def test_equal_vectors_make_one_cell(self) -> None:
        vectors = np.repeat(people(1, 1, seed=4), 3000, axis=0)
        assert len(fit(vectors)["centroids"]) == 1

    def test_duplicates_do_not_reduce_the_cells_of_other_vectors(self) -> None:
        others = people(3000, 10, seed=5)
        vectors = np.concatenate([np.repeat(others[:1], 20_000, axis=0), others])
        sizes = np.diff(fit(vectors)["cell_start"])
        assert len(sizes) > 20
        assert (sizes > 0).mean() > 0.9
        found, similarities = neighbours_of(vectors, 5)
        expected = np.sort(others[100:] @ others.T, axis=1)[:, ::-1][:, 1:6]
        assert (np.abs(similarities[20_100:] - expected).max(axis=1) < 1e-5).mean() > 0.9
        assert all(len(set(row)) == 5 for row in found.tolist())


def neighbours_of(vectors: F32, k: int) -> tuple[np.ndarray, F32]:
    assert len(vectors) > neighbours_module.EXACT_UP_TO
    return neighbours_module.near_neighbours(vectors, k)


def add_reverse(found: I32, values: F32, hops: int, firsts: tuple[int, ...]) -> None:
    """Add the reverse neighbours part by part, in place."""
    n, part = len(found), firsts[1] if len(firsts) > 1 else len(found)
    edges, similarities = np.empty(n * hops, np.uint32), np.empty(n * hops, np.float32)
    starts = np.empty((len(firsts), len(firsts) + 1), np.int64)
    for row, first in zip(starts, firsts, strict=True):
        own, places = slice(first, first + part), slice(first * hops, (first + part) * hops)
        reverse_edges(found[own], values[own], hops, n, part, edges[places], similarities[places], row)
    first_rows = np.array(firsts)
    for p, first in enumerate(firsts):
        own = slice(first, first + part)
        begins, ends = first_rows * hops + starts[:, p], first_rows * hops + starts[:, p + 1]
        add_reverse_neighbours(edges, similarities, begins, ends, first_rows, found[own], values[own])


class TestKernels:
    def test_reverse_neighbours_are_added_as_if_all_were_sorted(self) -> None:
        rng = np.random.default_rng(0)
        n, k = 60, 6
        similarities = rng.integers(0, 50, (n, n)).astype(np.float32) / 64  # with ties
        similarities = np.maximum(similarities, similarities.T)
        found, values = empty_lists(n, k, -np.inf, n)
        lists = [rng.choice(np.delete(np.arange(n), i), k, replace=False) for i in range(n)]
        for i, row in enumerate(lists):
            row = row[np.lexsort((row, -similarities[i, row]))]
            found[i], values[i] = row, similarities[i, row]
        known = found.copy()
        add_reverse(found, values, k, (0, 25, 50))
        for j in range(n):
            candidates = set(known[j].tolist()) | {i for i in range(n) if j in known[i]}
            expected = sorted(candidates, key=lambda i, j=j: (-similarities[j, i], i))[:k]  # type: ignore[misc]
            assert found[j].tolist() == expected
            np.testing.assert_array_equal(values[j], similarities[j, expected])

    def test_padding_has_no_reverse_neighbours(self) -> None:
        found, values = empty_lists(3, 2, 0.5, 3)
        found[0, 0], values[0, 0] = 2, 0.75
        add_reverse(found, values, 2, (0,))
        assert found.tolist() == [[2, 3], [3, 3], [0, 3]]
        assert values.tolist() == [[0.75, 0.5], [0.5, 0.5], [0.75, 0.5]]

    def test_pairs_without_a_new_entry_are_not_compared_again(self) -> None:
        vectors = np.eye(3, dtype=np.float32)
        vectors[2] = vectors[0]
        known = np.array([[1], [2], [1]], np.int32)
        for new, expected in ((False, [1]), (True, [2])):
            found, values = known.copy(), np.zeros((3, 1), np.float32)
            refine(vectors, known, np.full((3, 1), new), 0, found, values)
            assert found[0].tolist() == expected

    def test_mark_new(self) -> None:
        known, before = np.array([[4, 2, 9]], np.int32), np.array([[9, 4, 1]], np.int32)
        new = np.empty((1, 3), np.bool_)
        mark_new(known, before, new)
        assert new.tolist() == [[False, True, False]]
        mark_new(known, before[:, :0], new)
        assert new.all()

    def test_heaps_of_any_lists_are_sorted_as_the_lists(self) -> None:
        rng = np.random.default_rng(2)
        values = rng.integers(0, 5, (20, 9)).astype(np.float32)
        found = np.array([rng.permutation(9) for _ in range(20)], np.int32)
        expected = [row[np.lexsort((row, -of))].tolist() for row, of in zip(found, values, strict=True)]
        make_heaps(found, values)
        for row, of in zip(found.tolist(), values.tolist(), strict=True):
            for at in range(1, 9):
                above = (at - 1) // 2
                assert (of[above], -row[above]) <= (of[at], -row[at])
        sort_lists(found, values, 0, 20)
        assert found.tolist() == expected

    def test_what_a_list_has_is_not_added_again(self) -> None:
        block = np.random.default_rng(3).integers(0, 9, (2, 64)).astype(np.float32)
        found, values = empty_lists(2, 7, -np.inf, 64)
        for _ in range(2):
            add_block(block, np.arange(2), np.full(2, -1, np.int32), 0, 64, True, found, values)
        sort_lists(found, values, 0, 2)
        once = empty_lists(2, 7, -np.inf, 64)
        add_block(block, np.arange(2), np.full(2, -1, np.int32), 0, 64, False, *once)
        sort_lists(*once, 0, 2)
        np.testing.assert_array_equal(found, once[0])

    def test_lists_do_not_depend_on_the_order_of_blocks(self) -> None:
        block = np.random.default_rng(1).integers(0, 9, (2, 64)).astype(np.float32)
        lists = []
        for starts in ((0, 16, 32, 48), (48, 0, 32, 16)):
            found, values = empty_lists(2, 7, -np.inf, 64)
            for start in starts:
                part = np.ascontiguousarray(block[:, start : start + 16])
                add_block(part, np.arange(2), np.full(2, -1, np.int32), start, 64, False, found, values)
            sort_lists(found, values, 0, 2)
            lists.append(found.tolist())
        assert lists[0] == lists[1]
