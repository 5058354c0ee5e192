"""Code that dlib's two detectors share: doubled images, bounded memory, conversion of the results."""

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

__all__ = ["DlibDetector", "PixelBudget", "doublings", "from_doubled", "to_detections"]

_WINDOW = 80  # side in pixels: of the HOG filters (frontal_face_detector.h), and of the network


class PixelBudget:
    """Bounds the number of pixels, and so the memory, that several threads process at a time.

    Parameters
    ----------
    most : int
        Most pixels at a time. An image with more pixels is processed alone.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._reserved = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` fit into the budget, and reserve them for the ``with`` block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._reserved or self._reserved + pixels <= self._most)
            self._reserved += pixels
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= pixels
                self._changed.notify_all()


class DlibDetector(ABC):
    """Base of dlib's detectors.

    Their window is 80 px wide, so they find faces from 80 px. Each doubling of an image halves this limit.

    Parameters
    ----------
    spec : DetectorSpec
    min_face : float
        Side in pixels of the smallest face to find, greater than 0. It determines the scale at which
        photos are decoded. It has no effect on `detect`: dlib's pyramid is fixed, and finds faces from
        ``80 / 2 ** upsample`` px.
    upsample : int
        How often an image is doubled (``number_of_times_to_upsample`` of face_recognition).

    Raises
    ------
    UsageError
        If `min_face` is not a positive number, or `upsample` is negative.
    """

    def __init__(self, spec: DetectorSpec, *, min_face: float, upsample: int) -> None:
        if upsample < 0:
            raise UsageError(f"`upsample` is {upsample}.", "Choose 0 or more.")
        reach: float = _WINDOW / 2**upsample
        self._min_face = max(check_min_face(min_face), reach)
        self.spec = replace(spec, decoded_face=reach)
        self._upsample = upsample

    @property
    def min_face(self) -> float:
        """Side in pixels of the smallest face to find: the argument, or what `upsample` reaches if larger."""
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
            Checked, but without effect, as dlib's pyramid is fixed.

        Returns
        -------
        list of Detections
            One per image, in whole pixels of that image, sorted by descending score. Boxes may extend
            beyond the image; landmarks are NaN. See `to_detections` for the scores.

        Raises
        ------
        UsageError
            If an image is not (h, w, 3) uint8, or `min_faces` is not one positive number per image.
        """
        check_images(images, min_faces, self._min_face)
        return [self._detect(image) if image.size else Detections.empty() for image in images]

    @abstractmethod
    def _detect(self, image: Image) -> Detections:
        """Find the faces on one image, which has at least one pixel."""


def doublings(image: Image, upsample: int, most: int) -> int:
    """Return how often to double an image: `upsample` times, or less if it would exceed `most` pixels."""
    pixels = image.shape[0] * image.shape[1]
    while upsample and pixels * 4**upsample > most:
        upsample -= 1
    return upsample


def from_doubled(boxes: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    """Map boxes from a doubled image to the original image: ``pyramid_down<2>::rect_down`` of dlib.

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


def to_detections(boxes: NDArray[np.float64], confidences: NDArray[np.float64]) -> Detections:
    """Convert rectangles and confidences of dlib to `Detections`.

    dlib's confidence is the distance from the decision boundary (max-margin object detection, King 2015,
    https://arxiv.org/abs/1502.00046): 0 on the boundary, and about 1 at the margin that training aims
    for. The score is its logistic function, ``1 / (1 + exp(-confidence))``. This keeps the order and
    turns dlib's threshold of 0 into a score of 0.5. The score is not a probability.

    Parameters
    ----------
    boxes : (n, 4) float64
        Left, top, right, bottom.
    confidences : (n,) float64

    Returns
    -------
    Detections
        Highest score first, equal scores in the given order; landmarks are NaN.
    """
    order = np.argsort(-confidences, kind="stable")
    scores = 1 / (1 + np.exp(-confidences[order]))
    return Detections(
        boxes[order].astype(np.float32).reshape(-1, 4),
        np.full((len(order), 5, 2), np.nan, np.float32),
        scores.astype(np.float32),
    )
