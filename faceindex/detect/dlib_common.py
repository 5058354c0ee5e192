"""What dlib's two detectors share: a window of 80 px, doubled images, confidences."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from faceindex.errors import UsageError
from faceindex.types import Detections, Image

__all__ = ["WINDOW", "PixelBudget", "check_images", "check_min_face", "doublings", "from_dlib", "up_to_down"]

WINDOW = 80  # pixels; of the HOG filters (frontal_face_detector.h), and in the network's file


class PixelBudget:
    """Bounds the memory that threads take together.

    Parameters
    ----------
    most : int
        Pixels that are worked on at a time; an image that has more is worked on alone.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._spent = 0
        self._changed = threading.Condition()

    @contextmanager
    def spend(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for `pixels`, and hold it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._spent or self._spent + pixels <= self._most)
            self._spent += pixels
        try:
            yield
        finally:
            with self._changed:
                self._spent -= pixels
                self._changed.notify_all()


def check_min_face(min_face: float, upsample: int) -> float:
    """The smallest face that a detector can look for: that asked for, or what `upsample` reaches.

    Raises
    ------
    UsageError
        If `min_face` is not a positive number, or `upsample` is negative.
    """
    if not (math.isfinite(min_face) and min_face > 0):
        raise UsageError(f"The smallest face cannot be {min_face} px.", "Give a number greater than 0.")
    if upsample < 0:
        raise UsageError(f"An image cannot be doubled {upsample} times.", "Give 0 or more for upsample.")
    reach: float = WINDOW / 2**upsample
    return max(float(min_face), reach)


def check_images(images: Sequence[Image], min_faces: Sequence[float] | None) -> None:
    """Refuse what is no image, and smallest faces that are not one positive number for each.

    Raises
    ------
    UsageError
    """
    if min_faces is not None:
        if len(min_faces) != len(images):
            raise UsageError(
                f"{len(min_faces)} smallest faces were given for {len(images)} images.", "Give one for each."
            )
        for side in min_faces:
            check_min_face(side, 0)
    for image in images:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UsageError(
                f"An image is an array of {image.dtype} and shape {image.shape}.",
                "Images are (height, width, 3) and uint8, RGB.",
            )


def doublings(image: Image, upsample: int, most: int) -> int:
    """How often an image is doubled: `upsample` times, or less where it would exceed `most` pixels."""
    pixels = image.shape[0] * image.shape[1]
    while upsample and pixels * 4**upsample > most:
        upsample -= 1
    return upsample


def up_to_down(boxes: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    """Boxes on a doubled image to the image: ``pyramid_down<2>::rect_down`` of dlib.

    Parameters
    ----------
    boxes : (n, 4) float64
        Left, top, right, bottom.
    times : int
        How often the image was doubled.
    """
    for _ in range(times):
        boxes = boxes / 2 - np.array([1.25, 0.75, 1.25, 0.75])
    return boxes


def from_dlib(boxes: NDArray[np.float64], confidences: NDArray[np.float64]) -> Detections:
    """Rectangles and confidences of dlib as plain data.

    dlib's confidence is a distance from the boundary that its detectors were trained to draw (max-margin
    object detection, King 2015, https://arxiv.org/abs/1502.00046): 0 on it, and about 1 at a face that
    the training was content with. The score is its logistic function, ``1 / (1 + exp(-confidence))``: it
    keeps the order, and dlib's own threshold of 0 is a score of 0.5. It is no probability.

    Parameters
    ----------
    boxes : (n, 4) float64
        Left, top, right, bottom.
    confidences : (n,) float64

    Returns
    -------
    Detections
        Highest score first, equals in the order in which they were given; no landmarks.
    """
    order = np.argsort(-confidences, kind="stable")
    scores = 1 / (1 + np.exp(-confidences[order]))
    return Detections(
        boxes[order].astype(np.float32).reshape(-1, 4),
        np.full((len(order), 5, 2), np.nan, np.float32),
        scores.astype(np.float32),
    )
