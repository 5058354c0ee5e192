"""Ranking, leave-one-out and open set, compared with plain Python, `identify` and cases by hand."""

from __future__ import annotations

import numpy as np
import pytest

from faceindex.identification import identify
from faceindex.metrics import identification, leave_one_out, open_set, rank_people
from faceindex.types import F32


def unit(vectors: np.ndarray) -> F32:
    units: F32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units


def made_up(seed: int, people: int = 7, spread: float = 0.8) -> tuple[F32, np.ndarray, np.ndarray]:
    """Make faces of people with one to six faces each; some photos have two faces."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(people), rng.integers(1, 7, people))
    vectors = unit(rng.standard_normal((people, 8))[truth] + spread * rng.standard_normal((len(truth), 8)))
    return vectors, truth, np.arange(len(truth)) // 2 * 2 + (rng.random(len(truth)) < 0.7)


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
def test_rank_people_agrees_with_identify(seed: int) -> None:
    vectors, people, _ = made_up(seed, people=12)
    is_probe = np.arange(len(people)) % 3 == 0
    gallery, gallery_people = vectors[~is_probe], people[~is_probe]

    def search(queries: F32, k: int) -> tuple[np.ndarray, F32]:
        products = queries @ gallery.T
        order = np.argsort(-products, axis=1)[:, :k]
        return order, np.take_along_axis(products, order, 1)

    matches = identify(
        vectors[is_probe],
        search,
        faces=np.arange(len(gallery_people)),
        clusters=gallery_people,
        threshold=0.5,
        consensus=0.05,
    )
    best, similarity = rank_people(vectors[is_probe], gallery, gallery_people, consensus=0.05)
    assert [match.nearest_cluster for match in matches] == best.tolist()
    assert [match.cluster is not None for match in matches] == (similarity >= 0.5).tolist()


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


def test_open_set_separates_known_people_from_strangers() -> None:
    vectors, people, _ = made_up(0, people=40, spread=0.05)
    found = open_set(vectors, people, np.arange(len(people)), repeats=3, threshold=lambda n: 0.97)
    assert found is not None
    assert (found.enrolled, found.strangers, found.repeats) == (20, 20, 3)
    assert found.gallery + found.mated + found.non_mated == len(people)
    assert [point.target for point in found.points] == [0.01, 0.001, None]
    assert all(point.tpir > 0.9 and point.fpir <= (point.target or 0.05) for point in found.points)
    assert not found.points[0].resolved  # fewer than a hundred non-mated searches


def test_open_set_rates_by_definition(monkeypatch) -> None:
    """TPIR at an FPIR is the highest of all thresholds whose FPIR is no greater."""
    recorded = []
    original = identification._operating_point

    def record(trials, target):
        recorded.append((list(trials), target))
        return original(trials, target)

    monkeypatch.setattr(identification, "_operating_point", record)
    vectors, people, _ = made_up(1, people=60, spread=1.0)
    found = open_set(vectors, people, np.arange(len(people)), rates=(0.1, 0.3), repeats=2)
    assert found is not None
    for (trials, target), point in zip(recorded, found.points, strict=True):
        tpirs = []
        for trial in trials:
            thresholds = [
                t for t in [*trial.mated, *trial.non_mated] if np.mean(trial.non_mated >= t) <= target
            ]
            tpirs.append(max((np.mean(trial.mated >= t) for t in thresholds if t > -np.inf), default=0.0))
        assert point.tpir == pytest.approx(np.mean(tpirs))
        assert point.tpir_std == pytest.approx(np.std(tpirs, ddof=1))
        assert point.resolved


def test_open_set_is_seeded() -> None:
    vectors, people, photos = made_up(2, people=30)
    assert open_set(vectors, people, photos, seed=5) == open_set(vectors, people, photos, seed=5)
    assert open_set(vectors, people, photos, seed=5) != open_set(vectors, people, photos, seed=6)


@pytest.mark.parametrize(
    "people",
    [[0, 0, 0], [0, 1, 2, 3]],
    ids=["one person", "one photo each"],
)
def test_open_set_of_too_few(people: list[int]) -> None:
    vectors = unit(np.random.default_rng(0).standard_normal((len(people), 4)))
    assert open_set(vectors, np.array(people), np.arange(len(people))) is None
