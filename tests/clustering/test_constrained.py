"""The default clusterer uses what the user said, and the clusters of an index satisfy it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up_constraints import constraints
from synthetic_faces import CALIBRATION, neighbour_graph, people_of, same_partition

from faceindex import models
from faceindex.clustering import Album, Clusterer, ClusterOptions
from faceindex.clustering.assigning import assign_shared_photos
from faceindex.clustering.constrained import (
    ClusterConstraints,
    consistent_copies,
    constrain_edges,
    contract,
    possible,
)
from faceindex.clustering.constraints import Constraints, resolve, violations
from faceindex.clustering.graph import GRAPH_FLOOR, graph_from_edges
from faceindex.clustering.incremental import cluster_faces
from faceindex.clustering.merging import merge_clusters
from faceindex.clustering.same_photo import PhotoGroups
from faceindex.metrics import bcubed
from faceindex.store.records import Assignments
from faceindex.types import F32, I64


def make_table(n: int) -> Assignments:
    return Assignments(
        face=np.arange(1, n + 1),
        row=np.arange(n),
        photo=np.arange(n),
        sharpness=np.full(n, 0.3, np.float32),
        quality=np.ones(n, np.float32),
        cluster=np.full(n, -1),
        similarity=np.full(n, np.nan, np.float32),
    )


def random_album(n: int, people: int, seed: int) -> F32:
    """Return the vectors of n faces; a third of them are strangers with one photo."""
    rng = np.random.default_rng(seed)
    truth = np.where(np.arange(n) % 3, np.arange(n) % people, people + np.arange(n))
    return people_of(rng.permutation(truth), seed, within=0.6)


def cluster(
    vectors: F32,
    said: Constraints | None,
    *,
    algorithm: str = "album",
    min_size: int = 2,
    k: int | None = None,
) -> I64:
    options = ClusterOptions(calibration=CALIBRATION, k=k)
    clusterer: Clusterer = models.load(models.get("clusterer", algorithm), options=options)
    return cluster_faces(
        make_table(len(vectors)),
        vectors,
        clusterer,
        options,
        min_size=min_size,
        previous=None,
        started_over=True,
        constraints=said,
    ).labels


class TestEdges:
    def test_faces_of_one_person_have_a_positive_edge(self) -> None:
        graph = graph_from_edges(
            5, np.array([0, 0, 1, 2]), np.array([1, 2, 2, 3]), np.array([-3, -2, 9, -1], np.float32)
        )
        known = resolve(constraints(5, {0: 7, 1: 7, 2: 8}, same=[(3, 4)]))
        found = constrain_edges(graph, known)
        edges = {
            (i, int(found.indices[e])): float(found.weights[e])
            for i in range(5)
            for e in range(found.indptr[i], found.indptr[i + 1])
        }
        assert edges[0, 1] == edges[1, 0] > 0
        assert edges[3, 4] == edges[4, 3] > 0
        assert (edges[0, 2], edges[2, 1], edges[3, 2]) == (-2, 9, -1)
        assert graph.weights.min() == -3  # not changed in place


class TestClusters:
    known = resolve(
        constraints(
            8,
            {0: 5, 2: 6},
            rejected=[(4, 6)],
            different=[(4, 6)],
            taken={1: 1.0, 6: 3.0, 7: 9.0},
            born={5: 2.0, 6: 4.0},
        )
    )
    codes = np.array([0, 0, 1, 1, 2, 2, 3, 4])

    def test_constraints_on_faces_are_constraints_on_clusters(self) -> None:
        found = ClusterConstraints.build(self.codes, self.known)
        assert found.person.tolist() == [5, 6, -1, -1, -1]
        assert found.born.tolist() == [2, 4, -np.inf, -np.inf, -np.inf]
        assert found.taken.tolist() == [1, np.inf, np.inf, 3, 9]
        assert found.apart.tolist() == [[1, 2], [2, 1], [2, 3], [3, 2]]

    @pytest.mark.parametrize(
        ("face", "cluster", "expected"),
        [
            (0, 1, False),  # labels of two people
            (0, 2, True),
            (2, 2, False),  # a face there is rejected from its person
            (2, 3, False),  # a face there is older than its person
            (2, 4, True),
            (3, 0, True),
            (4, 1, False),  # rejected
            (4, 0, True),
            (4, 3, False),  # different
            (6, 2, False),
            (6, 0, True),
            (6, 1, False),  # taken before the birth
            (7, 1, True),
        ],
    )
    def test_a_face_may_join_a_cluster_that_it_does_not_contradict(
        self, face: int, cluster: int, expected: bool
    ) -> None:
        assert possible(np.array([face]), np.array([cluster]), self.codes, self.known).tolist() == [expected]

    @pytest.mark.parametrize(
        "said",
        [
            constraints(24, {0: 1, 6: 2}),
            constraints(24, {0: 1, 18: 2}),
            constraints(24, {0: 1}, rejected=[(6, 1)]),
            constraints(24, different=[(0, 6)]),
            constraints(24, {0: 1}, taken={6: 1.0}, born={1: 2.0}),
        ],
    )
    def test_clusters_of_two_people_are_not_merged(self, said: Constraints) -> None:
        """Four parts of one person, for the program."""
        vectors = people_of(np.zeros(24), 0, within=0.7)
        labels, graph = np.repeat(np.arange(4), 6), neighbour_graph(vectors)
        groups = PhotoGroups.build(np.arange(24))

        def merged(known: Constraints | None) -> I64:
            return merge_clusters(vectors, labels, graph, groups, CALIBRATION, 0.0, known=known)

        assert len(np.unique(merged(None))) == 1
        found = merged(resolve(said))
        assert len(np.unique(found)) == 2
        assert violations(found, said) == []

    def test_a_labelled_face_stays_when_a_photo_is_assigned(self) -> None:
        truth = np.repeat(np.arange(2), 8)
        vectors, photos = people_of(truth, 0, within=0.7), np.tile(np.arange(8), 2)
        wrong = truth.copy()
        wrong[[0, 8]] = 1, 0  # on one photo
        graph, groups = neighbour_graph(vectors), PhotoGroups.build(photos)
        arguments = wrong, graph, graph, groups, GRAPH_FLOOR
        assert same_partition(assign_shared_photos(*arguments), truth)
        found = assign_shared_photos(*arguments, resolve(constraints(16, {0: 4})))
        assert found[0] == found[9] != found[8]


class TestCopies:
    def test_contradictory_copies_are_not_contracted(self) -> None:
        first = np.array([0, 0, 2, 2, 4, 4, 6, 6])
        known = resolve(
            constraints(8, {0: 1, 1: 2, 2: 1, 6: 3}, rejected=[(3, 1), (5, 1)], different=[(4, 5)])
        )
        assert consistent_copies(first, known).tolist() == [0, 1, 2, 3, 4, 5, 6, 6]

    def test_what_was_said_about_a_copy_counts(self) -> None:
        first = np.array([0, 0, 2, 2, 4, 4])
        known = resolve(constraints(6, {1: 3}, rejected=[(3, 3)], same=[(3, 5)], taken={2: 1.0}))
        kept, place = np.unique(first, return_inverse=True)
        found = contract(known, kept, place)
        assert found.person.tolist() == [3, -1, -1]
        assert found.rejected.tolist() == [[1, 3], [2, 3]]
        assert found.same.tolist() == [[1, 2]]

    @pytest.mark.parametrize("labels", [{0: 1}, {24: 1}, {0: 1, 24: 2}])
    def test_an_album_in_two_folders(self, labels: dict[int, int]) -> None:
        truth = np.repeat(np.arange(3), 8)
        vectors = np.tile(people_of(truth, 0, within=0.6), (2, 1))
        said = constraints(48, labels, rejected=[(1, 1)])
        found = cluster(vectors, said)
        assert violations(found, said) == []
        assert bcubed(found, np.tile(truth, 2)).f > 0.9


class TestIndex:
    @pytest.mark.parametrize(("algorithm", "k"), [("album", None), ("chinese-whispers", None), ("kmeans", 5)])
    def test_every_clusterer_satisfies_the_constraints(self, algorithm: str, k: int | None) -> None:
        vectors = random_album(90, 5, 0)
        rng = np.random.default_rng(0)
        some = rng.choice(90, 20, replace=False)
        said = constraints(
            90,
            dict(zip(some.tolist(), rng.integers(0, 4, 20).tolist(), strict=True)),
            nobody=[5, 6],
            rejected=[(face, 1) for face in range(0, 90, 7)],
            same=[(7, 8), (20, 40)],
            different=[(9, 10), (30, 60)],
        )
        found = cluster(vectors, said, algorithm=algorithm, k=k)
        assert violations(found, said) == []
        assert found[(said.person >= 0) & ~said.nobody].min() >= 0

    @pytest.mark.parametrize("algorithm", ["album", "chinese-whispers"])
    def test_nothing_said_changes_nothing(self, algorithm: str) -> None:
        vectors = random_album(120, 6, 1)
        plain = cluster(vectors, None, algorithm=algorithm)
        np.testing.assert_array_equal(cluster(vectors, Constraints.empty(120), algorithm=algorithm), plain)

    def test_true_labels_and_rejections_improve_the_clusters(self) -> None:
        """Two siblings."""
        truth = np.repeat(np.arange(2), 20)
        vectors = people_of(truth, 3, within=0.62, alike=0.5)
        before = cluster(vectors, None)
        assert len(np.unique(before)) == 1
        few = {0: 0, 5: 0, 10: 0, 20: 1, 25: 1, 30: 1}
        others = np.setdiff1d(np.arange(40), list(few))
        found = cluster(vectors, constraints(40, few))
        assert bcubed(found[others], truth[others]).f > bcubed(before[others], truth[others]).f + 0.1

    def test_a_labelled_face_has_a_cluster_however_small(self) -> None:
        vectors = people_of(np.array([0, 0, 0, 0, 1, 2, 2]), 0)
        assert cluster(vectors, None, min_size=3).tolist() == [0, 0, 0, 0, -1, -1, -1]
        found = cluster(vectors, constraints(7, {4: 3, 5: 6}), min_size=3)
        assert found.tolist() == [0, 0, 0, 0, 2, 1, 1]
        found = cluster(vectors, constraints(7, {4: 3, 0: 3}), min_size=3)
        assert found.tolist() == [0, 0, 0, 0, 0, -1, -1]  # of the same person


def test_plug_ins_need_not_use_the_constraints() -> None:
    vectors = random_album(40, 4, 2)
    n = len(vectors)
    album = Album(vectors, np.arange(n), np.ones(n, bool), neighbour_graph(vectors), np.full(n, -1), n)
    options = ClusterOptions(calibration=CALIBRATION)
    clusterer: Clusterer = models.load(models.get("clusterer", "chinese-whispers"), options=options)
    constrained = replace(album, constraints=constraints(n, {0: 1, 1: 2}))
    np.testing.assert_array_equal(clusterer.fit(album), clusterer.fit(constrained))
