"""The image pyramid of dlib's sliding-window network, computed as dlib computes it.

``create_tiled_pyramid`` in ``dlib/image_transforms/image_pyramid.h`` places all levels of a pyramid on one
canvas. Each level is 5/6 of the size of the one before (``pyramid_down<6>``). The levels run downwards from
the top left, then upwards along the right edge as far as there is room. The network's receptive field is
wider than the gaps, so the neighbours of a level affect its scores a little. The layout is therefore part of
the model.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import dlib
import numpy as np
from numpy.typing import NDArray

from faceindex.models.dlib_layers import PyramidInput
from faceindex.types import F32, I64, Image

__all__ = ["double", "layout", "tile", "to_image"]

_F64: TypeAlias = NDArray[np.float64]
_Rectangle: TypeAlias = tuple[int, int, int, int]

_RATIO, _UP = 5 / 6, 6 / 5  # pyramid_down<6>
_SHIFT = 0.3  # pixels that its point_up adds
_LEAST_ROWS = 5  # the pyramid ends before a level with fewer rows


def layout(height: int, width: int, *, padding: int, outer: int) -> tuple[I64, tuple[int, int]]:
    """Place the levels of an image's pyramid on the canvas.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels, greater than 0.
    padding, outer : int
        Pixels between the levels, and around all of them.

    Returns
    -------
    places : (n, 4) int64
        Left, top, width and height of each level, the largest first. Levels that do not fit are left
        out, as in dlib.
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
        # The second stack begins where it fits beside the first and both are about equally high.
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
        if top < outer + height and left < outer + width:  # it would overlap the first level
            break
        places.append((left, top, columns, rows))
        y -= rows + padding
    return np.array(places, np.int64), (column + 2 * outer, width + 2 * outer)


def double(image: Image, times: int) -> Image:
    """Double an image repeatedly: ``pyramid_up`` of dlib.

    Parameters
    ----------
    image : (h, w, 3) uint8
    times : int
        Number of doublings. Each turns sides h and w into ``2 h + 1`` and ``2 w + 2``.
    """
    image = np.ascontiguousarray(image)
    for _ in range(times):
        height, width = image.shape[:2]
        image = dlib.resize_image(image, 2 * height + 1, 2 * width + 2)
    return image


def tile(image: Image, form: PyramidInput) -> tuple[F32, I64]:
    """Draw the pyramid of an image on a canvas, normalised for the network.

    Parameters
    ----------
    image : (h, w, 3) uint8
    form : PyramidInput

    Returns
    -------
    canvas : (3, rows, columns) float32
        0 where there is no level.
    places : (n, 4) int64
        As returned by `layout`.
    """
    height, width = image.shape[:2]
    places, size = layout(height, width, padding=form.padding, outer=form.outer_padding)
    canvas = np.zeros((3, *size), np.float32)
    for plane, channel, mean in zip(canvas, np.moveaxis(image, 2, 0), form.mean, strict=True):
        level = (channel - np.float32(mean)) / np.float32(256)
        for x, y, columns, rows in places.tolist():
            if level.shape != (rows, columns):
                # dlib adds up single-precision steps along a row, and drifts by hundredths of a pixel on
                # wide images. Other bilinear sampling differs by 0.003, and is slower.
                level = dlib.resize_image(level, rows, columns)
            plane[y : y + rows, x : x + columns] = level
    return canvas, places


def to_image(boxes: _F64, places: I64) -> _F64:
    """Map boxes from the canvas to the image.

    Parameters
    ----------
    boxes : (n, 4) float64
        Left, top, right, bottom.
    places : (m, 4) int64
        As returned by `layout`.

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
