"""Merging clusters: two halves of a person merge, two people who resemble each other do not."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_faces import (
    CALIBRATION,
    blocks,
    make_graph,
    neighbour_graph,
    people_of,
    same_partition,
    vectors_with,
)

from faceindex.clustering import merging
from faceindex.clustering.graph import graph_from_edges
from faceindex.clustering.merging import merge_clusters
from faceindex.clustering.same_photo import PhotoGroups, compete
from faceindex.clustering.strangers import COPIES, stranger_similarity
from faceindex.types import F32, I64, Graph

STRANGERS = stranger_similarity(CALIBRATION)


def merge(vectors: F32, labels: I64, photos: I64 | None = None, graph: Graph | None = None) -> I64:
    groups = PhotoGroups.build(np.arange(len(labels)) if photos is None else photos)
    graph = neighbour_graph(vectors) if graph is None else graph
    return merge_clusters(vectors, labels, graph, groups, CALIBRATION, STRANGERS)


def two(within: float, between: float, n: int = 6) -> tuple[F32, I64]:
    return vectors_with(blocks(n, n, within=within, between=between)), np.repeat([0, 1], n)


def reference(vectors: F32, labels: I64, graph: Graph, photos: I64) -> I64:
    """Merge one pair after another; compute everything anew each time, by the definition."""
    labels = labels.copy()
    prior = np.log(max((np.unique(labels, return_counts=True)[1] > 1).sum(), 1))
    similarity = vectors.astype(np.float64) @ vectors.T
    linked = np.zeros(similarity.shape, bool)
    copies = np.zeros(similarity.shape, bool)
    for i in range(len(labels)):
        row = slice(graph.indptr[i], graph.indptr[i + 1])
        linked[i, graph.indices[row]] = True
        copies[i, graph.indices[row]] = graph.weights[row] > 0
    together = (photos[:, None] == photos) & ~copies
    single = np.isin(labels, np.flatnonzero(np.bincount(labels) == 1))
    together[single] = together[:, single] = False

    def inside(a: I64) -> float:
        return float((similarity[np.ix_(a, a)].sum() - len(a)) / (len(a) * (len(a) - 1)))

    while True:
        best, pair = 0.0, None
        ids = [c for c in np.unique(labels) if (labels == c).sum() > 1]
        for one in ids:
            for other in ids:
                a, b = np.flatnonzero(labels == one), np.flatnonzero(labels == other)
                if one >= other or not linked[np.ix_(a, b)].any():
                    continue
                average = similarity[np.ix_(a, b)].mean()
                spread = np.sqrt(max(inside(a) - STRANGERS, 1e-6) * max(inside(b) - STRANGERS, 1e-6))
                likeness = (average - STRANGERS) / spread
                evidence = CALIBRATION.slope * (average - CALIBRATION.midpoint)
                score = (
                    merging._LIKENESS * (likeness - merging._EVEN_LIKENESS)
                    + merging._EVIDENCE * evidence
                    - merging._PRIOR * prior
                    - merging._TOGETHER * together[np.ix_(a, b)].sum() / min(len(a), len(b))
                )
                if evidence > 0 and score > best:
                    best, pair = score, (one, other)
        if pair is None:
            return labels
        labels[labels == pair[1]] = pair[0]


def test_two_halves_of_a_person_with_different_photos_merge() -> None:
    vectors, labels = two(within=0.5, between=0.47)
    assert len(set(merge(vectors, labels).tolist())) == 1


def test_two_people_of_the_same_average_similarity_do_not_merge() -> None:
    vectors, labels = two(within=0.8, between=0.47)
    assert same_partition(merge(vectors, labels), labels)


def test_below_the_midpoint_nothing_merges() -> None:
    for within, merged in ((0.39, True), (0.37, False)):
        vectors, labels = two(within=within, between=within)
        assert (len(set(merge(vectors, labels).tolist())) == 1) == merged


class TestPhotos:
    @staticmethod
    def shared(count: int) -> I64:
        """Photos of two clusters of 6 faces: `count` photos show one face of each."""
        photos = np.arange(12)
        photos[6 : 6 + count] = photos[:count]
        return photos

    @pytest.mark.parametrize(("count", "clusters"), [(0, 1), (1, 1), (6, 2)])
    def test_shared_photos_are_weighed(self, count: int, clusters: int) -> None:
        vectors, labels = two(within=0.5, between=0.45)
        photos = self.shared(count)
        graph = compete(neighbour_graph(vectors), PhotoGroups.build(photos), COPIES)
        assert len(set(merge(vectors, labels, photos, graph).tolist())) == clusters

    @pytest.mark.parametrize("sizes", [(12, 3), (3, 12)])
    def test_they_are_weighed_by_the_smaller_cluster(self, sizes: tuple[int, int]) -> None:
        vectors = vectors_with(blocks(*sizes, within=0.5, between=0.45))
        labels = np.repeat([0, 1], sizes)
        photos = np.arange(15)
        assert len(set(merge(vectors, labels, photos).tolist())) == 1
        photos[-3:] = photos[:3]
        graph = compete(neighbour_graph(vectors), PhotoGroups.build(photos), COPIES)
        assert len(set(merge(vectors, labels, photos, graph).tolist())) == 2

    @pytest.mark.parametrize(("weight", "clusters"), [(15.0, 1), (-10.0, 2)])
    def test_copies_do_not_count(self, weight: float, clusters: int) -> None:
        vectors, labels = two(within=0.5, between=0.45)
        graph = make_graph(12, [(i, i + 6, weight) for i in range(6)])
        assert len(set(merge(vectors, labels, self.shared(6), graph).tolist())) == clusters

    def test_pairs_without_an_edge_are_no_copies(self) -> None:
        vectors, labels = two(within=0.5, between=0.45)
        graph = make_graph(12, [(0, 11, 1.0)])
        assert len(set(merge(vectors, labels, self.shared(6), graph).tolist())) == 2
        assert len(set(merge(vectors, labels, self.shared(0), graph).tolist())) == 1


def test_clusters_without_an_edge_are_not_compared() -> None:
    vectors, labels = two(within=0.5, between=0.47)
    inside = make_graph(12, [(0, 1, 1.0), (6, 7, 1.0)])
    np.testing.assert_array_equal(merge(vectors, labels, graph=inside), labels)


def test_single_faces_are_left() -> None:
    vectors = vectors_with(blocks(3, 1, 1, within=0.6, between=0.6))
    labels = np.array([4, 4, 4, 9, 2])
    assert same_partition(merge(vectors, labels), labels)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_faces(n: int) -> None:
    vectors = np.eye(3, dtype=np.float32)[:n]
    assert merge(vectors, np.arange(n)).tolist() == list(range(n))


def test_a_merged_cluster_is_scored_anew() -> None:
    """B is like A and C, which are strangers: it joins the one that it is more like."""
    matrix = blocks(4, 4, 4, within=0.55, between=0.05)
    matrix[:4, 4:8] = matrix[4:8, :4] = 0.54
    matrix[4:8, 8:] = matrix[8:, 4:8] = 0.52
    values, basis = np.linalg.eigh(matrix)
    vectors = np.asarray(basis * np.sqrt(np.maximum(values, 0)), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    merged = merge(vectors, np.repeat([0, 1, 2], 4))
    assert same_partition(merged, np.repeat([0, 0, 2], 4))
    assert same_partition(merge(vectors[4:], np.repeat([0, 1], 4)), np.zeros(8))


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, 70)
    vectors = people_of(truth, seed, within=0.45, alike=0.1)
    labels = truth * 8 + rng.integers(0, 5, 70)  # some clusters have one face
    photos = rng.integers(0, 50, 70)
    pairs = np.unique(np.sort(rng.integers(0, 70, (1500, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    graph = graph_from_edges(70, pairs[:, 0], pairs[:, 1], rng.normal(0, 3, len(pairs)).astype(np.float32))
    found = merge(vectors, labels, photos, graph)
    expected = reference(vectors, labels, graph, photos)
    assert same_partition(found, expected)
    assert len(set(expected.tolist())) < len(set(labels.tolist()))
