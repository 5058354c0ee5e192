from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from faceindex.cli.app import app
from faceindex.cli.options import expand_home

_PATHS = {"DIR", "DEST", "FILE", "PATH", "PHOTO", "CSV"}
"""Metavars of arguments and options that are paths."""


def parameters(command: Any, name: str = "faceindex") -> Iterator[tuple[str, Any]]:
    """Every parameter of every command, with the command's name."""
    for parameter in command.params:
        yield f"{name} {parameter.name}", parameter
    for word, inner in getattr(command, "commands", {}).items():
        yield from parameters(inner, f"{name} {word}")


def test_every_path_is_expanded() -> None:
    paths = {
        name: parameter
        for name, parameter in parameters(typer.main.get_command(app))
        if parameter.metavar in _PATHS
    }
    assert {"faceindex index paths", "faceindex index log", "faceindex gallery destination"} <= set(paths)
    assert {name for name, path in paths.items() if "expand_home" not in repr(path.callback)} == set()


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert expand_home("~/a") == "/home/me/a"
    assert expand_home(Path("~/a")) == Path("/home/me/a")
    assert expand_home(["a", "~/b"]) == ["a", "/home/me/b"]
    for same in (None, "-", "a~", "a/~/b", "~no-such-user-anywhere/a"):
        assert expand_home(same) == same


def test_a_file_whose_name_starts_with_a_tilde_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "a").touch()
    assert expand_home("~/a") == "~/a"
    assert expand_home("~/b") == "/home/me/b"
