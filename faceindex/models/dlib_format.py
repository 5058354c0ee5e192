"""Reader of networks that dlib has serialised (the ``.dat`` files of ``dlib-models``).

The format has no index and no lengths: it can only be read from front to back by somebody who
knows which layers to expect. Written from ``dlib/serialize.h`` (integers, strings, booleans),
``dlib/float_details.h`` (reals), ``dlib/cuda/tensor.h`` (tensors), ``dlib/dnn/core.h`` (how layers
nest) and ``dlib/dnn/layers.h``, ``input.h``, ``loss.h`` (what each layer stores):

- An *integer* is a control byte (sign in the top bit, number of bytes in the low four) and that
  many bytes, little-endian.
- A *real* is two integers, mantissa and exponent: ``mantissa * 2 ** exponent``.
- A *tensor* is a version, four sizes and its values as little-endian float32; an *alias* is a
  version and four sizes, a view of a slice of another tensor.
- A *network* nests from its output to its input: the version of every layer comes first, in that
  order, then the input, then the layers' contents in the reverse order.

What is read here are networks that were trained with ``loss_metric`` (outputs as vectors) and with
``loss_mmod`` (a detector that slides a window over a pyramid of the image, King 2015,
https://arxiv.org/abs/1502.00046).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from faceindex.errors import WeightsInvalid
from faceindex.types import F32

__all__ = [
    "Add",
    "Affine",
    "AveragePool",
    "Convolution",
    "Input",
    "Layer",
    "LayerKind",
    "Linear",
    "MaxPool",
    "PyramidInput",
    "ReLU",
    "Reader",
    "Skip",
    "SlidingWindow",
    "Tag",
    "read_metric_network",
    "read_mmod_network",
]

_INFINITY, _MINUS_INFINITY, _NAN = 32000, 32001, 32002  # exponents with a meaning, float_details.h


@dataclass(frozen=True, slots=True)
class Input:
    """``input_rgb_image_sized``: subtracts `mean` (red, green, blue) and divides by 256."""

    mean: tuple[float, float, float]
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class PyramidInput:
    """``input_rgb_image_pyramid``: normalises as `Input`, and tiles the levels of a pyramid.

    `padding` pixels are between the levels, `outer_padding` around all of them.
    """

    mean: tuple[float, float, float]
    padding: int
    outer_padding: int


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """What ``loss_mmod`` needs for detecting.

    `width` and `height` of the window in pixels; of two boxes that overlap by more than `iou`, or of
    which one is covered by the other to more than `covered`, the worse is dropped.
    """

    width: int
    height: int
    iou: float
    covered: float


@dataclass(frozen=True, slots=True)
class Convolution:
    """``con_``: `weight` (out, in, height, width) float32, `bias` (out,) float32."""

    weight: F32
    bias: F32
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Affine:
    """``affine_``: one `scale` and `shift` (channels,) float32 per channel; frozen batch norm.

    A ``bn_con`` in its place is frozen when it is read, as dlib does.
    """

    scale: F32
    shift: F32


@dataclass(frozen=True, slots=True)
class Linear:
    """``fc_`` without a bias: `weight` (out, in) float32."""

    weight: F32


@dataclass(frozen=True, slots=True)
class MaxPool:
    """``max_pool_``; a window of 0 is the whole plane."""

    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class AveragePool:
    """``avg_pool_``; a window of 0 is the whole plane."""

    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ReLU:
    """``relu_``."""


@dataclass(frozen=True, slots=True)
class Add:
    """``add_prev_``: adds a tagged layer; where sizes differ, the smaller is padded with zeros."""


@dataclass(frozen=True, slots=True)
class Tag:
    """``add_tag_layer``: makes its input known to `Add` and `Skip`. Stores nothing."""


@dataclass(frozen=True, slots=True)
class Skip:
    """``add_skip_layer``: goes on from a tagged layer. Stores nothing."""


Layer: TypeAlias = (
    Input | PyramidInput | Convolution | Affine | Linear | MaxPool | AveragePool | ReLU | Add | Tag | Skip
)
LayerKind: TypeAlias = type[Layer]


class Reader:
    """Walks through serialised content.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        What to call it in errors.

    Notes
    -----
    Every method raises `WeightsInvalid` when the content ends early or is not what was expected.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._content = memoryview(content)
        self._name = name
        self._at = 0

    def fail(self, problem: str) -> WeightsInvalid:
        """The error to raise for a problem at the current position."""
        return WeightsInvalid(
            f"{self._name} cannot be read as a dlib network: {problem} (near byte {self._at:,}).",
            "Delete the file and get the published one again.",
        )

    def _take(self, count: int) -> memoryview:
        if count > len(self._content) - self._at:
            raise self.fail(f"it ends where {count:,} more bytes should follow")
        start, self._at = self._at, self._at + count
        return self._content[start : self._at]

    def integer(self) -> int:
        """One integer of up to 8 bytes."""
        control = self._take(1)[0]
        count = control & 0x0F
        if control & 0x70 or not 1 <= count <= 8:
            raise self.fail(f"0x{control:02x} does not start an integer")
        magnitude = int.from_bytes(self._take(count), "little")
        return -magnitude if control & 0x80 else magnitude

    def size(self) -> int:
        """One integer that must not be negative."""
        value = self.integer()
        if value < 0:
            raise self.fail(f"{value} is not a size")
        return value

    def real(self) -> float:
        """One floating-point number in the binary encoding (files before dlib 18 wrote text)."""
        mantissa, exponent = self.integer(), self.integer()
        special = {_INFINITY: math.inf, _MINUS_INFINITY: -math.inf, _NAN: math.nan}
        if exponent in special:
            return special[exponent]
        try:
            return math.ldexp(mantissa, exponent)
        except OverflowError:
            raise self.fail(f"{mantissa} * 2 ** {exponent} is no number") from None

    def boolean(self) -> bool:
        """One character, ``0`` or ``1``."""
        value = bytes(self._take(1))
        if value not in (b"0", b"1"):
            raise self.fail(f"{value!r} is not a boolean")
        return value == b"1"

    def text(self) -> str:
        """One string: its length, then its bytes."""
        raw = bytes(self._take(self.size()))
        try:
            return raw.decode("ascii")
        except UnicodeDecodeError:
            raise self.fail("a name is not plain text") from None

    def expect(self, what: str, *allowed: int | str) -> int | str:
        """One integer or string that must be among those allowed, all of one type."""
        value = self.text() if isinstance(allowed[0], str) else self.integer()
        if value not in allowed:
            raise self.fail(f"{what} is {value!r}, not {' or '.join(map(repr, allowed))}")
        return value

    def pair(self) -> tuple[int, int]:
        """Two sizes: vertical and horizontal."""
        return self.size(), self.size()

    def alias(self) -> tuple[int, int, int, int]:
        """The shape of a view: samples, channels, rows, columns."""
        self.expect("the version of an alias", 1)
        return self.size(), self.size(), self.size(), self.size()

    def tensor(self) -> F32:
        """A float32 tensor: samples, channels, rows, columns; shares memory with the content."""
        self.expect("the version of a tensor", 2)
        shape = self.size(), self.size(), self.size(), self.size()
        values = np.frombuffer(self._take(4 * math.prod(shape)), "<f4")
        return values.astype(np.float32, copy=False).reshape(shape)

    def end(self) -> None:
        """Check that nothing is left."""
        if left := len(self._content) - self._at:
            raise self.fail(f"{left:,} bytes follow the network")


