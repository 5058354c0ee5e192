from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from faceindex import models
from faceindex.errors import ModelError, Uncalibrated, UsageError
from faceindex.models import Calibration, WeightFile
from faceindex.models.calibrations import calibration_path

MEASURED = Calibration(
    slope=31.5, midpoint=0.25, source="measured on made-up faces", consensus=1.2, blurred=0.1
)


@pytest.fixture
def spec(fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> models.EmbedderSpec:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    models.register(fake_models.UNCALIBRATED)
    return models.get("embedder", "uncalibrated")


def test_a_stored_calibration_is_that_of_the_spec(spec: models.EmbedderSpec) -> None:
    assert spec.calibration is None
    assert models.stored_calibration(spec) is None
    path = models.save_calibration(spec, MEASURED)
    assert path == calibration_path(spec.name)
    assert models.get("embedder", spec.name).calibration == MEASURED
    assert models.calibration_of(models.get("embedder", spec.name)) == MEASURED
    stored = models.stored_calibration(spec)
    assert stored is not None
    assert (stored.calibration, stored.problem, stored.path) == (MEASURED, "", path)
    assert [file.name for file in path.parent.iterdir()] == ["uncalibrated.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of Unix")
def test_only_the_user_can_read_it(spec: models.EmbedderSpec) -> None:
    assert models.save_calibration(spec, MEASURED).stat().st_mode & 0o077 == 0


def test_the_error_names_what_to_run(spec: models.EmbedderSpec) -> None:
    with pytest.raises(Uncalibrated, match="uncalibrated is not calibrated") as caught:
        models.calibration_of(spec)
    assert "`faceindex models calibrate uncalibrated FOLDER`" in caught.value.remedy


def test_replacing_needs_a_choice(spec: models.EmbedderSpec) -> None:
    models.save_calibration(spec, MEASURED)
    other = dataclasses.replace(MEASURED, slope=40.0)
    with pytest.raises(UsageError, match="has a calibration already"):
        models.save_calibration(spec, other)
    models.save_calibration(spec, other, replace=True)
    assert models.get("embedder", spec.name).calibration == other
    with pytest.raises(UsageError, match="replace"):
        models.save_calibration(models.get("embedder", "fake"), MEASURED)


def test_a_replaced_calibration_comes_back(spec: models.EmbedderSpec, fake_models: ModuleType) -> None:
    models.save_calibration(models.get("embedder", "fake"), MEASURED, replace=True)
    assert models.get("embedder", "fake").calibration == MEASURED
    assert models.forget_calibration("fake")
    assert models.get("embedder", "fake").calibration == fake_models.EMBEDDER.calibration
    assert not models.forget_calibration("fake")


@pytest.mark.parametrize(
    "number", [{"slope": 0.0}, {"slope": float("inf")}, {"midpoint": 1.5}, {"blurred": -0.1}, {"source": ""}]
)
def test_impossible_numbers_are_refused(spec: models.EmbedderSpec, number: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        models.save_calibration(spec, dataclasses.replace(MEASURED, **number))
    assert not calibration_path(spec.name).exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: "{", "it is not JSON"),
        (lambda d: "[" * 100_000, "it is not JSON"),
        (lambda d: [], "schema"),
        (lambda d: {**d, "schema": "faceindex/calibration/3"}, "schema"),
        (lambda d: {**d, "schema": "faceindex/calibration/1"}, "'known' is unknown"),
        (lambda d: {k: v for k, v in d.items() if k != "poor"}, "'poor' is missing"),
        (lambda d: {**d, "strangers": 1.0}, "'strangers' is 1, out of range"),
        (lambda d: {**d, "more": 1}, "'more' is unknown"),
        (lambda d: {k: v for k, v in d.items() if k != "slope"}, "'slope' is missing"),
        (lambda d: {**d, "slope": "31.5"}, "'slope' is not a number"),
        (lambda d: {**d, "slope": True}, "'slope' is not a number"),
        (lambda d: {**d, "slope": 10**400}, "'slope' is not a number"),
        (lambda d: {**d, "slope": -1}, "'slope' is -1, out of range"),
        (lambda d: {**d, "midpoint": 7}, "'midpoint' is 7, out of range"),
        (lambda d: json.dumps(d).replace("31.5", "NaN"), "'slope' is not a number"),
        (lambda d: {**d, "weights": {"a": 1}}, "'weights'"),
        (lambda d: {**d, "created": "yesterday"}, "'created' is not a time"),
        (lambda d: {**d, "embedder": "dlib"}, "for the embedder 'dlib'"),
        (lambda d: {**d, "source": None}, "'source' is not text"),
    ],
)
def test_a_damaged_document_is_never_used(
    spec: models.EmbedderSpec, change: Callable[[dict[str, Any]], Any], problem: str
) -> None:
    path = models.save_calibration(spec, MEASURED)
    changed = change(json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    damaged = models.get("embedder", spec.name)
    with pytest.raises(Uncalibrated) as caught:
        models.calibration_of(damaged)
    assert problem in caught.value.problem
    assert str(path) in caught.value.problem
    assert models.forget_calibration(spec.name)
    models.save_calibration(spec, MEASURED)


def test_documents_without_the_numbers_of_identify_have_defaults(spec: models.EmbedderSpec) -> None:
    path = models.save_calibration(spec, dataclasses.replace(MEASURED, strangers=-9.0, known=20.0, poor=3.0))
    document = json.loads(path.read_text())
    assert (document["schema"], document["strangers"]) == ("faceindex/calibration/2", -9.0)
    older = {key: value for key, value in document.items() if key not in ("strangers", "known", "poor")}
    path.write_text(json.dumps({**older, "schema": "faceindex/calibration/1"}))
    assert models.get("embedder", spec.name).calibration == MEASURED


def test_a_damaged_document_does_not_bring_a_replaced_calibration_back(spec: models.EmbedderSpec) -> None:
    path = models.save_calibration(models.get("embedder", "fake"), MEASURED, replace=True)
    path.write_bytes(b"\xff")
    assert models.get("embedder", "fake").calibration is None


def test_it_is_for_the_weights_that_it_was_measured_with(
    spec: models.EmbedderSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path))
    (tmp_path / "toy.bin").write_bytes(b"toy")
    first, second = (
        dataclasses.replace(spec, weights=(WeightFile("toy.bin", 3, digit * 64, "nowhere"),))
        for digit in "12"
    )
    models.register(first, replace=True)
    models.save_calibration(first, MEASURED)
    assert models.get("embedder", spec.name).calibration == MEASURED
    (tmp_path / "toy.bin").unlink()  # clusters can be made without the weights
    assert models.get("embedder", spec.name).calibration == MEASURED
    models.register(second, replace=True)
    other = models.get("embedder", spec.name)
    assert other.calibration is None
    with pytest.raises(Uncalibrated, match="other weights"):
        models.calibration_of(other)


def test_a_name_is_a_file_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name in ("../evil", "a/b", "..", "C:\\x"):
        assert calibration_path(name).parent == tmp_path / "faceindex" / "calibrations"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of Unix")
def test_a_folder_that_cannot_be_made(
    spec: models.EmbedderSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    assert models.stored_calibration(spec) is None
    with pytest.raises(ModelError, match="cannot be written"):
        models.save_calibration(spec, MEASURED)
