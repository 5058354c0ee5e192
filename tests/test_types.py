"""Plain data: shapes, selection, scaling."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from faceindex.types import Detections, Faces, Graph


def three() -> Detections:
    return Detections(
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.arange(30, dtype=np.float32).reshape(3, 5, 2),
        np.array([0.9, 0.8, 0.7], np.float32),
    )


def test_empty_detections_have_the_right_shapes_and_dtypes() -> None:
    empty = Detections.empty()
    assert len(empty) == 0
    assert (empty.boxes.shape, empty.landmarks.shape, empty.scores.shape) == ((0, 4), (0, 5, 2), (0,))
    assert {empty.boxes.dtype, empty.landmarks.dtype, empty.scores.dtype} == {np.dtype(np.float32)}
    assert len(empty.scaled(2)) == 0


@pytest.mark.parametrize(
    "which", [slice(0, 2), np.array([True, True, False]), np.array([0, 1]), [0, 1]], ids=type
)
def test_selection_applies_to_boxes_landmarks_and_scores(which: object) -> None:
    selected = three()[which]
    assert len(selected) == 2
    np.testing.assert_array_equal(selected.boxes, three().boxes[:2])
    np.testing.assert_array_equal(selected.landmarks, three().landmarks[:2])
    np.testing.assert_array_equal(selected.scores, three().scores[:2])


def test_scaling_by_one_factor_or_by_x_and_y() -> None:
    scaled = three().scaled((2, 10))
    np.testing.assert_array_equal(scaled.boxes[1], [8, 50, 12, 70])
    np.testing.assert_array_equal(scaled.landmarks[0, 1], [4, 30])
    np.testing.assert_array_equal(scaled.scores, three().scores)
    assert scaled.boxes.dtype == scaled.landmarks.dtype == np.float32
    np.testing.assert_array_equal(three().scaled(3).boxes, three().scaled((3, 3)).boxes)


def test_scaling_keeps_missing_landmarks() -> None:
    faces = three()
    faces.landmarks[:] = np.nan
    assert np.isnan(faces.scaled(0.5).landmarks).all()


def test_the_length_is_the_number_of_faces_or_nodes() -> None:
    faces = Faces(
        three().boxes,
        three().landmarks,
        three().scores,
        np.eye(3, dtype=np.float32),
        np.ones(3, "f4"),
        np.ones(3, "f4"),
    )
    graph = Graph(np.zeros(4, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    assert (len(faces), len(graph)) == (3, 3)


def test_fields_cannot_be_replaced() -> None:
    with pytest.raises(FrozenInstanceError):
        three().boxes = np.empty((0, 4), np.float32)  # type: ignore[misc]
