"""Quality of a face: one number in 0..1 for how well it can be identified, higher is better.

The quality is the estimated probability that identification is right with this face, relative to a face
without any fault. Identification is right if the mean similarity of the face to three other photos of its
person exceeds the embedder's threshold, and the similarity to every stranger. The model is a logistic
regression on faults, each 0 for a good face::

    quality = sigmoid(bias - sum(weight * fault)) / sigmoid(bias)

=========  ===========================================================================================
fault
=========  ===========================================================================================
small      octaves by which the face is smaller than 40 px, at most 3
blurred    octaves by which the chip is less sharp than 0.26 (`faceindex.recognition.sharpness`, of a chip
           of 112 px), at most 3
turned     how far the distance of the eyes is below 0.88 of that from the eyes to the mouth, at most 0.5
nodded     how far the nose is from the middle between eyes and mouth towards the eyes, as a share of their
           distance, at most 0.5
cut        share of the box that lies outside of the photo
doubtful   how far the detector's score is below `DetectorSpec.sure`, in log-odds; 1 at the threshold
weak       how far the norm is below `NormScale.good`, in steps of `NormScale.step`, at most 4
=========  ===========================================================================================

The faults *turned* and *nodded* need landmarks, *doubtful* a detector with a known `sure`, *weak* an embedder
with a known `EmbedderSpec.norm`; what is missing counts as no fault. The norm falls with the other faults
too, so there are two sets of weights, with and without it. `benchmarks/quality.py` fits and tests them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faceindex.models.spec import DetectorSpec, EmbedderSpec
from faceindex.types import F32, I64

__all__ = [
    "FAULTS",
    "POOR_QUALITY",
    "WITHOUT_NORM",
    "WITH_NORM",
    "Weights",
    "faults_of_faces",
    "quality_of_faces",
]

POOR_QUALITY = 0.3
"""Quality up to which a face is poor: it hardly shows who it is. Of the clusters of blurred, cut-off and
false faces on shared/data (people/, lfw/, nobody/, art/), at most one face in seven is better; of the
clusters of one person, more than two in three."""

FAULTS = ("small", "blurred", "turned", "nodded", "cut", "doubtful", "weak")

_LARGE = 40.0  # px
_SHARP = 0.26
_SHARP_CHIP = 112  # px, to which the sharpness is converted: gradients are per pixel
_OCTAVES = 3.0
_EYES_APART = 0.88
_NOSE_ALONG = 0.5
_MOST_POSE = 0.5
_STEPS = 4.0


@dataclass(frozen=True, slots=True)
class Weights:
    """Coefficients of the model: the bias, and the weights in nats of `FAULTS`, in their order."""

    bias: float
    faults: tuple[float, ...]


# Fitted on one half of the people (`benchmarks/quality.py`): with the norm by mobilefacenet, without it by
# mobilefacenet and dlib together. The detector was mtcnn.
WITH_NORM = Weights(3.5, (1.2, 1.8, 3.0, 1.9, 1.7, 5.3, 2.4))
WITHOUT_NORM = Weights(2.2, (1.4, 3.7, 1.8, 4.6, 2.3, 6.4, 0.0))


def quality_of_faces(
    boxes: F32,
    landmarks: F32,
    scores: F32,
    norms: F32,
    sharpness: F32,
    sizes: I64,
    *,
    detector: DetectorSpec | None,
    embedder: EmbedderSpec | None,
) -> F32:
    """Compute the quality of faces from what the index stores of them.

    Parameters
    ----------
    boxes : (n, 4) float32
    landmarks : (n, 5, 2) float32
        NaN where the detector has none.
    scores, norms, sharpness : (n,) float32
        As in `faceindex.types.Faces`.
    sizes : (n, 2) or (2,) int64
        Width and height of the photos, in the pixels of `boxes`.
    detector, embedder : spec or None
        The models that found and embedded the faces; None if they are not installed.

    Returns
    -------
    (n,) float32
        0..1, never NaN.
    """
    faults = faults_of_faces(
        boxes, landmarks, scores, norms, sharpness, sizes, detector=detector, embedder=embedder
    )
    weights = WITHOUT_NORM if embedder is None or embedder.norm is None else WITH_NORM
    evidence = weights.bias - faults @ np.array(weights.faults)
    quality: F32 = ((1 + np.exp(-weights.bias)) / (1 + np.exp(-evidence))).astype(np.float32)
    return quality


def faults_of_faces(
    boxes: F32,
    landmarks: F32,
    scores: F32,
    norms: F32,
    sharpness: F32,
    sizes: I64,
    *,
    detector: DetectorSpec | None,
    embedder: EmbedderSpec | None,
) -> np.ndarray:
    """Measure the `FAULTS` of faces, (n, 7) float64, each at least 0; parameters as of `quality_of_faces`."""
    corners = boxes.astype(np.float64)
    area = (corners[:, 2:] - corners[:, :2]).clip(0).prod(axis=1)
    inside = (np.minimum(corners[:, 2:], sizes) - np.maximum(corners[:, :2], 0)).clip(0).prod(axis=1)
    side = np.sqrt(area)
    chip = _SHARP_CHIP if embedder is None else embedder.alignment.size
    turned, nodded = _pose(landmarks.astype(np.float64))
    none = np.zeros(len(boxes))
    return np.stack(
        [
            _octaves_below(side, _LARGE),
            _octaves_below(sharpness.astype(np.float64) * chip / _SHARP_CHIP, _SHARP),
            turned,
            nodded,
            1 - inside / np.where(area > 0, area, np.inf),
            none if detector is None or detector.sure is None else _doubt(scores, detector),
            none
            if embedder is None or embedder.norm is None
            else ((embedder.norm.good - norms.astype(np.float64)) / embedder.norm.step).clip(0, _STEPS),
        ],
        axis=1,
    )


def _octaves_below(values: np.ndarray, good: float) -> np.ndarray:
    octaves: np.ndarray = -np.log2(np.maximum(values, good * 2**-_OCTAVES) / good)
    return octaves.clip(0)


def _pose(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the face is turned aside, and up or down; 0 without landmarks."""
    eyes, mouth = landmarks[:, :2].mean(axis=1), landmarks[:, 3:].mean(axis=1)
    line, nose = mouth - eyes, landmarks[:, 2] - eyes
    squared = np.maximum((line**2).sum(axis=1), 1e-12)
    apart = np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=1) / np.sqrt(squared)
    along = (line * nose).sum(axis=1) / squared
    beyond = (_EYES_APART - apart).clip(0, _MOST_POSE), (_NOSE_ALONG - along).clip(0, _MOST_POSE)
    return np.nan_to_num(beyond[0]), np.nan_to_num(beyond[1])


def _doubt(scores: F32, detector: DetectorSpec) -> np.ndarray:
    """Return the distance from a sure score to each score, in distances from there to the threshold."""
    assert detector.sure is not None
    sure, threshold = _log_odds(np.array([detector.sure, detector.threshold]))
    doubt: np.ndarray = (sure - _log_odds(scores.astype(np.float64))) / (sure - threshold)
    return doubt.clip(0, 1)


def _log_odds(probability: np.ndarray) -> np.ndarray:
    inner = probability.clip(1e-6, 1 - 1e-6)
    odds: np.ndarray = np.log(inner / (1 - inner))
    return odds
