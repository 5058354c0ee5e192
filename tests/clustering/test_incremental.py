"""Incremental clustering: albums that grow and shrink, a part that changed, ids, centroids."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest
from made_up_constraints import constraints
from synthetic_faces import CALIBRATION, people_of, same_partition

from faceindex import models
from faceindex.clustering import Album, Clusterer, ClusterOptions, incremental
from faceindex.clustering.centroids import similarity_to_centroid
from faceindex.clustering.constraints import Constraints, violations
from faceindex.clustering.incremental import (
    ClusteredFaces,
    cluster_faces,
    drop_small_clusters,
    good_faces,
    representative_faces,
    update_similarities,
)
from faceindex.metrics import bcubed
from faceindex.models import Calibration, ClustererSpec
from faceindex.quality import POOR_QUALITY
from faceindex.store.records import Assignments, Clustering
from faceindex.types import F32, I64


def random_album(n: int, people: int, seed: int, *, within: float = 0.6) -> tuple[F32, I64]:
    """Vectors and their people; a third of them are strangers with one photo."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.where(np.arange(n) % 3, np.arange(n) % people, people + np.arange(n)))
    return people_of(truth, seed, within=within), truth


def make_table(
    cluster: I64, *, face: I64 | None = None, photo: I64 | None = None, quality: F32 | None = None
) -> Assignments:
    n = len(cluster)
    return Assignments(
        face=np.arange(1, n + 1) if face is None else face,
        row=np.arange(n),
        photo=np.arange(n) if photo is None else photo,
        sharpness=np.full(n, 0.3, np.float32),
        quality=np.ones(n, np.float32) if quality is None else quality,
        cluster=cluster,
        similarity=np.full(n, np.nan, np.float32),
    )


def clustering(state: dict[str, int], next_cluster_id: int) -> Clustering:
    return Clustering(1, "album", state, 0, datetime.now(timezone.utc), next_cluster_id)


@dataclass
class Watched:
    """A clusterer that passes all on to another one, and keeps what it got."""

    clusterer: Clusterer
    albums: list[Album] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec: ClustererSpec = self.clusterer.spec

    def fit(self, album: Album) -> I64:
        self.albums.append(album)
        return self.clusterer.fit(album)


class Index:
    """The faces of an index that changes. A face keeps its id; the clustering is stored after each run."""

    def __init__(
        self, vectors: F32, photos: I64 | None = None, algorithm: str = "album", **options: Any
    ) -> None:
        self.vectors = vectors
        self.photos = np.arange(len(vectors)) if photos is None else photos
        self.options = ClusterOptions(calibration=CALIBRATION, **options)
        self.clusterer = Watched(models.load(models.get("clusterer", algorithm), options=self.options))
        self.faces = np.empty(0, np.int64)  # positions in `vectors`
        self.ids = np.empty(0, np.int64)
        self.labels = np.empty(0, np.int64)
        self.next_face = 1
        self.previous: Clustering | None = None
        self.said: Constraints | None = None
        self.decision = -1
        self.decided: I64 | None = None

    def add(self, faces: I64) -> None:
        self.faces = np.concatenate([self.faces, faces])
        self.ids = np.concatenate([self.ids, self.next_face + np.arange(len(faces))])
        self.labels = np.concatenate([self.labels, np.full(len(faces), -1)])
        self.next_face += len(faces)

    def remove(self, keep: np.ndarray) -> None:
        self.faces, self.ids, self.labels = self.faces[keep], self.ids[keep], self.labels[keep]

    def cluster(self, *, started_over: bool | None = None) -> I64:
        before = self.labels
        clustered = cluster_faces(
            make_table(self.labels, face=self.ids, photo=self.photos[self.faces]),
            self.vectors[self.faces],
            self.clusterer,
            self.options,
            min_size=2,
            previous=self.previous,
            started_over=self.previous is None if started_over is None else started_over,
            constraints=self.said,
            decided=self.decided,
            last_decision=self.decision,
        )
        next_id = self.previous.next_cluster_id if self.previous else 0
        # An id never comes to mean another cluster: it is new, or some face had it before.
        for cluster in np.unique(clustered.labels[clustered.labels >= 0]).tolist():
            assert cluster >= next_id or cluster in before[clustered.labels == cluster]
        self.labels = clustered.labels
        self.state = clustered.state
        self.previous = clustering(clustered.state, max(next_id, int(self.labels.max(initial=-1)) + 1))
        return self.labels

    @property
    def fitted(self) -> list[int]:
        """Number of faces of each album that was clustered."""
        return [len(album) for album in self.clusterer.albums]


