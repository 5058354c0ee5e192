"""Quality of a face: bounds, direction of each fault, and what is left out when it is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceindex import models
from faceindex.models import NormScale
from faceindex.quality import FAULTS, WITH_NORM, WITHOUT_NORM, faults_of_faces, quality_of_faces
from faceindex.types import F32

DETECTOR = models.get("detector", "mtcnn")
EMBEDDER = models.get("embedder", "mobilefacenet")
FACE = [[0.3, 0.4], [0.7, 0.4], [0.5, 0.62], [0.35, 0.8], [0.65, 0.8]]
NORM = EMBEDDER.norm
assert NORM is not None


def measures(
    side: float = 100,
    sharpness: float = 0.4,
    score: float = 0.9999,
    norm: float = 80,
    left: float = 50,
    landmarks: Any = FACE,
) -> dict[str, Any]:
    """One good face of 100 px on a photo of 400 x 300, with some faults."""
    box = np.array([[left, 50, left + side, 50 + side]], np.float32)
    return {
        "boxes": box,
        "landmarks": (np.array([landmarks]) * side + box[:, None, :2]).astype(np.float32),
        "scores": np.array([score], np.float32),
        "norms": np.array([norm], np.float32),
        "sharpness": np.array([sharpness], np.float32),
        "sizes": np.array([400, 300]),
        "detector": DETECTOR,
        "embedder": EMBEDDER,
    }


def quality(**faults: Any) -> float:
    found: F32 = quality_of_faces(**measures(**faults))
    assert found.dtype == np.float32
    assert found.shape == (1,)
    return float(found[0])


def test_a_good_face_has_quality_1() -> None:
    assert quality() == pytest.approx(1, abs=1e-6)
    assert not faults_of_faces(**measures()).any()


@pytest.mark.parametrize(
    ("fault", "values"),
    [
        ("side", [200, 35, 30, 20, 12, 8]),
        ("sharpness", [0.5, 0.25, 0.2, 0.15, 0.1, 0.05]),
        ("score", [1.0, 0.99, 0.98, 0.95, 0.92, 0.9]),
        ("norm", [90, 65, 60, 50, 40, 30]),
        ("left", [0, -10, -20, -30, -40]),
    ],
)
def test_a_fault_lowers_the_quality(fault: str, values: list[float]) -> None:
    found = [quality(**{fault: value}) for value in values]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)
    assert found[-1] < 0.98 * found[0]


def test_a_turned_head_lowers_the_quality() -> None:
    middle = np.array([0.5, 0.6])
    aside = [((np.array(FACE) - middle) * (share, 1) + middle).tolist() for share in (1, 0.7, 0.5, 0.3)]
    found = [quality(landmarks=landmarks) for landmarks in aside]
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0]


def test_the_pose_does_not_depend_on_the_place_and_the_angle_of_a_face() -> None:
    turned = measures(landmarks=((np.array(FACE) - 0.5) * (0.5, 1) + 0.5).tolist())
    angle = np.deg2rad(70)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rotated = {**turned, "landmarks": (turned["landmarks"] @ rotation + 33).astype(np.float32)}
    np.testing.assert_allclose(faults_of_faces(**rotated), faults_of_faces(**turned), atol=1e-4)


def test_missing_landmarks_are_no_fault() -> None:
    assert quality(landmarks=np.full((5, 2), np.nan).tolist()) == pytest.approx(1, abs=1e-6)


def test_unknown_scores_and_norms_are_no_fault() -> None:
    doubtful = measures(score=0.9, norm=10)
    unknown = {
        **doubtful,
        "detector": replace(DETECTOR, sure=None),
        "embedder": replace(EMBEDDER, norm=None),
    }
    assert quality_of_faces(**doubtful)[0] < 0.1
    assert quality_of_faces(**unknown)[0] == pytest.approx(1, abs=1e-6)
    without_models = {**doubtful, "detector": None, "embedder": None}
    assert quality_of_faces(**without_models)[0] == pytest.approx(1, abs=1e-6)


def test_a_norm_scale_makes_the_norm_count() -> None:
    scaled = replace(models.get("embedder", "dlib"), norm=NormScale(1.5, 0.1, "made up"))
    weak = {**measures(norm=1.2), "embedder": scaled}
    assert quality_of_faces(**weak)[0] < quality_of_faces(**{**weak, "norms": np.array([1.6], np.float32)})[0]


def test_every_fault_has_two_weights_that_are_not_negative() -> None:
    for weights in (WITH_NORM, WITHOUT_NORM):
        assert len(weights.faults) == len(FAULTS)
        assert min(weights.faults) >= 0
    assert WITHOUT_NORM.faults[FAULTS.index("weak")] == 0


EXTREME = st.floats(width=32, allow_nan=False, min_value=-1e6, max_value=1e6)


@given(
    box=st.tuples(*[EXTREME] * 4),
    points=st.tuples(*[EXTREME] * 10),
    score=st.floats(0, 1, width=32),
    norm=st.floats(0, 1e4, width=32),
    sharpness=st.floats(0, 10, width=32),
)
def test_any_face_has_a_quality_in_0_to_1(
    box: tuple[float, ...], points: tuple[float, ...], score: float, norm: float, sharpness: float
) -> None:
    (found,) = quality_of_faces(
        np.array([box], np.float32),
        np.array(points, np.float32).reshape(1, 5, 2),
        np.array([score], np.float32),
        np.array([norm], np.float32),
        np.array([sharpness], np.float32),
        np.array([640, 480]),
        detector=DETECTOR,
        embedder=EMBEDDER,
    )
    assert 0 <= found <= 1


def test_no_faces() -> None:
    none = {
        name: value[:0] if name != "sizes" else value
        for name, value in measures().items()
        if isinstance(value, np.ndarray)
    }
    assert quality_of_faces(**none, detector=DETECTOR, embedder=EMBEDDER).shape == (0,)
