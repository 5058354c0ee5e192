"""The file ``thumbnails.sqlite``: what makes it one of this index, and how it is checked, deleted and erased.

`faceindex.store.thumbnail_cache` reads and writes it, and has the rules.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import FaceIndexError, StoreError
from faceindex.files import sync_directory
from faceindex.safe_open import UnsafeFile, check_own, open_own
from faceindex.store.compaction import erase_file, overwrite_file
from faceindex.store.directory import THUMBNAILS
from faceindex.store.sqlite import Error, connect_to_cache, is_busy

if TYPE_CHECKING:
    from faceindex.store.sqlite import Connection

__all__ = [
    "MOST_BYTES",
    "PAGE",
    "WRITE_WAIT",
    "Unusable",
    "check_content",
    "check_header",
    "check_thumbnails",
    "create_schema",
    "digest_of",
    "discard_thumbnails",
    "erase_thumbnails",
    "is_sound",
    "one_connection",
]

MOST_BYTES = 1 << 16
"""Bytes of the largest thumbnail that is stored, or read from a file that may come from a stranger."""

PAGE = 16_384
"""Bytes of a page: six thumbnails. With pages of 4,096 bytes a third of the file would be empty."""

WRITE_WAIT = 2.0  # seconds
_ERASE_WAIT = 15.0

one_connection = threading.RLock()
"""Held for each use: closing any descriptor of a file releases all locks of the process on it (POSIX)."""

_FORMAT = 1  # ``PRAGMA user_version``; a file of another format is made anew
_APPLICATION = 0x46495448  # ``PRAGMA application_id``: "FITH"
_MAGIC = b"SQLite format 3\0"
_ANY_SIZE = 1 << 62
_JPEG = b"\xff\xd8\xff"
_SIDE_FILES = ("-journal", "-wal", "-shm")
_SCHEMA = (
    "CREATE TABLE owner (index_id TEXT NOT NULL)",
    "CREATE TABLE thumbnails (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,"
    " digest BLOB NOT NULL, jpeg BLOB NOT NULL)",
)
_EXPECTED = sorted([*_SCHEMA, "None"])  # the index of UNIQUE has no statement
_CHECKED = 256  # rows, at a time


class Unusable(Exception):
    """The file is not one that this version wrote for this index."""


def digest_of(key: bytes, jpeg: bytes) -> bytes:
    """Return the digest of a thumbnail, 8 bytes, by its key and its JPEG."""
    return hashlib.blake2b(key + jpeg, digest_size=8, person=b"face thumbnail").digest()


def is_sound(key: object, digest: object, jpeg: object) -> bool:
    """Whether a row of the file is a JPEG as it was stored."""
    if not (isinstance(key, bytes) and isinstance(digest, bytes) and isinstance(jpeg, bytes)):
        return False
    return jpeg.startswith(_JPEG) and digest == digest_of(key, jpeg)


def create_schema(db: Connection, index_id: str) -> None:
    """Write the schema, unless it is there."""
    if db.execute("PRAGMA user_version").fetchone() != (0,):
        return
    db.execute("BEGIN EXCLUSIVE")
    try:
        if db.execute("PRAGMA user_version").fetchone() == (0,):
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute("INSERT INTO owner (index_id) VALUES (?)", (index_id,))
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {_FORMAT}")
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(Error):
            db.execute("ROLLBACK")
        raise


def check_header(path: Path, most: int) -> bool:
    """Check a file before SQLite opens it; return whether it has content.

    Raises
    ------
    Unusable
        If it is another database, or has a log or a journal, which this module never writes.
    """
    if any(os.path.lexists(f"{path}{suffix}") for suffix in _SIDE_FILES):
        raise Unusable
    with open(open_own(path, os.O_RDONLY), "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        head = file.read(72)
        size = os.fstat(file.fileno()).st_size
    if not size:
        return False
    expected = (
        head[:16] == _MAGIC
        and head[16:18] == PAGE.to_bytes(2, "big")
        and head[18:20] == b"\1\1"  # written and read without a write-ahead log
        and head[60:64] == _FORMAT.to_bytes(4, "big")
        and head[68:72] == _APPLICATION.to_bytes(4, "big")
        and size <= most
    )
    if not expected:
        raise Unusable
    return True


def check_content(db: Connection, index_id: str) -> None:
    """Check that a file has exactly the schema of this module, and belongs to this index."""
    found = [str(sql) for (sql,) in db.execute("SELECT sql FROM sqlite_master LIMIT 4")]
    if sorted(found) != _EXPECTED:
        raise Unusable
    if db.execute("SELECT index_id FROM owner LIMIT 2").fetchall() != [(index_id,)]:
        raise Unusable


def _remove(path: Path, *, hard_links: bool = True) -> None:
    """Overwrite and delete a file. A link, or with `hard_links` a file with other names, is only deleted."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode) or (hard_links and found.st_nlink > 1):
        path.unlink()
        return
    try:
        erase_file(path)
    except StoreError:
        if path.exists():  # else, another process has deleted it
            raise


