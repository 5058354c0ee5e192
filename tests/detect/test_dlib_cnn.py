"""dlib's network run by torch, compared with dlib itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import dlib
import numpy as np
import pytest
import torch
from PIL import Image

from faceindex.detect import dlib_cnn
from faceindex.detect.dlib_cnn import DlibCnn, suppress
from faceindex.detect.dlib_mmod import FIELD, OFFSET, STRIDE, MmodNetwork, read_parameters
from faceindex.errors import UsageError, WeightsInvalid
from faceindex.models import DetectorSpec, find_weights, get
from faceindex.models.dlib_layers import SlidingWindow
from faceindex.types import U8, Detections

PEOPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "people"


@pytest.fixture(scope="module")
def astronaut() -> U8:
    skimage = pytest.importorskip("skimage", reason="scikit-image is not installed")
    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as photo:
        return np.ascontiguousarray(np.asarray(photo.convert("RGB"))[:220, 140:320])


@pytest.fixture(scope="module")
def spec() -> DetectorSpec:
    return get("detector", "dlib-cnn")


@pytest.fixture(scope="module")
def detector(spec: DetectorSpec) -> DlibCnn:
    return DlibCnn(spec, min_face=40)


@pytest.fixture(scope="module")
def reference(spec: DetectorSpec) -> dlib.cnn_face_detection_model_v1:
    return dlib.cnn_face_detection_model_v1(str(find_weights(spec.weights[0])))


def assert_equals_dlib(found: Detections, expected: dlib.mmod_rectangles) -> None:
    boxes = [[f.rect.left(), f.rect.top(), f.rect.right(), f.rect.bottom()] for f in expected]
    np.testing.assert_array_equal(found.boxes, np.array(boxes, float).reshape(-1, 4))
    scores = found.scores.astype(float)
    confidences = [face.confidence for face in expected]
    np.testing.assert_allclose(np.log(scores / (1 - scores)), confidences, atol=1e-4)


@pytest.mark.parametrize("upsample", [0, 1, 2])
def test_boxes_equal_dlibs(
    spec: DetectorSpec, reference: dlib.cnn_face_detection_model_v1, astronaut: U8, upsample: int
) -> None:
    image = astronaut if upsample < 2 else np.ascontiguousarray(astronaut[20:130:2, 20:150:2])
    (found,) = DlibCnn(spec, min_face=40, upsample=upsample).detect([image])
    assert len(found) == 1
    assert_equals_dlib(found, reference(image, upsample))
    assert np.isnan(found.landmarks).all()
    assert found.landmarks.shape == (1, 5, 2)
    assert {array.dtype for array in (found.boxes, found.landmarks, found.scores)} == {np.dtype(np.float32)}


def test_several_faces_are_in_dlibs_order(
    spec: DetectorSpec, reference: dlib.cnn_face_detection_model_v1, astronaut: U8
) -> None:
    smaller = np.pad(astronaut[::2, ::2], ((0, 110), (0, 0), (0, 0)))
    image = np.concatenate([smaller, astronaut, astronaut[:, ::-1]], axis=1)
    (found,) = DlibCnn(spec, min_face=40, upsample=0).detect([image])
    assert len(found) >= 2
    assert_equals_dlib(found, reference(image, 0))


def test_boxes_equal_dlibs_on_a_photo_of_people(
    detector: DlibCnn, reference: dlib.cnn_face_detection_model_v1
) -> None:
    if not PEOPLE.is_dir():
        pytest.skip(f"{PEOPLE} is absent")
    path = min(PEOPLE.glob("*/*.jpg"), key=lambda path: path.stat().st_size)
    with Image.open(path) as photo:
        image = np.asarray(photo.convert("RGB"))
    (found,) = detector.detect([image])
    assert_equals_dlib(found, reference(image, 1))


def test_strips_give_the_same_faces(
    detector: DlibCnn, astronaut: U8, monkeypatch: pytest.MonkeyPatch, spec: DetectorSpec
) -> None:
    (whole,) = detector.detect([astronaut])
    monkeypatch.setattr(dlib_cnn, "PIXELS_PER_ITEM", 5000)
    cut = DlibCnn(spec, min_face=40)
    cut._feature_batch.size = cut._score_batch.size = 1
    (pieces,) = cut.detect([astronaut])
    np.testing.assert_array_equal(pieces.boxes, whole.boxes)
    np.testing.assert_allclose(pieces.scores, whole.scores, atol=1e-5)


def test_an_image_is_doubled_only_up_to_a_limit(
    spec: DetectorSpec, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = DlibCnn(spec, min_face=40, upsample=0).detect([astronaut])[0]
    monkeypatch.setattr(dlib_cnn, "MOST_PIXELS", astronaut[..., 0].size * 4 - 1)
    limited = DlibCnn(spec, min_face=40, upsample=2).detect([astronaut])[0]
    np.testing.assert_array_equal(limited.boxes, plain.boxes)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (6, 6), (3, 90), (90, 3), (50, 50), (0, 0), (0, 40)])
@pytest.mark.parametrize("upsample", [0, 1])
def test_no_face_gives_empty_arrays(spec: DetectorSpec, shape: tuple[int, int], upsample: int) -> None:
    (found,) = DlibCnn(spec, min_face=40, upsample=upsample).detect([np.full((*shape, 3), 90, np.uint8)])
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)
    assert found.scores.shape == (0,)


@pytest.mark.parametrize("together", [1 << 40, 1])
def test_several_threads_find_the_same_faces_as_a_batch(
    spec: DetectorSpec, astronaut: U8, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(dlib_cnn, "MOST_TOGETHER", together)
    detector = DlibCnn(spec, min_face=40)
    images = [astronaut, astronaut[:, ::-1], np.zeros((30, 40, 3), np.uint8), astronaut[:200]]
    expected = detector.detect(images)
    assert [len(found) for found in expected] == [1, 1, 0, 1]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda image: detector.detect([image])[0], images))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)


def test_scores_are_centred_on_windows_at_offset_and_stride() -> None:
    """OFFSET, STRIDE and FIELD follow from three windows of 5 px with stride 2."""
    size = FIELD + 3 * STRIDE
    centres = np.arange(size)
    for _ in range(3):
        centres = np.lib.stride_tricks.sliding_window_view(centres, 5)[::2, 2]
    np.testing.assert_array_equal(centres, OFFSET + STRIDE * np.arange(4))


def test_suppression_divides_by_the_rectangle_around_both_boxes() -> None:
    window = SlidingWindow(80, 80, iou=0.5, covered=1.0)
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 4], [5, 5, 14, 14], [20, 20, 29, 29], [0, 0, 9, 5]], float)
    # 5 rows of 10 are exactly half of the rectangle around both, which does not exceed 0.5; 6 rows do.
    assert suppress(boxes, window) == [0, 1, 2, 3]
    assert suppress(boxes, replace(window, covered=0.9)) == [0, 2, 3]
    assert suppress(np.empty((0, 4)), window) == []


def test_network_has_seven_convolutions_without_gradients(spec: DetectorSpec) -> None:
    network = MmodNetwork(read_parameters(spec.weights[0]))
    assert len(list(network.parameters())) == 7 * 2
    assert not any(parameter.requires_grad for parameter in network.parameters())
    features = network.features(torch.zeros(1, 3, FIELD + 8 * STRIDE, FIELD))
    assert network.scores(features).shape == (1, 1, 9, 1)


def test_a_file_that_differs_from_the_published_one_is_rejected(
    spec: DetectorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = replace(spec.weights[0], name="other.dat", package=None)
    content = find_weights(spec.weights[0]).read_bytes()
    (tmp_path / weight.name).write_bytes(content[:-1] + b"\x01")
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsInvalid, match=r"other\.dat"):
        DlibCnn(replace(spec, weights=(weight,)), min_face=40)


def test_a_file_of_another_network_is_rejected(spec: DetectorSpec) -> None:
    embedder = get("embedder", "dlib").weights[0]
    with pytest.raises(WeightsInvalid, match="the loss is 'loss_metric_2', not 'loss_mmod_'"):
        DlibCnn(replace(spec, weights=(embedder,)), min_face=40)


def test_invalid_arguments_are_rejected(spec: DetectorSpec, detector: DlibCnn) -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(UsageError, match=r"^`min_face` is 0 px\."):
        DlibCnn(spec, min_face=0)
    with pytest.raises(UsageError, match="for 2 images"):
        detector.detect([image, image], min_faces=[20])
    with pytest.raises(UsageError, match="float64"):
        detector.detect([image.astype(float)])


def test_min_face_is_no_less_than_the_pyramid_reaches(spec: DetectorSpec) -> None:
    detector = DlibCnn(spec, min_face=10, upsample=2)
    assert (detector.min_face, detector.spec.decoded_face) == (20, 20)
