"""Files are made here by a small FlatBuffers writer."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from faceindex.errors import WeightsInvalid
from faceindex.models.tflite_format import read_operators

_BYTES = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4}


@dataclass
class Table:
    """Fields by number: (form of `struct`, value), or something stored elsewhere."""

    fields: dict[int, tuple[str, int] | Table | Scalars | Tables] = field(default_factory=dict)


@dataclass
class Scalars:
    values: np.ndarray


@dataclass
class Tables:
    members: list[Table]


def write(root: Table, identifier: bytes = b"TFL3") -> bytes:
    """Write a root and everything it refers to, each after what refers to it, as offsets require."""
    content = bytearray(8)
    content[4:8] = identifier
    _refer(content, 0, root)
    return bytes(content)


def _refer(content: bytearray, at: int, target: Table | Scalars | Tables) -> None:
    """Append `target`, and store its distance at position `at`."""
    content += bytes(-len(content) % 8)
    if isinstance(target, Table):
        slots = max(target.fields, default=-1) + 1
        fields = len(content)
        content += bytes(4 + 2 * slots)
        content += bytes(-len(content) % 4)
        table = len(content)
        content += bytes(4 + 4 * slots)  # four bytes for each field, also for smaller ones
        struct.pack_into("<HH", content, fields, 4 + 2 * slots, 4 + 4 * slots)
        struct.pack_into("<i", content, table, table - fields)
        struct.pack_into("<I", content, at, table - at)
        for number, value in target.fields.items():
            place = table + 4 + 4 * number
            struct.pack_into("<H", content, fields + 4 + 2 * number, place - table)
            if isinstance(value, tuple):
                struct.pack_into("<" + value[0], content, place, value[1])
            else:
                _refer(content, place, value)
        return
    struct.pack_into("<I", content, at, len(content) - at)
    if isinstance(target, Scalars):
        content += struct.pack("<I", len(target.values)) + target.values.tobytes()
        return
    start = len(content)
    content += struct.pack("<I", len(target.members)) + bytes(4 * len(target.members))
    for i, member in enumerate(target.members):
        _refer(content, start + 4 + 4 * i, member)


def tensor(shape: tuple[int, ...], buffer: int, kind: int = 0) -> Table:
    return Table({0: Scalars(np.array(shape, "<i4")), 1: ("b", kind), 2: ("I", buffer)})


def buffer(values: np.ndarray | None = None) -> Table:
    if values is None:
        return Table()
    return Table({0: Scalars(np.frombuffer(values.astype("<f4").tobytes(), np.uint8))})


def operator(code: int, inputs: list[int], outputs: list[int], options: Table | None = None) -> Table:
    fields: dict[int, tuple[str, int] | Table | Scalars | Tables] = {
        0: ("I", code),
        1: Scalars(np.array(inputs, "<i4")),
        2: Scalars(np.array(outputs, "<i4")),
    }
    if options is not None:
        fields[4] = options
    return Table(fields)


def model(codes: list[int], tensors: list[Table], operators: list[Table], buffers: list[Table]) -> bytes:
    graph = Table({0: Tables(tensors), 3: Tables(operators)})
    return write(
        Table(
            {
                1: Tables([Table({0: ("b", min(code, 127)), 3: ("i", code)}) for code in codes]),
                2: Tables([graph]),
                4: Tables(buffers),
            }
        )
    )


WEIGHT = np.arange(2 * 3 * 3 * 1, dtype=np.float32).reshape(2, 3, 3, 1)


def small_network(**changes: Any) -> bytes:
    """A convolution of stride (2, 1) without padding and with ReLU, and an unknown operator."""
    options = Table({0: ("b", 1), 1: ("i", 1), 2: ("i", 2), 3: ("b", 1)})
    parts: dict[str, Any] = {
        "codes": [3, 150],
        "tensors": [
            tensor((1, 8, 8, 1), 0),
            tensor(WEIGHT.shape, 1),
            tensor((2,), 0, kind=2),
        ],
        "operators": [
            operator(0, [0, 1, -1], [2], options),
            operator(1, [2], [2]),
        ],
        "buffers": [buffer(), buffer(WEIGHT)],
    }
    return model(**{**parts, **changes})


def test_reads_operators_constants_and_options():
    convolution, other = read_operators(small_network(), "x.tflite")
    assert (convolution.name, convolution.inputs, convolution.outputs) == ("CONV_2D", (0, 1, -1), (2,))
    assert convolution.stride == (2, 1)
    assert not convolution.same
    assert convolution.activation == 1
    assert convolution.constants[0] is None and convolution.constants[2] is None
    np.testing.assert_array_equal(convolution.constants[1], WEIGHT)
    assert (other.name, other.stride, other.same) == ("150", (1, 1), False)


def test_a_field_that_is_left_out_has_its_default():
    operators = [operator(0, [0, 1], [2], Table({2: ("i", 1)}))]
    (convolution,) = read_operators(small_network(operators=operators), "x.tflite")
    assert convolution.same  # SAME is 0, the default
    assert convolution.stride == (1, 0)


def test_integers_are_no_weights():
    tensors = [tensor(WEIGHT.shape, 1, kind=2)]
    operators = [operator(0, [0], [])]
    (convolution,) = read_operators(small_network(tensors=tensors, operators=operators), "x.tflite")
    assert convolution.constants == (None,)


@pytest.mark.parametrize(
    "content",
    [b"", b"TFL3", b"\0" * 64, write(Table()), write(Table(), b"ONNX")],
)
def test_other_content_is_refused(content):
    with pytest.raises(WeightsInvalid, match=r"^x\.tflite cannot be read as a TensorFlow Lite network"):
        read_operators(content, "x.tflite")


def test_a_shape_that_its_buffer_does_not_fill_is_refused():
    tensors = [tensor((2, 3, 3, 5), 1)]
    operators = [operator(0, [0], [])]
    with pytest.raises(WeightsInvalid):
        read_operators(small_network(tensors=tensors, operators=operators), "x.tflite")


def test_damaged_content_is_refused_or_read_but_never_fails_otherwise():
    content = small_network()
    refused = 0
    for stop in range(len(content)):
        with pytest.raises(WeightsInvalid):
            read_operators(content[:stop], "x.tflite")
    rng = np.random.default_rng(5)
    for _ in range(2000):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        try:
            read_operators(bytes(damaged), "x.tflite")
        except WeightsInvalid:
            refused += 1
    assert refused > 100
