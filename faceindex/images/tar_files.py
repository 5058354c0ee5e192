"""Uncompressed tar files (POSIX.1-2001, ustar, GNU and pax): their members, and their bytes.

`tarfile` reads the headers. Its reads are limited: a header may claim to have any number of bytes.
"""

from __future__ import annotations

import tarfile
from io import FileIO, RawIOBase
from typing import IO, TYPE_CHECKING, cast

from faceindex.images.members import ArchiveError, Contents, Entry, safe_name

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Window", "list_members"]

_MOST_HEADER = 1 << 20  # bytes of one header: names and pax records
_DAMAGE = (tarfile.TarError, ArchiveError, EOFError, ValueError, OverflowError, RecursionError)
_LATEST = 1 << 33  # seconds since 1970; a later time is damage


class _Headers:
    """A file of which only headers are read."""

    def __init__(self, file: FileIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_HEADER:
            raise ArchiveError(f"a header has more than {_MOST_HEADER:,} bytes")
        return self._file.read(size) or b""

    def seek(self, position: int, whence: int = 0) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()


def list_members(file: FileIO) -> Contents:
    """List a tar. The list ends where the archive is damaged, and `Contents.damage` says so.

    Raises
    ------
    ArchiveError, tarfile.TarError, ValueError
        If nothing of it can be read.
    """
    contents = Contents()
    end = -1
    with tarfile.open(
        fileobj=cast("IO[bytes]", _Headers(file)), mode="r:", errors="surrogateescape"
    ) as archive:
        try:
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined] # it would keep all of them
                if info.offset_data <= end or info.size < 0:
                    raise ArchiveError("its headers overlap")
                end = info.offset_data
                _add(contents, info)
        except _DAMAGE as error:
            if not contents.members:
                raise
            contents.damage = f"the archive is damaged after {len(contents.members):,} members ({error})"
            return contents
        file.seek(archive.offset)
        if any(file.read(tarfile.BLOCKSIZE) or b""):
            contents.damage = f"the archive is damaged after {len(contents.members):,} members"
    return contents


def _add(contents: Contents, info: tarfile.TarInfo) -> None:
    if info.islnk():  # a second name of an earlier member
        name = safe_name(info.linkname)
        if name is not None and name in contents.members:
            contents.add(info.name, contents.members[name])
    elif info.isreg() and not info.issparse():
        seconds = min(max(-_LATEST, info.mtime), _LATEST)  # in this order also of NaN
        contents.add(info.name, Entry(info.offset_data, info.size, info.size, int(seconds * 1_000_000_000)))


class Window(RawIOBase):
    """The bytes of a member in its archive."""

    def __init__(self, file: FileIO, entry: Entry) -> None:
        self._file = file
        self._left = entry.size
        file.seek(entry.offset)

    def readable(self) -> bool:  # noqa: D102
        return True

    def readinto(self, buffer: Buffer) -> int:  # noqa: D102
        target = memoryview(buffer).cast("B")[: self._left]
        read = self._file.readinto(target) or 0
        if not read and len(target):
            raise EOFError("the archive ends before it")
        self._left -= read
        return read
