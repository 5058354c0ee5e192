"""Temporary folders for sockets, which only this user can read, and which go away even after SIGKILL."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path

from faceindex.locks import AlreadyLocked, FileLock

__all__ = ["OwnFolder"]

_UNLOCKED_FOR = 3600.0
"""Seconds after which a folder without a lock is a leftover: its process ended before it could lock it."""


class OwnFolder:
    """A new folder of mode 0700. Making one removes those of processes that were killed.

    Parameters
    ----------
    prefix : str
        Of its name; folders with this prefix and an unlocked lock inside are leftovers.
    longest : int
        Bytes of the path of the temporary directory; ``/tmp`` is used instead of a longer one. The path of
        a socket has at most 107 bytes on Linux, and 103 on macOS.

    Attributes
    ----------
    path : Path

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, prefix: str, longest: int) -> None:
        parent = Path(tempfile.gettempdir())
        if len(os.fsencode(parent)) > longest and Path("/tmp").is_dir():
            parent = Path("/tmp")
        _remove_leftovers(parent, prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            lock = FileLock(self.path / "lock")
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        self._end = weakref.finalize(self, _end, self.path, lock, os.getpid())  # also at exit

    def remove(self) -> None:
        """Remove the folder. Does nothing if that has been done."""
        self._end()


def _end(folder: Path, lock: FileLock, pid: int) -> None:
    if os.getpid() == pid:  # a forked child inherits the object, but the folder is its parent's
        lock.release()
        _remove(folder)


def _remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove the folders of processes that were killed."""
    for folder in parent.glob(f"{prefix}*"):
        lock = folder / "lock"
        with contextlib.suppress(OSError, AlreadyLocked):
            if folder.is_symlink() or not _is_own(folder):
                continue
            if not lock.exists():
                if time.time() - folder.stat().st_mtime > _UNLOCKED_FOR:
                    folder.rmdir()
                continue
            held = FileLock(lock)
            try:
                _remove(folder)
            finally:
                held.release()


def _is_own(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def _remove(folder: Path) -> None:
    """Remove a folder in which processes that are ending may still write."""
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.2)
