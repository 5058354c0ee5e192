"""Quarter turns: pixels, points and boxes agree, at every size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceindex.turns import TURNS, turn_boxes, turn_image, turn_points, turned_size
from faceindex.types import Detections

SIZES = st.integers(1, 40)


@given(width=SIZES, height=SIZES, turn=st.sampled_from(TURNS), corner=st.tuples(*[st.integers(0, 99)] * 4))
def test_the_box_of_a_rectangle_follows_its_pixels(
    width: int, height: int, turn: int, corner: tuple[int, ...]
) -> None:
    left, top = corner[0] % width, corner[1] % height
    right, bottom = left + 1 + corner[2] % (width - left), top + 1 + corner[3] % (height - top)
    image = np.zeros((height, width), np.uint8)
    image[top:bottom, left:right] = 1
    turned = turn_image(image, turn)
    assert turned.shape[::-1] == turned_size(width, height, turn)
    (box,) = turn_boxes(np.array([[left, top, right, bottom]], np.float32), turn, width, height)
    x1, y1, x2, y2 = box.astype(int).tolist()
    assert turned[y1:y2, x1:x2].all()
    assert turned.sum() == (y2 - y1) * (x2 - x1)


@given(
    width=SIZES,
    height=SIZES,
    turn=st.sampled_from(TURNS),
    box=st.tuples(*[st.integers(-50, 90)] * 4),
    given_turn=st.sampled_from(TURNS),
)
def test_turning_back_gives_the_same_faces(
    width: int, height: int, turn: int, box: tuple[int, ...], given_turn: int
) -> None:
    x1, x2 = sorted(box[:2])
    y1, y2 = sorted(box[2:])
    faces = Detections(
        np.array([[x1, y1, x2, y2]], np.float32),
        np.arange(10, dtype=np.float32).reshape(1, 5, 2),
        np.ones(1, np.float32),
        np.array([given_turn]),
    )
    turned = faces.turned(turn, width, height)
    back = turned.turned((360 - turn) % 360, *turned_size(width, height, turn))
    np.testing.assert_array_equal(back.boxes, faces.boxes)
    np.testing.assert_array_equal(back.landmarks, faces.landmarks)
    assert back.turns.tolist() == [given_turn]
    assert turned.boxes.dtype == turned.landmarks.dtype == np.float32


def test_a_point_moves_clockwise() -> None:
    point = np.array([10.0, 2.0], np.float32)  # near the upper left corner of 100 x 50
    assert turn_points(point, 90, 100, 50).tolist() == [48, 10]  # the upper right
    assert turn_points(point, 180, 100, 50).tolist() == [90, 48]
    assert turn_points(point, 270, 100, 50).tolist() == [2, 90]
    assert turn_points(point, 0, 100, 50).tolist() == [10, 2]


def test_missing_landmarks_stay_missing() -> None:
    assert np.isnan(turn_points(np.full((1, 5, 2), np.nan, np.float32), 90, 10, 20)).all()


@pytest.mark.parametrize("turn", TURNS)
def test_four_quarters_are_a_whole(turn: int) -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert turn_image(image, turn).flags.c_contiguous
    np.testing.assert_array_equal(turn_image(turn_image(image, turn), (360 - turn) % 360), image)


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 1, 3), (1, 1, 3)])
@pytest.mark.parametrize("turn", TURNS)
def test_images_of_one_row_or_column_have_positive_strides(shape: tuple[int, ...], turn: int) -> None:
    turned = turn_image(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape), turn)
    assert all(stride > 0 for stride in turned.strides)
