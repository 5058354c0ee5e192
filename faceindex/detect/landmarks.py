"""Locate the five landmarks of detected faces with O-Net, the last network of MTCNN.

Alignment depends on landmarks, and embedders are trained on chips that MTCNN's landmarks aligned. Those of a
detector that searches a whole photo at a reduced scale are less exact. For each set of photos, a limit is set
at the similarity that a part of the different-person pairs exceeds (second row). The table lists the share of
same-person pairs above it, with mobilefacenet, for all labelled faces of shared/data group_photos/ and
diverse/ and for half of people/.

=========================================  ============  ========  ========
landmarks                                  group_photos  diverse   people
=========================================  ============  ========  ========
of the different-person pairs              1 in 10       1 in 100  1 in 100
YuNet's                                    0.52          0.78      0.93
**O-Net's, in YuNet's boxes**              0.70          0.82      0.95
MTCNN's, in its own boxes                  0.70          0.83      0.95
=========================================  ============  ========  ========

A second pass in the box that O-Net returns gives 0.69, 0.82 and 0.95, and crops that are 15 % larger 0.68,
0.81 and 0.94.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from faceindex.detect.mtcnn_nets import ONet
from faceindex.devices import BatchSize
from faceindex.models.spec import WeightFile
from faceindex.models.weights import read_weights
from faceindex.types import F32, Detections, Image

__all__ = ["LandmarkNet"]

_SIDE = 48  # pixels of O-Net's input
# Crops with more pixels than this many times `_SIDE` lose rows and columns before they are reduced.
_MOST_TIMES = 8
# O-Net's own threshold for a face: below it, its landmarks are not those of a face.
_THRESHOLD = 0.7
# With fewer crops, torch takes other kernels for the last products, and points move by 3e-5 pixels: then the
# rounding of a few pixels of the chip flips, and a vector differs by up to 1.4e-4 (tried by hand).
_LEAST = 4
# Crops per pass on a CPU, as in MTCNN. Bytes per crop on a GPU: float32 input and the largest activations.
_BATCH, _CROP_BYTES = 14, 4 * _SIDE**2 * (3 + 2 * 32)


class LandmarkNet:
    """O-Net as a locator of landmarks; several threads may share it.

    Parameters
    ----------
    weight : WeightFile
        O-Net's file.
    device : str
        A torch device.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        See `faceindex.models.weights.read_weights`.
    """

    def __init__(self, weight: WeightFile, *, device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._net = ONet()
        self._net.load_state_dict(torch.load(io.BytesIO(read_weights(weight)), weights_only=True))
        self._net.eval().requires_grad_(False).to(self._device)
        self._batch = BatchSize(device, cpu=_BATCH, item_bytes=_CROP_BYTES)

    def locate(self, images: Sequence[Image], found: Sequence[Detections]) -> list[Detections]:
        """Replace the landmarks of faces, except where O-Net finds no face in the box.

        Parameters
        ----------
        images : sequence of (h, w, 3) uint8
        found : sequence of Detections
            One per image, in its pixels.

        Returns
        -------
        list of Detections
            With the same boxes and scores.
        """
        crops: list[Tensor] = []
        squares: list[F32] = []
        for image, faces in zip(images, found, strict=True):
            for box in faces.boxes:
                crop, square = _cut(image, box)
                crops.append(crop)
                squares.append(square)
        if not crops:
            return list(found)
        with torch.inference_mode():
            passes = self._batch.run(len(crops), lambda part: self._run(torch.stack(crops[part])))
        scores = np.concatenate([scores for scores, _ in passes])
        points = np.concatenate([points for _, points in passes])
        corners = np.stack(squares)
        # The file returns fractions of the crop, in the order of five x and five y.
        sides = corners[:, None, 2:] - corners[:, None, :2]
        landmarks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides + corners[:, None, :2]
        located = []
        stop = 0
        for faces in found:
            start, stop = stop, stop + len(faces)
            sure = (scores[start:stop] > _THRESHOLD)[:, None, None]
            chosen = np.where(sure, landmarks[start:stop], faces.landmarks).astype(np.float32)
            located.append(Detections(faces.boxes, chosen, faces.scores, faces.turns))
        return located

    def _run(self, crops: Tensor) -> tuple[F32, F32]:
        # Channels last in memory: 3 times as fast on a CPU.
        n = len(crops)
        if n < _LEAST:
            crops = torch.cat([crops, crops[-1:].expand(_LEAST - n, -1, -1, -1)])
        batch = crops.to(self._device, memory_format=torch.channels_last)
        scores, _, points = self._net(batch)
        return scores[:n].cpu().numpy(), points[:n].cpu().numpy()


def _cut(image: Image, box: F32) -> tuple[Tensor, F32]:
    """Cut the square around a box out of an image.

    Returns
    -------
    crop : (3, 48, 48) float32 tensor
        ``(x - 127.5) / 128``. The part of the square that lies on the image is stretched to the whole crop,
        as MTCNN does it.
    square : (4,) float32
        ``x1 y1 x2 y2`` of the square.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = map(float, box)
    x, y = (left + right) / 2, (top + bottom) / 2
    half = max(right - left, bottom - top, 2.0) / 2
    x1 = min(max(int(x - half), 0), width - 1)
    y1 = min(max(int(y - half), 0), height - 1)
    x2 = min(max(int(x + half), x1 + 1), width)
    y2 = min(max(int(y + half), y1 + 1), height)
    step = max(1, min(x2 - x1, y2 - y1) // (_MOST_TIMES * _SIDE))
    pixels = np.require(image[y1:y2:step, x1:x2:step], requirements=["C", "W"])
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    crop = functional.interpolate(planes, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)[0].float()
    square = np.array([x - half, y - half, x + half, y + half], np.float32)
    return crop.sub_(127.5).div_(128), square
