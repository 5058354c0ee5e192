from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from faceindex import models
from faceindex.models import registry
from faceindex.models.spec import WeightFile


def weight(name: str) -> WeightFile:
    return WeightFile(name=name, size=3, sha256="0" * 64, source="nowhere")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty folder of weights, and the built-in models with weights that no package ships."""
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "weights").mkdir()
    specs = [
        replace(spec, weights=(weight(f"{spec.name}.bin"),))
        for kind in ("detector", "embedder")
        for spec in (models.get(kind, name) for name in models.names(kind))
    ]
    with registry.isolated(specs):
        yield tmp_path / "weights"


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.bin").write_bytes(b"abc")


def test_the_most_accurate_models_whose_weights_are_there(folder):
    best = [spec.name for spec in models.recommended()]
    put(folder, "mtcnn", "dlib")
    choice = models.choose()
    assert (choice.detector, choice.embedder) == ("mtcnn", "dlib")
    assert "of those whose weight files are here" in choice.reason
    assert set(choice.better) <= set(best) and "mobilefacenet" in choice.better
    assert [w.name for w in choice.missing] == [f"{name}.bin" for name in choice.better]
    put(folder, *choice.better)
    choice = models.choose()
    assert [choice.detector, choice.embedder] == best
    assert choice.reason == "the most accurate models"
    assert not choice.better and not choice.missing


def test_a_name_is_kept(folder):
    put(folder, "mtcnn", "mobilefacenet")
    choice = models.choose("dsfd", "facenet")
    assert (choice.detector, choice.embedder, choice.reason, choice.better) == ("dsfd", "facenet", "", ())
    choice = models.choose("dsfd", models.AUTO)
    assert (choice.detector, choice.embedder) == ("dsfd", "mobilefacenet")
    assert choice.reason == "the most accurate embedder"


def test_without_any_weights_the_last_is_chosen_so_that_loading_names_its_file(folder):
    choice = models.choose(None, None)
    assert (choice.detector, choice.embedder) == ("mtcnn", "dlib")


def test_models_that_are_not_registered_are_left_out(folder):
    with registry.isolated([models.get("detector", "mtcnn"), models.get("embedder", "dlib")]):
        assert models.choose().better == ()
