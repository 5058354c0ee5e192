"""The runner of ONNX embedders, on small networks made by the tests."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_files
import pytest
from mobilefacenet_onnx import to_onnx

from faceindex import models
from faceindex.embed.onnx import OnnxEmbedder, output_size
from faceindex.errors import FaceIndexError, ModelError, UsageError, WeightsInvalid, WeightsNotFound
from faceindex.models import Alignment, EmbedderSpec, PixelScale, WeightFile
from faceindex.onnx_sessions import OnnxSession
from faceindex.types import U8

SPEC = EmbedderSpec(
    name="tiny",
    target="faceindex.embed.onnx:OnnxEmbedder",
    summary="for tests",
    dimension=24,
    alignment=Alignment("arcface", 112),
    colour="RGB",
    normalisation="(x - 127.5) / 128",
    threshold=0.5,
    threshold_source="made up",
    calibration=None,
    licence="MIT",
    scale=PixelScale(127.5, 128),
)
Build = Callable[..., OnnxEmbedder]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Write a network into the folder of weight files, and build the embedder that runs it."""
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path))

    def make(content: bytes, **changes: Any) -> OnnxEmbedder:
        (tmp_path / "tiny.onnx").write_bytes(content)
        weight = WeightFile("tiny.onnx", len(content), hashlib.sha256(content).hexdigest(), "the tests")
        model = models.load(replace(SPEC, weights=(weight,), **changes), device="cpu")
        assert isinstance(model, OnnxEmbedder)
        return model

    return make


def some_chips(n: int, size: int = 112) -> U8:
    return np.random.default_rng(n).integers(0, 256, (n, size, size, 3), np.uint8)


def flattened(shape: list[int | str]) -> bytes:
    """Return a network that flattens an input of any shape."""
    return onnx_files.model(
        [onnx_files.node("Flatten", ["x"], ["y"])],
        [onnx_files.value_info("x", shape)],
        [onnx_files.value_info("y", ["n", "d"])],
    )


@pytest.mark.parametrize("batch", ["n", 1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 11])
def test_outputs_of_any_number_of_chips_and_any_batch_of_the_network(
    make: Build, batch: int | str, n: int
) -> None:
    embedder = make(onnx_files.embedder(24, batch=batch))
    chips = some_chips(n)
    expected = onnx_files.expected(chips, 24, mean=127.5, divisor=128)
    vectors, norms = embedder.embed(chips)
    assert (vectors.shape, norms.shape) == ((n, 24), (n,))
    assert vectors.dtype == norms.dtype == np.float32
    np.testing.assert_allclose(norms, np.linalg.norm(expected, axis=1), rtol=1e-4)
    np.testing.assert_allclose(vectors * norms[:, None], expected, atol=1e-4)


@pytest.mark.parametrize("size", [64, 112, 160])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize(("mean", "divisor"), [(0, 1), (127.5, 127.5)])
def test_size_colour_and_scale_are_those_of_the_spec(
    make: Build, size: int, colour: str, mean: float, divisor: float
) -> None:
    embedder = make(
        onnx_files.embedder(24, size=size),
        alignment=Alignment("arcface", size),
        colour=colour,
        scale=PixelScale(mean, divisor),
    )
    chips = some_chips(3, size)
    expected = onnx_files.expected(chips, 24, mean=mean, divisor=divisor, bgr=colour == "BGR")
    np.testing.assert_allclose(embedder.outputs(chips), expected, rtol=1e-4, atol=1e-4)


def test_unit_vectors_with_their_former_lengths(make: Build) -> None:
    chips = some_chips(4)
    expected = onnx_files.expected(chips, 24, mean=127.5, divisor=128)
    vectors, norms = make(onnx_files.embedder(24, lengths=True)).embed(chips)
    np.testing.assert_allclose(norms, np.linalg.norm(expected, axis=1), rtol=1e-4)
    np.testing.assert_allclose(vectors * norms[:, None], expected, atol=1e-4)


