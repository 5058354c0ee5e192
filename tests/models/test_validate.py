"""Problems in specs of other packages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faceindex import align
from faceindex.models import Alignment, Calibration, EmbedderSpec, ModelOption, Spec, builtin
from faceindex.models.spec import ALIGNMENTS
from faceindex.models.validate import spec_problem

EMBEDDER = next(spec for spec in builtin.BUILTIN if isinstance(spec, EmbedderSpec))
WEIGHT = EMBEDDER.weights[0]
CALIBRATION = Calibration(slope=210.0, midpoint=0.9, source="made up")


@pytest.mark.parametrize("spec", builtin.BUILTIN, ids=lambda spec: f"{spec.kind}-{spec.name}")
def test_built_in_specs_are_valid(spec: Spec) -> None:
    assert spec_problem(spec) == ""


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("name", 3, "name in its spec is 3, expected str"),
        ("summary", None, "summary in its spec is None, expected str"),
        ("target", "toy_models.Model", "target in its spec is 'toy_models.Model', expected 'module:Class'"),
        ("target", "toy models:Model", "expected 'module:Class'"),
        ("kind", "detector", "kind in its spec is 'detector'"),
        ("colour", "rgb", "colour in its spec is 'rgb', expected Literal"),
        ("dimension", "128", "dimension in its spec is '128', expected int"),
        ("dimension", 128.0, "dimension in its spec is 128.0, expected int"),
        ("dimension", True, "dimension in its spec is True, expected int"),
        ("dimension", 0, "dimension in its spec is 0, expected more than 0"),
        ("threshold", float("nan"), "threshold in its spec is nan, expected float"),
        ("alignment", "dlib", "alignment in its spec is 'dlib', expected Alignment"),
        ("alignment", Alignment("dlib", 0), "alignment.size in its spec is 0, expected more than 0"),
        (
            "alignment",
            Alignment("insightface", 112),
            "alignment.name in its spec is 'insightface', expected dlib or facenet or arcface",
        ),
        ("calibration", 210.0, "calibration in its spec is 210.0, expected Calibration | None"),
        ("calibration", replace(CALIBRATION, slope=0.0), "calibration.slope in its spec is 0.0"),
        ("calibration", replace(CALIBRATION, midpoint="?"), "calibration.midpoint in its spec is '?'"),  # type: ignore[arg-type]
        ("weights", [WEIGHT], "weights in its spec is [WeightFile("),
        ("weights", ("net.pt",), "weights in its spec is ('net.pt',), expected tuple[WeightFile, ...]"),
        ("weights", (replace(WEIGHT, url=3),), "weights.url in its spec is 3, expected str | None"),  # type: ignore[arg-type]
        ("weights", (replace(WEIGHT, also=(replace(WEIGHT, sha256=b""),)),), "weights.also.sha256"),  # type: ignore[arg-type]
        ("options", ({"name": "flip"},), "options in its spec is ({'name': 'flip'},)"),
        ("options", (ModelOption("flip", 0.5, ""),), "options.default in its spec is 0.5"),  # type: ignore[arg-type]
        ("options", (ModelOption("device", 1, ""),), "an option in its spec has the reserved name 'device'"),
        (
            "options",
            (ModelOption("a", 1, ""), ModelOption("a", 2, "")),
            "two options in its spec are named 'a'",
        ),
    ],
)
def test_a_problem_is_described(field: str, value: object, reason: str) -> None:
    problem = spec_problem(replace(EMBEDDER, **{field: value}))  # type: ignore[arg-type]
    assert reason in problem


def test_an_integer_is_valid_for_a_float() -> None:
    assert spec_problem(replace(EMBEDDER, threshold=1)) == ""


@pytest.mark.parametrize("field", ["min_face", "decoded_face", "pyramid", "window"])
def test_sizes_of_a_detector_must_be_positive(field: str) -> None:
    detector = builtin.BUILTIN[0]
    assert f"{field} in its spec is 0" in spec_problem(replace(detector, **{field: 0}))  # type: ignore[arg-type]
    assert f"{field} in its spec is '3'" in spec_problem(replace(detector, **{field: "3"}))  # type: ignore[arg-type]


def test_alignments_are_those_that_align_implements() -> None:
    assert set(ALIGNMENTS) == set(align.FRAMES)
