"""Decode parts of a photo, so that small faces have a finer scale than the decoded photo."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
import PIL.Image

from faceindex.images.decoder import DEFAULT_MAX_PIXELS, decode_with
from faceindex.types import F32, Image

__all__ = ["Part", "decode_parts"]

_Transpose = PIL.Image.Transpose

# For each transposition that turns a stored photo upright: whether x and y are swapped, and whether the
# stored x axis and y axis run backwards.
_STORED = {
    None: (False, False, False),
    _Transpose.FLIP_LEFT_RIGHT: (False, True, False),
    _Transpose.ROTATE_180: (False, True, True),
    _Transpose.FLIP_TOP_BOTTOM: (False, False, True),
    _Transpose.TRANSPOSE: (True, False, False),
    _Transpose.ROTATE_270: (True, False, True),
    _Transpose.TRANSVERSE: (True, True, True),
    _Transpose.ROTATE_90: (True, True, False),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle of a decoded photo.

    Attributes
    ----------
    image : (h, w, 3) uint8
        RGB, upright, C-contiguous.
    left, top : int
        Position on the decoded photo, in decoded pixels.
    scale : (float, float)
        As `DecodedImage.scale`.
    """

    image: Image
    left: int
    top: int
    scale: tuple[float, float]


def decode_parts(
    data: bytes,
    path: str | PathLike[str],
    boxes: F32,
    *,
    shrink: int = 1,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> list[Part]:
    """Decode a photo, and keep only some rectangles of it, turned upright.

    At 12 megapixels this takes two thirds of the time of `decode`, and 0.1 GB less memory.

    Parameters
    ----------
    data, path, shrink, max_pixels
        As in `faceindex.images.decode`.
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright photo at full resolution. Boxes are clipped to the photo; a
        box outside of it becomes the nearest pixel.

    Returns
    -------
    list of Part
        One for each box, covering it completely, with the same pixels that `decode` returns there.

    Raises
    ------
    ImageError, UsageError
        As in `faceindex.images.decode`.
    """

    def cut(image: PIL.Image.Image, transposition: _Transpose | None, width: int, height: int) -> list[Part]:
        swapped, backwards_x, backwards_y = _STORED[transposition]
        size = np.array(image.size[::-1] if swapped else image.size)
        scale = size / (width, height)
        limits = np.nan_to_num(boxes.astype(np.float64) * np.tile(scale, 2))
        first = np.clip(np.floor(limits[:, :2]), 0, size - 1).astype(int)
        end = np.clip(np.ceil(limits[:, 2:]), first + 1, size).astype(int)
        parts = []
        for (left, top), (right, bottom) in zip(first.tolist(), end.tolist(), strict=True):
            x, y = (left, right), (top, bottom)
            if swapped:
                x, y = y, x
            if backwards_x:
                x = image.width - x[1], image.width - x[0]
            if backwards_y:
                y = image.height - y[1], image.height - y[0]
            piece = image.crop((x[0], y[0], x[1], y[1]))
            if transposition is not None:
                piece = piece.transpose(transposition)
            parts.append(Part(np.array(piece), left, top, (float(scale[0]), float(scale[1]))))
        return parts

    return decode_with(data, path, shrink, max_pixels, cut)[0]
