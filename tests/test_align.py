"""Chips of faces with and without landmarks, compared with dlib's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import dlib
import numpy as np
import pytest
from PIL import Image as PillowImage

from faceindex.align import cut_chips
from faceindex.errors import UsageError
from faceindex.models import Alignment, BoxShape, find_weights
from faceindex.models.builtin import SHAPE_PREDICTOR
from faceindex.types import Detections, Image

DLIB = Alignment(name="dlib", size=150)
_PEOPLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "people"

# Positions of MTCNN's landmarks in an ideal chip of 150 pixels.
IDEAL = np.array([[47.9, 45.45], [101.7, 45.5], [75.2, 79], [50.5, 103.25], [98, 103.25]])


def faces(*landmarks: np.ndarray) -> Detections:
    points = np.array(landmarks, np.float32).reshape(-1, 5, 2)
    boxes = np.concatenate([points.min(1) - 10, points.max(1) + 10], axis=1)
    return Detections(boxes, points, np.ones(len(points), np.float32))


def without_landmarks(*boxes: tuple[float, float, float, float]) -> Detections:
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32), np.full((n, 5, 2), np.nan, np.float32), np.ones(n, np.float32)
    )


@pytest.fixture(scope="module")
def photos() -> list[Image]:
    if _PEOPLE.is_dir():
        paths = [sorted(folder.iterdir())[1] for folder in sorted(_PEOPLE.iterdir())[:4]]
    elif (found := importlib.util.find_spec("skimage")) and found.origin:
        paths = [Path(found.origin).parent / "data" / "astronaut.png"]
    else:
        pytest.skip("needs ../shared/data/people or scikit-image")
    return [np.array(PillowImage.open(path).convert("RGB")) for path in paths]


@pytest.fixture(scope="module")
def forest() -> dlib.shape_predictor:
    return dlib.shape_predictor(str(find_weights(SHAPE_PREDICTOR)))


@pytest.fixture(scope="module")
def found(photos: list[Image]) -> list[tuple[Image, dlib.rectangle]]:
    detector = dlib.get_frontal_face_detector()
    pairs = [(photo, rectangles[0]) for photo in photos if len(rectangles := detector(photo, 0))]
    assert pairs
    return pairs


def as_box(rectangle: dlib.rectangle) -> tuple[int, int, int, int]:
    return rectangle.left(), rectangle.top(), rectangle.right(), rectangle.bottom()


def landmarks_like_mtcnn(photo: Image, rectangle: dlib.rectangle, forest: dlib.shape_predictor) -> np.ndarray:
    """Return the ideal landmarks, placed on dlib's chip of this face."""
    chip = dlib.get_face_chip_details(forest(photo, rectangle), 150, 0.25)
    side = chip.rect.right() - chip.rect.left() + 1
    x, y = (IDEAL / 150 - 0.5).T * side
    c, s = np.cos(chip.angle), np.sin(chip.angle)
    centre = chip.rect.center()
    return np.stack([c * x - s * y + centre.x, s * x + c * y + centre.y], axis=1)


def test_a_face_without_landmarks_gives_dlibs_chip(
    found: list[tuple[Image, dlib.rectangle]], forest: dlib.shape_predictor
) -> None:
    for photo, rectangle in found:
        chips = cut_chips(photo, without_landmarks(as_box(rectangle)), DLIB)
        expected = dlib.get_face_chip(photo, forest(photo, rectangle), 150, 0.25)
        np.testing.assert_array_equal(chips, expected[None])


