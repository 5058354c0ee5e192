"""Read EXIF data and the orientation of a photo, without decoding its pixels.

Only EXIF, the tag Orientation of TIFF, and the rotation that HEIC and AVIF apply themselves turn a photo. XMP
has a property of the same name, and Pillow turns photos by it if EXIF has none. Browsers and
libvips do not: programs that turn the pixels upright and remove the EXIF tag may leave it behind.
"""

from __future__ import annotations

import zlib

import PIL.Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile

__all__ = ["ORIENTATION", "SWAPS_SIDES", "TRANSPOSITIONS", "XMP_KEYS", "exif_orientation", "read_exif"]

ORIENTATION = 0x0112
"""The tag of the orientation (Exif 2.32, section 4.6.4)."""

XMP_KEYS = ("xmp", "XML:com.adobe.xmp")
"""The keys of `PIL.Image.Image.info` from which Pillow reads an orientation, beside EXIF."""

TRANSPOSITIONS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
"""The transposition that turns a photo upright, for each orientation but 1."""

SWAPS_SIDES = frozenset({5, 6, 7, 8})
"""Orientations of photos that are stored on their side."""


def exif_orientation(opened: ImageFile, data: bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if there is none or it cannot be read."""
    try:
        orientation: int = read_exif(opened, data).get(ORIENTATION, 1)
        return orientation if orientation in TRANSPOSITIONS else 1
    except Exception:
        # Damaged metadata must not prevent decoding of intact pixels.
        return 1


def read_exif(opened: ImageFile, data: bytes) -> PIL.Image.Exif:
    """Return the EXIF data of a file without decoding its pixels; damaged data raise any exception.

    Pillow takes the orientation of XMP if EXIF has none. Cameras and viewers do not: some editors turn the
    pixels upright and leave it behind.
    """
    for key in XMP_KEYS:
        opened.info.pop(key, None)
    if not isinstance(opened, PngImageFile):
        return opened.getexif()
    if "exif" not in opened.info:
        # PngImageFile.getexif decodes the pixels to reach an eXIf chunk behind them.
        trailing = _png_exif(data)
        if trailing is not None:
            opened.info["exif"] = trailing
    return PIL.Image.Image.getexif(opened)


def _png_exif(data: bytes) -> bytes | None:
    """Return the eXIf chunk of a PNG, which may be before or behind the pixels; None if there is none."""
    position = 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"eXIf":
            end = position + 8 + length
            intact = zlib.crc32(data[position + 4 : end]) == int.from_bytes(data[end : end + 4], "big")
            return b"Exif\0\0" + data[position + 8 : end] if intact else None
        position += length + 12
    return None
