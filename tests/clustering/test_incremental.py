"""Incremental clustering: new faces, stable ids, blurred faces, similarities to centroids."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pytest

from faceindex import models
from faceindex.clustering import Clusterer, ClusterOptions, incremental
from faceindex.clustering import neighbours as neighbours_module
from faceindex.clustering.incremental import cluster_faces, similarity_to_centroid, update_similarities
from faceindex.metrics import bcubed
from faceindex.models import Calibration
from faceindex.store import Assignments, Clustering
from faceindex.types import F32, I64

CALIBRATION = Calibration(slope=40.0, midpoint=0.5, source="made up", blurred=0.14)


def album(n: int, people: int, seed: int, noise: float = 0.13) -> tuple[F32, I64]:
    """Vectors and their people; a third of them are strangers with one photo."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.where(np.arange(n) % 3, np.arange(n) % people, people + np.arange(n)))
    centres = rng.standard_normal((people + n, 32))
    vectors = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    vectors = vectors[truth] + noise * rng.standard_normal((n, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), truth


def make_table(cluster: I64, sharpness: F32 | None = None) -> Assignments:
    n = len(cluster)
    return Assignments(
        face=np.arange(1, n + 1),
        row=np.arange(n),
        sharpness=np.full(n, 0.3, np.float32) if sharpness is None else sharpness,
        quality=np.ones(n, np.float32),
        cluster=cluster,
        similarity=np.full(n, np.nan, np.float32),
    )


def grow(vectors: F32, sizes: list[int], sharpness: F32 | None = None, **options: object) -> I64:
    """Cluster the first faces, then add faces up to each of `sizes`; check that faces keep their cluster."""
    settings = ClusterOptions(calibration=CALIBRATION, **options)  # type: ignore[arg-type]
    clusterer: Clusterer = models.load(models.get("clusterer", "chinese-whispers"), options=settings)
    labels, previous = np.full(sizes[0], -1), None
    for n in sizes:
        table = make_table(
            np.concatenate([labels, np.full(n - len(labels), -1)]),
            None if sharpness is None else sharpness[:n],
        )
        kept = labels
        labels = cluster_faces(
            table,
            vectors[:n],
            clusterer,
            settings,
            min_size=2,
            previous=previous,
            started_over=previous is None,
        )
        if previous is not None:
            np.testing.assert_array_equal(labels[: len(kept)][kept >= 0], kept[kept >= 0])
        previous = Clustering(
            1, "chinese-whispers", {"last_face": n}, 0, datetime.now(timezone.utc), int(labels.max()) + 1
        )
    return labels


def singletons_apart(labels: I64) -> I64:
    return np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)


class TestNewFaces:
    @pytest.mark.parametrize("options", [{}, {"threshold": 0.62}], ids=["calibrated", "threshold"])
    @pytest.mark.parametrize("seed", range(4))
    def test_the_graph_of_new_faces_gives_the_clusters_of_the_whole_graph(
        self, seed: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vectors, truth = album(600, 12, seed)
        sizes = [500, 540, 580, 590, 600]
        few = grow(vectors, sizes, **options)
        monkeypatch.setattr(incremental, "FEW_NEW", -1.0)
        whole = grow(vectors, sizes, **options)
        few, whole = singletons_apart(few), singletons_apart(whole)
        assert bcubed(few, whole).f > 0.99
        assert bcubed(few, truth).f > bcubed(whole, truth).f - 0.005
        assert bcubed(few, truth).f > 0.9

    def test_only_new_faces_and_similar_ones_are_searched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        searched = []
        nearest = neighbours_module.nearest

        def count(queries: F32, *args: object, **more: object) -> object:
            searched.append(len(queries))
            return nearest(queries, *args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(neighbours_module, "nearest", count)
        vectors, _ = album(600, 12, 0)
        grow(vectors, [600])
        assert searched == []
        grow(vectors, [590, 600])
        assert searched[0] == 10
        assert sum(searched) < 30

    def test_a_second_photo_of_a_stranger_makes_a_new_cluster(self) -> None:
        vectors, _ = album(300, 4, 1)
        strangers = np.flatnonzero(grow(vectors, [300]) < 0)[:2]
        again = np.concatenate([vectors, vectors[strangers]])
        labels = grow(again, [300, 302])
        assert labels[strangers].tolist() == labels[300:].tolist()
        assert len(set(labels[300:].tolist())) == 2
        assert labels[300:].min() > labels[:300][labels[:300] < labels[300:].min()].max()

    def test_an_old_blurred_face_joins_a_new_sharp_one(self) -> None:
        vectors, _ = album(300, 4, 2)
        stranger = int(np.flatnonzero(grow(vectors, [300]) < 0)[0])
        sharpness = np.full(302, 0.3, np.float32)
        sharpness[stranger] = 0.05
        again = np.concatenate([vectors, vectors[[stranger, stranger]]])
        labels = grow(again, [300, 302], sharpness)
        assert labels[300] == labels[301] == labels[stranger] >= 0

    def test_new_blurred_faces_alone_join_existing_clusters(self) -> None:
        vectors, _ = album(300, 4, 3)
        sharpness = np.full(305, 0.3, np.float32)
        sharpness[300:] = 0.05
        members = np.flatnonzero(grow(vectors, [300]) >= 0)[:5]
        labels = grow(np.concatenate([vectors, vectors[members]]), [300, 305], sharpness)
        assert labels[300:].tolist() == labels[members].tolist()


def test_clusters_inherit_the_ids_of_the_old_clusters_that_share_most_faces() -> None:
    vectors, _ = album(300, 5, 4)
    settings = ClusterOptions(calibration=CALIBRATION)
    clusterer: Clusterer = models.load(models.get("clusterer", "chinese-whispers"), options=settings)
    labels = grow(vectors, [300])
    ids = np.unique(labels[labels >= 0])
    old = np.where(labels >= 0, 100 + labels, -1)
    old[labels == ids[0]] = -1  # this cluster has no old id
    again = cluster_faces(
        make_table(old),
        vectors,
        clusterer,
        settings,
        min_size=2,
        previous=Clustering(1, "chinese-whispers", {}, 0, datetime.now(timezone.utc), 500),
        started_over=True,
    )
    expected = old.copy()
    expected[labels == ids[0]] = 500
    np.testing.assert_array_equal(again, expected)


class TestSimilarityToCentroid:
    def test_equals_the_definition(self) -> None:
        vectors, _ = album(40, 3, 0)
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

    def test_faces_in_no_cluster_have_no_similarity(self) -> None:
        assert np.isnan(similarity_to_centroid(np.eye(3, dtype=np.float32), np.full(3, -1))).all()
        assert similarity_to_centroid(np.empty((0, 3), np.float32), np.empty(0, np.int64)).shape == (0,)

    def test_update_computes_only_clusters_that_gained_faces(self) -> None:
        vectors, _ = album(40, 3, 0)
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
