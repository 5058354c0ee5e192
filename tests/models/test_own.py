"""The user's own embedders: what is stored, who finds it, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_files
import pytest

from faceindex import models
from faceindex.embed.own import add_embedder, templates
from faceindex.errors import BrokenModel, ModelError, UnknownModel, UsageError, WeightsInvalid
from faceindex.models import Alignment, PixelScale, plugins, weights_folder
from faceindex.models.builtin import BUILTIN
from faceindex.models.own import own_embedders, remove_own

CONTENT = onnx_files.embedder(40)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FACEINDEX_WEIGHTS", raising=False)
    return weights_folder()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "network.onnx"
    path.write_bytes(CONTENT)
    return path


def description(folder: Path, name: str = "mine") -> Path:
    return folder / f"{name}.embedder.json"


def test_an_embedder_is_added_found_and_run(file: Path, folder: Path) -> None:
    spec = add_embedder("mine", file, like="adaface")
    file.unlink()
    assert spec == models.get("embedder", "mine")
    assert models.names("embedder")[-1] == "mine"
    assert (spec.dimension, spec.colour, spec.calibration, spec.run_by_us) == (40, "BGR", None, False)
    assert spec.alignment == Alignment("arcface", 112)
    assert spec.scale == PixelScale(127.5, 127.5)
    assert sorted(path.name for path in folder.iterdir()) == ["mine.embedder.json", "mine.own.onnx"]
    chips = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    vectors, norms = models.load(spec, device="cpu").embed(chips)
    expected = onnx_files.expected(chips, 40, mean=127.5, divisor=127.5, bgr=True)
    np.testing.assert_allclose(vectors * norms[:, None], expected, rtol=1e-4, atol=1e-4)


def test_a_later_process_finds_it(file: Path) -> None:
    add_embedder("mine", file, like="sface")
    program = "from faceindex import models; print(models.get('embedder', 'mine').dimension)"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ.copy()
    )
    assert found.stdout == "40\n"


def test_the_size_of_the_chips_is_that_of_the_template(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    path.write_bytes(onnx_files.embedder(40, size=160, batch=1))
    spec = add_embedder("large", path, like="facenet")
    assert spec.alignment == Alignment("facenet", 160)
    assert spec.scale == PixelScale(127.5, 128)


def test_templates_are_embedders_with_a_scale_by_full_and_short_name() -> None:
    found = templates()
    assert found["arcface"].name == "arcface-r50"
    assert found["adaface"].name == "adaface-ir18"
    assert {"sface", "mobilefacenet", "facenet", "arcface-mbf"} <= set(found)
    assert "dlib" not in found


@pytest.mark.parametrize(
    "name", ["", "auto", "Mine", "my net", "../mine", "-mine", ".mine", "a/b", "x" * 65, "mine.onnx", "é"]
)
def test_invalid_names_are_refused(file: Path, folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of an embedder"):
        add_embedder(name, file, like="sface")
    assert not folder.exists()


@pytest.mark.parametrize("name", ["dlib", "mtcnn", "kmeans", "sface"])
def test_taken_names_are_refused(file: Path, folder: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"The name '{name}' is taken"):
        add_embedder(name, file, like="sface")
    assert not folder.exists()


def test_an_embedder_is_not_replaced(file: Path, folder: Path) -> None:
    add_embedder("mine", file, like="sface")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    file.write_bytes(onnx_files.embedder(12))
    with pytest.raises(UsageError, match="is taken"):
        add_embedder("mine", file, like="sface")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_another_file_of_the_same_name_is_kept(
    file: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "named"
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(named))
    for place in (folder, named):
        place.mkdir(parents=True)
        (place / "mine.own.onnx").write_bytes(b"something else")
        with pytest.raises(UsageError, match="exists and is another file"):
            add_embedder("mine", file, like="sface")
        assert (place / "mine.own.onnx").read_bytes() == b"something else"
        assert not description(folder).exists()
        (place / "mine.own.onnx").unlink()
    (folder / "mine.own.onnx").write_bytes(CONTENT)  # as after a crash between the two files
    assert add_embedder("mine", file, like="sface").name == "mine"


@pytest.mark.parametrize("like", ["", "dlib", "nothing", "kmeans"])
def test_unknown_templates_are_refused(file: Path, like: str) -> None:
    with pytest.raises(UsageError, match="no such embedder") as info:
        add_embedder("mine", file, like=like)
    assert "arcface" in info.value.remedy


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no network", "cannot be run as an ONNX network"),
        (onnx_files.embedder(40, size=96), "its input is"),
        (onnx_files.embedder(40, extra_input=True), "it has 2 inputs"),
        (onnx_files.embedder(5000), "returns 5,000 values for a face"),
    ],
    ids=["text", "size", "inputs", "dimension"],
)
def test_files_that_do_not_fit_are_refused(file: Path, folder: Path, content: bytes, problem: str) -> None:
    file.write_bytes(content)
    with pytest.raises(WeightsInvalid, match=problem):
        add_embedder("mine", file, like="arcface")
    assert not folder.exists()


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        add_embedder("mine", tmp_path / "none.onnx", like="arcface")
    with pytest.raises(UsageError, match="not a regular file"):
        add_embedder("mine", tmp_path, like="arcface")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(file: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    with pytest.raises(ModelError, match="cannot be written"):
        add_embedder("mine", file, like="arcface")


def test_a_changed_network_is_refused(file: Path, folder: Path) -> None:
    spec = add_embedder("mine", file, like="arcface")
    assert models.pinned_sha256(spec.weights[0]) == hashlib.sha256(CONTENT).hexdigest()
    (folder / "mine.own.onnx").write_bytes(onnx_files.embedder(40, scale=2))
    with pytest.raises(WeightsInvalid, match=r"mine\.own\.onnx is not the published"):
        models.load(spec, device="cpu")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": "faceindex/own-embedder/2"}, "its schema is"),
        ({"name": "other"}, "its name is 'other'"),
        ({"sha256": "0" * 63}, "64 hexadecimal digits"),
        ({"sha256": None}, "its sha256 is None"),
        ({"bytes": -1}, "weights.size in its spec is -1"),
        ({"bytes": True}, "its bytes is True"),
        ({"dimension": 0}, "dimension in its spec is 0"),
        ({"dimension": 12.0}, "its dimension is 12.0"),
        ({"alignment": "none"}, "alignment.name in its spec is 'none'"),
        ({"size": 0}, "alignment.size in its spec is 0"),
        ({"colour": "HSV"}, "colour in its spec is 'HSV'"),
        ({"mean": float("nan")}, "scale.mean in its spec is nan"),
        ({"divisor": 0}, "scale.divisor in its spec is 0"),
        ({"divisor": "1"}, "its divisor is '1'"),
        ({"divisor": 10**400}, "its divisor is too large"),
        ({"threshold": -(10**400)}, "its threshold is too large"),
        ({"bytes": 10**400}, "its bytes is too large"),
        ({"threshold": float("inf")}, "threshold in its spec is inf"),
        ({"target": "os:system"}, "not an object with the fields"),
    ],
)
def test_a_damaged_description_is_not_used(
    file: Path, folder: Path, change: dict[str, Any], reason: str
) -> None:
    add_embedder("mine", file, like="arcface")
    path = description(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert_unusable(path, reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 60_000, "not JSON"),
        (b"[]", "not an object"),
        (b"\xff", "cannot be read"),
        (b" " * 70_000, "too long"),
    ],
)
def test_a_description_that_is_none(folder: Path, content: bytes, reason: str) -> None:
    folder.mkdir(parents=True)
    description(folder).write_bytes(content)
    assert_unusable(description(folder), reason)


def assert_unusable(path: Path, reason: str) -> None:
    assert "mine" not in models.names("embedder")
    (found,) = [each for each in models.unusable("embedder") if each.name == "mine"]
    assert reason in found.reason
    assert found.distribution == str(path)
    with pytest.raises(BrokenModel) as info:
        models.get("embedder", "mine")
    assert reason in info.value.problem
    assert "models remove mine" in info.value.remedy
    remove_own("mine")
    with pytest.raises(UnknownModel):
        models.get("embedder", "mine")


def test_other_files_in_the_folder_are_ignored(file: Path, folder: Path) -> None:
    add_embedder("mine", file, like="arcface")
    for name in ("UPPER.embedder.json", ".embedder.json", "a b.embedder.json", "mine.json"):
        (folder / name).write_text("{}")
    assert list(own_embedders()) == ["mine"]


def test_a_built_in_model_of_a_later_version_comes_first(file: Path, folder: Path) -> None:
    spec = add_embedder("mine", file, like="arcface")
    with models.registry.isolated():
        models.register(replace(spec, summary="built-in"))
        assert models.get("embedder", "mine").summary == "built-in"
        assert models.names("embedder").count("mine") == 1
        (found,) = [each for each in models.unusable("embedder") if each.name == "mine"]
        assert found.reason == "faceindex itself has a embedder of this name"


def test_a_package_that_offers_the_same_name_later(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = add_embedder("mine", file, like="arcface")
    plugin = plugins.Plugin("embedder", "mine", "some-package", replace(spec, summary="theirs"))
    monkeypatch.setattr(
        "faceindex.models.registry.plugins", lambda kind: {"mine": plugin} if kind == "embedder" else {}
    )
    assert models.get("embedder", "mine") == spec
    assert models.names("embedder").count("mine") == 1
    (found,) = models.unusable("embedder")
    assert (found.distribution, found.reason) == ("some-package", "an embedder of your own has this name")


def test_removing(file: Path, folder: Path) -> None:
    add_embedder("mine", file, like="arcface")
    (folder / "keep.onnx").write_bytes(b"another file")
    assert remove_own("mine") == folder / "mine.own.onnx"
    assert [path.name for path in folder.iterdir()] == ["keep.onnx"]
    assert "mine" not in models.names("embedder")
    for name in ("mine", "keep", "dlib", "../keep"):
        with pytest.raises(UnknownModel, match="no embedder of your own"):
            remove_own(name)
    assert (folder / "keep.onnx").exists()


@pytest.mark.parametrize("name", ["w600k_r50", "face_detection_yunet_2026may"])
def test_the_published_file_of_another_model_is_left_alone(file: Path, folder: Path, name: str) -> None:
    published = {weight.name for spec in BUILTIN for weight in getattr(spec, "weights", ())}
    assert f"{name}.onnx" in published
    spec = add_embedder(name, file, like="arcface")
    assert spec.weights[0].name not in published
    (folder / f"{name}.onnx").write_bytes(b"the published file")  # as `faceindex models fetch` stores it
    assert models.load(spec, device="cpu").spec == spec
    remove_own(name)
    assert (folder / f"{name}.onnx").read_bytes() == b"the published file"
    assert not (folder / spec.weights[0].name).exists()
