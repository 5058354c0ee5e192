"""Open the file of a photo, whatever is at its path: a pipe must not stop a run.

A photo may be inside a file, or in an object store (see `faceindex.images.containers`).
"""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from os import PathLike
from typing import BinaryIO

from faceindex import paths
from faceindex.addresses import is_address
from faceindex.errors import ImageError, Reason
from faceindex.images.containers import is_no_file, locate, open_member

__all__ = ["is_stream", "open_photo", "read_head"]

# Without O_NONBLOCK, opening a pipe waits for its writer, and a terminal could become that of the process.
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)


def open_photo(path: str | PathLike[str], *, streams: bool = False) -> BinaryIO:
    """Open a file for reading, unbuffered.

    A photo inside a file can be read from its beginning to its end; it need not be seekable.

    Parameters
    ----------
    path : path-like
    streams : bool
        Also open pipes and devices; this waits until a program writes to the pipe.

    Raises
    ------
    ImageError
        ``NOT_AN_IMAGE``, for a terminal, and without `streams` for all that is not a regular file. For a
        photo inside a file, if that is damaged or has no such member.
    OSError, ValueError
        As of `open`.
    """
    if is_address(path) and (inside := locate(path)) is not None:
        return open_member(inside)
    # Before and after: opening a device may already do something, and the file may have been replaced.
    try:
        found = paths.stat(path)
    except OSError as error:
        inside = locate(path) if is_no_file(error) else None
        if inside is None:
            raise
        return open_member(inside)
    _check(path, found, streams)
    descriptor = paths.open_descriptor(path, _FLAGS if streams else _FLAGS | _AT_ONCE)
    try:
        _check(path, os.fstat(descriptor), streams)
        if streams and os.isatty(descriptor):
            raise ImageError(path, Reason.NOT_AN_IMAGE, "it is a terminal.", "Name a file or a pipe.")
        return FileIO(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _check(path: str | PathLike[str], found: os.stat_result, streams: bool) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(found.st_mode) and not streams:
        raise ImageError(path, Reason.NOT_AN_IMAGE, "it is a pipe or a device.", "Leave it out.")


def is_stream(path: str | PathLike[str]) -> bool:
    """Return whether something is at a path that can be read, but is neither a file nor a folder."""
    try:
        if is_address(path):
            return False
        mode = paths.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def read_head(file: BinaryIO, size: int) -> bytes:
    """Read the first bytes of a file; a pipe may deliver them in parts.

    Returns
    -------
    bytes
        Fewer than `size` only at the end.
    """
    head = b""
    while len(head) < size and (part := file.read(size - len(head))):
        head += part
    return head
