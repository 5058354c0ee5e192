"""The default clusterer: people who look alike on group photos, collages, junk, odd albums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_faces import (
    CALIBRATION,
    blocks,
    fit_album,
    neighbour_graph,
    people_of,
    same_partition,
    vectors_with,
)

from faceindex import models
from faceindex.clustering import Album, ClusterOptions
from faceindex.clustering.album import without_junk
from faceindex.clustering.chinese_whispers import chinese_whispers
from faceindex.clustering.graph import symmetric_graph
from faceindex.clustering.neighbours import exact_neighbours
from faceindex.metrics import bcubed
from faceindex.types import F32, I64, BoolArray


def doubles(labels: I64, photos: I64) -> int:
    """Count the faces beyond the first of each cluster on each photo."""
    pairs = np.column_stack([labels, photos])[labels >= 0]
    return len(pairs) - len(np.unique(pairs, axis=0))


def family(
    seed: int, photos: int = 24, *, within: float = 0.72, alike: float = 0.55, dimension: int = 64
) -> tuple[F32, I64, I64]:
    """Make group photos: five of eight people who resemble each other on each; return the people too."""
    rng = np.random.default_rng(seed)
    truth = np.concatenate([rng.permutation(8)[:5] for _ in range(photos)])
    vectors = people_of(truth, seed, within=within, alike=alike, dimension=dimension)
    return vectors, truth, np.repeat(np.arange(photos), 5)


def near_copies(vectors: F32, seed: int, similarity: float = 0.95) -> F32:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(vectors.shape) / np.sqrt(vectors.shape[1])
    copies = vectors + (similarity**-2 - 1) ** 0.5 * noise
    return np.asarray(copies / np.linalg.norm(copies, axis=1, keepdims=True), np.float32)


class TestGroupPhotos:
    @pytest.mark.parametrize("seed", range(4))
    def test_people_who_look_alike_are_told_apart_by_their_photos(self, seed: int) -> None:
        vectors, truth, photos = family(seed)
        labels = fit_album(vectors, photos)
        assert doubles(labels, photos) == 0
        assert bcubed(labels, truth).f > 0.98
        plain = fit_album(vectors, photos, algorithm="chinese-whispers")
        assert doubles(plain, photos) > 50
        assert bcubed(plain, truth).f < 0.5
        apart = fit_album(vectors)  # without the evidence of photos
        assert bcubed(apart, truth).f < 0.5

    @pytest.mark.parametrize("seed", [1, 3, 5])
    def test_faces_of_one_photo_are_not_in_one_cluster_even_if_it_is_hard(self, seed: int) -> None:
        vectors, truth, photos = family(seed, within=0.7, alike=0.5, dimension=32)
        labels = fit_album(vectors, photos)
        assert doubles(labels, photos) == 0
        assert bcubed(labels, truth).f > 0.85

    @pytest.mark.parametrize("seed", [0, 1, 3])
    def test_people_with_many_different_photos_are_not_split(self, seed: int) -> None:
        truth = np.repeat(np.arange(4), 30)
        vectors = people_of(truth, seed, within=0.48)
        assert bcubed(fit_album(vectors), truth).f > 0.99
        assert bcubed(fit_album(vectors, algorithm="chinese-whispers"), truth).f < 0.9

    def test_strangers_with_one_photo_are_in_no_cluster(self) -> None:
        truth = np.array([0] * 10 + [1] * 10 + list(range(2, 42)))
        labels = fit_album(people_of(truth, 3, within=0.6))
        assert same_partition(labels, truth)
        assert (labels[20:] == -1).all()

    @pytest.mark.parametrize("seed", range(3))
    def test_the_order_of_the_faces_hardly_matters(self, seed: int) -> None:
        vectors, truth, photos = family(seed)
        labels = fit_album(vectors, photos)
        for again in range(2):
            order = np.random.default_rng(100 * seed + again).permutation(len(truth))
            shuffled = fit_album(vectors[order], photos[order])
            assert bcubed(shuffled, labels[order]).f > 0.97

    def test_numbers_of_photos_mean_nothing(self) -> None:
        vectors, _, photos = family(0)
        np.testing.assert_array_equal(fit_album(vectors, photos), fit_album(vectors, 10**12 - 1000 * photos))

    def test_same_input_and_seed_same_labels(self) -> None:
        vectors, _, photos = family(1)
        first = fit_album(vectors, photos, seed=5)
        np.testing.assert_array_equal(first, fit_album(vectors, photos, seed=5))

    def test_the_largest_cluster_is_the_first(self) -> None:
        truth = np.array([0] * 5 + [1] * 9 + [2] * 7)
        assert fit_album(people_of(truth, 0)).tolist() == [2] * 5 + [0] * 9 + [1] * 7


class TestCollages:
    @pytest.mark.parametrize("seed", range(4))
    def test_three_copies_of_a_face_end_together(self, seed: int) -> None:
        truth = np.repeat([0, 1, 2], 12)
        vectors = people_of(truth, seed, within=0.55)
        copies = near_copies(vectors[[0, 0, 12]], seed)
        photos = np.concatenate([np.arange(36), [0, 0, 0]])  # on the photo of face 0
        labels = fit_album(np.concatenate([vectors, copies]), photos)
        assert same_partition(labels, np.concatenate([truth, [0, 0, 1]]))

    def test_a_collage_alone(self) -> None:
        face = people_of([0], 0)
        faces = np.concatenate([face, near_copies(np.repeat(face, 2, axis=0), 1)])
        assert fit_album(faces, [3, 3, 3]).tolist() == [0, 0, 0]

    def test_other_faces_on_one_photo_do_not_end_together(self) -> None:
        faces = vectors_with(blocks(3, within=0.7))
        assert fit_album(faces, [3, 3, 3]).tolist() == [-1, -1, -1]
        assert fit_album(faces, [3, 4, 5]).tolist() == [0, 0, 0]


class TestJunk:
    GOOD = np.arange(51) < 36

    @staticmethod
    def album(seed: int) -> tuple[F32, I64]:
        """Make three people with 12 faces each, and 15 faces of nobody that resemble each other."""
        truth = np.repeat(np.arange(4), [12, 12, 12, 15])
        return people_of(truth, seed, within=0.6), truth

    @pytest.mark.parametrize("seed", range(3))
    def test_a_cluster_of_bad_faces_dissolves(self, seed: int) -> None:
        vectors, truth = self.album(seed)
        labels = fit_album(vectors, good=self.GOOD)
        assert same_partition(labels, np.where(self.GOOD, truth, -1))
        assert same_partition(fit_album(vectors), truth)

    def test_bad_faces_stay_in_a_cluster_of_good_ones(self) -> None:
        vectors, truth = self.album(0)
        good = np.ones(51, bool)
        good[[0, 1, 2, 13]] = False
        assert same_partition(fit_album(vectors, good=good), truth)

    def test_most_faces_of_a_cluster_must_be_good(self) -> None:
        labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 3])
        good = np.array([1, 1, 1, 0, 1, 0, 0, 1, 1, 0], bool)
        vectors = np.eye(10, dtype=np.float32)
        found = without_junk(vectors, labels, good, 0.5)
        assert found.tolist() == [0, 0, 0, 0, -1, -1, -1, 2, 2, 3]
        assert without_junk(vectors[:0], labels[:0], good[:0], 0.5).tolist() == []

    @pytest.mark.parametrize(("within", "stays"), [(0.6, True), (0.4, False)])
    def test_a_few_good_faces_that_resemble_each_other_make_up_for_many_bad_ones(
        self, within: float, stays: bool
    ) -> None:
        vectors = vectors_with(blocks(3, 20, within=within))
        labels, good = np.zeros(23, np.int64), np.arange(23) < 3
        assert (without_junk(vectors, labels, good, 0.5) == 0).all() == stays
        assert (without_junk(vectors, labels, np.arange(23) < 2, 0.5) == -1).all()

    def test_bad_faces_are_no_bridge_between_people(self) -> None:
        similarities = blocks(8, 8, 4, within=0.7, between=0.0)
        similarities[:16, 16:] = similarities[16:, :16] = 0.42
        vectors = vectors_with(similarities)
        labels = fit_album(vectors, good=np.arange(20) < 16)
        assert same_partition(labels[:16], np.repeat([0, 1], 8))

    def test_two_bad_faces_need_more_evidence(self) -> None:
        # The last face resembles only the one before, which belongs to the three good ones.
        similarities = blocks(3, 1, 1, within=0.7, between=0.2)
        similarities[:3, 3] = similarities[3, :3] = 0.55
        similarities[3, 4] = similarities[4, 3] = 0.47
        vectors = vectors_with(similarities)
        assert fit_album(vectors).tolist() == [0, 0, 0, 0, 0]
        assert fit_album(vectors, good=[True, True, True, False, False]).tolist() == [0, 0, 0, 0, -1]
        assert fit_album(vectors, good=[True, True, True, True, False]).tolist() == [0, 0, 0, 0, 0]


class TestOptions:
    @staticmethod
    def fit(vectors: F32, photos: I64, options: ClusterOptions, **graph: float) -> I64:
        neighbours, similarities = exact_neighbours(vectors, 80)
        n = len(vectors)
        weights = (similarities - np.float32(graph["even"])) * np.float32(graph.get("slope", 1.0))
        album = Album(
            vectors,
            photos,
            np.ones(n, bool),
            symmetric_graph(neighbours, weights, floor=graph.get("floor", 0.0)),
            np.full(n, -1),
            n,
        )
        labels: I64 = models.load(models.get("clusterer", "album"), options=options).fit(album)
        return labels

    def test_without_calibration_it_is_plain_chinese_whispers(self) -> None:
        vectors, _, photos = family(0)
        labels = self.fit(vectors, photos, ClusterOptions(threshold=0.7, seed=3), even=0.7)
        neighbours, similarities = exact_neighbours(vectors, 80)
        graph = symmetric_graph(neighbours, similarities - np.float32(0.7))
        np.testing.assert_array_equal(labels, chinese_whispers(graph, seed=3))

    def test_a_constant_threshold_replaces_the_prior(self) -> None:
        """Two faces of a similarity between the two thresholds."""
        vectors = vectors_with([[1, 0.5], [0.5, 1]])
        slope = CALIBRATION.slope
        for threshold, expected in ((0.45, [0, 0]), (0.55, [0, 1])):
            options = ClusterOptions(calibration=CALIBRATION, threshold=threshold)
            labels = self.fit(vectors, np.arange(2), options, even=threshold, slope=slope, floor=-4.0)
            assert labels.tolist() == expected

    def test_previous_clusters_do_not_bind(self) -> None:
        vectors, _, photos = family(2)
        n = len(photos)
        graph = neighbour_graph(vectors)
        clusterer = models.load(
            models.get("clusterer", "album"), options=ClusterOptions(calibration=CALIBRATION)
        )
        found = [
            clusterer.fit(Album(vectors, photos, np.ones(n, bool), graph, previous, n))
            for previous in (np.full(n, -1), np.zeros(n, np.int64), np.arange(n))
        ]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])


@st.composite
def odd_albums(draw: st.DrawFn) -> tuple[F32, I64, BoolArray]:
    """Draw few faces: on any photos, of any quality, often the same face again or the same direction."""
    n = draw(st.one_of(st.integers(0, 3), st.integers(0, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    people = draw(st.integers(1, max(1, n)))
    vectors = people_of(
        rng.integers(0, people, n),
        int(rng.integers(2**31)),
        within=draw(st.sampled_from([0.3, 0.5, 0.9, 0.999])),
        alike=draw(st.sampled_from([0.0, 0.2])),
        dimension=draw(st.sampled_from([2, 16, 128])),
    )
    if n and draw(st.booleans()):  # the same vectors again
        vectors = vectors[rng.integers(0, draw(st.integers(1, n)), n)]
    photos = draw(st.sampled_from([1, 2, max(1, n // 3), max(1, n), 10**9]))
    good = draw(st.sampled_from([0.0, 0.5, 1.0]))
    return vectors, rng.integers(0, photos, n), rng.random(n) < good


@settings(deadline=None, max_examples=150)
@given(odd_albums())
def test_any_album_has_valid_labels(album: tuple[F32, I64, BoolArray]) -> None:
    vectors, photos, good = album
    labels = fit_album(vectors, photos, good)  # checks type and shape
    assert labels.min(initial=0) >= -1
    ids, sizes = np.unique(labels[labels >= 0], return_counts=True)
    assert (sizes > 1).all()
    assert all(good[labels == cluster].any() for cluster in ids)
    np.testing.assert_array_equal(labels, fit_album(vectors, photos, good))


@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_all_copies(count: int) -> None:
    faces = np.repeat(people_of([0], 0), count, axis=0)
    expected = [0 if count > 1 else -1] * count
    assert fit_album(faces).tolist() == expected
    assert fit_album(faces, np.zeros(count)).tolist() == expected
    assert fit_album(faces, good=np.zeros(count, bool)).tolist() == [-1] * count


def test_all_on_one_photo() -> None:
    truth = np.repeat(np.arange(6), 5)
    vectors = people_of(truth, 0, within=0.6)
    assert (fit_album(vectors, np.zeros(30)) == -1).all()