def at_once(vectors: F32, photos: I64 | None = None, **options: Any) -> I64:
    index = Index(vectors, photos, **options)
    index.add(np.arange(len(vectors)))
    return index.cluster()


def alone_apart(labels: I64) -> I64:
    return np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)


class TestGrowth:
    @staticmethod
    def album(seed: int) -> tuple[F32, I64, I64]:
        """Make 48 photos, a third of them with three people who look alike, the others with one."""
        rng = np.random.default_rng(seed)
        people = [rng.permutation(6)[: 3 if i % 3 == 0 else 1] for i in range(48)]
        truth = np.concatenate(people)
        photos = np.repeat(np.arange(48), [len(on) for on in people])
        return people_of(truth, seed, within=0.6, alike=0.3), truth, photos

    @pytest.mark.parametrize("order", ["by photo", "by person", "shuffled"])
    @pytest.mark.parametrize("step", [1, 3, 10])
    def test_an_album_that_grew_has_the_clusters_of_one_run(self, step: int, order: str) -> None:
        vectors, truth, photos = self.album(step)
        if order == "by person":
            by = np.argsort(truth, kind="stable")
        elif order == "shuffled":
            by = np.random.default_rng(step).permutation(len(truth))
        else:
            by = np.arange(len(truth))
        vectors, truth, photos = vectors[by], truth[by], photos[by]
        index = Index(vectors, photos)
        for start in range(0, len(truth), step):
            index.add(np.arange(start, min(start + step, len(truth))))
            index.cluster()
        assert same_partition(index.labels, at_once(vectors, photos))
        assert bcubed(index.labels, truth).f > 0.95
        assert index.fitted == [*range(step, len(truth), step), len(truth)]

    def test_a_person_and_then_another_one(self) -> None:
        """The smallest case of people that were merged for good."""
        vectors = people_of(np.repeat([0, 1], [12, 6]), 0, within=0.6, alike=0.3)
        index = Index(vectors)
        index.add(np.arange(12))
        assert index.cluster().tolist() == [0] * 12
        for face in range(12, 18):
            index.add(np.array([face]))
            index.cluster()
        assert index.labels.tolist() == [0] * 12 + [1] * 6

    def test_a_wrong_decision_is_revised(self) -> None:
        vectors, truth = random_album(90, 5, 0)
        index = Index(vectors)
        index.add(np.arange(89))
        index.cluster()
        index.labels = np.where(index.labels >= 0, 0, -1)  # all people are one cluster
        index.add(np.array([89]))
        labels = index.cluster()
        assert same_partition(labels, at_once(vectors))
        assert bcubed(labels, truth).f > 0.98
        assert 0 in labels

    def test_kmeans_moves_with_new_faces(self) -> None:
        truth = np.random.default_rng(0).permutation(np.repeat(np.arange(4), 15))
        vectors = people_of(truth, 0)
        index = Index(vectors, algorithm="kmeans", k=4)
        for start in range(0, 60, 20):
            index.add(np.arange(start, start + 20))
            index.cluster()
        assert same_partition(index.labels, truth)
        assert [sorted(set(album.previous.tolist())) for album in index.clusterer.albums] == [
            [-1],
            [-1, 0, 1, 2, 3],
            [-1, 0, 1, 2, 3],
        ]
        index.cluster(started_over=True)
        assert (index.clusterer.albums[-1].previous == -1).all()

    def test_a_constant_threshold(self) -> None:
        vectors, _ = random_album(120, 6, 1)
        index = Index(vectors, algorithm="chinese-whispers", threshold=0.45)
        index.add(np.arange(120))
        index.cluster()
        (album,) = index.clusterer.albums
        assert album.graph is not None
        similarities = vectors @ vectors.T
        for i in range(120):
            row = slice(album.graph.indptr[i], album.graph.indptr[i + 1])
            weights = CALIBRATION.slope * (similarities[i, album.graph.indices[row]] - 0.45)
            np.testing.assert_allclose(album.graph.weights[row], weights, atol=1e-3)
            assert album.graph.weights[row].min(initial=0) > -4


