"""mobilefacenet with its published weights if they are present, and its loops without."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from faceindex.embed import depthwise, prepare
from faceindex.embed.mobilefacenet import MobileFaceNet
from faceindex.embed.mobilefacenet_net import TorchNetwork
from faceindex.errors import UsageError, WeightsInvalid, WeightsNotFound
from faceindex.models import EmbedderSpec, get

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights"


@pytest.fixture(scope="module")
def spec():
    return get("embedder", "mobilefacenet")


@pytest.fixture(scope="module")
def make(spec):
    def load(**options) -> MobileFaceNet:
        with pytest.MonkeyPatch.context() as patch:
            if (WEIGHTS / spec.weights[0].name).is_file():
                patch.setenv("FACEINDEX_WEIGHTS", str(WEIGHTS))
            try:
                return MobileFaceNet(spec, **options)
            except WeightsNotFound:
                pytest.skip("needs mobilefacenet's weights in ../shared/weights or in the folder of weights")

    return load


@pytest.fixture(scope="module")
def embedder(make):
    return make()


@pytest.fixture(scope="module")
def chips():
    """Black, white, and smooth noise: more than one pass."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 14, 14, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    return np.concatenate([np.zeros_like(noise[:1]), np.full_like(noise[:1], 255), noise])


def test_outputs_equal_those_of_the_plain_network(embedder, spec, chips, monkeypatch):
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(WEIGHTS))
    with torch.inference_mode():
        x = (torch.from_numpy(chips).permute(0, 3, 1, 2).float() - 127.5) / 128
        expected = TorchNetwork(spec.weights[0])(x).numpy()
    np.testing.assert_allclose(embedder.outputs(chips), expected, atol=2e-4)


def test_few_chips_do_not_import_numba_and_give_the_same_vectors(make, chips):
    plain, folded = make(), make()
    folded.embed(chips.repeat(4, 0))
    for start in range(0, 11, 2):
        few = plain.embed(chips[start : start + 2])[0]
        np.testing.assert_allclose(few, folded.embed(chips[start : start + 2])[0], atol=1e-5)
        assert (plain._folded, folded._folded is None) == (None, False)


def test_vectors_equal_those_of_tensorflow_lite(embedder, chips):
    # From LiteRT 2.3.0 on the same chips (benchmarks/mobilefacenet.py compares on real faces).
    canonical = {
        0: [-0.011288, 0.040591, 0.014118, -0.005914, -0.066395, 0.082567],
        1: [-0.006631, 0.03135, 0.018226, 0.00223, -0.061551, 0.032988],
        2: [-0.00108, 0.034967, 0.019693, -0.003715, -0.070143, 0.023561],
        10: [0.002714, 0.0363, 0.015241, -0.002835, -0.066149, 0.013226],
    }
    vectors, norms = embedder.embed(chips)
    assert vectors.shape == (11, 192) and vectors.dtype == norms.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for chip, expected in canonical.items():
        np.testing.assert_allclose(vectors[chip, :6], expected, atol=1e-4)


def test_chips_do_not_affect_each_other(embedder, chips):
    together, norms = embedder.embed(chips)
    for i in (0, 5, 10):
        alone, norm = embedder.embed(chips[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)
        np.testing.assert_allclose(norm[0], norms[i], rtol=1e-5)


def test_threads_share_an_embedder(embedder, chips):
    expected = embedder.outputs(chips)
    found = {}

    def work(number):
        for _ in range(3):
            found[number] = embedder.outputs(np.roll(chips, number, axis=0))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, outputs in found.items():
        np.testing.assert_allclose(outputs, np.roll(expected, number, axis=0), atol=2e-4)


def test_flip_averages_a_chip_and_its_mirror_image(make, embedder, chips):
    mirrored = embedder.outputs(chips[:, :, ::-1])
    np.testing.assert_allclose(
        make(flip=True).outputs(chips), (embedder.outputs(chips) + mirrored) / 2, atol=2e-4
    )


def test_no_chips(embedder):
    vectors, norms = embedder.embed(np.empty((0, 112, 112, 3), np.uint8))
    assert vectors.shape == (0, 192) and norms.shape == (0,)


@pytest.mark.parametrize(
    "chips", [np.zeros((1, 160, 160, 3), np.uint8), np.zeros((1, 112, 112, 3), np.float32)]
)
def test_other_chips_are_refused(embedder, chips):
    with pytest.raises(UsageError, match="mobilefacenet needs chips"):
        embedder.embed(chips)


def test_another_network_is_refused(spec, tmp_path, monkeypatch, embedder):
    # The published file with another stride in one convolution: a valid network, but not this one.
    content = bytearray((WEIGHTS / spec.weights[0].name).read_bytes())
    at = _position_of_a_stride(bytes(content))
    content[at] = 3
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path))
    (tmp_path / "mobilefacenet.tflite").write_bytes(content)
    changed = replace(
        spec.weights[0], sha256=hashlib.sha256(content).hexdigest(), size=len(content), source="here"
    )
    with pytest.raises(WeightsInvalid, match="contains another network than MobileFaceNet"):
        MobileFaceNet(replace(spec, weights=(changed, *spec.weights[1:])))


