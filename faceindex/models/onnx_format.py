"""Change the shapes that an ONNX file declares, and find references to other files, without the package onnx.

An ONNX file is a protocol-buffer message: a sequence of fields, each a key (field number and wire type) and a
value. Only the fields on the way to what is needed are read; all others are copied as they are. Sources:
https://protobuf.dev/programming-guides/encoding/ and the messages in ``onnx/onnx.proto`` of
https://github.com/onnx/onnx.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from faceindex.errors import WeightsInvalid

__all__ = ["has_external_data", "with_free_input"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_FIXED_LENGTH = {_FIXED64: 8, _FIXED32: 4}

# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 11, 12, 13
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2
_SHAPE_DIMENSION = 1
_DIMENSION_SIZE, _DIMENSION_NAME = 1, 2
_TENSOR_LOCATION = 14

# Where tensors are: the fields of each message that hold a tensor, or a message that may.
_TO_TENSORS = {
    "model": {_MODEL_GRAPH: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
}


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    wire_type: int
    raw: bytes  # with its key
    value: bytes  # without key and length


def with_free_input(content: bytes, name: str, dimensions: Sequence[int | str]) -> bytes:
    """Return an ONNX file whose only input has other dimensions.

    The declared shapes of outputs and intermediate results are removed, because they follow from the input.
    Nodes and weights stay as they are. So this suits networks that work at any size, although they were
    exported for one size.

    Parameters
    ----------
    content : bytes
        The file.
    name : str
        Name of the file in errors.
    dimensions : sequence of int or str
        A number is a fixed size, a word a size that may vary from run to run.

    Raises
    ------
    WeightsInvalid
        If the content is not an ONNX file with one input.
    """
    fields = list(_fields(content, name))
    graphs = [field.value for field in fields if field.number == _MODEL_GRAPH and field.wire_type == _BYTES]
    if len(graphs) != 1:
        raise _invalid(name, f"it has {len(graphs)} graphs")
    parts, inputs = [], 0
    for field in _fields(graphs[0], name):
        if field.number == _GRAPH_INPUT:
            inputs += 1
            parts.append(_encoded(_GRAPH_INPUT, _declaration(field.value, name, dimensions)))
        elif field.number == _GRAPH_OUTPUT:
            parts.append(_encoded(_GRAPH_OUTPUT, _declaration(field.value, name, None)))
        elif field.number != _GRAPH_VALUE_INFO:
            parts.append(field.raw)
    if inputs != 1:
        raise _invalid(name, f"it has {inputs} inputs instead of 1")
    graph = _encoded(_MODEL_GRAPH, b"".join(parts))
    return b"".join(graph if field.number == _MODEL_GRAPH else field.raw for field in fields)


def has_external_data(content: bytes, name: str) -> bool:
    """Return whether a tensor of an ONNX file is in another file, also in a subgraph or a function.

    Parameters
    ----------
    content : bytes
        The file.
    name : str
        Name of the file in errors.

    Raises
    ------
    WeightsInvalid
        If the content is not an ONNX file.
    """
    messages = [("model", 0, len(content))]
    while messages:  # not by recursion: subgraphs may be nested to any depth
        kind, begin, end = messages.pop()
        for number, wire_type, _, start, stop in _spans(content, begin, end, name):
            if kind == "tensor":
                # DEFAULT is 0 and EXTERNAL 1; no other number is defined.
                if (
                    number == _TENSOR_LOCATION
                    and wire_type == _VARINT
                    and _read_varint(content, start, name)[0]
                ):
                    return True
            elif wire_type == _BYTES and number in _TO_TENSORS[kind]:
                messages.append((_TO_TENSORS[kind][number], start, stop))
    return False


def _declaration(value: bytes, name: str, dimensions: Sequence[int | str] | None) -> bytes:
    """Return the declaration of an input or output with other dimensions; None removes them."""
    parts = []
    for field in _fields(value, name):
        if field.number == _VALUE_TYPE:
            tensor = b"".join(
                _encoded(_TYPE_TENSOR, _tensor(kind.value, name, dimensions))
                for kind in _fields(field.value, name)
                if kind.number == _TYPE_TENSOR
            )
            parts.append(_encoded(_VALUE_TYPE, tensor))
        elif field.number == _VALUE_NAME:
            parts.append(field.raw)
    return b"".join(parts)


def _tensor(value: bytes, name: str, dimensions: Sequence[int | str] | None) -> bytes:
    element = b"".join(field.raw for field in _fields(value, name) if field.number == _TENSOR_ELEMENT)
    if dimensions is None:
        return element
    shape = b"".join(_encoded(_SHAPE_DIMENSION, _dimension(one)) for one in dimensions)
    return element + _encoded(_TENSOR_SHAPE, shape)


def _dimension(size: int | str) -> bytes:
    if isinstance(size, str):
        return _encoded(_DIMENSION_NAME, size.encode())
    return _varint(_DIMENSION_SIZE << 3 | _VARINT) + _varint(size)


def _fields(content: bytes, name: str) -> Iterator[_Field]:
    """Yield the fields of a message."""
    for number, wire_type, start, value_start, stop in _spans(content, 0, len(content), name):
        yield _Field(number, wire_type, content[start:stop], content[value_start:stop])


def _spans(content: bytes, begin: int, end: int, name: str) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield the fields of the message in a part of the content, without copies.

    Each is its number, its wire type, and the positions of its key, of its value and after it.
    """
    at = begin
    while at < end:
        start = at
        key, at = _read_varint(content, at, name)
        wire_type = key & 7
        value_start = at
        if wire_type == _VARINT:
            _, at = _read_varint(content, at, name)
        elif wire_type == _BYTES:
            length, value_start = _read_varint(content, at, name)
            at = value_start + length
        elif wire_type in _FIXED_LENGTH:
            at += _FIXED_LENGTH[wire_type]
        else:
            raise _invalid(name, f"byte {start:,} starts no field")
        if at > end:
            raise _invalid(name, "it ends in the middle of a field")
        yield key >> 3, wire_type, start, value_start, at


def _read_varint(content: bytes, at: int, name: str) -> tuple[int, int]:
    """Read a number of 7 bits per byte, the lowest first; returns it and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at == len(content):
            raise _invalid(name, "it ends in the middle of a number")
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _invalid(name, f"the number before byte {at:,} is too long")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _encoded(number: int, value: bytes) -> bytes:
    """Encode a field that holds bytes: a text or another message."""
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _invalid(name: str, problem: str) -> WeightsInvalid:
    return WeightsInvalid(
        f"{name} cannot be read as an ONNX file: {problem}.",
        "Delete the file and get the published one again.",
    )