def test_a_face_with_landmarks_gives_nearly_dlibs_chip(
    found: list[tuple[Image, dlib.rectangle]], forest: dlib.shape_predictor
) -> None:
    for photo, rectangle in found:
        (chip,) = cut_chips(photo, faces(landmarks_like_mtcnn(photo, rectangle, forest)), DLIB)
        expected = dlib.get_face_chip(photo, forest(photo, rectangle), 150, 0.25)
        assert np.abs(chip.astype(int) - expected).mean() < 6
        assert np.corrcoef(chip.ravel(), expected.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("degrees", [-60, 25, 90, 180])
def test_a_tilted_face_gives_the_chip_of_the_upright_face(
    found: list[tuple[Image, dlib.rectangle]], forest: dlib.shape_predictor, degrees: float
) -> None:
    photo, rectangle = found[0]
    landmarks = landmarks_like_mtcnn(photo, rectangle, forest)
    (upright,) = cut_chips(photo, faces(landmarks), DLIB)
    height, width = photo.shape[:2]
    margin = max(height, width)
    wide = np.pad(photo, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    turned = np.array(PillowImage.fromarray(wide).rotate(degrees, PillowImage.Resampling.BICUBIC))
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    centre = np.array([wide.shape[1] / 2, wide.shape[0] / 2])
    moved = (landmarks + margin - centre) @ np.array([[c, s], [-s, c]]).T + centre
    (tilted,) = cut_chips(turned, faces(moved), DLIB)
    assert np.corrcoef(tilted.ravel(), upright.ravel())[0, 1] > 0.97


def test_faces_of_one_image_do_not_affect_each_other(
    found: list[tuple[Image, dlib.rectangle]], forest: dlib.shape_predictor
) -> None:
    photo, rectangle = found[0]
    first = faces(landmarks_like_mtcnn(photo, rectangle, forest))
    second = without_landmarks(as_box(rectangle))
    third = faces(IDEAL)
    together = Detections(
        np.concatenate([part.boxes for part in (first, second, third)]),
        np.concatenate([part.landmarks for part in (first, second, third)]),
        np.ones(3, np.float32),
    )
    chips = cut_chips(photo, together, DLIB)
    assert chips.shape == (3, 150, 150, 3)
    assert chips.dtype == np.uint8
    for chip, alone in zip(chips, (first, second, third), strict=True):
        np.testing.assert_array_equal(chip, cut_chips(photo, alone, DLIB)[0])


def test_no_face_gives_an_empty_array() -> None:
    chips = cut_chips(np.zeros((40, 30, 3), np.uint8), Detections.empty(), DLIB)
    assert chips.shape == (0, 150, 150, 3)
    assert chips.dtype == np.uint8


def test_pixels_outside_of_the_image_are_black() -> None:
    white = np.full((200, 200, 3), 255, np.uint8)
    (chip,) = cut_chips(white, faces(IDEAL + np.array([125, 0])), DLIB)  # the right half lies outside
    assert (chip[30:120, :50] == 255).all()
    assert (chip[:, -50:] == 0).all()


def test_a_shrunk_face_is_not_aliased() -> None:
    # Stripes one pixel wide: their mean is grey, whereas single samples would be black or white.
    stripes = np.zeros((1600, 1600, 3), np.uint8)
    stripes[:, ::2] = 255
    (chip,) = cut_chips(stripes, faces(IDEAL * 10), DLIB)
    middle = chip[40:110, 40:110].astype(float)
    assert abs(middle.mean() - 127.5) < 4
    assert middle.std() < 8


@pytest.mark.parametrize(
    "detections",
    [
        faces(np.full((5, 2), 30.0)),  # all landmarks in one place
        faces(IDEAL * 1e-3),
        faces(IDEAL * 1e4),
        faces(IDEAL + 1e6),
        faces(IDEAL[:, ::-1] * [1, -1] - 1e6),
        without_landmarks((10, 10, 10, 10)),
        without_landmarks((30, 30, 10, 10)),
        without_landmarks((-1e6, -1e6, 1e6, 1e6)),
    ],
)
@pytest.mark.parametrize("shape", [(60, 40), (1, 1)])
def test_degenerate_faces_give_a_chip(detections: Detections, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (*shape, 3), np.uint8)
    assert cut_chips(image, detections, DLIB).shape == (1, 150, 150, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_boxes_with_invalid_coordinates_are_rejected(value: float) -> None:
    with pytest.raises(UsageError, match="coordinate"):
        cut_chips(np.zeros((40, 30, 3), np.uint8), without_landmarks((0, 0, value, 10)), DLIB)


def test_infinite_landmarks_are_rejected() -> None:
    with pytest.raises(UsageError, match="coordinate"):
        cut_chips(np.zeros((40, 30, 3), np.uint8), faces(IDEAL * np.inf), DLIB)


def test_an_unknown_alignment_is_rejected_with_the_valid_names() -> None:
    with pytest.raises(UsageError, match=r"'dblib'.*Valid names: dlib"):
        cut_chips(np.zeros((40, 30, 3), np.uint8), Detections.empty(), Alignment("dblib", 150))


def test_chips_of_other_sizes_show_the_same_part(
    found: list[tuple[Image, dlib.rectangle]],
) -> None:
    photo, rectangle = found[0]
    detections = without_landmarks(as_box(rectangle))
    (small,) = cut_chips(photo, detections, Alignment("dlib", 75))
    (large,) = cut_chips(photo, detections, DLIB)
    shrunk = np.asarray(PillowImage.fromarray(large).resize((75, 75), PillowImage.Resampling.BOX))
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.95


FACENET = Alignment(name="facenet", size=160)


def shaped(box: tuple[float, float, float, float], shape: BoxShape) -> tuple[float, float, float, float]:
    """Return a box of `shape`, twice as high as wide, whose dlib box is the given one."""
    side = (box[2] - box[0]) / shape.side
    width, height = side / np.sqrt(2), side * np.sqrt(2)
    x, y = (box[0] + box[2]) / 2 - shape.x * width, (box[1] + box[3]) / 2 - shape.y * height
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


@pytest.mark.parametrize("alignment", [DLIB, FACENET])
def test_a_box_of_another_shape_gives_the_chip_of_dlibs_box(
    found: list[tuple[Image, dlib.rectangle]], alignment: Alignment
) -> None:
    shape = BoxShape(x=0.1, y=-0.2, side=0.7, source="made up")
    for photo, rectangle in found:
        expected = cut_chips(photo, without_landmarks(as_box(rectangle)), alignment)
        box = shaped(as_box(rectangle), shape)
        chips = cut_chips(photo, without_landmarks(box), alignment, box=shape)
        assert np.corrcoef(chips.ravel(), expected.ravel())[0, 1] > 0.97


def test_the_shape_of_the_box_has_no_effect_with_landmarks(
    found: list[tuple[Image, dlib.rectangle]], forest: dlib.shape_predictor
) -> None:
    photo, rectangle = found[0]
    face = faces(landmarks_like_mtcnn(photo, rectangle, forest))
    shape = BoxShape(x=0.5, y=0.5, side=0.3, source="made up")
    np.testing.assert_array_equal(cut_chips(photo, face, DLIB, box=shape), cut_chips(photo, face, DLIB))


@pytest.mark.parametrize(
    "box", [(10, 10, 10, 10), (30, 30, 10, 10), (10, 10, 30, -30), (-1e6, -1e6, 1e6, 1e6)]
)
def test_degenerate_boxes_of_another_shape_give_a_chip(box: tuple[float, float, float, float]) -> None:
    image = np.random.default_rng(3).integers(0, 256, (60, 40, 3), np.uint8)
    shape = BoxShape(x=0.01, y=0.07, side=0.93, source="made up")
    for alignment in (DLIB, FACENET):
        chips = cut_chips(image, without_landmarks(box), alignment, box=shape)
        assert chips.shape == (1, alignment.size, alignment.size, 3)


def test_facenets_chip_shows_another_rectangle_of_the_same_fit() -> None:
    # Grey levels that encode the position.
    across = np.repeat(np.arange(250, dtype=np.uint8)[None], 250, axis=0)
    image = np.ascontiguousarray(np.stack([across, across.T, np.zeros_like(across)], axis=2))
    face = faces(IDEAL + 50)

    def map_to_image(alignment: Alignment) -> np.ndarray:
        """Return the map (3, 2) from the chip, a unit square, to the image."""
        (chip,) = cut_chips(image, face, alignment)
        v, u = np.mgrid[: alignment.size, : alignment.size] / (alignment.size - 1)
        square = np.stack([u.ravel(), v.ravel(), np.ones(u.size)], axis=1)
        found: np.ndarray = np.linalg.lstsq(square, chip[..., :2].reshape(-1, 2).astype(float), rcond=None)[0]
        return found

    for u, v in ((0, 0), (1, 0), (0, 1), (1, 1)):
        expected = np.array([0.5 + 0.92 * (u - 0.5), 0.43 + 1.23 * (v - 0.5), 1]) @ map_to_image(DLIB)
        np.testing.assert_allclose(np.array([u, v, 1]) @ map_to_image(FACENET), expected, atol=1.5)
