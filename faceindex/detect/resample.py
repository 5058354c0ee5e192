"""Area resampling of many regions of many photos, at a cost that follows the output.

A cascade asks for the same photo again and again: every level of a pyramid, every candidate's
crop. Averaging the pixels under each output pixel anew costs a pass over the photo per level; a
summed-area table (Crow 1984, "Summed-area tables for texture mapping", SIGGRAPH) costs one pass
in all, and then four look-ups per output pixel, whatever lies under it.

The three channels travel in one 64-bit word, 21 bits each, so that a table is built and read once
and not thrice. Sums run over modulo 2^64; that is harmless, because the difference of four corners
is exact as long as the true sum of each channel over the bin fits its 21 bits. Larger bins are
summed in parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from faceindex.types import F32, I64, Image

__all__ = ["SummedAreas"]

_BITS = 21
_MASK = (1 << _BITS) - 1
# The largest side for which side * side pixels of value 255 sum to less than 2^21.
_MAX_SIDE = 90


class SummedAreas:
    """Summed-area tables of a batch of photos.

    Resampling is that of torch's ``interpolate(mode="area")``: output pixel i of m averages input
    pixels floor(i n / m) to ceil((i + 1) n / m) of n, so that bins overlap where n / m is not whole.

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

    def level(self, index: int, shape: tuple[int, int], rows: tuple[int, int], out: F32) -> None:
        """Resample one photo to `shape` and write some rows of the result.

        Parameters
        ----------
        index : int
            Which photo.
        shape : (height, width)
            Size of the whole resampled photo.
        rows : (first, end)
            The rows of it that are wanted.
        out : (end - first, width, 3) float32
            Receives grey levels, 0..255.
        """
        height, width = self._shapes[index]
        table = self._table(index)
        top, bottom = _bins(np.arange(*rows), height, shape[0])
        left, right = _bins(np.arange(shape[1]), width, shape[1])
        out.fill(0)
        for y1, y2 in _parts(top, bottom):
            # Rows first: a row of the table is contiguous, and the second step reads what is in cache.
            band = table[y2]
            band -= table[y1]
            for x1, x2 in _parts(left, right):
                _add(out, band.take(x2, axis=1) - band.take(x1, axis=1))
        out /= ((bottom - top)[:, None] * (right - left)).astype(np.float32)[..., None]

    def crops(self, indices: I64, frames: I64, size: int) -> F32:
        """Cut and resample regions of photos.

        Parameters
        ----------
        indices : (n,) int64
            The photo of each region.
        frames : (n, 4) int64
            ``x1 y1 x2 y2``, x2 and y2 excluded; not empty and inside the photo.
        size : int
            Side of the square that each region is resampled to, in pixels.

        Returns
        -------
        (n, size, size, 3) float32
            Grey levels, 0..255.
        """
        x, y, x_end, y_end = (frames[:, k, None] for k in range(4))
        steps = np.arange(size)
        left, right = _bins(steps, x_end - x, size)
        top, bottom = _bins(steps, y_end - y, size)
        origin = self._offsets[indices][:, None] + x
        pitch = self._pitches[indices][:, None]
        out = np.zeros((len(frames), size, size, 3), np.float32)
        for y1, y2 in _parts(top, bottom):
            above = ((y + y1) * pitch)[:, :, None]
            below = ((y + y2) * pitch)[:, :, None]
            for x1, x2 in _parts(left, right):
                west, east = (origin + x1)[:, None, :], (origin + x2)[:, None, :]
                sums = self._flat.take(below + east)
                sums -= self._flat.take(below + west)
                sums -= self._flat.take(above + east)
                sums += self._flat.take(above + west)
                _add(out, sums)
        out /= ((bottom - top)[:, :, None] * (right - left)[:, None, :]).astype(np.float32)[..., None]
        return out

    def _table(self, index: int) -> NDArray[np.int64]:
        height, width = self._shapes[index]
        flat = self._flat[self._offsets[index] : self._offsets[index + 1]]
        return flat.reshape(height + 1, width + 1)


def _fill(table: NDArray[np.int64], image: Image) -> None:
    table[0] = 0
    table[:, 0] = 0
    packed = table[1:, 1:]
    packed[...] = image[..., 2]
    for channel in (1, 0):
        packed <<= _BITS
        packed |= image[..., channel]
    np.cumsum(packed, axis=1, out=packed)
    # Row by row: four times faster than cumsum along axis 0, which walks down columns.
    for above, row in pairwise(table):
        row += above


def _bins(steps: I64, extent: int | I64, count: int) -> tuple[I64, I64]:
    return steps * extent // count, -(-(steps + 1) * extent // count)


def _parts(start: I64, end: I64) -> Iterator[tuple[I64, I64]]:
    """Split bins that are too long for the bits of a channel; nearly always there is one part."""
    extent = end - start
    parts = max(1, -(-int(extent.max(initial=0)) // _MAX_SIDE))
    for part in range(parts):
        yield start + extent * part // parts, start + extent * (part + 1) // parts


def _add(out: F32, sums: NDArray[np.int64]) -> None:
    for channel in range(3):
        field = sums >> (_BITS * channel)
        field &= _MASK
        out[..., channel] += field
