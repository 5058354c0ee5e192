from __future__ import annotations

import dataclasses
import zlib
from datetime import datetime, timezone

import numpy as np
import pytest

from faceindex.errors import EmptyResultError
from faceindex.evaluation.calibration import calibrate_with_labels, calibrate_without_labels
from faceindex.evaluation.labelled import Labelled
from faceindex.models.calibrations import in_range
from faceindex.store import FaceTable
from faceindex.types import F32, I64


def group_photos(
    people: int = 30, photos: int = 200, *, on_one: int = 4, noise: float = 0.6, seed: int = 0
) -> tuple[FaceTable, F32, I64]:
    """Photos that show `on_one` different people each; the table, the vectors and the person of each face."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((people, 48))
    who = np.concatenate([rng.choice(people, on_one, replace=False) for _ in range(photos)])
    vectors = centres[who] + noise * rng.standard_normal((len(who), 48))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    n = len(who)
    left = 100.0 * (np.arange(n) % on_one)
    boxes = np.stack([left, np.zeros(n), left + 80, np.full(n, 80.0)], axis=1).astype(np.float32)
    table = FaceTable(
        face=np.arange(n),
        row=np.arange(n),
        photo=np.repeat(np.arange(photos), on_one),
        boxes=boxes,
        landmarks=np.full((n, 5, 2), np.nan, np.float32),
        scores=np.ones(n, np.float32),
        norms=np.ones(n, np.float32),
        sharpness=np.full(n, 0.3, np.float32),
        quality=np.ones(n, np.float32),
        turns=np.zeros(n, np.int64),
        cluster=np.full(n, -1),
        similarity=np.full(n, np.nan, np.float32),
    )
    return table, vectors.astype(np.float32), who.astype(np.int64)


def labels(who: I64) -> Labelled:
    names = [f"person {i:02}" for i in range(who.max() + 1)]
    return Labelled("folders", "all", np.arange(len(who)), who, names, np.bincount(who), 0, [])


def everything(table: FaceTable) -> np.ndarray:
    return np.ones(len(table), bool)


def test_without_labels_the_threshold_is_nearly_that_with_labels() -> None:
    """Within 0.03 among the faces of the album; the slope within a half."""
    table, vectors, who = group_photos()
    known = calibrate_with_labels(table, vectors, labels(who), everything(table), detector="fake")
    found = calibrate_without_labels(table, vectors, everything(table), detector="fake")
    assert found.calibration.slope == pytest.approx(known.calibration.slope, rel=0.5)
    assert found.calibration.threshold(800) == pytest.approx(known.calibration.threshold(800), abs=0.03)
    assert (known.method, known.faces, known.people, known.photos) == ("labels", 800, 30, 200)
    assert (found.method, found.faces, found.people, found.photos) == ("photos", 800, 0, 200)
    assert found.different_pairs == 200 * 6
    assert known.different_pairs + known.same_pairs == 800 * 799 // 2
    assert found.same_pairs == pytest.approx(known.same_pairs, rel=0.2)
    assert found.calibration.consensus == found.calibration.blurred == 0
    for result in (known, found):
        assert len(result.halves) == 2
        assert result.disagreement is not None
        assert result.disagreement < 2
        assert result.warnings == []
        assert f"{datetime.now(timezone.utc):%Y-%m-%d} with fake" in result.calibration.source


def test_halves_of_the_people_that_disagree_are_a_warning() -> None:
    table, vectors, who = group_photos(people=12)
    known = labels(who)
    alike = calibrate_with_labels(table, vectors, known, everything(table), detector="fake")
    assert alike.warnings == []
    rng = np.random.default_rng(3)
    order = sorted(range(12), key=lambda person: zlib.crc32(known.names[person].encode()))
    relatives = np.isin(who, order[::2])  # one half of the people resemble each other
    changed = vectors + relatives[:, None] * 0.35 * rng.standard_normal(48).astype(np.float32)
    changed /= np.linalg.norm(changed, axis=1, keepdims=True)
    result = calibrate_with_labels(table, changed, known, everything(table), detector="fake")
    assert result.disagreement is not None
    assert result.disagreement > 2
    assert any("halves of the people disagree" in warning for warning in result.warnings)


def test_too_few_labelled_people_are_counted() -> None:
    table, vectors, who = group_photos(people=4, photos=50)
    with pytest.raises(EmptyResultError, match="of 4 people") as caught:
        calibrate_with_labels(table, vectors, labels(who), everything(table), detector="fake")
    assert "5 people" in caught.value.remedy


def test_labels_without_meaning_are_refused() -> None:
    table, vectors, who = group_photos(people=10, photos=60)
    rng = np.random.default_rng(1)
    random = labels(rng.permutation(who))
    with pytest.raises(EmptyResultError):
        calibrate_with_labels(table, rng.permutation(vectors), random, everything(table), detector="fake")


@pytest.mark.parametrize(("photos", "on_one"), [(30, 6), (300, 1), (50, 2)])
def test_too_few_group_photos_are_counted(photos: int, on_one: int) -> None:
    table, vectors, _ = group_photos(photos=photos, on_one=on_one)
    pairs = photos * on_one * (on_one - 1) // 2
    with pytest.raises(EmptyResultError, match=f"{pairs:,} pairs of faces on") as caught:
        calibrate_without_labels(table, vectors, everything(table), detector="fake")
    assert "400 pairs on 40 photos" in caught.value.remedy


def test_nobody_on_two_photos() -> None:
    table, vectors, _ = group_photos(people=800, photos=200, noise=0.1)
    rng = np.random.default_rng(2)
    strangers = rng.standard_normal(vectors.shape)
    strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
    with pytest.raises(EmptyResultError, match="Hardly any faces on different photos"):
        calibrate_without_labels(table, strangers.astype(np.float32), everything(table), detector="fake")


def test_copies_and_faces_found_twice_are_left_out() -> None:
    table, vectors, _ = group_photos()
    clean = calibrate_without_labels(table, vectors, everything(table), detector="fake")
    original = everything(table)
    original[400:] = False
    half = calibrate_without_labels(table, vectors, original, detector="fake")
    assert (half.faces, half.different_pairs) == (400, 600)
    boxes = table.boxes.copy()
    boxes[1::4] = boxes[::4] + 5  # the second face of each photo is the first
    twice = dataclasses.replace(table, boxes=boxes)
    found = calibrate_without_labels(twice, vectors, everything(table), detector="fake")
    assert found.different_pairs == clean.different_pairs - 200


@pytest.mark.parametrize("noise", [0.1, 1.5])
def test_very_good_and_very_bad_embedders_get_numbers_that_can_be_stored(noise: float) -> None:
    table, vectors, who = group_photos(40, noise=noise)
    found = calibrate_with_labels(table, vectors, labels(who), everything(table), detector="fake").calibration
    for name in ("slope", "midpoint", "consensus", "blurred", "strangers", "known", "poor"):
        assert in_range(name, getattr(found, name)) == getattr(found, name)
