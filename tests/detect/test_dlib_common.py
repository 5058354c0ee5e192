"""Code that dlib's two detectors share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from faceindex.detect.dlib_common import PixelBudget, doublings, from_doubled, to_detections


@pytest.mark.parametrize(("upsample", "most", "times"), [(2, 1600, 2), (2, 1599, 1), (3, 100, 0), (1, 9, 0)])
def test_an_image_is_doubled_until_it_would_exceed_the_limit(upsample: int, most: int, times: int) -> None:
    assert doublings(np.empty((10, 10, 3), np.uint8), upsample, most) == times


def test_boxes_of_a_doubled_image_are_mapped_to_the_original() -> None:
    boxes = np.array([[10.0, 20, 30, 40]])
    np.testing.assert_array_equal(from_doubled(boxes, 0), boxes)
    np.testing.assert_array_equal(from_doubled(boxes, 1), [[3.75, 9.25, 13.75, 19.25]])
    np.testing.assert_array_equal(from_doubled(boxes, 2), [[0.625, 3.875, 5.625, 8.875]])


def test_scores_are_the_logistic_function_of_confidences_in_descending_order() -> None:
    found = to_detections(np.arange(16.0).reshape(4, 4), np.array([0.25, 3, 0.25, 0]))
    np.testing.assert_array_equal(found.boxes[:, 0], [4, 0, 8, 12])
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-3, -0.25, -0.25, 0])), rtol=1e-6)
    assert found.scores[-1] == 0.5


def test_a_budget_is_not_exceeded_and_a_larger_image_runs_alone() -> None:
    budget = PixelBudget(10)
    running, seen, lock = [0, 0], [(0, 0)], threading.Lock()

    def work(pixels: int) -> None:
        with budget.reserve(pixels):
            with lock:
                running[0] += pixels
                running[1] += 1
                seen.append((running[0], running[1]))
            threading.Event().wait(0.002)
            with lock:
                running[0] -= pixels
                running[1] -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [3, 4, 20, 5, 3, 3, 20, 1] * 3))
    assert max(count for _, count in seen) >= 2
    assert all(pixels <= 10 or count == 1 for pixels, count in seen)