class TestUnchanged:
    def test_labels_stay_if_no_face_is_new_or_gone(self) -> None:
        index = Index(random_album(60, 4, 0)[0])
        index.add(np.arange(60))
        labels = index.cluster()
        assert labels.max() > 0
        for edited in (labels[::-1].copy(), np.full(60, -1), np.arange(60)):  # restored, or edited
            index.labels = edited
            np.testing.assert_array_equal(index.cluster(), edited)
            assert index.labels is not edited
        assert index.fitted == [60]
        assert index.state == {"last_face": 60, "faces": 60, "last_whole": 60}

    @pytest.mark.parametrize("change", ["newer", "gone", "over"])
    def test_they_are_clustered_again(self, change: str) -> None:
        index = Index(random_album(61, 4, 0)[0])
        index.add(np.arange(60))
        index.cluster()
        if change == "newer":
            index.add(np.array([60]))
        elif change == "gone":
            index.remove(np.arange(60) != 3)
        index.labels[:] = -1
        assert index.cluster(started_over=change == "over").max() > 0

    def test_a_clustering_of_an_older_version_is_made_anew(self) -> None:
        vectors, _ = random_album(60, 4, 0)
        index = Index(vectors)
        index.add(np.arange(60))
        index.previous = clustering({"last_face": 60}, 5)
        assert index.cluster().max() >= 5
        assert same_partition(index.labels, at_once(vectors))


class TestIds:
    def test_a_cluster_takes_the_id_of_the_one_with_which_it_shares_most_faces(self) -> None:
        index = Index(random_album(300, 5, 4)[0])
        index.add(np.arange(300))
        labels = index.cluster()
        ids = np.unique(labels[labels >= 0])
        old = np.where(labels >= 0, 100 + labels, -1)
        old[labels == ids[0]] = -1  # this cluster has no old id
        index.labels, index.previous = old, clustering({}, 500)
        expected = old.copy()
        expected[labels == ids[0]] = 500
        np.testing.assert_array_equal(index.cluster(started_over=True), expected)

    def test_a_cluster_that_fell_apart(self) -> None:
        vectors = people_of(np.repeat([0, 1], [6, 9]), 0, within=0.7)
        index = Index(vectors)
        index.add(np.arange(15))
        index.labels, index.previous = np.full(15, 7), clustering({}, 20)
        assert index.cluster().tolist() == [20] * 6 + [7] * 9

    def test_clusters_that_merged(self) -> None:
        index = Index(people_of(np.zeros(12), 0, within=0.7))
        index.add(np.arange(12))
        index.labels, index.previous = np.array([3] * 4 + [8] * 6 + [-1] * 2), clustering({}, 9)
        assert index.cluster().tolist() == [8] * 12

    @pytest.mark.parametrize("seed", range(3))
    def test_ids_stay_in_twenty_rounds_of_adding_and_removing(self, seed: int) -> None:
        vectors, truth = random_album(500, 8, seed)
        index = Index(vectors)
        index.add(np.arange(200))
        index.cluster()
        rng = np.random.default_rng(seed)
        changed = 0
        for start in range(200, 500, 15):
            before = dict(zip(index.ids.tolist(), index.labels.tolist(), strict=True))
            index.remove(np.isin(np.arange(len(index.ids)), rng.permutation(len(index.ids))[15:]))
            index.add(np.arange(start, start + 15))
            index.cluster()  # checks that no id is used again
            after = zip(index.ids.tolist(), index.labels.tolist(), strict=True)
            changed += sum(before.get(face, -1) not in (-1, label) for face, label in after)
        assert changed <= 2
        assert bcubed(index.labels, truth[index.faces]).f > 0.98


