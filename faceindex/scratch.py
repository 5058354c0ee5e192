"""Folders for one run that only this user can read, removed when the run ends.

A run that is killed, also by a SIGTERM that its program does not handle, cannot remove its folder. The next
run does, as nobody holds the lock in it any more.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from faceindex.locks import AlreadyLocked, FileLock, find_holder

__all__ = ["OwnFolder", "find_leftovers", "own_folder", "remove_leftovers", "short_parent"]

_LOCK = "lock"
_ATTEMPTS, _PAUSE = 10, 0.2  # seconds
_FOLDERS = 20  # tried in turn
_UNLOCKED_FOR = 3600.0
"""Seconds after which an empty folder without a lock is a leftover: its process ended before it had one."""


class OwnFolder:
    """A new folder of mode 0700. Making one removes those of processes that were killed.

    Parameters
    ----------
    parent : Path
    prefix : str
        Of its name; folders with this prefix and an unlocked lock inside are leftovers.

    Attributes
    ----------
    path : Path

    Raises
    ------
    OSError
        If it cannot be made, or its disk has no locks.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        remove_leftovers(parent, prefix)
        self.path, lock = _locked_folder(parent, prefix)
        self._end = weakref.finalize(self, _end, self.path, lock, os.getpid())  # also at exit

    def remove(self) -> None:
        """Remove the folder. Does nothing if that has been done."""
        self._end()


@contextlib.contextmanager
def own_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Have an `OwnFolder` inside the ``with``."""
    folder = OwnFolder(parent, prefix)
    try:
        yield folder.path
    finally:
        folder.remove()


def short_parent(longest: int) -> Path:
    """Return the temporary directory, or ``/tmp`` if its path has more than `longest` bytes.

    The path of a socket has at most 107 bytes on Linux, and 103 on macOS.
    """
    parent = Path(tempfile.gettempdir())
    if len(os.fsencode(parent)) > longest and Path("/tmp").is_dir():
        return Path("/tmp")
    return parent


def find_leftovers(parent: Path, prefix: str) -> list[Path]:
    """Return the folders of processes that were killed; nothing is changed."""
    found = []
    for folder in sorted(parent.glob(f"{prefix}*")):
        lock = folder / _LOCK
        with contextlib.suppress(OSError):
            if not folder.is_symlink() and _is_own(folder) and lock.exists() and find_holder(lock) is None:
                found.append(folder)
    return found


def remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove the folders of processes that were killed; what cannot be removed stays."""
    for folder in parent.glob(f"{prefix}*"):
        lock = folder / _LOCK
        with contextlib.suppress(OSError, AlreadyLocked):
            if folder.is_symlink() or not _is_own(folder):
                continue
            if not lock.exists():
                if time.time() - folder.stat().st_mtime > _UNLOCKED_FOR:
                    folder.rmdir()
                continue
            held = FileLock(lock)
            try:
                # Under another name, as its process may be about to lock it, and must not make a new lock
                # in a folder that is being removed.
                gone = folder.with_name(f"{prefix}gone-{secrets.token_hex(8)}")
                with contextlib.suppress(OSError):  # Windows: a file in it is open
                    folder = folder.rename(gone)
                _remove(folder)
            finally:
                held.release()


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, FileLock]:
    """Make a folder with a lock. Another process may remove one as a leftover just before it is locked."""
    for attempt in range(_FOLDERS):
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            return folder, FileLock(folder / _LOCK)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if not isinstance(error, (AlreadyLocked, FileNotFoundError)):
                raise
            if attempt == _FOLDERS - 1:
                raise OSError(errno.EBUSY, "other processes lock each new folder", str(folder)) from error
    raise AssertionError


def _end(folder: Path, lock: FileLock, pid: int) -> None:
    if os.getpid() == pid:  # a forked child inherits the object, but the folder is its parent's
        lock.release()
        _remove(folder)


def _is_own(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def _remove(folder: Path) -> None:
    """Remove a folder in which processes that are ending may still write."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(OSError):
            for path in folder.iterdir():  # the lock last: without it, what a kill leaves is no leftover
                if path.name != _LOCK and path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                elif path.name != _LOCK:
                    path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)
