"""``catalog.digests``: a CRC-32 of each page of the catalog, and the number of its last commit.

SQLite does not notice a page whose values have changed on the disk, and takes a damaged write-ahead log for
one that ends earlier. So the writer stores, after each commit, the digests of the pages that it wrote to the
log (https://www.sqlite.org/fileformat2.html#the_write_ahead_log), and the number of the commit. Whoever opens
the catalog compares: each page of ``catalog.sqlite`` has its digest, unless a newer one is in the log, and
the catalog has the commit. The digests come from the log, not from the file, so that they cannot cover up
damage of it.

The log is moved into the file only by `Catalog.checkpoint` and when the writer closes, after the digests
were synced. Until then the pages in the log count, whose digests may be of any age: a process that is killed
at any moment leaves files that agree. Without this file, as in formats before 7, nothing is compared; the
next writer makes it again.

Layout: 8 bytes magic, 16 bytes id of the index, 4 bytes size of a page, 4 bytes number of pages, 8 bytes
number of the commit, 4 bytes CRC-32 of these 40 bytes, zeros up to 64 bytes; then 4 bytes for each page. All
numbers are little-endian. Beyond 1 GiB, SQLite never uses the page of the lock byte: its digest is not
compared.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import time
import zlib
from array import array
from pathlib import Path
from typing import NamedTuple

from faceindex.errors import IndexCorrupt, StoreError
from faceindex.files import sync_file, write_durably
from faceindex.safe_open import UnsafeFile, open_own
from faceindex.store.directory import DIGESTS, refused
from faceindex.store.raw_files import reading

__all__ = ["PageDigests", "check_pages", "damaged_pages", "read_digests"]

_MAGIC = b"FI-PAGE\x01"
_HEADER = struct.Struct("<8s16sIIQ")
_HEADER_BYTES = 64
_LOG_HEADER, _FRAME_HEADER = 32, struct.Struct(">II8s8x")
_LOG_INDEX = struct.Struct("=12xBBHII8x8s8x")  # the first of the two headers of catalog.sqlite-shm
_CHECKPOINT = 1000  # pages in the log, as SQLite's own default
_READ_PAGES = 256  # at a time
_LOCK_BYTE = (
    1 << 30
)  # the page here is never used (https://www.sqlite.org/fileformat2.html#the_lock_byte_page)
_ATTEMPTS, _PAUSE = 20, 0.05  # seconds; for a reader while a writer moves its log


class _Digests(NamedTuple):
    """What the file contains."""

    index_id: bytes
    page_size: int
    commit: int
    pages: array[int]  # digests


class PageDigests:
    """Keeps the file up to date; for the writer, after `check_pages`.

    Parameters
    ----------
    path : Path
        The catalog, which the writer has open.
    index_id : str
    """

    def __init__(self, path: Path, index_id: str) -> None:
        self._path = path
        self._index_id = bytes.fromhex(index_id)
        self._salt = b""  # of the log whose first frames were read
        self._frames = 0
        self._fd: int | None = None
        self._commit = 0

    def open(self, commit: int) -> None:
        """Open the file; make it from the catalog if it is missing. `commit` is the last one.

        Raises `StoreError` if it cannot be written.
        """
        try:
            self._open(commit)
        except UnsafeFile as error:
            raise refused(error) from error
        except OSError as error:
            raise StoreError(
                f"{self._path.with_name(DIGESTS)} cannot be written: {error.strerror}.",
                "All commits are safe; make room or check the permissions, and run the same command again.",
            ) from error

    def _open(self, commit: int) -> None:
        digests = self._path.with_name(DIGESTS)
        if not digests.exists():
            size = _page_size(self._path)
            found = _digests_of(self._path, size)
            write_durably(digests, self._header(size, len(found), commit) + _to_bytes(found))
        self._fd = open_own(digests, os.O_RDWR)
        self.record(commit)

    def record(self, commit: int | None = None) -> bool:
        """Store the digests of the pages that were written to the log; whether a checkpoint is due.

        `commit` is the number of the last commit, None if it is the same as before.
        """
        if self._fd is None:
            return False
        self._commit = self._commit if commit is None else commit
        try:
            return self._record(self._fd, self._commit)
        except OSError:
            self._give_up()  # no digests are better than old ones
            return False

    def _record(self, fd: int, commit: int) -> bool:
        found = _log_index(self._path)
        if found is None:  # nothing was written since the catalog was opened
            return False
        size, last, number, salt = found
        if salt != self._salt or last < self._frames:
            self._salt, self._frames = salt, 0
        digests: dict[int, int] = {}
        with self._path.with_name(self._path.name + "-wal").open("rb") as log:
            log.seek(_LOG_HEADER + self._frames * (_FRAME_HEADER.size + size))
            for _ in range(last - self._frames):
                page = _FRAME_HEADER.unpack(log.read(_FRAME_HEADER.size))[0]
                digests[page] = zlib.crc32(log.read(size))
        for page, digest in digests.items():
            _write_at(fd, struct.pack("<I", digest), _HEADER_BYTES + 4 * (page - 1))
        _write_at(fd, self._header(size, number, commit), 0)
        self._frames = last  # now: an interrupt repeats it all
        return last >= _CHECKPOINT

    def sync(self) -> None:
        """Sync the file, before the log is moved into the catalog."""
        if self._fd is not None:
            try:
                sync_file(self._fd)
            except OSError:
                self._give_up()

    def __enter__(self) -> PageDigests:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        """Close the file; delete it if an interrupt came before all digests were stored."""
        self._give_up() if error is not None else self.close()

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _give_up(self) -> None:
        self.close()
        with contextlib.suppress(OSError):
            self._path.with_name(DIGESTS).unlink(missing_ok=True)

    def _header(self, size: int, pages: int, commit: int) -> bytes:
        header = _HEADER.pack(_MAGIC, self._index_id, size, pages, commit)
        return (header + struct.pack("<I", zlib.crc32(header))).ljust(_HEADER_BYTES, b"\0")


def check_pages(path: Path) -> int:
    """Check all pages of a catalog that may be open elsewhere.

    Returns
    -------
    int
        The number of a commit that it must have.

    Raises
    ------
    IndexCorrupt
        If pages are damaged, or the digests are.
    StoreError
        If a file cannot be read.
    """
    try:
        return _check_pages(path)
    except OSError as error:
        raise StoreError(
            f"{error.filename or path} cannot be read: {error.strerror}.",
            "Check its permissions and its disk, or restore the index from a backup.",
        ) from error


def _check_pages(path: Path) -> int:
    damaged: list[int] = []
    for attempt in range(_ATTEMPTS):
        try:
            digests = read_digests(path)
            damaged = [] if digests is None else damaged_pages(path, digests)
        except IndexCorrupt:
            if attempt == _ATTEMPTS - 1 or (attempt and not _is_being_written(path)):
                raise
        else:
            if not damaged:
                return 0 if digests is None else digests.commit
            if attempt and not _is_being_written(path):
                break
        if _is_being_written(path):
            time.sleep(_PAUSE)  # the writer may have moved its log meanwhile; else, it may have just closed
    which = ", ".join(map(str, damaged[:5])) + (" and others" if damaged[5:] else "")
    raise IndexCorrupt(
        f"{path} is damaged: the digests of its pages {which} in {DIGESTS} are different.",
        "Restore the index from a backup, or run `faceindex doctor --repair`. If you changed it with SQL "
        f"yourself, delete {DIGESTS}.",
    )


def _is_being_written(path: Path) -> bool:
    """Whether there may be a writer: after its first commit, the log is not empty."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def damaged_pages(path: Path, digests: _Digests) -> list[int]:
    """Return the numbers of the pages of a catalog, from 1 on, that are not as their digests say."""
    found = _digests_of(path, digests.page_size)
    expected = digests.pages
    if found == expected:
        return []
    number = max(len(found), len(expected))
    differ = [
        page
        for page in range(1, number + 1)
        if page > min(len(found), len(expected)) or found[page - 1] != expected[page - 1]
    ]
    skipped, number = _pages_in_log(path, digests.page_size, number)
    skipped.add(_LOCK_BYTE // digests.page_size + 1)
    return [page for page in differ if page not in skipped and page <= number]


def read_digests(path: Path) -> _Digests | None:
    """Return the content of the file beside a catalog; None if it is missing."""
    try:
        with open(open_own(path.with_name(DIGESTS), os.O_RDONLY), "rb") as file:  # noqa: PTH123
            content = file.read()
    except FileNotFoundError:
        return None
    except UnsafeFile as error:
        raise refused(error) from error
    with contextlib.suppress(struct.error, ValueError):
        magic, index_id, size, number, commit = _HEADER.unpack_from(content)
        (crc,) = struct.unpack_from("<I", content, _HEADER.size)
        pages = array("I", content[_HEADER_BYTES : _HEADER_BYTES + 4 * number])
        sound = magic == _MAGIC and crc == zlib.crc32(content[: _HEADER.size])
        if sound and len(pages) == number and 512 <= size <= 65536:
            if sys.byteorder == "big":
                pages.byteswap()
            return _Digests(index_id, size, commit, pages)
    raise IndexCorrupt(
        f"{path.with_name(DIGESTS)} is damaged.",
        "Run `faceindex doctor --repair`, which makes it again after a check of the catalog.",
    )


def _digests_of(path: Path, size: int) -> array[int]:
    """Compute the digests of all pages.

    Not through a memory map: a page that the disk cannot read, or that a writer cuts off, ends the process.
    """
    crc32, found = zlib.crc32, array("I")
    with reading(path) as file:
        while block := file.read(size * _READ_PAGES):
            view = memoryview(block)
            found.extend([crc32(view[start : start + size]) for start in range(0, len(block), size)])
    return found


def _page_size(path: Path) -> int:
    with reading(path) as file:
        header = file.read(18)
    size = int.from_bytes(header[16:18], "big") if len(header) == 18 else 0
    return {0: 4096, 1: 65536}.get(size, size)


def _log_index(path: Path) -> tuple[int, int, int, bytes] | None:
    """Return size of a page, number of valid frames, number of pages, and salt of the log of a writer."""
    try:
        with reading(path.with_name(path.name + "-shm")) as file:
            content = file.read(_LOG_INDEX.size)
    except FileNotFoundError:
        return None
    if len(content) < _LOG_INDEX.size:
        return None
    initialised, _, size, frames, pages, salt = _LOG_INDEX.unpack(content)
    return (65536 if size == 1 else size, frames, pages, salt) if initialised and frames else None


def _pages_in_log(path: Path, size: int, number: int) -> tuple[set[int], int]:
    """Return the pages in the log, and the number of pages after its last commit; `number` without one."""
    pages: set[int] = set()
    with contextlib.suppress(FileNotFoundError), path.with_name(path.name + "-wal").open("rb") as log:
        salt = log.read(_LOG_HEADER)[16:24]
        while len(header := log.read(_FRAME_HEADER.size)) == _FRAME_HEADER.size:
            page, after, own_salt = _FRAME_HEADER.unpack(header)
            if own_salt != salt:
                break
            pages.add(page)
            number = after or number
            log.seek(size, os.SEEK_CUR)
    return pages, number


def _to_bytes(digests: array[int]) -> bytes:
    return struct.pack(f"<{len(digests)}I", *digests)


def _write_at(fd: int, content: bytes, offset: int) -> None:
    os.lseek(fd, offset, os.SEEK_SET)
    if os.write(fd, content) != len(content):
        raise OSError("short write")
