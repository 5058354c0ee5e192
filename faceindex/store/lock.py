"""One writer at a time, by a lock that the operating system drops when its holder dies."""

from __future__ import annotations

import json
import os
import sys
import weakref
from pathlib import Path

from faceindex.errors import IndexLocked, StoreError

if sys.platform == "win32":
    import msvcrt
    import socket
else:
    import fcntl

__all__ = ["WriterLock"]

# Windows locks are mandatory: the locked byte lies far behind the holder's name, which others read.
_WINDOWS_BYTE = 1 << 30


class WriterLock:
    """An exclusive lock on a file, held until `release` or the end of the process.

    The file names its holder for the message that others get; what it says is no part of the lock.

    Parameters
    ----------
    path : Path
        Created with mode 0600 if missing, never deleted: deleting a lock file lets two processes
        lock two files of the same name.

    Raises
    ------
    IndexLocked
        If another process (or another store of this one) holds it.
    StoreError
        If the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._fd: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(
                f"The index in {path.parent} cannot be written: {error.strerror}.",
                "Check the permissions of the folder, or name another one with --index.",
            ) from error
        try:
            _acquire(self._fd)
        except OSError as error:
            os.close(self._fd)
            self._fd = None
            raise IndexLocked(
                f"The index in {path.parent} is being written by {_holder(path)}.",
                "Wait until it has finished, or stop it; reading is possible meanwhile.",
            ) from error
        holder = {"pid": os.getpid(), "host": _host()}
        os.ftruncate(self._fd, 0)
        os.write(self._fd, json.dumps(holder).encode() + b"\n")
        _held.add(self)

    def release(self) -> None:
        """Let the next writer in. Harmless when repeated."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            _let_go(self._fd)
            os.close(self._fd)
            self._fd = None

    def drop_in_child(self) -> None:
        """Close a forked child's copy, which would otherwise keep the lock after its parent's death."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()


def _drop_all_in_child() -> None:
    for lock in _held:
        lock.drop_in_child()


if sys.platform == "win32":

    def _acquire(fd: int) -> None:
        os.lseek(fd, _WINDOWS_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        os.lseek(fd, 0, os.SEEK_SET)

    def _host() -> str:
        return socket.gethostname()

    def _let_go(fd: int) -> None:
        os.lseek(fd, _WINDOWS_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:

    def _acquire(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)  # closing alone would wait for copies in forked children

    def _host() -> str:
        return os.uname().nodename

    os.register_at_fork(after_in_child=_drop_all_in_child)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
