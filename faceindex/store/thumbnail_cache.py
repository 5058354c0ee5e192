"""``thumbnails.sqlite``: JPEGs of faces, so that a page does not decode photos again. It may be missing.

Processes that only read the index write here, too. So four rules keep what was forgotten out of the file:

1. A thumbnail is found by a key that is computed from the catalog each time. Of a face that is not in the
   catalog, nothing is found.
2. It is stored in a transaction that first reads from the catalog whether the face is still there.
3. `faceindex.store.thumbnail_file.erase_thumbnails` runs after the faces are deleted from the catalog. It
   waits for such a transaction, and overwrites and deletes the file while it excludes others.
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
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from faceindex.errors import FaceIndexError
from faceindex.safe_open import UnsafeFile, check_own, open_own
from faceindex.store.directory import THUMBNAILS
from faceindex.store.sqlite import Error, chunks, connect_to_cache, is_busy, is_damage, placeholders
from faceindex.store.thumbnail_file import (
    MOST_BYTES,
    PAGE,
    WRITE_WAIT,
    Unusable,
    check_content,
    check_header,
    create_schema,
    digest_of,
    discard_thumbnails,
    is_sound,
    one_connection,
)

if TYPE_CHECKING:
    from faceindex.store.sqlite import Connection

__all__ = ["LIMIT", "ThumbnailCache"]

LIMIT = 256 << 20
"""Bytes of the largest file: about 75,000 thumbnails of 112 pixels, at 3.4 kB in the file."""

_DELETED = 256  # rows, at a time
_MOST_USED = 1024  # keys that are remembered for new ids
_MOST_FAILURES = 3  # then the disk is full, or read-only

_READ_WAIT = 0.25  # seconds

_Result = TypeVar("_Result")


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
        self._pages = limit // PAGE
        self._high, self._low = self._pages * 15 // 16, self._pages * 14 // 16
        self._room = self._pages * 3 // 4  # below `_low`, so that who looks for room first deletes nothing
        self._deleted = min(_DELETED, max(1, self._pages // 8))
        self._most_used = min(_MOST_USED, self._pages // 16)
        self._writable = index_id is not None and _is_ours(directory)
        self._failures = 0
        self._damaged = False
        self._used: set[bytes] = set()

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
                if not is_sound(key, digest, jpeg):
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
        with one_connection:
            for _ in range(2):
                try:
                    with self._open(write=True) as db:
                        number = 0 if db is None else self._insert(db, fitting, current)
                    self._failures = 0
                    return number
                except (Unusable, UnsafeFile):
                    anew = True
                except (Error, OSError, FaceIndexError) as error:
                    if is_busy(error):
                        return 0
                    anew = is_damage(error)
                if not (anew and discard_thumbnails(self._path.parent)):  # such as a full disk
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
                [(key, digest_of(key, jpeg), jpeg) for key, jpeg in kept.items()],
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
        with one_connection:
            try:
                with self._open(write=False) as db:
                    return default if db is None else use(db)
            except (Unusable, UnsafeFile):
                self._damaged = True
            except (Error, OSError, FaceIndexError) as error:
                self._damaged = is_damage(error)
        return default

    @contextmanager
    def _open(self, *, write: bool) -> Iterator[Connection | None]:
        if write and self._damaged:
            self._damaged = False
            raise Unusable
        if not check_own(self._path, write=write):
            if not write:
                yield None
                return
            with contextlib.suppress(FileExistsError):
                os.close(open_own(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        if not check_header(self._path, self._pages * PAGE) and not write:  # another process is making it
            yield None
            return
        with closing(
            connect_to_cache(self._path, write=write, wait=WRITE_WAIT if write else _READ_WAIT)
        ) as db:
            if write:
                db.execute(f"PRAGMA page_size = {PAGE}")
                db.execute(f"PRAGMA max_page_count = {self._pages}").fetchall()
                create_schema(db, str(self._index_id))
            check_content(db, str(self._index_id))
            yield db


def _pages_of(jpegs: Iterable[bytes]) -> int:
    """Return at least the pages that thumbnails take, with the index of their keys."""
    sizes = [len(jpeg) for jpeg in jpegs]
    large = sum(size // PAGE + 2 for size in sizes if size > PAGE // 4)
    return large + sum(size for size in sizes if size <= PAGE // 4) * 3 // (2 * PAGE) + len(sizes) // 200 + 4


def _is_ours(directory: Path) -> bool:
    """Whether this user owns a folder and may write there: root leaves no files that others cannot erase."""
    try:
        owner = directory.stat().st_uid
    except OSError:
        return False
    return os.access(directory, os.W_OK) and (not hasattr(os, "geteuid") or owner == os.geteuid())
