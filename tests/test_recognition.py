"""The recogniser: at which scale photos are decoded, and which faces count."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from faceindex import images, recognition
from faceindex.align import cut_chips
from faceindex.errors import ImageError, ModelError, Reason, UsageError
from faceindex.images import decoder, parts
from faceindex.recognition import Recogniser, sharpness
from faceindex.types import Detections


def recogniser(min_face: float) -> Recogniser:
    return Recogniser.load("fake", "fake", min_face=min_face)


def jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (128, 64, 128)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(("min_face", "shrink"), [(20, 1), (47, 1), (48, 2), (96, 4), (192, 8), (900, 8)])
def test_the_smallest_face_decides_the_scale(fake_models: ModuleType, min_face: float, shrink: int) -> None:
    loaded = recogniser(min_face).decode_photo(jpeg(1600, 800), "photo.jpg")
    assert loaded.shrink == shrink
    assert loaded.decoded.image.shape == (800 // shrink, 1600 // shrink, 3)
    assert (loaded.decoded.width, loaded.decoded.height) == (1600, 800)


def test_enormous_photos_are_decoded_smaller(
    fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognition, "MAX_DECODED_PIXELS", 100_000)
    assert recogniser(20).decode_photo(jpeg(1600, 800), "photo.jpg").shrink == 4


def test_boxes_are_in_pixels_of_the_full_photo(fake_models: ModuleType) -> None:
    for min_face in (20, 48, 96, 192):
        (faces,) = recogniser(min_face).recognise(
            [recogniser(min_face).decode_photo(jpeg(1600, 800), "photo.jpg")]
        )
        np.testing.assert_allclose(faces.boxes, [[400, 200, 1200, 600]], atol=8)


@pytest.mark.parametrize(("side", "decodes"), [(64, [4, 1]), (256, [4, 2]), (1600, [4])])
def test_small_faces_are_cut_from_a_finer_decode(
    fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch, side: int, decodes: list[int]
) -> None:
    """Chips show a face about 100 px wide: less than that would be blown up."""
    seen: list[int] = []
    original = decoder.decode_with

    def spy(data: bytes, path: str, shrink: int, max_pixels: int, use: Callable[..., object]) -> object:
        seen.append(shrink)
        return original(data, path, shrink, max_pixels, use)

    def one_face(self: object, image: np.ndarray) -> Detections:
        box = np.array([[10, 10, 10 + side / 4, 10 + side / 4]], np.float32)
        return Detections(box, np.full((1, 5, 2), np.nan, np.float32), np.ones(1, np.float32))

    for module in (decoder, parts):
        monkeypatch.setattr(module, "decode_with", spy)
    monkeypatch.setattr(fake_models.FakeDetector, "detect_one", one_face)
    subject = recogniser(96)
    (faces,) = subject.recognise([subject.decode_photo(jpeg(3200, 2400), "photo.jpg")])
    assert seen == decodes
    np.testing.assert_allclose(faces.boxes[0], [40, 40, 40 + side, 40 + side], atol=1)


def test_chips_of_small_faces_are_those_of_the_whole_photo(
    fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large faces come from the photo as it was decoded, small ones as if all of it were decoded finer."""
    y, x = np.mgrid[:600, :800]
    photo = np.stack([x * 255 / 800, y * 255 / 600, 128 + 100 * np.sin(x / 9) * np.cos(y / 7)], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(photo.astype(np.uint8)).save(buffer, "JPEG", quality=95)
    boxes = np.array([[5, 20, 25, 40], [170, 5, 380, 215], [180, 120, 203, 143]], np.float32)
    points = boxes[:, None, :2] + 20 * np.array([[0.3, 0.4], [0.7, 0.3], [0.5, 0.6], [0.3, 0.8], [0.7, 0.8]])
    points[1] = boxes[1, :2] + (points[1] - boxes[1, :2]) * 10.5
    found = Detections(boxes, points.astype(np.float32), np.array([0.9, 0.8, 0.7], np.float32))
    seen: list[np.ndarray] = []

    def remember(self: object, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(chips)
        return np.eye(len(chips), 16, dtype=np.float32), np.ones(len(chips), np.float32)

    monkeypatch.setattr(fake_models.FakeDetector, "detect_one", lambda self, image: found)
    monkeypatch.setattr(fake_models.FakeEmbedder, "embed", remember)
    subject = recogniser(48)
    loaded = subject.decode_photo(buffer.getvalue(), "photo.jpg")
    assert loaded.shrink == 2
    subject.recognise([loaded])
    whole = images.decode(buffer.getvalue(), "photo.jpg")
    alignment = subject.embedder.spec.alignment
    expected = cut_chips(whole.image, found.scaled(2), alignment)
    expected[1:2] = cut_chips(loaded.decoded.image, found[1:2], alignment)
    assert np.abs(seen[0].astype(int) - expected).max() <= 1
    assert np.abs(expected.astype(int) - cut_chips(loaded.decoded.image, found, alignment)).max() > 10


def test_doubtful_and_cut_off_faces_do_not_count(
    fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def several(self: object, image: np.ndarray) -> Detections:
        boxes = np.array(
            [[10, 10, 50, 50], [60, 10, 100, 50], [-10, 60, 30, 100], [-30, 60, 10, 100], [200, 0, 240, 40]],
            np.float32,
        )
        scores = np.array([0.9, 0.3, 0.8, 0.8, 0.8], np.float32)  # the fake's threshold is 0.5
        return Detections(boxes, np.full((5, 5, 2), np.nan, np.float32), scores)

    monkeypatch.setattr(fake_models.FakeDetector, "detect_one", several)
    subject = recogniser(20)
    (faces,) = subject.recognise([subject.decode_photo(jpeg(200, 200), "photo.jpg")])
    assert faces.boxes[:, :2].tolist() == [[10, 10], [-10, 60]]


@pytest.mark.filterwarnings("error")
def test_boxes_without_an_area_are_dropped(fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    inf, nan = np.inf, np.nan

    def several(self: object, image: np.ndarray) -> Detections:
        boxes = [[60, 60, 60, 60], [60, 60, 60, 90], [90, 90, 60, 60], [10, 10, 50, 50], [nan, 10, 50, 50]]
        boxes += [[inf, inf, inf, inf], [-inf, -inf, inf, inf], [-3e38, -3e38, 3e38, 3e38]]
        n = len(boxes)
        points, scores = np.full((n, 5, 2), nan, np.float32), np.full(n, 0.9, np.float32)
        return Detections(np.array(boxes, np.float32), points, scores)

    monkeypatch.setattr(fake_models.FakeDetector, "detect_one", several)
    subject = recogniser(20)
    (faces,) = subject.recognise([subject.decode_photo(jpeg(200, 200), "photo.jpg")])
    assert faces.boxes.tolist() == [[10, 10, 50, 50]]


ONE = Detections(
    np.array([[10, 10, 50, 50]], np.float32), np.full((1, 5, 2), np.nan, np.float32), np.ones(1, np.float32)
)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "0 results for 1 photo"),
        ([ONE, ONE], "2 results for 1 photo"),
        (None, "a value of type NoneType for 1 photo"),
        ([ONE.boxes], "a value of type ndarray for a photo"),
        ([replace(ONE, boxes=ONE.boxes[0])], r"boxes of shape \(4,\) instead of \(4, 4\)"),
        ([replace(ONE, boxes=ONE.boxes[:, :3])], r"boxes of shape \(1, 3\) instead of \(1, 4\)"),
        (
            [replace(ONE, boxes=[[10, 10, 50, 50]])],  # type: ignore[arg-type]  # not an array, on purpose
            "boxes as a value of type list",
        ),
        (
            [replace(ONE, landmarks=ONE.landmarks[:, 0])],
            r"landmarks of shape \(1, 2\) instead of \(1, 5, 2\)",
        ),
        ([replace(ONE, scores=ONE.scores[:0])], r"scores of shape \(0,\) instead of \(1,\)"),
    ],
)
def test_a_detector_that_breaks_its_promise_is_named(
    fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch, found: object, message: str
) -> None:
    monkeypatch.setattr(fake_models.FakeDetector, "detect", lambda self, images, *, min_faces=None: found)
    subject = recogniser(20)
    with pytest.raises(ModelError, match=f"The detector 'fake' returned {message}"):
        subject.recognise([subject.decode_photo(jpeg(200, 200), "photo.jpg")])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (np.zeros((1, 16), np.float32), "a value of type ndarray instead of a pair"),
        (
            (np.zeros((1, 8), np.float32), np.ones(1, np.float32)),
            r"vectors of shape \(1, 8\) instead of \(1, 16\)",
        ),
        ((np.zeros((2, 16), np.float32), np.ones(1, np.float32)), r"vectors of shape \(2, 16\)"),
        (([[0.0] * 16], np.ones(1, np.float32)), "vectors as a value of type list"),
        ((np.zeros((1, 16), np.float32), np.ones((1, 1), np.float32)), r"norms of shape \(1, 1\)"),
    ],
)
def test_an_embedder_that_breaks_its_promise_is_named(
    fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch, made: object, message: str
) -> None:
    monkeypatch.setattr(fake_models.FakeEmbedder, "embed", lambda self, chips: made)
    subject = recogniser(20)
    with pytest.raises(ModelError, match=f"The embedder 'fake' returned {message}"):
        subject.recognise([subject.decode_photo(jpeg(200, 200), "photo.jpg")])


