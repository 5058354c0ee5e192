"""Folders for sockets: they go away, also those of processes that were killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from faceindex.engine.folders import OwnFolder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_goes_away(temporary: Path) -> None:
    folder = OwnFolder("fi-test-", 500)
    assert folder.path.parent == temporary
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700 or os.name == "nt"
    (folder.path / "socket").touch()
    folder.remove()
    folder.remove()
    assert list(temporary.iterdir()) == []


def test_one_in_use_stays_and_one_of_a_killed_process_goes(temporary: Path) -> None:
    program = (
        "import time; from faceindex.engine.folders import OwnFolder\n"
        "folder = OwnFolder('fi-test-', 500); print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary), "TEMP": str(temporary)},
    )
    assert child.stdout is not None
    child.stdout.readline()
    (theirs,) = temporary.iterdir()
    ours = OwnFolder("fi-test-", 500)
    assert sorted(temporary.iterdir()) == sorted([theirs, ours.path])
    child.send_signal(signal.SIGKILL)
    child.communicate()
    another = OwnFolder("fi-test-", 500)
    assert sorted(temporary.iterdir()) == sorted([another.path, ours.path])
    another.remove()
    ours.remove()


def test_what_is_not_a_leftover_stays(temporary: Path) -> None:
    names = {"fi-test-new", "fi-test-full", "other-old"}
    for name in (*names, "fi-test-old"):
        (temporary / name).mkdir()
    (temporary / "fi-test-full" / "file").touch()
    for name in ("fi-test-old", "other-old", "fi-test-full"):
        os.utime(temporary / name, (time.time() - 9999,) * 2)
    OwnFolder("fi-test-", 500).remove()
    assert {path.name for path in temporary.iterdir()} == names


def test_a_path_that_is_too_long_for_a_socket_is_not_used(temporary: Path) -> None:
    folder = OwnFolder("fi-test-", 5)
    assert folder.path.parent == (Path("/tmp") if Path("/tmp").is_dir() else temporary)
    folder.remove()
