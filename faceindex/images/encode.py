"""Encode RGB arrays as image files."""

from __future__ import annotations

import io

import PIL.Image

from faceindex.types import Image

__all__ = ["encode", "writable_suffix"]

_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_LOSSLESS_INSTEAD = {".gif", ".apng", ".dib"}


def writable_suffix(suffix: str) -> str:
    """Choose the suffix of an image that is made from a photo with this suffix.

    JPEG, PNG, WebP, BMP and TIFF keep their suffix, also in upper case. GIF becomes ``.png``, because 256
    colours are too few for a face. All other formats, such as HEIC, become ``.jpg``.
    """
    if suffix.lower() in _FORMATS:
        return suffix
    return ".png" if suffix.lower() in _LOSSLESS_INSTEAD else ".jpg"


def encode(image: Image, suffix: str, *, quality: int = 95) -> bytes:
    """Encode an image as a file without metadata.

    Parameters
    ----------
    image : (h, w, 3) uint8
        RGB.
    suffix : str
        A suffix that `writable_suffix` returns; selects the format.
    quality : int
        Quality of JPEG and WebP, 1..100; the other formats are lossless. Colours keep their full resolution
        (JPEG 4:4:4).

    Returns
    -------
    bytes
    """
    stream = io.BytesIO()
    picture = PIL.Image.fromarray(image)
    match image_format := _FORMATS[suffix.lower()]:
        case "JPEG":
            picture.save(stream, image_format, quality=quality, subsampling=0, optimize=True)
        case "WEBP":
            picture.save(stream, image_format, quality=quality)
        case "TIFF":
            picture.save(stream, image_format, compression="tiff_lzw")
        case _:
            picture.save(stream, image_format)
    return stream.getvalue()
