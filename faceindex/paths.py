"""Files and folders at any depth.

The system refuses a path of 4,096 bytes or more (1,024 on macOS), but folders may be nested deeper than that.
A file with a longer path is reached in steps: each part of the path is opened inside the folder before it.
Where the system cannot do that (Windows), the error of the system remains.
"""

# ruff: noqa: PTH116

from __future__ import annotations

import os
import stat as modes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENAMETOOLONG
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

__all__ = [
    "Presence",
    "exists",
    "is_folder",
    "is_link",
    "is_too_long",
    "open_descriptor",
    "open_for_reading",
    "presence",
    "stat",
]

Presence: TypeAlias = Literal["present", "empty", "missing"]

_STEP = 1000
"""Bytes of a path that are opened at once; less than the limit of every system. Names have 255 at most."""

_IN_STEPS = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)


def open_descriptor(path: str | os.PathLike[str], flags: int = os.O_RDONLY) -> int:
    """Open a file or folder as `os.open`, also if its path is longer than the system permits."""
    try:
        return os.open(path, flags)
    except OSError as error:
        if not _is_long(path, error):
            raise
    with _near(path) as (folder, name):
        return os.open(name, flags, dir_fd=folder)


def open_for_reading(path: str | os.PathLike[str], *, buffering: int = 0) -> BinaryIO:
    """Open a file for reading bytes; close it after use. Raises what `open` raises."""
    try:
        return Path(path).open("rb", buffering=buffering)
    except OSError as error:
        if not _is_long(path, error):
            raise
    descriptor = open_descriptor(path)
    try:
        return open(descriptor, "rb", buffering=buffering)  # noqa: PTH123 - a descriptor
    except BaseException:  # a folder: `open` does not own the descriptor yet
        os.close(descriptor)
        raise


def stat(path: str | os.PathLike[str], *, follow: bool = True) -> os.stat_result:
    """Return the status of a file as `os.stat` does; `follow` symbolic links, or return that of the link."""
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError as error:
        if not _is_long(path, error):
            raise
    with _near(path) as (folder, name):
        return os.stat(name, dir_fd=folder, follow_symlinks=follow)


def exists(path: str | os.PathLike[str], *, follow: bool = False) -> bool:
    """Return whether there is something at a path; without `follow`, if only a broken link."""
    try:
        stat(path, follow=follow)
    except (OSError, ValueError):
        return False
    return True


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a path leads to a folder."""
    try:
        return modes.S_ISDIR(stat(path).st_mode)
    except (OSError, ValueError):
        return False


def presence(folder: str | os.PathLike[str]) -> Presence:
    """Return whether a folder exists and has anything in it; ``present`` too if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return "present" if any(True for _ in entries) else "empty"
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    except OSError:
        return "present"


def is_link(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is that of a symbolic link."""
    try:
        return modes.S_ISLNK(stat(path, follow=False).st_mode)
    except (OSError, ValueError):
        return False


def is_too_long(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is too long for links to it and for other programs."""
    return len(os.fsencode(path)) >= (1024 if sys.platform == "darwin" else 4096)


def _is_long(path: str | os.PathLike[str], error: OSError) -> bool:
    return _IN_STEPS and error.errno == ENAMETOOLONG and len(os.fsencode(path)) > _STEP


@contextmanager
def _near(path: str | os.PathLike[str]) -> Iterator[tuple[int | None, bytes]]:
    """Open a folder above a file; yield it and the rest of the path, which is short enough for the system."""
    rest = os.fsencode(path).rstrip(b"/")
    folder: int | None = None
    try:
        while len(rest) > _STEP:
            cut = rest.rfind(b"/", 1, _STEP)
            if cut < 0:  # a name that is too long
                raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG), path)
            inner = os.open(rest[:cut], _PASS, dir_fd=folder)
            if folder is not None:
                os.close(folder)
            folder, rest = inner, rest[cut:].lstrip(b"/")
        yield folder, rest
    finally:
        if folder is not None:
            os.close(folder)
