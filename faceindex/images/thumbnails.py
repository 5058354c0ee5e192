"""Make small images of faces and photos, and encode them as JPEG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from os import PathLike

import numpy as np
import PIL.Image

from faceindex.images.decoder import DecodedImage
from faceindex.images.exif import exif_orientation
from faceindex.images.formats import recognise_format
from faceindex.images.openers import opener_for
from faceindex.turns import turn_image
from faceindex.types import F32, U8, Image

__all__ = ["cut_squares", "encode_jpeg", "fit", "scaled_image", "shown_by_browsers", "shrink_for"]

_SHRINKS = (8, 4, 2)

# Formats that every browser has displayed since 2020. AVIF (since 2024) is too recent; only Safari displays
# HEIF and TIFF.
_SHOWN = frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP"})


def shown_by_browsers(data: bytes, path: str | PathLike[str]) -> bool:
    """Return whether every browser displays a photo, and displays it upright.

    Parameters
    ----------
    data : bytes
        The whole file; for a JPEG, its first 64 bytes are enough.
    path : path-like
        File of the photo; used in error messages.

    Raises
    ------
    ImageError
        If the format is unknown.
    """
    image_format = recognise_format(data, path)
    if image_format == "JPEG":
        return True  # browsers apply the EXIF orientation of JPEGs
    if image_format not in _SHOWN:
        return False
    try:
        return exif_orientation(opener_for(image_format, path)(io.BytesIO(data)), data) == 1
    except Exception:
        return True  # damaged: a preview cannot be made either


def shrink_for(side: float, size: int) -> int:
    """Return the largest `shrink` of `decode` that leaves at least `size` of `side` pixels."""
    return next((shrink for shrink in _SHRINKS if side >= shrink * size), 1)


def cut_squares(
    decoded: DecodedImage, boxes: F32, size: int, *, margin: float, turns: Sequence[int] | None = None
) -> U8:
    """Cut a square around each face of a photo, and scale all squares to one size.

    A square that extends beyond the photo is moved inside; one larger than the photo is reduced.

    Parameters
    ----------
    decoded : DecodedImage
        The photo, at any scale.
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright full-size photo.
    size : int
        Side of the squares in pixels.
    margin : float
        Border on each side of a box, as a fraction of its longer side.
    turns : sequence of int, optional
        0, 90, 180 or 270: degrees by which each square is turned clockwise. None means not at all.

    Returns
    -------
    (n, size, size, 3) uint8
    """
    squares = np.empty((len(boxes), size, size, 3), np.uint8)
    image = PIL.Image.fromarray(decoded.image)
    scale_x, scale_y = decoded.scale
    turns = [0] * len(boxes) if turns is None else turns
    for square, (x1, y1, x2, y2), turn in zip(squares, boxes.astype(float), turns, strict=True):
        side = max(x2 - x1, y2 - y1) * (1 + 2 * margin)
        side = max(1.0, min(side, decoded.width, decoded.height))
        left = min(max(0.0, (x1 + x2 - side) / 2), decoded.width - side)
        top = min(max(0.0, (y1 + y2 - side) / 2), decoded.height - side)
        region = (
            left * scale_x,
            top * scale_y,
            min((left + side) * scale_x, image.width),
            min((top + side) * scale_y, image.height),
        )
        cut = image.resize((size, size), PIL.Image.Resampling.BICUBIC, region, reducing_gap=2.0)
        square[:] = turn_image(np.asarray(cut), turn)
    return squares


def fit(image: Image, longest: int) -> Image:
    """Scale an image down so that its longer side has at most `longest` pixels."""
    height, width = image.shape[:2]
    if max(height, width) <= longest:
        return image
    scale = longest / max(height, width)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = PIL.Image.fromarray(image).resize(target, PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.array(scaled)


def scaled_image(image: Image, factor: float) -> Image:
    """Scale an image up or down by a factor, to whole pixels."""
    height, width = image.shape[:2]
    target = (max(1, round(width * factor)), max(1, round(height * factor)))
    if target == (width, height):
        return image
    scaled = PIL.Image.fromarray(image).resize(target, PIL.Image.Resampling.BICUBIC, reducing_gap=3.0)
    return np.array(scaled)


def encode_jpeg(image: Image, *, quality: int, progressive: bool = True) -> bytes:
    """Encode an image as JPEG without metadata.

    Parameters
    ----------
    image : (h, w, 3) uint8
    quality : int
        1..95, on the scale of libjpeg.
    progressive : bool
        Smaller files, in three times the time, and with 3 bytes of memory more for each pixel.
    """
    stream = io.BytesIO()
    options = {"optimize": True, "progressive": True} if progressive else {}
    PIL.Image.fromarray(image).save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()
