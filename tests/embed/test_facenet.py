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
    found = get("embedder", "facenet")
    assert isinstance(found, EmbedderSpec)
    return found


@pytest.fixture(scope="module")
def make(spec: EmbedderSpec) -> Callable[..., Facenet]:
    def load(**options: bool) -> Facenet:
        with pytest.MonkeyPatch.context() as patch:
            if (_WEIGHTS / spec.weights[0].also[0].name).is_file():
                patch.setenv("FACEINDEX_WEIGHTS", str(_WEIGHTS))
            try:
                return Facenet(spec, **options)
            except WeightsNotFound:
                pytest.skip("needs facenet's weights in ../shared/weights or where faceindex looks for them")

    return load


@pytest.fixture(scope="module")
def embedder(make: Callable[..., Facenet]) -> Facenet:
    return make()


@pytest.fixture(scope="module")
def some() -> U8:
    """Black, white and noise."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 160, 160, 3), np.uint8)
    return np.concatenate([np.zeros_like(noise[:1]), np.full_like(noise[:1], 255), noise])


def test_the_published_vectors(embedder: Facenet, some: U8) -> None:
    # Of facenet-pytorch 2.5.3 (benchmarks/facenet_equality.py compares on many more chips).
    canonical = {
        0: [0.010408, 0.013237, -0.081362, 0.037037, -0.005835, 0.098731],
        1: [-0.033843, -0.027328, -0.031884, 0.03498, 0.022693, 0.018149],
        2: [0.024192, -0.027903, -0.022581, 0.088674, -0.044577, 0.052235],
    }
    vectors, _ = embedder.embed(some)
    for row, expected in canonical.items():
        np.testing.assert_allclose(vectors[row, :6], expected, atol=1e-5)


def test_vectors_are_unit_and_norms_give_the_outputs_back(embedder: Facenet, some: U8) -> None:
    vectors, norms = embedder.embed(some)
    assert vectors.dtype == norms.dtype == np.float32
    assert vectors.shape == (len(some), 512)
    assert norms.shape == (len(some),)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(vectors * norms[:, None], embedder.outputs(some), atol=1e-5)


def test_no_chip(embedder: Facenet) -> None:
    vectors, norms = embedder.embed(np.empty((0, 160, 160, 3), np.uint8))
    assert vectors.shape == (0, 512)
    assert norms.shape == (0,)
    assert vectors.dtype == norms.dtype == np.float32


def test_results_do_not_depend_on_the_batch(embedder: Facenet, some: U8) -> None:
    many = np.concatenate([some] * 4)
    vectors, _ = embedder.embed(many)
    singly = np.concatenate([embedder.embed(chip[None])[0] for chip in some])
    assert np.abs(vectors - np.concatenate([singly] * 4)).max() <= 1e-5


def test_chips_may_be_views(embedder: Facenet, some: U8) -> None:
    expected, _ = embedder.embed(np.ascontiguousarray(some[::-1, :, ::-1]))
    found, _ = embedder.embed(some[::-1, :, ::-1])
    np.testing.assert_array_equal(found, expected)
    readonly = some.copy()
    readonly.flags.writeable = False
    np.testing.assert_allclose(embedder.embed(readonly)[0], embedder.embed(some)[0], atol=1e-6)
    np.testing.assert_array_equal(readonly, some)


def test_flip_averages_a_chip_and_its_mirror_image(
    embedder: Facenet, make: Callable[..., Facenet], some: U8
) -> None:
    flipping = make(flip=True)
    mirrored = np.ascontiguousarray(some[:, :, ::-1])
    expected = (embedder.outputs(some) + embedder.outputs(mirrored)) / 2
    np.testing.assert_allclose(flipping.outputs(some), expected, atol=1e-5)
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
def test_wrong_chips_are_refused(embedder: Facenet, wrong: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"\(n, 160, 160, 3\)"):
        embedder.embed(wrong)


def test_it_is_an_embedder(embedder: Facenet, spec: EmbedderSpec) -> None:
    protocol: Embedder = embedder
    assert protocol.spec is spec


def test_a_file_with_and_without_the_classifier(
    spec: EmbedderSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.device("meta"):
        shapes = InceptionResnetV1().state_dict()
    # Every tensor is one number in the file.
    state = {key: torch.tensor(0.5).expand(value.shape) for key, value in shapes.items()}
    chip = np.zeros((1, 160, 160, 3), np.uint8)
    outputs = [
        made(spec, folder, values, monkeypatch).outputs(chip)
        for folder, values in (
            (tmp_path / "bare", state),
            (tmp_path / "whole", {**state, "logits.weight": torch.zeros(8631, 512)}),
        )
    ]
    np.testing.assert_array_equal(*outputs)
    with pytest.raises(WeightsInvalid, match=r"vggface2\.pt .* last_bn\.bias has values that are not finite"):
        made(spec, tmp_path / "bad", {**state, "last_bn.bias": torch.full((512,), torch.nan)}, monkeypatch)


def made(
    spec: EmbedderSpec, folder: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> Facenet:
    """An embedder with the weights of a file that passes for the published one."""
    folder.mkdir()
    path = folder / spec.weights[0].name
    torch.save(state, path)
    content = path.read_bytes()
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(folder))
    digest = hashlib.sha256(content).hexdigest()
    weight = replace(spec.weights[0], size=len(content), sha256=digest, also=())
    return Facenet(replace(spec, weights=(weight,)))


def test_half_is_nearly_the_same_and_needs_instructions(
    make: Callable[..., Facenet], embedder: Facenet, some: U8, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, _ = embedder.embed(some)
    monkeypatch.setattr(facenet, "half_precision", lambda device: torch.float32)
    np.testing.assert_array_equal(make(half=True).embed(some)[0], vectors)
    monkeypatch.setattr(facenet, "half_precision", lambda device: torch.bfloat16)
    for options in ({}, {"flip": True}):
        exact, _ = make(**options).embed(some)
        found, norms = make(half=True, **options).embed(some)
        assert found.dtype == norms.dtype == np.float32
        assert not np.array_equal(found, exact)
        assert (found * exact).sum(axis=1).min() > 0.99
