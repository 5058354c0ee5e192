"""Models of other packages on the command line, and indexes whose models are not installed any more."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faceindex.models import plugins

REPOSITORY = Path(__file__).resolve().parents[2]

TOY = """
from faceindex.models import ClustererSpec, DetectorSpec

DETECTOR = DetectorSpec(
    name="toy-middle", target="toy_package_models:Middle", summary="The middle of a photo", landmarks=False,
    threshold=0.5, threshold_source="made up", licence="MIT",
)
CLUSTERER = ClustererSpec("toy-equal", "toy_package_models:Equal", "Equal vectors", "vectors", "made up")
"""

MODELS = """
import numpy as np
from faceindex.types import Detections


class Middle:
    def __init__(self, spec, *, min_face, device="cpu"):
        self.spec, self.min_face = spec, min_face

    def detect(self, images, *, min_faces=None):
        return [self._middle(*image.shape[:2]) for image in images]

    def _middle(self, height, width):
        box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]], np.float32)
        return Detections(box, np.full((1, 5, 2), np.nan, np.float32), np.array([0.9], np.float32))


class Equal:
    def __init__(self, spec, options):
        self.spec = spec

    def fit(self, album):
        equal = (album.vectors * 8).round()
        return np.unique(equal, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
"""


def documented_package(folder: Path) -> str:
    """Write the example package of docs/models.md as pip installs it; return its pyproject.toml."""
    page = REPOSITORY / "docs" / "models.md"
    if not page.exists():
        pytest.skip("there is no docs/models.md")
    blocks = re.findall(
        r"<!-- example package: (\S+) -->\n```\w+\n(.*?)```", page.read_text(encoding="utf-8"), re.S
    )
    files: dict[str, str] = dict(blocks)
    for name, text in files.items():
        if name.endswith(".py"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    return files["pyproject.toml"]


def write_metadata(folder: Path, name: str, entry_points: str) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with two packages: the documented example, and a toy detector and clusterer."""
    folder = tmp_path / "site"
    folder.mkdir()
    project = configparser.ConfigParser()
    project.read_string(documented_package(folder))
    groups = [section for section in project.sections() if "entry-points" in section]
    write_metadata(
        folder,
        project["project"]["name"].strip('"'),
        "".join(
            f"[{group.split('.', 2)[2].strip(chr(34))}]\n"
            + "".join(f"{name} = {value.strip(chr(34))}\n" for name, value in project[group].items())
            for group in groups
        ),
    )
    (folder / "toy_package.py").write_text(TOY)
    (folder / "toy_package_models.py").write_text(MODELS)
    write_metadata(
        folder,
        "toy-package",
        "[faceindex.detectors]\ntoy-middle = toy_package:DETECTOR\n"
        "toy-broken = toy_package:MISSING\n"
        "[faceindex.clusterers]\ntoy-equal = toy_package:CLUSTERER\n",
    )
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The packages are installed in this process; delete the folder and `forget` to uninstall them."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(site)
    plugins.clear_cache()
    yield site
    plugins.clear_cache()
    for name in set(sys.modules) - before:
        if name.startswith(("toy_package", "faceindex_thumbnail")):
            del sys.modules[name]


def test_a_new_process_finds_the_models(site: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faceindex", "models", "list", "thumbnail", "toy-broken"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(site)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"package +faceindex-thumbnail$", done.stdout, re.M)
    assert "cannot be used: toy_package:MISSING" in done.stdout
    assert "mtcnn" not in done.stdout


def test_models_of_other_packages_from_installation_to_removal(
    run, installed: Path, fake_models, tmp_path: Path
) -> None:
    fake_models.make_album(tmp_path / "album")

    listed = json.loads(run("models", "--json").stdout)["models"]
    entries = {(model["kind"], model["name"]): model for model in listed}
    assert entries["embedder", "thumbnail"]["package"] == "faceindex-thumbnail"
    assert entries["embedder", "thumbnail"]["usable"]
    assert entries["detector", "mtcnn"]["package"] == "faceindex"
    broken = entries["detector", "toy-broken"]
    assert (broken["usable"], broken["package"]) == (False, "toy-package")
    assert "MISSING" in broken["reason"]
    text = run("models").stdout
    assert "from the package toy-package" in text
    assert "cannot be used" in text

    made = run("index", "album", "--detector", "toy-middle", "--embedder", "thumbnail")
    assert (made.exit_code, made.stderr.count("error")) == (0, 0), made.stderr
    assert "missing" not in run("status").stdout
    for algorithm in ("album", "chinese-whispers", "toy-equal"):
        clusters = json.loads(run("cluster", "--algorithm", algorithm, "--json").stdout)["clusters"]
        assert [cluster["faces"] for cluster in clusters] == [4, 4, 4]
    answer = json.loads(run("identify", "album/person1/0.png", "--json").stdout)
    assert answer["photos"][0]["faces"][0]["cluster"] is not None

    unusable = run("index", "album", "--index", "other", "--detector", "toy-broken")
    assert unusable.exit_code == 2
    assert "toy-package" in unusable.stderr
    assert not (tmp_path / "other").exists()

    faces = run("faces", "--csv").stdout
    shutil.rmtree(installed)  # pip uninstall
    plugins.clear_cache()

    status = run("status")
    assert status.exit_code == 0
    for kind, name in (("detector", "toy-middle"), ("embedder", "thumbnail")):
        assert f"was made with the {kind} '{name}', which is not installed" in status.stdout
        assert f"faceindex.{kind}s" in status.stdout
    document = json.loads(run("status", "--json").stdout)
    assert [entry["type"] for entry in document["missing"]] == ["ModelNotInstalled"] * 2
    assert document["embedder"] == "thumbnail"
    assert run("faces", "--csv").stdout == faces
    for command in (["index", "album"], ["identify", "album/person1/0.png"], ["cluster", "--rebuild"]):
        done = run(*command)
        if command == ["index", "album"]:  # nothing has changed, so no model is needed
            assert done.exit_code == 0
            (tmp_path / "album" / "new.png").write_bytes(
                (tmp_path / "album/person0/0.png").read_bytes() + b"\0"
            )
            done = run(*command)
        assert done.exit_code == 2
        assert "is not installed" in done.stderr
        assert done.stderr.count("\n") == 1
    assert run("cluster", "--algorithm", "kmeans", "--k", "3").exit_code == 0
    assert run("cluster", "--algorithm", "toy-equal").exit_code == 2
