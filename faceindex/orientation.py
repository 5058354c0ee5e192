"""Boxes on the stored picture and on the upright photo.

The EXIF orientation, 1 to 8, is the turn and the mirroring that make a stored picture upright (Exif 2.32, tag
0x0112). Decisions of the user are kept on the stored picture, in fractions of its sides: they hold when a
program only changes the orientation.
"""

from __future__ import annotations

import numpy as np

from faceindex.types import F32, I64

__all__ = ["to_stored", "to_upright"]

# For each orientation: whether x and y are swapped first, and whether they run backwards afterwards.
_SWAPPED = np.array([False, False, False, False, True, True, True, True])
_BACKWARDS = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [1, 1], [0, 1]], np.bool_)
_INVERSE = np.array([1, 2, 3, 4, 5, 8, 7, 6])


def to_upright(boxes: F32, orientation: I64) -> F32:
    """Return where boxes of stored pictures are on the upright photos.

    Parameters
    ----------
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in fractions of the width and the height of the stored picture.
    orientation : (n,) int64
        1 to 8; other values count as 1.

    Returns
    -------
    (n, 4) float32
        In fractions of the sides of the upright photo.
    """
    code = np.where((orientation >= 1) & (orientation <= 8), orientation, 1) - 1
    corners = boxes.reshape(-1, 2, 2)
    corners = np.where(_SWAPPED[code][:, None, None], corners[:, :, ::-1], corners)
    corners = np.where(_BACKWARDS[code][:, None, :], 1 - corners, corners)
    upright: F32 = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    return upright


def to_stored(boxes: F32, orientation: I64) -> F32:
    """Return where boxes of upright photos are on the stored pictures; the inverse of `to_upright`."""
    code = np.where((orientation >= 1) & (orientation <= 8), orientation, 1)
    return to_upright(boxes, _INVERSE[code - 1])
