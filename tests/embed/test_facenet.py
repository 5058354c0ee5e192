from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from faceindex.embed import Embedder
from faceindex.embed.facenet import Facenet, read_network
from faceindex.embed.facenet_net import InceptionResnetV1
from faceindex.errors import UsageError, WeightsInvalid, WeightsNotFound
from faceindex.models import EmbedderSpec, WeightFile, get
from faceindex.types import U8

_WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights"

State = dict[str, torch.Tensor]


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


@pytest.fixture
def make_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], WeightFile]:
    """Save something as a file of weights that is found and has the right hash."""

    def make(content: object) -> WeightFile:
        if not isinstance(content, bytes):
            buffer = io.BytesIO()
            torch.save(content, buffer)
            content = buffer.getvalue()
        (tmp_path / "made.pt").write_bytes(content)
        monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path))
        return WeightFile("made.pt", len(content), hashlib.sha256(content).hexdigest(), source="a test")

    return make


@pytest.fixture
def state() -> State:
    """The right keys and shapes; every tensor one number in the file."""
    with torch.device("meta"):
        shapes = InceptionResnetV1().state_dict()
    return {key: torch.tensor(0.5).expand(value.shape) for key, value in shapes.items()}


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
    state: State, make_file: Callable[[object], WeightFile]
) -> None:
    bare = read_network(make_file(state)).state_dict()
    assert bare.keys() == state.keys()
    assert float(bare["last_linear.weight"][3, 5]) == 0.5
    whole = {**state, "logits.weight": torch.zeros(8631, 512), "logits.bias": torch.zeros(8631)}
    assert read_network(make_file(whole)).state_dict().keys() == state.keys()


def test_a_file_of_half_precision_without_counts(
    state: State, make_file: Callable[[object], WeightFile]
) -> None:
    half = {key: value.half() for key, value in state.items() if "num_batches_tracked" not in key}
    found = read_network(make_file(half)).state_dict()
    assert found.keys() == state.keys()
    assert found["last_linear.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: s.pop("last_bn.bias"), "last_bn.bias is missing"),
        (lambda s: s.update(more=torch.zeros(1)), "more is unexpected"),
        (
            lambda s: s.update({"last_bn.bias": torch.zeros(3)}),
            r"last_bn.bias has the shape \(3,\) in place of \(512,\)",
        ),
        (lambda s: s.update(epoch=3), "holds no table of tensors"),
        (
            lambda s: [
                s.pop(key) for key in list(s) if key.startswith("block8.branch0.conv") or ".bn." in key
            ],
            "is missing, .* and .* more faults",
        ),
    ],
)
def test_another_network_is_refused(
    state: State,
    make_file: Callable[[object], WeightFile],
    damage: Callable[[dict[str, object]], object],
    message: str,
) -> None:
    damaged: dict[str, object] = dict(state)
    damage(damaged)
    with pytest.raises(WeightsInvalid, match=message) as caught:
        read_network(make_file(damaged))
    assert "made.pt holds" in caught.value.problem
    assert caught.value.problem.count(" is missing") <= 3


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04" + bytes(100), [torch.zeros(3)]])
def test_no_weights_at_all(content: object, make_file: Callable[[object], WeightFile]) -> None:
    with pytest.raises(WeightsInvalid, match=r"made\.pt (cannot be read|holds no table)"):
        read_network(make_file(content))
