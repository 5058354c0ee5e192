"""Align faces: cut chips out of an image by boxes and landmarks.

Alignment ``dlib`` cuts the chips that dlib's face recognition network was trained on: squares in
which five points (four eye corners, the base of the nose) lie where ``get_face_chip_details`` of
``dlib/image_transforms/interpolation.h`` puts them, with a padding of a quarter.

dlib finds these five points with a small regression forest (Kazemi & Sullivan 2014). The forest starts from a
box like those of dlib's own detectors and returns whole pixels. From boxes of another shape, as other
detectors return them, its points are less accurate. A face with landmarks is therefore aligned in three
steps:

1. A similarity transform (Umeyama 1991) between the landmarks and their mean positions in dlib's chips gives
   the box that dlib's detector would have returned.
2. The forest finds its five points from that box. It was trained on upright faces: if a face is tilted by
   more than 20 degrees, the forest runs on an upright copy.
3. The chip's transform is fitted to all ten points, the detector's and the forest's.

Measured with MTCNN for all ten points, the landmarks alone and the forest's points alone: on
shared/data/people, the true match rates at a false match rate of 1 % are 95.3, 94.5 and 94.7 %. (The true
match rate is the share of the same-person pairs that are more similar than 99 % of the different-person
pairs.) On the LFW pairs, the accuracies are 98.9, 98.8 and 98.7 %, with a standard error of 0.13
(`benchmarks/lfw_pairs.py`).

Alignment ``facenet`` fits the face in the same way, cuts another rectangle, and stretches it to a square.
facenet was trained on MTCNN's boxes with a margin, stretched in the same way (davidsandberg/facenet), so its
vectors depend on the surroundings of a face too. The table lists true match rates in per cent, with MTCNN, on
1,345 photos of LFW and on 400 photos of shared/data/people (`benchmarks/facenet_chips.py --quick`). Sides and
centres are fractions of the side of dlib's chip.

======================================  =====  ======  ======  ======
chip                                    LFW            people
======================================  =====  ======  ======  ======
false match rate in per cent            0.1    0.01    1       0.1
box, as facenet-pytorch cuts it         93.7   83.0    93.3    83.2
same, with margin 32 of 160 px          97.7   88.6    91.9    76.1
1.00 x 1.00, dlib's chip                94.7   81.8    93.1    83.1
1.15 x 1.15, centred at 0.50, 0.44      95.9   86.0    92.0    76.3
0.87 x 1.16, centred at 0.50, 0.42      95.9   87.2    93.7    83.6
**0.92 x 1.23, centred at 0.50, 0.43**  96.5   86.6    92.3    80.2
0.97 x 1.29, centred at 0.49, 0.435     97.1   87.4    91.7    79.3
1.00 x 1.35, centred at 0.50, 0.47      96.9   86.3    89.3    72.4
======================================  =====  ======  ======  ======

Larger chips give better results on LFW, where the photos of a person were often taken on one day, and worse
results on people/. The chip in use (bold) is a compromise. On all 3,000 LFW pairs in ten folds, the
accuracies of the last three are 99.00, 99.17 and 99.27 %, with standard errors of 0.13, 0.13 and 0.10; at
least one pair has a wrong label.

Alignment ``arcface`` places the five landmarks as near as a similarity transform can to those of ArcFace
(Deng et al. 2019, https://arxiv.org/abs/1801.07698), which the networks of insightface and many others are
trained on. The forest is not needed and adds nothing. With mobilefacenet, MTCNN and the 3,000 LFW pairs, the
accuracies in ten folds (standard error 0.12) and the true match rates at a false match rate of 0.01 and
0.001 %, over all pairs of the 3,219 photos, are:

========================================  =====  =====  =====
chip                                      pairs  0.01   0.001
========================================  =====  =====  =====
**five landmarks**                        99.37  94.7   89.0
same, 5 % narrower                        99.30  94.4   88.1
same, 5 % wider                           99.33  94.6   88.1
same, 10 % wider                          99.37  93.7   86.3
the two eyes, the others hardly counting  99.03  94.0   87.6
the nose counting a fifth                 99.33  94.5   88.5
ten points, as for dlib                   99.30  94.8   88.9
mean of five landmarks and ten points     99.40  94.8   88.8
five landmarks, averaged with its mirror  99.40  95.4   89.7
========================================  =====  =====  =====

A face without landmarks is aligned as in dlib: the forest starts from its box, and only the forest's points
count. If the detector's boxes have another shape (`BoxShape`), the forest starts from the box that dlib's
detector would have returned on average, and then once more from the box that its first points give. The error
was measured with dsfd-light: the distance of the chip's corners from those of the same face with MTCNN's
landmarks, as a fraction of the chip's side. Its median over 198 photos of shared/data/people is 0.029 from
the unchanged box (95 % are below 0.088), 0.022 from the average box (0.060) and 0.022 after the second run
(0.069). On 67 photos turned by 45 degrees, the second run reduces it from 0.043 to 0.021, and a third run
changes nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, TypeAlias

import dlib
import numpy as np
from numpy.typing import NDArray

from faceindex.errors import UsageError
from faceindex.models.builtin import SHAPE_PREDICTOR
from faceindex.models.spec import Alignment, BoxShape
from faceindex.models.weights import find_weights, read_weights
from faceindex.turns import turn_image
from faceindex.types import F32, U8, Detections, Image

__all__ = ["FRAMES", "Frame", "cut_chips"]

_F64: TypeAlias = NDArray[np.float64]

# Mean positions of the forest's points, as fractions of the unpadded face (get_face_chip_details in
# dlib/image_transforms/interpolation.h): outer and inner corner of the eye on the right, the same
# on the left, base of the nose.
_FOREST_MEAN: _F64 = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
_PADDING = 0.25  # as in face_recognition.cpp of dlib's Python module

# Measured in dlib's own chips (HOG detector, forest, get_face_chip_details) of 774 photos of
# shared/data/people, as fractions of the chip: the median positions of MTCNN's landmarks (eyes, tip of the
# nose, corners of the mouth), and the median box of the HOG detector.
_LANDMARKS_IN_CHIP: _F64 = (
    np.array([[47.9, 45.45], [101.7, 45.5], [75.2, 79.0], [50.5, 103.25], [98.0, 103.25]]) / 150
)
_BOX_CENTRE: _F64 = np.array([74.0, 73.0]) / 150
_BOX_SIDE = 128 / 150

_POINTS_IN_CHIP: _F64 = np.concatenate([(_FOREST_MEAN + _PADDING) / (1 + 2 * _PADDING), _LANDMARKS_IN_CHIP])


class Frame(NamedTuple):
    """The rectangle that an alignment cuts; its numbers are fractions of the side of dlib's chip."""

    x: float  # centre
    y: float
    width: float
    height: float

    def within(self, transform: _F64) -> _F64:
        """Convert the transform (2, 3) of dlib's chip to that of this rectangle; both map the unit square."""
        linear = transform[:, :2]
        shift = transform[:, 2] + linear @ (self.x - self.width / 2, self.y - self.height / 2)
        return np.concatenate([linear * (self.width, self.height), shift[:, None]], axis=1)


