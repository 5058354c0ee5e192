"""MobileFaceNet for CPUs: matrix products of torch, and compiled loops for what lies between them.

It gives the outputs of `faceindex.embed.mobilefacenet_net.TorchNetwork` in half the time. The biases of the
convolutions that narrow are merged into those of the convolutions that widen, exactly except for rounding: a
bias stays on the residual path, which nothing but the next widening convolution reads.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceindex.embed.depthwise import convolve, cut_patches, pool
from faceindex.embed.mobilefacenet_net import BLOCKS, LAST, PLANE, STEM, Layer, read_layers
from faceindex.models.spec import WeightFile
from faceindex.types import F32, U8

__all__ = ["FoldedNetwork"]

_F64 = NDArray[np.float64]

_ROWS = 4
"""Rows of the last product at least. With fewer, torch uses other kernels for it, and the same chip gets an
output that differs by 5e-5 from that in a larger batch; all other products have a row for each pixel."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A depthwise 3 x 3 convolution and the 1 x 1 convolutions around it, ready for the loops.

    `widen` and `narrow` are (in, out), or None in the first block, which has neither.
    """

    widen: Tensor | None
    bias: F32
    slope: F32
    depthwise: F32  # (9, channels)
    depthwise_bias: F32
    depthwise_slope: F32
    stride: int
    narrow: Tensor | None


class FoldedNetwork:
    """The network: chips (n, 112, 112, 3) uint8 to outputs (n, 192) float32.

    Several threads may share it; each has buffers of its own.

    Parameters
    ----------
    weight : WeightFile
    batch : int
        Most chips in a call.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        If the file is missing, or contains another network.
    """

    def __init__(self, weight: WeightFile, batch: int) -> None:
        self._batch = batch
        self._buffers = threading.local()
        layers = read_layers(weight)
        stem, first, *rest = layers
        self._stem = _tensor(stem.weight.transpose(2, 3, 1, 0).reshape(-1, STEM))
        self._blocks = [_block(None, stem.bias, stem.slope, first, None)]
        pending: _F64 = np.zeros(STEM)  # the biases that the residual path lacks
        for (_, narrow_channels, stride), i in zip(BLOCKS, range(0, len(rest), 3), strict=False):
            widen, depthwise, narrow = rest[i : i + 3]
            bias = (widen.bias + widen.matrix @ pending).astype(np.float32)
            self._blocks.append(_block(widen, bias, widen.slope, depthwise, narrow))
            pending = narrow.bias + (pending if stride == 1 else np.zeros(narrow_channels))
        widen, whole, head = rest[-3:]
        self._widen = _tensor(widen.matrix.T)
        self._last_bias = (widen.bias + widen.matrix @ pending).astype(np.float32)
        self._last_slope = _slope(widen)
        self._whole = np.ascontiguousarray(whole.weight[:, 0].reshape(LAST, -1).T)
        self._head = _tensor(head.matrix.T)
        self._head_bias = _tensor(head.bias + head.matrix @ whole.bias)

    def __call__(self, chips: U8) -> Tensor:
        """Return the outputs, not scaled to unit length."""
        n = len(chips)
        patches, wide, deep, narrow = self._reserve()
        side = PLANE
        cut_patches(chips, _view(patches, n * side**2, 27).numpy().reshape(n, side, side, 27))
        x = torch.mm(_view(patches, n * side**2, 27), self._stem, out=_view(wide, n * side**2, STEM))
        residual = x
        for block in self._blocks:
            if block.widen is not None:
                x = torch.mm(residual, block.widen, out=_view(wide, n * side**2, block.widen.shape[1]))
            channels = x.shape[1]
            smaller = side // block.stride
            y = _view(deep, n * smaller**2, channels)
            convolve(
                x.numpy().reshape(n, side, side, channels),
                block.bias,
                block.slope,
                block.depthwise,
                block.depthwise_bias,
                block.depthwise_slope,
                block.stride,
                y.numpy().reshape(n, smaller, smaller, channels),
            )
            side = smaller
            if block.narrow is None:
                residual = y
            elif block.stride == 1:
                residual.addmm_(y, block.narrow)
            else:
                residual = torch.mm(y, block.narrow, out=_view(narrow, len(y), block.narrow.shape[1]))
        x = torch.mm(residual, self._widen, out=_view(wide, n * side**2, LAST))
        y = _view(deep, max(n, _ROWS), LAST)
        y[n:] = 0
        means = y[:n].numpy()
        pool(x.numpy().reshape(n, side**2, LAST), self._last_bias, self._last_slope, self._whole, means)
        return torch.addmm(self._head_bias, y, self._head)[:n]

    def _reserve(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the buffers of this thread, allocated at its first call: 2.9 MB for each chip of a batch.

        Fresh memory for every product costs a tenth of the time.
        """
        if not hasattr(self._buffers, "every"):
            pixels = self._batch * PLANE**2  # a narrow part has a quarter of them
            self._buffers.every = tuple(
                torch.empty(pixels * channels) for channels in (27, 2 * STEM, STEM, STEM // 4)
            )
        every: tuple[Tensor, Tensor, Tensor, Tensor] = self._buffers.every
        return every


def _block(
    widen: Layer | None, bias: F32, slope: F32 | None, depthwise: Layer, narrow: Layer | None
) -> _Block:
    assert slope is not None  # `read_layers`
    return _Block(
        None if widen is None else _tensor(widen.matrix.T),
        np.ascontiguousarray(bias),
        np.ascontiguousarray(slope),
        np.ascontiguousarray(depthwise.weight[:, 0].reshape(len(depthwise.weight), 9).T),
        np.ascontiguousarray(depthwise.bias),
        np.ascontiguousarray(_slope(depthwise)),
        depthwise.stride,
        None if narrow is None else _tensor(narrow.matrix.T),
    )


def _slope(layer: Layer) -> F32:
    assert layer.slope is not None  # `read_layers`
    return layer.slope


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32, order="C"))


def _view(buffer: Tensor, rows: int, columns: int) -> Tensor:
    return buffer[: rows * columns].view(rows, columns)
