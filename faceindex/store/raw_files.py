"""Read files that SQLite has open, without dropping its locks.

SQLite locks its files with POSIX locks, which belong to the process: when a process closes any descriptor of
a file, it loses all its locks on that file (https://www.sqlite.org/howtocorrupt.html, section 2.2). Another
process that closes its connection then finds no lock, takes itself for the last one, and deletes the
write-ahead log, which connections of this process still use: they read an old state, or fail, and what they
commit is lost. So a descriptor that was opened here stays open until this process has no connection to a
database in the same folder. SQLite treats its own descriptors likewise.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["connection_opens", "reading"]

_Identity: TypeAlias = "tuple[int, int]"  # device and inode

_lock = threading.RLock()  # connections may be deleted while it is held


@dataclass(slots=True)
class _Folder:
    """What this process has open in a folder."""

    connections: int = 0
    readers: int = 0
    kept: dict[_Identity, int] = field(default_factory=dict)  # descriptors
    others: list[int] = field(default_factory=list)  # further ones of the same files


_folders: dict[_Identity, _Folder] = {}


def connection_opens(path: Path) -> Callable[[], None]:
    """Count a connection to a database that is about to be opened; return what to call once it is closed."""
    try:
        folder = _identity(path.parent)
    except OSError:
        return lambda: None  # SQLite reports it
    _count(folder, connections=1)
    return lambda: _count(folder, connections=-1)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading that SQLite may have open; raises `OSError`."""
    if sys.platform == "win32":  # locks belong to descriptors there
        with path.open("rb") as file:
            yield file
        return
    folder = _identity(path.parent)
    _count(folder, readers=1)
    try:
        yield cast("BinaryIO", io.BufferedReader(_Shared(_descriptor(folder, path))))
    finally:
        _count(folder, readers=-1)


def _identity(path: Path) -> _Identity:
    found = path.stat()
    return found.st_dev, found.st_ino


def _descriptor(folder: _Identity, path: Path) -> int:
    with _lock:
        kept = _folders[folder].kept
        if (fd := kept.get(_identity(path))) is not None:
            return fd
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        opened = os.fstat(fd)
        identity = opened.st_dev, opened.st_ino
        if identity in kept:  # replaced by a file that was open
            _folders[folder].others.append(fd)
        else:
            kept[identity] = fd
        return fd


def _count(folder: _Identity, *, connections: int = 0, readers: int = 0) -> None:
    """Count connections and readers; close the descriptors after the last one."""
    with _lock:
        found = _folders.setdefault(folder, _Folder())
        found.connections += connections
        found.readers += readers
        if not found.connections and not found.readers:
            del _folders[folder]
            for fd in (*found.kept.values(), *found.others):
                os.close(fd)


class _Shared(io.RawIOBase):
    """A file by a descriptor that others use too, and that is not closed with it."""

    def __init__(self, fd: int) -> None:
        self._fd, self._at = fd, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = os.pread(self._fd, len(view), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        self._at = (os.fstat(self._fd).st_size if start is None else start) + offset
        return self._at