def read_metric_network(content: bytes, name: str, layers: Sequence[LayerKind]) -> list[Layer]:
    """Read a network that was trained with ``loss_metric``.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        What to call it in errors.
    layers : sequence of layer classes
        The layers to expect, from input to output, without the `Input` and the loss.

    Returns
    -------
    list of Layer
        The `Input`, then one layer per element of `layers`. Arrays are read-only and share memory
        with `content`.

    Raises
    ------
    WeightsInvalid
        If the content is anything else.
    """
    reader = Reader(content, name)
    reader.expect("the version of the loss layer", 1)
    if reader.expect("the loss", "loss_metric_", "loss_metric_2") == "loss_metric_2":
        reader.real()  # margin
        reader.real()  # distance threshold
    return _read_network(reader, layers, _read_input)


def read_mmod_network(
    content: bytes, name: str, layers: Sequence[LayerKind]
) -> tuple[SlidingWindow, list[Layer]]:
    """Read a detector of one window that was trained with ``loss_mmod``.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        What to call it in errors.
    layers : sequence of layer classes
        The layers to expect, from input to output, without the `PyramidInput` and the loss.

    Returns
    -------
    window : SlidingWindow
    layers : list of Layer
        The `PyramidInput`, then as from `read_metric_network`.

    Raises
    ------
    WeightsInvalid
        If the content is anything else.
    """
    reader = Reader(content, name)
    reader.expect("the version of the loss layer", 1)
    reader.expect("the loss", "loss_mmod_")
    reader.expect("the version of the detector's options", 1)  # later ones can have several windows
    width, height = reader.pair()
    for _ in range(3):  # losses per false alarm and missed target, overlap that is a match: for training
        reader.real()
    iou, covered = reader.real(), reader.real()
    for _ in range(2):  # overlap with boxes to ignore: for training
        reader.real()
    return SlidingWindow(width, height, iou, covered), _read_network(reader, layers, _read_pyramid_input)


