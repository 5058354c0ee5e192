"""Read the files of a database beside the connections of SQLite that this process has to it.

POSIX drops all locks of a process on a file as soon as it closes any descriptor of it. If a module opened the
catalog and closed it again, SQLite's locks would be gone, and SQLite would not notice. The next process that
closes the database would take itself for the last one, and delete the write-ahead log under the connections
of this one (https://www.sqlite.org/howtocorrupt.html, section 2.2).

So a descriptor stays open as long as the process has a connection to the database, and is used again.
`faceindex.store.sqlite` counts the connections.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

__all__ = ["begin_use", "end_use", "reading"]

_BUFFER: Final = 1 << 16  # bytes


class _Use:
    """Who uses a database in this process, and the descriptors of its files, by device and inode."""

    def __init__(self) -> None:
        self.users = 0
        self.descriptors: dict[tuple[int, int], int] = {}


_uses: dict[str, _Use] = {}
_changing = threading.Lock()


def begin_use(database: str) -> None:
    """Count a connection that will be opened, or a reader. The name is that of `os.path.realpath`."""
    with _changing:
        _uses.setdefault(database, _Use()).users += 1


def end_use(database: str) -> None:
    """Count a connection that has been closed, or a reader; without any, close the descriptors."""
    with _changing:
        use = _uses[database]
        use.users -= 1
        if not use.users:
            del _uses[database]
            for descriptor in use.descriptors.values():
                os.close(descriptor)


class _Shared(io.RawIOBase):
    """Reads a descriptor that others use, from a position of its own. Closing it leaves the descriptor open.

    Parameters
    ----------
    descriptor : int
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        if start is None:
            start = os.fstat(self._descriptor).st_size
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        content = os.pread(self._descriptor, len(view), self._at)
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


@contextmanager
def reading(path: Path, database: Path) -> Iterator[BinaryIO]:
    """Open a file of a database for reading.

    Parameters
    ----------
    path : Path
        The database, or a file that SQLite has beside it.
    database : Path

    Raises
    ------
    OSError
        If it cannot be opened.
    """
    if sys.platform == "win32":  # closing a file drops only its own locks there
        with path.open("rb") as file:
            yield file
        return
    name = os.path.realpath(database)
    begin_use(name)
    try:
        with io.BufferedReader(_Shared(_descriptor(path, _uses[name])), _BUFFER) as shared:
            yield cast("BinaryIO", shared)
    finally:
        end_use(name)


def _descriptor(path: Path, use: _Use) -> int:
    """Return a descriptor of a file, the same one for the same file."""
    with _changing:
        found = path.stat()
        key = found.st_dev, found.st_ino
        if key not in use.descriptors:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            opened = os.fstat(descriptor)  # between the two, another file may have taken the name
            key = opened.st_dev, opened.st_ino
            if key in use.descriptors:
                key = key[0], -descriptor  # closed with the others
            use.descriptors[key] = descriptor
        return use.descriptors[key]
