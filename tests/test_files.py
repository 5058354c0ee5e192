"""Durable writes: after any failure, a file has its old content or its new content."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import pytest

from faceindex import files
from faceindex.files import replace_durably, sha256_of, sync_directory, write_durably

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")

OLD, NEW = b"old" * 1000, b"new" * 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file(tmp_path: Path) -> None:
    write_durably(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("temporary", [None, "file.new"])
def test_a_file_is_replaced(path: Path, temporary: str | None) -> None:
    open_before = path.open("rb")
    with open_before:
        write_durably(path, NEW, temporary=None if temporary is None else path.with_name(temporary))
        if sys.platform != "win32":
            assert open_before.read() == OLD  # a reader keeps the file that it opened
    assert path.read_bytes() == NEW
    assert names(path.parent) == ["file"]


def test_content_from_a_function(path: Path) -> None:
    def write(file: BinaryIO) -> None:
        for start in range(0, len(NEW), 777):
            file.write(NEW[start : start + 777])
        assert path.read_bytes() == OLD

    write_durably(path, write)
    assert path.read_bytes() == NEW


def test_nothing_is_written_if_the_function_raises(path: Path) -> None:
    def write(file: BinaryIO) -> None:
        file.write(NEW)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_durably(path, write)
    assert path.read_bytes() == OLD
    assert names(path.parent) == ["file"]


@posix
@pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o600), (0o666, 0o640)])
def test_permissions_are_the_requested_ones_without_the_umask(path: Path, mode: int, expected: int) -> None:
    path.chmod(0o777)
    umask = os.umask(0o027)
    try:
        write_durably(path, NEW, mode=mode)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == expected


@posix
def test_the_default_is_a_private_file(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        write_durably(tmp_path / "file", NEW)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "a.b" * 80])
def test_the_longest_names(tmp_path: Path, name: str) -> None:
    write_durably(tmp_path / name, NEW)
    assert (tmp_path / name).read_bytes() == NEW
    assert len(names(tmp_path)) == 1


@posix
def test_a_link_in_place_of_the_temporary_file_is_not_followed(path: Path) -> None:
    photo = path.with_name("photo")
    photo.write_bytes(b"precious")
    path.with_name("file.new").symlink_to(photo)
    write_durably(path, NEW, temporary=path.with_name("file.new"))
    assert photo.read_bytes() == b"precious"
    assert path.read_bytes() == NEW
    assert names(path.parent) == ["file", "photo"]


@posix
def test_a_link_at_the_destination_is_replaced_not_followed(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    write_durably(link, NEW)
    assert not link.is_symlink()
    assert path.read_bytes() == OLD


def test_the_content_is_synced_before_the_rename_and_the_folder_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def sync_file(fd: int) -> None:
        assert os.fstat(fd).st_size == len(NEW)
        assert path.read_bytes() == OLD
        steps.append("file")

    def sync_folder(folder: Path) -> None:
        assert folder == path.parent
        assert path.read_bytes() == NEW
        steps.append("folder")

    monkeypatch.setattr(files, "sync_file", sync_file)
    monkeypatch.setattr(files, "sync_directory", sync_folder)
    write_durably(path, NEW)
    path.write_bytes(OLD)
    path.with_name("done").write_bytes(NEW)
    replace_durably(path.with_name("done"), path)
    assert steps == ["file", "folder"] * 2


def test_a_finished_file_is_renamed(path: Path) -> None:
    done = path.with_name("done")
    done.write_bytes(NEW)
    replace_durably(done, path)
    assert path.read_bytes() == NEW
    assert names(path.parent) == ["file"]


def test_a_finished_file_that_is_missing(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_durably(path.with_name("done"), path)
    assert path.read_bytes() == OLD


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_durably(tmp_path / "nowhere" / "file", NEW)


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        write_durably(tmp_path / "file", NEW)
    assert names(tmp_path) == ["file"]


@posix
@pytest.mark.parametrize(
    ("code", "is_raised"),
    [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EACCES, False), (errno.EIO, True)],
)
def test_folders_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, is_raised: bool
) -> None:
    def fail(fd: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    if is_raised:
        with pytest.raises(OSError, match=os.strerror(code)):
            sync_directory(tmp_path)
    else:
        sync_directory(tmp_path)


_FULL = """
import resource, signal, sys
from pathlib import Path
from faceindex.files import write_durably

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writes then fail with EFBIG
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_durably(Path(sys.argv[1]), b"new" * 100_000)
except OSError as error:
    print(error.errno)
"""


@posix
def test_a_full_disk(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(errno.EFBIG)]
    assert path.read_bytes() == OLD
    assert names(path.parent) == ["file"]


_KILLED = """
import sys, time
from pathlib import Path
from faceindex.files import write_durably

path = Path(sys.argv[1])
temporary = path.with_name("file.new") if sys.argv[2] == "named" else None

def write(file):
    file.write(b"new" * 100_000)
    file.flush()
    print("half", flush=True)
    time.sleep(60)

write_durably(path, write, temporary=temporary)
"""


@posix
@pytest.mark.parametrize("temporary", ["random", "named"])
def test_a_killed_writer(path: Path, temporary: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(path), temporary], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "half\n"
        child.kill()
    child.wait()
    assert path.read_bytes() == OLD
    assert len(names(path.parent)) == 2
    write_durably(path, NEW, temporary=path.with_name("file.new") if temporary == "named" else None)
    assert path.read_bytes() == NEW
    assert len(names(path.parent)) == (1 if temporary == "named" else 2)


_RACER = """
import sys
from pathlib import Path
from faceindex.files import write_durably

for _ in range(1_000_000):
    write_durably(Path(sys.argv[1]), sys.argv[2].encode() * 50_000)
"""


@posix
def test_readers_and_a_second_writer_find_whole_files_only(path: Path) -> None:
    children = [subprocess.Popen([sys.executable, "-c", _RACER, str(path), letter]) for letter in "ab"]
    found: set[bytes] = set()
    try:
        deadline = time.monotonic() + 20
        while len(found) < 2 and time.monotonic() < deadline:
            content = path.read_bytes()
            if content != OLD:
                assert len(content) == 50_000
                assert len(set(content)) == 1
                found.add(content[:1])
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert found == {b"a", b"b"}


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 5])
def test_sha256(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert sha256_of(path) == sha256_of(str(path)) == sha256_of(io.BytesIO(content)) == expected
    with path.open("rb") as file:
        assert sha256_of(file) == expected
        assert file.tell() == size
    with path.open("rb") as file:
        file.seek(size // 2)
        assert sha256_of(file) == hashlib.sha256(content[size // 2 :]).hexdigest()


def test_sha256_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "nowhere")


def test_importing_loads_nothing_heavy() -> None:
    program = (
        "import sys; before = set(sys.modules)\nimport faceindex.files\n"
        "print(*{'numpy', 'hashlib', 'tempfile', 'random', 'shutil'} & (set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_errors_of_reading_and_writing_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: BinaryIO) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space") as caught:
        write_durably(tmp_path / "new", full)
    assert caught.value.filename == str(tmp_path / "new")
    with pytest.raises(FileNotFoundError) as missing:  # a name that is there stays
        sha256_of(tmp_path / "missing")
    assert missing.value.filename == str(tmp_path / "missing")
