"""Read networks that dlib has serialised (the ``.dat`` files of ``dlib-models``).

The format has no index and no lengths: a file can only be read from front to back, with the expected
layers known in advance. Sources: ``dlib/serialize.h`` (integers, strings, booleans),
``dlib/float_details.h`` (reals), ``dlib/cuda/tensor.h`` (tensors), ``dlib/dnn/core.h`` (nesting of
layers) and ``dlib/dnn/layers.h``, ``input.h``, ``loss.h`` (content of each layer):

- An *integer* is a control byte (sign in the top bit, number of bytes in the low four) and that
  many bytes, little-endian.
- A *real* is two integers, mantissa and exponent: ``mantissa * 2 ** exponent``.
- A *tensor* is a version, four sizes and its values as little-endian float32; an *alias* is a
  version and four sizes, a view of a slice of another tensor.
- A *network* is stored from its output to its input: first the version of every layer in that order,
  then the input, then the contents of the layers in reverse order.

This module reads networks trained with ``loss_metric`` (outputs are vectors) and with ``loss_mmod`` (a
detector that slides a window over a pyramid of the image, King 2015, https://arxiv.org/abs/1502.00046).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from faceindex.errors import WeightsInvalid
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
    PyramidInput,
    ReLU,
    Skip,
    SlidingWindow,
    Tag,
)
from faceindex.types import F32

__all__ = ["DlibReader", "read_metric_network", "read_mmod_network"]

_INFINITY, _MINUS_INFINITY, _NAN = 32000, 32001, 32002  # special exponents, float_details.h


class DlibReader:
    """Read values one after the other.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        Name of the file in errors.

    Notes
    -----
    Every method raises `WeightsInvalid` if the content ends early or has another value than expected.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._content = memoryview(content)
        self._name = name
        self._at = 0

    def fail(self, problem: str) -> WeightsInvalid:
        """Create the error to raise for a problem at the current position."""
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
        """Read an integer of up to 8 bytes."""
        control = self._take(1)[0]
        count = control & 0x0F
        if control & 0x70 or not 1 <= count <= 8:
            raise self.fail(f"0x{control:02x} does not start an integer")
        magnitude = int.from_bytes(self._take(count), "little")
        return -magnitude if control & 0x80 else magnitude

    def size(self) -> int:
        """Read an integer that must not be negative."""
        value = self.integer()
        if value < 0:
            raise self.fail(f"{value} is not a size")
        return value

    def real(self) -> float:
        """Read a floating-point number in the binary encoding (dlib before version 18 wrote text)."""
        mantissa, exponent = self.integer(), self.integer()
        special = {_INFINITY: math.inf, _MINUS_INFINITY: -math.inf, _NAN: math.nan}
        if exponent in special:
            return special[exponent]
        try:
            return math.ldexp(mantissa, exponent)
        except OverflowError:
            raise self.fail(f"{mantissa} * 2 ** {exponent} is not a number") from None

    def boolean(self) -> bool:
        """Read a boolean: the character ``0`` or ``1``."""
        value = bytes(self._take(1))
        if value not in (b"0", b"1"):
            raise self.fail(f"{value!r} is not a boolean")
        return value == b"1"

    def text(self) -> str:
        """Read a string: its length, then its bytes."""
        raw = bytes(self._take(self.size()))
        try:
            return raw.decode("ascii")
        except UnicodeDecodeError:
            raise self.fail("a name is not ASCII text") from None

    def expect(self, what: str, *allowed: int | str) -> int | str:
        """Read an integer or a string that must be one of `allowed`, which have one type."""
        value = self.text() if isinstance(allowed[0], str) else self.integer()
        if value not in allowed:
            raise self.fail(f"{what} is {value!r}, not {' or '.join(map(repr, allowed))}")
        return value

    def pair(self) -> tuple[int, int]:
        """Read two sizes: vertical and horizontal."""
        return self.size(), self.size()

    def alias(self) -> tuple[int, int, int, int]:
        """Read the shape of an alias: samples, channels, rows, columns."""
        self.expect("the version of an alias", 1)
        return self.size(), self.size(), self.size(), self.size()

    def tensor(self) -> F32:
        """Read a float32 tensor (samples, channels, rows, columns) that shares memory with the content."""
        self.expect("the version of a tensor", 2)
        shape = self.size(), self.size(), self.size(), self.size()
        values = np.frombuffer(self._take(4 * math.prod(shape)), "<f4")
        return values.astype(np.float32, copy=False).reshape(shape)

    def end(self) -> None:
        """Check that the whole content was read."""
        if left := len(self._content) - self._at:
            raise self.fail(f"{left:,} bytes follow the network")


def read_metric_network(content: bytes, name: str, layers: Sequence[LayerKind]) -> list[Layer]:
    """Read a network trained with ``loss_metric``.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        Name of the file in errors.
    layers : sequence of layer classes
        Expected layers from input to output, without the `Input` and the loss.

    Returns
    -------
    list of Layer
        The `Input`, then one layer per element of `layers`. Arrays are read-only and share memory
        with `content`.

    Raises
    ------
    WeightsInvalid
        If the content is not such a network.
    """
    reader = DlibReader(content, name)
    reader.expect("the version of the loss layer", 1)
    if reader.expect("the loss", "loss_metric_", "loss_metric_2") == "loss_metric_2":
        reader.real()  # margin
        reader.real()  # distance threshold
    return _read_network(reader, layers, _read_input)


