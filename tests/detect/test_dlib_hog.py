"""dlib's HOG detector as a `Detector`, compared with dlib itself."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dlib
import numpy as np
import pytest
from PIL import Image

from faceindex.detect import Detector, dlib_hog
from faceindex.detect.dlib_hog import DlibHog
from faceindex.errors import UsageError
from faceindex.models import DetectorSpec, get
from faceindex.recognition import Recogniser
from faceindex.types import U8

GROUPS = Path(__file__).resolve().parents[3] / "shared" / "data" / "groups"
RECORD = Path(__file__).resolve().parents[1] / "fixtures" / "face_recognition_encodings.json"


@pytest.fixture(scope="module")
def astronaut() -> U8:
    skimage = pytest.importorskip("skimage", reason="scikit-image is not installed")
    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as photo:
        return np.ascontiguousarray(np.asarray(photo.convert("RGB"))[:300, 100:400])


@pytest.fixture(scope="module")
def spec() -> DetectorSpec:
    return get("detector", "dlib-hog")


@pytest.fixture(scope="module")
def detector(spec: DetectorSpec) -> DlibHog:
    return DlibHog(spec, min_face=40)


@pytest.mark.parametrize("upsample", [0, 1, 2])
def test_boxes_and_their_order_equal_dlibs(spec: DetectorSpec, astronaut: U8, upsample: int) -> None:
    image = np.concatenate([astronaut, astronaut[:, ::-1]], axis=1)
    (found,) = DlibHog(spec, min_face=40, upsample=upsample).detect([image])
    rectangles, confidences, _ = dlib.get_frontal_face_detector().run(image, upsample, 0.0)
    assert len(found) == len(rectangles) >= 2
    expected = [[r.left(), r.top(), r.right(), r.bottom()] for r in rectangles]
    np.testing.assert_array_equal(found.boxes, expected)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-np.array(confidences))), rtol=1e-6)
    assert (np.diff(found.scores) <= 0).all()
    assert (found.scores >= spec.threshold).all()
    assert found.landmarks.shape == (len(found), 5, 2)
    assert np.isnan(found.landmarks).all()
    assert {array.dtype for array in (found.boxes, found.landmarks, found.scores)} == {np.dtype(np.float32)}


def test_doubling_finds_smaller_faces(spec: DetectorSpec, astronaut: U8) -> None:
    small = np.ascontiguousarray(astronaut[::2, ::2])  # its face is about 55 px wide
    assert [len(DlibHog(spec, min_face=40, upsample=n).detect([small])[0]) for n in (0, 1)] == [0, 1]


def test_an_image_is_doubled_only_up_to_a_limit(
    spec: DetectorSpec, astronaut: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = DlibHog(spec, min_face=40, upsample=0).detect([astronaut])[0]
    monkeypatch.setattr(dlib_hog, "MOST_PIXELS", astronaut[..., 0].size * 4 - 1)
    limited = DlibHog(spec, min_face=40, upsample=3).detect([astronaut])[0]
    np.testing.assert_array_equal(limited.boxes, plain.boxes)
    monkeypatch.setattr(dlib_hog, "MOST_PIXELS", astronaut[..., 0].size * 4)
    doubled = DlibHog(spec, min_face=40, upsample=3).detect([astronaut])[0]
    assert not np.array_equal(doubled.boxes, plain.boxes)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (60, 60), (0, 0), (0, 40)])
def test_no_face_gives_empty_arrays(detector: DlibHog, shape: tuple[int, int]) -> None:
    (found,) = detector.detect([np.full((*shape, 3), 90, np.uint8)])
    assert found.boxes.shape == (0, 4)
    assert found.landmarks.shape == (0, 5, 2)
    assert found.scores.shape == (0,)
    assert detector.detect([]) == []


@pytest.mark.parametrize("together", [1 << 40, 1])
def test_several_threads_find_the_same_faces_as_one(
    spec: DetectorSpec, astronaut: U8, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(dlib_hog, "MOST_TOGETHER", together)
    detector = DlibHog(spec, min_face=40)
    images = [np.roll(astronaut, 7 * shift, axis=1) for shift in range(5)]
    expected = detector.detect(images)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: detector.detect([image])[0], images * 2))
    for one, other in zip(found, expected * 2, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)


def test_images_may_be_views(detector: DlibHog, astronaut: U8) -> None:
    view = astronaut[::-1, ::-1][::-1, ::-1]
    once, again, mirrored = detector.detect([astronaut, view, astronaut[:, ::-1]])
    np.testing.assert_array_equal(once.boxes, again.boxes)
    assert len(mirrored) == 1


@pytest.mark.parametrize(
    ("upsample", "requested", "smallest"), [(0, 40, 80), (1, 40, 40), (1, 90, 90), (2, 5, 20)]
)
def test_min_face_is_no_less_than_the_pyramid_reaches(
    spec: DetectorSpec, upsample: int, requested: float, smallest: float
) -> None:
    detector: Detector = DlibHog(spec, min_face=requested, upsample=upsample)
    assert detector.min_face == smallest
    assert detector.spec.decoded_face == 80 / 2**upsample


def test_invalid_arguments_are_rejected(spec: DetectorSpec, detector: DlibHog) -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    for side in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=rf"^`min_face` is {side} px\."):
            DlibHog(spec, min_face=side)
    with pytest.raises(UsageError, match=r"^A value of `min_faces` is 0 px\."):
        detector.detect([image], min_faces=[0])
    with pytest.raises(UsageError, match=r"^`upsample` is -1\."):
        DlibHog(spec, min_face=40, upsample=-1)
    with pytest.raises(UsageError, match="for 2 images"):
        detector.detect([image, image], min_faces=[20])
    with pytest.raises(UsageError, match="float64"):
        detector.detect([image.astype(float)])
    with pytest.raises(UsageError, match=r"\(20, 20\)"):
        detector.detect([image[..., 0]])


@pytest.mark.parametrize("name", sorted(json.loads(RECORD.read_text(encoding="utf-8"))["photos"]))
def test_embeddings_equal_those_recorded_from_face_recognition(name: str) -> None:
    """dlib-hog and dlib give face_recognition's encodings; see benchmarks/face_recognition_peer.py."""
    path = GROUPS / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    data = path.read_bytes()
    expected = json.loads(RECORD.read_text(encoding="utf-8"))["photos"][name]
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        pytest.skip(f"{path} differs from the recorded photo")
    recogniser = Recogniser.load("dlib-hog", "dlib", min_face=get("detector", "dlib-hog").min_face)
    (faces,) = recogniser.recognise([recogniser.decode_photo(data, str(path))])
    # face_recognition trims its boxes to the photo; all of these lie inside.
    top, right, bottom, left = np.array(expected["locations"]).T
    np.testing.assert_array_equal(faces.boxes, np.stack([left, top, right, bottom], axis=1))
    np.testing.assert_allclose(faces.vectors * faces.norms[:, None], expected["encodings"], atol=1e-5)
