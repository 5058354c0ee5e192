"""Folders that are removed when their run ends, or by the next one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from faceindex import locks
from faceindex.locks import FileLock
from faceindex.scratch import OwnFolder, own_folder, remove_leftovers, short_parent


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


def test_one_in_use_stays_and_one_of_a_killed_process_goes(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from faceindex.scratch import OwnFolder\n"
        "folder = OwnFolder(Path(sys.argv[1]), 'fi-test-'); print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    (theirs,) = tmp_path.iterdir()
    ours = OwnFolder(tmp_path, "fi-test-")
    assert sorted(tmp_path.iterdir()) == sorted([theirs, ours.path])
    child.send_signal(signal.SIGKILL)
    child.communicate()
    another = OwnFolder(tmp_path, "fi-test-")
    assert sorted(tmp_path.iterdir()) == sorted([another.path, ours.path])
    another.remove()
    ours.remove()


@pytest.mark.parametrize("holds", [False, True])
def test_another_process_takes_a_new_folder_for_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    """It locks the new file before its maker does, and is removing the folder, or has done so."""
    lock = locks._lock
    others: list[FileLock] = []

    def late(descriptor: int, **more: bool) -> bool:
        if not others:
            (folder,) = tmp_path.iterdir()
            monkeypatch.setattr(locks, "_lock", lock)
            others.append(FileLock(folder / "lock"))
            if not holds:
                monkeypatch.undo()
                others[0].release()
                remove_leftovers(tmp_path, "fi-test-")
        return lock(descriptor, **more)

    monkeypatch.setattr(locks, "_lock", late)
    ours = OwnFolder(tmp_path, "fi-test-")
    assert len(others) == 1
    others[0].release()
    (ours.path / "file").touch()
    remove_leftovers(tmp_path, "fi-test-")
    assert (ours.path / "file").exists()
    ours.remove()
    assert not list(tmp_path.iterdir())


def test_no_end_of_attempts_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_lock", lambda *words, **more: False)
    monkeypatch.setattr(locks, "_PAUSE", 0.0)
    with pytest.raises(OSError, match="lock each new folder"):
        OwnFolder(tmp_path, "fi-test-")
    assert not list(tmp_path.iterdir())


def test_the_lock_is_removed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what a kill leaves while the folder is removed is a leftover for the next run."""
    ours = OwnFolder(tmp_path, "fi-test-")
    (ours.path / "vectors").touch()
    (ours.path / "below").mkdir()
    seen = []
    rmtree = shutil.rmtree

    def watched(path: Path, **more: Any) -> None:
        if path == ours.path:
            seen.append([entry.name for entry in path.iterdir()])
        rmtree(path, **more)

    monkeypatch.setattr(shutil, "rmtree", watched)
    ours.remove()
    assert seen == [["lock"]]


def test_what_is_not_a_leftover_stays(tmp_path: Path) -> None:
    names = {"fi-test-new", "fi-test-full", "other-old"}
    for name in (*names, "fi-test-old"):
        (tmp_path / name).mkdir()
    (tmp_path / "fi-test-full" / "file").touch()
    for name in ("fi-test-old", "other-old", "fi-test-full"):
        os.utime(tmp_path / name, (time.time() - 9999,) * 2)
    OwnFolder(tmp_path, "fi-test-").remove()
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_path_that_is_too_long_for_a_socket_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert short_parent(500) == tmp_path
    assert short_parent(5) == (Path("/tmp") if Path("/tmp").is_dir() else tmp_path)
