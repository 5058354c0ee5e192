from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from faceindex.errors import WeightsInvalid
from faceindex.models.dlib_format import DlibReader, read_metric_network, read_mmod_network
from faceindex.models.dlib_layers import (
    Add,
    Affine,
    AveragePool,
    Convolution,
    Input,
    LayerKind,
    Linear,
    MaxPool,
    PyramidInput,
    ReLU,
    Skip,
    SlidingWindow,
    Tag,
)


def integer(value: int) -> bytes:
    magnitude = abs(value)
    count = max(1, (magnitude.bit_length() + 7) // 8)
    return bytes([count | (0x80 if value < 0 else 0)]) + magnitude.to_bytes(count, "little")


def text(value: str) -> bytes:
    return integer(len(value)) + value.encode()


def real(mantissa: int, exponent: int) -> bytes:
    return integer(mantissa) + integer(exponent)


def tensor(values: np.ndarray) -> bytes:
    shape = (*values.shape, *(1,) * (4 - values.ndim)) if values.size else (0, 0, 0, 0)
    return integer(2) + b"".join(map(integer, shape)) + values.astype("<f4").tobytes()


def alias(*shape: int) -> bytes:
    return integer(1) + b"".join(map(integer, shape))


NOTHING = tensor(np.empty(0))
STATE = b"100" + NOTHING + NOTHING
ONE = real(1, 0)

WEIGHT = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2) - 5
BIAS = np.array([0.5, -1], np.float32)
SCALE, SHIFT = np.array([2, 3], np.float32), np.array([-1, 4], np.float32)
HEAD = np.arange(6, dtype=np.float32).reshape(2, 3)  # inputs, outputs: dlib's order

KINDS: tuple[LayerKind, ...] = (Convolution, Affine, ReLU, MaxPool, Tag, Skip, Add, AveragePool, Linear)


def network(*, mode: int = 0, last: bytes = b"", con: str = "con_4", fc: str = "fc_2") -> bytes:
    versions = [2, 2, 2, 1, 1, 2, 2, 2]  # from Linear to Affine; Tag and Skip have version 1
    contents = [
        text("affine_") + tensor(np.concatenate([SCALE, SHIFT])) + alias(1, 2, 1, 1) * 2 + integer(mode),
        text("relu_"),
        text("max_pool_2") + b"".join(map(integer, (3, 3, 2, 2, 0, 0))),
        text("add_prev_"),
        text("avg_pool_2") + b"".join(map(integer, (0, 0, 1, 1, 0, 0))),
        text(fc)
        + integer(3)
        + integer(2)
        + tensor(HEAD)
        + alias(2, 3, 1, 1)
        + alias(0, 0, 0, 0)
        + integer(1)
        + ONE * 4
        + (b"1" if fc == "fc_3" else b""),
    ]
    convolution = (
        text(con)
        + tensor(np.concatenate([WEIGHT.ravel(), BIAS]))
        + b"".join(map(integer, (2, 2, 2, 2, 2, 0, 0)))
        + alias(2, 3, 2, 2)
        + alias(1, 2, 1, 1)
        + ONE * 4
        + {"con_4": b"", "con_5": b"1", "con_6": b"10"}[con]
    )
    return b"".join(
        [
            integer(1) + text("loss_metric_2") + real(5, -7) + real(3, -2),
            *map(integer, versions),
            integer(2) + text("input_rgb_image_sized") + real(123, 0) + real(117, 0) + real(-209, -1),
            integer(8) + integer(9),
            convolution + STATE + NOTHING,
            *(content + STATE + NOTHING for content in contents),
            last,
        ]
    )


@pytest.mark.parametrize("value", [0, 1, -1, 127, 128, 255, -256, 22_466_066, 2**63 - 1, -(2**62)])
def test_integers_of_all_lengths(value: int) -> None:
    reader = DlibReader(integer(value), "x.dat")
    assert reader.integer() == value
    reader.end()


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (real(0, 11), 0.0),
        (real(-3, -1), -1.5),
        (real(16, -4), 1.0),
        (real(0x81F59062 >> 8, -16), math.ldexp(0x81F590, -16)),
        (real(1, 32000), math.inf),
        (real(1, 32001), -math.inf),
    ],
)
def test_reals(encoded: bytes, value: float) -> None:
    assert DlibReader(encoded, "x.dat").real() == value


