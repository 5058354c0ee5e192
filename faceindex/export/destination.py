"""Checks of the destination of an export."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from faceindex.errors import UsageError

__all__ = [
    "NO_MEDIA",
    "STATE",
    "ProtectedPaths",
    "check_destination",
    "index_ids",
    "is_archive",
    "refuse_links",
    "unreachable",
    "visible_files",
]

STATE = ".faceindex-export"
"""Name of the hidden state folder in a destination; the walk over photos skips it."""

NO_MEDIA = ".nomedia"
"""Name of a marker file; the walk over photos skips folders that contain one."""


@dataclass(frozen=True, slots=True)
class ProtectedPaths:
    """Folders that an export must not write into or mix its files with, and who may read the export.

    Attributes
    ----------
    index : Path
        The index directory.
    roots : tuple of Path
        The indexed folders, absolute.
    public : bool
        Whether other users of this machine may read what is exported.
    """

    index: Path
    roots: tuple[Path, ...] = ()
    public: bool = False


def check_destination(given: str, root: Path, protected: ProtectedPaths, *, single: bool) -> Path | None:
    """Refuse a destination inside the index, or one that is or contains an indexed folder.

    Parameters
    ----------
    given : str
        The folder as the user wrote it, for messages.
    root : Path
        The folder, resolved; need not exist.
    protected : ProtectedPaths
    single : bool
        Whether only one file is exported into the folder. It may then lie anywhere outside the index.

    Returns
    -------
    Path or None
        The indexed folder that contains the destination. The destination must then hold no foreign files.

    Raises
    ------
    UsageError
        If the destination is refused, or is a file.
    OSError
        If the destination cannot be reached.
    """
    index = protected.index.resolve()
    if root == index or index in root.parents:
        raise UsageError(f"{given} is in the index directory {index}.", "Choose a folder outside it.")
    if not root.is_dir() and os.path.lexists(root):
        raise UsageError(f"{given} is a file.", "Choose a folder.")
    if single:
        return None
    parent = None
    for photos in (path.resolve() for path in protected.roots):
        if root == photos or root in photos.parents:
            raise UsageError(
                f"{given} {'is' if root == photos else 'contains'} the folder of indexed photos {photos}.",
                "Choose a new folder, so that exported files and photos stay apart.",
            )
        if photos in root.parents:
            parent = photos
    return parent


def index_ids(index: Path, root: Path) -> tuple[str, ...]:
    """Identify the index that exports into a folder.

    The ids are digests of the path of the index: the absolute one, and the one relative to the folder.
    One of them stays the same if either or both move. They do not reveal the path to somebody who
    receives the folder.
    """
    paths = [os.fspath(index.resolve())]
    with contextlib.suppress(ValueError):  # on another drive
        paths.append(os.path.relpath(paths[0], root))
    return tuple(hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest() for path in paths)


def is_archive(destination: str | os.PathLike[str]) -> bool:
    """Return whether a destination is a zip file: its name ends in ``.zip``, and it is not a folder."""
    path = Path(destination)
    return path.suffix.lower() == ".zip" and not path.is_dir()


def visible_files(root: Path) -> Iterator[str]:
    """Yield the files and links below a folder that are not hidden, and folders that cannot be listed.

    Names are relative, with forward slashes.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(root / below) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError:
            if not below:
                raise
            yield below
            continue
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(name)
            else:
                yield name


def refuse_links(*paths: Path) -> None:
    """Raise `UsageError` if a path is a symbolic link: writing would follow it out of the folder."""
    for path in paths:
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link.", "Delete it, or choose another folder.")


def unreachable(given: str, error: OSError) -> UsageError:
    """Make the error for a destination that `stat` cannot reach."""
    return UsageError(
        f"{given} cannot be reached: {error.strerror or error}.",
        "Check its permissions, or choose another folder.",
    )
