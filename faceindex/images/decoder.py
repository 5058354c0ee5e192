"""Decode photos to upright RGB."""

from __future__ import annotations

import io
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from typing import TypeVar

import PIL.Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images.bands import to_array
from faceindex.images.coded import Coded, coded_picture
from faceindex.images.estimate import decode_bytes
from faceindex.images.exif import SWAPS_SIDES, TRANSPOSITIONS
from faceindex.images.formats import is_truncated
from faceindex.images.frames import note_on_frames
from faceindex.images.jpeg_end import EOI, ends_in_grey, lacks_end, lacks_rows, rebuild_jpeg
from faceindex.images.libraw import RawImageFile
from faceindex.images.limits import reserve
from faceindex.images.openers import opener_for
from faceindex.images.repair import note_on_checksums, repaired
from faceindex.images.rgb import to_rgb
from faceindex.images.scans import MOST_SCANS, has_too_many_scans
from faceindex.types import Image

__all__ = ["DEFAULT_MAX_PIXELS", "DecodedImage", "decode", "probe"]

DEFAULT_MAX_PIXELS = 300_000_000
"""Default size in pixels of the largest photo to decode.

This is one and a half times the largest size of today's cameras (phones with sensors of 200 megapixels,
16,320 x 12,240) and of common panoramas, and a third of a 30,000 x 30,000 decompression bomb. Pillow uses
4 bytes per pixel and the array 3, so a photo of this size takes 2.1 GB at full scale, or 130 MB as a JPEG at
``shrink=4``: call `probe` before decoding. Pillow itself rejects a WebP above twice its
``Image.MAX_IMAGE_PIXELS`` (179 megapixels). That limit cannot be avoided; the error is the same.
"""

_Result = TypeVar("_Result")

# Parts of the messages that Pillow, libtiff, libheif and libavif raise for truncated data.
_TRUNCATION_MESSAGES = (
    "truncat",
    "end of file",
    "unexpected end",
    "not enough image data",
    "buffer is not large enough",
    "no end marker",
    "rows are missing",
)

_NO_END = "it has no end marker"
_BYTES = re.compile(r"\bb(['\"])(.*?)\1")