class TestPart:
    """Indexes of more than `PART_ABOVE` faces."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incremental, "PART_ABOVE", 100)

    @staticmethod
    def index(seed: int = 0, first: int = 550, algorithm: str = "album") -> tuple[Index, I64]:
        """Make an index of 600 faces, most of them of 12 people, and cluster the first ones."""
        vectors, truth = random_album(600, 12, seed)
        index = Index(vectors, algorithm=algorithm)
        index.add(np.arange(first))
        index.cluster()
        return index, truth

    def test_new_faces_join_and_the_other_clusters_are_not_clustered(self) -> None:
        index, truth = self.index()
        before = index.labels.copy()
        new = np.arange(550, 600)
        new = new[truth[new] == 4]
        assert len(new) > 1
        index.add(new)
        labels = index.cluster()
        old = before[truth[:550] == 4]
        person = np.bincount(old[old >= 0]).argmax()
        assert (labels[550:] == person).all()
        part = index.fitted[1]
        assert len(new) + len(old) <= part < 200
        same = before >= 0
        assert (labels[:550][same] == before[same]).mean() > 0.99
        assert index.state == {"last_face": 550 + len(new), "faces": 550 + len(new), "last_whole": 550}
        assert index.clusterer.albums[1].size == 550 + len(new)

    def test_clusters_that_no_new_face_resembles_keep_their_labels(self) -> None:
        index, truth = self.index()
        mine = truth[:550] == 5
        others = ~mine & (index.labels >= 0)
        index.labels[others] = 1000 + np.arange(others.sum()) // 2  # in wrong pairs, which stay
        assert index.previous is not None
        index.previous = replace(index.previous, next_cluster_id=2000)
        before = index.labels.copy()
        index.add(np.flatnonzero(truth == 5)[-2:])
        labels = index.cluster()
        album = index.clusterer.albums[1]
        touched = np.isin(before, album.previous[album.previous >= 0])
        untouched = (before >= 0) & ~touched
        np.testing.assert_array_equal(labels[:550][untouched], before[untouched])
        assert untouched.sum() > 200
        assert len(set(labels[np.flatnonzero(mine & (labels[:550] >= 0))].tolist())) == 1

    def test_a_second_photo_of_a_stranger_makes_a_cluster(self) -> None:
        index, _ = self.index()
        before = index.labels.copy()
        strangers = np.flatnonzero(before < 0)[:2]
        next_id = index.previous.next_cluster_id  # type: ignore[union-attr]
        index.add(strangers)
        labels = index.cluster()
        assert sorted(labels[550:].tolist()) == [next_id, next_id + 1]
        np.testing.assert_array_equal(labels[strangers], labels[550:])
        rest = np.setdiff1d(np.arange(550), strangers)
        np.testing.assert_array_equal(labels[rest], before[rest])

    def test_new_faces_like_nobody_change_nothing(self) -> None:
        index, truth = self.index()
        before = index.labels.copy()
        alone = np.flatnonzero(truth[550:] >= 12)[:3] + 550
        index.add(alone)
        np.testing.assert_array_equal(index.cluster(), [*before, -1, -1, -1])

    @pytest.mark.parametrize("algorithm", ["album", "chinese-whispers"])
    @pytest.mark.parametrize("seed", range(3))
    def test_the_clusters_are_nearly_those_of_a_whole_run(self, seed: int, algorithm: str) -> None:
        index, truth = self.index(seed, algorithm=algorithm)
        for start in range(550, 600, 10):
            index.add(np.arange(start, start + 10))
            index.cluster()
        assert max(index.fitted[1:]) < 600
        whole = at_once(index.vectors, algorithm=algorithm)
        assert bcubed(index.labels, alone_apart(whole)).f > 0.98
        assert bcubed(index.labels, truth).f > bcubed(whole, truth).f - 0.01

    def test_after_many_new_faces_all_are_clustered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(incremental, "FEW_NEW", 0.03)
        index, _ = self.index(first=550)
        wholes = []
        for start in range(550, 600, 5):
            index.add(np.arange(start, start + 5))
            index.cluster()
            wholes.append(index.state["last_whole"])
            assert (index.fitted[-1] == start + 5) == (wholes[-1] == start + 5)
        # More than 3 % are newer than the last run on all: after each fourth step.
        assert wholes == [550, 550, 550, 570, 570, 570, 570, 590, 590, 590]

    def test_if_most_faces_are_similar_to_new_ones_all_are_clustered(self) -> None:
        vectors = people_of(np.zeros(200), 0)
        index = Index(vectors)
        index.add(np.arange(195))
        index.cluster()
        index.add(np.arange(195, 200))
        index.cluster()
        assert index.fitted == [195, 200]
        assert index.state["last_whole"] == 200

    def test_removed_faces_leave_the_others_as_they_are(self) -> None:
        index, _ = self.index()
        keep = np.arange(550) % 7 > 0
        twins = np.flatnonzero(index.labels == index.labels.max())
        keep[twins[1:]] = False  # one face of this cluster is left
        keep[twins[0]] = True
        before = index.labels[keep]
        expected = np.where(before == index.labels.max(), -1, before)
        index.remove(keep)
        np.testing.assert_array_equal(index.cluster(), expected)
        assert index.fitted in ([550], [550, 0])
        np.testing.assert_array_equal(index.cluster(), expected)

    def test_few_faces_or_another_kind_of_clusterer_are_clustered_whole(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vectors, _ = random_album(160, 6, 0)
        index = Index(vectors, algorithm="kmeans", k=6)
        index.add(np.arange(150))
        index.cluster()
        index.add(np.arange(150, 160))
        index.cluster()
        assert index.fitted == [150, 160]
        monkeypatch.setattr(incremental, "PART_ABOVE", 160)
        index = Index(vectors)
        index.add(np.arange(155))
        index.cluster()
        index.add(np.arange(155, 160))
        index.cluster()
        assert index.fitted == [155, 160]


class TestQuality:
    def test_a_face_is_good_from_a_constant_quality_or_half_of_the_median(self) -> None:
        quality = np.array([0.9, 0.8, POOR_QUALITY, POOR_QUALITY - 0.01, 0.0, 1.0, 0.7], np.float32)
        assert good_faces(quality).tolist() == [True, True, True, False, False, True, True]
        low = np.array([0.1, 0.1, 0.051, 0.049, 0.2], np.float32)
        assert good_faces(low).tolist() == [True, True, True, False, True]
        assert good_faces(quality[:0]).tolist() == []

    @staticmethod
    def cluster(vectors: F32, quality: F32) -> I64:
        options = ClusterOptions(calibration=CALIBRATION)
        clusterer: Clusterer = models.load(models.get("clusterer", "album"), options=options)
        table = make_table(np.full(len(vectors), -1), quality=quality)
        found = cluster_faces(
            table, vectors, clusterer, options, min_size=2, previous=None, started_over=True
        )
        assert isinstance(found, ClusteredFaces)
        return found.labels

    def test_a_cluster_of_bad_faces_dissolves_but_not_an_archive_of_them(self) -> None:
        truth = np.repeat(np.arange(4), 10)
        vectors = people_of(truth, 0)
        quality = np.where(truth == 3, 0.1, 0.8).astype(np.float32)
        assert same_partition(self.cluster(vectors, quality), np.where(truth == 3, -1, truth))
        assert same_partition(self.cluster(vectors, np.full(40, 0.02, np.float32)), truth)

    def test_sharp_faces_represent_a_cluster_or_all_if_it_has_none(self) -> None:
        clusters = np.array([0, 0, 0, 1, 1, -1, -1])
        table = make_table(clusters)
        sharp = Calibration(slope=1.0, midpoint=0.0, source="made up", blurred=0.14)
        table.sharpness[:] = [0.3, 0.05, 0.3, 0.05, 0.05, 0.05, 0.3]
        assert representative_faces(table, clusters, replace(sharp, blurred=0.02)).all()
        table.sharpness[4] = table.sharpness[3] = 0.02
        table.sharpness[[0, 2, 5, 6]] = 0.4
        table.sharpness[1] = 0.1
        found = representative_faces(table, clusters, sharp)
        assert found.tolist() == [True, False, True, True, True, True, True]
        assert representative_faces(table, clusters, None).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_faces(n: int) -> None:
    index = Index(np.eye(2, 8, dtype=np.float32))
    index.add(np.arange(n))
    for _ in range(2):
        assert index.cluster().tolist() == [-1] * n
    assert index.state == {"last_face": n or -1, "faces": n, "last_whole": n or -1}


@pytest.mark.parametrize("algorithm", ["album", "chinese-whispers"])
@pytest.mark.parametrize("calibration", [CALIBRATION, None])
def test_a_threshold_of_one_links_identical_faces(algorithm: str, calibration: Calibration | None) -> None:
    vectors, _ = random_album(60, 60, 0)
    products = np.einsum("ij,ij->i", vectors, vectors)
    assert (products <= 1).any()  # identical, and by rounding no more similar than 1
    options = ClusterOptions(calibration=calibration, threshold=1.0)
    clusterer: Clusterer = models.load(models.get("clusterer", algorithm), options=options)
    labels = cluster_faces(
        make_table(np.full(180, -1)),
        np.tile(vectors, (3, 1)),
        clusterer,
        options,
        min_size=2,
        previous=None,
        started_over=True,
    ).labels
    assert same_partition(labels, np.tile(np.arange(60), 3))


def test_small_clusters_are_dropped() -> None:
    labels = np.array([4, 4, 4, -1, 2, 2, 9])
    assert drop_small_clusters(labels, 3).tolist() == [4, 4, 4, -1, -1, -1, -1]
    assert drop_small_clusters(labels, 2).tolist() == [4, 4, 4, -1, 2, 2, -1]
    assert drop_small_clusters(labels, 1).tolist() == labels.tolist()
    assert drop_small_clusters(labels[:0], 2).tolist() == []


class TestSimilarityToCentroid:
    def test_equals_the_definition(self) -> None:
        vectors, _ = random_album(40, 3, 0)
        labels = np.random.default_rng(0).integers(-1, 3, 40) * 7
        similarities = similarity_to_centroid(vectors, labels)
        for i in range(40):
            if labels[i] < 0:
                assert np.isnan(similarities[i])
                continue
            centroid = vectors[labels == labels[i]].mean(axis=0)
            np.testing.assert_allclose(
                similarities[i], vectors[i] @ centroid / np.linalg.norm(centroid), atol=1e-5
            )

    def test_vectors_that_sum_to_zero_have_a_similarity(self) -> None:
        opposite = np.array([[1, 0], [-1, 0]], np.float32)
        assert similarity_to_centroid(opposite, np.zeros(2, np.int64)).tolist() == [0, 0]

    def test_faces_in_no_cluster_have_no_similarity(self) -> None:
        assert np.isnan(similarity_to_centroid(np.eye(3, dtype=np.float32), np.full(3, -1))).all()
        assert similarity_to_centroid(np.empty((0, 3), np.float32), np.empty(0, np.int64)).shape == (0,)

    def test_update_computes_only_clusters_that_gained_faces(self) -> None:
        vectors, _ = random_album(40, 3, 0)
        old = np.arange(40) % 3
        old[39] = -1
        table = make_table(old)
        table = replace(table, similarity=similarity_to_centroid(vectors, old))
        table.similarity[1] = 0.5  # in a cluster that gains no face: must not be computed
        labels = old.copy()
        labels[39] = 0
        similarities, changed = update_similarities(vectors, labels, table)
        assert changed[39]
        assert not changed[old != 0][:-1].any()
        assert similarities[1] == 0.5
        exact = similarity_to_centroid(vectors, labels)
        np.testing.assert_allclose(similarities[labels == 0], exact[labels == 0], atol=0.0005)
        np.testing.assert_array_equal(similarities[changed], exact[changed])
        assert changed[labels == 0].any()


def test_clusters_are_made_again_after_a_decision_only() -> None:
    vectors, _ = random_album(60, 4, 0)
    index = Index(vectors)
    index.add(np.arange(60))
    first = index.cluster().copy()
    assert "last_decision" not in index.state
    index.cluster()
    assert len(index.fitted) == 1
    biggest = np.flatnonzero(first == 0)
    index.said = constraints(60, {int(biggest[0]): 2}, rejected=[(int(biggest[1]), 2)])
    index.decision = 7
    second = index.cluster()
    assert len(index.fitted) == 2
    assert index.state["last_decision"] == 7
    assert second[biggest[1]] != second[biggest[0]]
    index.cluster()
    assert len(index.fitted) == 2


def test_in_a_large_index_a_decision_concerns_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "PART_ABOVE", 100)
    vectors, _ = random_album(300, 12, 0, within=0.7)
    index = Index(vectors)
    index.add(np.arange(300))
    first = index.cluster().copy()
    members = np.flatnonzero(first == 0)
    elsewhere = int(np.flatnonzero(first == 1)[0])
    index.said = constraints(
        300, {int(members[0]): 2, elsewhere: 4}, rejected=[(int(members[1]), 2)], nobody=[int(members[2])]
    )
    index.decision, index.decided = 3, members[:3]
    second = index.cluster()
    assert index.fitted[1] < 150
    assert violations(second, index.said) == []
    others = np.setdiff1d(np.arange(300), members)
    assert same_partition(second[others], first[others])


def test_faces_that_are_nobody_are_not_clustered() -> None:
    vectors, _ = random_album(60, 4, 0)
    index = Index(vectors)
    index.add(np.arange(60))
    first = index.cluster().copy()
    index.said, index.decision = constraints(60, nobody=np.flatnonzero(first == 0).tolist()), 0
    second = index.cluster()
    (album,) = index.clusterer.albums[1:]
    np.testing.assert_array_equal(album.vectors, vectors[first != 0])
    assert album.size == len(album) == int((first != 0).sum())
    assert album.elsewhere is None
    assert (second[first == 0] == -1).all()
