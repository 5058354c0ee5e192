"""Photos inside files: the members of an archive, and the moments of a video; and objects in a store.

Such a photo has a *virtual path*: the path of the file, a slash, and the name of the member, for example
``album.zip/1987/a.jpg``. A folder may have the name of an archive, so a path is virtual only if it leads
through a regular file. The system answers that for free: it refuses to open such a path, and only then are
the names in it looked at. `opening.open_photo` and `status` take both kinds of paths.

The address of an object, such as ``s3://bucket/1987/a.jpg``, is read in the same way, with the bucket as its
container.

Each kind of file is a module-level object that follows `Kind`; `_KINDS` names it by suffix, so that a walk
imports none of them. A new kind is one line there.
"""

from __future__ import annotations

import importlib
import os
import stat as modes
from errno import ENAMETOOLONG, ENOENT, ENOTDIR
from io import BufferedReader, RawIOBase
from os import PathLike
from typing import BinaryIO, NamedTuple, Protocol

from faceindex import paths
from faceindex.addresses import is_address, split_address
from faceindex.errors import ImageError, Reason
from faceindex.images.moments import split_moment

__all__ = [
    "ARCHIVE_SUFFIXES",
    "COMPRESSED_TARS",
    "Inside",
    "Kind",
    "MemberFile",
    "exists",
    "is_no_file",
    "locate",
    "open_member",
    "status",
]

ARCHIVE_SUFFIXES: frozenset[str] = frozenset({".zip", ".tar"})
"""Lower-case suffixes of the files that a walk enters like folders."""

COMPRESSED_TARS = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst")
"""Ends of the lower-case names of archives that can only be read from their beginning."""

_KINDS: dict[str, str] = {
    ".zip": "faceindex.images.archives:ARCHIVES",
    ".tar": "faceindex.images.archives:ARCHIVES",
}
"""The object that opens the members of a file, as ``"module:name"``, by lower-case suffix of the file."""

_MOMENTS = "faceindex.images.frame_files:MOMENTS"
"""The object that opens the moments of videos, which are known by their names: see `split_moment`."""

_REMOTE = "faceindex.images.remote:REMOTE"
"""The object that opens objects, which are known by their addresses: see `faceindex.addresses`."""

_NO_FILE = frozenset({ENOENT, ENOTDIR, ENAMETOOLONG})  # how systems refuse a path through a regular file


_BUFFER = 1 << 16
_NO_STATUS = os.stat_result((modes.S_IFREG | 0o600, 0, 0, 1, 0, 0, 0, 0, 0, 0))  # of a store


class Inside(NamedTuple):
    """A photo inside a file.

    Attributes
    ----------
    path : str
        The whole virtual path.
    container : str
        The path of the file.
    member : str
        The name in it, with forward slashes.
    """

    path: str
    container: str
    member: str


class MemberFile(BufferedReader):
    """A member that is open for reading.

    Parameters
    ----------
    raw : RawIOBase
        Its bytes.
    size : int
        How many they are, as far as its container states.
    """

    def __init__(self, raw: RawIOBase, size: int) -> None:
        super().__init__(raw, _BUFFER)
        self.size = size


class Kind(Protocol):
    """Opens the photos inside one kind of file."""

    def open(self, inside: Inside) -> BinaryIO:
        """Open a member for reading from its beginning to its end; it need not be seekable.

        Raises
        ------
        ImageError
            Of the virtual path: the container is damaged, or has no such member.
        OSError
            As of `open`, for the container.
        """

    def size_and_time(self, inside: Inside, container: os.stat_result) -> tuple[int, int]:
        """Return the size of a member in bytes, and its time of modification in nanoseconds since 1970.

        `container` is the status of the file. Raises as `open`.
        """


def locate(path: str | PathLike[str]) -> Inside | None:
    """Return the container and the member of a virtual path; None if no part of it is a known file.

    The outermost file counts: what is in an archive inside an archive has no path.
    """
    text = os.fspath(path)
    if is_address(text):
        top, key = split_address(text)
        return Inside(f"{top}/{key}", top, key)
    if os.sep != "/":
        text = text.replace(os.sep, "/")
    moment = split_moment(text)
    if moment is not None and _is_file(moment[0]):
        return Inside(text, moment[0], text[len(moment[0]) + 1 :])
    end = text.find("/", 1)
    while end >= 0:
        container, member = text[:end], text[end + 1 :]
        if member and _suffix(container) in _KINDS and _is_file(container):
            return Inside(text, container, member)
        end = text.find("/", end + 1)
    return None


def is_no_file(error: OSError) -> bool:
    """Return whether a path that the system refused with this error may be virtual."""
    return error.errno in _NO_FILE


def open_member(inside: Inside) -> BinaryIO:
    """Open a photo inside a file; raises as `Kind.open`."""
    return _kind(inside).open(inside)


def status(path: str | PathLike[str]) -> os.stat_result:
    """Return the status of a photo, also of one inside a file.

    A member has its own size and time of modification, and else what its container has.

    Raises
    ------
    OSError
        If there is no such file, or no such member in it.
    """
    try:
        if is_address(path):
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        return paths.stat(path)
    except OSError as error:
        inside = locate(path) if is_no_file(error) else None
        if inside is None:
            raise
    whole = _NO_STATUS if is_address(inside.path) else paths.stat(inside.container)
    try:
        size, mtime_ns = _kind(inside).size_and_time(inside, whole)
    except ImageError as error:
        raise FileNotFoundError(ENOENT, error.detail.rstrip("."), inside.path) from error
    fields = list(whole)
    fields[modes.ST_SIZE], fields[modes.ST_MTIME] = size, mtime_ns // 1_000_000_000
    times = {
        "st_atime": whole.st_atime,
        "st_mtime": mtime_ns / 1e9,
        "st_ctime": whole.st_ctime,
        "st_atime_ns": whole.st_atime_ns,
        "st_mtime_ns": mtime_ns,
        "st_ctime_ns": whole.st_ctime_ns,
    }
    return os.stat_result(fields, times)


def exists(path: str | PathLike[str], *, follow: bool = False) -> bool:
    """Return whether there is something at a path, or a member of that name.

    Without `follow`, a broken link counts, too; so does an object whose store cannot be reached.
    """
    if is_address(path):
        return _is_in_store(path)
    if paths.exists(path, follow=follow):
        return True
    inside = locate(path)
    if inside is None:
        return False
    try:
        _kind(inside).size_and_time(inside, paths.stat(inside.container))
    except (ImageError, OSError):
        return False
    return True


def _is_in_store(path: str | PathLike[str]) -> bool:
    inside = locate(path)
    assert inside is not None
    try:
        _kind(inside).size_and_time(inside, _NO_STATUS)
    except ImageError as error:
        return error.reason is not Reason.MISSING
    except OSError:
        pass
    return True


def _kind(inside: Inside) -> Kind:
    if is_address(inside.container):
        target = _REMOTE
    else:
        target = _MOMENTS if split_moment(inside.path) else _KINDS[_suffix(inside.container)]
    module, _, name = target.partition(":")
    kind: Kind = getattr(importlib.import_module(module), name)
    return kind


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122


def _is_file(path: str) -> bool:
    try:
        return modes.S_ISREG(paths.stat(path).st_mode)
    except (OSError, ValueError):
        return False
