"""MTCNN with its published weights, on real photographs if they are present."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from faceindex.detect import mtcnn as mtcnn_module
from faceindex.detect import shelves
from faceindex.detect.mtcnn import MTCNN
from faceindex.detect.mtcnn_nets import ONet, PNet, RNet
from faceindex.detect.resample import SummedAreas
from faceindex.errors import UsageError
from faceindex.models import DetectorSpec, get
from faceindex.models.weights import read_weights
from faceindex.types import Detections

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def photo(name: str) -> NDArray[np.uint8]:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with Image.open(path) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB")))


@pytest.fixture(scope="module")
def spec() -> DetectorSpec:
    return get("detector", "mtcnn")


@pytest.fixture(scope="module")
def detector(spec: DetectorSpec) -> MTCNN:
    return MTCNN(spec, min_face=40)


def assert_same(a: Detections, b: Detections) -> None:
    assert len(a) == len(b)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-2)
    np.testing.assert_allclose(a.landmarks, b.landmarks, atol=1e-2)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)


def assert_valid(found: Detections) -> None:
    count = len(found.boxes)
    assert found.boxes.shape == (count, 4)
    assert found.landmarks.shape == (count, 5, 2)
    assert found.scores.shape == (count,)
    for array in (found.boxes, found.landmarks, found.scores):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


@pytest.mark.parametrize(("position", "net"), [(0, PNet), (1, RNet), (2, ONet)])
def test_published_state_dicts_have_the_keys_of_the_networks(
    spec: DetectorSpec, position: int, net: type[torch.nn.Module]
) -> None:
    weights = torch.load(io.BytesIO(read_weights(spec.weights[position])), weights_only=True)
    assert set(net().state_dict()) == set(weights)
    net().load_state_dict(weights, strict=True)


def test_six_faces_are_found_with_landmarks_in_the_right_places(detector: MTCNN) -> None:
    found = detector.detect([photo("groups/multiface.jpg")])[0]
    assert_valid(found)
    assert len(found) == 6
    assert (found.scores > 0.99).all()
    # Left and right as the viewer sees them: the left eye is left of the right one, and above the mouth.
    left_eye, right_eye, nose, mouth_left, mouth_right = found.landmarks.transpose(1, 0, 2)
    assert (left_eye[:, 0] < right_eye[:, 0]).all()
    assert (mouth_left[:, 0] < mouth_right[:, 0]).all()
    assert (left_eye[:, 1] < mouth_left[:, 1]).all()
    assert (right_eye[:, 1] < mouth_right[:, 1]).all()
    low, high = found.boxes[:, :2], found.boxes[:, 2:]
    assert ((low < nose) & (nose < high)).all()


def test_boxes_equal_those_of_facenet_pytorch(detector: MTCNN) -> None:
    # Measured with facenet-pytorch 2.5.3 at min_face_size=20 by benchmarks/detection.py.
    found = detector.detect([photo("groups/multiface.jpg")], min_faces=[20])[0]
    for expected in ([859.1933, 436.5560, 953.5569, 558.5786], [554.0928, 45.4829, 632.8440, 158.1380]):
        assert np.abs(found.boxes - np.array(expected, np.float32)).max(axis=1).min() < 0.01


def test_a_batch_gives_the_faces_of_single_images(detector: MTCNN) -> None:
    whole = photo("groups/multiface.jpg")
    images = [
        whole,
        photo("groups/biden.jpg"),
        whole[::2, ::2].copy(),
        whole,
        np.zeros((30, 40, 3), np.uint8),
    ]
    together = detector.detect(images)
    assert sum(map(len, together)) > 12
    for image, found in zip(images, together, strict=True):
        assert_same(found, detector.detect([image])[0])


def test_small_passes_and_batches_give_the_same_faces(
    spec: DetectorSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [photo("groups/multiface.jpg")[:400, :700].copy()] * 3
    whole = MTCNN(spec, min_face=20).detect(images)
    monkeypatch.setattr(mtcnn_module, "PIXELS_PER_PASS", 3000)
    monkeypatch.setattr(shelves, "WIDTH", 72)
    monkeypatch.setattr(shelves, "HEIGHT", 24)
    monkeypatch.setattr(mtcnn_module, "CROP_PIXELS_PER_PASS", 5 * 24**2)
    monkeypatch.setattr(mtcnn_module, "PIXELS_PER_BATCH", 1)
    for one, other in zip(whole, MTCNN(spec, min_face=20).detect(images), strict=True):
        assert_same(one, other)


def test_windows_on_shelves_equal_those_of_each_level_alone(
    spec: DetectorSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All windows of levels of odd and even sizes, cut and whole, have the same scores and offsets."""
    monkeypatch.setattr(mtcnn_module, "P_THRESHOLD", 0.0)  # every window is found
    monkeypatch.setattr(shelves, "WIDTH", 80)
    monkeypatch.setattr(shelves, "HEIGHT", 40)
    rng = np.random.default_rng(4)
    shapes = [(57, 93), (12, 12), (40, 80), (13, 200), (90, 41), (31, 79), (41, 81), (100, 15)]
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    detector = MTCNN(spec, min_face=20)
    areas = SummedAreas(images)
    pieces = [piece for i, shape in enumerate(shapes) for piece in shelves.cut(i, i, shape, 10)]
    with torch.inference_mode():
        together = mtcnn_module._Proposals.concatenated(
            [detector._run_pnet(areas, [shelf]) for shelf in shelves.shelve(pieces)]
        )
        for index, image in enumerate(images):
            alone = torch.from_numpy((image.astype(np.float32) - 127.5) / 128).permute(2, 0, 1)[None]
            scores, features = detector._pnet(alone, torch.empty(0, dtype=torch.int64))
            mine = np.flatnonzero(together.images == index)
            assert len(mine) == scores.numel()
            x, y = ((together.windows[mine] - 1) / 2).astype(int).T
            assert len({*zip(x, y, strict=True)}) == len(mine)
            np.testing.assert_allclose(together.scores[mine], scores[0, y, x].numpy(), atol=1e-5)
            offsets = detector._pnet.offsets(features[0, y, x]).numpy()
            np.testing.assert_allclose(together.offsets[mine], offsets, atol=1e-5)


