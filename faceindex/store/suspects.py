"""Photos that may have ended a run: those that it was working on when its process died.

A photo can end its process: by a fault of a codec, or because the kernel kills the process that takes the
most memory. The file ``in-work`` has the names of the photos that are in work. It is not synced: what a
process has written survives its death, and after a power cut no photo is to blame. A run that ends in any
other way deletes it. The next run moves what it finds there to the table ``suspects``.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.safe_open import open_own

if TYPE_CHECKING:
    from types import TracebackType

    from faceindex.store.catalog import Catalog

__all__ = ["InWork", "Suspect", "add_suspects", "read_suspects", "remove_suspects", "take_leftover"]

_BEGIN, _BEGIN_ALONE, _END, _STOP = b"+", b"!", b"-", b"\0"
_MOST_BYTES = 1 << 20  # the file is written anew then, with what is in work
_MOST_LEFTOVER = 16 << 20  # more was not written by a run; paths have up to some thousand bytes


@dataclass(frozen=True, slots=True)
class Suspect:
    """A photo that was in work when a run died.

    Attributes
    ----------
    deaths : int
        How many runs died while it was in work.
    alone : int
        In how many of them no other photo was in work.
    """

    deaths: int
    alone: int


class InWork:
    """Records which photos are in work, in a file; a context manager. Several threads may use it.

    Recording takes some microseconds a photo. If the file cannot be written, nothing is recorded: photos
    are more important than the record.

    Parameters
    ----------
    path : Path
        Must not exist, or be left over from a run whose photos were taken over; it is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: dict[str, bytes] = {}
        self._changing = threading.Lock()
        self._size = 0
        self._file = -1
        self.alone = False
        """Whether photos that begin now are the only ones in work."""

    def __enter__(self) -> InWork:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._file = open_own(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changing:
            self._close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def begin(self, name: str) -> None:
        """Record that the work on a photo begins."""
        record = (_BEGIN_ALONE if self.alone else _BEGIN) + os.fsencode(name) + _STOP
        with self._changing:
            self._names[name] = record
            self._write(record)

    def end(self, name: str) -> None:
        """Record that the work on a photo is over; does nothing if it has not begun."""
        with self._changing:
            if (record := self._names.pop(name, None)) is None:
                return
            if self._size > _MOST_BYTES and self._file >= 0:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, 0)
                    self._size = 0
                self._write(b"".join(self._names.values()))
            else:
                self._write(_END + record[1:])

    def _write(self, record: bytes) -> None:
        if self._file < 0:
            return
        try:
            self._size += os.write(self._file, record)
        except OSError:
            self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def take_leftover(path: Path) -> dict[str, bool]:
    """Return the photos that a run was working on when it died, and whether each was alone.

    The file stays; the caller deletes it when the result is stored. Damaged records are left out.
    """
    try:
        file = open_own(path, os.O_RDONLY)
    except OSError:
        return {}
    with os.fdopen(file, "rb") as stream:
        content = stream.read(_MOST_LEFTOVER)
    found: dict[str, bool] = {}
    for record in content.split(_STOP)[:-1]:
        kind, name = record[:1], os.fsdecode(record[1:])
        if kind in (_BEGIN, _BEGIN_ALONE):
            found[name] = kind == _BEGIN_ALONE
        elif kind == _END:
            found.pop(name, None)
    return found


def add_suspects(catalog: Catalog, photos: dict[str, bool]) -> None:
    """Count one more death of each photo, inside a transaction."""
    catalog.executemany(
        "INSERT INTO suspects (path, deaths, alone) VALUES (?, 1, ?) ON CONFLICT (path) DO UPDATE"
        " SET deaths = deaths + 1, alone = alone + excluded.alone",
        [(os.fsencode(name), int(alone)) for name, alone in photos.items()],
    )


def read_suspects(catalog: Catalog) -> dict[str, Suspect]:
    """Return all suspects by their absolute paths."""
    rows = catalog.query("SELECT path, deaths, alone FROM suspects")
    return {os.fsdecode(path): Suspect(int(deaths), int(alone)) for path, deaths, alone in rows}


def remove_suspects(catalog: Catalog, names: Iterable[str]) -> None:
    """Remove suspects, inside a transaction; unknown ones are ignored."""
    catalog.executemany("DELETE FROM suspects WHERE path = ?", [(os.fsencode(name),) for name in names])
