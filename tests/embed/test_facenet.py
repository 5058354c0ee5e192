"""facenet with its published weights if they are present."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from faceindex.embed import Embedder, facenet
from faceindex.embed.facenet import Facenet
from faceindex.embed.facenet_net import InceptionResnetV1
from faceindex.errors import UsageError, WeightsInvalid, WeightsNotFound
from faceindex.models import EmbedderSpec, get
from faceindex.types import U8

_WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights"


@pytest.fixture(scope="module")
def spec() -> EmbedderSpec:
    return get("embedder", "facenet")


@pytest.fixture(scope="module")
def make(spec: EmbedderSpec) -> Callable[..., Facenet]:
    def load(*, flip: bool = False, half: bool = False) -> Facenet:
        with pytest.MonkeyPatch.context() as patch:
            if (_WEIGHTS / spec.weights[0].also[0].name).is_file():
                patch.setenv("FACEINDEX_WEIGHTS", str(_WEIGHTS))
            try:
                return Facenet(spec, flip=flip, half=half)
            except WeightsNotFound:
                pytest.skip("needs facenet's weights in ../shared/weights or in the folder of weights")

    return load


@pytest.fixture(scope="module")
def embedder(make: Callable[..., Facenet]) -> Facenet:
    return make()


@pytest.fixture(scope="module")
def chips() -> U8:
    """Black, white and noise."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 160, 160, 3), np.uint8)
    return np.concatenate([np.zeros_like(noise[:1]), np.full_like(noise[:1], 255), noise])


def test_vectors_equal_those_of_facenet_pytorch(embedder: Facenet, chips: U8) -> None:
    # From facenet-pytorch 2.5.3 (benchmarks/facenet_equality.py compares on many more chips).
    canonical = {
        0: [0.010408, 0.013237, -0.081362, 0.037037, -0.005835, 0.098731],
        1: [-0.033843, -0.027328, -0.031884, 0.03498, 0.022693, 0.018149],
        2: [0.024192, -0.027903, -0.022581, 0.088674, -0.044577, 0.052235],
    }
    vectors, _ = embedder.embed(chips)
    for row, expected in canonical.items():
        np.testing.assert_allclose(vectors[row, :6], expected, atol=1e-5)


def test_vectors_have_unit_length_and_times_norms_equal_the_outputs(embedder: Facenet, chips: U8) -> None:
    vectors, norms = embedder.embed(chips)
    assert vectors.dtype == norms.dtype == np.float32
    assert vectors.shape == (len(chips), 512)
    assert norms.shape == (len(chips),)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors * norms[:, None], embedder.outputs(chips), atol=1e-5)


def test_no_chips_give_empty_arrays(embedder: Facenet) -> None:
    vectors, norms = embedder.embed(np.empty((0, 160, 160, 3), np.uint8))
    assert vectors.shape == (0, 512)
    assert norms.shape == (0,)
    assert vectors.dtype == norms.dtype == np.float32


def test_results_do_not_depend_on_the_batch(embedder: Facenet, chips: U8) -> None:
    many = np.concatenate([chips] * 4)
    vectors, _ = embedder.embed(many)
    singly = np.concatenate([embedder.embed(chip[None])[0] for chip in chips])
    assert np.abs(vectors - np.concatenate([singly] * 4)).max() <= 1e-5


def test_chips_may_be_views(embedder: Facenet, chips: U8) -> None:
    expected, _ = embedder.embed(np.ascontiguousarray(chips[::-1, :, ::-1]))
    found, _ = embedder.embed(chips[::-1, :, ::-1])
    np.testing.assert_array_equal(found, expected)
    readonly = chips.copy()
    readonly.flags.writeable = False
    np.testing.assert_allclose(embedder.embed(readonly)[0], embedder.embed(chips)[0], atol=1e-6)
    np.testing.assert_array_equal(readonly, chips)


def test_flip_averages_a_chip_and_its_mirror_image(
    embedder: Facenet, make: Callable[..., Facenet], chips: U8
) -> None:
    flipping = make(flip=True)
    mirrored = np.ascontiguousarray(chips[:, :, ::-1])
    expected = (embedder.outputs(chips) + embedder.outputs(mirrored)) / 2
    np.testing.assert_allclose(flipping.outputs(chips), expected, atol=1e-5)
    np.testing.assert_allclose(flipping.outputs(mirrored), expected, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 150, 150, 3), np.uint8),
        np.zeros((160, 160, 3), np.uint8),
        np.zeros((1, 3, 160, 160), np.uint8),
        np.zeros((1, 160, 160, 3), np.float32),
    ],
)
def test_chips_of_another_shape_or_dtype_are_rejected(embedder: Facenet, wrong: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"\(n, 160, 160, 3\)"):
        embedder.embed(wrong)


def test_it_follows_the_embedder_protocol(embedder: Facenet, spec: EmbedderSpec) -> None:
    protocol: Embedder = embedder
    assert protocol.spec is spec


def test_files_with_and_without_the_classifier_load(
    spec: EmbedderSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.device("meta"):
        shapes = InceptionResnetV1().state_dict()
    # In the file, every tensor is stored as one number.
    state = {key: torch.tensor(0.5).expand(value.shape) for key, value in shapes.items()}
    chip = np.zeros((1, 160, 160, 3), np.uint8)
    bare, whole = (
        embedder_from(spec, folder, values, monkeypatch).outputs(chip)
        for folder, values in (
            (tmp_path / "bare", state),
            (tmp_path / "whole", {**state, "logits.weight": torch.zeros(8631, 512)}),
        )
    )
    np.testing.assert_array_equal(bare, whole)
    with pytest.raises(WeightsInvalid, match=r"vggface2\.pt .* last_bn\.bias has values that are not finite"):
        embedder_from(
            spec, tmp_path / "bad", {**state, "last_bn.bias": torch.full((512,), torch.nan)}, monkeypatch
        )


def embedder_from(
    spec: EmbedderSpec, folder: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> Facenet:
    """Return an embedder with the given weights, in a file that its spec accepts as the published one."""
    folder.mkdir()
    path = folder / spec.weights[0].name
    torch.save(state, path)
    content = path.read_bytes()
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(folder))
    digest = hashlib.sha256(content).hexdigest()
    weight = replace(spec.weights[0], size=len(content), sha256=digest, also=())
    return Facenet(replace(spec, weights=(weight,)))


def test_half_precision_is_close_and_used_only_if_the_device_has_it(
    make: Callable[..., Facenet], embedder: Facenet, chips: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, _ = embedder.embed(chips)
    monkeypatch.setattr(facenet, "half_precision", lambda device: torch.float32)
    np.testing.assert_array_equal(make(half=True).embed(chips)[0], vectors)
    monkeypatch.setattr(facenet, "half_precision", lambda device: torch.bfloat16)
    for options in ({}, {"flip": True}):
        exact, _ = make(**options).embed(chips)
        found, norms = make(half=True, **options).embed(chips)
        assert found.dtype == norms.dtype == np.float32
        assert not np.array_equal(found, exact)
        assert (found * exact).sum(axis=1).min() > 0.99