def test_running_out_of_memory_gives_the_same_faces(
    spec: DetectorSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [photo("groups/multiface.jpg")[:400, :700].copy()] * 3
    whole = MTCNN(spec, min_face=20).detect(images)
    small = MTCNN(spec, min_face=20)
    small._shelf_pixels.size, small._crop_pixels.size = 1 << 22, 512 * 48**2  # as on a GPU
    failed: set[str] = set()
    for name, net, most in (("p", small._pnet, 1 << 17), ("r", small._rnet, 50 * 24**2)):
        forward = net.forward

        def within(x, *more, name=name, forward=forward, most=most):
            if x.shape[0] * x.shape[2] * x.shape[3] > most:
                failed.add(name)
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return forward(x, *more)

        monkeypatch.setattr(net, "forward", within)
    for one, other in zip(whole, small.detect(images), strict=True):
        assert_same(one, other)
    assert failed == {"p", "r"}


def test_detection_is_deterministic(detector: MTCNN) -> None:
    image = photo("groups/two_people.jpg")
    first, second = detector.detect([image])[0], detector.detect([image])[0]
    np.testing.assert_array_equal(first.boxes, second.boxes)
    np.testing.assert_array_equal(first.scores, second.scores)


def test_faces_are_found_on_mirrored_and_grey_images(detector: MTCNN) -> None:
    image = photo("groups/multiface.jpg")[::2, ::2]
    turned = [np.ascontiguousarray(np.rot90(image, turns)) for turns in range(4)]
    grey = np.ascontiguousarray(np.broadcast_to(image.mean(axis=2, keepdims=True), image.shape)).astype(
        np.uint8
    )
    upright, _, _, _, mirrored, colourless = detector.detect(
        [*turned, np.ascontiguousarray(image[:, ::-1]), grey]
    )
    for found in (upright, mirrored, colourless):
        assert_valid(found)
        assert len(found) >= 5


def test_min_faces_overrides_min_face_of_each_image(detector: MTCNN) -> None:
    image = photo("groups/multiface.jpg")
    all_of_them, none, fractional = detector.detect([image] * 3, min_faces=[20, 400, 13.7])
    assert (len(all_of_them), len(none)) == (6, 0)
    assert len(fractional) >= 6


@pytest.mark.parametrize(
    "shape", [(1, 1), (11, 300), (12, 12), (40, 40), (41, 1500), (2000, 13), (0, 0), (0, 50), (64, 65)]
)
@pytest.mark.parametrize("fill", ["black", "white", "noise"])
def test_images_of_any_shape_without_faces(detector: MTCNN, shape: tuple[int, int], fill: str) -> None:
    rng = np.random.default_rng(8)
    image = {
        "black": np.zeros((*shape, 3), np.uint8),
        "white": np.full((*shape, 3), 255, np.uint8),
        "noise": rng.integers(0, 256, (*shape, 3), np.uint8),
    }[fill]
    found = detector.detect([image], min_faces=[12])[0]
    assert_valid(found)
    if fill != "noise":
        assert len(found) == 0


def test_no_images_give_no_detections(detector: MTCNN) -> None:
    assert detector.detect([]) == []


@pytest.mark.parametrize("side", [0, -3, float("nan"), float("inf")])
def test_an_invalid_smallest_face_is_rejected(spec: DetectorSpec, detector: MTCNN, side: float) -> None:
    with pytest.raises(UsageError, match=rf"^`min_face` is {side} px\."):
        MTCNN(spec, min_face=side)
    with pytest.raises(UsageError, match=rf"^A value of `min_faces` is {side} px\."):
        detector.detect([np.zeros((20, 20, 3), np.uint8)], min_faces=[side])


def test_invalid_arguments_are_rejected(detector: MTCNN) -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(UsageError, match="for 2 images"):
        detector.detect([image, image], min_faces=[20])
    with pytest.raises(UsageError, match="float64"):
        detector.detect([image.astype(float)])
    with pytest.raises(UsageError, match=r"\(20, 20\)"):
        detector.detect([image[..., 0]])


def test_a_detector_has_its_spec_and_min_face(spec: DetectorSpec) -> None:
    detector = MTCNN(spec, min_face=33)
    assert detector.spec is spec
    assert detector.min_face == 33.0
