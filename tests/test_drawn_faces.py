"""Landmarks of faces in boxes that the user drew."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL.Image
import pytest

from faceindex.drawn_faces import embed_drawn, find_drawn
from faceindex.models import DetectorSpec, load
from faceindex.recognition import LoadedPhoto, Recogniser
from faceindex.turns import turn_image
from faceindex.types import Detections, Image

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY.parent / "shared" / "data"

PLACES = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


class RedSquares:
    """Finds the red area of an image if it is 40 to 400 px wide, and its upper half is the brighter one."""

    def __init__(self, spec: DetectorSpec) -> None:
        self.spec = spec
        self.min_face = 20.0
        self.seen: list[Image] = []

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        self.seen += images
        return [self._detect_one(image) for image in images]

    def _detect_one(self, image: Image) -> Detections:
        red = (image[..., 0] > 90) & (image[..., 1] < 50)
        rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
        if not len(rows):
            return Detections.empty()
        left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        upper, lower = np.array_split(image[top:bottom, left:right, 0], 2)
        if not 40 <= right - left <= 400 or upper.mean() < lower.mean() + 20:
            return Detections.empty()
        corner, size = np.array([left, top], np.float32), np.array([right - left, bottom - top], np.float32)
        box = np.concatenate([corner, corner + size])[None]
        return Detections(box, (corner + PLACES * size)[None], np.array([0.9], np.float32))


def photo_with(box: tuple[int, int, int, int], size: tuple[int, int], turn: int = 0) -> Image:
    """Return a grey image with a red square whose upper half, after a clockwise turn, is brighter."""
    x1, y1, x2, y2 = box
    square = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
    square[..., 0] = 120
    square = turn_image(square, turn)
    square[: len(square) // 2, :, 0] = 240
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    image[y1:y2, x1:x2] = turn_image(square, -turn % 360)
    return image


@pytest.fixture
def recogniser(fake_models: ModuleType) -> Recogniser:
    """The detector of red squares, whose boxes are found in all turns, and the fake embedder."""
    spec = replace(fake_models.DETECTOR, name="red", landmarks=True, turned=0.5)
    return Recogniser(RedSquares(spec), load(fake_models.EMBEDDER, device="cpu"))


@pytest.mark.parametrize(
    "box", [(300, 200, 324, 224), (0, 0, 30, 30), (610, 450, 640, 480), (100, 40, 500, 440)]
)
def test_landmarks_are_found_in_the_enlarged_surroundings(
    recogniser: Recogniser, box: tuple[int, int, int, int]
) -> None:
    photo = recogniser.load_photo(photo_with(box, (640, 480)))
    drawn = np.array([box], np.float32) + np.array([-2, 1, 2, 3], np.float32)
    found = find_drawn(recogniser, photo, drawn)
    corner, size = np.array(box[:2]), np.array(box[2:]) - box[:2]
    assert np.abs(found.landmarks[0] - (corner + PLACES * size)).max() < 1.5
    assert found.boxes.tolist() == drawn.tolist()
    assert (found.scores.tolist(), found.turns.tolist()) == ([1.0], [0])


def test_a_face_that_lies_sideways_has_a_turn(recogniser: Recogniser) -> None:
    box = (300, 200, 350, 250)
    photo = recogniser.load_photo(photo_with(box, (640, 480), turn=90))
    found = find_drawn(recogniser, photo, np.array([box], np.float32))
    assert found.turns.tolist() == [90]
    eyes, mouth = found.landmarks[0, :2].mean(axis=0), found.landmarks[0, 3:].mean(axis=0)
    assert mouth[0] - eyes[0] == pytest.approx(20, abs=1.5)
    assert mouth[1] - eyes[1] == pytest.approx(0, abs=1.5)


def test_a_small_face_on_a_large_photo_is_decoded_finer(recogniser: Recogniser, tmp_path: Path) -> None:
    box = (1500, 1100, 1530, 1130)
    PIL.Image.fromarray(photo_with(box, (3200, 2400))).save(tmp_path / "large.jpg", quality=95)
    recogniser.detector.min_face = 200.0  # type: ignore[misc]  # so that the photo is reduced
    photo = recogniser.load_photo(tmp_path / "large.jpg")
    assert photo.shrink > 1
    found = find_drawn(recogniser, photo, np.array([box], np.float32))
    assert np.abs(found.landmarks[0] - (np.array(box[:2]) + 30 * PLACES)).max() < 1.5


def test_without_a_detected_face_the_box_alone_counts(recogniser: Recogniser) -> None:
    """The red square is somewhere else: it is not the face that was drawn."""
    photo: LoadedPhoto = recogniser.load_photo(photo_with((300, 200, 350, 250), (640, 480)))
    faces = embed_drawn(recogniser, photo, np.array([[330, 230, 400, 300]], np.float32))
    assert np.isnan(faces.landmarks).all()
    assert np.linalg.norm(faces.vectors, axis=1) == pytest.approx([1])
    assert len(embed_drawn(recogniser, photo, np.empty((0, 4), np.float32))) == 0


@pytest.mark.skipif(not (DATA / "group_photos").is_dir(), reason="the photographs are not here")
def test_drawn_faces_are_near_the_detected_ones(tmp_path: Path) -> None:
    code = (
        "import sys, common, drawn_faces; from pathlib import Path;"
        f"common.RESULTS = Path({str(tmp_path)!r}); sys.argv = ['drawn_faces', '--quick', '--data',"
        f" {str(DATA)!r}]; drawn_faces.main()"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=REPOSITORY / "benchmarks", stdout=subprocess.DEVNULL
    )
    result = json.loads((tmp_path / "drawn_faces_quick.json").read_text())
    assert result["jitter"]["10%"]["drawn"]["median"] > 0.97
    assert result["heads"]["detected"]["median"] > 0.95
