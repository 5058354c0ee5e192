"""The table of models."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from faceindex import models
from faceindex.errors import ModelError, UnknownModel, UsageError
from faceindex.models import Calibration, ClustererSpec, DetectorSpec, EmbedderSpec, Spec, builtin, registry

PACKAGE = {"detector": "detect", "embedder": "embed", "clusterer": "clustering"}

FAKE = ClustererSpec("fake", "nowhere:Fake", "for tests", "graph", "nowhere")


@pytest.fixture(autouse=True)
def _own_table() -> Iterator[None]:
    with registry.isolated():
        yield


def test_names_lists_one_kind_in_order_of_registration() -> None:
    assert models.names("clusterer")[:3] == ["album", "chinese-whispers", "kmeans"]
    assert "mtcnn" in models.names("detector")
    assert "dlib" in models.names("embedder")
    models.register(FAKE)
    assert models.names("clusterer")[-1] == "fake"
    assert "fake" not in models.names("detector")


def test_the_error_for_an_unknown_name_lists_valid_names_and_the_closest_one() -> None:
    with pytest.raises(UnknownModel, match=r"There is no clusterer named 'kmean'\.") as info:
        models.get("clusterer", "kmean")
    assert info.value.remedy.startswith("Did you mean 'kmeans'?")
    assert all(name in info.value.remedy for name in models.names("clusterer"))
    assert isinstance(info.value, ModelError)
    with pytest.raises(UnknownModel) as info:
        models.get("clusterer", "zzz")
    assert info.value.remedy.startswith("Valid names: ")


def test_a_name_of_another_kind_is_unknown() -> None:
    with pytest.raises(UnknownModel):
        models.get("embedder", "kmeans")


def test_a_taken_name_needs_replace() -> None:
    models.register(FAKE)
    with pytest.raises(UsageError, match="already a clusterer named 'fake'"):
        models.register(FAKE)
    other = replace(FAKE, summary="another")
    models.register(other, replace=True)
    assert models.get("clusterer", "fake") is other


def test_load_imports_the_target_and_passes_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "plugin_of_a_test.py").write_text(
        "class Model:\n    def __init__(self, spec, **options):\n        self.seen = spec, options\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec = replace(FAKE, target="plugin_of_a_test:Model")
    assert models.load(spec, sharpness=3).seen == (spec, {"sharpness": 3})


@pytest.mark.parametrize("spec", builtin.BUILTIN, ids=lambda spec: f"{spec.kind}-{spec.name}")
class TestBuiltin:
    def test_get_returns_it_by_name(self, spec: Spec) -> None:
        assert models.get(spec.kind, spec.name) is spec

    def test_its_target_is_in_the_package_of_its_kind(self, spec: Spec) -> None:
        module, colon, attribute = spec.target.partition(":")
        assert colon
        assert attribute.isidentifier()
        assert module.startswith(f"faceindex.{PACKAGE[spec.kind]}.")
        assert importlib.util.find_spec(module) is not None

    def test_its_weight_files_are_described(self, spec: Spec) -> None:
        for weight in () if isinstance(spec, ClustererSpec) else spec.weights:
            assert re.fullmatch("[0-9a-f]{64}", weight.sha256)
            assert weight.size > 0
            assert weight.source
            assert (weight.package is None) == (weight.package_path is None)
            if weight.package_path is not None:
                assert weight.package_path.endswith(f"/{weight.name}")

    def test_its_numbers_are_plausible_and_have_a_source(self, spec: Spec) -> None:
        if isinstance(spec, ClustererSpec):
            assert spec.source
            return
        if spec.threshold is not None:
            assert 0 < spec.threshold < 1
        assert spec.threshold_source
        assert spec.licence
        if isinstance(spec, EmbedderSpec):
            assert spec.dimension > 0
            assert spec.alignment.size > 0
            if spec.calibration is None:
                assert not spec.run_by_us  # weights that could not be had
            else:
                assert spec.calibration.slope > 0
                assert -1 < spec.calibration.midpoint < 1
                assert spec.calibration.source


def test_specs_have_their_kind() -> None:
    kinds = {DetectorSpec: "detector", EmbedderSpec: "embedder", ClustererSpec: "clusterer"}
    assert all(spec.kind == kinds[type(spec)] for spec in builtin.BUILTIN)


def test_the_threshold_of_a_calibration_grows_with_the_logarithm_of_the_number_of_faces() -> None:
    calibration = Calibration(slope=20.0, midpoint=0.5, source="made up")
    assert calibration.threshold(1) == calibration.threshold(0) == 0.5
    assert calibration.threshold(1000) == pytest.approx(0.5 + math.log(1000) / 20)
    steps = [calibration.threshold(10 ** (i + 1)) - calibration.threshold(10**i) for i in range(4)]
    assert steps == pytest.approx([math.log(10) / 20] * 4)
    assert calibration.threshold(20_000) == pytest.approx(0.5 + math.log(20_000) / 20)


def test_the_threshold_of_a_calibration_grows_half_as_fast_beyond_20_000_faces() -> None:
    calibration = Calibration(slope=20.0, midpoint=0.5, source="made up")
    step = calibration.threshold(2_000_000) - calibration.threshold(20_000)
    assert step == pytest.approx(math.log(100) / 2 / 20)
    assert calibration.threshold(20_001) > calibration.threshold(20_000)
