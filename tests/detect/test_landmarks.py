from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from faceindex.detect.landmarks import LandmarkNet
from faceindex.detect.mtcnn import MTCNN
from faceindex.models import get
from faceindex.types import Detections, Image


@pytest.fixture(scope="module")
def net() -> LandmarkNet:
    return LandmarkNet(get("detector", "mtcnn").weights[2])


@pytest.fixture(scope="module")
def portrait() -> Image:
    skimage = pytest.importorskip("skimage", reason="scikit-image is not installed")
    return np.array(PIL.Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png").convert("RGB"))


@pytest.fixture(scope="module")
def found(portrait: Image) -> Detections:
    """The face on the portrait, found by MTCNN."""
    return MTCNN(get("detector", "mtcnn"), min_face=40).detect([portrait])[0][:1]


def without_landmarks(faces: Detections) -> Detections:
    return Detections(faces.boxes, np.full_like(faces.landmarks, np.nan), faces.scores)


def test_landmarks_are_those_of_mtcnn(net: LandmarkNet, portrait: Image, found: Detections) -> None:
    (located,) = net.locate([portrait], [without_landmarks(found)])
    side = float((found.boxes[0, 2:] - found.boxes[0, :2]).max())
    assert np.abs(located.landmarks - found.landmarks).max() < 0.04 * side
    np.testing.assert_array_equal(located.boxes, found.boxes)


def test_landmarks_follow_the_scale_of_the_image(
    net: LandmarkNet, portrait: Image, found: Detections
) -> None:
    large = portrait.repeat(9, 0).repeat(9, 1)  # the crop loses rows and columns before it is averaged
    (once,), (again,) = (
        net.locate([portrait], [found]),
        net.locate([large], [found.scaled(9)]),
    )
    side = float((found.boxes[0, 2:] - found.boxes[0, :2]).max())
    assert np.abs(again.landmarks / 9 - once.landmarks).max() < 0.03 * side


def test_faces_keep_their_photos_and_order(net: LandmarkNet, portrait: Image, found: Detections) -> None:
    twice = Detections(
        np.concatenate([found.boxes, found.boxes + 4]),
        np.concatenate([found.landmarks] * 2),
        np.concatenate([found.scores] * 2),
    )
    first, none, second = net.locate([portrait] * 3, [twice, Detections.empty(), found])
    assert (len(first), len(none), len(second)) == (2, 0, 1)
    np.testing.assert_allclose(first.landmarks[0], second.landmarks[0], atol=1e-2)
    assert np.abs(first.landmarks[1] - first.landmarks[0]).max() > 0


def test_landmarks_do_not_depend_on_the_other_faces_of_a_batch(
    net: LandmarkNet, portrait: Image, found: Detections
) -> None:
    boxes = found.boxes + np.arange(12, dtype=np.float32)[:, None]
    faces = Detections(boxes, found.landmarks.repeat(12, 0), found.scores.repeat(12))
    (together,) = net.locate([portrait], [faces])
    for n in (1, 2, 3, 5):  # of one to three, the landmarks moved by 3e-5 pixels
        (some,) = net.locate([portrait], [faces[:n]])
        np.testing.assert_allclose(some.landmarks, together.landmarks[:n], rtol=0, atol=1e-6)


def test_where_there_is_no_face_the_landmarks_stay(net: LandmarkNet) -> None:
    blank = np.full((80, 80, 3), 127, np.uint8)
    marks = np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    faces = Detections(np.array([[10, 10, 60, 60]], np.float32), marks, np.ones(1, np.float32))
    (located,) = net.locate([blank], [faces])
    np.testing.assert_array_equal(located.landmarks, marks)


@pytest.mark.parametrize("box", [[-40, -40, 20, 20], [70, 70, 200, 200], [200, 200, 260, 260], [5, 5, 5, 5]])
def test_boxes_beyond_the_frame(net: LandmarkNet, box: list[float]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    faces = Detections(np.array([box], np.float32), np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32))
    (located,) = net.locate([image], [faces])
    assert np.isfinite(located.landmarks).all()
