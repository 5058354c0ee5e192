"""Open the files that faceindex writes, and nothing that was planted in their place.

These are the files of an index, locks, and the state of an export. Somebody who can write into their folder
may have planted a link there, and writing would follow it to another file. Photos are opened by
`faceindex.images.opening`.

A file is examined before it is opened, so that no device or pipe is touched, and again afterwards, by its
descriptor: between the two, another file may have taken the name.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["UnsafeFile", "check_own", "is_trusted_owner", "open_own"]

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
