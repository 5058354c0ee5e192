"""dlib's frontal face detector: five filters of oriented gradients over an image pyramid.

Histograms of oriented gradients (Felzenszwalb et al. 2010), trained by max-margin object detection
(King 2015, https://arxiv.org/abs/1502.00046). It is the default detector of ``face_recognition``. The
filters are part of dlib (``dlib/image_processing/frontal_face_detector.h``).
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
    to_detections,
)
from faceindex.models.spec import DetectorSpec
from faceindex.types import Detections, Image

__all__ = ["MOST_PIXELS", "MOST_TOGETHER", "DlibHog"]

# Most pixels of a doubled image, so that 25 megapixels are doubled once. Each pixel takes 11 bytes.
MOST_PIXELS = 100_000_000
# Pixels that all threads together process at a time.
MOST_TOGETHER = 300_000_000


class DlibHog(DlibDetector):
    """Detect frontal and half-profile faces with dlib's HOG detector.

    With the same `upsample` it finds the faces that ``face_recognition.face_locations`` finds. The
    boxes are left, top, right and bottom of dlib's rectangles; face_recognition also trims them to the
    image. Several threads may share a detector, and dlib runs them in parallel.

    Parameters
    ----------
    spec : DetectorSpec
    min_face : float
        Side in pixels of the smallest face to find, greater than 0. It determines the scale at which
        photos are decoded. It has no effect on `detect`: dlib's pyramid is fixed, and finds faces from
        ``80 / 2 ** upsample`` px.
    device : str
        Ignored: dlib's detector runs on the CPU.
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
        # dlib's detector modifies itself while it runs, and crashes if two threads share it. Each thread
        # borrows its own detector from this queue.
        self._idle: queue.SimpleQueue[dlib.fhog_object_detector] = queue.SimpleQueue()
        self._idle.put(dlib.get_frontal_face_detector())
        self._budget = PixelBudget(MOST_TOGETHER)

    def _detect(self, image: Image) -> Detections:
        times = doublings(image, self._upsample, MOST_PIXELS)
        pixels = image.shape[0] * image.shape[1] * 4**times
        with self._budget.reserve(pixels), self._detector() as detector:
            rectangles, confidences, _ = detector.run(np.ascontiguousarray(image), times, 0.0)
        boxes = [(r.left(), r.top(), r.right(), r.bottom()) for r in rectangles]
        return to_detections(np.array(boxes, np.float64).reshape(-1, 4), np.array(confidences, np.float64))

    @contextmanager
    def _detector(self) -> Iterator[dlib.fhog_object_detector]:
        """Borrow a detector for the ``with`` block; a new one is made if none is idle."""
        try:
            detector = self._idle.get_nowait()
        except queue.Empty:
            detector = dlib.get_frontal_face_detector()
        try:
            yield detector
        finally:
            self._idle.put(detector)
