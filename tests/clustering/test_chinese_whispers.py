"""Chinese Whispers: the propagation rule, and the clusterer built on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import ArrayLike

from faceindex import models
from faceindex.clustering import ClusterOptions
from faceindex.clustering.chinese_whispers import SETTLED, ChineseWhispers, chinese_whispers
from faceindex.clustering.graph import graph_from_edges, log_odds, symmetric_graph
from faceindex.clustering.neighbours import exact_neighbours
from faceindex.errors import UsageError
from faceindex.metrics import bcubed
from faceindex.models import Calibration
from faceindex.types import F32, I64, Graph

Edge = tuple[int, int, float]

CALIBRATION = Calibration(slope=40.0, midpoint=0.5, source="made up")
GRAPH_FLOOR = -4.0


def make_graph(n: int, edges: list[Edge]) -> Graph:
    a, b, weights = (np.array([edge[i] for edge in edges]) for i in range(3))
    return graph_from_edges(n, a.astype(np.int64), b.astype(np.int64), weights.astype(np.float32))


def clique(nodes: range, weight: float = 1.0) -> list[Edge]:
    return [(i, j, weight) for i in nodes for j in nodes if i < j]


def random_graph(n: int, edges: int, seed: int, *, whole: bool = False) -> Graph:
    """Random edges with weights around 1, a few of them negative; with many ties if `whole`."""
    rng = np.random.default_rng(seed)
    pairs = np.unique(np.sort(rng.integers(0, n, (edges, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    weights = rng.integers(-1, 4, len(pairs)) if whole else rng.normal(1, 1, len(pairs))
    return graph_from_edges(n, pairs[:, 0], pairs[:, 1], weights.astype(np.float32))


def same_partition(a: ArrayLike, b: ArrayLike) -> bool:
    return bcubed(a, b).f == 1


def shuffled_orders(nodes: list[int], seed: int) -> Iterator[list[int]]:
    """Yield the visiting order of each sweep: one list, shuffled again by Fisher-Yates with splitmix64."""
    mask = (1 << 64) - 1
    order, state = list(nodes), seed
    while True:
        for i in range(len(order) - 1, 0, -1):
            state = (state + 0x9E3779B97F4A7C15) & mask
            z = state
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            j = ((z ^ (z >> 31)) >> 32) * (i + 1) >> 32
            order[i], order[j] = order[j], order[i]
        yield list(order)


def reference(graph: Graph, seed: int, fixed: list[int] | None = None, bias: float = 0.0) -> list[int]:
    """The same rule in plain Python, which visits every free node in every sweep."""
    n = len(graph)
    fixed = fixed or [-1] * n
    classes: list[object] = [("kept", label) if label >= 0 else ("new", i) for i, label in enumerate(fixed)]
    movable = [i for i in range(n) if fixed[i] < 0 and graph.indptr[i] < graph.indptr[i + 1]]
    orders = shuffled_orders(movable, seed)
    changed = True
    while changed:
        changed = False
        for i in next(orders):
            totals: dict[object, float] = {}
            for e in range(graph.indptr[i], graph.indptr[i + 1]):
                j = int(graph.indices[e])
                weight = graph.weights[e] + np.float32(bias) if fixed[j] >= 0 else graph.weights[e]
                if weight > 0:
                    totals[classes[j]] = totals.get(classes[j], 0.0) + float(weight)
            best = max(totals, key=totals.__getitem__, default=classes[i])
            if totals.get(best, 0.0) > totals.get(classes[i], 0.0):
                classes[i] = best
                changed = True
    new = list(dict.fromkeys(c for c in classes if c[0] == "new"))  # type: ignore[index]
    ids = {c: max([-1, *fixed]) + 1 + r for r, c in enumerate(sorted(new, key=lambda c: -classes.count(c)))}
    return [ids[c] if c in ids else c[1] for c in classes]  # type: ignore[index]


class TestRule:
    @pytest.mark.parametrize("seed", range(10))
    def test_two_cliques_and_a_bridge(self, seed: int) -> None:
        graph = make_graph(11, [*clique(range(5)), *clique(range(5, 11)), (4, 5, 1.0)])
        labels = chinese_whispers(graph, seed=seed)
        assert labels.dtype == np.int64
        assert labels.tolist() == [1] * 5 + [0] * 6  # numbered by size

    def test_ties_in_size_are_numbered_by_their_first_node(self) -> None:
        graph = make_graph(6, [(0, 3, 1.0), (1, 4, 1.0), (2, 5, 1.0)])
        assert chinese_whispers(graph, seed=4).tolist() == [0, 1, 2, 0, 1, 2]

    @pytest.mark.parametrize(("single", "expected"), [(2.5, 0), (1.5, 1)])
    def test_total_weight_decides_and_not_the_number_of_edges(self, single: float, expected: int) -> None:
        graph = make_graph(4, [(3, 0, single), (3, 1, 1.0), (3, 2, 1.0)])
        labels = chinese_whispers(graph, fixed=np.array([0, 1, 1, -1]))
        assert labels.tolist() == [0, 1, 1, expected]

    def test_isolated_nodes_keep_their_own_class(self) -> None:
        labels = chinese_whispers(make_graph(5, [(1, 3, 1.0)]))
        assert labels.tolist() == [1, 0, 2, 0, 3]

    def test_edges_of_zero_or_negative_weight_are_ignored(self) -> None:
        graph = make_graph(6, [(0, 1, -3.0), (1, 2, 0.0), (3, 4, 1.0), (3, 5, -9.0), (4, 5, 0.5)])
        labels = chinese_whispers(graph)
        assert labels.tolist() == [1, 2, 3, 0, 0, 0]

    @pytest.mark.parametrize("n", [0, 1, 3])
    def test_no_edges(self, n: int) -> None:
        labels = chinese_whispers(make_graph(n, []))
        assert labels.tolist() == list(range(n))
        assert labels.dtype == np.int64

    def test_fixed_labels_are_kept_and_new_ones_are_above(self) -> None:
        graph = make_graph(9, [*clique(range(4)), *clique(range(4, 7))])
        fixed = np.array([-1, 7, -1, 3, -1, -1, -1, -1, 5])
        labels = chinese_whispers(graph, fixed=fixed)
        assert labels[[1, 3, 8]].tolist() == [7, 3, 5]
        assert set(labels[[0, 2]].tolist()) <= {3, 7}
        assert labels[4:8].tolist() == [8, 8, 8, 9]
        assert fixed.tolist() == [-1, 7, -1, 3, -1, -1, -1, -1, 5]

    def test_fixed_must_be_as_long_as_the_graph(self) -> None:
        with pytest.raises(ValueError, match="2 labels for 3 nodes"):
            chinese_whispers(make_graph(3, []), fixed=np.array([0, -1]))

    def test_bias_is_added_to_edges_that_lead_to_fixed_nodes(self) -> None:
        graph = make_graph(5, [(0, 1, -0.5), (2, 3, -0.5), (1, 4, 0.25)])
        fixed = np.array([0, -1, -1, -1, -1])
        assert chinese_whispers(graph, fixed=fixed).tolist() == [0, 1, 2, 3, 1]
        assert chinese_whispers(graph, fixed=fixed, bias=1.0).tolist() == [0, 0, 1, 2, 0]

    def test_same_seed_same_labels(self) -> None:
        graph = random_graph(300, 900, seed=0)
        np.testing.assert_array_equal(chinese_whispers(graph, seed=5), chinese_whispers(graph, seed=5))

    def test_the_seed_breaks_ties(self) -> None:
        # Node 3 belongs as much to the left clique as to the right one.
        graph = make_graph(7, [*clique(range(3)), *clique(range(4, 7)), (2, 3, 1.0), (3, 4, 1.0)])
        sides = {
            int(labels[3] == labels[0])
            for seed in range(40)
            for labels in [chinese_whispers(graph, seed=seed)]
        }
        assert sides == {0, 1}

    @pytest.mark.parametrize("whole", [False, True], ids=["real weights", "whole weights"])
    @pytest.mark.parametrize("seed", range(15))
    def test_at_the_end_every_free_node_is_in_its_best_class(self, seed: int, whole: bool) -> None:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 120))
        graph = random_graph(n, 4 * n, seed, whole=whole)
        bias = float(rng.choice([0.0, 1.5]))
        fixed = np.where(rng.random(n) < 0.1, rng.integers(0, 4, n), -1)
        labels = chinese_whispers(graph, seed=seed, fixed=fixed, bias=bias)
        kept = fixed >= 0
        np.testing.assert_array_equal(labels[kept], fixed[kept])
        for i in np.flatnonzero(~kept):
            row = slice(graph.indptr[i], graph.indptr[i + 1])
            others = graph.indices[row]
            weights = graph.weights[row] + np.float32(bias) * kept[others].astype(np.float32)
            totals = np.bincount(labels[others], np.maximum(weights, 0), minlength=labels.max() + 1)
            assert totals[labels[i]] == totals.max()

    @pytest.mark.parametrize("whole", [False, True], ids=["real weights", "whole weights"])
    @pytest.mark.parametrize("seed", [*range(12), 2**63 + 11])
    def test_agrees_with_plain_python(self, seed: int, whole: bool) -> None:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 60))
        graph = random_graph(n, 3 * n, seed, whole=whole)
        assert chinese_whispers(graph, seed=seed).tolist() == reference(graph, seed)
        fixed = np.where(rng.random(n) < 0.2, 10 * rng.integers(0, 3, n), -1)
        labels = chinese_whispers(graph, seed=seed, fixed=fixed, bias=0.75)
        assert labels.tolist() == reference(graph, seed, fixed.tolist(), bias=0.75)


def vectors_with(similarities: np.ndarray) -> F32:
    """Make unit vectors with exactly these similarities."""
    values, basis = np.linalg.eigh(similarities)
    assert values.min() > -1e-9
    return np.asarray(basis * np.sqrt(np.maximum(values, 0)), np.float32)


def groups(*sizes: int, within: float = 0.8, between: float = 0.0) -> np.ndarray:
    """Make the similarity matrix of groups of faces."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    matrix = np.where(group[:, None] == group, within, between)
    np.fill_diagonal(matrix, 1)
    return matrix


