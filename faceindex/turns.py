"""Quarter turns of images and of the points on them.

A *turn* is 0, 90, 180 or 270: the degrees by which an image is turned clockwise. Coordinates run from the
left and upper edge of the image, so a turn of 90 moves a point (x, y) of an image of height h to (h - y, x).
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["TURNS", "turn_boxes", "turn_image", "turn_points", "turned_size"]

TURNS = (0, 90, 180, 270)

_T = TypeVar("_T", bound=np.generic)
_Float = TypeVar("_Float", bound="np.floating[Any]")


def turn_image(image: NDArray[_T], turn: int) -> NDArray[_T]:
    """Turn an image (h, w, ...) clockwise; the result is C-contiguous, and may be the image itself."""
    if turn % 360 == 0:
        return np.ascontiguousarray(image)
    # A copy: of an image of one row, the turned view counts as contiguous, with a stride that torch refuses.
    return np.array(np.rot90(image, -(turn // 90)), order="C")


def turned_size(width: int, height: int, turn: int) -> tuple[int, int]:
    """Return the width and the height of an image after a turn."""
    return (height, width) if turn % 180 else (width, height)


def turn_points(points: NDArray[_Float], turn: int, width: float, height: float) -> NDArray[_Float]:
    """Return where points are after a turn.

    Parameters
    ----------
    points : (..., 2) array
        ``x y`` in pixels; may be NaN or outside of the image.
    turn : int
    width, height : float
        Of the image before the turn.

    Returns
    -------
    (..., 2) array
        Of the same dtype.
    """
    x, y = points[..., 0], points[..., 1]
    moved: tuple[NDArray[Any], NDArray[Any]]
    match turn % 360:
        case 0:
            moved = x, y
        case 90:
            moved = height - y, x
        case 180:
            moved = width - x, height - y
        case _:
            moved = y, width - x
    return np.stack(moved, axis=-1).astype(points.dtype, copy=False)


def turn_boxes(boxes: NDArray[_Float], turn: int, width: float, height: float) -> NDArray[_Float]:
    """Return boxes (n, 4), ``x1 y1 x2 y2``, after a turn; parameters as in `turn_points`."""
    corners = turn_points(boxes.reshape(-1, 2, 2), turn, width, height)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
