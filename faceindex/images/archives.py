"""The members of archives: zip files and uncompressed tar files, read in place.

An archive is listed once, and its list is kept as long as the file does not change (by size, times and
inode). So reading all members, in any order, takes time that grows with their number and size alone. This is
also why a compressed tar, which can only be read from its beginning, is refused.
"""

from __future__ import annotations

import os
import stat
import tarfile
import threading
from collections import OrderedDict
from io import FileIO, RawIOBase
from typing import TYPE_CHECKING, BinaryIO

from faceindex import paths
from faceindex.errors import ImageError, Reason
from faceindex.images import tar_files, zip_files
from faceindex.images.containers import ARCHIVE_SUFFIXES, COMPRESSED_TARS, Inside, MemberFile
from faceindex.images.members import MOST_MEMBERS, ArchiveError, Contents, Entry

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ARCHIVES", "contents_of"]

_MOST_ARCHIVES = 64  # whose lists are kept
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


class _Lists:
    """The lists of the archives that were read last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], Contents] = OrderedDict()

    def get(self, path: str, file: FileIO) -> Contents:
        found = os.fstat(file.fileno())
        key = (path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        with self._lock:  # also while it is read: threads that need the same list wait for it
            contents = self._kept.get(key)
            if contents is None:
                contents = self._kept[key] = _list(path, file)
                while len(self._kept) > 1 and (
                    len(self._kept) > _MOST_ARCHIVES
                    or sum(len(one.members) for one in self._kept.values()) > MOST_MEMBERS
                ):
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return contents


_lists = _Lists()


def contents_of(path: str) -> Contents:
    """Return the list of an archive.

    Raises
    ------
    ImageError
        ``ARCHIVE``, if it is damaged, or of a kind that cannot be read.
    OSError
        If the file cannot be read.
    """
    with _open(path) as file:
        return _lists.get(path, file)


def _open(path: str) -> FileIO:
    file = FileIO(paths.open_descriptor(path, _FLAGS))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # replaced since it was looked at
        file.close()
        raise ImageError(path, Reason.NOT_AN_IMAGE, "it is not a regular file.", "Leave it out.")
    return file


def _list(path: str, file: FileIO) -> Contents:
    try:
        if path.lower().endswith(".tar"):
            return tar_files.list_members(file)
        return zip_files.list_members(file)
    except (ArchiveError, tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise ImageError(
            path,
            Reason.ARCHIVE,
            f"the archive cannot be read ({str(error) or type(error).__name__}).",
            "Copy it again from its source, or unpack it with another program.",
        ) from error


class _Archives:
    """Opens members; see `faceindex.images.containers.Kind`."""

    def open(self, inside: Inside) -> BinaryIO:
        file = _open(inside.container)
        try:
            entry = self._entry(inside, _lists.get(inside.container, file))
            _check(inside, entry)
            try:
                data = tar_files.Window(file, entry) if entry.check is None else zip_files.unpack(file, entry)
            except (ArchiveError, NotImplementedError, ValueError) as error:
                raise _damaged(inside, error) from error
            return MemberFile(_Member(inside, file, data), entry.size)
        except BaseException:
            file.close()
            raise

    def size_and_time(self, inside: Inside, container: os.stat_result) -> tuple[int, int]:
        entry = self._entry(inside, contents_of(inside.container))
        return entry.size, entry.mtime_ns

    def _entry(self, inside: Inside, contents: Contents) -> Entry:
        entry = contents.members.get(inside.member)
        if entry is None:
            raise ImageError(
                inside.path,
                Reason.MISSING,
                f"there is no such member in {inside.container}.",
                "Check its name.",
            )
        return entry


ARCHIVES = _Archives()
"""The `faceindex.images.containers.Kind` of zip and tar files."""


def _check(inside: Inside, entry: Entry) -> None:
    """Refuse a member that is not read, whatever its content."""
    name = inside.member.lower()
    if os.path.splitext(name)[1] in ARCHIVE_SUFFIXES or name.endswith(COMPRESSED_TARS):  # noqa: PTH122
        raise ImageError(
            inside.path,
            Reason.NESTED,
            "it is an archive inside an archive, which is not entered.",
            "Unpack the outer one.",
        )
    if entry.encrypted:
        raise ImageError(
            inside.path,
            Reason.ENCRYPTED,
            "it is encrypted in its archive.",
            "Unpack it with its password, or leave it out.",
        )


class _Member(RawIOBase):
    """The unpacked bytes of a member; damage is an `ImageError` of its virtual path.

    Parameters
    ----------
    inside : Inside
    archive : FileIO
        Closed with this.
    data : binary file
    """

    def __init__(self, inside: Inside, archive: FileIO, data: BinaryIO | RawIOBase) -> None:
        self._inside = inside
        self._archive = archive
        self._data = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        try:
            part = self._data.read(len(target)) or b""
        except OSError as error:
            if error.errno is not None:  # of the disk; without a number, of bz2
                raise
            raise _damaged(self._inside, error) from error
        except MemoryError:
            raise
        except Exception as error:  # each decoder has its own, and the data are untrusted
            raise _damaged(self._inside, error) from error
        target[: len(part)] = part
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._data.close()
            self._archive.close()
        super().close()


def _damaged(inside: Inside, error: Exception) -> ImageError:
    return ImageError(
        inside.path,
        Reason.CORRUPT,
        f"it cannot be unpacked ({str(error) or type(error).__name__}).",
        "Copy the archive again from its source.",
    )
