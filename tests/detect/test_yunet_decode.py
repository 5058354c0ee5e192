"""Decoding and suppression of YuNet's output, compared with loops over cells and boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from faceindex.detect import yunet_decode
from faceindex.detect.yunet_decode import (
    OVERLAP,
    STRIDES,
    Candidates,
    average_landmarks,
    canvas,
    decode,
    suppress,
    to_input,
)

Outputs = list[NDArray[np.float32]]


def random_outputs(images: int, size: tuple[int, int], seed: int) -> Outputs:
    """Return outputs of the shapes of the network; some probabilities lie outside of 0 to 1."""
    random = np.random.default_rng(seed)
    outputs: Outputs = []
    for numbers, low, high in ((1, -0.1, 1.1), (1, -0.1, 1.1), (4, -1.0, 1.0), (10, -2.0, 2.0)):
        for stride in STRIDES:
            cells = images * (size[0] // stride) * (size[1] // stride)
            outputs.append(random.uniform(low, high, (1, cells, numbers)).astype(np.float32))
    return outputs


def decoded_in_loops(
    outputs: Outputs, images: int, size: tuple[int, int], threshold: float
) -> list[tuple[Any, ...]]:
    found = []
    for level, stride in enumerate(STRIDES):
        rows, columns = size[0] // stride, size[1] // stride
        for image in range(images):
            for row in range(rows):
                for column in range(columns):
                    cell = (image * rows + row) * columns + column
                    face, thing, box, points = (float_list(outputs[level + 3 * k][0, cell]) for k in range(4))
                    score = math.sqrt(min(max(face[0], 0), 1) * min(max(thing[0], 0), 1))
                    if score < threshold:
                        continue
                    x, y = (column + box[0]) * stride, (row + box[1]) * stride
                    width, height = math.exp(box[2]) * stride, math.exp(box[3]) * stride
                    landmarks = [
                        ((column + points[2 * n]) * stride, (row + points[2 * n + 1]) * stride)
                        for n in range(5)
                    ]
                    edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                    found.append((image, score, edges, landmarks))
    return found


def float_list(values: NDArray[np.float32]) -> list[float]:
    return [float(value) for value in values]


@pytest.mark.parametrize(("images", "size"), [(1, (32, 32)), (1, (64, 160)), (3, (96, 64))])
def test_decode_equals_a_loop_over_cells(images: int, size: tuple[int, int]) -> None:
    outputs = random_outputs(images, size, seed=images)
    found = decode(outputs, size, 0.5)
    expected = decoded_in_loops(outputs, images, size, 0.5)
    assert len(expected) > 5
    assert found.owners.tolist() == [owner for owner, *_ in expected]
    np.testing.assert_allclose(found.scores, [score for _, score, *_ in expected], atol=1e-6)
    np.testing.assert_allclose(found.boxes, [edges for *_, edges, _ in expected], atol=1e-4)
    np.testing.assert_allclose(found.landmarks, [points for *_, points in expected], atol=1e-4)
    assert found.boxes.dtype == found.landmarks.dtype == found.scores.dtype == np.float32


def test_decode_without_faces_returns_empty_arrays() -> None:
    outputs = [np.zeros_like(output) for output in random_outputs(2, (32, 64), seed=0)]
    found = decode(outputs, (32, 64), 0.1)
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)
    assert found.scores.shape == found.owners.shape == (0,)


def suppressed_in_loops(found: Candidates) -> list[int]:
    """Return the candidates that remain, by image and score, with boxes of whole pixels as in OpenCV."""

    def whole(i: int) -> tuple[int, int, int, int]:
        x1, y1, x2, y2 = (float(value) for value in found.boxes[i])
        return int(x1), int(y1), int(np.float32(x2 - x1)), int(np.float32(y2 - y1))

    def overlap(a: int, b: int) -> float:
        (ax, ay, aw, ah), (bx, by, bw, bh) = whole(a), whole(b)
        width = max(0, min(ax + aw, bx + bw) - max(ax, bx))
        height = max(0, min(ay + ah, by + bh) - max(ay, by))
        return width * height / (aw * ah + bw * bh - width * height)

    kept: list[int] = []
    for i in sorted(range(len(found.scores)), key=lambda i: (found.owners[i], -found.scores[i])):
        if all(found.owners[j] != found.owners[i] or overlap(i, j) <= OVERLAP for j in kept):
            kept.append(i)
    return kept


def test_suppress_equals_a_loop_over_boxes() -> None:
    found = decode(random_outputs(2, (96, 96), seed=5), (96, 96), 0.6)
    expected = suppressed_in_loops(found)
    kept = suppress(found)
    assert 5 < len(expected) < len(found.scores)
    np.testing.assert_array_equal(kept.boxes, found.boxes[expected])
    np.testing.assert_array_equal(kept.scores, found.scores[expected])
    np.testing.assert_array_equal(kept.owners, found.owners[expected])


def test_landmarks_are_the_means_of_the_cells_of_a_face() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 6, 10, 16], [0, 0, 10, 10]], np.float32)
    landmarks = np.arange(4 * 10, dtype=np.float32).reshape(4, 5, 2)
    scores = np.array([0.9, 0.3, 0.8, 0.7], np.float32)
    cells = Candidates(boxes, landmarks, scores, np.array([0, 0, 0, 1]))
    faces = average_landmarks(cells.pick(np.array([0, 2, 3])), cells)
    np.testing.assert_allclose(faces.landmarks[0], (0.9 * landmarks[0] + 0.3 * landmarks[1]) / 1.2, rtol=1e-6)
    np.testing.assert_allclose(faces.landmarks[1:], landmarks[2:])  # another place, another image
    np.testing.assert_array_equal(faces.boxes, boxes[[0, 2, 3]])
    np.testing.assert_array_equal(faces.scores, scores[[0, 2, 3]])


def test_landmarks_of_many_faces_are_averaged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = decode(random_outputs(2, (96, 96), seed=6), (96, 96), 0.5)
    faces = suppress(cells)
    whole = average_landmarks(faces, cells)
    monkeypatch.setattr(yunet_decode, "PAIRS", 3 * len(cells.scores))
    np.testing.assert_allclose(
        average_landmarks(faces, cells).landmarks, whole.landmarks, rtol=1e-5, atol=1e-4
    )
    assert np.abs(whole.landmarks - faces.landmarks).max() > 1


def test_without_faces_nothing_is_averaged() -> None:
    outputs = [np.zeros_like(output) for output in random_outputs(1, (32, 64), seed=0)]
    cells = decode(outputs, (32, 64), 0.1)
    assert average_landmarks(cells, cells).landmarks.shape == (0, 5, 2)


def test_the_input_is_padded_on_the_right_and_below() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    batch = to_input([image, image[:1]], canvas((2, 3)))
    assert batch.shape == (2, 3, 32, 32)
    np.testing.assert_array_equal(batch[0, :, :2, :3], image[:, :, ::-1].transpose(2, 0, 1))
    assert batch[0].sum() == image.sum()
    assert batch[1].sum() == image[:1].sum()


@pytest.mark.parametrize(
    ("shape", "expected"), [((1, 1), (32, 32)), ((32, 33), (32, 64)), ((100, 640), (128, 640))]
)
def test_the_canvas_is_the_next_multiple_of_32(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert canvas(shape) == expected
