"""dlib's face detection network as a torch module, read from the published file.

Max-margin object detection (King 2015, https://arxiv.org/abs/1502.00046). The network is that of
``examples/dnn_mmod_face_detection_ex.cpp`` in dlib: three convolutions of stride 2, three of stride 1,
and one that scores a window of 80 px every 8 px of the tiled pyramid.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from faceindex.errors import WeightsInvalid
from faceindex.models.dlib_format import read_mmod_network
from faceindex.models.dlib_layers import (
    Affine,
    Convolution,
    LayerKind,
    PyramidInput,
    ReLU,
    SlidingWindow,
)
from faceindex.models.spec import WeightFile
from faceindex.models.weights import read_weights

__all__ = ["FIELD", "HALO", "OFFSET", "STRIDE", "MmodNetwork", "MmodParameters", "read_parameters"]

_LAYERS: tuple[LayerKind, ...] = (*(Convolution, Affine, ReLU) * 6, Convolution)

# Shape, stride and padding of the convolutions as the example declares them. dlib pads a convolution of
# stride 1 by half its window, and others not at all.
_DOWN, _FLAT = ((2, 2), (0, 0)), ((1, 1), (2, 2))
_GEOMETRY = (
    ((16, 3, 5, 5), *_DOWN),
    ((32, 16, 5, 5), *_DOWN),
    ((32, 32, 5, 5), *_DOWN),
    ((45, 32, 5, 5), *_FLAT),
    ((45, 45, 5, 5), *_FLAT),
    ((45, 45, 5, 5), *_FLAT),
    ((1, 45, 9, 9), (1, 1), (4, 4)),
)
_DOWNS = 3

STRIDE = 8  # canvas pixels between two scores
OFFSET = 14  # canvas pixel at the centre of the first window: (2 * (2 * 2 + 2) + 2)
FIELD = 29  # canvas pixels that the convolutions of stride 2 need for one row or column of features
HALO = 2 + 2 + 2 + 4  # rows of features on each side that the convolutions of stride 1 use for a score


class MmodParameters(NamedTuple):
    """Content of the weight file.

    Attributes
    ----------
    form : PyramidInput
        How the pyramid of an image is tiled and normalised.
    window : SlidingWindow
        Size of the window, and the overlaps above which a window is suppressed.
    convolutions : tuple of (Tensor, Tensor)
        Weights and biases, float32, with the affine layers folded in.
    """

    form: PyramidInput
    window: SlidingWindow
    convolutions: tuple[tuple[Tensor, Tensor], ...]


class MmodNetwork(nn.Module):
    """Seven convolutions: a canvas (1, 3, h, w) float32 to scores (1, 1, r, c) float32.

    `features` and `scores` are separate, so that each can run on strips of its own size.

    Parameters
    ----------
    parameters : MmodParameters
    """

    def __init__(self, parameters: MmodParameters) -> None:
        super().__init__()
        layers = []
        for (weight, bias), ((filters, channels, rows, columns), stride, padding) in zip(
            parameters.convolutions, _GEOMETRY, strict=True
        ):
            layer = nn.Conv2d(channels, filters, (rows, columns), stride, padding, device="meta")
            # Channels last: 1.1 times as fast on a CPU as one plane per channel.
            weight = weight.contiguous(memory_format=torch.channels_last)
            layer.weight = nn.Parameter(weight, requires_grad=False)
            layer.bias = nn.Parameter(bias, requires_grad=False)
            layers.append(layer)
        self.down, self.flat = nn.ModuleList(layers[:_DOWNS]), nn.ModuleList(layers[_DOWNS:])

    def features(self, canvas: Tensor) -> Tensor:
        """Apply the convolutions of stride 2 to a canvas, without padding: (1, 32, r, c)."""
        for layer in self.down:
            canvas = F.relu_(layer(canvas))
        return canvas

    def scores(self, features: Tensor) -> Tensor:
        """Apply the convolutions of stride 1 to features, padded with zeros: (1, 1, r, c).

        If the features are a strip of a canvas, `HALO` rows at each cut are wrong.
        """
        *hidden, last = self.flat
        for layer in hidden:
            features = F.relu_(layer(features))
        scores: Tensor = last(features)
        return scores


@lru_cache(maxsize=2)
def read_parameters(weight: WeightFile) -> MmodParameters:
    """Read the published weight file, once per process.

    Raises
    ------
    WeightsNotFound
        If the file is missing.
    WeightsInvalid
        If it is not the published file, or contains another network.
    """
    window, (form, *layers) = read_mmod_network(read_weights(weight), weight.name, _LAYERS)
    if not isinstance(form, PyramidInput):
        raise TypeError("a network of loss_mmod_ begins with a PyramidInput")
    convolutions = []
    found = [layer for layer in layers if isinstance(layer, Convolution)]
    affine = [layer for layer in layers if isinstance(layer, Affine)]
    for position, (layer, geometry) in enumerate(zip(found, _GEOMETRY, strict=True)):
        if (layer.weight.shape, layer.stride, layer.padding) != geometry:
            raise WeightsInvalid(
                f"{weight.name} contains another network: a convolution of shape {layer.weight.shape}, "
                f"stride {layer.stride} and padding {layer.padding} instead of {geometry}.",
                f"Get the file from {weight.source}.",
            )
        values, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
        if position < len(affine):
            scale = affine[position].scale.astype(np.float64)
            values, bias = values * scale[:, None, None, None], bias * scale + affine[position].shift
        convolutions.append(
            (torch.from_numpy(values.astype(np.float32)), torch.from_numpy(bias.astype(np.float32)))
        )
    return MmodParameters(form, window, tuple(convolutions))