def test_photos_without_faces_and_no_photos(fake_models: ModuleType, tmp_path: Path) -> None:
    subject = recogniser(20)
    nobody = fake_models.make_photo(tmp_path / "nobody.png", fake_models.NOBODY)
    somebody = fake_models.make_photo(tmp_path / "somebody.png", (64, 64, 128))
    photos = [subject.load_photo(path) for path in (nobody, somebody, nobody)]
    assert [len(faces) for faces in subject.recognise(photos)] == [0, 1, 0]
    assert subject.recognise([]) == []
    assert subject.recognise(photos[:1])[0].vectors.shape == (0, fake_models.DIMENSION)


def test_sharpness_falls_with_blur_and_not_with_contrast() -> None:
    rng = np.random.default_rng(0)
    chip = rng.integers(0, 256, (150, 150, 3), np.uint8)
    blurred = np.asarray(Image.fromarray(chip).resize((20, 20)).resize((150, 150)))
    faint = (chip // 4 + 90).astype(np.uint8)
    flat = np.full_like(chip, 128)
    sharp, soft, low_contrast, uniform = sharpness(np.stack([chip, blurred, faint, flat]))
    assert soft < sharp / 3
    assert low_contrast == pytest.approx(sharp, rel=0.02)
    assert uniform == 0
    many = np.stack([chip, blurred] * 40)
    np.testing.assert_allclose(sharpness(many), np.tile([sharp, soft], 40), rtol=1e-5)
    assert sharpness(many[:0]).shape == (0,)


def test_photos_can_be_paths_bytes_arrays_and_pil_images(fake_models: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg(200, 100))
    pixels = images.decode(path.read_bytes(), path).image
    subject = recogniser(20)
    expected = subject.embed(path)
    assert len(expected) == 1
    for photo in (str(path), path.read_bytes(), pixels, Image.open(path)):
        np.testing.assert_array_equal(subject.embed(photo).vectors, expected.vectors)
    assert [subject.load_photo(photo).path for photo in (path, b"", pixels)[::2]] == [str(path), "<ndarray>"]


def test_pixels_are_copied(fake_models: ModuleType) -> None:
    pixels = np.full((100, 100, 3), 64, np.uint8)
    frozen = pixels[::2, ::-1]
    frozen.flags.writeable = False
    for photo in (pixels, frozen, Image.fromarray(pixels)):
        image = recogniser(20).load_photo(photo).decoded.image
        assert image.flags.c_contiguous
        assert image.flags.writeable
        assert not np.shares_memory(image, pixels)


@pytest.mark.parametrize("pil", [False, True])
def test_large_pixels_are_reduced_as_files_are(
    fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch, pil: bool
) -> None:
    monkeypatch.setattr("faceindex.recognition.MAX_DECODED_PIXELS", 30_000)
    pixels = np.full((301, 402, 3), 64, np.uint8)
    photo = Image.fromarray(pixels) if pil else pixels
    loaded = recogniser(20).load_photo(photo)
    assert loaded.decoded.image.shape == (76, 101, 3)
    assert (loaded.decoded.width, loaded.decoded.height) == (402, 301)
    (box,) = recogniser(20).embed(photo).boxes  # in pixels of the photo itself; cut from the reduced one
    np.testing.assert_allclose(box, [100.5, 75.25, 301.5, 225.75], atol=0.01)


def test_pil_images_are_turned_upright(fake_models: ModuleType) -> None:
    image = Image.new("RGB", (200, 100), (128, 64, 128))
    image.getexif()[0x0112] = 6
    assert recogniser(20).load_photo(image).decoded.image.shape == (200, 100, 3)


def test_a_pil_image_that_cannot_be_decoded_is_an_image_error(fake_models: ModuleType) -> None:
    image = Image.open(io.BytesIO(jpeg(200, 100)[:-200]))
    with pytest.raises(ImageError, match="<JpegImageFile>: the image cannot be decoded") as caught:
        recogniser(20).load_photo(image)
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((5, 5), np.uint8), r"shape \(5, 5\) and dtype uint8"),
        (np.zeros((5, 5, 4), np.uint8), r"shape \(5, 5, 4\)"),
        (np.zeros((5, 5, 3), np.float32), "dtype float32"),
        (np.zeros((0, 5, 3), np.uint8), r"shape \(0, 5, 3\)"),
        (3, "type int"),
        (io.BytesIO(b"photo"), "type BytesIO"),
        (None, "type NoneType"),
    ],
)
def test_other_inputs_are_refused(fake_models: ModuleType, photo: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recogniser(20).load_photo(photo)  # type: ignore[arg-type]


def test_the_smallest_face_defaults_to_that_of_the_detector(fake_models: ModuleType) -> None:
    subject = Recogniser.load("fake", "fake")
    assert subject.detector.min_face == fake_models.DETECTOR.min_face
    assert repr(subject) == "<Recogniser: fake + fake on cpu, faces from 30 px>"