def test_nan_is_read() -> None:
    assert math.isnan(DlibReader(real(0, 32002), "x.dat").real())


def test_bytes_of_the_published_file() -> None:
    # The first bytes of the published file: loss layer, version, name, margin of 0.04.
    start = bytes.fromhex("01 01 01 0d") + b"loss_metric_2" + bytes.fromhex("03 0a d7 a3 81 1c")
    reader = DlibReader(start, "x.dat")
    assert reader.integer() == 1
    assert reader.text() == "loss_metric_2"
    assert reader.real() == float(np.float32(0.04))
    reader.end()


def test_tensor_has_its_shape_and_shares_memory() -> None:
    values = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    found = DlibReader(tensor(values), "x.dat").tensor()
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.float32
    assert not found.flags.writeable


@pytest.mark.parametrize("con", ["con_4", "con_5", "con_6"])
@pytest.mark.parametrize("fc", ["fc_2", "fc_3"])
def test_network(con: str, fc: str) -> None:
    found = read_metric_network(network(con=con, fc=fc), "x.dat", KINDS)
    assert [type(layer) for layer in found] == [Input, *KINDS]
    first, convolution, affine, _, pool, *_, whole, linear = found
    assert first == Input((123.0, 117.0, -104.5), 8, 9)
    assert isinstance(convolution, Convolution)
    np.testing.assert_array_equal(convolution.weight, WEIGHT)
    np.testing.assert_array_equal(convolution.bias, BIAS)
    assert (convolution.stride, convolution.padding) == ((2, 2), (0, 0))
    assert isinstance(affine, Affine)
    np.testing.assert_array_equal(affine.scale, SCALE)
    np.testing.assert_array_equal(affine.shift, SHIFT)
    assert pool == MaxPool((3, 3), (2, 2), (0, 0))
    assert whole == AveragePool((0, 0), (1, 1), (0, 0))
    assert isinstance(linear, Linear)
    np.testing.assert_array_equal(linear.weight, HEAD.T)


def test_a_network_truncated_anywhere_is_invalid() -> None:
    whole = network()
    for length in range(len(whole)):
        with pytest.raises(WeightsInvalid):
            read_metric_network(whole[:length], "x.dat", KINDS)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: c + b"\x01", "1 bytes follow the network"),
        (lambda c: b"\x01\x02" + c[2:], "the version of the loss layer is 2, not 1"),
        (lambda c: b"\x41" + c[1:], "0x41 does not start an integer"),
        (lambda c: b"\x09" + c[1:], "0x09 does not start an integer"),
        (lambda c: c.replace(b"relu_", b"rel!_"), "a ReLU is 'rel!_', not 'relu_' or 'relu_2'"),
        (lambda c: c.replace(b"relu_", b"\xff\xff\xff\xff\xff"), "a name is not ASCII text"),
        (lambda c: c.replace(b"100", b"1x0", 1), "b'x' is not a boolean"),
        (lambda c: c.replace(tensor(HEAD), integer(2) + integer(-2)), "-2 is not a size"),
        (lambda c: c.replace(tensor(HEAD), tensor(HEAD[:1])), "has 3 parameters"),
        (lambda c: c.replace(alias(2, 3, 2, 2), alias(2, 3, 2, 1)), "has the shape"),
        (lambda c: c.replace(alias(1, 2, 1, 1) * 2, alias(1, 1, 1, 1) * 2), "an affine layer of 1 channels"),
        (lambda c: c.replace(real(5, -7), real(5, 31000)), "is not a number"),
    ],
)
def test_damage_is_described(damage: Callable[[bytes], bytes], message: str) -> None:
    content = network()
    damaged = damage(content)
    assert damaged != content
    with pytest.raises(WeightsInvalid) as caught:
        read_metric_network(damaged, "x.dat", KINDS)
    assert message in caught.value.problem
    assert caught.value.problem.startswith("x.dat cannot be read")


