"""YuNet with its published weights, on real photographs; skipped where either is missing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from faceindex.detect import yunet
from faceindex.detect.yunet import YuNet, load_network
from faceindex.detect.yunet_decode import canvas, decode, suppress, to_input
from faceindex.errors import UsageError
from faceindex.models import DetectorSpec, get, read_weights, weight_locations
from faceindex.models.onnx_format import with_free_input
from faceindex.onnx_sessions import OnnxSession
from faceindex.types import U8, Detections

SHARED = Path(__file__).resolve().parents[3] / "shared"


BIDEN = (
    429.2712,
    175.8464,
    705.7086,
    558.1299,
    531.5027,
    323.6022,
    651.7026,
    345.2925,
    593.1121,
    411.0182,
    513.3150,
    450.1299,
    618.0389,
    470.1335,
    0.9344,
)


def photo(name: str) -> U8:
    path = SHARED / "data" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def scaled(image: U8, factor: float) -> U8:
    plane = torch.from_numpy(image).permute(2, 0, 1)[None]
    size = [round(side * factor) for side in image.shape[:2]]
    resized = functional.interpolate(plane, size=size, mode="bilinear", antialias=True)[0]
    return np.ascontiguousarray(resized.permute(1, 2, 0).numpy())


@pytest.fixture(scope="module")
def spec() -> Iterator[DetectorSpec]:
    spec = get("detector", "yunet")
    with pytest.MonkeyPatch.context() as patch:
        if not any(path.is_file() for path in weight_locations(spec.weights[0])):
            patch.setenv("FACEINDEX_WEIGHTS", str(SHARED / "weights"))
            if not any(path.is_file() for path in weight_locations(spec.weights[0])):
                pytest.skip(f"{spec.weights[0].name} is absent")
        yield spec


@pytest.fixture(scope="module")
def detector(spec: DetectorSpec) -> YuNet:
    return YuNet(spec, min_face=30)


def assert_same(a: Detections, b: Detections) -> None:
    assert len(a) == len(b)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-2)
    np.testing.assert_allclose(a.landmarks, b.landmarks, atol=1e-2)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


def test_six_faces_are_found_with_landmarks_in_the_right_places(detector: YuNet) -> None:
    (found,) = detector.detect([photo("groups/multiface.jpg")])
    assert len(found) == 6
    assert found.boxes.shape == (6, 4)
    assert found.landmarks.shape == (6, 5, 2)
    assert {array.dtype for array in (found.boxes, found.landmarks, found.scores)} == {np.dtype(np.float32)}
    assert (np.diff(found.scores) <= 0).all()
    assert (found.scores >= detector.spec.threshold).all()
    # Left and right as the viewer sees them.
    left_eye, right_eye, nose, mouth_left, mouth_right = found.landmarks.transpose(1, 0, 2)
    assert (left_eye[:, 0] < right_eye[:, 0]).all()
    assert (mouth_left[:, 0] < mouth_right[:, 0]).all()
    assert (left_eye[:, 1] < mouth_left[:, 1]).all()
    assert (right_eye[:, 1] < mouth_right[:, 1]).all()
    assert ((found.boxes[:, :2] < nose) & (nose < found.boxes[:, 2:])).all()


def test_faces_equal_those_of_opencv(spec: DetectorSpec) -> None:
    # Measured with OpenCV 5.0.0 and the same file, score 0.8, overlap 0.3 (benchmarks/yunet_equality.py).
    image = photo("groups/biden.jpg")
    size = canvas(image.shape[:2])
    network = load_network(spec.weights[0])
    found = suppress(decode(network.run({"input": to_input([image], size)}), size, 0.8))
    np.testing.assert_allclose(found.boxes, [BIDEN[:4]], atol=1e-3)
    np.testing.assert_allclose(found.landmarks.reshape(-1, 10), [BIDEN[4:14]], atol=1e-3)
    np.testing.assert_allclose(found.scores, BIDEN[14:], atol=1e-4)


def test_a_batch_gives_the_faces_of_single_images(detector: YuNet) -> None:
    whole = photo("groups/multiface.jpg")
    images = [
        whole,
        photo("groups/biden.jpg"),
        scaled(whole, 0.3),
        whole,
        np.zeros((30, 40, 3), np.uint8),
    ]
    together = detector.detect(images)
    assert sum(map(len, together)) > 12
    for image, found in zip(images, together, strict=True):
        assert_same(found, detector.detect([image])[0])


def test_small_passes_give_the_same_faces(spec: DetectorSpec, detector: YuNet) -> None:
    image = photo("groups/multiface.jpg")
    images = [image, scaled(image, 0.3), image]
    small = YuNet(spec, min_face=30)
    small._pixels.size = 1
    for a, b in zip(small.detect(images), detector.detect(images), strict=True):
        assert_same(a, b)


def test_threads_may_share_a_detector(detector: YuNet) -> None:
    image = photo("groups/multiface.jpg")
    (expected,) = detector.detect([image])
    with ThreadPoolExecutor(4) as pool:
        for (found,) in pool.map(detector.detect, [[image]] * 8):
            assert_same(found, expected)


def test_each_image_has_its_own_smallest_face(detector: YuNet) -> None:
    image = scaled(photo("groups/multiface.jpg"), 0.2)  # faces of about 20 px
    fine, coarse, default = detector.detect([image] * 3, min_faces=[10, 80, 30])
    assert len(fine) == 6
    assert len(coarse) == 0
    assert_same(default, detector.detect([image])[0])


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_scaled_image_with_a_scaled_smallest_face_has_the_same_faces(
    detector: YuNet, factor: float
) -> None:
    image = photo("groups/multiface.jpg")
    image = scaled(image, 0.5)
    (expected,) = detector.detect([image], min_faces=[24])
    (found,) = detector.detect([scaled(image, factor)], min_faces=[24 * factor])
    assert len(found) == len(expected) == 6
    order, other = np.argsort(found.boxes[:, 0]), np.argsort(expected.boxes[:, 0])
    sides = (expected.boxes[other, 2] - expected.boxes[other, 0])[:, None]
    assert (np.abs(found.boxes[order] / factor - expected.boxes[other]) < 0.15 * sides).all()


def test_a_closer_look_places_the_landmarks_of_small_faces(detector: YuNet, monkeypatch) -> None:
    # The landmarks of the network itself, which O-Net replaces.
    monkeypatch.setattr(detector._landmarks, "locate", lambda images, found: found)
    whole = photo("groups/multiface.jpg")
    (large,) = detector.detect([whole], min_faces=[10])
    factor = 0.35  # faces of about 35 px
    small = scaled(whole, factor)
    (closer,) = detector.detect([small])
    monkeypatch.setattr(yunet, "_SMALL", 0.0)
    (once,) = detector.detect([small])
    assert len(large) == len(closer) == 6

    def error(found: Detections) -> float:
        nearest = (
            np.abs(found.landmarks[:, None, 2] / factor - large.landmarks[None, :, 2])
            .sum(axis=2)
            .argmin(axis=1)
        )
        return float(np.abs(found.landmarks / factor - large.landmarks[nearest]).mean())

    assert error(closer) < 0.7 * error(once)


def test_a_face_that_fills_a_large_photo_is_found(detector: YuNet) -> None:
    image = photo("groups/biden.jpg")
    (found,) = detector.detect([image])
    x1, y1, x2, y2 = found.boxes[0]
    face = scaled(np.ascontiguousarray(image[int(y1) : int(y2), int(x1) : int(x2)]), 4000 / (y2 - y1))
    assert max(face.shape) == pytest.approx(4000, abs=60)
    (found,) = detector.detect([face])
    assert len(found) == 1
    side = (found.boxes[0, 2:] - found.boxes[0, :2]).max()
    assert 3000 < side < 5000


@pytest.mark.parametrize(
    "shape",
    [(0, 0), (0, 5), (1, 1), (1, 700), (700, 1), (7, 9), (33, 31)],
    ids=lambda shape: "x".join(map(str, shape)),
)
def test_tiny_and_empty_images_have_no_face(detector: YuNet, shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 200, np.uint8)
    for side in (0.5, 30.0, 1e6):
        (found,) = detector.detect([image], min_faces=[side])
        assert found.boxes.shape == (0, 4)
        assert found.landmarks.shape == (0, 5, 2)
        assert found.scores.shape == (0,)


def test_no_images_give_no_results(detector: YuNet) -> None:
    assert detector.detect([]) == []


def test_images_that_cannot_be_written_are_read(detector: YuNet) -> None:
    image = photo("groups/biden.jpg")
    fixed = image.copy()
    fixed.setflags(write=False)
    assert_same(detector.detect([fixed])[0], detector.detect([image])[0])


def test_the_input_never_exceeds_the_most_pixels(detector: YuNet, monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo("groups/biden.jpg")
    (expected,) = detector.detect([image])
    monkeypatch.setattr(yunet, "MOST_PIXELS", 40_000)
    sizes: list[tuple[int, ...]] = []
    run = detector._session.run

    def recorded(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        sizes.append(inputs["input"].shape)
        return run(inputs)

    monkeypatch.setattr(detector._session, "run", recorded)
    (found,) = detector.detect([image], min_faces=[1.0])
    assert max(height * width for _, _, height, width in sizes) < 40_000 + 64 * sum(image.shape)
    assert len(found) == len(expected) == 1


@pytest.mark.parametrize("min_face", [0, -1, float("nan"), float("inf")])
def test_an_invalid_smallest_face_is_refused(detector: YuNet, spec: DetectorSpec, min_face: float) -> None:
    with pytest.raises(UsageError, match="`min_face` is"):
        YuNet(spec, min_face=min_face)
    with pytest.raises(UsageError, match="A value of `min_faces`"):
        detector.detect([np.zeros((40, 40, 3), np.uint8)], min_faces=[min_face])


def test_invalid_images_are_refused(detector: YuNet) -> None:
    with pytest.raises(UsageError, match="Pass RGB images"):
        detector.detect([np.zeros((40, 40), np.uint8)])
    with pytest.raises(UsageError, match="2 values for 1 images"):
        detector.detect([np.zeros((40, 40, 3), np.uint8)], min_faces=[30, 30])


def test_a_file_declared_for_one_size_gives_the_same_faces(
    spec: DetectorSpec, detector: YuNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the file of 2023 is; its weights are those of the file of 2026."""
    fixed = with_free_input(read_weights(spec.weights[0]), "fixed.onnx", (1, 3, 640, 640))
    with pytest.raises(Exception, match="invalid dimensions"):
        OnnxSession(fixed, "fixed.onnx").run({"input": np.zeros((1, 3, 320, 320), np.float32)})
    monkeypatch.setattr(yunet, "read_weights", lambda weight: fixed)
    images = [photo("groups/multiface.jpg"), photo("groups/biden.jpg")]
    for a, b in zip(YuNet(spec, min_face=30).detect(images), detector.detect(images), strict=True):
        assert_same(a, b)


def test_the_input_of_a_long_line_of_pixels_is_bounded() -> None:
    for shape in ((1, 4_000_000), (4_000_000, 1), (3000, 4000)):
        levels = yunet._levels(0, np.zeros((*shape, 3), np.uint8), 10.0)
        sizes = [canvas(level.pixels.shape[:2]) for level in levels]
        assert max(height * width for height, width in sizes) < 1.1 * yunet.MOST_PIXELS