def _read_network(
    reader: Reader, layers: Sequence[LayerKind], read_input: Callable[[Reader], Layer]
) -> list[Layer]:
    """Everything after the loss."""
    versions = [_read_version(reader, kind, innermost=False) for kind in reversed(layers[1:])]
    versions.append(_read_version(reader, layers[0], innermost=True))
    found: list[Layer] = [read_input(reader)]
    for position, (kind, version) in enumerate(zip(layers, reversed(versions), strict=True)):
        found.append(_read_layer(reader, kind))
        if kind in (Tag, Skip):
            continue
        for _ in range(3):  # set up; stale gradient; disabled output: the state of a training run
            reader.boolean()
        reader.tensor()  # gradient
        reader.tensor()  # cached output
        if position == 0:
            reader.tensor()  # gradient of the input
            if version == 3:
                reader.expect("the sample expansion factor", 1)
        elif version == 2:
            reader.tensor()  # gradient of the parameters
    reader.end()
    return found


def _read_version(reader: Reader, kind: LayerKind, *, innermost: bool) -> int:
    what = f"the version of a {kind.__name__} layer"
    allowed = (2, 3) if innermost else (1,) if kind in (Tag, Skip) else (1, 2)
    return int(reader.expect(what, *allowed))


def _read_input(reader: Reader) -> Input:
    reader.expect("the input layer", "input_rgb_image_sized")
    mean = reader.real(), reader.real(), reader.real()
    return Input(mean, *reader.pair())


def _read_pyramid_input(reader: Reader) -> PyramidInput:
    version = reader.expect("the input layer", "input_rgb_image_pyramid", "input_rgb_image_pyramid2")
    mean = reader.real(), reader.real(), reader.real()
    if version == "input_rgb_image_pyramid":
        return PyramidInput(mean, 10, 11)  # the defaults that dlib takes for such a file
    return PyramidInput(mean, *reader.pair())


