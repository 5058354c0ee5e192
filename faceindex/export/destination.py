"""Where an export may go."""

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
    "cannot_be_reached",
    "check_place",
    "owner_of",
    "refuse_links",
    "visible_files",
]

STATE = ".faceindex-export"
"""The hidden folder of records in a destination; walking photos leaves it out."""

NO_MEDIA = ".nomedia"
"""Walking photos leaves out folders with a file of this name."""


@dataclass(frozen=True, slots=True)
class ProtectedPaths:
    """What a destination must not get into the way of.

    Attributes
    ----------
    index : Path
        The index directory.
    roots : tuple of Path
        The folders whose photos are indexed, absolute.
    """

    index: Path
    roots: tuple[Path, ...] = ()


def check_place(given: str, root: Path, protected: ProtectedPaths, *, single: bool) -> Path | None:
    """Refuse a destination where something could be lost or mixed up, whatever is in it.

    Parameters
    ----------
    given : str
        As the user wrote it, for messages.
    root : Path
        The folder, resolved; need not exist.
    protected : ProtectedPaths
    single : bool
        Whether only one file is exported into it.

    Returns
    -------
    Path or None
        The indexed folder that it lies in, where it must hold nothing else.

    Raises
    ------
    UsageError
    OSError
        If it cannot be reached.
    """
    index = protected.index.resolve()
    if root == index or index in root.parents:
        raise UsageError(f"{given} lies in the index, {index}.", "Name a folder outside of it.")
    if not root.is_dir() and os.path.lexists(root):
        raise UsageError(f"{given} is a file.", "Name a folder.")
    if single:
        return None
    among = None
    for photos in (path.resolve() for path in protected.roots):
        if root == photos or root in photos.parents:
            raise UsageError(
                f"{given} {'is' if root == photos else 'holds'} the folder of indexed photos {photos}.",
                "Name a new folder, so that nothing gets mixed up.",
            )
        if photos in root.parents:
            among = photos
    return among


def owner_of(root: Path, index: Path) -> tuple[str, ...]:
    """What tells an index from others that export into the same folder.

    Digests of where it is, absolute and seen from the folder, so that one of them outlives a move of
    either or of both. They tell nobody to whom the folder is given where that was.
    """
    places = [os.fspath(index.resolve())]
    with contextlib.suppress(ValueError):  # on another drive
        places.append(os.path.relpath(places[0], root))
    return tuple(hashlib.blake2b(os.fsencode(place), digest_size=16).hexdigest() for place in places)


def visible_files(root: Path) -> Iterator[str]:
    """What is below a folder and might be a photo, or lead to one: files and links that are not hidden.

    Names are relative, with forward slashes. A folder that must not be listed is one of them.
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
    """A folder from elsewhere may hold links, and writing would go where they point."""
    for path in paths:
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link.", "Delete it, or name another folder.")


def cannot_be_reached(given: str, error: OSError) -> UsageError:
    """What to say of a destination that cannot even be looked at."""
    return UsageError(
        f"{given} cannot be reached: {error.strerror or error}.",
        "Check its permissions, or name another folder.",
    )