# By name of the alignment.
FRAMES = {
    "dlib": Frame(0.5, 0.5, 1, 1),
    "facenet": Frame(0.5, 0.43, 0.92, 1.23),
    # Median of the rectangles that the five landmarks give, on 100 photos of shared/data/people.
    "arcface": Frame(0.495, 0.34, 1.10, 1.10),
}

# Positions of the five landmarks in a chip of ArcFace, as fractions of its side. In the source (insightface,
# `face_align.py`) the centres of pixels have whole coordinates.
_ARCFACE_POINTS: _F64 = (
    np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
    )
    + 0.5
) / 112

_UPRIGHT = np.deg2rad(20)  # up to this tilt the forest is as accurate on the image itself
_UPRIGHT_SIZE = 200  # side in pixels of an upright copy; 300 is no better
_FARTHEST = 1e7  # pixels; a coordinate beyond this is a mistake
_SMALLEST = 2.0  # side in pixels; smaller, degenerate faces are treated as this large


def cut_chips(
    image: Image, detections: Detections, alignment: Alignment, *, box: BoxShape | None = None
) -> U8:
    """Cut aligned faces out of one image.

    Parameters
    ----------
    image : (h, w, 3) uint8
        RGB, upright. May be decoded at a reduced scale or be part of a photo.
    detections : Detections
        n faces in pixels *of that image*; see `Detections.scaled`. They may extend beyond the image or lie
        outside of it. The landmarks of a face are either all numbers or all NaN. Faces with a turn are cut
        from the turned image, so that the chip is upright.
    alignment : Alignment
        The embedder's ``spec.alignment``.
    box : BoxShape, optional
        The detector's ``spec.box``, used for faces without landmarks. None if the boxes are left, top, right
        and bottom of the rectangles of dlib's detectors.

    Returns
    -------
    (n, size, size, 3) uint8
        Pixels outside of the image are black, as in the training of the network. Faces larger than the chip
        are reduced through an image pyramid, so without aliasing.

    Raises
    ------
    UsageError
        If there is no alignment of that name, if a coordinate of a box is NaN, or if a coordinate of a box or
        landmark is 10 million pixels or more.
    WeightsNotFound, WeightsInvalid
        If the weight file of the forest is missing or invalid; see `faceindex.models.weights.read_weights`.
    """
    if alignment.name not in FRAMES:
        raise UsageError(
            f"There is no alignment named '{alignment.name}'.", f"Valid names: {', '.join(FRAMES)}."
        )
    if not len(detections):
        return np.empty((0, alignment.size, alignment.size, 3), np.uint8)
    limits = np.abs(detections.boxes) < _FARTHEST, ~(np.abs(detections.landmarks) >= _FARTHEST)
    if not all(inside.all() for inside in limits):
        raise UsageError(
            f"A face has a coordinate that is not below {_FARTHEST:,.0f} pixels.", "Leave out that face."
        )
    chips = np.empty((len(detections), alignment.size, alignment.size, 3), np.uint8)
    height, width = image.shape[:2]
    for turn in np.unique(detections.turns).tolist():
        # The forest needs upright faces.
        these = detections.turns == turn
        upright = detections[these].turned(turn, width, height)
        chips[these] = _cut_upright(turn_image(image, turn), upright, alignment, box)
    return chips