def _position_of_a_stride(content: bytes) -> int:
    """Return a byte whose change leaves a readable network with another stride."""
    from faceindex.models.tflite_format import read_operators

    expected = [operator.stride for operator in read_operators(content, "x")]
    # Options lie between the tables of the operators; only the few bytes equal to 2 are strides of 2.
    for at in range(len(content) - 1, 0, -4):
        if content[at - 3 : at + 1] == b"\x02\0\0\0":
            damaged = content[: at - 3] + b"\x03" + content[at - 2 :]
            try:
                if [operator.stride for operator in read_operators(damaged, "x")] != expected:
                    return at - 3
            except WeightsInvalid:
                continue
    raise AssertionError("no stride found")


@pytest.mark.parametrize(
    ("side", "channels", "stride"), [(7, 5, 1), (8, 3, 2), (14, 16, 2), (1, 2, 1), (2, 1, 2)]
)
def test_convolve_equals_separate_layers(side, channels, stride):
    rng = np.random.default_rng(side)
    x = rng.standard_normal((2, side, side, channels), dtype=np.float32)
    bias, slope, bias_out, slope_out = rng.standard_normal((4, channels), dtype=np.float32)
    weight = rng.standard_normal((9, channels), dtype=np.float32)
    out = np.full((2, -(-side // stride), -(-side // stride), channels), np.nan, np.float32)
    depthwise.convolve(x, bias, slope, weight, bias_out, slope_out, stride, out)
    y = F.prelu(torch.from_numpy(x + bias).permute(0, 3, 1, 2), torch.from_numpy(slope))
    y = F.pad(y, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))
    kernel = torch.from_numpy(weight.T.reshape(channels, 1, 3, 3).copy())
    y = F.conv2d(y, kernel, torch.from_numpy(bias_out), stride, groups=channels)
    expected = F.prelu(y, torch.from_numpy(slope_out)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_patches_are_the_windows_of_a_convolution_that_pads_at_the_end():
    rng = np.random.default_rng(3)
    chips = rng.integers(0, 256, (2, 8, 8, 3), np.uint8)
    kernel = rng.standard_normal((3, 3, 3, 4), dtype=np.float32)  # rows, columns, colours, filters
    patches = np.full((2, 4, 4, 27), np.nan, np.float32)
    depthwise.cut_patches(chips, patches)
    x = F.pad((torch.from_numpy(chips).permute(0, 3, 1, 2).float() - 127.5) / 128, (0, 1, 0, 1))
    expected = F.conv2d(x, torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()), stride=2).permute(
        0, 2, 3, 1
    )
    np.testing.assert_allclose(patches @ kernel.reshape(27, 4), expected, rtol=1e-4, atol=1e-4)


def test_pool_weights_every_position():
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2, 6, 3), dtype=np.float32)
    bias, slope = rng.standard_normal((2, 3), dtype=np.float32)
    weight = rng.standard_normal((6, 3), dtype=np.float32)
    out = np.full((2, 3), np.nan, np.float32)
    depthwise.pool(x, bias, slope, weight, out)
    active = np.where(x + bias > 0, x + bias, slope * (x + bias))
    np.testing.assert_allclose(out, (active * weight).sum(1), rtol=1e-4, atol=1e-4)


def test_the_spec_describes_the_network(spec: EmbedderSpec):
    assert (spec.dimension, spec.alignment.name, spec.alignment.size) == (192, "arcface", 112)


def test_a_chip_has_one_vector_whatever_comes_before_it_and_beside_it(make, chips):
    first, later = make(), make()
    prepare(first, 1000)
    for _ in range(4):
        later.embed(chips)  # as many as the plain network takes
    together = later.outputs(chips[:8])
    # In a batch of one to three, they differed by 5e-5.
    for n in range(1, 8):
        np.testing.assert_allclose(first.outputs(chips[:n]), together[:n], rtol=0, atol=2e-6)
