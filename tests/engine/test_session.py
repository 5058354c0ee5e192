"""Ray that is started for a run: closed to others, sends nothing, and leaves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from faceindex.engine import Place, check_installed, session
from faceindex.errors import EngineError

# Not `importorskip`: Ray that is started for a run must not be imported before.
pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed")


def _listening() -> dict[int, set[str]]:
    """Return the local addresses at which processes of this user listen, by inode of the socket."""
    found: dict[int, set[str]] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # LISTEN
                found.setdefault(int(fields[9]), set()).add(fields[1].rpartition(":")[0])
    return found


def _sockets(pid: str) -> set[int]:
    found = set()
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    except OSError:
        pass
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ray_listens_on_this_machine_only(ray_folder: Path) -> None:
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    listening = _listening()
    places = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if b"RAY_AUTH_TOKEN=" + session._TOKEN.encode() in environment:  # the processes that Ray started
            for inode in _sockets(pid) & listening.keys():
                places |= listening[inode]
            # A process that renames itself overwrites the beginning of its environment.
            assert b"RAY_USAGE_STATS_ENABLED=0" in environment or environment.startswith(b"\0")
    assert places
    assert places <= loopback


def test_the_folder_is_closed_to_others(ray_folder: Path) -> None:
    assert ray_folder.name.startswith("fi-ray-")
    assert ray_folder.stat().st_mode & 0o777 == 0o700


def test_who_has_no_token_is_refused(ray_folder: Path) -> None:
    """Another user of this machine can connect to 127.0.0.1."""
    import ray

    address = ray.get_runtime_context().gcs_address
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_NUM_REDIS_GET_RETRIES": "1"}
    script = (
        f"import ray\ntry:\n ray.init({address!r}, log_to_driver=False)\n"
        "except BaseException as error:\n print('refused', type(error).__name__)\nelse:\n print('in')"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert found.stdout.startswith("refused"), found.stdout + found.stderr


def test_the_environment_is_restored(ray_folder: Path) -> None:
    with session._environment({"FACEINDEX_TEST_A": "1", "PATH": "x"}):
        assert os.environ["FACEINDEX_TEST_A"] == "1"
    assert "FACEINDEX_TEST_A" not in os.environ
    assert os.environ["PATH"] != "x"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError) as raised:
        check_installed()
    assert "`pip install 'faceindex[ray]'`" in raised.value.remedy


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ConnectionError("Ray is trying to start at h:1, but is not there.\nMore."),
            "cannot be joined .Ray is try",
        ),
        (
            RuntimeError("Version mismatch: The cluster was started with:\n  Python: 3.9"),
            "has other versions .Ver",
        ),
    ],
)
def test_a_cluster_that_cannot_be_joined(
    ray_folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    import ray

    def init(**_: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (
        pytest.raises(EngineError, match=f"^The Ray cluster at h:1 {message}"),
        session.joined(Place("h:1"), 1),
    ):
        pass


def test_ray_that_was_imported_before_is_not_started(
    ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(session, "_imported_closed", False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(EngineError, match="Ray was imported before"), session.joined(Place(None), 1):
        pass
