"""dlib's face detection network, with torch in place of dlib's own layers.

Each step is that of ``cnn_face_detection_model_v1`` (``tools/python/src/cnn_face_detector.cpp``) and of
``loss_mmod_`` (``dlib/dnn/loss.h``): double the image, tile its pyramid, score a window every 8 px, keep
the scores above 0, and of windows that overlap the best. The same boxes come out
(`benchmarks/dlib_cnn_equality.py`), in a fraction of the time that dlib takes on a CPU.

dlib's 5-point predictor starts from these boxes, as in ``face_recognition``. They lie a little higher and
further left than those of the HOG detector, by 9 and 4 % of their side, and it makes no difference: of 197
faces of shared/data/people both find, dlib's embeddings are 0.9994 similar (median; 0.995 at the 5th
percentile), and 92.7 and 92.6 % of the pairs of one person are more alike than all but 1 % of the pairs of
two. Moving the boxes to where the HOG detector's are gives 92.9 %, which is within the noise of 1 %.
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
    from_dlib,
    up_to_down,
)
from faceindex.detect.dlib_mmod import FIELD, HALO, OFFSET, STRIDE, MmodNetwork, read_parameters
from faceindex.detect.dlib_pyramid import double, tile, to_image
from faceindex.devices import BatchSize
from faceindex.models.dlib_format import SlidingWindow
from faceindex.models.spec import DetectorSpec
from faceindex.types import Detections, Image

__all__ = ["DlibCnn"]

_F64: TypeAlias = NDArray[np.float64]

# Pixels of a doubled image: a photo of 12 megapixels is doubled once. Each pixel takes 64 bytes, mostly for
# the canvas and the features.
_MOST_PIXELS = 50_000_000
# Pixels that all threads work on at a time.
_MOST_TOGETHER = 50_000_000
# The canvas goes through the network in strips of so many pixels, times what `BatchSize` says.
_PIXELS_PER_ITEM = 1 << 16


class DlibCnn(DlibDetector):
    """Find faces, also turned and partly hidden ones, with dlib's network.

    With the same `upsample` it finds what ``face_recognition.face_locations(model="cnn")`` finds: the
    boxes are left, top, right and bottom of dlib's rectangles, before they are trimmed to the image.
    It may be used from several threads at once.

    Parameters
    ----------
    spec : DetectorSpec
        Its only weight is ``mmod_human_face_detector.dat``.
    min_face : float
        Side of the smallest face that is looked for, in pixels, greater than 0. It decides at which
        scale photos are decoded; on an image, faces from ``80 / 2 ** upsample`` px are found whatever it
        is, as dlib's pyramid is fixed.
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
        # Bytes an item: the first convolution leaves 16 channels of a quarter of the pixels, the
        # later ones 45 of a 64th.
        self._wide = BatchSize(device, cpu=8, item_bytes=_PIXELS_PER_ITEM * 48, most=1 << 12)
        self._deep = BatchSize(device, cpu=128, item_bytes=_PIXELS_PER_ITEM * 16, most=1 << 12)
        self._budget = PixelBudget(_MOST_TOGETHER)

    def _detect(self, image: Image) -> Detections:
        times = doublings(image, self._upsample, _MOST_PIXELS)
        pixels = image.shape[0] * image.shape[1] * 4**times
        with self._budget.spend(pixels), torch.inference_mode():
            boxes, confidences = self._windows(double(image, times))
        kept = _suppress(boxes, self._window)
        return from_dlib(_rounded(up_to_down(boxes[kept], times)), confidences[kept])

    def _windows(self, image: Image) -> tuple[_F64, _F64]:
        """All windows with a score above 0, the best first: (n, 4) whole pixels of the image, and scores."""
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
        """(r, c) scores of a canvas (1, 3, h, w), or None if it is smaller than the network sees."""
        height, width = canvas.shape[2:]
        if min(height, width) < FIELD:
            return None
        rows = (height - FIELD) // STRIDE + 1
        features = self._in_strips(
            self._wide,
            height * width,
            rows,
            lambda a, b: self._network.features(canvas[:, :, a * STRIDE : (b - 1) * STRIDE + FIELD]),
        )

        def strip(first: int, last: int) -> Tensor:
            above = min(first, HALO)
            found = self._network.scores(features[:, :, first - above : last + HALO])
            return found[:, :, above : above + last - first]

        scores = self._in_strips(self._deep, height * width, rows, strip)
        return scores[0, 0]

    @staticmethod
    def _in_strips(size: BatchSize, pixels: int, rows: int, work: Callable[[int, int], Tensor]) -> Tensor:
        """`work` on ranges of rows that together are all of them; what it gives, joined."""
        items = max(1, min(rows, pixels // _PIXELS_PER_ITEM))
        strips = size.run(items, lambda some: work(some.start * rows // items, some.stop * rows // items))
        return torch.cat(strips, dim=2) if len(strips) > 1 else strips[0]


def _rounded(boxes: _F64) -> _F64:
    """Whole pixels; halves go away from 0, as ``std::lround`` has it."""
    away: _F64 = np.trunc(boxes + np.copysign(0.5, boxes))
    return away


def _suppress(boxes: _F64, window: SlidingWindow) -> list[int]:
    """Which boxes (n, 4), the best first, overlap none that is better: ``test_box_overlap`` of dlib.

    Unlike elsewhere, the overlap is over the rectangle around both boxes, and the last pixel counts.
    """
    area = _area(boxes[:, :2], boxes[:, 2:])
    kept: list[int] = []
    for index, box in enumerate(boxes):
        others = boxes[kept]
        inner = _area(np.maximum(others[:, :2], box[:2]), np.minimum(others[:, 2:], box[2:]))
        outer = _area(np.minimum(others[:, :2], box[:2]), np.maximum(others[:, 2:], box[2:]))
        covered = inner / np.minimum(area[kept], area[index])
        if not ((inner / outer > window.iou) | (covered > window.covered)).any():
            kept.append(index)
    return kept


def _area(first: _F64, last: _F64) -> _F64:
    area: _F64 = (last - first + 1).clip(0).prod(axis=1)
    return area
