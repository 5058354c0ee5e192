"""Photos as arguments of the library: a path, bytes, an array, or a PIL image."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import PIL.Image

from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images.decoder import DEFAULT_MAX_PIXELS, DecodedImage, check_size
from faceindex.images.exif import ORIENTATION, TRANSPOSITIONS, XMP_KEYS
from faceindex.images.rgb import to_rgb
from faceindex.types import Image

__all__ = ["PhotoInput", "from_pixels", "input_name", "is_one_photo"]

_BAND_PIXELS = 1 << 20  # of an array that are reduced at a time
_MOST_SHRINK = 8  # as of files, see `faceindex.images.decode`

PhotoInput: TypeAlias = "str | os.PathLike[str] | bytes | Image | PIL.Image.Image"
"""A path; the bytes of an image file; an array (h, w, 3) uint8, RGB, upright; or a PIL image."""


def is_one_photo(value: object) -> bool:
    """Return whether a value is not an iterable of photos. It may then still be no photo."""
    if isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, PIL.Image.Image)):
        return True
    return not isinstance(value, Iterable) or hasattr(value, "read")  # an open file yields lines


def input_name(photo: PhotoInput) -> str:
    """Return the name of a photo in messages: its path, or the type of the input."""
    if isinstance(photo, (str, os.PathLike)):
        return os.fspath(photo)
    return "<bytes>" if isinstance(photo, (bytes, bytearray, memoryview)) else f"<{type(photo).__name__}>"


def from_pixels(
    photo: Image | PIL.Image.Image, name: str, *, reduce_above: int = DEFAULT_MAX_PIXELS
) -> DecodedImage:
    """Convert an array or a PIL image to a decoded photo.

    The limits are those of files: more than `DEFAULT_MAX_PIXELS` are an error.

    Parameters
    ----------
    photo : (h, w, 3) uint8 or PIL.Image.Image
        An array must be RGB and upright. The EXIF orientation of a PIL image is applied.
    name : str
        For messages.
    reduce_above : int
        Halve the sides of a photo until it has no more pixels than this, but not below an eighth. A pixel
        of the result is the mean of the pixels that it covers.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ImageError
        If the photo has too many pixels, or a PIL image that was opened from a file cannot be decoded.
    UsageError
        If `photo` has another type, or is an array of another shape or dtype.
    """
    if isinstance(photo, PIL.Image.Image):
        check_size(*photo.size, name, DEFAULT_MAX_PIXELS)  # before it is decoded
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
    height, width = pixels.shape[:2]
    check_size(width, height, name, DEFAULT_MAX_PIXELS)
    shrink = 1
    while shrink < _MOST_SHRINK and width * height / shrink**2 > reduce_above:
        shrink *= 2
    # A copy, as photos are processed in batches, and a caller may use one array for all of them in turn.
    copied = np.array(pixels, order="C") if shrink == 1 else _reduced(pixels, shrink)
    return DecodedImage(copied, width, height)


def _reduced(pixels: Image, shrink: int) -> Image:
    """Reduce both sides, rounding up; in bands, as Pillow copies what it reduces."""
    height, width = pixels.shape[:2]
    reduced = np.empty((-(-height // shrink), -(-width // shrink), 3), np.uint8)
    rows = max(1, _BAND_PIXELS // width // shrink) * shrink
    for top in range(0, height, rows):
        band = PIL.Image.fromarray(np.ascontiguousarray(pixels[top : top + rows])).reduce(shrink)
        reduced[top // shrink : (top + rows) // shrink] = np.asarray(band)
    return reduced


def _orientation(photo: PIL.Image.Image) -> int:
    """Return the EXIF orientation; 1 if only XMP data of its file have one, by which Pillow turns images."""
    found = photo.getexif().get(ORIENTATION, 1)
    if not any(key in photo.info for key in XMP_KEYS):
        return int(found)
    own = PIL.Image.Exif()
    own.load(photo.info.get("exif") or b"")
    return int(found) if ORIENTATION in own else 1


def _decode(photo: PIL.Image.Image, name: str) -> Image:
    try:
        rgb = to_rgb(photo)  # the pixels are decoded here
        transposition = TRANSPOSITIONS.get(_orientation(photo))
        return np.asarray(rgb if transposition is None else rgb.transpose(transposition))
    except Exception as error:  # Pillow decodes a file when its pixels are first needed
        text = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            name,
            Reason.TRUNCATED if "truncated" in text else Reason.CORRUPT,
            f"the image cannot be decoded ({text}).",
            "Copy it again from its source, or open it in a photo editor and save it again.",
        ) from error
