"""The faces of a photo are assigned to clusters together."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from synthetic_faces import Edge, make_graph

from faceindex.clustering.assigning import assign_shared_photos
from faceindex.clustering.joining import MAX_BIAS, TOGETHER
from faceindex.clustering.same_photo import PhotoGroups

FLOOR = -4.0
SIZE = 10  # faces of each settled cluster, alone on their photos


def assign(
    weights: list[list[float]],
    inside: list[int] | None = None,
    copies: list[tuple[int, int]] | None = None,
    clusters: int = 3,
) -> list[int]:
    """Assign the faces of one photo.

    Parameters
    ----------
    weights : list of list of float
        Log-odds of each face with all faces of each cluster; those of `FLOOR` are no edges.
    inside : list of int, optional
        The cluster of each face before; -1 for a cluster of its own. None means -1 for all.
    copies : list of (int, int), optional
        Pairs of faces that are copies.

    Returns
    -------
    list of int
        The cluster of each face after, -1 for a cluster of its own. The last cluster is that of the last
        `SIZE` faces.
    """
    count, first = len(weights), clusters * SIZE
    labels = np.concatenate([np.repeat(np.arange(clusters), SIZE), 100 + np.arange(count)])
    for face, cluster in enumerate(inside or []):
        if cluster >= 0:
            labels[first + face] = cluster
    photos = np.concatenate([np.arange(first), np.full(count, 777)])
    edges: list[Edge] = [
        (cluster * SIZE + member, first + face, weight)
        for face, row in enumerate(weights)
        for cluster, weight in enumerate(row)
        for member in range(SIZE)
        if weight > FLOOR
    ]
    pairs = [(a, b, 9.0) for a, b in copies or []]
    graph = make_graph(first + count, [*edges, *((first + a, first + b, weight) for a, b, weight in pairs)])
    found = assign_shared_photos(labels, graph, graph, PhotoGroups.build(photos), FLOOR)
    names = {int(found[cluster * SIZE]): cluster for cluster in range(clusters)}
    assert len(names) == clusters
    np.testing.assert_array_equal(found[:first], np.repeat(found[:first:SIZE], SIZE))
    own = [int(label) for label in found[first:] if int(label) not in names]
    assert len(set(own)) == len(own)
    return [names.get(int(label), -1) for label in found[first:]]


NO = FLOOR


def bias(inside: int, total: int) -> float:
    return float(np.clip(np.log((inside + 1) / (total - inside + 1)), 0, MAX_BIAS))


class TestOnePhoto:
    def test_faces_move_to_their_best_clusters(self) -> None:
        assert assign([[5, 1, NO], [NO, 2, 4], [NO, 6, 5]]) == [0, 2, 1]

    def test_the_sum_decides_if_a_cluster_is_best_for_two(self) -> None:
        assert assign([[6, 5, NO], [6, 1, NO]]) == [1, 0]
        assert assign([[6, 5, NO], [6, 5.5, NO]]) == [0, 1]
        assert assign([[6, NO, NO], [5, NO, NO], [NO, 2, 0]]) == [0, -1, 1]

    def test_all_faces_may_change_places(self) -> None:
        assert assign([[NO, 5, NO], [NO, NO, 5], [5, NO, NO]], inside=[0, 1, 2]) == [1, 2, 0]

    def test_little_evidence_is_no_reason_to_move(self) -> None:
        assert assign([[3, 3.4, NO], [NO, NO, 2]], inside=[0, 2]) == [0, 2]
        assert assign([[3, 3.6, NO], [NO, NO, 2]], inside=[0, 2]) == [1, 2]

    def test_evidence_below_zero_is_no_reason_to_join(self) -> None:
        last = -bias(30, 32)
        assert assign([[last + 0.05, NO, NO], [NO, last - 0.05, NO]]) == [0, -1]

    @pytest.mark.parametrize("seed", range(15))
    def test_the_sum_is_the_greatest(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        faces, clusters = 5, 4
        weights = np.round(rng.uniform(-1, 6, (faces, clusters)), 3)
        found = assign(weights.tolist(), clusters=clusters)
        used = [cluster for cluster in found if cluster >= 0]
        assert len(set(used)) == len(used)
        evidence = np.maximum(weights + bias(40, 45), 0)  # below 0 a face is in no cluster
        total = sum(evidence[face, cluster] for face, cluster in enumerate(found) if cluster >= 0)
        best = max(
            sum(evidence[face, cluster] for cluster, face in enumerate(chosen))
            for chosen in permutations(range(faces), clusters)
        )
        assert total == pytest.approx(best, abs=1e-4)


class TestCopies:
    def test_copies_move_together(self) -> None:
        weights = [[4.0, 3, NO], [4.0, 3, NO], [6, NO, NO]]
        assert assign(weights, copies=[(0, 1)]) == [1, 1, 0]
        assert assign([*weights[:2], [-1.5, NO, NO]], copies=[(0, 1)]) == [0, 0, -1]
        assert sorted(assign(weights[:2])) == [0, 1]

    def test_the_clearest_of_the_copies_decides(self) -> None:
        assert assign([[1, NO, NO], [NO, 4, NO]], copies=[(0, 1)]) == [1, 1]
        assert assign([[1, NO, NO], [1, 4, NO], [5, NO, NO]], copies=[(0, 1)]) == [1, 1, 0]

    @pytest.mark.parametrize("chain", [[(0, 1), (1, 2)], [(0, 2), (1, 2)], [(0, 1), (0, 2)]])
    def test_copies_of_copies_are_copies(self, chain: list[tuple[int, int]]) -> None:
        assert assign([[4, NO, NO], [4, NO, NO], [4, NO, NO], [2, NO, NO]], copies=chain) == [0, 0, 0, -1]

    def test_copies_that_are_left_over_return_together(self) -> None:
        assert assign([[NO, NO, NO], [NO, NO, NO]], inside=[0, 0], copies=[(0, 1)]) == [0, 0]


class TestLeftOver:
    def test_a_face_returns_to_its_cluster(self) -> None:
        assert assign([[NO, NO, NO], [NO, 5, NO]], inside=[0, -1]) == [0, 1]

    def test_unless_another_face_took_it(self) -> None:
        assert assign([[NO, NO, NO], [5, NO, NO]], inside=[0, -1]) == [-1, 0]

    def test_two_faces_in_one_cluster_are_separated(self) -> None:
        assert assign([[2, NO, NO], [1, NO, NO]], inside=[0, 0]) == [0, -1]

    def test_a_mirror_with_strong_evidence_stays(self) -> None:
        last = TOGETHER - bias(32, 32) - 0.5
        for above, expected in ((0.05, 0), (-0.05, -1)):
            assert assign([[9, NO, NO], [last + above, NO, NO]], inside=[0, 0]) == [0, expected]


def test_without_shared_photos_labels_are_returned_as_they_are() -> None:
    labels = np.array([5, 5, 5, 5, 5, 5, 2])
    graph = make_graph(7, [(0, 6, 9.0)])
    assert assign_shared_photos(labels, graph, graph, PhotoGroups.build(np.arange(7)), FLOOR) is labels


def test_photos_are_independent() -> None:
    """Two photos: on one the same cluster is best for both faces, on the other not."""
    labels = np.array([0] * 10 + [1] * 10 + [2, 3, 4, 5])
    photos = np.array([*range(20), 50, 50, 60, 60])
    evidence = [(20, 0, 6.0), (20, 1, 5.0), (21, 0, 6.0), (22, 0, 6.0), (22, 1, 5.0), (23, 1, 6.0)]
    edges = [(10 * cluster + i, face, weight) for face, cluster, weight in evidence for i in range(10)]
    graph = make_graph(24, edges)
    found = assign_shared_photos(labels, graph, graph, PhotoGroups.build(photos), FLOOR)
    assert found.tolist() == [0] * 10 + [1] * 10 + [1, 0, 0, 1]


def test_clusters_that_are_not_settled_gain_no_face() -> None:
    labels = np.array([0] * 4 + [1, 2])
    graph = make_graph(6, [(i, face, 9.0) for i in range(4) for face in (4, 5)])
    groups = PhotoGroups.build(np.array([0, 1, 2, 3, 9, 9]))
    assert assign_shared_photos(labels, graph, graph, groups, FLOOR).tolist() == labels.tolist()
