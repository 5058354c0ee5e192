"""Exports that are one file, or go to a stream."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from faceindex.errors import UsageError
from faceindex.export.destination import ProtectedPaths, cannot_be_reached
from faceindex.export.folder import Folder, Written

__all__ = ["export_file"]


def export_file(
    destination: str | os.PathLike[str] | BinaryIO,
    kind: str,
    source: str,
    fill: Callable[[BinaryIO], None],
    protected: ProtectedPaths,
    *,
    dry_run: bool = False,
) -> Written:
    """Write one file, safely and only if it has changed; its folder keeps the record, as `Folder` does.

    Parameters
    ----------
    destination : path-like or binary file
        The file, in a folder that exists; or an open file that is written to.
    kind, source : str
        As in `Folder`.
    fill : callable
        Writes the content; needs not be able to seek.
    protected : ProtectedPaths
    dry_run : bool

    Returns
    -------
    Written

    Raises
    ------
    UsageError
        If the destination is a folder, is in a folder that does not exist or cannot be written, or is there
        already and was not written by an earlier run, or has been changed since.
    FaceIndexError
        If the disk is full.
    """
    if not isinstance(destination, (str, os.PathLike)):
        if not dry_run:
            fill(destination)
        return Written("-", 1, 0, 0, (), dry_run)
    given = os.fspath(destination)
    parent, name = os.path.split(given)
    try:
        is_folder, is_placed = Path(given).is_dir(), Path(parent or ".").is_dir()
    except OSError as error:
        raise cannot_be_reached(given, error) from error
    if not name or name in (".", "..") or is_folder:
        what = f"{given} is a folder." if given else "The name of the destination is empty."
        raise UsageError(what, "Name a file.")
    if not is_placed:
        raise UsageError(f"There is no folder {parent}.", "Make it first, or check the spelling.")
    with Folder(parent or ".", f"{kind} {name}", protected, dry_run=dry_run, single=name) as folder:
        if folder.claim(name, source):
            folder.write(name, fill)
        done = folder.finish()
    for _, reason in done.kept:
        raise UsageError(f"{given} is left as it is: {reason}.", "Name another file, or delete that one.")
    return Written(given, done.written, done.unchanged, done.removed, (), dry_run)
