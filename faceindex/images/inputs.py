"""Photos as arguments of the library: a path, bytes, an array, or a PIL image."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageOps

from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images.decoder import DecodedImage
from faceindex.images.rgb import to_rgb
from faceindex.types import Image

__all__ = ["PhotoInput", "from_pixels", "is_one_photo"]

PhotoInput: TypeAlias = "str | os.PathLike[str] | bytes | Image | PIL.Image.Image"
"""A path; the bytes of an image file; an array (h, w, 3) uint8, RGB, upright; or a PIL image."""


def is_one_photo(value: object) -> bool:
    """Return whether a value is not an iterable of photos. It may then still be no photo."""
    if isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, PIL.Image.Image)):
        return True
    return not isinstance(value, Iterable) or hasattr(value, "read")  # an open file yields lines


def from_pixels(photo: Image | PIL.Image.Image, name: str) -> DecodedImage:
    """Convert an array or a PIL image to a decoded photo at full scale.

    Parameters
    ----------
    photo : (h, w, 3) uint8 or PIL.Image.Image
        An array must be RGB and upright. The EXIF orientation of a PIL image is applied.
    name : str
        For messages.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ImageError
        If a PIL image that was opened from a file cannot be decoded.
    UsageError
        If `photo` has another type, or is an array of another shape or dtype.
    """
    if isinstance(photo, PIL.Image.Image):
        pixels = _decode(photo, name)
    elif isinstance(photo, np.ndarray):
        pixels = photo
    else:
        raise UsageError(
            f"A photo of type {type(photo).__name__} cannot be read.",
            "Pass a path, bytes, a NumPy array (h, w, 3) uint8 in RGB, or a PIL image.",
        )
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise UsageError(
            f"An array of shape {pixels.shape} and dtype {pixels.dtype} is not a photo.",
            "Pass an array (h, w, 3) uint8 in RGB.",
        )
    # A copy, as photos are processed in batches, and a caller may use one array for all of them in turn.
    return DecodedImage(np.array(pixels, order="C"), pixels.shape[1], pixels.shape[0])


def _decode(photo: PIL.Image.Image, name: str) -> Image:
    try:
        return np.asarray(to_rgb(PIL.ImageOps.exif_transpose(photo)))
    except Exception as error:  # Pillow decodes a file when its pixels are first needed
        text = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            name,
            Reason.TRUNCATED if "truncated" in text else Reason.CORRUPT,
            f"the image cannot be decoded ({text}).",
            "Copy it again from its source, or open it in a photo editor and save it again.",
        ) from error