def _cut_upright(image: Image, detections: Detections, alignment: Alignment, box: BoxShape | None) -> U8:
    # One native call per face, 0.3 ms. Sampling all faces at once with torch's grid_sample takes longer, and
    # has no image pyramid.
    return np.stack(
        [
            _extract(image, transform, alignment.size)
            for transform in _frames(image, detections, alignment, box)
        ]
    )


def _frames(image: Image, detections: Detections, alignment: Alignment, box: BoxShape | None) -> _F64:
    """Return the transforms (n, 2, 3) that map the unit square to the rectangle to cut for each face."""
    frame = FRAMES[alignment.name]
    if alignment.name != "arcface":
        return np.stack([frame.within(transform) for transform in _fit_faces(image, detections, box)])
    landmarks = detections.landmarks.astype(np.float64)
    known = np.isfinite(landmarks.sum((1, 2)))
    found = _fit_similarity(
        _ARCFACE_POINTS, np.where(known[:, None, None], landmarks, 0), np.ones((len(known), 5))
    )
    if not known.all():
        found[~known] = [frame.within(transform) for transform in _fit_faces(image, detections[~known], box)]
    return found


def _fit_faces(image: Image, detections: Detections, box: BoxShape | None) -> _F64:
    """Return the transforms (n, 2, 3) that map the unit square to dlib's chip of each face."""
    n = len(detections)
    landmarks = detections.landmarks.astype(np.float64)
    known = np.isfinite(landmarks.sum((1, 2)))
    rough = _fit_similarity(_LANDMARKS_IN_CHIP, np.where(known[:, None, None], landmarks, 0), np.ones((n, 5)))
    forest = np.stack(
        [
            _forest_by_landmarks(image, transform)
            if has_landmarks
            else _forest_by_any_box(image, corners, box)
            for has_landmarks, transform, corners in zip(known, rough, detections.boxes, strict=True)
        ]
    )
    points = np.concatenate([forest, np.nan_to_num(landmarks)], axis=1)
    weights = np.repeat(np.stack([np.ones(n), known], axis=1), 5, axis=1)
    return _fit_similarity(_POINTS_IN_CHIP, points, weights)


