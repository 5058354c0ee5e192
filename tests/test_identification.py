"""Identification on small matrices of similarities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from faceindex.identification import Judge, Match, Representatives, identify, shown_well
from faceindex.models import Calibration
from faceindex.types import F32, I64


class FakeSearch:
    """Exact search over a matrix: row q holds the similarities of query q to `ids`.

    A query is its row number, so that any subset may be asked for.
    """

    def __init__(self, similarities: ArrayLike, ids: ArrayLike) -> None:
        self.similarities = np.asarray(similarities, np.float32)
        self.ids = np.asarray(ids, np.int64)
        self.calls: list[tuple[list[int], int]] = []

    @property
    def queries(self) -> F32:
        return np.arange(len(self.similarities), dtype=np.float32)[:, None]

    def __call__(self, queries: F32, k: int) -> tuple[I64, F32]:
        which = queries[:, 0].astype(int)
        self.calls.append((which.tolist(), k))
        found = np.full((len(which), k), -1)
        values = np.full((len(which), k), -np.inf, np.float32)
        order = np.argsort(-self.similarities[which], axis=1, kind="stable")[:, :k]
        found[:, : order.shape[1]] = self.ids[order]
        values[:, : order.shape[1]] = np.take_along_axis(self.similarities[which], order, axis=1)
        return found, values


def match(
    search: FakeSearch,
    clusters: ArrayLike,
    *,
    faces: ArrayLike | None = None,
    threshold: float = 0.6,
    representatives: ArrayLike | None = None,
    neighbours: int = 5,
) -> list[Match]:
    table = search.ids if faces is None else np.asarray(faces, np.int64)
    return identify(
        search.queries,
        search,
        faces=table,
        clusters=np.asarray(clusters, np.int64),
        threshold=threshold,
        representatives=Representatives.of(
            np.asarray(clusters, np.int64),
            None if representatives is None else np.asarray(representatives, bool),
        ),
        neighbours=neighbours,
    )


def test_a_cluster_is_as_similar_as_its_three_most_similar_faces() -> None:
    # Cluster 2 has the most alike face, cluster 4 the most alike three.
    search = FakeSearch([[0.80, 0.79, 0.78, 0.1, 0.90, 0.6, 0.6]], [10, 11, 12, 13, 20, 21, 22])
    (answer,) = match(search, [4, 4, 4, 4, 2, 2, 2])
    assert answer.cluster == answer.nearest_cluster == 4
    assert answer.similarity == pytest.approx(0.79)
    assert answer.needed == pytest.approx(0.6)
    assert answer.margin == pytest.approx(0.09)


def test_only_representative_faces_count() -> None:
    search = FakeSearch([[0.9, 0.8, 0.7]], [1, 2, 3])
    (answer,) = match(search, [5, 5, 6], representatives=[False, True, True])
    assert answer.cluster == 5
    assert answer.similarity == pytest.approx(0.8)
    (answer,) = match(search, [5, 5, 6], representatives=[False, False, True])
    assert answer.cluster == 6
    assert answer.faces == [1, 2, 3]
    (answer,) = match(search, [5, 5, 6], representatives=[False, False, False])
    assert answer.nearest_cluster is None


def test_searches_further_when_a_cluster_may_have_more_faces() -> None:
    # One near face of a cluster whose others are far away must not be taken for three.
    rows = np.concatenate([[0.9], np.full(99, 0.7), [0.2, 0.1]])
    search = FakeSearch([rows], np.arange(102))
    clusters = np.concatenate([[1], np.full(99, 2), [1, 1]])
    (answer,) = match(search, clusters)
    assert answer.cluster == 2
    assert answer.similarity == pytest.approx(0.7)


def test_a_match_needs_at_least_the_threshold() -> None:
    search = FakeSearch([[0.5, 0.25], [0.75, 0.25], [0.74, 0.25]], [1, 2])
    answers = match(search, [3, 8], threshold=0.75)
    assert [answer.cluster for answer in answers] == [None, 3, None]
    assert [answer.nearest_cluster for answer in answers] == [3, 3, 3]
    assert answers[0].margin == pytest.approx(0.25)


def test_the_nearest_faces_are_returned_whatever_their_cluster() -> None:
    search = FakeSearch([[0.7, 0.9, 0.8, 0.7]], [5, 6, 7, 9])
    (answer,) = match(search, [0, -1, 1, 0], neighbours=3)
    assert answer.faces == [6, 7, 5]
    assert answer.similarities == pytest.approx([0.9, 0.8, 0.7])
    assert answer.cluster == 1
    assert answer.margin == pytest.approx(0.1)
    assert {type(face) for face in answer.faces} == {int}
    assert {type(similarity) for similarity in answer.similarities} == {float}


def test_without_clusters_the_nearest_faces_remain() -> None:
    search = FakeSearch([[0.7, 0.9]], [5, 6])
    (answer,) = match(search, [-1, -1])
    assert answer.cluster is None
    assert answer.nearest_cluster is None
    assert math.isnan(answer.similarity)
    assert math.isnan(answer.margin)
    assert answer.faces == [6, 5]
    assert len(search.calls) == 1


def test_a_single_cluster_has_no_runner_up() -> None:
    search = FakeSearch([np.linspace(0.9, 0.1, 100)], np.arange(100))
    (answer,) = match(search, np.zeros(100))
    assert answer.cluster == 0
    assert math.isnan(answer.margin)
    assert len(search.calls) == 1


def test_no_query_and_an_empty_index() -> None:
    assert match(FakeSearch(np.empty((0, 2)), [1, 2]), [0, 1]) == []
    answers = match(FakeSearch(np.empty((2, 0)), []), [])
    assert [(answer.cluster, answer.nearest_cluster, answer.faces) for answer in answers] == [
        (None, None, [])
    ] * 2


def test_looks_further_until_a_second_cluster_is_seen() -> None:
    # The nearest 200 faces of the first query are one person's; of the second the nearest ten only.
    n = 300
    rows = [np.linspace(0.9, 0.3, n), np.roll(np.linspace(0.9, 0.3, n), 190)]
    search = FakeSearch(rows, np.arange(n) + 50)
    clusters = np.where(np.arange(n) < 200, 7, 3)
    first, second = match(search, clusters)
    assert (first.cluster, second.cluster) == (7, 7)
    assert first.margin == pytest.approx(rows[0][:3].mean() - rows[0][200:203].mean(), abs=1e-6)
    assert second.margin == pytest.approx(rows[1][190:193].mean() - rows[1][200:203].mean(), abs=1e-6)
    assert search.calls[0][0] == [0, 1]
    assert all(who == [0] for who, _ in search.calls[1:])
    widths = [k for _, k in search.calls]
    assert widths == sorted(set(widths))
    assert len(widths) > 1


def test_looks_further_past_faces_in_no_cluster() -> None:
    n = 100
    clusters = np.full(n, -1)
    clusters[[90, 95]] = [1, 2]
    search = FakeSearch([np.linspace(0.9, 0.3, n)], np.arange(n))
    (answer,) = match(search, clusters, threshold=0.3)
    assert answer.cluster == 1
    assert answer.margin > 0
    assert search.calls[-1][1] >= n


def test_gives_up_at_a_bound() -> None:
    n = 10_000
    search = FakeSearch([np.linspace(0.9, 0.3, n)], np.arange(n))
    clusters = np.zeros(n)
    clusters[-1] = 1
    (answer,) = match(search, clusters)
    assert answer.cluster == 0
    assert math.isnan(answer.margin)
    assert search.calls[-1][1] < n


def test_faces_that_the_table_does_not_know_are_left_out() -> None:
    # 3, 6 and 99 were added by a writer since the table was read: below, within and above its ids.
    search = FakeSearch([[0.99, 0.6, 0.98, 0.8, 0.97]], [3, 5, 6, 8, 99])
    (answer,) = match(search, [0, 1], faces=[5, 8])
    assert answer.faces == [8, 5]
    assert answer.cluster == 1
    assert answer.margin == pytest.approx(0.2)


def test_new_faces_do_not_crowd_out_the_ones_of_the_table() -> None:
    # 100 faces that a writer has added since are all nearer than the three of the table.
    ids = np.arange(103)
    search = FakeSearch([np.where(ids < 3, 0.7 - ids / 10, 0.9)], ids)
    (answer,) = match(search, [4, 4, 5], faces=[0, 1, 2])
    assert (answer.cluster, answer.faces) == (4, [0, 1, 2])
    assert answer.margin == pytest.approx(0.15)


def test_as_many_neighbours_as_asked_for_although_new_faces_are_nearer() -> None:
    ids = np.arange(60)
    search = FakeSearch([np.where(ids < 30, 0.9, 0.7)], ids)
    (answer,) = match(search, np.arange(30), faces=np.arange(30, 60), neighbours=5)
    assert answer.faces == [30, 31, 32, 33, 34]


def test_padding_is_no_face() -> None:
    search = FakeSearch([[0.8, 0.7]], [0, 1])
    (answer,) = match(search, [4, 5, 6], faces=[0, 1, 2])  # the search finds fewer than there are
    assert answer.faces == [0, 1]
    assert answer.cluster == 4


def test_more_neighbours_than_the_first_look() -> None:
    n = 200
    search = FakeSearch([np.linspace(0.9, 0.3, n)], np.arange(n))
    (answer,) = match(search, np.arange(n), neighbours=150)
    assert len(answer.faces) == 150


class Album:
    """Faces with vectors and an exact search, as an index has them."""

    def __init__(self, vectors: F32, clusters: ArrayLike) -> None:
        self.vectors = vectors
        self.clusters = np.asarray(clusters, np.int64)
        self.read: list[int] = []

    def search(self, queries: F32, k: int) -> tuple[I64, F32]:
        products = queries @ self.vectors.T
        order = np.argsort(-products, axis=1)[:, :k]
        return order, np.take_along_axis(products, order, 1)

    def vectors_at(self, positions: I64) -> F32:
        self.read.append(len(positions))
        return self.vectors[positions]

    def match(
        self,
        queries: F32,
        *,
        threshold: float | None = None,
        quality: F32 | None = None,
        false_alarms: float = 0.01,
        people: dict[int, int] | None = None,
        left_out: list[set[int]] | None = None,
    ) -> list[Match]:
        return identify(
            queries,
            self.search,
            faces=np.arange(len(self.clusters)),
            clusters=self.clusters,
            threshold=threshold,
            judge=Judge(CALIBRATION, self.vectors_at, false_alarms),
            quality=quality,
            representatives=Representatives.of(self.clusters, people=people),
            left_out=left_out,
        )


CALIBRATION = Calibration(slope=36.0, midpoint=0.38, source="made up", strangers=-12.0, known=14.0, poor=7.0)


def people(number: int, each: int, seed: int = 0, noise: float = 0.07) -> tuple[F32, I64]:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(number), each)
    vectors = unit(rng.standard_normal((number, 128)))[codes] + noise * rng.standard_normal((len(codes), 128))
    return unit(vectors), codes


def unit(vectors: np.ndarray) -> F32:
    units: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units


def test_a_judge_names_known_people_and_no_strangers() -> None:
    vectors, codes = people(20, 9)
    probe = np.arange(len(codes)) % 9 == 0
    album = Album(vectors[~probe], codes[~probe])
    strangers, _ = people(200, 1, seed=1)
    known = album.match(vectors[probe])
    assert [answer.cluster for answer in known] == codes[probe].tolist()
    assert {answer.confidence for answer in known} <= {"certain", "likely"}
    assert all(answer.probability >= 0.8 and answer.false_alarm <= 0.01 for answer in known)
    assert all(answer.similarity >= answer.needed for answer in known)
    unknown = album.match(strangers)
    assert sum(answer.cluster is not None for answer in unknown) <= 2
    assert all(answer.similarity < answer.needed for answer in unknown if answer.cluster is None)
    assert all(answer.nearest_cluster is not None for answer in unknown)


def test_it_needs_more_the_stricter_it_is() -> None:
    vectors, codes = people(20, 9)
    album = Album(vectors[1:], codes[1:])
    needed = [album.match(vectors[:1], false_alarms=rate)[0].needed for rate in (0.05, 0.01, 0.001)]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]


def test_a_person_in_two_clusters_is_doubtful() -> None:
    vectors, codes = people(6, 20)
    halves = np.where((codes == 0) & (np.arange(len(codes)) % 2 == 1), 6, codes)
    album = Album(vectors[1:], halves[1:])
    (answer,) = album.match(vectors[:1])
    assert answer.cluster is None
    assert answer.nearest_cluster in (0, 6)
    assert answer.probability < 0.8
    whole = Album(vectors[1:], codes[1:]).match(vectors[:1])[0]
    assert (whole.cluster, whole.confidence) == (0, "certain")


def test_a_constant_threshold_decides_alone_but_the_probability_stays() -> None:
    vectors, codes = people(8, 6)
    stranger, _ = people(1, 1, seed=5)
    album = Album(vectors, codes)
    (by_judge,) = album.match(stranger)
    (by_threshold,) = album.match(stranger, threshold=-1.0)
    assert (by_judge.cluster, by_judge.confidence) == (None, "unknown")
    assert by_threshold.cluster == by_judge.nearest_cluster
    assert by_threshold.needed == -1.0
    assert (by_threshold.probability, by_threshold.confidence) == (by_judge.probability, "unknown")


def test_a_large_cluster_is_read_in_part_only() -> None:
    vectors, codes = people(4, 2000)
    album = Album(vectors, codes)
    album.match(vectors[:2])
    assert sum(album.read) <= 4 * 64
    assert max(album.read) == 64


def test_poor_faces_are_named_earlier() -> None:
    vectors, codes = people(8, 6)
    album = Album(vectors[1:], codes[1:])
    good, poor = album.match(np.stack([vectors[0]] * 2), quality=np.array([1.0, 0.2], np.float32))
    assert poor.needed < good.needed


def test_clusters_of_poor_faces_are_nobody() -> None:
    clusters = np.array([0, 0, 0, 0, 1, 1, 1, 1, -1, 2])
    quality = np.array([0.9, 0.1, 0.1, 0.1, 0.1, 0.2, 0.29, 0.0, 1.0, 0.4], np.float32)
    assert shown_well(clusters, quality).tolist() == [True] * 4 + [False] * 5 + [True]
    assert shown_well(clusters, np.zeros(10, np.float32)).all()
    assert shown_well(np.full(3, -1), np.ones(3, np.float32)).all()
    assert shown_well(np.empty(0, np.int64), np.empty(0, np.float32)).tolist() == []


def test_without_a_cluster_a_judge_says_unknown() -> None:
    vectors, codes = people(2, 3)
    (answer,) = Album(vectors, np.full(len(codes), -1)).match(vectors[:1])
    assert (answer.cluster, answer.nearest_cluster, answer.confidence) == (None, None, "unknown")
    assert math.isnan(answer.probability)


def test_a_stray_face_in_a_large_cluster_is_no_evidence_for_it() -> None:
    vectors, codes = people(2, 200)
    query = vectors[0]
    vectors[-1] = vectors[1]  # a face of person 0 in the cluster of person 1
    album = Album(vectors[1:], codes[1:])
    (answer,) = album.match(query[None])
    others = np.sort(album.vectors[album.clusters == 1] @ query)[-3:].mean()
    assert (answer.cluster, answer.confidence) == (0, "certain")
    centroids = [unit(album.vectors[album.clusters == c].mean(axis=0)[None])[0] @ query for c in (0, 1)]
    lead = (answer.similarity + centroids[0] - others - centroids[1]) / 2
    assert answer.margin == pytest.approx(lead, abs=0.02)  # centroids are those of 64 faces


def test_a_person_in_two_clusters_is_one_answer() -> None:
    vectors, codes = people(6, 20)
    halves = np.where((codes == 0) & (np.arange(len(codes)) % 2 == 1), 6, codes)
    album = Album(vectors[1:], halves[1:])
    apart = album.match(vectors[:1])[0]
    joined = album.match(vectors[:1], people={0: 3, 6: 3})[0]
    assert (apart.cluster, joined.confidence) == (None, "certain")
    assert joined.cluster == apart.nearest_cluster  # the better of the two
    assert joined.similarity == apart.similarity
    assert joined.probability > 0.99 > apart.probability
    assert joined.margin > 10 * apart.margin  # the second best is another person
    by_similarity = album.match(vectors[:1], threshold=0.5, people={0: 3, 6: 3})[0]
    assert by_similarity.margin == joined.margin


def test_without_a_judge_too_the_margin_is_that_to_another_person() -> None:
    search = FakeSearch([[0.9, 0.85, 0.4]], [1, 2, 3])
    clusters = np.array([7, 8, 9])
    for people_of, margin in ((None, 0.05), ({7: 1, 8: 1}, 0.5), ({7: 1, 8: 1, 9: 1}, math.nan)):
        (answer,) = identify(
            search.queries,
            search,
            faces=search.ids,
            clusters=clusters,
            threshold=0.6,
            representatives=Representatives.of(clusters, people=people_of),
        )
        assert answer.cluster == 7
        assert answer.margin == pytest.approx(margin, abs=1e-6, nan_ok=True)


def test_people_with_one_cluster_each_change_nothing() -> None:
    vectors, codes = people(30, 5, noise=0.12)
    strangers, _ = people(50, 1, seed=3)
    album = Album(vectors, codes)
    queries = np.concatenate([vectors[::4] + 0.05, strangers]).astype(np.float32)
    named = {cluster: 100 - cluster for cluster in range(0, 30, 2)}
    assert album.match(queries, people=named) == album.match(queries) == album.match(queries, people={})


def test_many_clusters_of_one_person_do_not_hide_the_second_person() -> None:
    vectors, codes = people(3, 40)
    parts = np.where(codes == 0, 10 + np.arange(len(codes)) % 8, codes)
    album = Album(vectors[1:], parts[1:])
    (answer,) = album.match(vectors[:1], people=dict.fromkeys(range(10, 18), 0))
    assert answer.confidence == "certain"
    assert answer.margin > 0.2


def test_strangers_are_not_named_more_often_for_people_with_several_clusters() -> None:
    vectors, codes = people(40, 8)
    halves = np.where(np.arange(len(codes)) % 2 == 1, codes + 40, codes)
    album = Album(vectors, halves)
    strangers, _ = people(400, 1, seed=9)
    joined = {cluster: cluster % 40 for cluster in range(80)}
    assert sum(a.cluster is not None for a in album.match(strangers, people=joined)) <= 8


def test_clusters_that_are_left_out_are_no_answer_and_no_rival() -> None:
    vectors, codes = people(6, 20)
    album = Album(vectors[1:], codes[1:])
    queries = np.concatenate([vectors[:1], vectors[20:21]])
    first, second = album.match(queries, left_out=[{0}, set()])
    assert (first.cluster, second.cluster) == (None, 1)
    assert first.nearest_cluster not in (0, None)
    assert first.faces == album.match(vectors[:1])[0].faces  # neighbours are listed all the same
    (only,) = album.match(vectors[:1], left_out=[{1, 2, 3, 4, 5}])
    assert only.nearest_cluster == 0
    assert math.isnan(only.margin)
    (none,) = album.match(vectors[:1], left_out=[set(range(6))])
    assert (none.nearest_cluster, none.confidence) == (None, "unknown")


def test_representatives_without_some_faces() -> None:
    clusters = np.array([4, 4, 5, -1, 6])
    whole = Representatives.of(clusters, people={4: 1, 6: 1, 5: 2})
    assert whole.people() == {4: 3, 5: 1}
    less = whole.without(np.array([0, 2, 3]))
    assert less.counts == {4: 1, 6: 1}
    assert less.clusters.tolist() == [-1, 4, -1, -1, 6]
    assert less.people() == {4: 2}
    assert whole.counts == {4: 2, 5: 1, 6: 1}
