"""Read networks in TensorFlow Lite's format (``.tflite``), which is a FlatBuffer.

Only what a chain of float32 convolutions needs is read: the operators of the first graph in the order of
their execution, the constant tensors that are their inputs, and the strides and padding of convolutions.
Sources: ``tensorflow/lite/schema/schema.fbs`` (numbers of the fields, codes of the operators) and the
FlatBuffers binary format (https://flatbuffers.dev/internals): all offsets are little-endian, those of tables
are relative to where they are stored, and a table begins with the distance back to the list of its fields.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from faceindex.errors import WeightsInvalid
from faceindex.types import F32

__all__ = ["Operator", "read_operators"]

# BuiltinOperator in schema.fbs; other operators are read without a name.
_NAMES = {
    0: "ADD",
    3: "CONV_2D",
    4: "DEPTHWISE_CONV_2D",
    18: "MUL",
    19: "RELU",
    22: "RESHAPE",
    41: "SUB",
    101: "ABS",
}
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_FLOAT32 = 0  # TensorType
_IDENTIFIER = b"TFL3"

# Numbers of the fields in schema.fbs.
_MODEL_CODES, _MODEL_GRAPHS, _MODEL_BUFFERS = 1, 2, 4
_CODE_OLD, _CODE = 0, 3  # the first is a byte; files since 2020 have both
_GRAPH_TENSORS, _GRAPH_OPERATORS = 0, 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER = 0, 1, 2
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS, _OPERATOR_OPTIONS = 0, 1, 2, 4
_PADDING, _STRIDE_X, _STRIDE_Y = 0, 1, 2
_ACTIVATION = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 4}
_BUFFER_DATA = 0


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of a network.

    Attributes
    ----------
    name : str
        Such as ``"CONV_2D"``; its code in the schema if this module does not know it.
    inputs, outputs : tuple of int
        Numbers of tensors; -1 is an input that is left out.
    constants : tuple of (float32 array or None)
        Parallel to `inputs`: the value of a constant input, None for one that is computed. Views of the
        content, read-only.
    stride : tuple of int
        Rows and columns, for convolutions; (1, 1) otherwise.
    same : bool
        Whether a convolution pads its input so that the output has ceil(size / stride) rows and columns.
    activation : int
        Code of the activation that is fused into a convolution; 0 for none.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: tuple[F32 | None, ...]
    stride: tuple[int, int] = (1, 1)
    same: bool = False
    activation: int = 0


class _Tensor(NamedTuple):
    shape: tuple[int, ...]
    kind: int
    buffer: int


def read_operators(content: bytes, name: str) -> list[Operator]:
    """Read the operators of the first graph of a network.

    Parameters
    ----------
    content : bytes
        The whole file.
    name : str
        Name of the file in errors.

    Raises
    ------
    WeightsInvalid
        If it is not such a file, ends early, or contradicts itself.
    """
    try:
        return _read(_Bytes(content))
    except (struct.error, ValueError, IndexError) as error:
        # Every read checks its bounds, by `struct` or numpy, and ends here.
        raise WeightsInvalid(
            f"{name} cannot be read as a TensorFlow Lite network: {error}.",
            "Delete the file and get the published one again.",
        ) from error


class _Bytes:
    """Values at positions of the content."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def unpack(self, form: str, at: int) -> int:
        if at < 0:
            raise ValueError(f"an offset points before the file ({at})")
        value: int = struct.unpack_from("<" + form, self.content, at)[0]
        return value

    def follow(self, at: int) -> int:
        """Return the position that the offset at `at` points to."""
        return at + self.unpack("I", at)

    def field(self, table: int, number: int) -> int | None:
        """Return the position of a field of a table; None if the table leaves it out."""
        fields = table - self.unpack("i", table)
        slot = 4 + 2 * number
        if slot + 2 > self.unpack("H", fields):
            return None
        offset = self.unpack("H", fields + slot)
        return table + offset if offset else None

    def number(self, table: int, number: int, form: str, default: int = 0) -> int:
        at = self.field(table, number)
        return default if at is None else self.unpack(form, at)

    def vector(self, table: int, number: int, dtype: str) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
        at = self.field(table, number)
        if at is None:
            return np.empty(0, dtype)
        at = self.follow(at)
        return np.frombuffer(self.content, dtype, self.unpack("I", at), at + 4)

    def tables(self, table: int, number: int) -> list[int]:
        """Return the positions of the tables in a vector of tables."""
        at = self.field(table, number)
        if at is None:
            return []
        at = self.follow(at)
        count = self.unpack("I", at)
        if 4 * count > len(self.content) - at:
            raise ValueError(f"a list of {count} entries is longer than the file")
        return [self.follow(at + 4 + 4 * i) for i in range(count)]


def _read(data: _Bytes) -> list[Operator]:
    if data.content[4:8] != _IDENTIFIER:
        raise ValueError("it does not begin as one")
    model = data.follow(0)
    graphs = data.tables(model, _MODEL_GRAPHS)
    if not graphs:
        raise ValueError("it contains no graph")
    codes = [
        max(data.number(code, _CODE_OLD, "b"), data.number(code, _CODE, "i"))
        for code in data.tables(model, _MODEL_CODES)
    ]
    buffers = data.tables(model, _MODEL_BUFFERS)
    tensors = [
        _Tensor(
            tuple(data.vector(tensor, _TENSOR_SHAPE, "<i4").tolist()),
            data.number(tensor, _TENSOR_TYPE, "b"),
            data.number(tensor, _TENSOR_BUFFER, "I"),
        )
        for tensor in data.tables(graphs[0], _GRAPH_TENSORS)
    ]

    def constant(number: int) -> F32 | None:
        if not 0 <= number < len(tensors):
            return None
        shape, kind, buffer = tensors[number]
        content = data.vector(buffers[buffer], _BUFFER_DATA, "u1")
        if kind != _FLOAT32 or not len(content):
            return None
        values: F32 = content.view("<f4").reshape(shape).astype(np.float32, copy=False)
        return values

    return [
        _operator(data, operator, codes, constant) for operator in data.tables(graphs[0], _GRAPH_OPERATORS)
    ]


def _operator(data: _Bytes, table: int, codes: list[int], constant: Callable[[int], F32 | None]) -> Operator:
    code = codes[data.number(table, _OPERATOR_CODE, "I")]
    name = _NAMES.get(code, str(code))
    inputs = tuple(data.vector(table, _OPERATOR_INPUTS, "<i4").tolist())
    outputs = tuple(data.vector(table, _OPERATOR_OUTPUTS, "<i4").tolist())
    constants = tuple(constant(number) for number in inputs)
    at = data.field(table, _OPERATOR_OPTIONS)
    if name not in _CONVOLUTIONS or at is None:
        return Operator(name, inputs, outputs, constants)
    options = data.follow(at)
    stride = data.number(options, _STRIDE_Y, "i"), data.number(options, _STRIDE_X, "i")
    return Operator(
        name,
        inputs,
        outputs,
        constants,
        stride,
        data.number(options, _PADDING, "b") == 0,
        data.number(options, _ACTIVATION[name], "b"),
    )
