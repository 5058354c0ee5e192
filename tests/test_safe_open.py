from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faceindex.safe_open import UnsafeFile, check_own, is_trusted_owner, open_own

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and owners of Unix")

SECRET = b"somebody's file"
STRANGER = 12_345  # a user id that nobody here has
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give files away")


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))  # a short path: the limit is 108 bytes


PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "a symbolic link": lambda path, victim: path.symlink_to(victim),
    "a link to nothing": lambda path, victim: path.symlink_to(victim.with_name("missing")),
    "a named pipe": lambda path, victim: os.mkfifo(path),
    "a socket": lambda path, victim: bind_socket(path),
    "a folder": lambda path, victim: path.mkdir(),
    "a hard link": lambda path, victim: path.hardlink_to(victim),
}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(SECRET)
    return path


@pytest.mark.parametrize("what", PLANTED)
def test_writing_never_follows_or_waits(
    what: str, tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    PLANTED[what](tmp_path / "lock", victim)
    for flags in (os.O_WRONLY | os.O_CREAT | os.O_TRUNC, os.O_RDWR, os.O_RDWR | os.O_CREAT):
        with pytest.raises(UnsafeFile) as caught:
            open_own(tmp_path / "lock", flags)
        assert caught.value.filename == str(tmp_path / "lock")
        assert str(caught.value.strerror).startswith("it ")
    assert victim.read_bytes() == SECRET
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("what", [what for what in PLANTED if what != "a hard link"])
def test_reading_our_own_files_needs_regular_ones(
    what: str, tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    PLANTED[what](tmp_path / "lock", victim)
    with pytest.raises(UnsafeFile):
        open_own(tmp_path / "lock", os.O_RDONLY)


def test_a_link_planted_after_the_check_is_not_followed(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vectors.f32"
    path.symlink_to(victim)
    monkeypatch.setattr("faceindex.safe_open.check_own", lambda path, write: True)
    with pytest.raises(UnsafeFile, match="symbolic link"):
        open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    path.unlink()
    path.hardlink_to(victim)
    with pytest.raises(UnsafeFile, match="hard link"):
        open_own(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    assert victim.read_bytes() == SECRET  # emptied only after the check of the open file


def test_plain_files_are_made_opened_and_emptied(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert not check_own(path, write=True)
    os.close(open_own(path, os.O_WRONLY | os.O_CREAT))
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"old")
    os.close(open_own(path, os.O_RDWR | os.O_TRUNC))
    assert path.read_bytes() == b""
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert check_own(tmp_path / "link" / "file", write=True)  # the folder may lie behind a link
    path.unlink()
    with pytest.raises(FileNotFoundError):
        open_own(path, os.O_RDONLY)


@as_root
def test_a_file_of_a_third_user_is_refused(tmp_path: Path, victim: Path) -> None:
    os.chown(victim, STRANGER, -1)
    with pytest.raises(UnsafeFile, match="another user"):
        open_own(victim, os.O_RDONLY)
    os.chown(tmp_path, STRANGER, -1)  # a network disk gives all files of a folder one owner
    os.close(open_own(victim, os.O_RDONLY))


@as_root
def test_for_root_the_caller_of_sudo_is_trusted(victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_UID", raising=False)
    assert is_trusted_owner(victim)
    os.chown(victim, STRANGER, -1)
    assert not is_trusted_owner(victim)
    for caller, trusted in ((str(STRANGER), True), ("1", False), ("", False), ("x", False)):
        monkeypatch.setenv("SUDO_UID", caller)
        assert is_trusted_owner(victim) is trusted
    link = victim.with_name("link")
    link.symlink_to("/")
    os.chown(link, STRANGER, -1, follow_symlinks=False)
    monkeypatch.delenv("SUDO_UID")
    assert not is_trusted_owner(link)  # a stranger's link to our own folder