def erase_thumbnails(directory: Path) -> None:
    """Overwrite and delete the thumbnails of an index; call it after faces were deleted from the catalog.

    Raises
    ------
    StoreError
        If the file cannot be erased, or another process does not finish with it.
    """
    path = directory / THUMBNAILS
    with one_connection:
        with _excluding_others(path):
            overwritten = False
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode):
                    overwritten = overwrite_file(path)
        try:
            if overwritten:  # after the connection is closed, for Windows
                path.unlink(missing_ok=True)
            for each in (*(path.with_name(path.name + suffix) for suffix in _SIDE_FILES), path):
                _remove(each, hard_links=False)
            if overwritten:
                sync_directory(directory)
        except OSError as error:
            raise StoreError(
                f"{error.filename or path} cannot be erased: {error.strerror}.",
                "Close the programs that have it open, and run the same command again.",
            ) from error


@contextmanager
def _excluding_others(path: Path) -> Iterator[None]:
    """Let no other connection read or write a file inside the ``with``, if SQLite can open it at all."""
    db: Connection | None = None
    try:
        if check_own(path, write=True) and check_header(path, _ANY_SIZE):
            db = connect_to_cache(path, write=True, wait=_ERASE_WAIT)
            db.execute("BEGIN EXCLUSIVE")
    except (Error, OSError, FaceIndexError, Unusable) as error:
        if is_busy(error):
            if db is not None:
                db.close()
            raise StoreError(
                f"{path} cannot be erased: another process has been using it for {_ERASE_WAIT:g} seconds.",
                "End the other commands on this index, and run the same command again.",
            ) from error
    try:
        yield
    finally:
        if db is not None:
            db.close()


def discard_thumbnails(directory: Path) -> bool:
    """Delete a file that cannot be used, and what lies beside it, never what a link leads to.

    Returns
    -------
    bool
        Whether nothing is left of it.
    """
    path = directory / THUMBNAILS
    with one_connection:
        try:
            for each in (*(path.with_name(path.name + suffix) for suffix in _SIDE_FILES), path):
                _remove(each)
        except (OSError, StoreError):
            return False
    return True


def check_thumbnails(directory: Path, index_id: str | None) -> str | None:
    """Read all thumbnails; return what is wrong with the file, as a sentence, or None."""
    path = directory / THUMBNAILS
    with one_connection:
        try:
            if index_id is None or not check_own(path, write=False) or not check_header(path, _ANY_SIZE):
                return None
            with closing(connect_to_cache(path, write=False, wait=WRITE_WAIT)) as db:
                check_content(db, index_id)
                jpeg = f"CASE WHEN length(jpeg) <= {MOST_BYTES} THEN jpeg END"
                rows = db.execute(f"SELECT key, digest, {jpeg} FROM thumbnails")
                while batch := rows.fetchmany(_CHECKED):
                    if not all(is_sound(*row) for row in batch):
                        return f"{path} is damaged: a thumbnail is not as it was stored."
        except UnsafeFile as error:
            return f"{path} is not used: {error.strerror}."
        except (Unusable, Error, OSError, FaceIndexError) as error:
            if not is_busy(error):
                return f"{path} is damaged, or belongs to another index."
    return None
