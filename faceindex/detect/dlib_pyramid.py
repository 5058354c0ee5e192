"""The image pyramid that dlib's sliding-window network looks at, computed as dlib computes it.

``create_tiled_pyramid`` in ``dlib/image_transforms/image_pyramid.h`` lays all levels of a pyramid, each
5/6 of the one before (``pyramid_down<6>``), on one canvas: downwards from the top left, and then
upwards at the right edge as far as there is room. The network's reach is greater than the gaps, so
what lies beside a level matters a little, and the layout is part of the model.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import dlib
import numpy as np
from numpy.typing import NDArray

from faceindex.models.dlib_format import PyramidInput
from faceindex.types import F32, I64, Image

__all__ = ["double", "layout", "tile", "to_image"]

_F64: TypeAlias = NDArray[np.float64]
_Rectangle: TypeAlias = tuple[int, int, int, int]

_RATIO, _UP = 5 / 6, 6 / 5  # pyramid_down<6>
_SHIFT = 0.3  # what its point_up adds, in pixels
_LEAST_ROWS = 5  # of a level


def layout(height: int, width: int, *, padding: int, outer: int) -> tuple[I64, tuple[int, int]]:
    """Where the levels of an image's pyramid lie on the canvas.

    Parameters
    ----------
    height, width : int
        Of the image, in pixels, greater than 0.
    padding, outer : int
        Pixels between the levels, and around all of them.

    Returns
    -------
    places : (n, 4) int64
        Left, top, width and height of each level, the largest first. Levels that find no room are left
        out, as dlib does.
    canvas : (int, int)
        Height and width.
    """
    sizes = [(height, width)]
    while True:
        rows, columns = (math.floor(_RATIO * side) for side in sizes[-1])
        if columns == 0 or rows < _LEAST_ROWS:
            break
        sizes.append((rows, columns))
    stacked = sum(rows + padding for rows, _ in sizes) - 2 * padding
    column, above = 0, 0
    for rows, columns in sizes:
        # The second stack begins when it fits beside the first, and both are about as high.
        if columns <= width - above - padding and (column - height) * 2 >= stacked - height:
            break
        column += rows + padding
        above = columns
    column -= padding
    places: list[_Rectangle] = []
    y = outer
    rest = iter(sizes)
    for rows, columns in rest:
        places.append((outer, y, columns, rows))
        y += rows + padding
        if y >= column + outer:
            break
    y -= padding
    for rows, columns in rest:
        left, top = outer + width - columns, y - rows
        if top < outer + height and left < outer + width:  # it would reach into the image itself
            break
        places.append((left, top, columns, rows))
        y -= rows + padding
    return np.array(places, np.int64), (column + 2 * outer, width + 2 * outer)


def double(image: Image, times: int) -> Image:
    """Double an image: ``pyramid_up`` of dlib, with sides of ``2 h + 1`` and ``2 w + 2``.

    Parameters
    ----------
    image : (h, w, 3) uint8
    times : int
    """
    image = np.ascontiguousarray(image)
    for _ in range(times):
        height, width = image.shape[:2]
        image = dlib.resize_image(image, 2 * height + 1, 2 * width + 2)
    return image


def tile(image: Image, form: PyramidInput) -> tuple[F32, I64]:
    """The canvas of an image, normalised for the network.

    Parameters
    ----------
    image : (h, w, 3) uint8
    form : PyramidInput

    Returns
    -------
    canvas : (3, rows, columns) float32
        0 where there is no level.
    places : (n, 4) int64
        As of `layout`.
    """
    height, width = image.shape[:2]
    places, size = layout(height, width, padding=form.padding, outer=form.outer_padding)
    canvas = np.zeros((3, *size), np.float32)
    for plane, channel, mean in zip(canvas, np.moveaxis(image, 2, 0), form.mean, strict=True):
        level = (channel - np.float32(mean)) / np.float32(256)
        for x, y, columns, rows in places.tolist():
            if level.shape != (rows, columns):
                # dlib adds up single-precision steps along a row, and drifts by hundredths of a pixel on
                # wide images; other bilinear sampling would be 0.003 off, and slower.
                level = dlib.resize_image(level, rows, columns)
            plane[y : y + rows, x : x + columns] = level
    return canvas, places


def to_image(boxes: _F64, places: I64) -> _F64:
    """Boxes on the canvas to where they are on the image.

    Parameters
    ----------
    boxes : (n, 4) float64
        Left, top, right, bottom.
    places : (m, 4) int64
        As of `layout`.

    Returns
    -------
    (n, 4) float64
    """
    centre = np.floor((boxes[:, None, :2] + boxes[:, None, 2:]) / 2 + 0.5)
    first, size = places[:, :2], places[:, 2:]
    distance = np.linalg.norm(centre - centre.clip(first, first + size - 1), axis=2)
    level = distance.argmin(axis=1)
    moved: _F64 = boxes - np.tile(first[level], 2)
    for step in range(int(level.max(initial=0))):
        further = level > step
        moved[further] = moved[further] * _UP + _SHIFT
    return moved
