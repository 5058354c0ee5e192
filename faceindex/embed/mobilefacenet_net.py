"""MobileFaceNet, read from its TensorFlow Lite file and folded.

Chen et al. 2018, https://arxiv.org/abs/1804.07573: inverted residual blocks (a 1 x 1 convolution that widens,
a depthwise 3 x 3 convolution, a 1 x 1 convolution that narrows), PReLU after the first two, and a depthwise
convolution over the whole plane at the end. This is the variant of sirius-ai/MobileFaceNet_TF with 192
outputs, whose batch norms the published file has already merged into the convolutions.

Three things are merged here, exactly except for rounding: two pairs of convolutions with nothing between
them, and the biases of the convolutions that narrow. A bias stays on the residual path, which nothing but the
next widening convolution reads, so it becomes a part of that one's bias.

There are two forms of the same network. `FoldedNetwork` runs on a CPU: matrix products of torch and the
compiled loops of `faceindex.embed.depthwise`, twice as fast as torch's own convolutions and three times as
fast as ONNX Runtime (`benchmarks/mobilefacenet.py`). `TorchNetwork` is an ordinary module, for other devices.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from faceindex.embed.depthwise import convolve, cut_patches, pool
from faceindex.errors import WeightsInvalid
from faceindex.models.spec import WeightFile
from faceindex.models.tflite_format import Operator, read_operators
from faceindex.models.weights import read_weights
from faceindex.types import F32, U8

__all__ = ["DIMENSION", "SIZE", "FoldedNetwork", "TorchNetwork"]

SIZE = 112
DIMENSION = 192
_PLANE = SIZE // 2  # after the first convolution
_STEM = 64  # channels of the first two convolutions

# Channels of the wide and the narrow part of each block, and its stride. A block of stride 1 has a shortcut.
_BLOCKS: tuple[tuple[int, int, int], ...] = (
    (128, 64, 2),
    *((128, 64, 1),) * 4,
    (256, 128, 2),
    *((256, 128, 1),) * 6,
    (512, 128, 2),
    *((256, 128, 1),) * 2,
)
_LAST = 512  # channels of the widening convolution after the last block
_LAST_PLANE = 7

_F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution with what follows it: float32 weights (out, in / groups, rows, columns)."""

    weight: F32
    bias: F32
    stride: int
    same: bool
    slope: F32 | None

    @property
    def matrix(self) -> _F64:
        """The weights (out, in) of a 1 x 1 convolution."""
        return self.weight[:, :, 0, 0].astype(np.float64)


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
    """The network on a CPU: chips (n, 112, 112, 3) uint8 to outputs (n, 192) float32.

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
        layers = _read_layers(weight)
        stem, first, *rest = layers
        self._stem = _tensor(stem.weight.transpose(2, 3, 1, 0).reshape(-1, _STEM))
        self._blocks = [_block(None, stem.bias, stem.slope, first, None)]
        pending: _F64 = np.zeros(_STEM)  # the biases that the residual path lacks
        for (_, narrow_channels, stride), i in zip(_BLOCKS, range(0, len(rest), 3), strict=False):
            widen, depthwise, narrow = rest[i : i + 3]
            bias = (widen.bias + widen.matrix @ pending).astype(np.float32)
            self._blocks.append(_block(widen, bias, widen.slope, depthwise, narrow))
            pending = narrow.bias + (pending if stride == 1 else np.zeros(narrow_channels))
        widen, whole, head = rest[-3:]
        self._widen = _tensor(widen.matrix.T)
        self._last_bias = (widen.bias + widen.matrix @ pending).astype(np.float32)
        self._last_slope = _slope(widen)
        self._whole = np.ascontiguousarray(whole.weight[:, 0].reshape(_LAST, -1).T)
        self._head = _tensor(head.matrix.T)
        self._head_bias = _tensor(head.bias + head.matrix @ whole.bias)

    def __call__(self, chips: U8) -> Tensor:
        """Return the outputs, not scaled to unit length."""
        n = len(chips)
        patches, wide, deep, narrow = self._reserve()
        side = _PLANE
        cut_patches(chips, _view(patches, n * side**2, 27).numpy().reshape(n, side, side, 27))
        x = torch.mm(_view(patches, n * side**2, 27), self._stem, out=_view(wide, n * side**2, _STEM))
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
        x = torch.mm(residual, self._widen, out=_view(wide, n * side**2, _LAST))
        y = _view(deep, n, _LAST)
        pool(x.numpy().reshape(n, side**2, _LAST), self._last_bias, self._last_slope, self._whole, y.numpy())
        return torch.addmm(self._head_bias, y, self._head)

    def _reserve(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the buffers of this thread, allocated at its first call: 2.9 MB for each chip of a batch.

        Fresh memory for every product costs a tenth of the time.
        """
        if not hasattr(self._buffers, "every"):
            pixels = self._batch * _PLANE**2  # a narrow part has a quarter of them
            self._buffers.every = tuple(
                torch.empty(pixels * channels) for channels in (27, 2 * _STEM, _STEM, _STEM // 4)
            )
        every: tuple[Tensor, Tensor, Tensor, Tensor] = self._buffers.every
        return every


class TorchNetwork(nn.Module):
    """The same network as a module: normalised chips (n, 3, 112, 112) to outputs (n, 192) float32.

    Parameters
    ----------
    weight : WeightFile

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        If the file is missing, or contains another network.
    """

    def __init__(self, weight: WeightFile) -> None:
        super().__init__()
        layers = _read_layers(weight)
        self.convolutions = nn.ModuleList(_convolution(layer) for layer in layers)
        self.slopes = nn.ParameterList(
            nn.Parameter(torch.from_numpy(layer.slope.copy()), requires_grad=False)
            for layer in layers
            if layer.slope is not None
        )
        self.eval()

    def forward(self, chips: Tensor) -> Tensor:
        """Return the outputs, not scaled to unit length."""
        convolutions, slopes = iter(self.convolutions), iter(self.slopes)

        def activated(x: Tensor) -> Tensor:
            convolution = next(convolutions)
            if convolution.stride == (2, 2):
                x = F.pad(x, (0, 1, 0, 1))
            return F.prelu(convolution(x), next(slopes))

        x = activated(activated(chips))
        for _, _, stride in _BLOCKS:
            y = activated(activated(x))
            y = next(convolutions)(y)
            x = x + y if stride == 1 else y
        x = activated(x)
        for convolution in convolutions:
            x = convolution(x)
        return x.flatten(1)


def _convolution(layer: _Layer) -> nn.Conv2d:
    filters, depth, rows, columns = layer.weight.shape
    groups = filters if depth == 1 else 1
    padding = 1 if layer.same and rows == 3 and layer.stride == 1 else 0  # of stride 2: in `TorchNetwork`
    module = nn.Conv2d(
        depth * groups, filters, (rows, columns), layer.stride, padding, groups=groups, device="meta"
    )
    module.weight = nn.Parameter(torch.from_numpy(layer.weight.copy()), requires_grad=False)
    module.bias = nn.Parameter(torch.from_numpy(layer.bias.copy()), requires_grad=False)
    return module


def _block(
    widen: _Layer | None, bias: F32, slope: F32 | None, depthwise: _Layer, narrow: _Layer | None
) -> _Block:
    assert slope is not None  # `_check_geometry`
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


def _slope(layer: _Layer) -> F32:
    assert layer.slope is not None  # `_check_geometry`
    return layer.slope


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32, order="C"))


