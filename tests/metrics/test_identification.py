"""Ranking and leave-one-out, compared with plain Python, `identify` and cases by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthetic_faces import made_up, unit

from faceindex.evidence import is_named, odds
from faceindex.identification import Judge, Match, identify
from faceindex.metrics import identification, leave_one_out, rank_people, weigh_people
from faceindex.models import Calibration
from faceindex.types import F32


def by_definition(vectors, people, photos, probe, consensus) -> tuple[int, float]:
    best = (-np.inf, -1)
    for person in np.unique(people):
        similarities = [
            float(vectors[probe] @ vectors[i])
            for i in range(len(people))
            if people[i] == person and photos[i] != photos[probe]
        ]
        if similarities:
            top = sorted(similarities)[-3:]
            best = max(best, (np.mean(top) + (consensus if len(top) == 3 else 0), -person))
    return -best[1], best[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("consensus", [0.0, 0.05])
def test_rank_people_by_definition(seed: int, consensus: float, monkeypatch) -> None:
    monkeypatch.setattr(identification, "BLOCK_BYTES", 300)  # several blocks
    vectors, people, photos = made_up(seed)
    best, similarity = rank_people(
        vectors, vectors, people, probe_photos=photos, gallery_photos=photos, consensus=consensus
    )
    for i in range(len(people)):
        person, value = by_definition(vectors, people, photos, i, consensus)
        assert best[i] == person
        assert similarity[i] == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_rank_people_agrees_with_identify(seed: int, monkeypatch) -> None:
    monkeypatch.setattr(identification, "BLOCK_BYTES", 300)  # several blocks
    vectors, people, _ = made_up(seed, people=12)
    is_probe = np.arange(len(people)) % 3 == 0
    gallery, gallery_people = vectors[~is_probe], people[~is_probe]

    def search(queries: F32, k: int) -> tuple[np.ndarray, F32]:
        products = queries @ gallery.T
        order = np.argsort(-products, axis=1)[:, :k]
        return order, np.take_along_axis(products, order, 1)

    def answers(**options: Any) -> list[Match]:
        faces = np.arange(len(gallery_people))
        return identify(vectors[is_probe], search, faces=faces, clusters=gallery_people, **options)

    matches = answers(threshold=0.5)
    best, similarity = rank_people(vectors[is_probe], gallery, gallery_people)
    assert [match.nearest_cluster for match in matches] == best.tolist()
    assert [match.cluster is not None for match in matches] == (similarity >= 0.5).tolist()

    # In `identify`, clusters that are not among the five most similar ones are no candidates.
    monkeypatch.setattr("faceindex.identification.matching._CANDIDATES", 12)
    calibration = Calibration(slope=20.0, midpoint=0.5, source="made up")
    quality = np.linspace(0, 1, int(is_probe.sum()), dtype=np.float32)
    matches = answers(judge=Judge(calibration, lambda positions: gallery[positions]), quality=quality)
    best, ranking = weigh_people(vectors[is_probe], gallery, gallery_people, calibration)
    worth = odds(ranking, calibration, quality)
    assert [match.nearest_cluster for match in matches] == best.tolist()
    assert [match.probability for match in matches] == pytest.approx(worth.probability.tolist(), abs=1e-4)
    assert [match.margin for match in matches] == pytest.approx(
        (ranking.best - ranking.second) / 20, abs=1e-4
    )
    assert [match.cluster is not None for match in matches] == is_named(worth).tolist()


def test_rank_people_without_a_gallery() -> None:
    vectors = unit(np.eye(2))
    best, similarity = rank_people(vectors, vectors[:0], np.empty(0, np.int64))
    assert best.tolist() == [-1, -1]
    assert np.isneginf(similarity).all()
    # All faces of the gallery are on the photo of the probe.
    photos = np.zeros(2, np.int64)
    best, _ = rank_people(vectors, vectors, np.array([0, 1]), probe_photos=photos, gallery_photos=photos)
    assert best.tolist() == [-1, -1]


def test_leave_one_out_by_hand() -> None:
    # Angles in degrees: Ann at 0, 1 and 21, Bob at 20 and 24. Cai has one photo, Dee two faces on one photo.
    angles = np.radians([0, 1, 21, 20, 24, 60, 80, 81])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    people = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    photos = np.array([0, 1, 2, 3, 4, 5, 6, 6])
    found = leave_one_out(vectors, people, photos)
    assert (found.searched, found.no_other_photo) == (5, 3)
    # Ann's third face is 1 and 3 degrees from Bob's two, and 20 and 21 from her own. Bob's first face is 20,
    # 19 and 1 degrees from Ann's, which is farther on average than 4 degrees from his own.
    assert found.wrong.tolist() == [2]
    assert found.predicted.tolist() == [1]
    assert (found.right, found.rate) == (4, 4 / 5)
    assert leave_one_out(vectors[5:], people[5:], photos[5:]).rate is None
