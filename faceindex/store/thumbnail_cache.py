"""``thumbnails.sqlite``: JPEGs of faces, so that a page need not decode photos again. It may be lost.

Processes that only read the index write here, too. So four rules keep what was forgotten out of the file:

1. A thumbnail is found by a key that is computed from the catalog each time. Of a face that is not in the
   catalog, nothing is found.
2. It is stored in a transaction that first reads from the catalog whether the face is still there.
3. `erase_thumbnails` runs after the faces are deleted from the catalog. It waits for such a transaction, and
   overwrites and deletes the file while it excludes others.
4. There is no journal on the disk, and so no second file with parts of the first.

A transaction that was killed may leave a damaged file, as a disk may. Each row has a digest. A file with
another schema, another index's id or a wrong digest is deleted and made anew by the next writer. Any error of
the cache means that nothing is found or stored, and is not raised.

Ids of rows ascend. Where room is needed, the lowest go, which lie together. A row in the lower half that was
used gets a new id with the next thumbnails that are stored: so the least recently used go first, and reading
writes nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from faceindex.errors import FaceIndexError, StoreError
from faceindex.files import sync_directory
from faceindex.safe_open import UnsafeFile, check_own, open_own
from faceindex.store.compaction import erase_file, overwrite_file
from faceindex.store.directory import THUMBNAILS
from faceindex.store.sqlite import Error, chunks, connect_to_cache, is_busy, is_damage, placeholders

if TYPE_CHECKING:
    from faceindex.store.sqlite import Connection

__all__ = [
    "LIMIT",
    "MOST_BYTES",
    "ThumbnailCache",
    "check_thumbnails",
    "discard_thumbnails",
    "erase_thumbnails",
]

LIMIT = 256 << 20
"""Bytes of the largest file: about 75,000 thumbnails of 112 pixels, at 3.4 kB in the file."""

MOST_BYTES = 1 << 16
"""Bytes of the largest thumbnail that is stored, or read from a file that may come from a stranger."""

_FORMAT = 1  # ``PRAGMA user_version``; a file of another format is made anew
_APPLICATION = 0x46495448  # ``PRAGMA application_id``: "FITH"
_PAGE = 16_384  # six thumbnails; with pages of 4,096 bytes a third of the file would be empty
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
_DELETED = 256  # rows, at a time
_MOST_USED = 1024  # keys that are remembered for new ids
_MOST_FAILURES = 3  # then the disk is full, or read-only

_READ_WAIT, _WRITE_WAIT, _ERASE_WAIT = 0.25, 2.0, 15.0  # seconds

# One connection of this process at a time: closing any descriptor of a file releases all its locks (POSIX).
_one_connection = threading.Lock()


_Result = TypeVar("_Result")


class _Unusable(Exception):
    """The file is not one that this version wrote for this index."""


class ThumbnailCache:
    """Stores thumbnails of an index. Several processes and threads may use the same file.

    Parameters
    ----------
    directory : Path
        The index directory.
    index_id : str or None
        None, of an index of an older format that is open for reading only, means no cache.
    limit : int
        Bytes of the largest file; at least 1 MiB.
    """

    def __init__(self, directory: Path, index_id: str | None, limit: int = LIMIT) -> None:
        self._path = directory / THUMBNAILS
        self._index_id = index_id
        self._pages = limit // _PAGE
        self._high, self._low = self._pages * 15 // 16, self._pages * 14 // 16
        self._room = self._pages * 3 // 4  # below `_low`, so that who looks for room first deletes nothing
        self._deleted = min(_DELETED, max(1, self._pages // 8))
        self._most_used = min(_MOST_USED, self._pages // 16)
        self._writable = index_id is not None and _is_ours(directory)
        self._failures = 0
        self._damaged = False
        self._used: set[bytes] = set()

    @property
    def is_writable(self) -> bool:
        """Whether thumbnails may be stored: the folder can be written, and the disk has not been full."""
        return self._writable

    def load(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the thumbnails that are stored, by their keys.

        Parameters
        ----------
        keys : sequence of bytes

        Returns
        -------
        dict of bytes to bytes
            JPEGs.
        """
        return self._read(lambda db: self._load(db, keys), {})

    def _load(self, db: Connection, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        half = self._half(db)
        for chunk in chunks(list(keys)):
            for id, key, digest, jpeg in db.execute(
                "SELECT id, key, digest, jpeg FROM thumbnails"
                f" WHERE length(jpeg) <= {MOST_BYTES} AND key IN ({placeholders(chunk)})",
                chunk,
            ):
                if not _is_sound(key, digest, jpeg):
                    self._damaged = True  # the next writer makes the file anew
                    continue
                found[key] = jpeg
                if id < half and len(self._used) < self._most_used:
                    self._used.add(key)
        return found

    def missing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return the keys without a stored thumbnail."""

        def stored(db: Connection) -> set[object]:
            return {
                key
                for chunk in chunks(list(keys))
                for (key,) in db.execute(
                    f"SELECT key FROM thumbnails WHERE key IN ({placeholders(chunk)})", chunk
                )
            }

        nothing: set[object] = set()
        there = self._read(stored, nothing)
        return [key for key in keys if key not in there]

    def has_room(self) -> bool:
        """Whether thumbnails may be stored, and without deleting others."""
        return self._writable and self._read(lambda db: self._filled(db) < self._room, True)

    def store(self, thumbnails: Mapping[bytes, bytes], current: Callable[[], Collection[bytes]]) -> int:
        """Store thumbnails, and delete those that were not used for the longest time if room is needed.

        Parameters
        ----------
        thumbnails : mapping of bytes to bytes
            JPEGs by their keys; those with more than `MOST_BYTES` bytes are left out.
        current : callable
            Called inside the transaction. Returns those keys whose faces are in the catalog at that moment.

        Returns
        -------
        int
            How many were stored.
        """
        fitting = {key: jpeg for key, jpeg in thumbnails.items() if len(jpeg) <= MOST_BYTES}
        if not (self._writable and fitting):
            return 0
        with _one_connection:
            for _ in range(2):
                try:
                    with self._open(write=True) as db:
                        number = 0 if db is None else self._insert(db, fitting, current)
                    self._failures = 0
                    return number
                except (_Unusable, UnsafeFile):
                    anew = True
                except (Error, OSError, FaceIndexError) as error:
                    if is_busy(error):
                        return 0
                    anew = is_damage(error)
                if not (anew and _discard(self._path)):  # such as a full disk
                    break
            self._failures += 1
            self._writable = self._failures < _MOST_FAILURES
        return 0

    def _insert(
        self, db: Connection, thumbnails: Mapping[bytes, bytes], current: Callable[[], Collection[bytes]]
    ) -> int:
        db.execute("BEGIN IMMEDIATE")
        try:
            try:
                kept = {key: thumbnails[key] for key in sorted(set(current()) & thumbnails.keys())}
            except FaceIndexError:  # of the catalog, whose other readers raise it
                kept = {}
            if kept:
                self._renew(db)
                self._make_room(db, _pages_of(kept.values()))
            db.executemany(
                "INSERT OR REPLACE INTO thumbnails (key, digest, jpeg) VALUES (?, ?, ?)",
                [(key, _digest(key, jpeg), jpeg) for key, jpeg in kept.items()],
            )
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(Error):
                db.execute("ROLLBACK")
            raise
        return len(kept)

    def _renew(self, db: Connection) -> None:
        """Give the rows that were used the greatest ids."""
        used, self._used = self._used, set()
        ((last,),) = db.execute("SELECT coalesce(max(id), 0) FROM thumbnails")
        db.executemany(
            "UPDATE thumbnails SET id = ? WHERE key = ?",
            [(int(last) + number, key) for number, key in enumerate(sorted(used), 1)],
        )

    def _make_room(self, db: Connection, pages: int) -> None:
        if self._filled(db) + pages <= self._high:
            return
        while self._filled(db) + pages > self._low:
            deleted = db.execute(
                "DELETE FROM thumbnails WHERE id IN (SELECT id FROM thumbnails ORDER BY id LIMIT ?)",
                (self._deleted,),
            )
            if not deleted.rowcount:
                return

    def _half(self, db: Connection) -> int:
        """Return the id below which rows are in the lower half; 0 while the file is not half full."""
        if self._filled(db) < self._pages // 2:
            return 0
        ((first, last),) = db.execute("SELECT min(id), max(id) FROM thumbnails")
        return 0 if first is None else (int(first) + int(last)) // 2

    @staticmethod
    def _filled(db: Connection) -> int:
        ((pages,),) = db.execute("PRAGMA page_count")
        ((free,),) = db.execute("PRAGMA freelist_count")
        return int(pages) - int(free)

    # The file ----------------------------------------------------------------------------------

    def _read(self, use: Callable[[Connection], _Result], default: _Result) -> _Result:
        """Return what a function reads from the file; the default if there is none, or it cannot be read."""
        if self._index_id is None or self._damaged:
            return default
        with _one_connection:
            try:
                with self._open(write=False) as db:
                    return default if db is None else use(db)
            except (_Unusable, UnsafeFile):
                self._damaged = True
            except (Error, OSError, FaceIndexError) as error:
                self._damaged = is_damage(error)
        return default

    @contextmanager
    def _open(self, *, write: bool) -> Iterator[Connection | None]:
        if write and self._damaged:
            self._damaged = False
            raise _Unusable
        if not check_own(self._path, write=write):
            if not write:
                yield None
                return
            with contextlib.suppress(FileExistsError):
                os.close(open_own(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        if not _check_header(self._path, self._pages * _PAGE) and not write:  # another process is making it
            yield None
            return
        with closing(
            connect_to_cache(self._path, write=write, wait=_WRITE_WAIT if write else _READ_WAIT)
        ) as db:
            if write:
                db.execute(f"PRAGMA page_size = {_PAGE}")
                db.execute(f"PRAGMA max_page_count = {self._pages}").fetchall()
                self._create(db)
            _check_content(db, str(self._index_id))
            yield db

    def _create(self, db: Connection) -> None:
        """Write the schema, unless it is there."""
        if db.execute("PRAGMA user_version").fetchone() != (0,):
            return
        db.execute("BEGIN EXCLUSIVE")
        try:
            if db.execute("PRAGMA user_version").fetchone() == (0,):
                for statement in _SCHEMA:
                    db.execute(statement)
                db.execute("INSERT INTO owner (index_id) VALUES (?)", (self._index_id,))
                db.execute(f"PRAGMA application_id = {_APPLICATION}")
                db.execute(f"PRAGMA user_version = {_FORMAT}")
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(Error):
                db.execute("ROLLBACK")
            raise


def _digest(key: bytes, jpeg: bytes) -> bytes:
    return hashlib.blake2b(key + jpeg, digest_size=8, person=b"face thumbnail").digest()


def _is_sound(key: object, digest: object, jpeg: object) -> bool:
    if not (isinstance(key, bytes) and isinstance(digest, bytes) and isinstance(jpeg, bytes)):
        return False
    return jpeg.startswith(_JPEG) and digest == _digest(key, jpeg)


def _pages_of(jpegs: Iterable[bytes]) -> int:
    """Return at least the pages that thumbnails take, with the index of their keys."""
    sizes = [len(jpeg) for jpeg in jpegs]
    large = sum(size // _PAGE + 2 for size in sizes if size > _PAGE // 4)
    return (
        large + sum(size for size in sizes if size <= _PAGE // 4) * 3 // (2 * _PAGE) + len(sizes) // 200 + 4
    )


def _is_ours(directory: Path) -> bool:
    """Whether this user owns a folder and may write there: root leaves no files that others cannot erase."""
    try:
        owner = directory.stat().st_uid
    except OSError:
        return False
    return os.access(directory, os.W_OK) and (not hasattr(os, "geteuid") or owner == os.geteuid())


def _check_header(path: Path, most: int) -> bool:
    """Check a file before SQLite opens it; return whether it has content.

    Raises
    ------
    _Unusable
        If it is another database, or has a log or a journal, which this module never writes.
    """
    if any(os.path.lexists(f"{path}{suffix}") for suffix in _SIDE_FILES):
        raise _Unusable
    with open(open_own(path, os.O_RDONLY), "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        head = file.read(72)
        size = os.fstat(file.fileno()).st_size
    if not size:
        return False
    expected = (
        head[:16] == _MAGIC
        and head[16:18] == _PAGE.to_bytes(2, "big")
        and head[18:20] == b"\1\1"  # written and read without a write-ahead log
        and head[60:64] == _FORMAT.to_bytes(4, "big")
        and head[68:72] == _APPLICATION.to_bytes(4, "big")
        and size <= most
    )
    if not expected:
        raise _Unusable
    return True


def _check_content(db: Connection, index_id: str) -> None:
    """Check that a file has exactly the schema of this module, and belongs to this index."""
    found = [str(sql) for (sql,) in db.execute("SELECT sql FROM sqlite_master LIMIT 4")]
    if sorted(found) != _EXPECTED:
        raise _Unusable
    if db.execute("SELECT index_id FROM owner LIMIT 2").fetchall() != [(index_id,)]:
        raise _Unusable


def _discard(path: Path) -> bool:
    """Delete a file that cannot be used, and what lies beside it, never what a link leads to."""
    try:
        for each in (*(path.with_name(path.name + suffix) for suffix in _SIDE_FILES), path):
            _remove(each)
    except (OSError, StoreError):
        return False
    return True


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
    with _one_connection:
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
        if check_own(path, write=True) and _check_header(path, _ANY_SIZE):
            db = connect_to_cache(path, write=True, wait=_ERASE_WAIT)
            db.execute("BEGIN EXCLUSIVE")
    except (Error, OSError, FaceIndexError, _Unusable) as error:
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
    """Delete a damaged file, without following a link; return whether nothing is left of it."""
    with _one_connection:
        return _discard(directory / THUMBNAILS)


def check_thumbnails(directory: Path, index_id: str | None) -> str | None:
    """Read all thumbnails; return what is wrong with the file, as a sentence, or None."""
    path = directory / THUMBNAILS
    with _one_connection:
        try:
            if index_id is None or not check_own(path, write=False) or not _check_header(path, _ANY_SIZE):
                return None
            with closing(connect_to_cache(path, write=False, wait=_WRITE_WAIT)) as db:
                _check_content(db, index_id)
                jpeg = f"CASE WHEN length(jpeg) <= {MOST_BYTES} THEN jpeg END"
                rows = db.execute(f"SELECT key, digest, {jpeg} FROM thumbnails")
                while batch := rows.fetchmany(_DELETED):
                    if not all(_is_sound(*row) for row in batch):
                        return f"{path} is damaged: a thumbnail is not as it was stored."
        except UnsafeFile as error:
            return f"{path} is not used: {error.strerror}."
        except (_Unusable, Error, OSError, FaceIndexError) as error:
            if not is_busy(error):
                return f"{path} is damaged, or belongs to another index."
    return None
