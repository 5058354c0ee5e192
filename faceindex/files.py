"""Durable writes and checksums of files.

After a crash or a power cut, a file that was written here has its old content or its new content, never a
part of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from faceindex.safe_open import open_own

if sys.platform == "darwin":
    import fcntl

__all__ = ["naming", "replace_durably", "sha256_of", "sync_directory", "sync_file", "write_durably"]

_BLOCK = 1 << 20
_NAME = 50  # characters of a temporary file's name from its destination: names are limited to 255 bytes
# Some network file systems cannot sync a folder, and a folder without read permission cannot be opened.
_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES}


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add a file's name to an `OSError` without one, inside the ``with``.

    Errors of opening name the file; those of reading and writing, such as a full disk, do not.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def write_durably(
    path: Path,
    content: bytes | Callable[[BinaryIO], object],
    *,
    mode: int = 0o600,
    temporary: Path | None = None,
) -> None:
    """Write a file, or replace it: all of it, or nothing if an exception is raised.

    The content goes to a temporary file in the same folder, which is synced and then renamed.

    Parameters
    ----------
    path : Path
    content : bytes or callable
        A callable is passed the open temporary file and writes to it.
    mode : int
        Permissions, less the umask.
    temporary : Path, optional
        The temporary file, in the folder of `path`; a file of that name is deleted first. For callers that
        hold a lock and want to find the file again after a crash. None means a hidden file of a random name.

    Raises
    ------
    OSError
        If the file cannot be written; names `path`. The temporary file is deleted after any exception.
    """
    with naming(path):
        _write_durably(path, content, mode, temporary)


def _write_durably(
    path: Path, content: bytes | Callable[[BinaryIO], object], mode: int, temporary: Path | None
) -> None:
    if temporary is None:
        temporary = path.with_name(f".{path.name[:_NAME]}.{os.urandom(8).hex()}")
    else:
        temporary.unlink(missing_ok=True)
    # O_EXCL: a symbolic link of that name would be followed to another file.
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor, for its mode
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            sync_file(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def replace_durably(temporary: Path, destination: Path) -> None:
    """Sync a finished temporary file and rename it to `destination`, in the same folder.

    Raises
    ------
    OSError
        If that fails. Unless it is the sync after the rename that fails, `destination` is unchanged.
    """
    with naming(destination):
        opened = open_own(temporary, os.O_RDWR)  # Windows syncs only files that are open for writing
        try:
            sync_file(opened)
        finally:
            os.close(opened)
        temporary.replace(destination)
        sync_directory(destination.parent)


def sync_file(fd: int) -> None:
    """Wait until the content of an open file is on the disk, not only in a cache."""
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync does not wait for the cache of the drive there
        except OSError:  # a file system without it
            os.fsync(fd)
    else:
        os.fsync(fd)


def sync_directory(directory: Path) -> None:
    """Make the renames in a folder durable, if the system can. Windows has no such call."""
    if sys.platform == "win32":
        return
    try:
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


def sha256_of(file: str | os.PathLike[str] | BinaryIO) -> str:
    """Compute the SHA-256 of a file, in hexadecimal.

    Parameters
    ----------
    file : path-like or binary file
        An open file is read from its position to its end.
    """
    if isinstance(file, (str, os.PathLike)):
        with naming(file), Path(file).open("rb") as opened:
            return sha256_of(opened)
    from hashlib import sha256  # loads OpenSSL

    digest = sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
