"""What a spec of another package may not be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faceindex import align
from faceindex.models import Alignment, EmbedderSpec, ModelOption, Spec, registry
from faceindex.models.spec import ALIGNMENTS
from faceindex.models.validate import spec_fault

EMBEDDER = next(spec for spec in registry.BUILTIN if isinstance(spec, EmbedderSpec))
WEIGHT = EMBEDDER.weights[0]
CALIBRATION = EMBEDDER.calibration


@pytest.mark.parametrize("spec", registry.BUILTIN, ids=lambda spec: f"{spec.kind}-{spec.name}")
def test_our_own_are_well(spec: Spec) -> None:
    assert spec_fault(spec) == ""


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("name", 3, "name of its spec is 3, where str is needed"),
        ("summary", None, "summary of its spec is None, where str"),
        ("target", "toy_models.Model", "the target of its spec is 'toy_models.Model', not 'module:Class'"),
        ("target", "toy models:Model", "not 'module:Class'"),
        ("kind", "detector", "kind of its spec is 'detector'"),
        ("colour", "rgb", "colour of its spec is 'rgb', where Literal"),
        ("dimension", "128", "dimension of its spec is '128', where int is needed"),
        ("dimension", 128.0, "dimension of its spec is 128.0, where int"),
        ("dimension", True, "dimension of its spec is True, where int"),
        ("dimension", 0, "dimension of its spec is 0, where more than 0 is needed"),
        ("threshold", float("nan"), "threshold of its spec is nan, where float is needed"),
        ("alignment", "dlib", "alignment of its spec is 'dlib', where Alignment"),
        ("alignment", Alignment("dlib", 0), "alignment.size of its spec is 0, where more than 0"),
        ("alignment", Alignment("arcface", 112), "the alignment 'arcface'; there are dlib and facenet"),
        ("calibration", None, "calibration of its spec is None, where Calibration"),
        ("calibration", replace(CALIBRATION, slope=0.0), "calibration.slope of its spec is 0.0"),
        ("calibration", replace(CALIBRATION, midpoint="?"), "calibration.midpoint of its spec is '?'"),
        ("weights", [WEIGHT], "weights of its spec is [WeightFile("),
        ("weights", ("net.pt",), "weights of its spec is ('net.pt',), where tuple[WeightFile, ...]"),
        ("weights", (replace(WEIGHT, url=3),), "weights.url of its spec is 3, where str | None"),
        ("weights", (replace(WEIGHT, also=(replace(WEIGHT, sha256=b""),)),), "weights.also.sha256"),
        ("options", ({"name": "flip"},), "options of its spec is ({'name': 'flip'},)"),
        ("options", (ModelOption("flip", 0.5, ""),), "options.default of its spec is 0.5"),  # type: ignore[arg-type]
        ("options", (ModelOption("device", 1, ""),), "the name 'device' of an option of its spec is taken"),
        ("options", (ModelOption("a", 1, ""), ModelOption("a", 2, "")), "the name 'a' of an option"),
    ],
)
def test_a_fault_is_named(field: str, value: object, reason: str) -> None:
    fault = spec_fault(replace(EMBEDDER, **{field: value}))  # type: ignore[arg-type]
    assert reason in fault


def test_whole_numbers_are_numbers() -> None:
    assert spec_fault(replace(EMBEDDER, threshold=1)) == ""


@pytest.mark.parametrize("field", ["min_face", "decoded_face", "pyramid", "window"])
def test_sizes_of_a_detector_are_more_than_nothing(field: str) -> None:
    detector = registry.BUILTIN[0]
    assert f"{field} of its spec is 0" in spec_fault(replace(detector, **{field: 0}))  # type: ignore[arg-type]
    assert f"{field} of its spec is '3'" in spec_fault(replace(detector, **{field: "3"}))  # type: ignore[arg-type]


def test_the_alignments_are_those_that_can_be_cut() -> None:
    assert set(ALIGNMENTS) == set(align._FRAMES)
