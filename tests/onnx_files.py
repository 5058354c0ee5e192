"""Write small ONNX networks, without the onnx package.

The numbers are those of the fields in ``onnx.proto`` (https://github.com/onnx/onnx); the encoding is that of
Protocol Buffers (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["attribute", "embedder", "model", "node", "tensor", "value_info"]

_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
UINT8 = 2


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def tensor(name: str, values: NDArray[np.generic]) -> bytes:
    """Encode a TensorProto of float32 or int64."""
    kind = _INT64 if values.dtype == np.int64 else _FLOAT
    dims = b"".join(_number(1, size) for size in values.shape)
    return dims + _number(2, kind) + _bytes(8, name) + _bytes(9, np.ascontiguousarray(values).tobytes())


def attribute(name: str, value: int | str | Sequence[int]) -> bytes:
    """Encode an AttributeProto of a text, or of one or several integers."""
    if isinstance(value, str):
        return _bytes(1, name) + _bytes(4, value) + _number(20, 3)
    if isinstance(value, int):
        return _bytes(1, name) + _number(3, value) + _number(20, 2)
    return _bytes(1, name) + b"".join(_number(8, each) for each in value) + _number(20, 7)


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], *attributes: bytes) -> bytes:
    """Encode a NodeProto."""
    names = [*(_bytes(1, name) for name in inputs), *(_bytes(2, name) for name in outputs)]
    return b"".join(names) + _bytes(4, kind) + b"".join(_bytes(5, each) for each in attributes)


def value_info(name: str, shape: Sequence[int | str], kind: int = _FLOAT) -> bytes:
    """Encode a ValueInfoProto; a dimension is a number or the name of any number."""
    dims = b"".join(_bytes(1, _number(1, n) if isinstance(n, int) else _bytes(2, n)) for n in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, dims)))


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    initializers: Sequence[bytes] = (),
) -> bytes:
    """Encode a ModelProto."""
    graph = b"".join(
        [
            *(_bytes(1, each) for each in nodes),
            _bytes(2, "graph"),
            *(_bytes(5, each) for each in initializers),
            *(_bytes(11, each) for each in inputs),
            *(_bytes(12, each) for each in outputs),
        ]
    )
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13))


def weights(dimension: int) -> NDArray[np.float32]:
    """Return the matrix (48, d) of `embedder`."""
    return np.random.default_rng(dimension).standard_normal((48, dimension)).astype(np.float32)


def embedder(
    dimension: int = 24,
    *,
    size: int = 112,
    batch: int | str = "n",
    shape: Sequence[int | str] | None = None,
    kind: int = _FLOAT,
    scale: float = 1.0,
    lengths: bool = False,
    extra_input: bool = False,
) -> bytes:
    """Return a network: the means of 4 x 4 blocks of a chip, times a random matrix; see `expected`.

    Parameters
    ----------
    batch : int or str
        Size of the batch in the declared input: fixed, or a name.
    shape : sequence, optional
        Another declared shape of the input.
    scale : float
        Factor of the output.
    lengths : bool
        Return vectors of unit length, and their former lengths as a second output.
    extra_input : bool
        Require a second input.
    """
    block = [size // 4] * 2
    nodes = [
        node("AveragePool", ["x"], ["means"], attribute("kernel_shape", block), attribute("strides", block)),
        node("Flatten", ["means"], ["flat"], attribute("axis", 1)),
        node("MatMul", ["flat", "w"], ["raw"]),
    ]
    initializers = [tensor("w", weights(dimension) * np.float32(scale))]
    outputs = [value_info("raw", [batch, dimension])]
    if lengths:
        nodes += [
            node("ReduceL2", ["raw"], ["norm"], attribute("axes", [1])),
            node("Div", ["raw", "norm"], ["unit"]),
        ]
        outputs = [value_info("unit", [batch, dimension]), value_info("norm", [batch, 1])]
    inputs = [value_info("x", shape or [batch, 3, size, size], kind)]
    if extra_input:
        inputs.append(value_info("y", [1]))
        nodes.append(node("Identity", ["y"], ["z"]))
        outputs.append(value_info("z", [1]))
    return model(nodes, inputs, outputs, initializers)


def expected(
    chips: NDArray[np.uint8], dimension: int, *, mean: float, divisor: float, bgr: bool = False
) -> NDArray[np.float32]:
    """Compute the output (n, d) of `embedder` for chips (n, s, s, 3) RGB."""
    block = chips.shape[1] // 4
    x = (chips[..., ::-1] if bgr else chips).astype(np.float64)
    blocks = ((x - mean) / divisor).reshape(len(chips), 4, block, 4, block, 3).mean(axis=(2, 4))
    flat = blocks.transpose(0, 3, 1, 2).reshape(len(chips), 48)
    found: NDArray[np.float32] = (flat @ weights(dimension)).astype(np.float32)
    return found
