from __future__ import annotations

import dataclasses
import json

import pytest

from faceindex import models
from faceindex.models import WeightFile


@pytest.fixture
def missing(fake_models, monkeypatch: pytest.MonkeyPatch, tmp_path) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = WeightFile("nowhere.pth", 1_500_000, "0" * 64, "https://example.org")
    models.register(dataclasses.replace(fake_models.DETECTOR, name="lacking", weights=(file,)))
    return "lacking"


def test_every_model_is_listed(run) -> None:
    result = run("models")
    assert result.exit_code == 0
    for kind in ("detector", "embedder", "clusterer"):
        for name in models.names(kind):
            assert f"\n  {name}\n" in result.stdout


def test_json_says_what_is_known(run) -> None:
    document = json.loads(run("models", "--json").stdout)
    assert document["schema"] == "faceindex/models/1"
    embedder = next(m for m in document["models"] if (m["kind"], m["name"]) == ("embedder", "dlib"))
    assert embedder["dimension"] == 128
    assert embedder["licence"] == "CC0-1.0"
    assert {"name", "bytes", "sha256", "path"} <= set(embedder["weights"][0])
    assert embedder["ready"] == all(weight["path"] for weight in embedder["weights"])


def test_missing_weights_say_how_to_get_them(run, missing: str) -> None:
    result = run("models")
    assert result.exit_code == 0
    assert "missing: nowhere.pth (1.5 MB)" in result.stdout
    assert "https://example.org" in result.stdout
    document = json.loads(run("models", "--json").stdout)
    model = next(m for m in document["models"] if m["name"] == missing)
    assert not model["ready"]
    assert model["weights"][0]["path"] is None
    assert model["weights"][0]["remedy"]


def test_an_index_with_missing_weights_is_not_made(run, missing: str, album, tmp_path) -> None:
    result = run("index", "album", "--detector", missing, "--embedder", "fake")
    assert result.exit_code == 2
    assert "nowhere.pth" in result.stderr
    assert not (tmp_path / ".faceindex").exists()