def _read_layer(reader: Reader, kind: LayerKind) -> Layer:
    if kind is Convolution:
        return _read_convolution(reader)
    if kind is Affine:
        return _read_affine(reader)
    if kind is Linear:
        return _read_linear(reader)
    if kind is MaxPool:
        reader.expect("a maximum pooling", "max_pool_2")
        return MaxPool(reader.pair(), reader.pair(), reader.pair())
    if kind is AveragePool:
        reader.expect("an average pooling", "avg_pool_2")
        return AveragePool(reader.pair(), reader.pair(), reader.pair())
    if kind is ReLU:
        if reader.expect("a ReLU", "relu_", "relu_2") == "relu_2" and reader.boolean():
            raise reader.fail("a ReLU is disabled")
        return ReLU()
    if kind is Add:
        reader.expect("an addition", "add_prev_")
        return Add()
    if kind is Tag:
        return Tag()
    if kind is Skip:
        return Skip()
    raise TypeError(f"{kind.__name__} is not a layer that can stand here")


def _read_convolution(reader: Reader) -> Convolution:
    version = reader.expect("a convolution", "con_4", "con_5", "con_6")
    parameters = reader.tensor().reshape(-1)
    filters = reader.size()
    window, stride, padding = reader.pair(), reader.pair(), reader.pair()
    shape, bias_shape = reader.alias(), reader.alias()
    for _ in range(4):  # multipliers of learning rate and weight decay
        reader.real()
    if version in ("con_5", "con_6") and not reader.boolean():
        raise reader.fail("a convolution has no bias")
    if version == "con_6" and reader.boolean():
        raise reader.fail("a convolution has a ReLU fused into it")
    count = math.prod(shape)
    if shape[0] != filters or shape[2:] != window or math.prod(bias_shape) != filters:
        raise reader.fail(f"a convolution of {filters} filters, window {window}, has the shape {shape}")
    if len(parameters) != count + filters:
        raise reader.fail(f"a convolution of shape {shape} has {len(parameters):,} parameters")
    return Convolution(parameters[:count].reshape(shape), parameters[count:], stride, padding)


def _read_affine(reader: Reader) -> Affine:
    version = reader.expect("an affine layer", "affine_", "affine_2", "bn_con2")
    if version == "bn_con2":
        return _read_batch_norm(reader)
    parameters = reader.tensor().reshape(-1)
    scale, shift = math.prod(reader.alias()), math.prod(reader.alias())
    reader.expect("the mode of an affine layer", 0)  # one value per channel
    if version == "affine_2" and reader.boolean():
        raise reader.fail("an affine layer is disabled")
    if scale != shift or len(parameters) != scale + shift:
        raise reader.fail(f"an affine layer of {scale} channels has {len(parameters)} parameters")
    return Affine(parameters[:scale], parameters[scale:])


def _read_batch_norm(reader: Reader) -> Affine:
    parameters = reader.tensor().reshape(-1)
    channels, shifts = math.prod(reader.alias()), math.prod(reader.alias())
    reader.tensor(), reader.tensor()  # mean and deviation of the last batch
    mean, variance = reader.tensor().reshape(-1), reader.tensor().reshape(-1)
    reader.pair()  # batches seen, and how many count
    for _ in range(4):  # multipliers of learning rate and weight decay
        reader.real()
    epsilon = reader.real()
    if not (channels == shifts == len(mean) == len(variance) and len(parameters) == 2 * channels):
        raise reader.fail(f"a batch norm of {channels} channels has {len(parameters)} parameters")
    scale = parameters[:channels] / np.sqrt(variance + np.float32(epsilon))
    return Affine(scale, parameters[channels:] - scale * mean)


def _read_linear(reader: Reader) -> Linear:
    version = reader.expect("a linear layer", "fc_2", "fc_3")
    outputs, inputs = reader.size(), reader.size()
    parameters = reader.tensor().reshape(-1)
    shape = reader.alias()
    reader.alias()  # of the bias
    reader.expect("the bias mode of a linear layer", 1)  # none
    for _ in range(4):  # multipliers of learning rate and weight decay
        reader.real()
    if version == "fc_3":
        reader.boolean()  # whether it would use the bias that it has not
    if math.prod(shape) != outputs * inputs or len(parameters) != outputs * inputs:
        raise reader.fail(f"a linear layer from {inputs} to {outputs} has {len(parameters):,} parameters")
    return Linear(parameters.reshape(inputs, outputs).T)
