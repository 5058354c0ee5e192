"""Convert photos in bands of rows, so that no second copy of all pixels is ever in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np
import PIL.Image

from faceindex.types import Image

__all__ = ["bands", "to_array"]

_BAND_PIXELS = 1 << 18  # fits the processor's cache
_MAPPED_BYTES = 1 << 17  # initial mmap threshold of malloc, which raises it when large blocks are freed

_Transpose = PIL.Image.Transpose
_TO_COLUMNS = frozenset(
    {_Transpose.TRANSPOSE, _Transpose.ROTATE_270, _Transpose.TRANSVERSE, _Transpose.ROTATE_90}
)
_BACKWARDS = frozenset(
    {_Transpose.ROTATE_180, _Transpose.FLIP_TOP_BOTTOM, _Transpose.ROTATE_270, _Transpose.TRANSVERSE}
)


def bands(image: PIL.Image.Image, multiple: int = 1) -> Iterator[tuple[int, PIL.Image.Image]]:
    """Yield the first row of each band, and the band; heights are multiples of `multiple`, but the last."""
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width // multiple) * multiple
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(height, top + rows)))


def to_array(image: PIL.Image.Image, transposition: PIL.Image.Transpose | None = None) -> Image:
    """Copy an RGB image to an array, turned upright.

    np.asarray of the whole image goes through ``tobytes``, which briefly holds three copies of the photo and
    takes 4 times as long at 12 megapixels.

    Parameters
    ----------
    image : PIL.Image.Image
        Loaded, of mode ``"RGB"``.
    transposition : Transpose, optional
        None means that it is upright.

    Returns
    -------
    (h, w, 3) uint8
        C-contiguous, writable.
    """
    width, height = image.size
    columns = transposition in _TO_COLUMNS
    array = _empty(width, height) if columns else _empty(height, width)
    if width * height <= _BAND_PIXELS:
        array[:] = np.asarray(image if transposition is None else image.transpose(transposition))
        return array
    for top, band in bands(image):
        bottom = top + band.height
        if transposition is not None:
            band = band.transpose(transposition)
        first, end = (height - bottom, height - top) if transposition in _BACKWARDS else (top, bottom)
        if columns:
            array[:, first:end] = np.asarray(band)
        else:
            array[first:end] = np.asarray(band)
    return array


def _empty(height: int, width: int) -> Image:
    """Allocate an array for a photo; a large one gets memory pages of its own.

    Photos outlive many buffers of the networks. On malloc's heap, each photo would leave a gap of a
    different size when it is freed, and the heap would grow over thousands of photos.
    """
    size = height * width * 3
    if size >= _MAPPED_BYTES and hasattr(mmap, "MAP_ANONYMOUS"):
        try:
            pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:
            pass  # for example too many maps: Linux limits their number per process
        else:
            return np.frombuffer(pages, np.uint8).reshape(height, width, 3)
    return np.empty((height, width, 3), np.uint8)
