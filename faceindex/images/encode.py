"""From RGB arrays to image files."""

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
    """The suffix of an image made from a photo of that suffix.

    The same for JPEG, PNG, WebP, BMP and TIFF, also in capitals; ``.png`` for GIF, whose 256 colours
    are too few for a face; ``.jpg`` for all others, such as HEIC.
    """
    if suffix.lower() in _FORMATS:
        return suffix
    return ".png" if suffix.lower() in _LOSSLESS_INSTEAD else ".jpg"


def encode(image: Image, suffix: str, *, quality: int = 95) -> bytes:
    """The content of an image file, without any metadata.

    Parameters
    ----------
    image : (h, w, 3) uint8
        RGB.
    suffix : str
        One that `writable_suffix` gives; it decides on the format.
    quality : int
        Of JPEG and WebP, 1..100; the others lose nothing. Colours are kept at full resolution (JPEG 4:4:4).

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