def read_mmod_network(
    content: bytes, name: str, layers: Sequence[LayerKind]
) -> tuple[SlidingWindow, list[Layer]]:
    """Read a detector with one window, trained with ``loss_mmod``.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        Name of the file in errors.
    layers : sequence of layer classes
        Expected layers from input to output, without the `PyramidInput` and the loss.

    Returns
    -------
    window : SlidingWindow
    layers : list of Layer
        The `PyramidInput`, then one layer per element of `layers`, as in `read_metric_network`.

    Raises
    ------
    WeightsInvalid
        If the content is not such a network.
    """
    reader = DlibReader(content, name)
    reader.expect("the version of the loss layer", 1)
    reader.expect("the loss", "loss_mmod_")
    reader.expect("the version of the detector's options", 1)  # later versions can have several windows
    width, height = reader.pair()
    for _ in range(3):  # training: loss per false alarm, loss per missed target, overlap of a match
        reader.real()
    iou, covered = reader.real(), reader.real()
    for _ in range(2):  # training: overlap with boxes to ignore
        reader.real()
    return SlidingWindow(width, height, iou, covered), _read_network(reader, layers, _read_pyramid_input)


def _read_network(
    reader: DlibReader, layers: Sequence[LayerKind], read_input: Callable[[DlibReader], Layer]
) -> list[Layer]:
    """Read everything after the loss."""
    versions = [_read_version(reader, kind, innermost=False) for kind in reversed(layers[1:])]
    versions.append(_read_version(reader, layers[0], innermost=True))
    found: list[Layer] = [read_input(reader)]
    for position, (kind, version) in enumerate(zip(layers, reversed(versions), strict=True)):
        found.append(_read_layer(reader, kind))
        if kind in (Tag, Skip):
            continue
        for _ in range(3):  # state of training: set up, stale gradient, disabled output
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


def _read_version(reader: DlibReader, kind: LayerKind, *, innermost: bool) -> int:
    what = f"the version of a {kind.__name__} layer"
    allowed = (2, 3) if innermost else (1,) if kind in (Tag, Skip) else (1, 2)
    return int(reader.expect(what, *allowed))


def _read_input(reader: DlibReader) -> Input:
    reader.expect("the input layer", "input_rgb_image_sized")
    mean = reader.real(), reader.real(), reader.real()
    return Input(mean, *reader.pair())


def _read_pyramid_input(reader: DlibReader) -> PyramidInput:
    version = reader.expect("the input layer", "input_rgb_image_pyramid", "input_rgb_image_pyramid2")
    mean = reader.real(), reader.real(), reader.real()
    if version == "input_rgb_image_pyramid":
        return PyramidInput(mean, 10, 11)  # dlib's defaults for files of this version
    return PyramidInput(mean, *reader.pair())


def _read_layer(reader: DlibReader, kind: LayerKind) -> Layer:
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
    raise TypeError(f"{kind.__name__} is not a layer between input and loss")


def _read_convolution(reader: DlibReader) -> Convolution:
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


def _read_affine(reader: DlibReader) -> Affine:
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


def _read_batch_norm(reader: DlibReader) -> Affine:
    parameters = reader.tensor().reshape(-1)
    channels, shifts = math.prod(reader.alias()), math.prod(reader.alias())
    reader.tensor(), reader.tensor()  # mean and deviation of the last batch
    mean, variance = reader.tensor().reshape(-1), reader.tensor().reshape(-1)
    reader.pair()  # number of batches seen, and the window of the running average
    for _ in range(4):  # multipliers of learning rate and weight decay
        reader.real()
    epsilon = reader.real()
    if not (channels == shifts == len(mean) == len(variance) and len(parameters) == 2 * channels):
        raise reader.fail(f"a batch norm of {channels} channels has {len(parameters)} parameters")
    scale = parameters[:channels] / np.sqrt(variance + np.float32(epsilon))
    return Affine(scale, parameters[channels:] - scale * mean)


def _read_linear(reader: DlibReader) -> Linear:
    version = reader.expect("a linear layer", "fc_2", "fc_3")
    outputs, inputs = reader.size(), reader.size()
    parameters = reader.tensor().reshape(-1)
    shape = reader.alias()
    reader.alias()  # shape of the bias
    reader.expect("the bias mode of a linear layer", 1)  # none
    for _ in range(4):  # multipliers of learning rate and weight decay
        reader.real()
    if version == "fc_3":
        reader.boolean()  # whether to use the bias, which does not exist
    if math.prod(shape) != outputs * inputs or len(parameters) != outputs * inputs:
        raise reader.fail(f"a linear layer from {inputs} to {outputs} has {len(parameters):,} parameters")
    return Linear(parameters.reshape(inputs, outputs).T)
