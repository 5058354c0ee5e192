"""Encodes small ONNX files by hand; field numbers are those of ``onnx.proto``."""

from __future__ import annotations

__all__ = ["message", "relu_model", "value"]

Field = tuple[int, "int | bytes | str"]


def message(*fields: Field) -> bytes:
    """Encode fields: a number as a varint, bytes and text with their length."""
    encoded = b""
    for number, content in fields:
        if isinstance(content, int):
            encoded += _varint(number << 3) + _varint(content)
        else:
            data = content.encode() if isinstance(content, str) else content
            encoded += _varint(number << 3 | 2) + _varint(len(data)) + data
    return encoded


def value(name: str, *dimensions: int | str) -> bytes:
    """Declare a float32 array."""
    shape = message(*((1, message((1 if isinstance(one, int) else 2, one))) for one in dimensions))
    return message((1, name), (2, message((1, message((1, 1), (2, shape))))))


def relu_model(*graph: Field, shape: tuple[int | str, ...] = (1, 3)) -> bytes:
    """Return a file that computes ``max(x, 0)`` twice, with further fields of its graph."""
    nodes = [message((1, "x"), (2, "m"), (4, "Relu")), message((1, "m"), (2, "y"), (4, "Relu"))]
    declared = [(11, value("x", *shape)), (12, value("y", *shape)), (13, value("m", *shape))]
    body = message(*((1, node) for node in nodes), (2, "graph"), *declared, *graph)
    return message((1, 6), (2, "tests"), (7, body), (8, message((1, ""), (2, 11))))


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