def fit(vectors: F32, fixed: ArrayLike | None = None, **options: object) -> list[int]:
    """Cluster as the library does: the neighbour graph of all pairs, and the clusterer from the registry."""
    neighbours, similarities = exact_neighbours(vectors, 80)
    graph = symmetric_graph(neighbours, log_odds(similarities, len(vectors), CALIBRATION), floor=GRAPH_FLOOR)
    chosen = ClusterOptions(**{"calibration": CALIBRATION, **options})  # type: ignore[arg-type]
    clusterer = models.load(models.get("clusterer", "chinese-whispers"), options=chosen)
    assert isinstance(clusterer, ChineseWhispers)
    labels = clusterer.fit(vectors, graph, None if fixed is None else np.asarray(fixed, np.int64))
    assert labels.dtype == np.int64
    return [int(label) for label in labels]


def long_tail(seed: int, dimension: int = 128) -> tuple[F32, I64]:
    """Make faces around random centres: of a few people with many photos and of many with one."""
    rng = np.random.default_rng(seed)
    sizes = np.concatenate([[60, 30, 20, 10, 8, 5, 4, 3, 3, 2, 2, 2], np.ones(60, int)])
    people = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = rng.standard_normal((len(sizes), dimension))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    vectors = centres[people] + 0.55 * rng.standard_normal((len(people), dimension)) / np.sqrt(dimension)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), people


