"""File locks that end with the process that holds them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from faceindex import paths
from faceindex.safe_open import open_own

if sys.platform == "win32":
    import msvcrt
    import socket
else:
    import fcntl

__all__ = [
    "NO_LOCKS",
    "AlreadyLocked",
    "FileLock",
    "Holder",
    "find_holder",
    "has_range_locks",
    "is_open_for_writing",
]

# Windows locks bytes, and a locked byte cannot be read: this one lies far behind the holder's name.
_WINDOWS_BYTE = 1 << 30
# `find_holder` locks the file for an instant, which must not fail a `FileLock`.
_ATTEMPTS, _PAUSE = 3, 0.01  # seconds
_LONGEST = 4096  # bytes of the holder's name

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""Error numbers of a file system without locks, as of some network disks."""


class Holder(NamedTuple):
    """The process that holds a lock. A field is None if the file does not contain it.

    Attributes
    ----------
    pid : int or None
    host : str or None
        Name of its machine.
    """

    pid: int | None
    host: str | None

    def __str__(self) -> str:
        return "another process" if self.pid is None else f"process {self.pid} on {self.host}"


class AlreadyLocked(Exception):
    """Another process, or another `FileLock` of this process, holds the lock.

    Attributes
    ----------
    holder : Holder
    """

    def __init__(self, path: Path, holder: Holder) -> None:
        super().__init__(f"{path} is locked by {holder}")
        self.holder = holder


class FileLock:
    """An exclusive lock on a file, held until `release` or the end of the process, however it ends.

    The operating system keeps the lock (flock; on Windows, a byte range). The file names the holder for
    messages; its content is not part of the lock. A forked child does not hold the lock of its parent.

    Parameters
    ----------
    path : Path
        Created with mode 0600 if missing; `release` does not delete it. Delete it only while it is locked.
    wait : float
        Seconds for which the lock may be held by another process; it is tried again until then.

    Raises
    ------
    AlreadyLocked
        Within a fraction of a second after `wait`.
    OSError
        If the file cannot be opened for writing, or its file system has no locks. A link and other
        `faceindex.safe_open.UnsafeFile` are never opened.
    """

    def __init__(self, path: Path, wait: float = 0.0) -> None:
        self._fd: int | None = _open_locked(path, wait)
        _held.add(self)
        with contextlib.suppress(OSError):  # on a full disk the holder stays unnamed
            os.ftruncate(self._fd, 0)
            os.write(self._fd, json.dumps({"pid": os.getpid(), "host": _host()}).encode() + b"\n")

    def release(self) -> None:
        """Unlock the file. Does nothing if that has been done."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
            _unlock(fd)
            os.close(fd)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _close_in_child(self) -> None:
        """Close a forked child's copy of the file, which would keep the lock after the parent's end."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def find_holder(path: Path) -> Holder | None:
    """Return the process that holds the lock on a file; None if none does or there is no such file.

    The result may be out of date as soon as it is returned.

    Raises
    ------
    OSError
        If the file cannot be read, or its file system has no locks.
    """
    try:
        fd = open_own(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        if not _lock(fd, shared=True):
            return _holder(fd)
        _unlock(fd)
        return None
    finally:
        os.close(fd)


def has_range_locks(path: Path) -> bool:
    """Return whether the file system of an existing file has the locks of byte ranges that SQLite needs.

    Opening and closing a file drops this process's locks of that kind on it: pass a file without any.
    """
    if sys.platform == "win32":
        return True
    try:
        fd = open_own(path, os.O_RDONLY)
    except OSError:
        return True  # unknown
    try:
        fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in NO_LOCKS
    finally:
        os.close(fd)
    return True


def _open_locked(path: Path, wait: float) -> int:
    attempts, end = 0, time.monotonic() + wait
    while True:
        fd = open_own(path, os.O_RDWR | os.O_CREAT)
        locked = False
        try:
            locked = _lock(fd) and _is_same(fd, path)
            if locked:
                return fd
            holder = _holder(fd)
        finally:
            if not locked:
                os.close(fd)
        attempts += 1
        if attempts >= _ATTEMPTS and time.monotonic() >= end:
            raise AlreadyLocked(path, holder)
        time.sleep(_PAUSE)


def _is_same(fd: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`: its last holder may have deleted it meanwhile."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _holder(fd: int) -> Holder:
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        document = json.loads(os.read(fd, _LONGEST))
        return Holder(int(document["pid"]), str(document["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(None, None)


if sys.platform == "win32":

    def _lock(fd: int, *, shared: bool = False) -> bool:
        os.lseek(fd, _WINDOWS_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, _WINDOWS_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

    def _host() -> str:
        return socket.gethostname()

else:

    def _lock(fd: int, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)  # closing alone would wait for copies in forked children

    def _host() -> str:
        return os.uname().nodename


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _close_all_in_child() -> None:
    for lock in _held:
        lock._close_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all_in_child)


def is_open_for_writing(path: str | os.PathLike[str]) -> bool | None:
    """Return whether a program has a file open for writing, by a lease of Linux (``F_SETLEASE`` in fcntl(2)).

    Returns
    -------
    bool or None
        None if the file can have no lease, as on network disks, or if it belongs to another user. False on
        systems without leases.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """
    if not sys.platform.startswith("linux"):
        return False
    import signal

    descriptor = paths.open_descriptor(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        # A program that opens the file at this moment waits for the lease; the signal about it is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(descriptor)
    return False
