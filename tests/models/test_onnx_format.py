"""Changing the declared shapes of ONNX files."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from faceindex.errors import WeightsInvalid
from faceindex.models.onnx_format import with_free_input
from faceindex.onnx_sessions import OnnxSession


def test_a_network_for_one_size_runs_at_any(onnx_messages: ModuleType) -> None:
    fixed = onnx_messages.relu_model(shape=(1, 3))
    x = np.array([[-1, 2, 3, -4]] * 2, np.float32)
    with pytest.raises(Exception, match="invalid dimensions"):
        OnnxSession(fixed, "relu.onnx").run({"x": x})
    free = with_free_input(fixed, "relu.onnx", ("rows", "columns"))
    (y,) = OnnxSession(free, "relu.onnx").run({"x": x})
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_only_declarations_change(onnx_messages: ModuleType) -> None:
    expected = onnx_messages.message(
        (1, 6),
        (2, "tests"),
        (
            7,
            onnx_messages.message(
                (1, onnx_messages.message((1, "x"), (2, "m"), (4, "Relu"))),
                (1, onnx_messages.message((1, "m"), (2, "y"), (4, "Relu"))),
                (2, "graph"),
                (11, onnx_messages.value("x", "rows", 200)),
                (
                    12,
                    onnx_messages.message(
                        (1, "y"), (2, onnx_messages.message((1, onnx_messages.message((1, 1)))))
                    ),
                ),
            ),
        ),
        (8, onnx_messages.message((1, ""), (2, 11))),
    )
    assert with_free_input(onnx_messages.relu_model(shape=(1, 3)), "relu.onnx", ("rows", 200)) == expected


def test_a_fixed_size_can_be_declared(onnx_messages: ModuleType) -> None:
    model = with_free_input(onnx_messages.relu_model(shape=("rows", 3)), "relu.onnx", (1, 300))
    session = OnnxSession(model, "relu.onnx")
    assert session.run({"x": np.ones((1, 300), np.float32)})[0].shape == (1, 300)
    with pytest.raises(Exception, match="invalid dimensions"):
        session.run({"x": np.ones((1, 301), np.float32)})


def test_other_content_is_refused(onnx_messages: ModuleType) -> None:
    message, relu_model, value = onnx_messages.message, onnx_messages.relu_model, onnx_messages.value
    for content, problem in (
        (b"", "it has 0 graphs"),
        (message((1, 6)), "it has 0 graphs"),
        (message((7, b"")), "it has 0 inputs"),
        (relu_model((11, value("z", 1))), "it has 2 inputs"),
        (message((7, b""), (7, b"")), "it has 2 graphs"),
        (relu_model()[:-1], "it ends in the middle of a field"),
        (b"\x3a\x80", "it ends in the middle of a number"),
        (b"\x3a" + b"\xff" * 11, "the number before byte 11 is too long"),
        (b"\x3b", "byte 0 starts no field"),
        (b"\x09\x00", "it ends in the middle of a field"),
    ):
        with pytest.raises(WeightsInvalid, match=rf"x\.onnx cannot be read as an ONNX file: {problem}"):
            with_free_input(content, "x.onnx", ("n",))


def test_every_cut_of_a_file_is_refused_or_read(onnx_messages: ModuleType) -> None:
    whole = onnx_messages.relu_model()
    for length in range(len(whole)):
        try:
            with_free_input(whole[:length], "x.onnx", ("n", 3))
        except WeightsInvalid:
            continue
        assert length > len(whole) - 10  # only the last field is missing
