"""Small pictures of photos: faces cut out, whole photos scaled down, JPEG bytes of both."""

from __future__ import annotations

import io
from os import PathLike

import numpy as np
import PIL.Image

from faceindex.images.decoder import DecodedImage, _opener, _orientation
from faceindex.images.formats import recognise_format
from faceindex.types import F32, U8, Image

__all__ = ["cut_squares", "encode_jpeg", "fit", "shown_by_browsers", "shrink_for"]

_SHRINKS = (8, 4, 2)

# What every browser draws since 2020; AVIF since 2024, which is left out on purpose, as are HEIF and
# TIFF, which only Safari knows.
_SHOWN = frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP"})


def shown_by_browsers(data: bytes, path: str | PathLike[str]) -> bool:
    """Whether any browser shows a photo, and the right way up.

    Parameters
    ----------
    data : bytes
        The whole file; of a JPEG, its first 64 bytes are enough.
    path : path-like
        Where it comes from; only for messages.

    Raises
    ------
    ImageError
        If it is of no known format.
    """
    image_format = recognise_format(data, path)
    if image_format == "JPEG":
        return True  # browsers obey its EXIF orientation
    if image_format not in _SHOWN:
        return False
    try:
        return _orientation(_opener(image_format, path)(io.BytesIO(data)), data) == 1
    except Exception:
        return True  # damaged: no preview can be made of it either


def shrink_for(side: float, size: int) -> int:
    """By how much `decode` may shrink a photo so that `side` pixels of it are `size` ones at least."""
    return next((shrink for shrink in _SHRINKS if side >= shrink * size), 1)


def cut_squares(photo: DecodedImage, boxes: F32, size: int, *, margin: float) -> U8:
    """Cut the faces out of a photo, each in a square of one size.

    A square that would leave the photo is moved inside; one larger than the photo is made smaller.

    Parameters
    ----------
    photo : DecodedImage
        At any scale.
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright full-size photo.
    size : int
        Side of the squares in pixels.
    margin : float
        What is added on each side of a box, as a share of its longer side.

    Returns
    -------
    (n, size, size, 3) uint8
    """
    squares = np.empty((len(boxes), size, size, 3), np.uint8)
    image = PIL.Image.fromarray(photo.image)
    scale_x, scale_y = photo.scale
    for square, (x1, y1, x2, y2) in zip(squares, boxes.astype(float), strict=True):
        side = max(x2 - x1, y2 - y1) * (1 + 2 * margin)
        side = max(1.0, min(side, photo.width, photo.height))
        left = min(max(0.0, (x1 + x2 - side) / 2), photo.width - side)
        top = min(max(0.0, (y1 + y2 - side) / 2), photo.height - side)
        region = (
            left * scale_x,
            top * scale_y,
            min((left + side) * scale_x, image.width),
            min((top + side) * scale_y, image.height),
        )
        cut = image.resize((size, size), PIL.Image.Resampling.BICUBIC, region, reducing_gap=2.0)
        square[:] = np.asarray(cut)
    return squares


def fit(image: Image, longest: int) -> Image:
    """Scale an image down so that its longer side is `longest` pixels at most."""
    height, width = image.shape[:2]
    if max(height, width) <= longest:
        return image
    scale = longest / max(height, width)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = PIL.Image.fromarray(image).resize(target, PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.array(scaled)


def encode_jpeg(image: Image, *, quality: int) -> bytes:
    """JPEG bytes of an image, without metadata.

    Parameters
    ----------
    image : (h, w, 3) uint8
    quality : int
        1..95, as libjpeg counts.
    """
    stream = io.BytesIO()
    PIL.Image.fromarray(image).save(stream, "JPEG", quality=quality, optimize=True, progressive=True)
    return stream.getvalue()
