"""Chinese Whispers: the propagation rule, plain and with photos, and the clusterer built on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from synthetic_faces import CALIBRATION, blocks, fit_album, make_graph, neighbour_graph, vectors_with

from faceindex import models
from faceindex.clustering import Album, ClusterOptions
from faceindex.clustering.chinese_whispers import chinese_whispers, number_by_size, unique_labels
from faceindex.clustering.graph import graph_from_edges
from faceindex.clustering.same_photo import PhotoGroups
from faceindex.clustering.strangers import APART
from faceindex.errors import UsageError
from faceindex.metrics import bcubed
from faceindex.types import F32, I64, Graph

Edge = tuple[int, int, float]


def clique(nodes: range, weight: float = 1.0) -> list[Edge]:
    return [(i, j, weight) for i in nodes for j in nodes if i < j]


def random_graph(n: int, edges: int, seed: int, *, whole: bool = False, scale: float = 1.0) -> Graph:
    """Random edges with weights around `scale`, a few of them negative; with many ties if `whole`."""
    rng = np.random.default_rng(seed)
    pairs = np.unique(np.sort(rng.integers(0, n, (edges, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    weights = rng.integers(-1, 4, len(pairs)) if whole else rng.normal(1, 1, len(pairs))
    return graph_from_edges(n, pairs[:, 0], pairs[:, 1], (scale * weights).astype(np.float32))


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


def reference(graph: Graph, seed: int, photos: list[int] | None = None) -> list[int]:
    """The same rule in plain Python, which visits every node in every sweep."""
    n = len(graph)
    photos = photos or list(range(n))
    mates = [[j for j in range(n) if j != i and photos[j] == photos[i]] for i in range(n)]
    classes: list[object] = list(range(n))
    orders = shuffled_orders([i for i in range(n) if graph.indptr[i] < graph.indptr[i + 1]], seed)
    changed = True
    while changed:
        changed = False
        for i in next(orders):
            totals: dict[object, float] = {}
            for e in range(graph.indptr[i], graph.indptr[i + 1]):
                if graph.weights[e] > 0:
                    code = classes[graph.indices[e]]
                    totals[code] = totals.get(code, 0.0) + float(graph.weights[e])
            totals.setdefault(classes[i], 0.0)
            for j in mates[i]:
                if classes[j] in totals:
                    totals[classes[j]] -= APART
            best = max(totals, key=totals.__getitem__)
            if totals[best] < 0:
                classes[i] = object()
                changed = True
            elif totals[best] > totals[classes[i]]:
                classes[i] = best
                changed = True
    order = sorted(dict.fromkeys(classes), key=lambda code: -classes.count(code))  # ties by their first node
    return [order.index(code) for code in classes]


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

    @pytest.mark.parametrize(("single", "expected"), [(2.5, 1), (1.5, 0)])
    def test_total_weight_decides_and_not_the_number_of_edges(self, single: float, expected: int) -> None:
        strong = [*clique(range(3), 9.0), (3, 4, 9.0)]
        for seed in range(5):
            graph = make_graph(6, [*strong, (5, 3, single), (5, 0, 1.0), (5, 1, 1.0)])
            labels = chinese_whispers(graph, seed=seed)
            assert labels[5] == labels[[0, 3][expected]]
            assert labels[0] != labels[3]

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
    def test_at_the_end_every_node_is_in_its_best_class(self, seed: int, whole: bool) -> None:
        n = int(np.random.default_rng(seed).integers(2, 120))
        graph = random_graph(n, 4 * n, seed, whole=whole)
        labels = chinese_whispers(graph, seed=seed)
        for i in range(n):
            row = slice(graph.indptr[i], graph.indptr[i + 1])
            weights = np.maximum(graph.weights[row], 0)
            totals = np.bincount(labels[graph.indices[row]], weights, minlength=labels.max() + 1)
            assert totals[labels[i]] == totals.max()

    @pytest.mark.parametrize("whole", [False, True], ids=["real weights", "whole weights"])
    @pytest.mark.parametrize("seed", [*range(12), 2**63 + 11])
    def test_agrees_with_plain_python(self, seed: int, whole: bool) -> None:
        n = int(np.random.default_rng(seed).integers(1, 60))
        graph = random_graph(n, 3 * n, seed, whole=whole)
        assert chinese_whispers(graph, seed=seed).tolist() == reference(graph, seed)


class TestPhotos:
    @pytest.mark.parametrize(("weight", "classes"), [(1.0, 2), (APART / 4 - 0.01, 2), (APART / 4 + 0.01, 1)])
    def test_two_faces_on_one_photo_join_the_same_class_only_by_strong_links(
        self, weight: float, classes: int
    ) -> None:
        links = [(i, face, weight) for face in (4, 5) for i in range(4)]
        graph = make_graph(6, [*clique(range(4), 9.0), *links])
        for seed in range(10):
            labels = chinese_whispers(
                graph, seed=seed, groups=PhotoGroups.build(np.array([0, 1, 2, 3, 4, 4]))
            )
            assert labels[:4].tolist() == [0] * 4
            assert set(labels[4:].tolist()) == set(range(classes))
            assert chinese_whispers(graph, seed=seed).tolist() == [0] * 6

    def test_a_face_leaves_a_class_for_an_empty_one(self) -> None:
        # Whichever of 0 and 1 comes first to the class of 2, or 2 to theirs: never all three.
        graph = make_graph(3, [(0, 2, 3.0), (1, 2, 2.0)])
        groups = PhotoGroups.build(np.array([7, 7, 9]))
        for seed in range(20):
            labels = chinese_whispers(graph, seed=seed, groups=groups)
            assert labels[0] != labels[1]
            assert labels[2] == labels[0]  # the stronger link wins in the end

    def test_groups_without_shared_photos_are_the_same_as_none(self) -> None:
        graph = random_graph(80, 300, seed=2)
        groups = PhotoGroups.build(np.arange(80))
        np.testing.assert_array_equal(chinese_whispers(graph, groups=groups), chinese_whispers(graph))

    @pytest.mark.parametrize("whole", [False, True], ids=["real weights", "whole weights"])
    @pytest.mark.parametrize("seed", [*range(25), 2**63 + 11])
    def test_agrees_with_plain_python(self, seed: int, whole: bool) -> None:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 60))
        # Totals are often whole multiples of `APART`.
        graph = random_graph(n, 5 * n, seed, whole=whole, scale=APART / 4)
        photos = rng.integers(0, max(1, n // int(rng.integers(2, 6))), n)
        labels = chinese_whispers(graph, seed=seed, groups=PhotoGroups.build(photos))
        assert labels.tolist() == reference(graph, seed, photos.tolist())

    @pytest.mark.parametrize("seed", range(10))
    def test_at_the_end_no_node_gains_by_a_move(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 120))
        graph = random_graph(n, 6 * n, seed, scale=3.0)
        photos = rng.integers(0, n // 2, n)
        labels = chinese_whispers(graph, seed=seed, groups=PhotoGroups.build(photos))
        for i in range(n):
            row = slice(graph.indptr[i], graph.indptr[i + 1])
            weights = np.maximum(graph.weights[row], 0)
            totals = np.bincount(labels[graph.indices[row]], weights, minlength=labels.max() + 1)
            mates = np.flatnonzero((photos == photos[i]) & (np.arange(n) != i))
            totals = totals - APART * np.bincount(labels[mates], minlength=len(totals))
            assert totals[labels[i]] >= max(totals.max(), 0.0) - 1e-9


class TestNumbering:
    def test_unique_labels_are_those_of_numpy(self) -> None:
        labels = np.array([7, 2, 2, 9, 7, 7, 0])
        for found, expected in zip(
            unique_labels(labels),
            np.unique(labels, return_inverse=True, return_counts=True),
            strict=True,
        ):
            np.testing.assert_array_equal(found, expected)

    def test_by_size_and_then_by_the_first_node(self) -> None:
        assert number_by_size(np.array([8, 3, 3, 5, 8, 3, 5, 1])).tolist() == [1, 0, 0, 2, 1, 0, 2, 3]
        assert number_by_size(np.empty(0, np.int64)).tolist() == []


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
        labels = fit_album(vectors, algorithm="chinese-whispers", seed=seed)
        assert bcubed(labels, people).f > 0.98
        assert (np.diff(np.bincount(labels)) <= 0).all()  # largest first

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_few_faces(self, n: int) -> None:
        labels = fit_album(np.eye(2, 4, dtype=np.float32)[:n], algorithm="chinese-whispers")
        assert labels.tolist() == list(range(n))

    def test_it_is_plain(self) -> None:
        """Photos, quality and previous clusters make no difference."""
        vectors = vectors_with(blocks(6, 6, between=0.5))
        graph = neighbour_graph(vectors)
        spec = models.get("clusterer", "chinese-whispers")
        clusterer = models.load(spec, options=ClusterOptions(calibration=CALIBRATION, seed=3))
        labels = clusterer.fit(
            Album(vectors, np.zeros(12, np.int64), np.zeros(12, bool), graph, np.arange(12) % 2, size=12)
        )
        np.testing.assert_array_equal(labels, chinese_whispers(graph, seed=3))

    def test_same_seed_same_labels(self) -> None:
        vectors, _ = long_tail(9)
        first = fit_album(vectors, algorithm="chinese-whispers", seed=4)
        np.testing.assert_array_equal(first, fit_album(vectors, algorithm="chinese-whispers", seed=4))

    @pytest.mark.parametrize(
        ("algorithm", "name"), [("chinese-whispers", "Chinese Whispers"), ("album", "Clustering an album")]
    )
    def test_missing_and_unused_options_are_errors(self, algorithm: str, name: str) -> None:
        spec = models.get("clusterer", algorithm)
        with pytest.raises(UsageError, match=f"{name} finds the number .* does not use `k`"):
            models.load(spec, options=ClusterOptions(k=3, calibration=CALIBRATION))
        with pytest.raises(ValueError, match=f"{name} needs a calibration or a threshold"):
            models.load(spec, options=ClusterOptions())
        face = np.eye(1, 4, dtype=np.float32)
        album = Album(face, np.zeros(1, np.int64), np.ones(1, bool), None, np.full(1, -1), size=1)
        with pytest.raises(ValueError, match="needs a graph"):
            models.load(spec, options=ClusterOptions(threshold=0.5)).fit(album)
