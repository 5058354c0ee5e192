"""DSFD with random weights, and lightDSFD with its published weights if these and photographs are present."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from faceindex.detect import dsfd as dsfd_module
from faceindex.detect.dsfd import LightDSFD, candidates, to_input
from faceindex.detect.dsfd_light_nets import LightDSFDNet
from faceindex.errors import UsageError, WeightsInvalid
from faceindex.models import DetectorSpec, get
from faceindex.types import Detections

SHARED = Path(__file__).resolve().parents[3] / "shared"


def photo(name: str) -> NDArray[np.uint8]:
    path = SHARED / "data" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with Image.open(path) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB")))


def published() -> DetectorSpec:
    return get("detector", "dsfd-light")


@pytest.fixture(scope="module")
def detector() -> LightDSFD:
    spec = published()
    folder = SHARED / "weights"
    if not (folder / spec.weights[0].name).is_file():
        pytest.skip(f"{folder / spec.weights[0].name} is absent")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEINDEX_WEIGHTS", str(folder))
        return LightDSFD(spec, min_face=spec.min_face)


@pytest.fixture(scope="module")
def random_detector(tmp_path_factory: pytest.TempPathFactory) -> LightDSFD:
    """LightDSFD with random weights, scaled so that some anchors are faces."""
    torch.manual_seed(3)
    net = LightDSFDNet()
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            # Keeps the features near 1, also after the products of the pyramid.
            module.weight.data *= {"conv1.conv": 1 / 64, "smooth3": 0.3, "smooth2": 0.3}.get(name, 1.0)
        if name.endswith("conv3") and name.startswith(("loc.", "conf.")):
            module.weight.data *= 0.3
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    content = file.getvalue()
    spec = published()
    weight = replace(
        spec.weights[0],
        name="random.pth",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    folder = tmp_path_factory.mktemp("weights")
    (folder / "random.pth").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEINDEX_WEIGHTS", str(folder))
        return LightDSFD(replace(spec, weights=(weight,)), min_face=spec.min_face)


@pytest.fixture
def input_shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Height and width of each input of the network, in the order of its passes."""
    shapes: list[tuple[int, ...]] = []

    def recorded(net: nn.Module, batch: torch.Tensor, threshold: float) -> object:
        shapes.append(tuple(batch.shape[2:]))
        return candidates(net, batch, threshold)

    monkeypatch.setattr(dsfd_module, "candidates", recorded)
    return shapes


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def assert_valid(found: Detections) -> None:
    count = len(found.boxes)
    assert found.boxes.shape == (count, 4)
    assert found.landmarks.shape == (count, 5, 2)
    assert found.scores.shape == (count,)
    for array in (found.boxes, found.landmarks, found.scores):
        assert array.dtype == np.float32
    assert np.isnan(found.landmarks).all()
    assert np.isfinite(found.boxes).all()
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def assert_same(one: Detections, other: Detections, tolerance: float = 1e-2) -> None:
    assert len(one) == len(other)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=tolerance)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


def test_input_is_bgr_minus_the_mean() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[1, 2] = (10, 20, 30)
    batch = to_input([image, image], (2, 3), torch.device("cpu"))
    assert batch.shape == (2, 3, 2, 3)
    assert batch.dtype == torch.float32
    assert batch[1, :, 1, 2].tolist() == [30 - 104, 20 - 117, 10 - 123]
    assert batch[0, :, 0, 0].tolist() == [-104, -117, -123]


def test_input_is_scaled_by_averaging() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, ::2] = 200
    batch = to_input([image], (2, 2), torch.device("cpu"))
    assert abs(float(batch[0, 0].mean()) + 104 - 100) < 10  # the mean of the stripes, which are 0 and 200


def test_results_are_valid_and_do_not_depend_on_the_batch(random_detector: LightDSFD) -> None:
    images = [noise(70, 90), noise(33, 21, 1), noise(70, 90, 2), np.zeros((0, 5, 3), np.uint8), noise(1, 1)]
    together = random_detector.detect(images)
    assert len(together) == len(images)
    assert sum(map(len, together)) > 5
    assert len(together[3]) == 0
    for image, found in zip(images, together, strict=True):
        assert_valid(found)
        assert (found.scores >= random_detector.spec.threshold).all()
        assert_same(found, random_detector.detect([image])[0])