@pytest.mark.parametrize("shape", [["n", 3, "h", "w"], ["n", "c", 112, 112]])
def test_dimensions_without_a_fixed_size_fit(make: Build, shape: list[int | str]) -> None:
    assert make(onnx_files.embedder(24, shape=shape)).outputs(some_chips(2)).shape == (2, 24)


def test_several_threads_share_an_embedder(make: Build) -> None:
    embedder = make(onnx_files.embedder(24))
    chips = some_chips(40)
    expected = embedder.outputs(chips)
    found: dict[int, Any] = {}

    def work(part: int) -> None:
        found[part] = embedder.outputs(chips[part * 10 : part * 10 + 10])

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(np.concatenate([found[part] for part in range(4)]), expected, atol=1e-5)


def test_smaller_batches_after_memory_ran_out(make: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Small:
        """A session with memory for three chips."""

        def __init__(self, *args: Any, **options: Any) -> None:
            self.session = OnnxSession(*args, **options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.session, name)

        def run(self, feed: dict[str, Any], names: Any = None) -> Any:
            (batch,) = feed.values()
            sizes.append(len(batch))
            if len(batch) > 3:
                raise MemoryError("Failed to allocate memory for requested buffer")
            return self.session.run(feed, names)

    monkeypatch.setattr("faceindex.embed.onnx.OnnxSession", Small)
    chips = some_chips(12)
    outputs = make(onnx_files.embedder(24)).outputs(chips)
    assert sizes == [1, 6, 3, 3, 3, 3]
    np.testing.assert_allclose(
        outputs, onnx_files.expected(chips, 24, mean=127.5, divisor=128), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "chips", [np.zeros((1, 96, 96, 3), np.uint8), np.zeros((1, 112, 112, 3), np.float32)]
)
def test_chips_that_do_not_fit_are_refused(make: Build, chips: Any) -> None:
    with pytest.raises(UsageError, match="needs chips of shape"):
        make(onnx_files.embedder(24)).embed(chips)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cannot be run as an ONNX network"),
        (b"no network at all", "cannot be run as an ONNX network"),
        (onnx_files.embedder(24)[:-40], "cannot be run as an ONNX network"),
        (onnx_files.embedder(24, size=96), r"its input is \(n, 3, 96, 96\) of tensor\(float\)"),
        (flattened([1, 112, 112, 3]), r"its input is \(1, 112, 112, 3\) of"),
        (flattened([3, 112, 112]), r"its input is \(3, 112, 112\) of"),
        (onnx_files.embedder(24, extra_input=True), "it has 2 inputs, expected one of shape"),
        (onnx_files.embedder(32), r"its output is \(1, 32\), expected \(n, 24\) float32"),
        (onnx_files.embedder(24, scale=float("nan")), "values that are not finite"),
    ],
    ids=["empty", "text", "cut", "size", "layout", "rank", "inputs", "dimension", "nan"],
)
def test_a_file_that_does_not_fit_is_refused(make: Build, content: bytes, problem: str) -> None:
    with pytest.raises(WeightsInvalid, match=problem) as info:
        make(content)
    assert "tiny.onnx" in info.value.problem
    assert info.value.remedy


def test_a_network_that_fails_on_a_chip_is_refused(make: Build) -> None:
    # It reshapes to a fixed number of values, which a chip does not have.
    content = onnx_files.model(
        [onnx_files.node("Reshape", ["x", "shape"], ["y"])],
        [onnx_files.value_info("x", ["n", 3, "h", "w"])],
        [onnx_files.value_info("y", ["n", 24])],
        [onnx_files.tensor("shape", np.array([1, 24], np.int64))],
    )
    with pytest.raises(WeightsInvalid, match="it fails on a chip"):
        make(content)


def test_an_input_of_whole_numbers_is_refused(make: Build) -> None:
    content = onnx_files.model(
        [onnx_files.node("Identity", ["x"], ["y"])],
        [onnx_files.value_info("x", ["n", 3, 112, 112], onnx_files.UINT8)],
        [onnx_files.value_info("y", ["n", 3, 112, 112], onnx_files.UINT8)],
    )
    with pytest.raises(WeightsInvalid, match=r"of tensor\(uint8\), expected \(n, 3, 112, 112\)"):
        make(content)


