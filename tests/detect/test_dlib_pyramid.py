"""The tiled pyramid. test_dlib_cnn.py shows by the boxes that it equals dlib's own."""

from __future__ import annotations

import dlib
import numpy as np
import pytest

from faceindex.detect.dlib_pyramid import double, layout, tile, to_image
from faceindex.models.dlib_layers import PyramidInput

FORM = PyramidInput((120.0, 110.0, 100.0), 10, 11)


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (6, 300), (300, 6), (37, 61), (200, 150), (480, 1280)])
@pytest.mark.parametrize(("padding", "outer"), [(10, 11), (0, 0), (3, 1)])
def test_levels_do_not_overlap_on_the_canvas(size: tuple[int, int], padding: int, outer: int) -> None:
    places, (height, width) = layout(*size, padding=padding, outer=outer)
    assert tuple(places[0, [3, 2]]) == size
    assert (places[:, 2:] > 0).all()
    taken = np.zeros((height, width), int)
    for x, y, w, h in places:
        assert outer <= x <= x + w <= width - outer
        assert outer <= y <= y + h <= height - outer
        taken[y : y + h, x : x + w] += 1
    assert taken.max() == 1
    ratios = places[1:, 2:] / places[:-1, 2:]
    assert (ratios <= 5 / 6).all()


def test_levels_form_two_stacks() -> None:
    # Derived by hand from dlib's rules: 60 x 40, then floors of 5/6.
    places, canvas = layout(60, 40, padding=10, outer=11)
    assert places[:2].tolist() == [[11, 11, 40, 60], [11, 81, 33, 50]]
    assert canvas[1] == 40 + 22
    lefts, bottoms = places[:, 0], places[:, 1] + places[:, 3]
    second = int((lefts > 11).argmax())
    assert second > 1
    assert (lefts[second:] + places[second:, 2] == 11 + 40).all()
    assert (np.diff(bottoms[second:]) < 0).all()
    assert bottoms[second] == bottoms[second - 1]


def test_canvas_contains_the_normalised_image_and_zeros() -> None:
    image = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    canvas, places = tile(image, FORM)
    assert canvas.dtype == np.float32
    x, y, w, h = places[0]
    expected = (image.astype(np.float32) - np.array(FORM.mean, np.float32)) / 256
    np.testing.assert_array_equal(canvas[:, y : y + h, x : x + w], expected.transpose(2, 0, 1))
    for x, y, w, h in places:
        canvas[:, y : y + h, x : x + w] = 0
    assert not canvas.any()


def test_doubling_equals_dlibs() -> None:
    image = np.random.default_rng(2).integers(0, 256, (9, 14, 3), np.uint8)
    twice = double(image, 2)
    assert twice.shape == (39, 62, 3)
    np.testing.assert_array_equal(twice, dlib.resize_image(double(image, 1), 39, 62))
    np.testing.assert_array_equal(double(image, 0), image)


def test_boxes_are_mapped_back_to_the_image() -> None:
    places, _ = layout(200, 300, padding=10, outer=11)
    boxes = np.array([[x, y, x + w - 1, y + h - 1] for x, y, w, h in places], float)[:6]
    found = to_image(boxes, places)
    # Each level shows the whole image; pyramid_down<6> shifts it by 0.3 px at each step, and rounds down.
    np.testing.assert_array_equal(found[0], [0, 0, 299, 199])
    assert (found[:, :2] >= 0).all()
    assert (found[:, :2] < 0.3 * 6 / (1 - 5 / 6)).all()
    assert (np.abs(found[:, 2:] - [299, 199]) < 12).all()
    np.testing.assert_allclose(found[2, :2], 0.3 * (1 + 6 / 5))
    assert to_image(np.empty((0, 4)), places).shape == (0, 4)
