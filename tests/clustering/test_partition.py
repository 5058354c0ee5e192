"""Cells against what they should hold, and the kernels of the lists against plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from faceindex.clustering import neighbours as neighbours_module
from faceindex.clustering import partition as partition_module
from faceindex.clustering.kernels import empty_lists, keep_best, mark_new, offer, refine, sort_lists
from faceindex.clustering.partition import Partition
from faceindex.clustering.workers import Workers
from faceindex.types import F32, I32, I64


def people(n: int, each: int, seed: int, dimension: int = 24) -> F32:
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.standard_normal((n // each, dimension)), each, axis=0)
    vectors += 0.4 * rng.standard_normal((n, dimension))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def fit(vectors: F32, seed: int = 0) -> Partition:
    with Workers() as workers:
        return Partition.fit(vectors, seed, workers)


class TestPartition:
    def test_every_vector_is_in_one_cell_and_mostly_in_the_nearest(self) -> None:
        vectors = people(6000, 20, seed=0)
        partition = fit(vectors)
        centroids = partition.cells.centroids
        assert sorted(partition.order.tolist()) == list(range(6000))
        np.testing.assert_array_equal(partition.vectors, vectors[partition.order])
        np.testing.assert_array_equal(np.diff(partition.start), np.bincount(partition.own))
        assert (np.diff(partition.own) >= 0).all()
        assert (partition.own == (partition.vectors @ centroids.T).argmax(axis=1)).mean() > 0.9
        np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)

    def test_the_number_of_cells_follows_that_of_the_vectors(self) -> None:
        cells = [len(fit(people(n, 10, seed=1)).cells.centroids) for n in (2000, 8000)]
        assert 0.7 < cells[0] * 64 / 2000 < 1.4
        assert 0.7 < cells[1] * 64 / 8000 < 1.4

    def test_near_cells_are_the_nearest_and_begin_with_the_cell_itself(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(partition_module, "_RANKED", 20)
        cells = fit(people(8000, 20, seed=2)).cells
        np.testing.assert_array_equal(cells.near[:, 0], np.arange(len(cells.centroids)))
        assert all(len(set(row)) == 20 for row in cells.near.tolist())
        products = cells.centroids @ cells.centroids.T
        expected = np.argsort(-products, axis=1)[:, :20]
        hits = [len(np.intersect1d(f, e)) for f, e in zip(cells.near, expected, strict=True)]
        assert np.mean(hits) > 0.8 * 20  # among the nearest groups alone

    def test_more_cells_are_searched_around_lonely_vectors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(partition_module, "_PROBES", 12)
        rng = np.random.default_rng(3)
        lonely = rng.standard_normal((1000, 24)).astype(np.float32)
        lonely /= np.linalg.norm(lonely, axis=1, keepdims=True)
        vectors = np.concatenate([people(7000, 70, seed=3), lonely])
        looked = np.zeros(8000, np.int64)
        look = Partition._look

        def counted(
            self: Partition, asked: F32, lines: I64, cell: int, out: I32, found: I32, similarities: F32
        ) -> None:
            if len(found) == 8000:  # not a look at one of those that show how many cells are chosen
                looked[lines] += 1
            look(self, asked, lines, cell, out, found, similarities)

        monkeypatch.setattr(Partition, "_look", counted)
        with Workers() as workers:
            partition = Partition.fit(vectors, 0, workers)
            none = np.full(8000, -1, np.int32)
            partition.search(partition.vectors, partition.own, 10, -np.inf, none, workers)
        alone = partition.order >= 7000
        assert 8 < looked.mean() < 16
        assert looked[alone].mean() > 2 * looked[~alone].mean()

    def test_vectors_that_are_all_alike_make_one_cell(self) -> None:
        vectors = np.repeat(people(1, 1, seed=4), 3000, axis=0)
        partition = fit(vectors)
        assert len(partition.cells.centroids) == 1

    def test_duplicates_do_not_hide_the_cells_of_others(self) -> None:
        others = people(3000, 10, seed=5)
        vectors = np.concatenate([np.repeat(others[:1], 20_000, axis=0), others])
        partition = fit(vectors)
        sizes = np.diff(partition.start)
        assert len(sizes) > 20
        assert (sizes > 0).mean() > 0.9
        found, similarities = neighbours_of(vectors, 5)
        expected = np.sort(others[100:] @ others.T, axis=1)[:, ::-1][:, 1:6]
        assert (np.abs(similarities[20_100:] - expected).max(axis=1) < 1e-5).mean() > 0.9
        assert all(len(set(row)) == 5 for row in found.tolist())


def neighbours_of(vectors: F32, k: int) -> tuple[np.ndarray, F32]:
    assert len(vectors) > neighbours_module.EXACT_UP_TO
    return neighbours_module.near_neighbours(vectors, k)


class TestKernels:
    def test_offers_are_taken_as_if_all_had_been_sorted(self) -> None:
        rng = np.random.default_rng(0)
        n, k = 60, 6
        similarities = rng.integers(0, 50, (n, n)).astype(np.float32) / 64  # with ties
        similarities = np.maximum(similarities, similarities.T)
        found, values = empty_lists(n, k, -np.inf, n)
        lists = [rng.choice(np.delete(np.arange(n), i), k, replace=False) for i in range(n)]
        for i, row in enumerate(lists):
            row = row[np.lexsort((row, -similarities[i, row]))]
            found[i], values[i] = row, similarities[i, row]
        known, alike = found.copy(), values.copy()
        offer(known, alike, 0, 25, found, values)
        offer(known, alike, 25, n, found, values)
        for j in range(n):
            all_of_it = set(known[j].tolist()) | {i for i in range(n) if j in known[i]}
            expected = sorted(all_of_it, key=lambda i, j=j: (-similarities[j, i], i))[:k]  # type: ignore[misc]
            assert found[j].tolist() == expected
            np.testing.assert_array_equal(values[j], similarities[j, expected])

    def test_padding_is_offered_to_nobody(self) -> None:
        found, values = empty_lists(3, 2, 0.5, 3)
        found[0, 0], values[0, 0] = 2, 0.75
        offer(found.copy(), values.copy(), 0, 3, found, values)
        assert found.tolist() == [[2, 3], [3, 3], [0, 3]]
        assert values.tolist() == [[0.75, 0.5], [0.5, 0.5], [0.75, 0.5]]

    def test_a_pair_that_met_before_is_not_compared_again(self) -> None:
        vectors = np.eye(3, dtype=np.float32)
        vectors[2] = vectors[0]
        known = np.array([[1], [2], [1]], np.int32)
        for new, expected in ((False, [1]), (True, [2])):
            found, values = known.copy(), np.zeros((3, 1), np.float32)
            refine(vectors, known, np.full((3, 1), new), 0, 3, found, values)
            assert found[0].tolist() == expected

    def test_what_is_new(self) -> None:
        known, before = np.array([[4, 2, 9]], np.int32), np.array([[9, 4, 1]], np.int32)
        new = np.empty((1, 3), np.bool_)
        mark_new(known, before, 0, 1, new)
        assert new.tolist() == [[False, True, False]]
        mark_new(known, before[:, :0], 0, 1, new)
        assert new.all()

    def test_lists_do_not_depend_on_the_order_of_blocks(self) -> None:
        block = np.random.default_rng(1).integers(0, 9, (2, 64)).astype(np.float32)
        lists = []
        for starts in ((0, 16, 32, 48), (48, 0, 32, 16)):
            found, values = empty_lists(2, 7, -np.inf, 64)
            for start in starts:
                part = np.ascontiguousarray(block[:, start : start + 16])
                keep_best(part, np.arange(2), np.full(2, -1, np.int32), start, 64, found, values)
            sort_lists(found, values, 0, 2)
            lists.append(found.tolist())
        assert lists[0] == lists[1]
