"""Connections to SQLite, and its errors as errors of the index."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from sqlite3 import Connection, Cursor, Error, IntegrityError
from typing import Any, TypeVar

from faceindex.errors import FaceIndexError, IndexCorrupt, StoreError, UsageError
from faceindex.locks import has_range_locks
from faceindex.store.directory import LOCK, no_locks
from faceindex.store.raw_files import connection_opens

__all__ = [
    "MORE_PAGES",
    "Connection",
    "Cursor",
    "Error",
    "IntegrityError",
    "check_schema",
    "chunks",
    "connect",
    "connect_for_reading",
    "connect_to_cache",
    "connect_unchecked",
    "corrupt",
    "is_busy",
    "is_damage",
    "keeping_log",
    "placeholders",
    "storable_text",
    "suppress_errors",
    "translated_errors",
]

_Value = TypeVar("_Value")

# KiB of pages that a writer and `doctor` keep. Indexes are in another order than tables. With SQLite's 2 MB,
# storing a clustering of a million faces reads 11 GB again, and takes twice as long; `doctor` reads 9 GB
# instead of 2 to check the structure of such an index (benchmarks/catalog.py).
MORE_PAGES = "PRAGMA cache_size = -32768"

_CHUNK = 500  # parameters per statement; SQLite before 3.32 allows 999
_BUSY_MS = 30_000
_LONGEST = 1 << 28  # bytes of a value; the longest one, the faces of a step of `read_columns`, takes 10 MB

# In the schema of a table or an index, without spaces: generated columns, constraints, virtual tables, and
# comments that could hide them.
_FOREIGN = (b"AS(", b"CHECK(", b"COLLATE", b"GENERATED", b"VIRTUALTABLE", b"/*", b"--")
_DAMAGED = (
    "malformed",
    "no such",
    "decode to UTF-8",
    "integer overflow",
    "more than one row",
    "duplicate column",
)


def connect(path: Path) -> Connection:
    """Connect to an existing database for reading and writing."""
    return _connect(path, "mode=rw")


def connect_to_cache(path: Path, *, write: bool, wait: float) -> Connection:
    """Connect to a database that may be lost at any time: it is never synced, and has no journal on the disk.

    Parameters
    ----------
    path : Path
    write : bool
    wait : float
        Seconds to wait for other connections.
    """
    connection = _connect(path, "mode=rw" if write else "mode=ro", round(wait * 1000))
    for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def is_busy(error: Exception) -> bool:
    """Whether an error of SQLite means that another connection has locked the database for too long."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def connect_for_reading(path: Path) -> Connection:
    """Connect to an existing database for reading, in a folder that may be read-only.

    Raises
    ------
    StoreError
        If another process did not close the database and its folder cannot be written.
    IndexCorrupt
        If the file is not a database.
    """
    connection = _connect(path, "mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # In a folder that cannot be written, SQLite cannot create the files of its write-ahead log.
        # If the log is empty, the database is complete, and no other process can be writing there.
        connection.close()
        log = path.with_name(path.name + "-wal")
        if not log.exists() or log.stat().st_size == 0:
            return _connect(path, "mode=ro&immutable=1")
        raise StoreError(
            f"The index in {path.parent} was not closed properly, and its folder cannot be written.",
            "Make the folder writable and run `faceindex status` once, or copy it to another folder.",
        ) from None
    except sqlite3.DatabaseError as error:
        connection.close()
        raise corrupt(path, str(error)) from error
    return connection


def is_damage(error: Exception) -> bool:
    """Whether an error means that a database is damaged, not that its disk is full or fails."""
    if isinstance(error, sqlite3.OperationalError):
        return any(words in str(error) for words in _DAMAGED)
    return isinstance(error, (sqlite3.DatabaseError, IndexCorrupt))


@contextmanager
def keeping_log(path: Path) -> Iterator[None]:
    """Keep the write-ahead log if another connection of a writer is closed inside the ``with``.

    The last connection to close moves the log into the database, unless it is for reading only.
    """
    reader: Connection | None = None
    with suppress(sqlite3.Error, FaceIndexError):
        reader = connect_for_reading(path)
    try:
        yield
    finally:
        if reader is not None:
            reader.close()


def connect_unchecked(path: Path) -> Connection:
    """Connect to a database that may be damaged, for reading; SQLite's own errors come from it."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = _open(uri, path, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.execute(MORE_PAGES)  # it reads the schema: not before
    except sqlite3.Error as error:
        log = path.with_name(path.name + "-wal")
        read_only = any(words in str(error) for words in ("readonly", "unable to open"))
        if read_only and not (log.exists() and log.stat().st_size):
            connection.close()  # as `connect_for_reading`
            return _open(f"{uri}&immutable=1", path, isolation_level=None)
    return connection


class _Connection(sqlite3.Connection):
    """A connection whose process keeps the descriptors of `faceindex.store.raw_files` while it is open."""

    closed: Callable[[], None] | None = None

    def close(self) -> None:
        """Close the connection."""
        try:
            super().close()
        finally:
            closed, self.closed = self.closed, None
            if closed is not None:
                closed()

    def __del__(self) -> None:
        if self.closed is not None:
            with suppress(sqlite3.Error):
                self.close()


def _open(uri: str, path: Path, **options: Any) -> Connection:
    closed = connection_opens(path)
    try:
        connection = sqlite3.connect(uri, uri=True, factory=_Connection, **options)
    except BaseException:
        closed()
        raise
    connection.closed = closed
    return connection


def _connect(path: Path, mode: str, busy_ms: int = _BUSY_MS) -> Connection:
    with translated_errors(path):
        connection = _open(
            f"{path.absolute().as_uri()}?{mode}",
            path,
            isolation_level=None,  # `Catalog` begins and ends transactions itself
            check_same_thread=False,
        )
        # An index may come from a stranger: nothing in its schema runs code, and no length takes the memory.
        for pragma in (
            f"busy_timeout = {busy_ms}",
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "mmap_size = 0",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if sys.version_info >= (3, 11):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    return connection


def check_schema(connection: Connection, path: Path) -> None:
    """Refuse a schema with anything but plain tables and indexes: views, triggers and expressions run code.

    Raises
    ------
    IndexCorrupt
        If the schema is not one that faceindex writes.
    """
    statements = []
    for kind, name, statement in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        if kind not in ("table", "index"):
            raise corrupt(path, f"it has the {kind} {name}, which faceindex does not write")
        statements.append(str(statement))
    schema = "".join(statements).upper().encode().translate(None, b" \t\r\n\f\v")
    for words in _FOREIGN:
        if words in schema:
            raise corrupt(path, f"its schema contains {words.decode()}, which faceindex does not write")


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as `UsageError`, `StoreError` or `IndexCorrupt`."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise UsageError(
            f"A change contradicts the catalog: {error}.",
            "Name roots, photos and faces that are in the index.",
        ) from error
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError) as error:
        if "closed database" in str(error):
            raise UsageError("The index is closed.", "Open it again.") from error
        raise  # a mistake in the calling code, not in the file
    except sqlite3.OperationalError as error:
        if any(words in str(error) for words in _DAMAGED):
            raise corrupt(path, str(error)) from error
        if "locked" in str(error):
            raise _locked(path) from error
        raise StoreError(
            f"{path} cannot be used: {error}.",
            "All commits are safe; check space and permissions and run the same command again.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise corrupt(path, str(error)) from error


def _locked(path: Path) -> StoreError:
    # SQLite reports a disk without locks as a lock of another program (os_unix.c: ENOLCK is SQLITE_BUSY).
    if not has_range_locks(path.with_name(LOCK)):
        return no_locks(path.parent)
    return StoreError(
        f"{path} is locked by another program for more than {_BUSY_MS // 1000} seconds.",
        "All commits are safe; close what has it open, such as a database browser or a backup, and run the "
        "same command again.",
    )


def suppress_errors() -> AbstractContextManager[None]:
    """Return a context that ends silently if SQLite fails inside it."""
    return suppress(sqlite3.Error)


def corrupt(path: Path, problem: str) -> IndexCorrupt:
    """Return the error for a damaged catalog."""
    return IndexCorrupt(
        f"{path} is damaged or not a catalog of faceindex: {problem}.",
        "Restore it from a backup, run `faceindex doctor --repair`, "
        f"or delete {path.parent} and index again.",
    )


def storable_text(text: str | None) -> str | None:
    """Escape lone surrogates, which SQLite cannot store: messages may quote undecodable file names."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def placeholders(values: Sequence[object]) -> str:
    """Return ``?, ?, ...``, one for each value."""
    return ", ".join("?" * len(values))


def chunks(values: list[_Value]) -> Iterator[list[_Value]]:
    """Split values into lists that fit into the parameters of one statement."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
