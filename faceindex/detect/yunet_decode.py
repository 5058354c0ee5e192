"""YuNet's input and output: padding, decoding of cells, and suppression, as in OpenCV's FaceDetectorYN.

Wu et al. 2023, "YuNet: A tiny millisecond-level face detector",
https://link.springer.com/article/10.1007/s11633-023-1423-y. The steps and their order are those of
``modules/objdetect/src/face_detect.cpp`` of OpenCV 5.0; benchmarks/yunet_equality.py compares the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceindex.detect.boxes import PAIRS, nms
from faceindex.types import F32, I64, Image

__all__ = [
    "MULTIPLE",
    "OVERLAP",
    "STRIDES",
    "Candidates",
    "average_landmarks",
    "canvas",
    "decode",
    "overlap",
    "suppress",
    "to_input",
]

STRIDES = (8, 16, 32)
"""Pixels between the cells of the three outputs."""

MULTIPLE = 32
"""Height and width of an input are multiples of this."""

OVERLAP = 0.3
"""Intersection over union above which the worse of two boxes is dropped."""

# Overlap from which a cell describes the same face for `average_landmarks`.
_SAME_FACE = 0.5


@dataclass(frozen=True, slots=True)
class Candidates:
    """Cells that may be faces: parallel arrays.

    Attributes
    ----------
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the input.
    landmarks : (n, 5, 2) float32
    scores : (n,) float32
    owners : (n,) int64
        Position in the batch of the image of each candidate.
    """

    boxes: F32
    landmarks: F32
    scores: F32
    owners: I64

    def pick(self, which: I64) -> Candidates:
        """Select candidates by index."""
        return Candidates(self.boxes[which], self.landmarks[which], self.scores[which], self.owners[which])


def canvas(shape: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the input for an image of `shape`."""
    return -(-shape[0] // MULTIPLE) * MULTIPLE, -(-shape[1] // MULTIPLE) * MULTIPLE


def to_input(images: Sequence[Image], size: tuple[int, int]) -> F32:
    """Convert images to a batch for the network: BGR grey levels, padded with 0 on the right and below.

    Parameters
    ----------
    images : sequence of (h, w, 3) uint8
        RGB, none larger than `size`.
    size : (height, width)
        Multiples of `MULTIPLE`.

    Returns
    -------
    (n, 3, height, width) float32
    """
    batch = np.zeros((len(images), 3, *size), np.float32)
    for planes, image in zip(batch, images, strict=True):
        planes[:, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)[::-1]
    return batch


def decode(outputs: Sequence[NDArray[np.float32]], size: tuple[int, int], threshold: float) -> Candidates:
    """Decode the cells that score at least `threshold`.

    The score is the geometric mean of "this is a face" and "this is an object". A cell predicts the offset of
    the centre from its own corner in strides, width and height as logarithms of strides, and the landmarks
    as offsets like the centre.

    Parameters
    ----------
    outputs : sequence of 12 arrays
        In the order of the file: the probability of a face for each of `STRIDES`, the probability of an
        object, boxes with 4 numbers per cell, landmarks with 10 numbers per cell. The cells of an image are
        in rows from the top left; the images follow each other.
    size : (height, width)
        Of the input.
    threshold : float

    Returns
    -------
    Candidates
        Stride by stride; within a stride, sorted by image and cell.
    """
    parts = []
    for level, stride in enumerate(STRIDES):
        faces, objects, boxes, landmarks = outputs[level::3]
        product = np.clip(faces.reshape(-1), 0, 1) * np.clip(objects.reshape(-1), 0, 1)
        found = np.flatnonzero(product >= threshold**2)
        rows, columns = size[0] // stride, size[1] // stride
        owners, cells = np.divmod(found, rows * columns)
        corners = np.stack(np.divmod(cells, columns)[::-1], axis=1).astype(np.float32)
        offsets = boxes.reshape(-1, 4)[found]
        centres = (corners + offsets[:, :2]) * stride
        halves = np.exp(offsets[:, 2:]) * (stride / 2)
        points = (landmarks.reshape(-1, 5, 2)[found] + corners[:, None]) * stride
        parts.append(
            Candidates(
                np.concatenate([centres - halves, centres + halves], axis=1),
                points,
                np.sqrt(product[found]),
                owners,
            )
        )
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.owners for part in parts]),
    )


def suppress(found: Candidates) -> Candidates:
    """Drop candidates that overlap a better one of the same image.

    As in OpenCV, the overlap is that of boxes whose corner and size are cut off to whole pixels.

    Returns
    -------
    Candidates
        Sorted by image and descending score.
    """
    corners = np.trunc(found.boxes[:, :2])
    whole = np.concatenate([corners, corners + np.trunc(found.boxes[:, 2:] - found.boxes[:, :2])], axis=1)
    return found.pick(nms(whole, found.scores, found.owners, OVERLAP))


def average_landmarks(faces: Candidates, cells: Candidates) -> Candidates:
    """Replace the landmarks of faces by the means of all cells that describe the same face.

    Several cells find a face, each with its own error. Of 1,183 same-person pairs of LFW photos with
    MobileFaceNet, 95.0 % instead of 94.2 % are above the similarity that one in 10,000 of 1.3 million other
    pairs exceeds. (With mtcnn it is 94.9 %.)

    Parameters
    ----------
    faces : Candidates
        The best of `cells`, or boxes near them.
    cells : Candidates
        All candidates. Those of the same image whose box overlaps that of the face by half or more count, by
        their score.

    Returns
    -------
    Candidates
        `faces` with other landmarks; a face without cells keeps its own.
    """
    landmarks = faces.landmarks.copy()
    rows = max(1, PAIRS // max(1, len(cells.scores)))
    for start in range(0, len(landmarks), rows):
        part = slice(start, start + rows)
        overlaps = overlap(faces.boxes[part, None], cells.boxes[None])
        same = (overlaps >= _SAME_FACE) & (faces.owners[part, None] == cells.owners)
        weights = np.where(same, cells.scores, 0)
        total = weights.sum(axis=1)
        any_ = np.flatnonzero(total > 0)
        means = np.tensordot(weights[any_] / total[any_, None], cells.landmarks, axes=1)
        landmarks[part][any_] = means
    return Candidates(faces.boxes, landmarks, faces.scores, faces.owners)


def overlap(a: F32, b: F32) -> F32:
    """Return the intersection over union of boxes (..., 4), broadcast against each other."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(0).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    ratio: F32 = shared / (areas - shared)
    return ratio
