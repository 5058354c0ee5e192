"""A Ray cluster of several nodes on this machine: nodes that die and join, and a head that dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from faceindex.engine.session import Head
from faceindex.errors import EngineError

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed"),
    pytest.mark.skipif(os.name == "nt", reason="processes are killed by a signal"),
]


def test_nodes_die_and_join_and_the_head_dies(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join(map(str, [tests, tests.parent])),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    done = subprocess.run(
        [sys.executable, str(tests / "ray_cluster.py"), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["killed"] == [True, 2]
    assert seen["late"] == [True, 2, 2]
    problem, remedy = seen["head"]
    assert problem.startswith("The head of the Ray cluster (")
    assert "has not answered for " in problem
    assert remedy == "Start the cluster again, and run this again: what is committed stays."


def test_a_head_that_is_silent(ray_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(0.2)
    address = head._address
    assert head.check()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(head, "_address", f"127.0.0.1:{port}")  # nobody listens there
    assert not head.check()
    time.sleep(0.3)
    with pytest.raises(EngineError, match=r"^The head of the Ray cluster \(127"):
        head.check()
    monkeypatch.setattr(head, "_address", address)
    assert not head.answers()  # once given up, it is not waited for again


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_head_that_hangs_is_silent(ray_folder: Path) -> None:
    """The kernel still takes connections to a process that is stopped."""
    head = Head(0.2)
    assert head.check()
    pid = _child("gcs_server")
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert not head.answers()
        assert time.monotonic() - begun < 10
        with pytest.raises(EngineError, match=r"has not answered for "):
            head.check()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert Head(30.0).check()


def _child(name: str) -> int:
    """Return the id of the child of this process with such a name."""
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit():
                before, _, after = (process / "stat").read_text("ascii").rpartition(")")
                if before.endswith(f"({name}") and int(after.split()[1]) == os.getpid():
                    return int(process.name)
    raise AssertionError(f"no process {name}")
