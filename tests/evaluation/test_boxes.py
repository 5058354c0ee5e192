"""Labels by boxes: the detected face in each labelled box."""

from __future__ import annotations

import numpy as np
import pytest

from faceindex.errors import UsageError
from faceindex.evaluation.boxes import LabelledBox, faces_in_boxes, match_labelled_boxes, parse_box

FACE = (40, 50, 60, 70)  # centre 50, 60


def find(boxes: list[tuple[float, ...]], faces: list[tuple[float, ...]]) -> list[int]:
    found = faces_in_boxes(np.array(boxes, float).reshape(-1, 4), np.array(faces, np.float32).reshape(-1, 4))
    assert found.dtype == np.int64
    return [int(face) for face in found]


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((30, 0, 70, 80), True),  # head and hair
        ((50, 60, 90, 90), True),  # the centre on the corner
        ((51, 0, 90, 90), False),
        ((0, 0, 90, 59), False),
        ((49, 59, 51, 61), True),  # smaller than the face
    ],
)
def test_the_centre_of_the_face_must_be_in_the_box(box: tuple[float, ...], inside: bool) -> None:
    assert find([box], [FACE]) == [0 if inside else -1]


def test_of_two_faces_the_nearer_one_is_taken() -> None:
    assert find([(0, 0, 100, 100)], [(0, 0, 10, 10), FACE, (80, 80, 90, 90)]) == [1]


def test_a_box_and_a_face_are_in_one_pair_at_most() -> None:
    same = (30, 40, 70, 80)
    assert find([same, same], [FACE]) == [0, -1]
    assert find([same], [FACE, FACE]) == [0]
    assert find([same, same], [FACE, FACE]) == [0, 1]


def test_distances_are_relative_to_the_box() -> None:
    """A small head in front of a large one: the large box contains both faces."""
    large, small = (0, 0, 200, 200), (100, 100, 140, 140)
    face_of_large, face_of_small = (30, 50, 110, 150), (104, 106, 136, 138)
    assert find([large, small], [face_of_small, face_of_large]) == [1, 0]


def test_without_boxes_or_faces() -> None:
    assert find([], [FACE]) == []
    assert find([FACE], []) == [-1]


def test_photos_are_matched_apart() -> None:
    boxes = [
        LabelledBox(2, 7, "a.jpg", "Ann", (30, 0, 70, 80)),
        LabelledBox(3, 7, "a.jpg", "Bob", (200, 0, 270, 80)),
        LabelledBox(4, 8, "b.jpg", "Bob", (30, 0, 70, 80)),
        LabelledBox(5, 9, "c.jpg", "Cid", (30, 0, 70, 80)),
    ]
    faces = np.array([10, 11, 12, 13])
    photos = np.array([8, 7, 7, 6])  # photo 6 has no box, photo 9 no face
    found = match_labelled_boxes(
        boxes, faces, photos, np.array([FACE, FACE, (90, 0, 99, 9), FACE], np.float32)
    )
    assert found.label_of == {10: "Bob", 11: "Ann"}
    assert found.without_face == [boxes[1], boxes[3]]
    assert found.without_box == [2]
    assert (found.boxes, found.photos) == (boxes, 3)


def test_numbers_of_a_box() -> None:
    assert parse_box("a.csv", 2, ["1", "-2.5", "3e1", "+4"]) == (1, -2.5, 30, 4)
    with pytest.raises(UsageError, match=r"a\.csv, line 2: x2 is 'wide', which is not a number") as info:
        parse_box("a.csv", 2, ["1", "2", "wide", "4"])
    assert "pixels" in info.value.remedy
    with pytest.raises(UsageError, match=r"line 9: the box 3 0 1 4 has no area"):
        parse_box("a.csv", 9, ["3", "0", "1", "4"])
