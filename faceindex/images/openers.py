"""The Pillow class that opens each format, and what is missing where a codec is not installed."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from functools import cache
from os import PathLike
from typing import TypeAlias

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from faceindex.errors import ImageError, Reason
from faceindex.images.jxl import JxlImageFile
from faceindex.images.libraw import RawImageFile
from faceindex.images.libtiff import silence_libtiff

__all__ = ["opener_for", "optional_opener"]

_Opener: TypeAlias = Callable[[io.BytesIO], ImageFile]

# The classes are called directly instead of PIL.Image.open, for two reasons. PIL.Image.open tries every
# registered format (some run external programs), although the format is already known here. And it applies
# Image.MAX_IMAGE_PIXELS, a global of the process with a warning above 89 megapixels and an error above 179.
# This is lower than the limit here, and other code in the process may rely on it.
_OPENERS: dict[str, _Opener] = {
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "JPEG": JpegImageFile,  # also the first picture of an MPO
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "WEBP": WebPImageFile,
}

# Formats of the extras: the library, and the class that uses it.
_EXTRAS: dict[str, tuple[str, _Opener]] = {
    "JXL": ("pillow_jxl", JxlImageFile),
    "RAW": ("rawpy", RawImageFile),
}


def opener_for(image_format: str, path: str | PathLike[str]) -> _Opener:
    """Return the Pillow class that opens a format.

    Raises
    ------
    ImageError
        ``UNSUPPORTED``, if the decoder is not installed.
    """
    if image_format == "TIFF":
        silence_libtiff()
    opener = _OPENERS.get(image_format) or optional_opener(image_format)
    if opener is None:
        raise ImageError(path, Reason.UNSUPPORTED, *_MISSING[image_format])
    return opener


# What is wrong without a decoder, and what to do.
_MISSING = {
    "AVIF": ("an AVIF file, which this Pillow cannot decode.", "Run `pip install --upgrade pillow`."),
    "HEIF": ("a HEIC file, but pillow-heif cannot be loaded.", "Run `pip install --upgrade pillow-heif`."),
    "JXL": ("a JPEG XL file; its decoder is not installed.", 'Run `pip install "faceindex[jxl]"`.'),
    "RAW": (
        "a RAW file without a full-size preview; LibRaw, which decodes it, is not installed.",
        'Run `pip install "faceindex[raw]"`.',
    ),
}


@cache
def optional_opener(image_format: str) -> _Opener | None:
    """Return the class for HEIF, AVIF, JXL or RAW; None if its codec is not installed.

    The codecs are large libraries, so they are imported at first use.
    """
    if image_format in _EXTRAS:
        library, opener = _EXTRAS[image_format]
        try:
            importlib.import_module(library)
        except ImportError:
            return None
        return opener
    if image_format == "AVIF":
        try:  # Pillow 11.3 or later
            from PIL import AvifImagePlugin
        except ImportError:
            pass
        else:
            if AvifImagePlugin.SUPPORTED:
                return AvifImagePlugin.AvifImageFile
    try:
        import pillow_heif
    except ImportError:
        return None
    # Only versions of pillow-heif before 1.0 read AVIF.
    return getattr(pillow_heif, "HeifImageFile" if image_format == "HEIF" else "AvifImageFile", None)