def test_faces_are_candidates_after_suppression(random_detector: LightDSFD) -> None:
    image = noise(70, 90)
    with torch.inference_mode():
        batch = to_input([image], (70, 90), torch.device("cpu"))
        boxes, scores, _ = candidates(random_detector._net, batch, random_detector.spec.threshold)
        every = candidates(random_detector._net, batch, 0.0)
    assert len(every[0]) > len(boxes) > len(random_detector.detect([image])[0]) > 0
    found = random_detector.detect([image])[0]
    best = int(scores.argmax())
    np.testing.assert_allclose(found.boxes[0], boxes[best].numpy() * [90, 70, 90, 70], rtol=1e-5)
    assert found.scores[0] == pytest.approx(float(scores[best]))


def test_running_out_of_memory_makes_batches_smaller(
    random_detector: LightDSFD, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [noise(40, 48, seed) for seed in range(5)]
    expected = random_detector.detect(images)
    sizes = []

    def scarce(net: nn.Module, batch: torch.Tensor, threshold: float) -> object:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise MemoryError
        return candidates(net, batch, threshold)

    monkeypatch.setattr(dsfd_module, "candidates", scarce)
    for one, other in zip(random_detector.detect(images), expected, strict=True):
        assert_same(one, other)
    assert sizes == [5, 2, 2, 1]


def test_large_images_are_reduced_to_bound_memory(
    random_detector: LightDSFD, input_shapes: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LightDSFD, "most_pixels", 1000)
    assert_valid(random_detector.detect([noise(200, 80)])[0])
    assert input_shapes == [(50, 20)]


@pytest.mark.parametrize(
    ("min_face", "shape"), [(30, (60, 80)), (60, (30, 40)), (15, (120, 160)), (30.3, (60, 80)), (1e6, (1, 1))]
)
def test_images_are_scaled_to_the_smallest_face(
    random_detector: LightDSFD, input_shapes: list[tuple[int, ...]], min_face: float, shape: tuple[int, int]
) -> None:
    random_detector.detect([noise(60, 80)], min_faces=[min_face])
    assert input_shapes == [shape]


@pytest.mark.parametrize(
    ("image", "shapes"),
    [
        ((640, 30), [(640, 30)]),
        ((641, 30), [(641, 30), (320, 15)]),
        ((40, 1300), [(40, 1300), (20, 650), (10, 325)]),
    ],
)
def test_large_images_are_also_processed_at_smaller_scales(
    random_detector: LightDSFD,
    input_shapes: list[tuple[int, ...]],
    image: tuple[int, int],
    shapes: list[tuple[int, int]],
) -> None:
    assert_valid(random_detector.detect([noise(*image)])[0])
    assert input_shapes == shapes


def test_each_scale_contributes_faces_of_its_sizes(
    random_detector: LightDSFD, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For each height of the network's input, its results: boxes in pixels of the image, and scores.
    results = {
        1600: [((900, 0, 1000, 120), 0.9), ((0, 0, 400, 400), 0.95), ((600, 600, 830, 830), 0.8)],
        800: [((0, 900, 190, 1080), 0.9), ((610, 600, 840, 830), 0.7), ((0, 0, 800, 800), 0.99)],
        400: [((10, 0, 900, 1000), 0.6), ((0, 1300, 300, 1600), 0.99)],
    }

    def scripted(net: nn.Module, batch: torch.Tensor, threshold: float) -> object:
        count, _, height, width = batch.shape
        boxes, scores = zip(*results[height], strict=True)
        parts = torch.tensor(boxes) / torch.tensor([1200.0, 1600.0, 1200.0, 1600.0])
        assert width == height * 3 // 4
        return (
            parts.repeat(count, 1),
            torch.tensor(scores).repeat(count),
            torch.arange(count).repeat_interleave(len(boxes)),
        )

    monkeypatch.setattr(dsfd_module, "candidates", scripted)
    for found in random_detector.detect([noise(1600, 1200)] * 2):
        assert_valid(found)
        # A small face of the first scale, the better of a face of two scales, and a large face of the last.
        expected = [(900, 0, 1000, 120), (600, 600, 830, 830), (10, 0, 900, 1000)]
        np.testing.assert_allclose(found.boxes, expected, atol=1e-2)
        np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.6])


