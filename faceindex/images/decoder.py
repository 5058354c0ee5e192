"""Decode photos to upright RGB."""

from __future__ import annotations

import io
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from os import PathLike
from typing import TypeAlias, TypeVar

import numpy as np
import PIL.Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images.formats import is_cut_short, recognise_format
from faceindex.images.rgb import to_rgb
from faceindex.types import Image

__all__ = ["DEFAULT_MAX_PIXELS", "DecodedImage", "decode", "probe"]

DEFAULT_MAX_PIXELS = 300_000_000
"""Largest photo that is decoded, in pixels.

Half as much again as the largest that cameras make today (phones with sensors of 200 megapixels,
16,320 x 12,240) or that is commonly stitched, and a third of a 30,000 x 30,000 bomb. Pillow holds
4 bytes per pixel and the array 3, so one such photo takes 2.1 GB at full scale, and as a JPEG at
``shrink=4`` 130 MB: whoever decodes should look at `probe` first. Pillow itself refuses a WebP above
twice its ``Image.MAX_IMAGE_PIXELS`` (179 megapixels), which cannot be avoided and ends in the same error.
"""

_Opener: TypeAlias = Callable[[io.BytesIO], ImageFile]
_Result = TypeVar("_Result")

# The classes are called directly, not through PIL.Image.open, for two reasons. That function tries
# every registered format (some run external programs), while here the content has already said which
# one it is. And it applies Image.MAX_IMAGE_PIXELS, a global of the process with a warning from
# 89 megapixels and an error from 179, which is lower than our own limit and not ours to change.
_OPENERS: dict[str, _Opener] = {
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "JPEG": JpegImageFile,  # of an MPO: its first picture
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "WEBP": WebPImageFile,
}

_ORIENTATION = 0x0112  # Exif 2.32, section 4.6.4
_TRANSPOSE = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = frozenset({5, 6, 7, 8})

# What codecs say when the data ends too early: Pillow, libtiff by Pillow, libheif, libavif.
_CUT_SHORT = (
    "truncat",
    "end of file",
    "unexpected end",
    "not enough image data",
    "buffer is not large enough",
)

