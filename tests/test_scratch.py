"""Folders that are removed when their run ends, or by the next one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faceindex.locks import FileLock
from faceindex.scratch import own_folder, remove_leftovers


def test_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    names = ("fi-ray-killed", "fi-ray-alive", "fi-ray-no-lock", "other")
    for name in names:
        (tmp_path / name / "r").mkdir(parents=True)
        if name != "fi-ray-no-lock":
            (tmp_path / name / "lock").touch()
    with FileLock(tmp_path / "fi-ray-alive" / "lock"):
        remove_leftovers(tmp_path, "fi-ray-")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(set(names) - {"fi-ray-killed"})


def test_a_folder_is_closed_to_others_and_goes_away(tmp_path: Path) -> None:
    remains = tmp_path / "parts-killed"
    remains.mkdir()
    (remains / "lock").touch()
    with pytest.raises(KeyboardInterrupt), own_folder(tmp_path, "parts-") as folder:
        assert [path.name for path in tmp_path.iterdir()] == [folder.name]
        assert os.name == "nt" or folder.stat().st_mode & 0o777 == 0o700
        (folder / "vectors").write_bytes(b"secret")
        remove_leftovers(tmp_path, "parts-")  # of another run, at the same time
        assert (folder / "vectors").exists()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="links of Unix")
def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "lock").touch()
    (tmp_path / "parts-link").symlink_to(tmp_path / "mine")
    remove_leftovers(tmp_path, "parts-")
    assert (tmp_path / "mine" / "lock").exists()
