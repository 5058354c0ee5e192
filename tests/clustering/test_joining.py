"""Faces that join settled clusters: prior, evidence, faces on one photo."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike
from synthetic_faces import make_graph

from faceindex.clustering.joining import (
    MAX_BIAS,
    SETTLED,
    TOGETHER,
    find_candidates,
    join_settled,
    settled_bias,
)
from faceindex.clustering.same_photo import PhotoGroups
from faceindex.types import Graph

FLOOR = -4.0


def join(labels: ArrayLike, graph: Graph, photos: ArrayLike | None = None, competed: Graph | None = None):
    labels = np.asarray(labels, np.int64)
    groups = PhotoGroups.build(np.arange(len(labels)) if photos is None else np.asarray(photos))
    return join_settled(labels, graph, graph if competed is None else competed, groups, FLOOR).tolist()


def links(face: int, members: range, weight: float) -> list[tuple[int, int, float]]:
    return [(member, face, weight) for member in members]


BIAS = np.log((SETTLED + 1) / 2)  # of one face beside a settled cluster of the least size


class TestOneFace:
    LABELS = [0] * SETTLED + [1]

    def test_even_odds_are_lower_than_those_of_the_graph(self) -> None:
        for above, expected in ((0.05, 0), (-0.05, 1)):
            graph = make_graph(SETTLED + 1, links(SETTLED, range(3), -BIAS + above))
            assert join(self.LABELS, graph) == [0] * SETTLED + [expected]

    def test_three_faces_count_and_pairs_without_an_edge_have_the_floor(self) -> None:
        last = (-FLOOR - 3 * BIAS) / 2  # the weight of two edges that is neutral if the third is missing
        for above, expected in ((0.05, 0), (-0.05, 1)):
            graph = make_graph(SETTLED + 1, links(SETTLED, range(2), last + above))
            assert join(self.LABELS, graph) == [0] * SETTLED + [expected]

    def test_only_the_greatest_three_count(self) -> None:
        edges = [*links(SETTLED, range(2), -3.9), *links(SETTLED, range(2, SETTLED), -BIAS + 0.05)]
        assert join(self.LABELS, make_graph(SETTLED + 1, edges)) == [0] * (SETTLED + 1)

    def test_a_cluster_that_is_not_settled_is_not_joined(self) -> None:
        n = SETTLED - 1
        assert join([0] * n + [1], make_graph(n + 1, links(n, range(n), 3.0))) == [0] * n + [1]

    def test_members_of_settled_clusters_stay(self) -> None:
        labels = [0] * SETTLED + [1] * SETTLED
        graph = make_graph(2 * SETTLED, links(SETTLED, range(SETTLED), 9.0))
        assert join(labels, graph) == labels

    def test_a_face_leaves_a_small_cluster(self) -> None:
        labels = [4] * SETTLED + [7] * 3
        graph = make_graph(SETTLED + 3, links(SETTLED, range(SETTLED), 2.0))
        found = join(labels, graph)
        assert found[: SETTLED + 1] == [0] * (SETTLED + 1)
        assert found[SETTLED + 1 :] == [1, 1]

    def test_the_prior_is_limited(self) -> None:
        many = 200
        for weight, expected in ((-MAX_BIAS + 0.05, 0), (-MAX_BIAS - 0.05, 1)):
            graph = make_graph(many + 1, links(many, range(3), weight))
            groups = PhotoGroups.build(np.arange(many + 1))
            found = join_settled(np.array([0] * many + [1]), graph, graph, groups, -9.0)
            assert found[many] == expected

    @pytest.mark.parametrize("n", [0, 1, 3])
    def test_few_faces(self, n: int) -> None:
        assert join(range(n), make_graph(n, [])) == list(range(n))


class TestPhotos:
    LABELS = [0] * SETTLED + [1, 2]
    PHOTOS = (*range(SETTLED), 99, 99)

    @staticmethod
    def graph(one: float, other: float, *more: tuple[int, int, float]) -> Graph:
        return make_graph(
            SETTLED + 2,
            [*links(SETTLED, range(SETTLED), one), *links(SETTLED + 1, range(SETTLED), other), *more],
        )

    def test_the_stronger_one_joins(self) -> None:
        assert join(self.LABELS, self.graph(2.0, 1.0), self.PHOTOS)[SETTLED:] == [0, 2]
        assert join(self.LABELS, self.graph(1.0, 2.0), self.PHOTOS)[SETTLED:] == [1, 0]
        assert join(self.LABELS, self.graph(1.0, 2.0))[SETTLED:] == [0, 0]

    def test_strong_evidence_outweighs_the_photo(self) -> None:
        bias = np.log((SETTLED + 1) / 3)
        for above, expected in ((0.05, 0), (-0.05, 2)):
            graph = self.graph(9.0, TOGETHER - bias + above)
            assert join(self.LABELS, graph, self.PHOTOS)[SETTLED:] == [0, expected]

    def test_a_member_on_the_photo_counts_too(self) -> None:
        photos = [99, *range(SETTLED + 1)]
        photos[SETTLED] = 99
        competed = self.graph(-10.0, 2.0)
        assert join(self.LABELS, self.graph(2.0, 2.0), photos, competed)[SETTLED:] == [1, 0]

    def test_copies_join_together(self) -> None:
        edge = (SETTLED, SETTLED + 1, 8.0)
        apart = (SETTLED, SETTLED + 1, -10.0)
        graph = self.graph(2.0, 1.0, edge)
        assert join(self.LABELS, graph, self.PHOTOS, self.graph(2.0, 1.0, edge))[SETTLED:] == [0, 0]
        assert join(self.LABELS, graph, self.PHOTOS, self.graph(2.0, 1.0, apart))[SETTLED:] == [0, 2]

    def test_faces_on_the_same_photo_are_no_evidence_unless_they_are_copies(self) -> None:
        labels = [0] * SETTLED + [1]
        photos = [8, 8, 8, 1, 2, 8]
        assert len(photos) == len(labels)
        edges = links(SETTLED, range(3), 30.0)
        for weight, expected in ((-10.0, 1), (30.0, 0)):
            competed = make_graph(SETTLED + 1, links(SETTLED, range(3), weight))
            assert join(labels, make_graph(SETTLED + 1, edges), photos, competed)[SETTLED] == expected


@pytest.mark.parametrize("top", [1, 3, 8])
@pytest.mark.parametrize("seed", range(8))
def test_candidates_agree_with_the_definition(seed: int, top: int) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    codes = np.unique(rng.choice(20, n, p=np.arange(1, 21) / 210), return_inverse=True)[1]
    sizes = np.bincount(codes)
    photos = rng.integers(0, 40, n)
    edges = [(i, j, float(rng.normal(0, 3))) for i in range(n) for j in range(i) if rng.random() < 0.6]
    edges = [edge for edge in edges if edge[2] > FLOOR]
    signs = [(i, j, float(rng.choice([-1.0, 1.0], p=[0.8, 0.2]))) for i, j, _ in edges]
    graph, competed = make_graph(n, edges), make_graph(n, signs)
    movable = rng.random(n) < 0.7
    groups = PhotoGroups.build(photos)
    bias = settled_bias(sizes, n)
    found = find_candidates(codes, sizes, movable, graph, competed, groups, top=top, floor=FLOOR, bias=bias)

    inside = sizes[sizes >= SETTLED].sum()
    assert bias == pytest.approx(np.clip(np.log((inside + 1) / (n - inside + 1)), 0, MAX_BIAS))
    expected = {}
    for i in np.flatnonzero(movable).tolist():
        row = slice(graph.indptr[i], graph.indptr[i + 1])
        for cluster in np.flatnonzero(sizes >= SETTLED).tolist():
            counts = [
                float(weight)
                for j, weight, copies in zip(
                    graph.indices[row], graph.weights[row], competed.weights[row] > 0, strict=True
                )
                if codes[j] == cluster and (copies or photos[j] != photos[i])
            ]
            number = min(top, sizes[cluster] - (codes[i] == cluster))
            best = (sorted(counts, reverse=True) + [FLOOR] * number)[:number]
            evidence = float(np.mean(best)) + bias
            if counts and evidence > 0:
                expected[i, cluster] = evidence
    pairs = list(zip(found.face.tolist(), found.cluster.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert [face for face, _ in pairs] == sorted(face for face, _ in pairs)
    assert set(pairs) == set(expected)
    np.testing.assert_allclose(found.evidence, [expected[pair] for pair in pairs], atol=1e-5)
