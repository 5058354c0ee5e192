"""Where an export may go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from faceindex.errors import UsageError

__all__ = ["NO_MEDIA", "STATE", "Surroundings", "check_place", "refuse_links"]

STATE = ".faceindex-export"
"""The hidden folder of records in a destination; walking photos leaves it out."""

NO_MEDIA = ".nomedia"
"""Walking photos leaves out folders with a file of this name."""


@dataclass(frozen=True, slots=True)
class Surroundings:
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


def check_place(given: str, root: Path, surroundings: Surroundings, *, single: bool) -> bool:
    """Refuse a destination where something could be lost or mixed up.

    Parameters
    ----------
    given : str
        As the user wrote it, for messages.
    root : Path
        The folder, resolved; need not exist.
    surroundings : Surroundings
    single : bool
        Whether only one file is exported into it.

    Returns
    -------
    bool
        Whether it lies among indexed photos, where exported ones would be indexed as well.

    Raises
    ------
    UsageError
    """
    index = surroundings.index.resolve()
    if root == index or index in root.parents:
        raise UsageError(f"{given} lies in the index, {index}.", "Name a folder outside of it.")
    if not root.is_dir() and os.path.lexists(root):
        raise UsageError(f"{given} is a file.", "Name a folder.")
    if single:
        return False
    among = False
    for photos in (path.resolve() for path in surroundings.roots):
        if root == photos or root in photos.parents:
            raise UsageError(
                f"{given} {'is' if root == photos else 'holds'} the folder of indexed photos {photos}.",
                "Name a new folder, so that nothing gets mixed up.",
            )
        if photos in root.parents:
            among = True
            if (stranger := _stranger(root)) is not None:
                raise UsageError(
                    f"{given} lies among the indexed photos of {photos} and already holds {stranger}.",
                    "Name a new folder, so that nothing gets mixed up.",
                )
    return among


def _stranger(root: Path) -> str | None:
    try:
        names = [path.name for path in root.iterdir()]
    except OSError:
        return None
    if STATE in names:
        return None
    return next((name for name in sorted(names) if name != NO_MEDIA), None)


def refuse_links(*paths: Path) -> None:
    """A folder from elsewhere may hold links, and writing would go where they point."""
    for path in paths:
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link.", "Delete it, or name another folder.")
