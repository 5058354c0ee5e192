"""File locks: one holder, named to the others, and none after its end."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faceindex.locks import AlreadyLocked, FileLock, Holder, find_holder

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
ignores_fork_warning = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

_HOLDER = """
import sys
from pathlib import Path
from faceindex.locks import FileLock

lock = FileLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
if len(sys.argv) > 2:
    lock.release()
    print("released", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@contextmanager
def other_holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        assert child.stdout.readline() == "locked\n"
        try:
            yield child
        finally:
            child.kill()
            child.wait()


def test_one_holder_at_a_time(path: Path) -> None:
    first = FileLock(path)
    with pytest.raises(AlreadyLocked) as caught:
        FileLock(path)
    assert caught.value.holder.pid == os.getpid()
    first.release()
    first.release()
    FileLock(path).release()


def test_a_with_statement_releases_the_lock(path: Path) -> None:
    with pytest.raises(KeyError), FileLock(path):
        raise KeyError
    FileLock(path).release()


def test_another_process_is_named(path: Path) -> None:
    with other_holder(path) as child:
        with pytest.raises(AlreadyLocked, match=f"locked by process {child.pid} on ") as caught:
            FileLock(path)
        assert caught.value.holder == find_holder(path)
        assert caught.value.holder.pid == child.pid


@posix
def test_a_killed_holder_holds_nothing(path: Path) -> None:
    with other_holder(path) as child:
        child.kill()
        child.wait()
        assert path.read_text()  # it still names the killed process
        assert find_holder(path) is None
        with FileLock(path):
            assert find_holder(path) == Holder(os.getpid(), os.uname().nodename)


def test_nobody_holds_it(path: Path) -> None:
    assert find_holder(path) is None
    assert not path.exists()
    FileLock(path).release()
    assert find_holder(path) is None
    assert path.read_text() == ""


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "host": "y"}', "null", "\x80"]
)
def test_a_holder_that_the_file_does_not_name(path: Path, content: str) -> None:
    with FileLock(path):
        path.write_text(content, encoding="latin-1")
        assert find_holder(path) == Holder(None, None)
        with pytest.raises(AlreadyLocked, match="locked by another process"):
            FileLock(path)


def test_old_content_does_not_outlive_a_new_holder(path: Path) -> None:
    path.write_text(json.dumps({"pid": 1, "host": "a very long name" * 100}))
    with FileLock(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


@posix
def test_the_file_is_private(path: Path) -> None:
    umask = os.umask(0)
    try:
        FileLock(path).release()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "nowhere" / "lock")
    with pytest.raises(OSError):
        FileLock(tmp_path)


@posix
def test_a_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def fail(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.exists() else None
    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match=os.strerror(errno.ENOLCK)):
        FileLock(path)
    with pytest.raises(OSError, match=os.strerror(errno.ENOLCK)):
        find_holder(path)
    if before is not None:
        assert len(list(descriptors.iterdir())) == before


def test_a_full_disk_leaves_the_holder_unnamed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        lock = FileLock(path)
    assert find_holder(path) == Holder(None, None)
    lock.release()
    FileLock(path).release()


@posix
def test_a_file_that_its_holder_deletes_is_not_locked_in_its_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holds the lock, B opens the file, A deletes it and ends: B must not lock a file without a name."""
    import fcntl

    real = fcntl.flock
    opened = 0

    def flock(fd: int, operation: int) -> None:
        nonlocal opened
        opened += 1
        if opened == 1:
            path.unlink()
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    first = FileLock(path)
    assert opened == 2
    with pytest.raises(AlreadyLocked):
        FileLock(path)
    first.release()


@posix
def test_finding_the_holder_never_prevents_locking(path: Path) -> None:
    FileLock(path).release()
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            find_holder(path)
            time.sleep(0.0005)

    threads = [threading.Thread(target=poll) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            FileLock(path).release()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@needs_fork
@ignores_fork_warning
def test_a_forked_child_does_not_hold_the_lock(path: Path) -> None:
    lock = FileLock(path)
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        lock.release()  # the child's copy: the parent keeps the lock
        os.close(done[1])
        os.write(ready[1], b".")
        os.read(done[0], 1)  # until the parent closes its end
        os._exit(0)
    os.read(ready[0], 1)
    try:
        with pytest.raises(AlreadyLocked):
            FileLock(path)
        lock.release()
        FileLock(path).release()  # while the child lives
    finally:
        for end in (*ready, *done):
            os.close(end)
        os.waitpid(child, 0)


_FORKER = """
import os, sys, time
from pathlib import Path
from faceindex.locks import FileLock

lock = FileLock(Path(sys.argv[1]))
if os.fork() == 0:
    print("forked", flush=True)
    time.sleep(60)
time.sleep(60)
"""


@needs_fork
def test_a_child_of_a_killed_holder_does_not_hold_the_lock(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _FORKER, str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert holder.stdout is not None
    try:
        with holder.stdout:
            assert holder.stdout.readline() == "forked\n"
        holder.kill()
        holder.wait()
        FileLock(path).release()
    finally:
        os.killpg(holder.pid, 9)


_RACER = """
import os, sys, time
from pathlib import Path
from faceindex.locks import AlreadyLocked, FileLock

path, marker = Path(sys.argv[1]), Path(sys.argv[2])
taken = 0
deadline = time.monotonic() + 30
while taken < 20 and time.monotonic() < deadline:
    try:
        lock = FileLock(path)
    except AlreadyLocked:
        continue
    marker.touch(exist_ok=False)  # raises if another process is in here
    time.sleep(0.001)
    marker.unlink()
    if taken % 2:
        path.unlink()
    lock.release()
    taken += 1
    time.sleep(0.002)
print(taken)
"""


@posix
def test_processes_exclude_each_other_even_if_they_delete_the_file(path: Path, tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, str(path), str(tmp_path / "marker")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        out, err = child.communicate()
        assert out.strip() == "20", err


def test_importing_loads_nothing_heavy() -> None:
    program = (
        "import sys, faceindex.locks; print(*{'numpy', 'tempfile', 'random', 'socket'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