def test_an_affine_layer_of_another_mode_is_invalid() -> None:
    with pytest.raises(WeightsInvalid, match="the mode of an affine layer is 1, not 0"):
        read_metric_network(network(mode=1), "x.dat", KINDS)


def test_the_size_of_a_tensor_is_checked_before_allocation() -> None:
    content = integer(2) + integer(2**40) * 4
    with pytest.raises(WeightsInvalid, match="more bytes should follow"):
        DlibReader(content, "x.dat").tensor()


MMOD_KINDS: tuple[LayerKind, ...] = (Convolution, Affine, ReLU)
MEAN, VARIANCE = np.array([0.5, -1], np.float32), np.array([0.21, 3.99], np.float32)


def detector(*, options: int = 1, form: str = "input_rgb_image_pyramid", channels: int = 2) -> bytes:
    convolution = (
        text("con_4")
        + tensor(np.concatenate([WEIGHT.ravel(), BIAS]))
        + b"".join(map(integer, (2, 2, 2, 1, 1, 0, 0)))
        + alias(2, 3, 2, 2)
        + alias(1, 2, 1, 1)
        + ONE * 4
    )
    batch_norm = (
        text("bn_con2")
        + tensor(np.concatenate([SCALE, SHIFT]))
        + alias(1, channels, 1, 1) * 2
        + tensor(BIAS) * 2
        + tensor(MEAN)
        + tensor(VARIANCE)
        + integer(100) * 2
        + ONE * 4
        + real(5243, -19)  # about 0.01
    )
    return b"".join(
        [
            integer(1) + text("loss_mmod_") + integer(options) + integer(70) + integer(90),
            ONE * 3 + real(3, -3) + real(7, -3) + ONE * 2,
            integer(2) * 2 + integer(3),
            text(form) + real(123, 0) + real(117, 0) + real(-209, -1),
            integer(4) + integer(6) if form.endswith("2") else b"",
            convolution + STATE + NOTHING + integer(1),
            batch_norm + STATE + NOTHING,
            text("relu_") + STATE + NOTHING,
        ]
    )


@pytest.mark.parametrize(
    ("form", "padding"), [("input_rgb_image_pyramid", (10, 11)), ("input_rgb_image_pyramid2", (4, 6))]
)
def test_detector(form: str, padding: tuple[int, int]) -> None:
    window, layers = read_mmod_network(detector(form=form), "x.dat", MMOD_KINDS)
    assert window == SlidingWindow(70, 90, 0.375, 0.875)
    assert layers[0] == PyramidInput((123.0, 117.0, -104.5), *padding)
    assert [type(layer) for layer in layers] == [PyramidInput, *MMOD_KINDS]
    affine = layers[2]
    assert isinstance(affine, Affine)
    x = np.array([7, -3], np.float32)
    normalised = (x - MEAN) / np.sqrt(VARIANCE + 0.01)
    np.testing.assert_allclose(affine.scale * x + affine.shift, normalised * SCALE + SHIFT, rtol=1e-5)


def test_a_detector_truncated_anywhere_is_invalid() -> None:
    whole = detector()
    for length in range(len(whole)):
        with pytest.raises(WeightsInvalid):
            read_mmod_network(whole[:length], "x.dat", MMOD_KINDS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (detector(options=4), "the version of the detector's options is 4, not 1"),
        (detector(form="input_rgb_image"), "the input layer is 'input_rgb_image'"),
        (detector(channels=1), "a batch norm of 1 channels has 4 parameters"),
        (network(), "the loss is 'loss_metric_2', not 'loss_mmod_'"),
        (detector() + b"\x01", "1 bytes follow the network"),
    ],
)
def test_an_unsupported_detector_is_invalid(content: bytes, message: str) -> None:
    with pytest.raises(WeightsInvalid) as caught:
        read_mmod_network(content, "x.dat", MMOD_KINDS)
    assert message in caught.value.problem
