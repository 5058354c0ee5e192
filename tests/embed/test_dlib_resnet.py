"""dlib's embedder run by torch, compared with dlib itself."""

from __future__ import annotations

from dataclasses import replace

import dlib
import numpy as np
import pytest
import torch

from faceindex.embed import Embedder, dlib_resnet
from faceindex.embed.dlib_resnet import DlibResNet, Network
from faceindex.errors import UsageError, WeightsInvalid
from faceindex.models import EmbedderSpec, find_weights
from faceindex.types import U8


@pytest.fixture(scope="module")
def reference(spec: EmbedderSpec) -> dlib.face_recognition_model_v1:
    return dlib.face_recognition_model_v1(str(find_weights(spec.weights[0])))


def test_outputs_equal_dlibs(
    embedder: DlibResNet, reference: dlib.face_recognition_model_v1, chips: U8
) -> None:
    outputs = embedder.outputs(chips)
    expected = np.stack([reference.compute_face_descriptor(chip) for chip in chips])
    assert outputs.shape == expected.shape == (len(chips), 128)
    assert np.abs(outputs - expected).max() <= 1e-5  # `outputs` documents 1e-4


def test_outputs_equal_dlibs_on_extreme_chips(
    embedder: DlibResNet, reference: dlib.face_recognition_model_v1
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 150, 150, 3), np.uint8)
    chips = np.concatenate([np.zeros_like(noise[:1]), np.full_like(noise[:1], 255), noise])
    expected = np.stack([reference.compute_face_descriptor(chip) for chip in chips])
    assert np.abs(embedder.outputs(chips) - expected).max() <= 1e-4


def test_vectors_have_unit_length_and_times_norms_equal_the_outputs(embedder: DlibResNet, chips: U8) -> None:
    vectors, norms = embedder.embed(chips)
    assert vectors.dtype == norms.dtype == np.float32
    assert norms.shape == (len(chips),)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors * norms[:, None], embedder.outputs(chips), atol=1e-6)


def test_no_chips_give_empty_arrays(embedder: DlibResNet) -> None:
    vectors, norms = embedder.embed(np.empty((0, 150, 150, 3), np.uint8))
    assert vectors.shape == (0, 128)
    assert norms.shape == (0,)
    assert vectors.dtype == norms.dtype == np.float32


def test_results_do_not_depend_on_the_batch(embedder: DlibResNet, chips: U8) -> None:
    many = np.concatenate([chips] * (34 // len(chips) + 1))
    vectors, _ = embedder.embed(many)
    singly = np.concatenate([embedder.embed(chip[None])[0] for chip in chips])
    assert np.abs(vectors[: len(chips)] - singly).max() <= 1e-5
    assert np.abs(vectors[-len(chips) :] - singly).max() <= 1e-5


def test_chips_may_be_views(embedder: DlibResNet, chips: U8) -> None:
    expected, _ = embedder.embed(np.ascontiguousarray(chips[::-1, :, ::-1]))
    found, _ = embedder.embed(chips[::-1, :, ::-1])
    np.testing.assert_array_equal(found, expected)
    readonly = chips.copy()
    readonly.flags.writeable = False
    np.testing.assert_allclose(embedder.embed(readonly)[0], embedder.embed(chips)[0], atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 160, 160, 3), np.uint8),
        np.zeros((150, 150, 3), np.uint8),
        np.zeros((1, 3, 150, 150), np.uint8),
        np.zeros((1, 150, 150, 3), np.float32),
    ],
)
def test_chips_of_another_shape_or_dtype_are_rejected(embedder: DlibResNet, wrong: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"\(n, 150, 150, 3\)"):
        embedder.embed(wrong)


def test_it_follows_the_embedder_protocol(embedder: DlibResNet, spec: EmbedderSpec) -> None:
    protocol: Embedder = embedder
    assert protocol.spec is spec


def test_network_has_29_convolutions_without_gradients(spec: EmbedderSpec) -> None:
    network = Network.from_weights(spec.weights[0])
    assert len(list(network.parameters())) == 29 * 2 + 1
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_file_that_differs_from_the_published_one_is_rejected(
    spec: EmbedderSpec, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    weight = replace(spec.weights[0], name="other.dat", package=None)
    content = find_weights(spec.weights[0]).read_bytes()
    (folder / weight.name).write_bytes(content[:-1] + b"\x01")
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(folder))
    with pytest.raises(WeightsInvalid, match=r"other\.dat"):
        DlibResNet(replace(spec, weights=(weight,)))


def test_half_precision_is_close_and_used_only_if_the_device_has_it(
    spec: EmbedderSpec, embedder: DlibResNet, chips: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, _ = embedder.embed(chips)
    monkeypatch.setattr(dlib_resnet, "half_precision", lambda device: torch.float32)
    np.testing.assert_array_equal(DlibResNet(spec, half=True).embed(chips)[0], exact)
    monkeypatch.setattr(dlib_resnet, "half_precision", lambda device: torch.bfloat16)
    found, norms = DlibResNet(spec, half=True).embed(chips)
    assert found.dtype == norms.dtype == np.float32
    assert not np.array_equal(found, exact)
    assert (found * exact).sum(axis=1).min() > 0.995
    # Embedders share the weights, which must not change.
    np.testing.assert_array_equal(embedder.embed(chips)[0], exact)
