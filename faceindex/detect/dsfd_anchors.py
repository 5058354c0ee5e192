"""Anchors of DSFD's six levels, and boxes from what a network says about them.

One anchor for each cell: 16 px wide (and 1.5 times as high, by area 16 x 16) at stride 4, twice as
large at each further level. Sizes, ratio, variances and the clipping to the image are those of the
public inference port (https://github.com/hukkelas/DSFD-Pytorch-Inference,
``face_detection/dsfd/config.py`` and ``utils.py``); lightDSFD has the same.
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
    """The anchors for an image of `height` x `width` pixels.

    Parameters
    ----------
    height, width : int
        At least 1. A level has a cell for every begun stride.

    Returns
    -------
    (a, 4) float32, not to be written to
        Centre x, centre y, width and height in parts of the image's, by level, row and column;
        clipped to 0..1, which centres beyond the edge and anchors larger than the image need.
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
    """Boxes from offsets to anchors, the encoding of SSD (https://arxiv.org/abs/1512.02325).

    Parameters
    ----------
    offsets : (..., 4) float32
        Of the centre, in tenths of the anchor's sides; of width and height, logarithms in fifths.
    priors : (..., 4) float32
        As `anchors` gives them.

    Returns
    -------
    (..., 4) float32
        ``x1 y1 x2 y2`` in parts of the image's width and height.
    """
    centre = priors[..., :2] + offsets[..., :2] * _VARIANCES[0] * priors[..., 2:]
    size = priors[..., 2:] * torch.exp(offsets[..., 2:] * _VARIANCES[1])
    corner = centre - size / 2
    return torch.cat([corner, corner + size], dim=-1)
