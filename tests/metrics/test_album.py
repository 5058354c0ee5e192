"""Scores of whole albums, by hand and by their definitions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from faceindex.metrics import (
    AlbumScores,
    clusters_per_person,
    count_doubles,
    junk_faces,
    people_per_cluster,
    score_album,
)


def arrays(*lists: list[int]) -> list[np.ndarray]:
    return [np.array(values, np.int64) for values in lists]


@pytest.mark.parametrize(
    ("clusters", "photos", "doubles"),
    [
        ([], [], 0),
        ([0, 0, 1], [7, 8, 7], 0),
        ([0, 0, 0], [7, 7, 7], 2),
        ([0, 0, 1, 1], [7, 7, 7, 7], 2),  # two clusters, each with one too many
        ([0, 0, 0, 0], [7, 7, 8, 8], 2),
        ([-1, -1, -1], [7, 7, 7], 0),  # in no cluster
    ],
)
def test_doubles(clusters: list[int], photos: list[int], doubles: int) -> None:
    assert count_doubles(*arrays(clusters, photos)) == doubles


@pytest.mark.parametrize("seed", range(5))
def test_doubles_by_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clusters, photos = rng.integers(-1, 5, 60), rng.integers(0, 9, 60)
    pairs = Counter((c, p) for c, p in zip(clusters.tolist(), photos.tolist(), strict=True) if c >= 0)
    assert count_doubles(clusters, photos) == sum(number - 1 for number in pairs.values())


@pytest.mark.parametrize(
    ("clusters", "labelled", "junk"),
    [
        ([], [], []),
        ([3, 3, 3], [0, 0, 0], [1, 1, 1]),
        ([3, 3, 3], [0, 1, 0], [0, 0, 0]),  # a third
        ([3, 3, 3, 3], [0, 1, 0, 0], [0, 0, 0, 0]),  # a quarter, which is not under it
        ([3, 3, 3, 3, 3], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]),  # the labelled face too
        ([3, 3, 8, 8], [0, 0, 0, 0], [0, 0, 0, 0]),  # pairs
        ([-1, -1, -1], [0, 0, 0], [0, 0, 0]),  # in no cluster
        ([0, 5, 0, 5, 0, 5, -1], [0, 1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0, 0]),
    ],
)
def test_junk(clusters: list[int], labelled: list[int], junk: list[int]) -> None:
    assert junk_faces(np.array(clusters, np.int64), np.array(labelled, bool)).tolist() == junk


@pytest.mark.parametrize(
    ("clusters", "people", "per_cluster", "per_person"),
    [
        ([], [], None, None),
        ([0, 0, 1, 1], [0, 0, 1, 1], 1, 1),
        ([0, 0, 0, 0], [0, 0, 1, 1], 2, 1),
        ([0, 1, 2, 2], [0, 0, 1, 1], 1, 3 / 2),
        ([0, 0, 5, 5], [0, 1, 1, 1], 3 / 2, 3 / 2),
        ([-1, -1, -1], [0, 0, 1], None, 3 / 2),  # each counts as a cluster of its own, but not as a cluster
        ([0, 0, -1], [0, 1, 1], 2, 3 / 2),
    ],
)
def test_people_per_cluster_and_clusters_per_person(
    clusters: list[int], people: list[int], per_cluster: float | None, per_person: float | None
) -> None:
    assert people_per_cluster(*arrays(clusters, people)) == per_cluster
    assert clusters_per_person(*arrays(clusters, people)) == per_person


def test_the_whole_album() -> None:
    clusters, photos, people = arrays(
        [0, 0, 0, 1, 1, 1, 1, -1], [1, 2, 2, 3, 3, 4, 4, 5], [0, 0, -1, -1, -1, -1, -1, 1]
    )
    assert score_album(clusters, photos, people) == AlbumScores(
        faces=8, doubles=3, junk=4, junk_clusters=1, people_per_cluster=1, clusters_per_person=1
    )
