"""MobileFaceNet as a torch module, read from its TensorFlow Lite file.

Chen et al. 2018, https://arxiv.org/abs/1804.07573: inverted residual blocks (a 1 x 1 convolution that widens,
a depthwise 3 x 3 convolution, a 1 x 1 convolution that narrows), PReLU after the first two, and a depthwise
convolution over the whole plane at the end. This is the variant of sirius-ai/MobileFaceNet_TF with 192
outputs, whose batch norms the published file has already merged into the convolutions.

Two pairs of its convolutions have nothing between them; they are merged, exactly except for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from faceindex.errors import WeightsInvalid
from faceindex.models.spec import WeightFile
from faceindex.models.tflite_format import Operator, read_operators
from faceindex.models.weights import read_weights
from faceindex.types import F32

__all__ = ["BLOCKS", "DIMENSION", "LAST", "PLANE", "SIZE", "STEM", "Layer", "TorchNetwork", "read_layers"]

SIZE = 112
DIMENSION = 192
PLANE = SIZE // 2  # side after the first convolution
STEM = 64  # channels of the first two convolutions

# Channels of the wide and the narrow part of each block, and its stride. A block of stride 1 has a shortcut.
BLOCKS: tuple[tuple[int, int, int], ...] = (
    (128, 64, 2),
    *((128, 64, 1),) * 4,
    (256, 128, 2),
    *((256, 128, 1),) * 6,
    (512, 128, 2),
    *((256, 128, 1),) * 2,
)
LAST = 512  # channels of the widening convolution after the last block
_LAST_PLANE = 7

_F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution and the PReLU after it.

    Attributes
    ----------
    weight : (out, in / groups, rows, columns) float32
        A depthwise convolution has one group for each channel.
    bias : (out,) float32
    stride : int
    same : bool
        Whether the input is padded, at the end if the stride is 2.
    slope : (out,) float32 or None
        None if no PReLU follows.
    """

    weight: F32
    bias: F32
    stride: int
    same: bool
    slope: F32 | None

    @property
    def matrix(self) -> _F64:
        """The weights (out, in) of a 1 x 1 convolution."""
        return self.weight[:, :, 0, 0].astype(np.float64)


class TorchNetwork(nn.Module):
    """The network: normalised chips (n, 3, 112, 112) to outputs (n, 192) float32.

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
        layers = read_layers(weight)
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
        for _, _, stride in BLOCKS:
            y = activated(activated(x))
            y = next(convolutions)(y)
            x = x + y if stride == 1 else y
        x = activated(x)
        for convolution in convolutions:
            x = convolution(x)
        return x.flatten(1)


def _convolution(layer: Layer) -> nn.Conv2d:
    filters, depth, rows, columns = layer.weight.shape
    groups = filters if depth == 1 else 1
    padding = 1 if layer.same and rows == 3 and layer.stride == 1 else 0  # of stride 2: in `TorchNetwork`
    module = nn.Conv2d(
        depth * groups, filters, (rows, columns), layer.stride, padding, groups=groups, device="meta"
    )
    module.weight = nn.Parameter(torch.from_numpy(layer.weight.copy()), requires_grad=False)
    module.bias = nn.Parameter(torch.from_numpy(layer.bias.copy()), requires_grad=False)
    return module


@lru_cache(maxsize=2)
def read_layers(weight: WeightFile) -> list[Layer]:
    """Read the convolutions of the file, in order, and merge those with nothing between them.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        If the file is missing, or contains another network.
    """
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


def _collect(operators: list[Operator]) -> list[Layer]:
    """Collect the convolutions, each with the slope of the PReLU after it.

    The file computes PReLU as ``relu(x) + m * (x - abs(x))``, so the slope is 2 m.
    """
    layers: list[Layer] = []
    for operator in operators:
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            _, weight, bias = (*operator.constants, None, None, None)[:3]
            if weight is None or bias is None or weight.ndim != 4:
                continue  # `read_layers` finds that a convolution is missing
            weight = weight.transpose((0, 3, 1, 2) if operator.name == "CONV_2D" else (3, 0, 1, 2))
            layers.append(Layer(np.ascontiguousarray(weight), bias, operator.stride[0], operator.same, None))
        elif operator.name == "MUL" and layers:
            slope = next((value for value in operator.constants if value is not None), None)
            if slope is not None and slope.shape == layers[-1].bias.shape:
                layers[-1] = replace(layers[-1], slope=2 * slope)
    return layers


def _merge(first: Layer, second: Layer) -> Layer:
    """Merge two 1 x 1 convolutions without an activation between them."""
    weight = (second.matrix @ first.matrix).astype(np.float32)
    bias = (second.bias + second.matrix @ first.bias).astype(np.float32)
    return Layer(weight[:, :, None, None], bias, 1, True, second.slope)


_Geometry = tuple[tuple[int, ...], int, bool, bool]


def _expected_geometry() -> list[_Geometry]:
    """List the shape, the stride, the padding and the activation of every convolution in the file."""

    def depthwise(channels: int, stride: int) -> _Geometry:
        return (channels, 1, 3, 3), stride, True, True

    def pointwise(before: int, after: int, *, active: bool) -> _Geometry:
        return (after, before, 1, 1), 1, True, active

    expected: list[_Geometry] = [((STEM, 3, 3, 3), 2, True, True), depthwise(STEM, 1)]
    expected.append(pointwise(STEM, STEM, active=False))
    before = STEM
    for wide, narrow, stride in BLOCKS:
        expected += [
            pointwise(before, wide, active=True),
            depthwise(wide, stride),
            pointwise(wide, narrow, active=False),
        ]
        before = narrow
    whole = ((LAST, 1, _LAST_PLANE, _LAST_PLANE), 1, False, False)
    last = ((LAST, LAST, 1, 1), 1, False, False)
    return [
        *expected,
        pointwise(before, LAST, active=True),
        whole,
        last,
        pointwise(LAST, DIMENSION, active=False),
    ]