def test_no_images_give_no_detections(random_detector: LightDSFD) -> None:
    assert random_detector.detect([]) == []


@pytest.mark.parametrize("min_face", [0, -1, float("nan"), float("inf")])
def test_an_invalid_smallest_face_is_rejected(random_detector: LightDSFD, min_face: float) -> None:
    with pytest.raises(UsageError, match=rf"^`min_face` is {min_face} px\."):
        LightDSFD(random_detector.spec, min_face=min_face)
    with pytest.raises(UsageError, match=rf"^A value of `min_faces` is {min_face} px\."):
        random_detector.detect([noise(5, 5)], min_faces=[min_face])


def test_invalid_arguments_are_rejected(random_detector: LightDSFD) -> None:
    with pytest.raises(UsageError, match="`min_faces` has 2 values for 1 images"):
        random_detector.detect([noise(5, 5)], min_faces=[30, 30])
    with pytest.raises(UsageError, match="shape"):
        random_detector.detect([np.zeros((5, 5), np.uint8)])
    with pytest.raises(UsageError, match="float32"):
        random_detector.detect([np.zeros((5, 5, 3), np.float32)])


def test_weights_with_another_hash_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / published().weights[0].name).write_bytes(b"something else")
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsInvalid):
        LightDSFD(published(), min_face=30)


def test_read_only_images_are_accepted_without_a_warning(
    random_detector: LightDSFD, recwarn: pytest.WarningsRecorder
) -> None:
    image = noise(40, 48)
    image.flags.writeable = False
    assert_valid(random_detector.detect([image])[0])
    assert not recwarn.list


def test_six_faces_are_found_on_a_group_photo(detector: LightDSFD) -> None:
    found = detector.detect([photo("groups/multiface.jpg")])[0]
    assert_valid(found)
    assert len(found) == 6
    assert (found.scores > 0.95).all()
    # The centres of the two boxes of facenet-pytorch in tests/detect/test_mtcnn.py lie in these.
    for x, y in ((906, 497), (593, 102)):
        inside = (found.boxes[:, :2] < [x, y]).all(axis=1) & (found.boxes[:, 2:] > [x, y]).all(axis=1)
        assert inside.sum() == 1


@pytest.mark.parametrize("min_face", [12, 15])
def test_over_a_hundred_faces_are_found_in_a_crowd(detector: LightDSFD, min_face: float) -> None:
    # The faces are 8 to 30 px wide.
    found = detector.detect([photo("groups/parade.jpg")], min_faces=[min_face])[0]
    assert_valid(found)
    assert len(found) > 100


@pytest.mark.parametrize("height", [700, 1200])
def test_a_large_face_is_found_once(detector: LightDSFD, height: int) -> None:
    # At one scale only, two and five faces are found on these images, also in patches of skin.
    image = photo("groups/obama.jpg")
    (box,) = detector.detect([image])[0].boxes
    factor = height / float(box[3] - box[1])
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    enlarged = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    found = detector.detect([enlarged])[0]
    assert_valid(found)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes[0], box * factor, atol=height / 12)


def test_an_image_at_half_scale_has_the_same_faces(detector: LightDSFD) -> None:
    whole = photo("groups/multiface.jpg")
    half = np.ascontiguousarray(whole[::2, ::2])
    found = detector.detect([half], min_faces=[15])[0]
    assert len(found) == 6
    x, y = ((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 * 2).T
    expected = detector.detect([whole])[0].boxes
    near = np.hypot(
        (expected[:, 0] + expected[:, 2])[:, None] / 2 - x, (expected[:, 1] + expected[:, 3])[:, None] / 2 - y
    )
    assert (near.min(axis=1) < 8).all()