_MODES_TO_REDUCE = frozenset({"L", "RGB", "CMYK", "YCbCr"})


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded photo.

    Attributes
    ----------
    image : (h, w, 3) uint8
        RGB, upright, C-contiguous, writable. The scale may be reduced.
    width, height : int
        Size in pixels of the upright photo at full resolution.
    note : str or None
        What is special about the file, although its pixels were decoded: damaged metadata that were left out,
        or further pages and frames.
    """

    image: Image
    width: int
    height: int
    note: str | None = None

    @property
    def scale(self) -> tuple[float, float]:
        """Decoded pixels per pixel of the photo at full resolution, along x and y.

        Divide coordinates on the decoded image by it to get full-size coordinates. If a side is not a
        multiple of the reduction, the last decoded pixel covers the remainder, and coordinates are off by
        less than one decoded pixel there.
        """
        height, width = self.image.shape[:2]
        return width / self.width, height / self.height


def decode(
    data: bytes, path: str | PathLike[str], *, shrink: int = 1, max_pixels: int = DEFAULT_MAX_PIXELS
) -> DecodedImage:
    """Decode the bytes of a photo to upright RGB.

    The EXIF orientation is applied, that of XMP is not. Grey, palette, CMYK, CIELAB and images of 16 bits or
    more are converted to 8-bit RGB as `faceindex.images.rgb.to_rgb` describes. Colour profiles are ignored:
    values are read as sRGB, as in the training of the networks. Of several frames or pages, the first is
    decoded.

    If only metadata of the file are damaged, its pixels are decoded nevertheless, with a note.

    Several threads can decode at once; the codecs release the GIL.

    Parameters
    ----------
    data : bytes
        The whole file, as `read` returns it.
    path : path-like
        File of the photo; used in error messages.
    shrink : {1, 2, 4, 8}
        Divide both sides by this, rounding up. JPEGs are decoded at the reduced scale, in a fraction of
        the time; other formats are decoded at full scale and averaged over squares of pixels.
    max_pixels : int
        Larger photos raise an error before any pixel is decoded.

    Returns
    -------
    DecodedImage

    Raises
    ------
    ImageError
        ``EMPTY``, ``NOT_AN_IMAGE``, ``UNSUPPORTED``, ``TRUNCATED``, ``CORRUPT``, ``TOO_LARGE``, ``MEMORY`` or
        ``TOO_SLOW``.
    UsageError
        If `shrink` has another value.
    """
    decoded, note = decode_with(data, path, shrink, max_pixels, _upright)
    notes = [part for part in (note or note_on_checksums(data), note_on_frames(data)) if part is not None]
    return replace(decoded, note=" ".join(notes)) if notes else decoded


def decode_with(
    data: bytes,
    path: str | PathLike[str],
    shrink: int,
    max_pixels: int,
    use: Callable[[PIL.Image.Image, PIL.Image.Transpose | None, int, int], _Result],
) -> tuple[_Result, str | None]:
    """Decode a photo without turning it upright, and return what a function computes from it.

    Parameters
    ----------
    data, path, shrink, max_pixels
        As in `decode`.
    use : callable
        Called with the RGB image as stored, the transposition that turns it upright (None if it is upright),
        and width and height of the upright photo at full resolution.

    Returns
    -------
    result : object
        What the function returned.
    note : str or None
        What was left out, because it was damaged.

    Raises
    ------
    ImageError, UsageError
        As in `decode`.
    """
    if shrink not in (1, 2, 4, 8):
        raise UsageError(f"`shrink` is {shrink}.", "Choose 1, 2, 4 or 8.")
    coded = coded_picture(data, path)
    image_format = coded.format
    opener = opener_for(image_format, path)

    def work(data: bytes, is_copy: bool) -> _Result:
        if image_format == "JPEG" and not is_copy and lacks_end(data):
            raise ValueError(_NO_END)
        opened = opener(io.BytesIO(data))
        width, height = _upright_size(opened, coded, data)
        check_size(width, height, path, max_pixels)
        if image_format == "JPEG" and has_too_many_scans(data):
            raise _too_many_scans(path)
        with reserve(coded.beside + decode_bytes(opened, data, shrink), path):
            done = _shrink_in_codec(opened, shrink)
            _load(opened)
            if image_format == "JPEG" and (is_copy or ends_in_grey(opened)):
                _check_rows(data, but_the_last=not is_copy)
            # Read after `load`, in which Pillow turns TIFFs upright and removes the tag.
            transposition = TRANSPOSITIONS.get(coded.orientation_of(opened, data))
            image: PIL.Image.Image = opened
            del opened  # the pixels are freed as soon as they are converted
            if shrink > done and image.mode in _MODES_TO_REDUCE and "transparency" not in image.info:
                image, done = image.reduce(shrink // done), shrink
            image = to_rgb(image, shrink // done)
            return use(image, transposition, width, height)

    result, note = _despite_damage(work, coded, path)
    return result, " ".join(filter(None, (coded.note, note))) or None


def _despite_damage(
    work: Callable[[bytes, bool], _Result], coded: Coded, path: str | PathLike[str]
) -> tuple[_Result, str | None]:
    """Work on a file; if this fails, on a copy without metadata, with a note.

    Parameters
    ----------
    work : callable
        Called with bytes, and whether they are such a copy.
    coded : Coded
    path : path-like
        For error messages.
    """
    try:
        return work(coded.data, False), None
    except ImageError:
        raise
    except Exception as error:
        failure = _as_image_error(error, coded, path)
        failure.__cause__ = error
        traceback.clear_frames(error.__traceback__)  # they hold the pixels
        cause = _text_of(error)
    if failure.reason not in (Reason.TOO_LARGE, Reason.FAILED):
        for copy in repaired(coded.data, coded.format):
            result = _attempt(work, copy)
            if result is not None:
                return result[0], _note_on_damage(cause)
    raise failure


def _note_on_damage(cause: str) -> str:
    if cause == _NO_END:
        return "Its end marker is missing; its pixels are complete."
    return "Its metadata are damaged or too large; it was read without them."


def _attempt(work: Callable[[bytes, bool], _Result], copy: bytes) -> tuple[_Result] | None:
    """Work on a copy; None if it cannot be decoded either, as the first error describes the file."""
    try:
        return (work(copy, True),)
    except ImageError:  # for example too many pixels
        raise
    except Exception:
        return None


def _check_rows(data: bytes, *, but_the_last: bool) -> None:
    """Raise an error if rows of a JPEG are missing: the codec fills them with grey.

    `but_the_last` is for files with an end marker: in some, a few blocks at the lower right are missing.
    """
    stream = rebuild_jpeg(data, keep_exif=False)
    if stream is None and but_the_last:  # scans are missing, and perhaps rows of the last one, too
        stream = data[: data.rfind(EOI)]
    row = None if stream is None else lacks_rows(stream, but_the_last=but_the_last)
    if row is not None:
        raise ValueError(f"from row {row:,} on, rows are missing")


def probe(
    data: bytes, path: str | PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[int, int, str]:
    """Read the size and format of a photo from its header, without decoding pixels.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : path-like
        File of the photo; used in error messages.
    max_pixels : int
        Larger photos raise an error.

    Returns
    -------
    width, height : int
        Size in pixels of the upright photo at full resolution.
    image_format : str
        As returned by `sniff`.

    Raises
    ------
    ImageError
        As in `decode`, for problems that the header shows.
    """
    coded = coded_picture(data, path)
    opener = opener_for(coded.format, path)

    def size_of(data: bytes, _: bool) -> tuple[int, int]:
        return _upright_size(opener(io.BytesIO(data)), coded, data)

    (width, height), _ = _despite_damage(size_of, coded, path)
    check_size(width, height, path, max_pixels)
    return width, height, "RAW" if coded.beside else coded.format


def _upright(
    image: PIL.Image.Image, transposition: PIL.Image.Transpose | None, width: int, height: int
) -> DecodedImage:
    return DecodedImage(to_array(image, transposition), width, height)


def _upright_size(opened: ImageFile, coded: Coded, data: bytes) -> tuple[int, int]:
    """Return width and height of the upright photo, for a file that is not loaded yet."""
    width, height = opened.size
    if isinstance(opened, TiffImageFile):
        # In some versions of Pillow, `size` is already upright. ImageWidth and ImageLength never are.
        width, height = opened.tag_v2[256], opened.tag_v2[257]
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height} pixels")
    if coded.orientation_of(opened, data) in SWAPS_SIDES:
        width, height = height, width
    return width, height


def check_size(width: int, height: int, path: str | PathLike[str], max_pixels: int) -> None:
    """Raise an `ImageError` if a photo has more than `max_pixels`."""
    if width * height > max_pixels:
        raise ImageError(
            path,
            Reason.TOO_LARGE,
            f"{width:,} x {height:,} pixels are more than the limit of {max_pixels / 1e6:,.0f} megapixels.",
            "Make a smaller copy, and use that.",
        )


def _too_many_scans(path: str | PathLike[str]) -> ImageError:
    return ImageError(
        path,
        Reason.TOO_SLOW,
        f"the JPEG has more than {MOST_SCANS} scans, which would take minutes to decode.",
        "If it is a photo, open it in a photo editor and save it again; otherwise leave it out.",
    )


def _shrink_in_codec(opened: ImageFile, shrink: int) -> int:
    """Set the codec to reduce the image by up to `shrink`, if it can; return the factor by which it will."""
    if shrink > 1 and isinstance(opened, RawImageFile):
        opened.halve()
        return 2
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
            # Some versions of Pillow check their own limit when they allocate the pixels of a TIFF, but not
            # if the pixels are already allocated.
            opened.im = PIL.Image.new(opened.mode, size).im
    opened.load()


def _text_of(error: Exception) -> str:
    """Return the message of a codec as text: without the ``b''`` of Python's bytes."""
    return " ".join(_BYTES.sub(r"\2", str(error)).split())


def _as_image_error(error: Exception, coded: Coded, path: str | PathLike[str]) -> ImageError:
    """Convert an exception of a codec."""
    kind = coded.kind
    text = _text_of(error)
    details = f" ({text.rstrip('.')})" if text else ""
    if isinstance(error, PIL.Image.DecompressionBombError):
        return ImageError(
            path,
            Reason.TOO_LARGE,
            f"the {kind} is too large{details}.",
            "Scale it down, or leave it out.",
        )
    if isinstance(error, MemoryError):  # although the estimate is within the limit
        return ImageError(
            path,
            Reason.FAILED,
            f"the {kind} does not fit into the memory that is left.",
            "Close other programs, or raise the limit of memory, and run it again.",
        )
    if any(part in text.lower() for part in _TRUNCATION_MESSAGES) or is_truncated(coded.data, coded.format):
        return ImageError(
            path,
            Reason.TRUNCATED,
            f"the {kind} is cut short{details}.",
            "Copy it again from its source, or open it in a photo editor and save it again.",
        )
    return ImageError(
        path,
        Reason.CORRUPT,
        f"the {kind} is damaged or of an unsupported kind{details}.",
        "Copy it again from its source, or open it in a photo editor and save it again.",
    )
