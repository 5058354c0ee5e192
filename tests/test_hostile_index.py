"""The benchmark of hostile indexes, with few of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs setitimer")

Run = Callable[[str, int], dict[str, Any]]


@pytest.fixture
def hostile(fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import hostile_index

    fake_models.register_others()
    return hostile_index


def test_attacks_end_with_clear_errors(hostile: ModuleType, tmp_path: Path) -> None:
    hostile.make_index(tmp_path)
    run = hostile.case_runner(tmp_path, ["status --json", "faces --json", "people --json"])
    for name, seed in [
        ("endless view of people", 0),
        ("tiny min face", 0),
        ("people merged in a circle", 0),
        ("photos of a root that is missing", 0),
        ("hnsw links", 1),
        ("hnsw links", 2),
        ("hnsw levels", 3),
        ("random bytes in the catalog", 4),
        ("faces.vector_row = 'text'", 0),
    ]:
        answer = run(name, seed)
        assert answer["problems"] == [], name
        assert answer["refused"] or answer["listed"] or "hnsw" in name or "random" in name, name


def test_planted_files_and_private_photos_stay_as_they_are(hostile: ModuleType, tmp_path: Path) -> None:
    hostile.make_index(tmp_path)
    run = hostile.case_runner(tmp_path, ["status -v", "export clusters OUT/photos --photos"])
    for name, refused in [
        ("link in place of lock", True),
        ("dangling link in place of vectors.f32", True),
        ("pipe in place of catalog.sqlite", True),
        ("absolute photo path", True),
        ("root of private photos", False),
        ("pipe in place of a photo", False),
        ("names with control characters", False),
    ]:
        answer = run(name, 0)
        assert answer["problems"] == [], name
        assert answer["refused"] is refused, name


def test_a_leak_is_counted(hostile: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceindex.cli import escaping

    hostile.make_index(tmp_path)
    run = hostile.case_runner(tmp_path, ["clusters 0"])
    monkeypatch.setattr("faceindex.cli.render.escaped", str)
    monkeypatch.setattr(escaping, "escaped", str)
    ((_, problem),) = run("names with control characters", 0)["problems"]
    assert problem == "leak: a control character"


def test_an_unexpected_error_is_counted(
    hostile: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.make_index(tmp_path)
    run = hostile.case_runner(tmp_path, ["status --json"])

    def fail(*_: object) -> None:
        raise ZeroDivisionError("made up")

    monkeypatch.setattr("faceindex.store.store.count_everything", fail)
    ((command, problem),) = run("unknown algorithm", 0)["problems"]
    assert command == "status --json"
    assert "made up" in problem