class TestClusterer:
    @pytest.mark.parametrize("seed", range(3))
    def test_finds_the_people_of_a_long_tail(self, seed: int) -> None:
        vectors, people = long_tail(seed)
        labels = fit(vectors, seed=seed)
        assert bcubed(labels, people).f > 0.99
        sizes = np.bincount(labels)
        assert (np.diff(sizes) <= 0).all()  # largest first

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_few_faces(self, n: int) -> None:
        assert fit(np.eye(2, 4, dtype=np.float32)[:n]) == list(range(n))

    def test_a_single_face_joins_a_settled_cluster_at_a_lower_threshold(self) -> None:
        # Even odds are at 0.560 among 11 faces, and at 0.517 if 10 of these are in a settled cluster.
        similarities = groups(10, 1, between=0.2)
        similarities[0, 10] = similarities[10, 0] = 0.55
        assert fit(vectors_with(similarities)) == [0] * 11
        similarities[0, 10] = similarities[10, 0] = 0.50
        assert fit(vectors_with(similarities)) == [0] * 10 + [1]

    def test_a_single_face_does_not_join_a_small_cluster_at_a_lower_threshold(self) -> None:
        n = SETTLED - 1
        similarities = groups(n, 1, between=0.2)
        # Even odds are at 0.540 among 5 faces.
        similarities[0, n] = similarities[n, 0] = 0.535
        assert fit(vectors_with(similarities)) == [0] * n + [1]

    @pytest.mark.parametrize(("between", "people"), [(0.54, 1), (0.50, 2)])
    def test_clusters_that_are_similar_on_average_are_merged(self, between: float, people: int) -> None:
        # Even odds are at 0.562 among 12 faces, and at 0.517 between 2 clusters.
        vectors = vectors_with(groups(6, 6, between=between))
        assert fit(vectors) == [0] * 6 + [people - 1] * 6

    def test_fixed_clusters_are_not_merged(self) -> None:
        vectors = vectors_with(groups(6, 6, between=0.54))
        assert fit(vectors, [7] * 6 + [3] * 6) == [7] * 6 + [3] * 6
        assert fit(vectors, [7, -1, -1, -1, -1, -1, 3, -1, -1, -1, -1, -1]) == [7] * 6 + [3] * 6

    def test_a_new_cluster_is_merged_into_a_fixed_one(self) -> None:
        vectors = vectors_with(groups(6, 6, between=0.54))
        assert fit(vectors, [-1] * 6 + [3] * 6) == [3] * 12

    def test_new_clusters_get_ids_above_the_fixed_ones(self) -> None:
        vectors = vectors_with(groups(3, 5, 2))
        assert fit(vectors, [4, -1, -1, *[-1] * 7]) == [4] * 3 + [5] * 5 + [6] * 2

    @pytest.mark.parametrize("seed", range(3))
    def test_faces_keep_their_cluster_when_others_are_added(self, seed: int) -> None:
        vectors, people = long_tail(seed)
        old = np.random.default_rng(seed).random(len(people)) < 0.7
        fixed = np.full(len(people), -1)
        fixed[old] = fit(vectors[old])
        labels = np.array(fit(vectors, fixed))
        np.testing.assert_array_equal(labels[old], fixed[old])
        assert bcubed(labels, people).f > 0.98
        new = ~np.isin(labels, fixed[old])
        assert (labels[new] > fixed.max()).all()

    def test_a_threshold_means_plain_chinese_whispers(self) -> None:
        vectors = vectors_with(groups(6, 6, between=0.54))
        graph = symmetric_graph(*exact_neighbours(vectors, 20), floor=0.6)
        spec = models.get("clusterer", "chinese-whispers")
        plain = models.load(spec, options=ClusterOptions(threshold=0.6, calibration=CALIBRATION, seed=3))
        labels = plain.fit(vectors, graph)
        np.testing.assert_array_equal(labels, chinese_whispers(graph, seed=3))
        assert labels.tolist() == [0] * 6 + [1] * 6  # the default merges these

    def test_same_seed_same_labels(self) -> None:
        vectors, _ = long_tail(9)
        assert fit(vectors, seed=4) == fit(vectors, seed=4)

    def test_missing_and_unused_options_are_errors(self) -> None:
        spec = models.get("clusterer", "chinese-whispers")
        with pytest.raises(UsageError, match="does not use `k`"):
            models.load(spec, options=ClusterOptions(k=3, calibration=CALIBRATION))
        with pytest.raises(ValueError, match="calibration or a threshold"):
            models.load(spec, options=ClusterOptions())
        with pytest.raises(ValueError, match="needs a graph"):
            models.load(spec, options=ClusterOptions(threshold=0.5)).fit(np.eye(2, dtype=np.float32), None)
