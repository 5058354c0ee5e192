"""What dlib's two detectors share: a window of 80 px, doubled images, confidences."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from faceindex.detect.arguments import check_images, check_min_face
from faceindex.errors import UsageError
from faceindex.models.spec import DetectorSpec
from faceindex.types import Detections, Image

__all__ = ["DlibDetector", "PixelBudget", "doublings", "from_dlib", "up_to_down"]

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


class DlibDetector(ABC):
    """What dlib's detectors share: a window of 80 px, which `upsample` makes smaller.

    Parameters
    ----------
    spec : DetectorSpec
    min_face : float
        Side of the smallest face that is looked for, in pixels, greater than 0. It decides at which
        scale photos are decoded; on an image, faces from ``80 / 2 ** upsample`` px are found whatever it
        is, as dlib's pyramid is fixed.
    upsample : int
        How often an image is doubled (``number_of_times_to_upsample`` of face_recognition).

    Raises
    ------
    UsageError
        If `min_face` is not a positive number, or `upsample` is negative.
    """

    def __init__(self, spec: DetectorSpec, *, min_face: float, upsample: int) -> None:
        if upsample < 0:
            raise UsageError(f"An image cannot be doubled {upsample} times.", "Give 0 or more for upsample.")
        reach: float = WINDOW / 2**upsample
        self._min_face = max(check_min_face(min_face), reach)
        self.spec = replace(spec, decoded_face=reach)
        self._upsample = upsample

    @property
    def min_face(self) -> float:
        """Side in pixels of the smallest face that is looked for: as asked, or what `upsample` reaches."""
        return self._min_face

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        """Find the faces on a batch of images.

        Parameters
        ----------
        images : sequence of (h, w, 3) uint8
            RGB, upright; sizes may differ.
        min_faces : sequence of float, optional
            Without effect, as dlib's pyramid is fixed.

        Returns
        -------
        list of Detections
            One per image, in whole pixels of that image, sorted by score, highest first; boxes may leave
            the frame, landmarks are NaN. See `from_dlib` for scores.

        Raises
        ------
        UsageError
            If an image is not (h, w, 3) uint8, or `min_faces` is not one positive number per image.
        """
        check_images(images, min_faces, self._min_face)
        return [self._detect(image) if image.size else Detections.empty() for image in images]

    @abstractmethod
    def _detect(self, image: Image) -> Detections:
        """Find the faces on one image, which has pixels."""


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
