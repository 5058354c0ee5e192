"""Open files without being led astray: by links, named pipes, devices and files of other users.

`open_own` is for files that faceindex writes: the files of an index, locks, the state of an export. Somebody
who can write into their folder may have planted a link there, and writing would follow it to another file.
`open_regular` is for photos, which may lie behind links, but must never block.

A file is examined before it is opened, so that no device or pipe is touched, and again afterwards, by its
descriptor: between the two, another file may have taken the name.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["UnsafeFile", "check_own", "is_trusted_owner", "open_own", "open_regular"]

# Windows has none of these. There, a link is found by `check_own` alone.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NEVER_BLOCK = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_ROOT = 0

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class UnsafeFile(OSError):
    """A file is not what faceindex reads or writes; `strerror` says what it is instead."""

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        super().__init__(errno.EPERM, what, os.fspath(path))


def check_own(path: str | os.PathLike[str], *, write: bool) -> bool:
    """Check that a file may be opened as one of our own; return whether it exists.

    Parameters
    ----------
    path : path-like
    write : bool
        Also refuse a file with more than one hard link: writing would change it under its other names.

    Raises
    ------
    UnsafeFile
        If it is not a regular file, a link among others, or belongs neither to this user, nor to the owner
        of its folder, nor to root.
    OSError
        If it cannot be examined.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    _check(path, found, write)
    return True


def open_own(path: str | os.PathLike[str], flags: int, *, mode: int = 0o600) -> int:
    """Open a file of our own, as `os.open`, and return its descriptor.

    With ``O_TRUNC``, the file is emptied only after it has been checked.

    Parameters
    ----------
    path : path-like
        Its folder may lie behind links; the file itself must not be one.
    flags : int
    mode : int
        Permissions of a new file, less the umask.

    Raises
    ------
    UnsafeFile
        As `check_own`.
    OSError
        If it cannot be opened.
    """
    write = bool(flags & (os.O_WRONLY | os.O_RDWR))
    check_own(path, write=write)
    try:
        opened = os.open(path, (flags & ~os.O_TRUNC) | _NO_FOLLOW | _NEVER_BLOCK | _BINARY, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) and os.path.islink(path):  # noqa: PTH114 - may be text
            raise UnsafeFile(path, f"it is {_KINDS[stat.S_IFLNK]}") from error
        raise
    try:
        _check(path, os.fstat(opened), write)
        if flags & os.O_TRUNC:
            os.ftruncate(opened, 0)
    except BaseException:
        os.close(opened)
        raise
    return opened


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading, unbuffered, also behind symbolic links; never waits for a pipe.

    Raises
    ------
    UnsafeFile
        If it is not a regular file, but for example a named pipe or a device.
    IsADirectoryError
        If it is a folder.
    OSError, ValueError
        If it cannot be opened.
    """
    _check_kind(path, os.stat(path))  # noqa: PTH116 - may be text
    opened = os.open(path, os.O_RDONLY | _NEVER_BLOCK | _BINARY)
    try:
        _check_kind(path, os.fstat(opened))
        return open(opened, "rb", buffering=0)  # noqa: PTH123 - a descriptor
    except BaseException:
        os.close(opened)
        raise


def is_trusted_owner(path: str | os.PathLike[str]) -> bool:
    """Return whether a file or folder, and what it links to, belongs to this user.

    For root, files of the user who called ``sudo`` count, too, as for git. Always true on Windows.
    """
    if not hasattr(os, "geteuid"):
        return True
    users = {os.geteuid()}
    if _ROOT in users and (caller := os.environ.get("SUDO_UID", "")).isascii() and caller.isdigit():
        users.add(int(caller))
    return {os.lstat(path).st_uid, os.stat(path).st_uid} <= users  # noqa: PTH116 - may be text


def _check(path: str | os.PathLike[str], found: os.stat_result, write: bool) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise UnsafeFile(path, f"it is {_KINDS.get(kind, 'not a regular file')}")
    if write and found.st_nlink > 1:
        raise UnsafeFile(path, "it has another name (a hard link), under which it would be changed, too")
    ours = not hasattr(os, "geteuid") or found.st_uid in (os.geteuid(), _ROOT)
    if not ours and found.st_uid != Path(path).parent.stat().st_uid:
        raise UnsafeFile(path, f"it belongs to another user (uid {found.st_uid})")


def _check_kind(path: str | os.PathLike[str], found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if kind != stat.S_IFREG:
        raise UnsafeFile(path, f"it is {_KINDS.get(kind, 'not a regular file')}")
