from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from faceindex.cli.app import app

REPOSITORY = Path(__file__).resolve().parents[2]

_PROGRAM = "import fakes; fakes.register_fakes(); fakes.FakeDetector.delay = {delay}; {before}\n"
_PROGRAM += "from faceindex.cli.app import main; main()"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the developer's own settings, and work in an empty folder."""
    for name in ("FACEINDEX_INDEX", "FACEINDEX_WEIGHTS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run() -> Callable[..., Any]:
    """Run a command in this process; ``.exit_code``, ``.stdout``, ``.stderr``."""
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def index_album(run: Callable[..., Any], fake_models: ModuleType) -> Callable[..., Any]:
    """Index paths with the fake models."""
    return lambda *args: run("index", "--detector", "fake", "--embedder", "fake", *args)


@pytest.fixture
def album(fake_models: ModuleType, tmp_path: Path) -> Path:
    """Three people with four photos each, not indexed."""
    return Path(fake_models.make_album(tmp_path / "album"))


@pytest.fixture
def indexed(album: Path, index_album: Callable[..., Any]) -> Path:
    """The album, indexed in ``.faceindex`` of the current folder."""
    assert index_album("album").exit_code == 0
    return album


@pytest.fixture
def clustered(indexed: Path, run: Callable[..., Any]) -> Path:
    """The album, indexed and clustered."""
    assert run("cluster").exit_code == 0
    return indexed


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start the program in a process of its own, with the fake models registered."""

    def start(*args: object, delay: float = 0.0, before: str = "") -> subprocess.Popen[bytes]:
        paths = [str(REPOSITORY), str(REPOSITORY / "tests")]
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(delay=delay, before=before), *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start
