"""Export MobileFaceNet, a real network, from its TensorFlow Lite file to an ONNX file."""

from __future__ import annotations

from itertools import islice

import numpy as np
import onnx_files
from numpy.typing import NDArray

from faceindex.models.tflite_format import Operator, read_operators

__all__ = ["to_onnx"]

_PRELU = ["RELU", "ABS", "SUB", "MUL", "ADD"]  # relu(x) + alpha / 2 * (x - |x|)


def to_onnx(content: bytes, batch: int | str = "n") -> bytes:
    """Translate one operator after the other; only the five that make up each PReLU become one.

    Parameters
    ----------
    content : bytes
        ``mobilefacenet.tflite``.
    batch : int or str
        Size of the batch in the declared input; a name for any size.

    Returns
    -------
    bytes
        A network from (n, 3, 112, 112) to (n, 192).
    """
    nodes: list[bytes] = []
    constants: list[bytes] = []
    operators = read_operators(content, "mobilefacenet.tflite")
    names = {operators[0].inputs[0]: "x"}
    rest = iter(operators)
    for operator in rest:
        name = f"t{operator.outputs[0]}"
        inputs = [names.get(number, f"t{number}") for number in operator.inputs]
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            nodes.append(_convolution(operator, inputs[0], name, constants))
        elif operator.name == "RELU":
            following = [operator, *islice(rest, 4)]
            assert [each.name for each in following] == _PRELU
            name = f"t{following[-1].outputs[0]}"
            half = _constant(following[3])
            constants.append(onnx_files.tensor(f"{name}.slope", 2 * half.reshape(-1, 1, 1)))
            nodes.append(onnx_files.node("PRelu", [inputs[0], f"{name}.slope"], [name]))
        elif operator.name == "RESHAPE":
            nodes.append(onnx_files.node("Flatten", inputs[:1], [name]))
        else:
            assert operator.name == "ADD"
            nodes.append(onnx_files.node("Add", inputs, [name]))
    return onnx_files.model(
        nodes,
        [onnx_files.value_info("x", [batch, 3, 112, 112])],
        [onnx_files.value_info(name, [batch, 192])],
        constants,
    )


def _convolution(operator: Operator, source: str, name: str, constants: list[bytes]) -> bytes:
    depthwise = operator.name == "DEPTHWISE_CONV_2D"
    _, weight, bias = operator.constants
    assert weight is not None
    assert bias is not None
    assert operator.activation == 0
    weight = weight.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    constants += [onnx_files.tensor(f"{name}.weight", weight), onnx_files.tensor(f"{name}.bias", bias)]
    return onnx_files.node(
        "Conv",
        [source, f"{name}.weight", f"{name}.bias"],
        [name],
        onnx_files.attribute("strides", operator.stride),
        onnx_files.attribute("group", len(weight) if depthwise else 1),
        onnx_files.attribute("auto_pad", "SAME_UPPER" if operator.same else "VALID"),
    )


def _constant(operator: Operator) -> NDArray[np.float32]:
    (found,) = [constant for constant in operator.constants if constant is not None]
    return found
