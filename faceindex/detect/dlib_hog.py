"""dlib's frontal face detector: five filters of oriented gradients over an image pyramid.

Histograms of oriented gradients (Felzenszwalb et al. 2010), trained by max-margin object detection
(King 2015, https://arxiv.org/abs/1502.00046). It is what ``face_recognition`` uses unless told
otherwise; the filters come inside dlib (``dlib/image_processing/frontal_face_detector.h``).
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager

import dlib
import numpy as np

from faceindex.detect.dlib_common import (
    DlibDetector,
    PixelBudget,
    doublings,
    from_dlib,
)
from faceindex.models.spec import DetectorSpec
from faceindex.types import Detections, Image

__all__ = ["DlibHog"]

# Pixels of a doubled image: a photo of 25 megapixels is doubled once. It takes 11 bytes for each.
_MOST_PIXELS = 100_000_000
# Pixels that all threads work on at a time.
_MOST_TOGETHER = 300_000_000


class DlibHog(DlibDetector):
    """Find frontal and half-profile faces with dlib's HOG detector.

    With the same `upsample` it finds what ``face_recognition.face_locations`` finds: the boxes are
    exactly left, top, right and bottom of dlib's rectangles, before they are trimmed to the image.
    It may be used from several threads at once; dlib lets them run side by side.

    Parameters
    ----------
    spec : DetectorSpec
    min_face : float
        Side of the smallest face that is looked for, in pixels, greater than 0. It decides at which
        scale photos are decoded; on an image, faces from ``80 / 2 ** upsample`` px are found whatever it
        is, as dlib's pyramid is fixed.
    device : str
        Without effect: dlib's detector runs on the CPU.
    upsample : int
        How often an image is doubled (``number_of_times_to_upsample`` of face_recognition). An image
        that would exceed 100 megapixels is doubled less often.

    Raises
    ------
    UsageError
        If `min_face` is not a positive number, or `upsample` is negative.
    """

    def __init__(
        self, spec: DetectorSpec, *, min_face: float, device: str = "cpu", upsample: int = 1
    ) -> None:
        super().__init__(spec, min_face=min_face, upsample=upsample)
        # dlib's detector writes to itself while it works, and crashes when two threads share it. Each borrows
        # one of its own.
        self._idle: queue.SimpleQueue[dlib.fhog_object_detector] = queue.SimpleQueue()
        self._idle.put(dlib.get_frontal_face_detector())
        self._budget = PixelBudget(_MOST_TOGETHER)

    def _detect(self, image: Image) -> Detections:
        times = doublings(image, self._upsample, _MOST_PIXELS)
        pixels = image.shape[0] * image.shape[1] * 4**times
        with self._budget.spend(pixels), self._detector() as detector:
            rectangles, confidences, _ = detector.run(np.ascontiguousarray(image), times, 0.0)
        boxes = [(r.left(), r.top(), r.right(), r.bottom()) for r in rectangles]
        return from_dlib(np.array(boxes, np.float64).reshape(-1, 4), np.array(confidences, np.float64))

    @contextmanager
    def _detector(self) -> Iterator[dlib.fhog_object_detector]:
        try:
            detector = self._idle.get_nowait()
        except queue.Empty:
            detector = dlib.get_frontal_face_detector()
        try:
            yield detector
        finally:
            self._idle.put(detector)
