from __future__ import annotations

import numpy as np
import pytest

from faceindex.matching import LEAST_OVERLAP, match_boxes, match_pairs
from faceindex.types import F32


def boxes(*rows: tuple[float, float, float, float]) -> F32:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_each_face_finds_its_box_under_another_order_and_scale() -> None:
    rng = np.random.default_rng(0)
    corner = np.stack(np.meshgrid(np.arange(5) * 100, np.arange(4) * 100), axis=2).reshape(-1, 2)
    old = np.concatenate([corner + 20, corner + 80], axis=1).astype(np.float32)
    order = rng.permutation(len(old))
    grown = old[order] + np.array([-8, -2, 8, 14], np.float32) + rng.uniform(-3, 3, old.shape)
    np.testing.assert_array_equal(match_boxes(old, grown.astype(np.float32)), order)


def test_each_box_is_in_one_pair_the_best_first() -> None:
    old = boxes((0, 0, 10, 10))
    new = boxes((0, 0, 12, 12), (0, 0, 10, 11), (1, 1, 11, 11))
    assert match_boxes(old, new).tolist() == [-1, 0, -1]
    assert match_boxes(new, old).tolist() == [1]
    # The second best old box is free.
    assert match_boxes(
        boxes((0, 0, 10, 10), (2, 0, 12, 10)), boxes((0, 0, 10, 10), (1, 0, 11, 10))
    ).tolist() == [
        0,
        1,
    ]


@pytest.mark.parametrize(
    "new",
    [
        (20, 0, 30, 10),  # beside it
        (6, 0, 16, 10),  # overlaps, but neither contains the centre of the other
        (-20, -20, 30, 30),  # contains it, but is far larger
        (4, 4, 6, 6),  # a part of it
        (0, 0, 0, 0),
    ],
)
def test_boxes_of_other_faces_do_not_match(new: tuple[float, float, float, float]) -> None:
    assert match_boxes(boxes((0, 0, 10, 10)), boxes(new)).tolist() == [-1]


def test_the_least_overlap() -> None:
    side = 10 / LEAST_OVERLAP**0.5  # a square of the same centre whose overlap is the least
    for factor, expected in ((0.99, 0), (1.01, -1)):
        half = side * factor / 2
        assert match_boxes(
            boxes((0, 0, 10, 10)), boxes((5 - half, 5 - half, 5 + half, 5 + half))
        ).tolist() == [expected]


def test_many_photos_at_once_are_matched_as_each_on_its_own() -> None:
    rng = np.random.default_rng(0)
    corners = [rng.integers(0, 20, (2, n, 2)).astype(np.float32) for n in rng.integers(0, 5, 200)]
    photos = [np.concatenate([a, a + 4 + 3 * b % 9], axis=1) for a, b in corners]
    expected, pairs, start = set(), [], [0, 0]
    for old, new in zip(photos[:100], photos[100:], strict=True):
        for j, i in enumerate(match_boxes(old, new).tolist()):
            if i >= 0:
                expected.add((start[0] + i, start[1] + j))
        pairs += [(a, b, start[0] + i, start[1] + j) for i, a in enumerate(old) for j, b in enumerate(new)]
        start = [start[0] + len(old), start[1] + len(new)]
    olds, news, which_old, which_new = zip(*pairs, strict=True)
    matched = match_pairs(np.array(olds), np.array(news), np.array(which_old), np.array(which_new))
    assert {(which_old[pair], which_new[pair]) for pair in matched.tolist()} == expected
    assert len(expected) > 20


@pytest.mark.parametrize(("m", "n"), [(0, 0), (0, 2), (2, 0)])
def test_without_faces(m: int, n: int) -> None:
    found = match_boxes(np.ones((m, 4), np.float32), np.ones((n, 4), np.float32))
    assert found.tolist() == [-1] * n
    assert found.dtype == np.int64
