"""SQLite databases of other programs, opened for reading only, whatever they contain."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from faceindex.errors import UsageError
from faceindex.interchange.sources import open_source, unreadable

__all__ = ["Connection", "is_database", "opened", "rows"]

_HEADER = b"SQLite format 3\0"
_BUSY_MS = 10_000
_LONGEST = 1 << 24  # bytes of one value; regions and paths have a few hundred
_ROWS = 200  # in memory
_STEPS = 1_000_000  # of SQLite's virtual machine between two checks
_FEWEST_STEPS = 1_000_000_000
_STEPS_PER_BYTE = 100  # a join of 100,000 photos takes about 1


def is_database(path: Path) -> bool:
    """Return whether a file begins as an SQLite database.

    Raises
    ------
    UsageError
        If it cannot be read.
    """
    try:
        with open_source(path) as file:
            return file.read(len(_HEADER)) == _HEADER
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


@contextmanager
def opened(path: Path, program: str, tables: Mapping[str, Iterable[str]]) -> Iterator[Connection]:
    """Open a database of another program for reading, check its tables, and close it afterwards.

    Nothing in the database runs: a view or a virtual table in place of a table is refused, and so is a column
    that is computed. Other views and triggers are never touched. A query that takes far more steps than the
    size of the file explains is ended.

    Parameters
    ----------
    path : Path
    program : str
        For messages.
    tables : dict of str to iterable of str
        The columns that are used, by table.

    Raises
    ------
    UsageError
        If the file cannot be opened, is no database, or lacks a table or column; also inside the ``with``, if
        the database turns out to be damaged.
    """
    if not is_database(path):
        raise UsageError(f"{path} is not an SQLite database.", f"Name the database of {program}.")
    try:
        with closing(_connect(path)) as connection:
            _check(connection, path, program, tables)
            yield connection
    except (sqlite3.Error, UnicodeError) as error:  # a message of SQLite may quote bytes that are not text
        if "locked" in str(error) or "interrupted" in str(error) or "unable to open" in str(error):
            raise UsageError(
                f"{path} cannot be read: {error}.",
                f"Close {program}, and open and close it once if it has crashed; or copy the file elsewhere.",
            ) from error
        raise UsageError(
            f"{path} is damaged, or is not a database of {program}: {error}.",
            f"Restore it from a backup, or open it with {program} and save it again.",
        ) from error


def rows(connection: Connection, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
    """Iterate over the rows of a query, without all of them in memory."""
    cursor = connection.execute(query, values)
    while found := cursor.fetchmany(_ROWS):
        yield from found


def _connect(path: Path) -> Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = _prepared(uri, path)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        # In a folder that cannot be written, a database with a write-ahead log cannot be opened. If the log
        # is empty or absent, the file is complete.
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size > 0:
            raise
        return _prepared(f"{uri}&immutable=1", path)
    except (sqlite3.Error, UnicodeError):
        connection.close()
        raise
    return connection


def _prepared(uri: str, path: Path) -> Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    # Text that is not UTF-8 is decoded, not refused: programs of other systems may have stored it.
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    for pragma in (
        f"busy_timeout = {_BUSY_MS}",
        "query_only = ON",
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "mmap_size = 0",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    if sys.version_info >= (3, 11):
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    left = max(_FEWEST_STEPS, _STEPS_PER_BYTE * path.stat().st_size) // _STEPS

    def check() -> bool:
        nonlocal left
        left -= 1
        return bool(left < 0)

    connection.set_progress_handler(check, _STEPS)
    return connection


def _check(connection: Connection, path: Path, program: str, tables: Mapping[str, Iterable[str]]) -> None:
    def wrong(problem: str) -> UsageError:
        return UsageError(
            f"{path} is not a database of {program}: {problem}.",
            f"Name the database of {program}; it may be of a version that is not read yet.",
        )

    for table, columns in tables.items():
        found = connection.execute(
            "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')",
            (table,),
        ).fetchall()
        if not found:
            raise wrong(f"it has no table {table}")
        kind, statement = found[0]
        if (
            len(found) > 1
            or kind != "table"
            or " ".join(str(statement).upper().split()[:2]) != "CREATE TABLE"
        ):
            raise wrong(f"its {table} is not a plain table")
        # cid, name, type, notnull, default, pk, hidden: 0 of a plain column (sqlite.org, PRAGMA table_xinfo)
        hidden = {row[1].lower(): row[6] for row in connection.execute(f"PRAGMA table_xinfo({table})")}
        for column in columns:
            if hidden.get(column.lower()) != 0:
                raise wrong(f"its table {table} has no column {column}")
