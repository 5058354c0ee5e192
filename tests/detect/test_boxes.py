"""Box arithmetic; suppression compared with the plain greedy loop."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from faceindex.detect import boxes as boxes_module
from faceindex.detect.boxes import frames, nms, square


def greedy(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float, overlap: str
) -> list[int]:
    border = np.float32(overlap == "min")
    kept: list[int] = []
    size = boxes[:, 2:] - boxes[:, :2] + border
    area = size[:, 0] * size[:, 1]
    for i in np.argsort(-scores, kind="stable"):
        free = True
        for j in kept:
            low, high = np.maximum(boxes[i, :2], boxes[j, :2]), np.minimum(boxes[i, 2:], boxes[j, 2:])
            width, height = np.maximum(high - low + border, 0)
            shared = width * height
            whole = min(area[i], area[j]) if overlap == "min" else area[i] + area[j] - shared
            free &= not shared / whole > threshold
        if free:
            kept.append(int(i))
    return kept


def random_boxes(rng: np.random.Generator, count: int, whole: bool) -> NDArray[np.float32]:
    corner = rng.uniform(-20, 100, (count, 2))
    size = rng.uniform(5, 60, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    return np.round(boxes) if whole else boxes


@pytest.mark.parametrize("overlap", ["union", "min"])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("whole", [False, True])
def test_nms_equals_the_greedy_loop(overlap: str, threshold: float, whole: bool) -> None:
    rng = np.random.default_rng(5)
    for count in (1, 2, 10, 150):
        boxes = random_boxes(rng, count, whole)
        # Few distinct scores: of equal ones, the first must be kept.
        scores = (rng.integers(0, 20, count) / 20).astype(np.float32)
        kept = nms(boxes, scores, np.zeros(count, np.int64), threshold, overlap)  # type: ignore[arg-type]
        assert kept.tolist() == greedy(boxes, scores, threshold, overlap)


def test_nms_separates_groups_and_sorts_by_group() -> None:
    rng = np.random.default_rng(6)
    boxes, scores = random_boxes(rng, 300, True), rng.random(300, np.float32)
    groups = rng.choice([0, 3, 8], 300)
    kept = nms(boxes, scores, groups, 0.5)
    expected = []
    for group in (0, 3, 8):
        members = np.flatnonzero(groups == group)
        expected += members[greedy(boxes[members], scores[members], 0.5, "union")].tolist()
    assert kept.tolist() == expected


def test_nms_does_not_depend_on_the_number_of_pairs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    boxes, scores = random_boxes(rng, 200, False), rng.random(200, np.float32)
    groups = rng.integers(0, 2, 200)
    whole = nms(boxes, scores, groups, 0.4)
    monkeypatch.setattr(boxes_module, "PAIRS", 7)
    np.testing.assert_array_equal(nms(boxes, scores, groups, 0.4), whole)


def test_nms_of_a_chain_keeps_every_other_box() -> None:
    start = np.arange(50, dtype=np.float32)[:, None] * 3
    boxes = np.concatenate([start, start * 0, start + 10, start * 0 + 10], axis=1)
    scores = np.linspace(1, 0, 50, dtype=np.float32)
    assert nms(boxes, scores, np.zeros(50, np.int64), 0.5).tolist() == list(range(0, 50, 2))


def test_nms_accepts_no_boxes_and_degenerate_boxes() -> None:
    assert nms(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), 0.5).shape == (
        0,
    )
    flat = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [5, 5, 2, 2]], np.float32)
    assert len(nms(flat, np.ones(3, np.float32), np.zeros(3, np.int64), 0.5)) == 3


def test_square_keeps_the_centre() -> None:
    found = square(np.array([[0, 0, 10, 20], [0, 0, 20, 10], [-5, -5, 5, 5]], np.float32))
    np.testing.assert_array_equal(found, [[-5, 0, 15, 20], [0, -5, 20, 15], [-5, -5, 5, 5]])


def test_boxes_counted_from_one_become_clipped_frames() -> None:
    boxes = np.array(
        [[1, 1, 4, 4], [2.9, 3.9, 5.9, 6.9], [-7, -0.5, 3, 99], [30, 1, 40, 9], [1, -9, 5, -2]], np.float32
    )
    found, inside = frames(boxes, np.tile(np.array([[20, 10]]), (5, 1)))
    np.testing.assert_array_equal(found[:3], [[0, 0, 4, 4], [1, 2, 5, 6], [0, 0, 3, 10]])
    assert inside.tolist() == [True, True, True, False, False]
