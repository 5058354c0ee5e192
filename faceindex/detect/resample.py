"""Area resampling of many regions of many photos, at a cost that follows the output.

A cascade asks for the same photo again and again: every level of a pyramid, every candidate's
crop. Averaging the pixels under each output pixel anew costs a pass over the photo per level; a
summed-area table (Crow 1984, "Summed-area tables for texture mapping", SIGGRAPH) costs one pass
in all, and then four look-ups per output pixel, whatever lies under it.

The three channels travel in one 64-bit word, 16 bits each, so that a table is built and read once
and not thrice, and so that a view of the word as four numbers takes them apart again. Sums run over
modulo 2^64; that is harmless, because the difference of four corners is exact as long as the true sum
of each channel over the bin fits its 16 bits. Larger bins are summed in parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from faceindex.types import F32, I64, Image

__all__ = ["SummedAreas"]

# The largest side for which side * side pixels of value 255 sum to less than 2^16.
_MAX_SIDE = 16


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

    def level(
        self,
        index: int,
        shape: tuple[int, int],
        rows: tuple[int, int],
        columns: tuple[int, int],
        out: F32,
    ) -> None:
        """Resample one photo to `shape` and write a part of the result.

        Parameters
        ----------
        index : int
            Which photo.
        shape : (height, width)
            Size of the whole resampled photo.
        rows, columns : (first, end)
            The part of it that is wanted.
        out : (end - first of rows, end - first of columns, 3) float32
            Receives grey levels, 0..255.
        """
        height, width = self._shapes[index]
        table = self._table(index)
        top, bottom = _bins(np.arange(*rows), height, shape[0])
        left, right = _bins(np.arange(*columns), width, shape[1])
        west, east = int(left[0]), int(right[-1]) + 1
        left, right = left - west, right - west

        def sums() -> Iterator[NDArray[np.int64]]:
            for y1, y2 in _parts(top, bottom):
                # Rows first: a row of the table is contiguous, and the second step reads what is in cache.
                band = table[y2, west:east]
                band -= table[y1, west:east]
                for x1, x2 in _parts(left, right):
                    yield band.take(x2, axis=1) - band.take(x1, axis=1)

        _average(sums(), _inverse(bottom - top)[:, None] * _inverse(right - left), out)

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
        out = np.empty((len(frames), size, size, 3), np.float32)
        # Those that are summed in more parts are cut apart from the others, which need not wait for them.
        longest = (frames[:, 2:] - frames[:, :2]).max(axis=1, initial=0)
        parts = -(-(longest // size + 2) // _MAX_SIDE)
        for number in np.unique(parts):
            some = np.flatnonzero(parts == number)
            out[some] = self._crops(indices[some], frames[some], size)
        return out

    def _crops(self, indices: I64, frames: I64, size: int) -> F32:
        x, y, x_end, y_end = (frames[:, k, None] for k in range(4))
        steps = np.arange(size)
        left, right = _bins(steps, x_end - x, size)
        top, bottom = _bins(steps, y_end - y, size)
        origin = self._offsets[indices][:, None] + x
        pitch = self._pitches[indices][:, None]

        def sums() -> Iterator[NDArray[np.int64]]:
            for y1, y2 in _parts(top, bottom):
                above = ((y + y1) * pitch)[:, :, None]
                below = ((y + y2) * pitch)[:, :, None]
                for x1, x2 in _parts(left, right):
                    west, east = (origin + x1)[:, None, :], (origin + x2)[:, None, :]
                    bins = self._flat.take(below + east)
                    bins -= self._flat.take(below + west)
                    bins -= self._flat.take(above + east)
                    bins += self._flat.take(above + west)
                    yield bins

        out = np.empty((len(frames), size, size, 3), np.float32)
        _average(sums(), _inverse(bottom - top)[:, :, None] * _inverse(right - left)[:, None, :], out)
        return out

    def _table(self, index: int) -> NDArray[np.int64]:
        height, width = self._shapes[index]
        flat = self._flat[self._offsets[index] : self._offsets[index + 1]]
        return flat.reshape(height + 1, width + 1)


def _fill(table: NDArray[np.int64], image: Image) -> None:
    table[0] = 0
    table[:, 0] = 0
    packed = table[1:, 1:]
    channels = _channels(packed)
    for channel in range(3):
        channels[..., channel] = image[..., channel]
    channels[..., 3] = 0
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


def _channels(packed: NDArray[np.int64]) -> NDArray[np.uint16]:
    """The words of (..., n) as (..., n, 4) numbers: three channels and nothing."""
    return packed.view(np.uint16).reshape(*packed.shape, 4)


def _inverse(pixels: I64) -> F32:
    return np.reciprocal(pixels.astype(np.float32))


def _average(sums: Iterable[NDArray[np.int64]], weight: F32, out: F32) -> None:
    """Means of the bins from the sums of their parts; `weight` is one over the pixels of each bin."""
    for number, part in enumerate(sums):
        channels = _channels(part)
        for channel in range(3):  # one by one: numpy's loops over three numbers are slow
            if number == 0:
                np.multiply(channels[..., channel], weight, out=out[..., channel])
            else:
                out[..., channel] += channels[..., channel] * weight