def _fit_similarity(source: _F64, target: _F64, weights: _F64) -> _F64:
    """Weighted least-squares similarity transforms (Umeyama 1991, closed form in the plane).

    Parameters
    ----------
    source : (k, 2) float64
    target : (n, k, 2) float64
    weights : (n, k) float64
        Not all 0.

    Returns
    -------
    (n, 2, 3) float64
        Rotation times scale, and shift: ``source @ m[:, :2].T + m[:, 2]`` approximates `target`.
    """
    weights = (weights / weights.sum(1, keepdims=True))[..., None]
    source_mean, target_mean = (weights * source).sum(1), (weights * target).sum(1)
    x, y = source - source_mean[:, None], target - target_mean[:, None]
    variance = (weights * x**2).sum((1, 2))
    cosine = (weights * x * y).sum((1, 2)) / variance
    sine = (weights[..., 0] * (x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0])).sum(1) / variance
    linear = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)
    shift = target_mean - (linear @ source_mean[..., None])[..., 0]
    return np.concatenate([linear, shift[..., None]], axis=2)


def _extract(image: Image, transform: _F64, size: int) -> U8:
    """Cut out the rectangle to which a transform (2, 3) maps the unit square, as (size, size, 3)."""
    sides = np.maximum(np.hypot(transform[0, :2], transform[1, :2]), _SMALLEST)
    x, y = (transform @ (0.5, 0.5, 1)).tolist()
    # dlib's chip_details takes the centres of the first and of the last pixel.
    half_x, half_y = ((sides - 1) / 2).tolist()
    details = dlib.chip_details(
        dlib.drectangle(x - half_x, y - half_y, x + half_x, y + half_y),
        dlib.chip_dims(size, size),
        float(np.arctan2(transform[1, 0], transform[0, 0])),
    )
    chip: U8 = dlib.extract_image_chip(image, details)
    return chip


def _forest_by_box(image: Image, box: F32) -> _F64:
    """Return the forest's points (5, 2), starting from a box like those of dlib's detectors."""
    shape = _forest()(image, dlib.rectangle(*map(int, box.round())))
    return np.array([(part.x, part.y) for part in shape.parts()], np.float64)


def _forest_by_any_box(image: Image, box: F32, shape: BoxShape | None) -> _F64:
    """Return the forest's points (5, 2), starting from a box of the given shape; None is dlib's own."""
    if shape is None:
        return _forest_by_box(image, box)
    sides = box[2:] - box[:2]
    centre = (box[:2] + box[2:]) / 2 + sides * (shape.x, shape.y)
    half = np.sqrt(np.abs(sides.prod())) * shape.side / 2
    points = _forest_by_box(image, np.concatenate([centre - half, centre + half]).astype(np.float32))
    # `shape` is a median, from which this box may differ: start once more from the box that the points give.
    fitted = _fit_similarity(_POINTS_IN_CHIP[:5], points[None], np.ones((1, 5)))
    return _forest_by_landmarks(image, fitted[0])


def _forest_by_landmarks(image: Image, transform: _F64) -> _F64:
    """Return the forest's points (5, 2), starting from an approximate transform (2, 3) of dlib's chip."""
    if abs(np.arctan2(transform[1, 0], transform[0, 0])) <= _UPRIGHT:
        half = np.hypot(*transform[:, 0]) * _BOX_SIDE / 2
        centre = transform @ (*_BOX_CENTRE, 1)
        return _forest_by_box(image, np.concatenate([centre - half, centre + half]).astype(np.float32))
    upright = _extract(image, transform, _UPRIGHT_SIZE)
    centre = _BOX_CENTRE * _UPRIGHT_SIZE
    half = _BOX_SIDE * _UPRIGHT_SIZE / 2
    found = _forest_by_box(upright, np.concatenate([centre - half, centre + half]).astype(np.float32))
    # In `_extract`, the centres of the outermost pixels are one image pixel less apart than the edges.
    shrink = 1 - 1 / max(float(np.hypot(*transform[:, 0])), _SMALLEST)
    found = 0.5 + (found / (_UPRIGHT_SIZE - 1) - 0.5) * shrink
    points: _F64 = found @ transform[:, :2].T + transform[:, 2]
    return points


@lru_cache(maxsize=1)
def _forest() -> dlib.shape_predictor:
    """Load dlib's 5-point predictor."""
    read_weights(SHAPE_PREDICTOR)  # verifies the file, which dlib does not
    return dlib.shape_predictor(str(find_weights(SHAPE_PREDICTOR)))
