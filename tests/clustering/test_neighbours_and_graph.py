"""Neighbours compared with the whole similarity matrix; graphs compared with dictionaries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from faceindex.clustering import neighbours as neighbours_module
from faceindex.clustering import partition as partition_module
from faceindex.clustering.graph import graph_from_edges, log_odds, symmetric_graph
from faceindex.clustering.neighbours import exact_neighbours, near_neighbours, nearest
from faceindex.metrics import recall_at_k
from faceindex.models import Calibration
from faceindex.types import F32, I64, Graph


def unit(vectors: np.ndarray) -> F32:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def random_vectors(n: int, seed: int, dimension: int = 8) -> F32:
    return unit(np.random.default_rng(seed).standard_normal((n, dimension)))


def lattice_vectors(n: int, seed: int) -> F32:
    """Make vectors with many exact ties: products of multiples of 1/2 are exact in any order of summation."""
    signs = np.random.default_rng(seed).choice([-1, 1], (n, 4))
    return (signs / 2).astype(np.float32)


def edges_of(graph: Graph) -> dict[tuple[int, int], float]:
    rows = np.repeat(np.arange(len(graph)), np.diff(graph.indptr))
    pairs = [(int(i), int(j)) for i, j in zip(rows, graph.indices, strict=True)]
    assert len(set(pairs)) == len(pairs)
    return dict(zip(pairs, graph.weights.tolist(), strict=True))


def check_form(graph: Graph, n: int) -> None:
    """Check dtypes, sorted rows, symmetric weights, and that no node is its own neighbour."""
    assert [array.dtype.name for array in (graph.indptr, graph.indices, graph.weights)] == [
        "int64",
        "int32",
        "float32",
    ]
    assert len(graph) == n
    assert graph.indptr[0] == 0
    assert graph.indptr[-1] == len(graph.indices) == len(graph.weights)
    for start, stop in zip(graph.indptr, graph.indptr[1:], strict=False):
        assert (np.diff(graph.indices[start:stop]) > 0).all()
    edges = edges_of(graph)
    assert all(i != j and edges[j, i] == weight for (i, j), weight in edges.items())


class TestExactNeighbours:
    @pytest.mark.parametrize(("n", "k"), [(2, 1), (3, 2), (30, 1), (30, 7), (30, 29), (30, 100)])
    def test_equals_the_sorted_matrix(self, n: int, k: int) -> None:
        vectors = random_vectors(n, seed=n + k)
        neighbours, similarities = exact_neighbours(vectors, k)
        matrix = vectors @ vectors.T
        np.fill_diagonal(matrix, -np.inf)
        expected = np.argsort(-matrix, axis=1)[:, : min(k, n - 1)]
        np.testing.assert_array_equal(neighbours, expected)
        np.testing.assert_allclose(similarities, np.take_along_axis(matrix, expected, axis=1), atol=1e-6)

    @pytest.mark.parametrize("k", [1, 5, 20, 39])
    def test_ties_are_ordered_by_position_and_the_best_are_found(self, k: int) -> None:
        vectors = lattice_vectors(40, seed=k)
        neighbours, similarities = exact_neighbours(vectors, k)
        matrix = vectors @ vectors.T
        for i in range(40):
            others = np.delete(matrix[i], i)
            np.testing.assert_array_equal(similarities[i], np.sort(others)[::-1][:k])
            np.testing.assert_array_equal(matrix[i, neighbours[i]], similarities[i])
            assert i not in neighbours[i]
            assert len(set(neighbours[i].tolist())) == k
            tied = np.diff(similarities[i]) == 0
            assert (np.diff(neighbours[i])[tied] > 0).all()

    def test_a_duplicate_is_a_neighbour_and_the_face_itself_is_not(self) -> None:
        vectors = np.tile(random_vectors(1, seed=0), (3, 1))
        neighbours, similarities = exact_neighbours(vectors, 2)
        assert neighbours.tolist() == [[1, 2], [0, 2], [0, 1]]
        np.testing.assert_allclose(similarities, 1, atol=1e-6)

    @pytest.mark.parametrize("rows", [1, 2, 7, 23])
    def test_the_size_of_blocks_does_not_change_the_result(
        self, rows: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vectors = lattice_vectors(23, seed=3)
        whole = exact_neighbours(vectors, 5)
        monkeypatch.setattr(neighbours_module, "QUERY_BLOCK", rows)
        monkeypatch.setattr(neighbours_module, "COLUMN_BLOCK", 2 * rows + 1)
        blocked = exact_neighbours(vectors, 5)
        np.testing.assert_array_equal(blocked[1], whole[1])
        np.testing.assert_array_equal(blocked[0], whole[0])

    @pytest.mark.parametrize(("n", "k", "columns"), [(0, 5, 0), (1, 5, 0), (2, 5, 1), (4, 0, 0)])
    def test_few_faces(self, n: int, k: int, columns: int) -> None:
        neighbours, similarities = exact_neighbours(random_vectors(n, seed=0), k)
        assert neighbours.shape == similarities.shape == (n, columns)
        assert (neighbours.dtype.name, similarities.dtype.name) == ("int64", "float32")


class TestNearest:
    def test_equals_the_sorted_matrix(self) -> None:
        vectors, queries = random_vectors(50, seed=1), random_vectors(7, seed=2)
        found, similarities = nearest(queries, vectors, 60)
        expected = np.argsort(-(queries @ vectors.T), axis=1)
        assert (found.dtype.name, similarities.dtype.name) == ("int32", "float32")
        np.testing.assert_array_equal(found[:, :50], expected)
        assert (found[:, 50:] == -1).all()
        assert np.isneginf(similarities[:, 50:]).all()

    def test_a_vector_at_the_floor_is_left_out(self) -> None:
        vectors = np.array([[1, 0], [0.5, 0], [0.25, 0], [0.5, 0]], np.float32)
        found, similarities = nearest(vectors[:1], vectors, 3, floor=0.25)
        assert found.tolist() == [[0, 1, 3]]
        found, similarities = nearest(vectors[:1], vectors, 3, floor=0.5, leave_out=np.zeros(1, np.int32))
        assert found.tolist() == [[-1, -1, -1]]
        assert similarities.tolist() == [[0.5, 0.5, 0.5]]

    @pytest.mark.parametrize(("m", "n", "k"), [(0, 5, 3), (3, 0, 2), (3, 5, 0)])
    def test_empty_inputs(self, m: int, n: int, k: int) -> None:
        found, similarities = nearest(random_vectors(m, seed=0), random_vectors(n, seed=0), k)
        assert found.shape == similarities.shape == (m, k)
        assert (found[:, n:] == -1).all()


def people(n: int, each: int, seed: int, dimension: int = 24) -> F32:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n // each, dimension))
    return unit(np.repeat(centres, each, axis=0) + 0.4 * rng.standard_normal((n, dimension)))


class TestNearNeighbours:
    """The limit of the exact search is 0 here, so that a partition is searched."""

    @pytest.fixture(autouse=True)
    def _always_partition(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(neighbours_module, "EXACT_UP_TO", 0)

    def test_recall_is_high_and_similarities_are_correct(self) -> None:
        vectors = people(6000, 12, seed=0)
        found, similarities = near_neighbours(vectors, 20)
        expected, _ = exact_neighbours(vectors, 20)
        assert recall_at_k(found.astype(np.int64), expected) > 0.95
        assert (found >= 0).all()
        assert (found != np.arange(6000)[:, None]).all()
        assert all(len(set(row)) == 20 for row in found.tolist())
        assert (np.diff(similarities, axis=1) <= 0).all()
        measured = np.einsum("id,ikd->ik", vectors, vectors[found])
        np.testing.assert_allclose(similarities, measured, atol=1e-5)

    def test_is_exact_when_all_cells_are_searched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(partition_module, "PROBES", 10_000)
        vectors = people(600, 6, seed=1)
        found, similarities = near_neighbours(vectors, 9)
        expected, values = exact_neighbours(vectors, 9)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(similarities, values, atol=1e-6)

    def test_more_rounds_find_more_neighbours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(partition_module, "PROBES", 2)
        monkeypatch.setattr(neighbours_module, "partitions", lambda n: 1)
        vectors = people(4000, 10, seed=2)
        expected, _ = exact_neighbours(vectors, 20)
        recalls = []
        for rounds in (0, 1, 2):
            monkeypatch.setattr(neighbours_module, "ROUNDS", rounds)
            found, _ = near_neighbours(vectors, 20)
            recalls.append(recall_at_k(found.astype(np.int64), expected))
        assert recalls[0] < recalls[1] < recalls[2]

    def test_a_second_partition_finds_what_the_first_one_misses(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(partition_module, "PROBES", 6)
        monkeypatch.setattr(neighbours_module, "ROUNDS", 0)
        monkeypatch.setattr(neighbours_module, "FEW_QUERIES", 0)
        vectors = people(6000, 6, seed=9)
        expected, _ = exact_neighbours(vectors, 20)
        itself = np.arange(6000, dtype=np.int32)
        missed: dict[int, list[float]] = {}
        for partitions in (1, 2):
            monkeypatch.setattr(neighbours_module, "partitions", lambda n, number=partitions: number)
            own, similarities = near_neighbours(vectors, 20)
            queries, values = nearest(vectors[::-1], vectors, 20, leave_out=itself[::-1])
            for found, values_found, of in ((own, similarities, vectors), (queries, values, vectors[::-1])):
                assert all(len(set(row)) == 20 for row in found.tolist())
                assert (np.diff(values_found, axis=1) <= 0).all()
                measured = np.einsum("id,ikd->ik", of, vectors[found])
                np.testing.assert_allclose(values_found, measured, atol=1e-5)
            assert (queries != itself[::-1, None]).all()
            recalls = [recall_at_k(found.astype(np.int64), expected) for found in (own, queries[::-1])]
            missed[partitions] = [1 - recall for recall in recalls]
        for once, twice in zip(missed[1], missed[2], strict=True):
            assert twice < 0.6 * once

    def test_more_vectors_are_partitioned_more_often(self) -> None:
        sizes = (1, 20_001, 300_000, 1_000_000, 3_000_000, 10_000_000)
        assert [neighbours_module.partitions(n) for n in sizes] == [2, 2, 2, 3, 3, 4]

    @pytest.mark.parametrize("shard", [100, 8192])
    def test_the_size_of_shards_does_not_change_the_result(
        self, shard: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vectors = people(2000, 8, seed=3)
        once = near_neighbours(vectors, 10, seed=4)
        monkeypatch.setattr(neighbours_module, "SHARD", shard)
        monkeypatch.setattr(partition_module, "SHARD", shard)
        again = near_neighbours(vectors, 10, seed=4)
        np.testing.assert_array_equal(once[0], again[0])

    def test_queries_that_are_not_among_the_vectors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(neighbours_module, "FEW_QUERIES", 0)
        vectors = people(6600, 12, seed=8)
        queries, vectors = vectors[::11], np.delete(vectors, np.s_[::11], axis=0)
        found, similarities = nearest(queries, vectors, 5)
        expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :5]
        assert recall_at_k(found.astype(np.int64), expected) > 0.95
        measured = np.einsum("id,ikd->ik", queries, vectors[found])
        np.testing.assert_allclose(similarities, measured, atol=1e-5)
        without, _ = nearest(queries, vectors, 4, leave_out=found[:, 0])
        assert (without != found[:, :1]).all()
        assert (without == found[:, 1:]).mean() > 0.95

    def test_neighbours_at_or_below_the_floor_are_left_out(self) -> None:
        vectors = people(2000, 8, seed=5)
        found, similarities = near_neighbours(vectors, 10, floor=0.6)
        everything, values = near_neighbours(vectors, 10)
        assert ((found == -1) == (similarities == np.float32(0.6))).all()
        assert (similarities[found >= 0] > 0.6).all()
        kept = values > 0.6
        assert (found >= 0).sum() >= 0.99 * kept.sum() > 0
        assert np.mean(found[kept] == everything[kept]) > 0.99

    def test_thousands_of_duplicates(self) -> None:
        duplicates = np.repeat(random_vectors(1, seed=6, dimension=24), 4000, axis=0)
        vectors = np.concatenate([duplicates, people(400, 8, seed=7)])
        found, similarities = near_neighbours(vectors, 5)
        np.testing.assert_allclose(similarities[:4000], 1, atol=1e-5)
        assert (found[:4000] < 4000).all()
        assert (found[:4000] != np.arange(4000)[:, None]).all()
        assert all(len(set(row)) == 5 for row in found.tolist())

    @pytest.mark.parametrize(("n", "columns"), [(0, 0), (1, 0), (2, 1), (3, 2)])
    def test_few_faces(self, n: int, columns: int) -> None:
        found, similarities = near_neighbours(random_vectors(n, seed=0), 5)
        assert found.shape == similarities.shape == (n, columns)


class TestLogOdds:
    def test_is_zero_at_the_threshold_and_linear(self) -> None:
        calibration = Calibration(slope=20.0, midpoint=0.5, source="made up")
        even = calibration.threshold(100)
        similarities = np.array([even, even + 0.1, 0.5], np.float32)
        odds = log_odds(similarities, 100, calibration)
        assert odds.dtype == np.float32
        np.testing.assert_allclose(odds, [0, 2, -math.log(100)], atol=1e-4)

    def test_keeps_the_shape(self) -> None:
        calibration = Calibration(1.0, 0.0, "made up")
        assert log_odds(np.zeros((3, 0), np.float32), 3, calibration).shape == (3, 0)


def brute_force(neighbours: I64, weights: F32, floor: float) -> dict[tuple[int, int], float]:
    edges: dict[tuple[int, int], float] = {}
    for i, (row, values) in enumerate(zip(neighbours.tolist(), weights.tolist(), strict=True)):
        for j, weight in zip(row, values, strict=True):
            if j >= 0 and j != i and weight > floor:
                for pair in ((i, j), (j, i)):
                    edges[pair] = max(edges.get(pair, -math.inf), weight)
    return edges


class TestSymmetricGraph:
    @pytest.mark.parametrize("floor", [-0.5, 0.0, 0.7])
    @pytest.mark.parametrize("seed", range(5))
    def test_equals_a_dictionary(self, seed: int, floor: float) -> None:
        # Neighbours drawn from -1..n - 1 with replacement include padding, the node itself and duplicates.
        rng = np.random.default_rng(seed)
        n, k = int(rng.integers(2, 40)), int(rng.integers(1, 12))
        neighbours = rng.integers(-1, n, (n, k))
        weights = rng.uniform(-1, 1, (n, k)).astype(np.float32)
        graph = symmetric_graph(neighbours, weights, floor=floor)
        check_form(graph, n)
        assert edges_of(graph) == brute_force(neighbours, weights, floor)

    def test_the_greater_of_two_weights_is_used(self) -> None:
        graph = symmetric_graph(np.array([[1], [0]]), np.array([[0.25], [0.75]], np.float32))
        assert edges_of(graph) == {(0, 1): 0.75, (1, 0): 0.75}

    def test_an_edge_at_the_floor_is_left_out(self) -> None:
        weights = np.array([[0.5, 0.25], [0, 0], [0, 0]], np.float32)
        graph = symmetric_graph(np.array([[1, 2], [-1, -1], [-1, -1]]), weights, floor=0.25)
        assert edges_of(graph) == {(0, 1): 0.5, (1, 0): 0.5}

    def test_an_edge_of_weight_nan_is_left_out(self) -> None:
        graph = symmetric_graph(np.array([[1], [-1]]), np.array([[np.nan], [1]], np.float32))
        assert edges_of(graph) == {}

    @pytest.mark.parametrize(("n", "k"), [(0, 0), (1, 0), (3, 0), (2, 3)])
    def test_without_edges(self, n: int, k: int) -> None:
        graph = symmetric_graph(np.full((n, k), -1), np.ones((n, k), np.float32))
        check_form(graph, n)
        assert edges_of(graph) == {}


class TestGraphFromEdges:
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_a_dictionary(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = 20
        pairs = np.array([(i, j) for i in range(n) for j in range(i)])
        pairs = rng.permutation(pairs)[:60]
        pairs = np.where(rng.random((60, 1)) < 0.5, pairs, pairs[:, ::-1])
        weights = rng.standard_normal(60).astype(np.float32)
        graph = graph_from_edges(n, pairs[:, 0], pairs[:, 1], weights)
        check_form(graph, n)
        listed = {(i, j): w for (i, j), w in zip(pairs.tolist(), weights.tolist(), strict=True)}
        assert edges_of(graph) == listed | {(j, i): weight for (i, j), weight in listed.items()}

    @pytest.mark.parametrize("n", [0, 1, 4])
    def test_without_edges(self, n: int) -> None:
        none = np.empty(0, np.int64)
        graph = graph_from_edges(n, none, none, np.empty(0, np.float32))
        check_form(graph, n)
        assert edges_of(graph) == {}
