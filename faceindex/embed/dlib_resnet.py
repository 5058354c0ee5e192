"""dlib's face recognition network, the encodings of ``face_recognition``, as a torch module.

The network is that of ``examples/dnn_face_recognition_ex.cpp`` in dlib (King, 2017; 99.38 % on LFW
according to its author): a ResNet (He et al. 2016) of 29 convolutions, trained with a metric loss so that
outputs for one person lie within 0.6 of each other. The published weight file is read directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from faceindex.devices import BatchSize, half_precision
from faceindex.embed.chips import run_in_passes, to_unit_length
from faceindex.errors import WeightsInvalid
from faceindex.models.dlib_format import read_metric_network
from faceindex.models.dlib_layers import (
    Add,
    Affine,
    AveragePool,
    Convolution,
    Input,
    Layer,
    LayerKind,
    Linear,
    MaxPool,
    ReLU,
    Skip,
    Tag,
)
from faceindex.models.spec import EmbedderSpec, WeightFile
from faceindex.models.weights import read_weights
from faceindex.types import F32, U8

__all__ = ["DlibResNet", "Network"]

_SIZE = 150
_DIMENSION = 128
_BATCH = 32  # chips per pass: the fastest of 1 to 128 (5.2 ms a chip on one AVX2 core, 9 ms for 1)
# Bytes per chip in a pass: float32 input and the largest activations.
_CHIP_BYTES = 4 * (3 * 150**2 + 3 * 32 * 72**2)

# Channels of the residual blocks from input to output, and whether each halves the plane
# (alevel4 to alevel0 in the example).
_BLOCKS: tuple[tuple[int, bool], ...] = (
    *((32, False),) * 3,
    *((64, True), *((64, False),) * 3),
    *((128, True), *((128, False),) * 2),
    *((256, True), *((256, False),) * 2),
    (256, True),
)

_Geometry: TypeAlias = tuple[LayerKind, tuple[object, ...]]


class _Folded(NamedTuple):
    """A convolution with the affine layer after it folded in, float32."""

    weight: Tensor
    bias: Tensor


class _Parameters(NamedTuple):
    stem: _Folded
    blocks: tuple[tuple[_Folded, _Folded], ...]
    head: Tensor  # (128, 256)


class _Block(nn.Module):
    """Two convolutions and a shortcut.

    In a block that halves the plane, the shortcut is averaged over 2 x 2 pixels. It then has fewer channels
    than the output of the convolutions and, as dlib does not pad a convolution of stride 2, may have one row
    and column more. dlib adds tensors of different sizes as if the missing values were zeros.
    """

    def __init__(self, first: _Folded, second: _Folded, *, down: bool) -> None:
        super().__init__()
        self.down = down
        self.first = _convolution(first, stride=2 if down else 1, padding=0 if down else 1)
        self.second = _convolution(second, stride=1, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(F.relu_(self.first(x)))
        if not self.down:
            return F.relu_(y.add_(x))
        shortcut = F.avg_pool2d(x, 2)
        channels, rows, columns = shortcut.shape[1:]
        if (rows, columns) != y.shape[2:]:
            y = F.pad(y, (0, columns - y.shape[3], 0, rows - y.shape[2]))
        y[:, :channels] += shortcut
        return F.relu_(y)


class Network(nn.Module):
    """The 29 convolutions: chips (n, 3, 150, 150) in 0..255 to outputs (n, 128) float32.

    Chips must have the dtype of the convolutions, which is float32 unless changed. Build the network with
    `Network.from_weights`.
    """

    def __init__(self, parameters: _Parameters) -> None:
        super().__init__()
        self.stem = _convolution(parameters.stem, stride=2, padding=0)
        self.blocks = nn.Sequential(
            *(
                _Block(first, second, down=down)
                for (first, second), (_, down) in zip(parameters.blocks, _BLOCKS, strict=True)
            )
        )
        self.head = nn.Parameter(parameters.head, requires_grad=False)

    @classmethod
    def from_weights(cls, weight: WeightFile) -> Network:
        """Read the published weight file; it is parsed once per process.

        Raises
        ------
        WeightsNotFound
            If the file is missing.
        WeightsInvalid
            If it is not the published file.
        """
        return cls(_read_parameters(weight))

    def forward(self, chips: Tensor) -> Tensor:
        """Return the outputs, not scaled to unit length."""
        x = F.max_pool2d(F.relu_(self.stem(chips)), 3, 2)
        return F.linear(self.blocks(x).mean((2, 3), dtype=self.head.dtype), self.head)


class DlibResNet:
    """Embedder with 128 dimensions for chips of 150 x 150 pixels.

    Parameters
    ----------
    spec : EmbedderSpec
    device : str
        A torch device.
    half : bool
        Whether to compute the convolutions in bfloat16 if that is faster on `device`.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        See `faceindex.models.weights.read_weights`.
    """

    def __init__(self, spec: EmbedderSpec, *, device: str = "cpu", half: bool = False) -> None:
        self.spec = spec
        self._device = torch.device(device)
        self._batch = BatchSize(device, cpu=_BATCH, item_bytes=_CHIP_BYTES)
        self._network = Network.from_weights(spec.weights[0]).eval().to(self._device)
        self._dtype = half_precision(device) if half else torch.float32
        for part in (self._network.stem, self._network.blocks):
            part.to(self._dtype)

    def outputs(self, chips: U8) -> F32:
        """Return the network's own outputs, not scaled to unit length.

        Parameters
        ----------
        chips : (n, 150, 150, 3) uint8
            RGB.

        Returns
        -------
        (n, 128) float32
            Equal to ``dlib.face_recognition_model_v1.compute_face_descriptor`` to 1e-4.

        Raises
        ------
        UsageError
            If the chips have another shape or dtype.
        """
        with torch.inference_mode():
            return run_in_passes(chips, self.spec, self._batch, self._pass)

    def embed(self, chips: U8) -> tuple[F32, F32]:
        """Embed aligned faces.

        Parameters
        ----------
        chips : (n, 150, 150, 3) uint8
            RGB, cut with ``spec.alignment``; n may be 0.

        Returns
        -------
        vectors : (n, 128) float32
            Unit length.
        norms : (n,) float32
            Length of the network's own output, about 1.4.

        Raises
        ------
        UsageError
            If the chips have another shape or dtype.
        """
        return to_unit_length(self.outputs(chips))

    def _pass(self, chips: U8) -> F32:
        """Pass chips through the network together."""
        batch = torch.from_numpy(np.require(chips, requirements=["C", "W"]))
        # A permuted (n, h, w, 3) array is already in channels_last order.
        x = batch.to(self._device).permute(0, 3, 1, 2).to(self._dtype)
        outputs: F32 = self._network(x).cpu().numpy()
        return outputs


def _convolution(folded: _Folded, *, stride: int, padding: int) -> nn.Conv2d:
    """Build a convolution from folded weights."""
    filters, channels, rows, columns = folded.weight.shape
    module = nn.Conv2d(channels, filters, (rows, columns), stride, padding, device="meta")
    module.weight = nn.Parameter(folded.weight, requires_grad=False)
    module.bias = nn.Parameter(folded.bias, requires_grad=False)
    return module


@lru_cache(maxsize=2)
def _read_parameters(weight: WeightFile) -> _Parameters:
    expected = list(_expected_geometry())
    layers = read_metric_network(read_weights(weight), weight.name, [kind for kind, _ in expected[1:]])
    for layer, geometry in zip(layers, expected, strict=True):
        if _geometry(layer) != geometry:
            raise WeightsInvalid(
                f"{weight.name} contains another network: {_geometry(layer)} instead of {geometry}.",
                f"Get the file from {weight.source}.",
            )
    normalisation, head = layers[0], layers[-1]
    stem, *rest = (
        (layer, after)
        for layer, after in pairwise(layers)
        if isinstance(layer, Convolution) and isinstance(after, Affine)
    )
    if not (isinstance(normalisation, Input) and isinstance(head, Linear)):
        raise TypeError("the geometry begins with an Input and ends with a Linear layer")
    convolutions = [_fold(*pair) for pair in rest]
    return _Parameters(
        stem=_fold(*stem, normalisation),
        blocks=tuple(zip(convolutions[::2], convolutions[1::2], strict=True)),
        head=torch.from_numpy(head.weight.copy()),
    )


def _fold(convolution: Convolution, affine: Affine, normalisation: Input | None = None) -> _Folded:
    """Merge a convolution, the affine layer after it and the normalisation before it, if any.

    The result is exact except for rounding. The normalisation can be merged only because the first
    convolution has no padding: zeros around the normalised image would be the mean colour around the
    original.
    """
    # Channels last in memory, the order of the chips: 4 % to 25 % faster than torch's default order. The
    # product is rounded once, as if computed in double precision, since dividing by a power of two is exact.
    filters, channels, rows, columns = convolution.weight.shape
    weight = np.empty((filters, rows, columns, channels), np.float32).transpose(0, 3, 1, 2)
    factor = affine.scale / np.float32(1 if normalisation is None else 256)
    np.multiply(convolution.weight, factor[:, None, None, None], out=weight)
    scale = affine.scale.astype(np.float64)
    bias = convolution.bias.astype(np.float64)
    if normalisation is not None:
        bias -= convolution.weight.sum((2, 3), dtype=np.float64) @ np.array(normalisation.mean) / 256
    bias = bias * scale + affine.shift
    return _Folded(torch.from_numpy(weight), torch.from_numpy(bias.astype(np.float32)))


def _geometry(layer: Layer) -> _Geometry:
    """Return the type of a layer and its shape, without its values."""
    if isinstance(layer, Input):
        return Input, (layer.height, layer.width)
    if isinstance(layer, Convolution):
        return Convolution, (layer.weight.shape, layer.stride, layer.padding)
    if isinstance(layer, Affine):
        return Affine, layer.scale.shape
    if isinstance(layer, Linear):
        return Linear, layer.weight.shape
    if isinstance(layer, (MaxPool, AveragePool)):
        return type(layer), (layer.window, layer.stride, layer.padding)
    return type(layer), ()


def _expected_geometry() -> Iterator[_Geometry]:
    """Yield the layers of the network as the example declares them, from input to output."""
    yield Input, (_SIZE, _SIZE)
    yield Convolution, ((32, 3, 7, 7), (2, 2), (0, 0))
    yield Affine, (32,)
    yield ReLU, ()
    yield MaxPool, ((3, 3), (2, 2), (0, 0))
    before = 32
    for channels, down in _BLOCKS:
        # dlib pads a convolution of stride 1 by half its window, and others not at all.
        step = ((2, 2), (0, 0)) if down else ((1, 1), (1, 1))
        yield Tag, ()
        yield Convolution, ((channels, before, 3, 3), *step)
        yield Affine, (channels,)
        yield ReLU, ()
        yield Convolution, ((channels, channels, 3, 3), (1, 1), (1, 1))
        yield Affine, (channels,)
        if down:
            yield Tag, ()
            yield Skip, ()
            yield AveragePool, ((2, 2), (2, 2), (0, 0))
        yield Add, ()
        yield ReLU, ()
        before = channels
    yield AveragePool, ((0, 0), (1, 1), (0, 0))
    yield Linear, (_DIMENSION, before)
