from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from faceindex.detect.dlib_common import PixelBudget, doublings, from_dlib, up_to_down


@pytest.mark.parametrize(("upsample", "most", "times"), [(2, 1600, 2), (2, 1599, 1), (3, 100, 0), (1, 9, 0)])
def test_doublings(upsample: int, most: int, times: int) -> None:
    assert doublings(np.empty((10, 10, 3), np.uint8), upsample, most) == times


def test_boxes_of_a_doubled_image() -> None:
    boxes = np.array([[10.0, 20, 30, 40]])
    np.testing.assert_array_equal(up_to_down(boxes, 0), boxes)
    np.testing.assert_array_equal(up_to_down(boxes, 1), [[3.75, 9.25, 13.75, 19.25]])
    np.testing.assert_array_equal(up_to_down(boxes, 2), [[0.625, 3.875, 5.625, 8.875]])


def test_scores_keep_the_order_of_confidences() -> None:
    found = from_dlib(np.arange(16.0).reshape(4, 4), np.array([0.25, 3, 0.25, 0]))
    np.testing.assert_array_equal(found.boxes[:, 0], [4, 0, 8, 12])
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-3, -0.25, -0.25, 0])), rtol=1e-6)
    assert found.scores[-1] == 0.5


def test_a_budget_is_kept_and_the_too_large_goes_alone() -> None:
    budget = PixelBudget(10)
    now, seen, lock = [0, 0], [(0, 0)], threading.Lock()

    def work(pixels: int) -> None:
        with budget.spend(pixels):
            with lock:
                now[0] += pixels
                now[1] += 1
                seen.append((now[0], now[1]))
            threading.Event().wait(0.002)
            with lock:
                now[0] -= pixels
                now[1] -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [3, 4, 20, 5, 3, 3, 20, 1] * 3))
    assert max(count for _, count in seen) >= 2
    assert all(pixels <= 10 or count == 1 for pixels, count in seen)