_MODES_TO_REDUCE = frozenset({"L", "RGB", "CMYK", "YCbCr"})
_BAND_PIXELS = 1 << 18
_MAPPED_BYTES = 1 << 17  # as malloc's threshold is at first; it rises with what is freed


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded photo.

    Attributes
    ----------
    image : (h, w, 3) uint8
        RGB, upright, C-contiguous, writable; perhaps at a reduced scale.
    width, height : int
        Size in pixels of the upright photo at full resolution.
    """

    image: Image
    width: int
    height: int

    @property
    def scale(self) -> tuple[float, float]:
        """Decoded pixels per pixel of the full photo, along x and y; divide boxes by it.

        Where a side is no multiple of the reduction, the last decoded pixel covers what is left of
        it, and the quotient of the sides used here is off by less than one decoded pixel there.
        """
        height, width = self.image.shape[:2]
        return width / self.width, height / self.height


def decode(
    data: bytes, path: str | PathLike[str], *, shrink: int = 1, max_pixels: int = DEFAULT_MAX_PIXELS
) -> DecodedImage:
    """Decode the bytes of a photo to upright RGB.

    EXIF orientation is applied. Grey, palette, CMYK, CIELAB and 16-bit or wider images become 8-bit
    RGB (`faceindex.images.rgb.to_rgb` says how). Colour profiles are not applied: the numbers are taken
    as sRGB, as the networks' training photos were. Of several frames or pages the first is decoded.

    Safe to call from several threads at once, and worth it: the codecs release the GIL.

    Parameters
    ----------
    data : bytes
        The whole file, as `read` returns it.
    path : path-like
        Where it comes from; only for messages.
    shrink : {1, 2, 4, 8}
        Divide both sides by this, rounding up. JPEGs are decoded at that scale, which costs a
        fraction of the time; others are decoded in full and averaged over squares of pixels.
    max_pixels : int
        Refuse larger photos before anything is decoded.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ImageError
        ``EMPTY``, ``NOT_AN_IMAGE``, ``UNSUPPORTED``, ``TRUNCATED``, ``CORRUPT`` or ``TOO_LARGE``.
    UsageError
        If `shrink` is none of the four.
    """
    return decoded(data, path, shrink, max_pixels, _upright)


def decoded(
    data: bytes,
    path: str | PathLike[str],
    shrink: int,
    max_pixels: int,
    use: Callable[[PIL.Image.Image, PIL.Image.Transpose | None, int, int], _Result],
) -> _Result:
    """What `use` makes of a photo's RGB pixels as they are stored, of what turns them upright, and of the
    upright photo's full width and height. Parameters and errors are those of `decode`."""
    if shrink not in (1, 2, 4, 8):
        raise UsageError(f"shrink={shrink} is not possible.", "Use 1, 2, 4 or 8.")
    image_format = recognise_format(data, path)
    opener = _opener(image_format, path)
    try:
        opened = opener(io.BytesIO(data))
        width, height = _upright_size(opened, data)
        _check_size(width, height, path, max_pixels)
        got = _draft(opened, shrink)
        _load(opened)
        # Only now: Pillow itself has turned TIFFs in `load`, and taken the tag away.
        method = _TRANSPOSE.get(_orientation(opened, data))
        image: PIL.Image.Image = opened
        if shrink > got and image.mode in _MODES_TO_REDUCE and "transparency" not in image.info:
            image, got = image.reduce(shrink // got), shrink
        image = to_rgb(image)
        if shrink > got:
            image = image.reduce(shrink // got)
        return use(image, method, width, height)
    except ImageError:
        raise
    except Exception as error:
        raise _failure(error, data, image_format, path) from error


def probe(
    data: bytes, path: str | PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[int, int, str]:
    """Size and format of a photo from its header, without decoding pixels.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : path-like
        Where it comes from; only for messages.
    max_pixels : int
        Refuse larger photos.

    Returns
    -------
    width, height : int
        Of the upright photo at full resolution.
    image_format : str
        As `sniff` names it.

    Raises
    ------
    ImageError
        As from `decode`, as far as the header shows.
    """
    image_format = recognise_format(data, path)
    opener = _opener(image_format, path)
    try:
        width, height = _upright_size(opener(io.BytesIO(data)), data)
    except Exception as error:
        raise _failure(error, data, image_format, path) from error
    _check_size(width, height, path, max_pixels)
    return width, height, image_format


def _upright(
    image: PIL.Image.Image, method: PIL.Image.Transpose | None, width: int, height: int
) -> DecodedImage:
    if method is not None:
        image = image.transpose(method)
    return DecodedImage(_to_array(image), width, height)


def _opener(image_format: str, path: str | PathLike[str]) -> _Opener:
    opener = _OPENERS.get(image_format) or _optional_opener(image_format)
    if opener is None:
        raise ImageError(
            path,
            Reason.UNSUPPORTED,
            f"{'HEIC' if image_format == 'HEIF' else image_format} needs a decoder that is not installed.",
            'Run `pip install "faceindex[heic]"`.',
        )
    return opener


@cache
def _optional_opener(image_format: str) -> _Opener | None:
    """The class for HEIF or AVIF; importing it loads large codec libraries, hence only at first use."""
    if image_format == "AVIF":
        try:  # since Pillow 11.3
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
    # pillow-heif reads AVIF before its version 1.0 only.
    return getattr(pillow_heif, "HeifImageFile" if image_format == "HEIF" else "AvifImageFile", None)


def _upright_size(opened: ImageFile, data: bytes) -> tuple[int, int]:
    """Width and height after orientation, of a file that is not loaded yet."""
    width, height = opened.size
    if isinstance(opened, TiffImageFile):
        # Whether `size` is upright already depends on Pillow's version; ImageWidth and -Length are not.
        width, height = opened.tag_v2[256], opened.tag_v2[257]
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height} pixels")
    if _orientation(opened, data) in _SWAPS_SIDES:
        width, height = height, width
    return width, height


def _orientation(opened: ImageFile, data: bytes) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none, or none that can be read."""
    try:
        if isinstance(opened, PngImageFile) and "exif" not in opened.info:
            # PngImageFile.getexif would decode the pixels to get at what follows them.
            trailing = _png_exif(data)
            if trailing is not None:
                opened.info["exif"] = trailing
            exif = PIL.Image.Image.getexif(opened)
        else:
            exif = opened.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        return orientation if orientation in _TRANSPOSE else 1
    except Exception:
        # Damaged metadata is no reason to refuse a photo whose pixels are fine.
        return 1


def _png_exif(data: bytes) -> bytes | None:
    """The eXIf chunk of a PNG, wherever it is."""
    position = 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"eXIf":
            return b"Exif\0\0" + data[position + 8 : position + 8 + length]
        position += length + 12
    return None


def _check_size(width: int, height: int, path: str | PathLike[str], max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageError(
            path,
            Reason.TOO_LARGE,
            f"{width:,} x {height:,} pixels are more than the limit of {max_pixels / 1e6:,.0f} megapixels.",
            "Save a smaller copy and index that.",
        )


def _draft(opened: ImageFile, shrink: int) -> int:
    """Let the JPEG codec reduce by up to `shrink`; return by how much it will."""
    if shrink == 1 or not isinstance(opened, JpegImageFile):
        return 1
    width, height = opened.size
    drafted = opened.draft(None, (max(1, width // shrink), max(1, height // shrink)))
    if drafted is None:
        return 1
    return round(width / drafted[1][2])


def _load(opened: ImageFile) -> None:
    if isinstance(opened, TiffImageFile):
        limit = PIL.Image.MAX_IMAGE_PIXELS
        size = getattr(opened, "_tile_size", None)
        if limit is not None and size is not None and size[0] * size[1] > limit:
            # Some versions of Pillow check their own limit when they allocate a TIFF's pixels; not if
            # they find them allocated.
            opened.im = PIL.Image.new(opened.mode, size).im
    opened.load()


def _to_array(image: PIL.Image.Image) -> Image:
    width, height = image.size
    array = _empty(height, width)
    rows = max(1, _BAND_PIXELS // width)
    if rows >= height:
        array[:] = np.asarray(image)
        return array
    # Band by band: numpy's way through `tobytes` holds three copies of the whole photo for a moment, and
    # at 12 megapixels takes 4 times as long as this, whose bands stay in the processor's cache.
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        array[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return array


def _empty(height: int, width: int) -> Image:
    """Room for a photo: its own pages if it is large.

    Photos live long among the networks' buffers. On malloc's heap each leaves a hole of a size that no other
    photo has; over thousands of photos the heap grows by them.
    """
    size = height * width * 3
    if size >= _MAPPED_BYTES and hasattr(mmap, "MAP_ANONYMOUS"):
        try:
            pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:
            pass  # too many maps, perhaps: Linux has a limit for a process
        else:
            return np.frombuffer(pages, np.uint8).reshape(height, width, 3)
    return np.empty((height, width, 3), np.uint8)


def _failure(error: Exception, data: bytes, image_format: str, path: str | PathLike[str]) -> ImageError:
    """What a codec's exception means."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, (PIL.Image.DecompressionBombError, MemoryError)):
        what = "does not fit into memory" if isinstance(error, MemoryError) else text.rstrip(".")
        return ImageError(
            path,
            Reason.TOO_LARGE,
            f"the {image_format} is too large ({what}).",
            "Scale it down, or leave it out.",
        )
    if any(sign in text.lower() for sign in _CUT_SHORT) or is_cut_short(data, image_format):
        return ImageError(
            path,
            Reason.TRUNCATED,
            f"the {image_format} is cut short ({text}).",
            "Copy it again from where it came, or open it in a photo editor and save it anew.",
        )
    return ImageError(
        path,
        Reason.CORRUPT,
        f"the {image_format} is damaged or of a kind that cannot be decoded ({text}).",
        "Copy it again from where it came, or open it in a photo editor and save it anew.",
    )
