"""Anchors of DSFD's six levels, and the decoding of boxes from a network's offsets.

Each cell has one anchor. At stride 4 its area is 16 x 16 px, and it is 1.5 times as high as wide. At each
further level its sides are twice as long. Sizes, ratio, variances and the clipping to the image are those of
the public inference port (https://github.com/hukkelas/DSFD-Pytorch-Inference,
``face_detection/dsfd/config.py`` and ``utils.py``); lightDSFD uses the same.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["STRIDES", "anchors", "decode"]

STRIDES = (4, 8, 16, 32, 64, 128)
_SIZES = (16, 32, 64, 128, 256, 512)
_RATIO = 1.5  # height over width
_VARIANCES = (0.1, 0.2)


@lru_cache(maxsize=4)
def anchors(height: int, width: int) -> Tensor:
    """Return the anchors for an image of `height` x `width` pixels.

    Parameters
    ----------
    height, width : int
        At least 1. A level has one cell for every full or partial stride.

    Returns
    -------
    (a, 4) float32
        Centre x, centre y, width and height as fractions of the image's, by level, row and column.
        Clipped to 0..1, since centres may lie beyond the edge and anchors may be larger than the image.
        The tensor is cached: do not modify it.
    """
    levels = []
    for stride, size in zip(STRIDES, _SIZES, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        level = np.empty((rows, columns, 4))
        level[..., 0] = (np.arange(columns) + 0.5) * stride / width
        level[..., 1] = ((np.arange(rows) + 0.5) * stride / height)[:, None]
        level[..., 2] = size / width / _RATIO**0.5
        level[..., 3] = size / height * _RATIO**0.5
        levels.append(level.reshape(-1, 4))
    return torch.from_numpy(np.concatenate(levels).clip(0, 1).astype(np.float32))


def decode(offsets: Tensor, priors: Tensor) -> Tensor:
    """Compute boxes from offsets to anchors, in the encoding of SSD (https://arxiv.org/abs/1512.02325).

    Parameters
    ----------
    offsets : (..., 4) float32
        Shift of the centre in tenths of the anchor's sides, and logarithms of the factors of width and
        height in fifths.
    priors : (..., 4) float32
        Anchors, as returned by `anchors`.

    Returns
    -------
    (..., 4) float32
        ``x1 y1 x2 y2`` as fractions of the image's width and height.
    """
    centre = priors[..., :2] + offsets[..., :2] * _VARIANCES[0] * priors[..., 2:]
    size = priors[..., 2:] * torch.exp(offsets[..., 2:] * _VARIANCES[1])
    corner = centre - size / 2
    return torch.cat([corner, corner + size], dim=-1)
