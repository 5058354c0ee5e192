"""The benchmark of full and failing disks, with one small disk."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and os.fork")


@pytest.fixture
def disks(fake_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    import disks

    monkeypatch.setattr(disks, "can_mount", lambda work: False)  # limits of the size of files
    return disks


def test_a_full_disk_breaks_nothing(disks: ModuleType, tmp_path: Path) -> None:
    album, _, results = disks.prepare(tmp_path, ["create", "add"])
    options = argparse.Namespace(sizes=2, quick=True)
    cases = list(disks.full_disks(tmp_path, album, results, options))
    assert [case["problems"] for case in cases] == [[]] * 4
    assert 2 in [case["exit"] for case in cases]


def test_lost_faces_are_counted(disks: ModuleType) -> None:
    face = '["box", "vector", 0, null]'
    assert disks.lost_faces({"a.jpg": [face, face]}, {"a.jpg": [face]}) == 1
    assert disks.lost_faces({"a.jpg": [face]}, {"a.jpg": ['["box", "vector", 5, "Anna"]']}) == 0
    assert disks.lost_faces({"a.jpg": [face]}, {}) == 1
