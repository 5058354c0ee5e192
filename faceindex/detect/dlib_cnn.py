"""dlib's face detection network, with torch in place of dlib's own layers.

Each step is that of ``cnn_face_detection_model_v1`` (``tools/python/src/cnn_face_detector.cpp``) and of
``loss_mmod_`` (``dlib/dnn/loss.h``): double the image, tile its pyramid, score a window every 8 px, keep
the windows with a score above 0, and of overlapping windows keep the best. The boxes equal dlib's
(`benchmarks/dlib_cnn_equality.py`), in a fraction of the time that dlib takes on a CPU.

dlib's 5-point predictor starts from these boxes, as in ``face_recognition``. They lie a little higher and
further left than those of the HOG detector, by 9 and 4 % of their side. The results hardly differ. For 197
faces of shared/data/people that both detectors find, the similarity of the two dlib embeddings is 0.9994
(median; 0.995 at the 5th percentile), and the true match rates at a false match rate of 1 % are 92.7 and
92.6 %. Moving the boxes to where the HOG detector's are gives 92.9 %, which is within the noise of 1 %.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceindex.detect.dlib_common import (
    DlibDetector,
    PixelBudget,
    doublings,
    from_doubled,
    to_detections,
)
from faceindex.detect.dlib_mmod import FIELD, HALO, OFFSET, STRIDE, MmodNetwork, read_parameters
from faceindex.detect.dlib_pyramid import double, tile, to_image
from faceindex.devices import BatchSize
from faceindex.models.dlib_layers import SlidingWindow
from faceindex.models.spec import DetectorSpec
from faceindex.types import Detections, Image

__all__ = ["MOST_PIXELS", "MOST_TOGETHER", "PIXELS_PER_ITEM", "DlibCnn", "suppress"]

_F64: TypeAlias = NDArray[np.float64]

# Most pixels of a doubled image, so that 12 megapixels are doubled once. Each pixel takes 64 bytes, mostly
# for the canvas and the features.
MOST_PIXELS = 50_000_000
# Pixels that all threads together process at a time.
MOST_TOGETHER = 50_000_000
# The canvas passes through the network in strips. A strip has this many pixels, times the `BatchSize`.
PIXELS_PER_ITEM = 1 << 16


class DlibCnn(DlibDetector):
    """Detect faces, also turned and partly hidden ones, with dlib's network.

    With the same `upsample` it finds the faces that ``face_recognition.face_locations(model="cnn")``
    finds. The boxes are left, top, right and bottom of dlib's rectangles; face_recognition also trims
    them to the image. Several threads may share a detector.

    Parameters
    ----------
    spec : DetectorSpec
        Has one weight file, ``mmod_human_face_detector.dat``.
    min_face : float
        Side in pixels of the smallest face to find, greater than 0. It determines the scale at which
        photos are decoded. It has no effect on `detect`: dlib's pyramid is fixed, and finds faces from
        ``80 / 2 ** upsample`` px.
    device : str
        A torch device.
    upsample : int
        How often an image is doubled (``number_of_times_to_upsample`` of face_recognition). An image
        that would exceed 50 megapixels is doubled less often.

    Raises
    ------
    UsageError
        If `min_face` is not a positive number, or `upsample` is negative.
    WeightsNotFound, WeightsInvalid
        See `faceindex.models.weights.read_weights`.
    """

    def __init__(
        self, spec: DetectorSpec, *, min_face: float, device: str = "cpu", upsample: int = 1
    ) -> None:
        super().__init__(spec, min_face=min_face, upsample=upsample)
        self._device = torch.device(device)
        (weight,) = spec.weights
        parameters = read_parameters(weight)
        self._form, self._window = parameters.form, parameters.window
        self._network = MmodNetwork(parameters).eval().to(self._device)
        # Bytes per item: the first convolution outputs 16 channels at a quarter of the pixels, the
        # later ones 45 channels at a 64th.
        self._feature_batch = BatchSize(device, cpu=8, item_bytes=PIXELS_PER_ITEM * 48, most=1 << 12)
        self._score_batch = BatchSize(device, cpu=128, item_bytes=PIXELS_PER_ITEM * 16, most=1 << 12)
        self._budget = PixelBudget(MOST_TOGETHER)

    def _detect(self, image: Image) -> Detections:
        times = doublings(image, self._upsample, MOST_PIXELS)
        pixels = image.shape[0] * image.shape[1] * 4**times
        with self._budget.reserve(pixels), torch.inference_mode():
            boxes, confidences = self._windows(double(image, times))
        kept = suppress(boxes, self._window)
        return to_detections(_rounded(from_doubled(boxes[kept], times)), confidences[kept])

    def _windows(self, image: Image) -> tuple[_F64, _F64]:
        """Find all windows with a score above 0, best first.

        Returns boxes (n, 4) in whole pixels of the image, and scores (n,).
        """
        canvas, places = tile(image, self._form)
        scores = self._scores(torch.from_numpy(canvas)[None].to(self._device))
        if scores is None:
            return np.empty((0, 4)), np.empty(0)
        rows, columns = (scores > 0).nonzero(as_tuple=True)
        confidences = scores[rows, columns].cpu().numpy().astype(np.float64)
        order = np.argsort(-confidences, kind="stable")
        centres = np.stack([columns.cpu().numpy(), rows.cpu().numpy()], axis=1)[order] * STRIDE + OFFSET
        half = (np.array([self._window.width, self._window.height]) - 1) / 2
        boxes = np.concatenate([centres - half, centres + half], axis=1)
        return _rounded(to_image(boxes, places)), confidences[order]

    def _scores(self, canvas: Tensor) -> Tensor | None:
        """Return the scores (r, c) of a canvas (1, 3, h, w), or None if a side is less than `FIELD`."""
        height, width = canvas.shape[2:]
        if min(height, width) < FIELD:
            return None
        rows = (height - FIELD) // STRIDE + 1
        features = self._in_strips(
            self._feature_batch,
            height * width,
            rows,
            lambda a, b: self._network.features(canvas[:, :, a * STRIDE : (b - 1) * STRIDE + FIELD]),
        )

        def strip(first: int, last: int) -> Tensor:
            above = min(first, HALO)
            found = self._network.scores(features[:, :, first - above : last + HALO])
            return found[:, :, above : above + last - first]

        scores = self._in_strips(self._score_batch, height * width, rows, strip)
        return scores[0, 0]

    @staticmethod
    def _in_strips(size: BatchSize, pixels: int, rows: int, work: Callable[[int, int], Tensor]) -> Tensor:
        """Call `work` on ranges of rows that together cover all `rows`, and join the results."""
        items = max(1, min(rows, pixels // PIXELS_PER_ITEM))
        strips = size.run(items, lambda part: work(part.start * rows // items, part.stop * rows // items))
        return torch.cat(strips, dim=2) if len(strips) > 1 else strips[0]


def _rounded(boxes: _F64) -> _F64:
    """Round to whole pixels, halves away from 0, as ``std::lround`` does."""
    away: _F64 = np.trunc(boxes + np.copysign(0.5, boxes))
    return away


def suppress(boxes: _F64, window: SlidingWindow) -> list[int]:
    """Return the indices of the boxes to keep, as ``test_box_overlap`` of dlib does.

    A box is kept if it overlaps no better box that is kept. Unlike in `faceindex.detect.boxes.nms`, the
    intersection is divided by the area of the rectangle around both boxes, and the last pixel counts.

    Parameters
    ----------
    boxes : (n, 4) float64
        Best first.
    window : SlidingWindow
        Contains the thresholds.
    """
    area = _area(boxes[:, :2], boxes[:, 2:])
    kept: list[int] = []
    for index, box in enumerate(boxes):
        better = boxes[kept]
        inner = _area(np.maximum(better[:, :2], box[:2]), np.minimum(better[:, 2:], box[2:]))
        outer = _area(np.minimum(better[:, :2], box[:2]), np.maximum(better[:, 2:], box[2:]))
        covered = inner / np.minimum(area[kept], area[index])
        if not ((inner / outer > window.iou) | (covered > window.covered)).any():
            kept.append(index)
    return kept


def _area(first: _F64, last: _F64) -> _F64:
    area: _F64 = (last - first + 1).clip(0).prod(axis=1)
    return area
