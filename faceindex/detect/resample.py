"""Area resampling of many regions of many images, at a cost that depends on the output only.

A cascade resamples the same image many times: for every level of a pyramid and for the crop of every
candidate. Averaging the pixels under each output pixel costs a pass over the image per level. A
summed-area table (Crow 1984, "Summed-area tables for texture mapping", SIGGRAPH) costs one pass in
all, and then four look-ups per output pixel, whatever its size.

The three channels share one 64-bit word, 21 bits each, so that a table is built and read once instead
of three times. Sums wrap around modulo 2^64. This is harmless, because the difference of four corners
is exact as long as the sum of each channel over the bin fits into 21 bits. Larger bins are summed in
parts.

The loops are compiled. In numpy they take four times as long, and several threads wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faceindex.compiled import compiled
from faceindex.types import F32, I64, Image

__all__ = ["SummedAreas"]

_BITS = 21
_MASK = (1 << _BITS) - 1
# Grey levels x are returned as (x - 127.5) / 128, the input of the networks; this saves a pass over them.
_CENTRE, _SCALE = np.float32(127.5 / 128), np.float32(1 / 128)
# The largest side for which side * side pixels of value 255 sum to less than 2^21.
_MAX_SIDE = 90


class SummedAreas:
    """Summed-area tables of a batch of images.

    Resampling equals torch's ``interpolate(mode="area")``: output pixel i of m averages input pixels
    floor(i n / m) to ceil((i + 1) n / m) of n, so bins overlap if n / m is not a whole number.

    Parameters
    ----------
    images : sequence of (h, w, 3) uint8
        Sizes may differ. Tables take 8 bytes per pixel.
    """

    def __init__(self, images: Sequence[Image]) -> None:
        self._shapes = [image.shape[:2] for image in images]
        sizes = np.array([(height + 1) * (width + 1) for height, width in self._shapes], np.int64)
        self._offsets: I64 = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        self._pitches: I64 = np.array([width + 1 for _, width in self._shapes], np.int64)
        self._flat: NDArray[np.int64] = np.empty(int(self._offsets[-1]), np.int64)
        for index, image in enumerate(images):
            _fill(self._table(index), image)

    def level(
        self,
        index: int,
        shape: tuple[int, int],
        start: tuple[int, int],
        out: F32,
    ) -> None:
        """Resample one image to `shape` and write a part of the result.

        Parameters
        ----------
        index : int
            Position of the image in the batch.
        shape : (height, width)
            Size of the whole resampled image.
        start : (row, column)
            Where the part begins.
        out : (rows, columns, 3) float32
            Receives the part, with grey levels x as ``(x - 127.5) / 128``.
        """
        _level(self._table(index), shape, *start, out)

    def crops(self, indices: I64, frames: I64, size: int) -> F32:
        """Cut regions out of the images and resample them.

        Parameters
        ----------
        indices : (n,) int64
            Position in the batch of the image of each region.
        frames : (n, 4) int64
            ``x1 y1 x2 y2``, x2 and y2 excluded; not empty and inside the image.
        size : int
            Side in pixels of the squares to which the regions are resampled.

        Returns
        -------
        (n, size, size, 3) float32
            Grey levels x as ``(x - 127.5) / 128``.
        """
        out = np.empty((len(frames), size, size, 3), np.float32)
        _crops(self._flat, self._offsets[indices], self._pitches[indices], frames, out)
        return out

    def _table(self, index: int) -> NDArray[np.int64]:
        height, width = self._shapes[index]
        flat = self._flat[self._offsets[index] : self._offsets[index + 1]]
        return flat.reshape(height + 1, width + 1)


@compiled(nogil=True)
def _fill(table, image):  # type: ignore[no-untyped-def]
    """Fill the summed-area table of an image."""
    table[0] = 0
    for y in range(image.shape[0]):
        table[y + 1, 0] = 0
        row = np.int64(0)
        for x in range(image.shape[1]):
            red, green, blue = image[y, x]
            row += np.int64(red) | np.int64(green) << _BITS | np.int64(blue) << 2 * _BITS
            table[y + 1, x + 1] = table[y, x + 1] + row


@compiled(nogil=True)
def _level(table, shape, row, column, out):  # type: ignore[no-untyped-def]
    """Resample a part of an image; see `SummedAreas.level`."""
    flat, pitch = table.ravel(), table.shape[1]
    lefts, rights, widths, fit = _bins(column, out.shape[1], pitch - 1, shape[1])
    tops, bottoms, heights, fit_too = _bins(row, out.shape[0], table.shape[0] - 1, shape[0])
    for y in range(out.shape[0]):
        if fit and fit_too:
            _row(flat, 0, pitch, tops[y], bottoms[y], heights[y], lefts, rights, widths, out[y])
        else:
            _row_in_parts(flat, 0, pitch, tops[y], bottoms[y], heights[y], lefts, rights, widths, out[y])


@compiled(nogil=True)
def _crops(flat, offsets, pitches, frames, out):  # type: ignore[no-untyped-def]
    """Resample regions of images; see `SummedAreas.crops`."""
    size = out.shape[1]
    for i in range(len(frames)):
        x1, y1, x2, y2 = frames[i]
        pitch = pitches[i]
        lefts, rights, widths, fit = _bins(0, size, x2 - x1, size)
        tops, bottoms, heights, fit_too = _bins(0, size, y2 - y1, size)
        at = offsets[i] + y1 * pitch + x1
        for y in range(size):
            if fit and fit_too:
                _row(flat, at, pitch, tops[y], bottoms[y], heights[y], lefts, rights, widths, out[i, y])
            else:
                _row_in_parts(
                    flat, at, pitch, tops[y], bottoms[y], heights[y], lefts, rights, widths, out[i, y]
                )


@compiled(nogil=True)
def _bins(first, number, extent, count):  # type: ignore[no-untyped-def]
    """Divide `extent` pixels into `count` bins and return `number` of them, starting with the bin `first`.

    Returns where they start and end, one over their lengths, and whether none is longer than `_MAX_SIDE`.
    """
    # Unsigned, so that indexing needs no check for negative numbers.
    starts, ends = np.empty(number, np.uint32), np.empty(number, np.uint32)
    inverses = np.empty(number, np.float32)
    fit = True
    for i in range(number):
        starts[i] = (first + i) * extent // count
        ends[i] = ((first + i + 1) * extent + count - 1) // count
        inverses[i] = np.float32(1) / np.float32(ends[i] - starts[i])
        fit &= ends[i] - starts[i] <= _MAX_SIDE
    return starts, ends, inverses, fit


@compiled(nogil=True)
def _row(flat, at, pitch, top, bottom, height, lefts, rights, widths, out):  # type: ignore[no-untyped-def]
    """Write one row of output: means over rows ``top:bottom`` of the image whose table begins at `at`."""
    above, below = np.uint64(at + top * pitch), np.uint64(at + bottom * pitch)
    for x in range(len(lefts)):
        left, right = lefts[x], rights[x]
        word = flat[below + right] - flat[below + left] - flat[above + right] + flat[above + left]
        weight = widths[x] * height * _SCALE
        out[x, 0] = np.float32(np.int32(word & _MASK)) * weight - _CENTRE
        out[x, 1] = np.float32(np.int32(word >> _BITS & _MASK)) * weight - _CENTRE
        out[x, 2] = np.float32(np.int32(word >> 2 * _BITS & _MASK)) * weight - _CENTRE


@compiled(nogil=True)
def _row_in_parts(flat, at, pitch, top, bottom, height, lefts, rights, widths, out):  # type: ignore[no-untyped-def]
    """Like `_row`, for bins with a side longer than `_MAX_SIDE`."""
    for x in range(len(lefts)):
        out[x] = 0
        for y in range(top, bottom, _MAX_SIDE):
            above, below = at + y * pitch, at + min(y + _MAX_SIDE, bottom) * pitch
            for left in range(lefts[x], rights[x], _MAX_SIDE):
                right = min(left + _MAX_SIDE, rights[x])
                word = flat[below + right] - flat[below + left] - flat[above + right] + flat[above + left]
                for channel in range(3):
                    out[x, channel] += np.float32(word >> channel * _BITS & _MASK)
        for channel in range(3):
            out[x, channel] = out[x, channel] * (widths[x] * height * _SCALE) - _CENTRE