def _view(buffer: Tensor, rows: int, columns: int) -> Tensor:
    return buffer[: rows * columns].view(rows, columns)


@lru_cache(maxsize=2)
def _read_layers(weight: WeightFile) -> list[_Layer]:
    """Read the convolutions of the file, check their geometry, and merge those with nothing between them."""
    layers = _collect(read_operators(read_weights(weight), weight.name))
    expected = list(_expected_geometry())
    found = [(layer.weight.shape, layer.stride, layer.same, layer.slope is not None) for layer in layers]
    if found != expected:
        raise WeightsInvalid(
            f"{weight.name} contains another network than MobileFaceNet with {DIMENSION} outputs.",
            f"Get the file from {weight.source}.",
        )
    layers[2:4] = [_merge(layers[2], layers[3])]
    layers[-2:] = [_merge(layers[-2], layers[-1])]
    return layers


def _collect(operators: list[Operator]) -> list[_Layer]:
    """Collect the convolutions, each with the slope of the PReLU after it.

    The file computes PReLU as ``relu(x) + m * (x - abs(x))``, so the slope is 2 m.
    """
    layers: list[_Layer] = []
    for operator in operators:
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            _, weight, bias = (*operator.constants, None, None, None)[:3]
            if weight is None or bias is None or weight.ndim != 4:
                continue  # `_read_layers` finds that a convolution is missing
            weight = weight.transpose((0, 3, 1, 2) if operator.name == "CONV_2D" else (3, 0, 1, 2))
            layers.append(_Layer(np.ascontiguousarray(weight), bias, operator.stride[0], operator.same, None))
        elif operator.name == "MUL" and layers:
            slope = next((value for value in operator.constants if value is not None), None)
            if slope is not None and slope.shape == layers[-1].bias.shape:
                layers[-1] = replace(layers[-1], slope=2 * slope)
    return layers


def _merge(first: _Layer, second: _Layer) -> _Layer:
    """Merge two 1 x 1 convolutions without an activation between them."""
    weight = (second.matrix @ first.matrix).astype(np.float32)
    bias = (second.bias + second.matrix @ first.bias).astype(np.float32)
    return _Layer(weight[:, :, None, None], bias, 1, True, second.slope)


_Geometry = tuple[tuple[int, ...], int, bool, bool]


def _expected_geometry() -> list[_Geometry]:
    """List the shape, the stride, the padding and the activation of every convolution in the file."""

    def depthwise(channels: int, stride: int) -> _Geometry:
        return (channels, 1, 3, 3), stride, True, True

    def pointwise(before: int, after: int, *, active: bool) -> _Geometry:
        return (after, before, 1, 1), 1, True, active

    expected: list[_Geometry] = [((_STEM, 3, 3, 3), 2, True, True), depthwise(_STEM, 1)]
    expected.append(pointwise(_STEM, _STEM, active=False))
    before = _STEM
    for wide, narrow, stride in _BLOCKS:
        expected += [
            pointwise(before, wide, active=True),
            depthwise(wide, stride),
            pointwise(wide, narrow, active=False),
        ]
        before = narrow
    whole = ((_LAST, 1, _LAST_PLANE, _LAST_PLANE), 1, False, False)
    last = ((_LAST, _LAST, 1, 1), 1, False, False)
    return [
        *expected,
        pointwise(before, _LAST, active=True),
        whole,
        last,
        pointwise(_LAST, DIMENSION, active=False),
    ]