@pytest.mark.parametrize(
    ("changes", "problem"), [({"scale": None}, "has no scale"), ({"weights": ()}, "has no weight file")]
)
def test_a_spec_without_scale_or_file(changes: dict[str, Any], problem: str) -> None:
    weight = WeightFile("tiny.onnx", 1, "0" * 64, "nowhere")
    with pytest.raises(ModelError, match=problem):
        OnnxEmbedder(replace(replace(SPEC, weights=(weight,)), **changes))


def test_missing_and_changed_files(make: Build, tmp_path: Path) -> None:
    embedder = make(onnx_files.embedder(24))
    (tmp_path / "tiny.onnx").write_bytes(onnx_files.embedder(24, scale=2))
    with pytest.raises(WeightsInvalid, match="is not the published"):
        OnnxEmbedder(embedder.spec)
    (tmp_path / "tiny.onnx").unlink()
    with pytest.raises(WeightsNotFound):
        OnnxEmbedder(embedder.spec)


class TestOutputSize:
    @pytest.mark.parametrize("dimension", [16, 512])
    @pytest.mark.parametrize("batch", ["n", 2])
    @pytest.mark.parametrize("lengths", [False, True])
    def test_of_one_vector(self, dimension: int, batch: int | str, lengths: bool) -> None:
        content = onnx_files.embedder(dimension, batch=batch, lengths=lengths)
        assert output_size(content, "tiny.onnx", SPEC) == dimension

    def test_two_vectors_are_ambiguous(self) -> None:
        content = onnx_files.model(
            [onnx_files.node("Identity", ["x"], ["y"]), onnx_files.node("Neg", ["x"], ["z"])],
            [onnx_files.value_info("x", ["n", 3, 112, 112])],
            [onnx_files.value_info(name, ["n", 3, 112, 112]) for name in "yz"],
        )
        with pytest.raises(FaceIndexError, match="expected one vector for each chip"):
            output_size(content, "tiny.onnx", SPEC)


@pytest.mark.parametrize("batch", ["n", 1, 8])
def test_a_real_network_gives_the_outputs_of_its_own_code(
    make: Build, batch: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = models.get("embedder", "mobilefacenet")
    weights = Path(__file__).resolve().parents[3] / "shared" / "weights"
    if not (weights / spec.weights[0].name).is_file():
        pytest.skip("no mobilefacenet.tflite in ../shared/weights")
    with monkeypatch.context() as patch:
        patch.setenv("FACEINDEX_WEIGHTS", str(weights))
        content = models.read_weights(spec.weights[0])
        own_code = models.load(spec, device="cpu")
    exported = make(to_onnx(content, batch), dimension=192)
    # Smooth noise has the contrasts of photos.
    chips = np.random.default_rng(0).integers(0, 256, (11, 14, 14, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    expected = own_code.outputs(chips)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(exported.outputs(chips), expected, atol=2e-4)
    for found, wanted in zip(exported.embed(chips), own_code.embed(chips), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["sface", "arcface-r50", "arcface-mbf", "adaface-ir18"])
def test_the_published_networks_fit_the_runner(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Their specs are complete: a network of the right form in place of the published file is run."""
    spec = models.get("embedder", name)
    content = onnx_files.embedder(spec.dimension, batch=1)
    (tmp_path / spec.weights[0].name).write_bytes(content)
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path))
    weight = replace(spec.weights[0], size=len(content), sha256=hashlib.sha256(content).hexdigest())
    embedder = models.load(replace(spec, weights=(weight, *spec.weights[1:])), device="cpu")
    chips = some_chips(2)
    assert spec.scale is not None
    expected = onnx_files.expected(
        chips,
        spec.dimension,
        mean=spec.scale.mean,
        divisor=spec.scale.divisor,
        bgr=name.startswith("adaface"),
    )
    np.testing.assert_allclose(embedder.outputs(chips), expected, rtol=1e-3, atol=1e-3)
