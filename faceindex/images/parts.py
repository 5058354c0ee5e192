"""Decode parts of a photo: around small faces, at a finer scale than the photo itself was decoded at."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import numpy as np
import PIL.Image

from faceindex.images.decoder import DEFAULT_MAX_PIXELS, decoded
from faceindex.types import F32, Image

__all__ = ["Part", "decode_parts"]

_Transpose = PIL.Image.Transpose

# How the sides of an upright photo lie in the stored one: whether x and y change places, and then which of
# the stored axes run backwards.
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
        Where it lies on the decoded photo, in pixels of that.
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
    """Decode a photo, and turn and keep only some rectangles of it.

    At 12 megapixels this takes two thirds of the time of `decode`, and a tenth of a gigabyte less.

    Parameters
    ----------
    data, path, shrink, max_pixels
        As in `faceindex.images.decode`.
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright photo at full resolution. What leaves the photo is cut off;
        of a box outside of it the nearest pixel is left.

    Returns
    -------
    list of Part
        One for each box, and not smaller than it: each has the pixels that `decode` gives there.

    Raises
    ------
    ImageError, UsageError
        As from `faceindex.images.decode`.
    """

    def cut(image: PIL.Image.Image, method: _Transpose | None, width: int, height: int) -> list[Part]:
        turned, backwards_x, backwards_y = _STORED[method]
        size = np.array(image.size[::-1] if turned else image.size)
        scale = size / (width, height)
        limits = np.nan_to_num(boxes.astype(np.float64) * np.tile(scale, 2))
        first = np.clip(np.floor(limits[:, :2]), 0, size - 1).astype(int)
        end = np.clip(np.ceil(limits[:, 2:]), first + 1, size).astype(int)
        parts = []
        for (left, top), (right, bottom) in zip(first.tolist(), end.tolist(), strict=True):
            x, y = (left, right), (top, bottom)
            if turned:
                x, y = y, x
            if backwards_x:
                x = image.width - x[1], image.width - x[0]
            if backwards_y:
                y = image.height - y[1], image.height - y[0]
            piece = image.crop((x[0], y[0], x[1], y[1]))
            if method is not None:
                piece = piece.transpose(method)
            parts.append(Part(np.array(piece), left, top, (float(scale[0]), float(scale[1]))))
        return parts

    return decoded(data, path, shrink, max_pixels, cut)
