"""Second looks: turned photos, faces that fill the frame, and the crops that follow from the turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from faceindex import FaceIndex, models
from faceindex.align import cut_chips
from faceindex.export.crops import CropStyle, cut_faces
from faceindex.models import DetectorSpec
from faceindex.recognition import Recogniser
from faceindex.turns import TURNS, turn_image
from faceindex.types import Detections, Image

RED, BLUE, GREY = (250, 10, 10), (10, 10, 250), (90, 90, 90)
"""A face is a square, red above and blue below."""


class UprightOnly:
    """Finds the square only if red is above blue; its landmarks are fixed places in the square."""

    def __init__(
        self, spec: DetectorSpec, *, min_face: float = 8, device: str = "cpu", landmarks: bool = True
    ) -> None:
        self.spec = spec
        self.min_face = min_face
        self.landmarks = landmarks
        self.score = 0.99
        self.seen: list[tuple[int, ...]] = []

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        self.seen += [image.shape[:2] for image in images]
        return [self.detect_one(image) for image in images]

    def detect_one(self, image: Image) -> Detections:
        red = (image[..., 0] > 200) & (image[..., 2] < 60)
        blue = (image[..., 2] > 200) & (image[..., 0] < 60)
        if not red.any() or not blue.any():
            return Detections.empty()
        (x1, y1), (x2, y2) = _bounds(red | blue)
        if np.flatnonzero(red.any(axis=1)).max() >= np.flatnonzero(blue.any(axis=1)).min():
            return Detections.empty()
        box = np.array([[x1, y1, x2, y2]], np.float32)
        places = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
        landmarks = box[:, None, :2] + places * (box[:, None, 2:] - box[:, None, :2])
        if not self.landmarks:
            landmarks[:] = np.nan
        return Detections(box, landmarks, np.array([self.score], np.float32))


def _bounds(mask: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)


def portrait(width: int, height: int, box: tuple[int, int, int, int]) -> Image:
    """An upright photo with one face."""
    photo = np.full((height, width, 3), GREY, np.uint8)
    left, top, right, bottom = box
    middle = (top + bottom) // 2
    photo[top:middle, left:right] = RED
    photo[middle:bottom, left:right] = BLUE
    return photo


def recogniser(detector: UprightOnly) -> Recogniser:
    return Recogniser(detector, models.load(models.get("embedder", "fake"), device="cpu"))


@pytest.fixture
def spec(fake_models: ModuleType) -> DetectorSpec:
    spec: DetectorSpec = replace(
        fake_models.DETECTOR, name="upright", target="test_second_looks:UprightOnly", options=()
    )
    return spec


@pytest.mark.parametrize("landmarks", [True, False])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(
    width=st.integers(60, 131),
    height=st.integers(60, 131),
    side=st.integers(12, 40),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    turn=st.sampled_from(TURNS),
)
def test_boxes_are_in_pixels_of_the_photo_as_it_is_stored(
    spec: DetectorSpec, landmarks: bool, width: int, height: int, side: int, x: float, y: float, turn: int
) -> None:
    left, top = round(x * (width - side)), round(y * (height - side))
    upright = portrait(width, height, (left, top, left + side, top + side))
    stored = turn_image(upright, (360 - turn) % 360)
    found = recogniser(UprightOnly(spec, landmarks=landmarks))
    (faces,) = found.recognise([found.load_photo(stored)])
    assert faces.turns.tolist() == [turn]
    (box,) = faces.boxes.astype(int).tolist()
    corners = _bounds((stored[..., 0] > 200) | (stored[..., 2] > 200))
    assert box == [*corners[0], *corners[1]]
    expected = UprightOnly(spec, landmarks=landmarks).detect_one(upright)
    back = Detections(faces.boxes, faces.landmarks, faces.scores, faces.turns).turned(
        turn, stored.shape[1], stored.shape[0]
    )
    np.testing.assert_allclose(back.boxes, expected.boxes, atol=1e-4)
    np.testing.assert_allclose(back.landmarks, expected.landmarks, atol=1e-4)


@pytest.mark.parametrize("landmarks", [True, False])
@pytest.mark.parametrize("turn", TURNS)
def test_crops_and_chips_are_those_of_the_upright_photo(
    spec: DetectorSpec, landmarks: bool, turn: int
) -> None:
    rng = np.random.default_rng(0)
    upright = portrait(120, 90, (30, 20, 70, 60))
    upright += rng.integers(0, 5, upright.shape, np.uint8)
    stored = turn_image(upright, (360 - turn) % 360)
    detector = UprightOnly(spec, landmarks=landmarks)
    found = recogniser(detector)
    (faces,) = found.detect([found.load_photo(stored)])
    expected = detector.detect_one(upright)
    alignment = models.get("embedder", "fake").alignment
    np.testing.assert_array_equal(
        cut_chips(stored, faces, alignment), cut_chips(upright, expected, alignment)
    )
    for margin in (0, 0.5):
        (crop,) = cut_faces(stored, faces, CropStyle(margin))
        (upright_crop,) = cut_faces(upright, expected, CropStyle(margin))
        np.testing.assert_array_equal(crop, upright_crop)


def test_a_photo_with_a_face_is_not_searched_again(spec: DetectorSpec) -> None:
    detector = UprightOnly(spec)
    found = recogniser(detector)
    photo = portrait(100, 80, (20, 20, 60, 60))
    faces = found.detect([found.load_photo(photo), found.load_photo(turn_image(photo, 90))])
    assert [one.turns.tolist() for one in faces] == [[0], [270]]
    assert detector.seen.count((80, 100)) == 1 + 2  # the upright photo once, the other at 90 and 270


def test_a_doubtful_face_of_a_second_look_does_not_count(spec: DetectorSpec) -> None:
    detector = UprightOnly(spec)
    detector.score = 0.6
    found = recogniser(detector)
    photo = portrait(100, 80, (20, 20, 60, 60))
    faces = found.detect([found.load_photo(photo), found.load_photo(turn_image(photo, 90))])
    assert [len(one) for one in faces] == [1, 0]


@pytest.mark.parametrize(
    ("upright", "sideways", "sure", "turn"),
    [(0.6, 0.99, 0.9, 90), (0.6, 0.85, 0.9, 0), (0.6, 0.99, None, 0), (0.8, 0.99, 0.9, 0)],
)
def test_a_sure_face_on_the_turned_photo_replaces_doubtful_ones(
    spec: DetectorSpec, upright: float, sideways: float, sure: float | None, turn: int
) -> None:
    class Mistaken(UprightOnly):
        """Finds something on the photo as it is stored, which is wide, and the face on the turned one."""

        def detect_one(self, image: Image) -> Detections:
            wide = image.shape[1] > image.shape[0]
            found = super().detect_one(turn_image(image, 90) if wide else image)
            return replace(found, scores=np.full(len(found), upright if wide else sideways, np.float32))

    found = recogniser(Mistaken(replace(spec, turned=0.7, sure=sure)))
    stored = turn_image(portrait(80, 100, (20, 20, 60, 60)), 270)
    assert found.detect([found.load_photo(stored)])[0].turns.tolist() == [turn]


def test_an_index_keeps_the_turn_and_cuts_upright(
    spec: DetectorSpec, fake_models: ModuleType, tmp_path: Path
) -> None:
    models.register(spec, replace=True)
    photos = tmp_path / "photos"
    photos.mkdir()
    upright = portrait(120, 90, (30, 20, 70, 60))
    for turn in TURNS:
        PillowImage.fromarray(turn_image(upright, (360 - turn) % 360)).save(photos / f"{turn}.png")
    with FaceIndex.create(tmp_path / "index", detector="upright", embedder="fake", min_face=8) as index:
        index.add([photos])
        index.cluster(min_size=1)
        faces = {int(Path(face.path).stem): face for face in index.faces()}
        assert {turn: face.turn for turn, face in faces.items()} == {turn: turn for turn in TURNS}
        expected = index.crop(faces[0])
        for face in faces.values():
            np.testing.assert_array_equal(index.crop(face), expected)
            np.testing.assert_array_equal(index.crop(face, aligned=True), index.crop(faces[0], aligned=True))
        assert len({face.quality for face in faces.values()}) == 1
        sheets = [index.sheets.faces([face.face]) for face in faces.values()]
        for sheet in sheets[1:]:
            np.testing.assert_allclose(sheet.astype(int), sheets[0].astype(int), atol=3)
        index.export.crops(tmp_path / "crops")
    crops = [np.asarray(PillowImage.open(tmp_path / "crops" / f"{turn}_0.png")) for turn in TURNS]
    for crop in crops[1:]:
        np.testing.assert_array_equal(crop, crops[0])


class NeedsSurroundings(UprightOnly):
    """Finds the square only if something else is around it, and returns a box a tenth larger."""

    def detect_one(self, image: Image) -> Detections:
        found = super().detect_one(image)
        height, width = image.shape[:2]
        x1, y1, x2, y2 = found.boxes[0].tolist() if len(found) else (0, 0, 0, 0)
        if x1 <= 0 or y1 <= 0 or x2 >= width or y2 >= height:
            return Detections.empty()
        grow = np.array([x1 - x2, y1 - y2, x2 - x1, y2 - y1]) / 20
        return Detections((found.boxes + grow).astype(np.float32), found.landmarks, found.scores)


@pytest.mark.parametrize(("width", "height"), [(80, 80), (81, 97), (61, 50), (400, 300)])
def test_a_face_that_fills_the_frame_is_found(spec: DetectorSpec, width: int, height: int) -> None:
    detector = NeedsSurroundings(spec)
    found = recogniser(detector)
    (faces,) = found.detect([found.load_photo(portrait(width, height, (0, 0, width, height)))])
    x, y = width / 20, height / 20
    np.testing.assert_allclose(faces.boxes, [[-x, -y, width + x, height + y]], atol=0.03 * max(width, height))
    assert faces.turns.tolist() == [0]
    assert max(max(size) for size in detector.seen) <= max(width, height) + 2  # the copy is no larger


def test_a_small_face_on_the_padded_copy_does_not_count(spec: DetectorSpec) -> None:
    detector = NeedsSurroundings(spec)
    found = recogniser(detector)
    photo = portrait(100, 100, (0, 0, 40, 40))
    assert len(found.detect([found.load_photo(photo)])[0]) == 0
