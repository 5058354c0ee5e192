"""Export into a single file, or to a stream."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from faceindex.errors import UsageError
from faceindex.export.destination import ProtectedPaths, unreachable
from faceindex.export.folder import Folder, Written

__all__ = ["check_single_file", "export_file"]


def export_file(
    destination: str | os.PathLike[str] | BinaryIO,
    kind: str,
    source: str,
    fill: Callable[[BinaryIO], None],
    protected: ProtectedPaths,
    *,
    dry_run: bool = False,
) -> Written:
    """Write one file, if its source has changed; its folder holds the manifest, as with `Folder`.

    Parameters
    ----------
    destination : path-like or binary file
        A file in an existing folder, or an open file to write to.
    kind, source : str
        As in `Folder`.
    fill : callable
        Writes the content to an open file, without seeking.
    protected : ProtectedPaths
    dry_run : bool

    Returns
    -------
    Written

    Raises
    ------
    UsageError
        If the destination is a folder, if its folder does not exist or cannot be written, or if the file
        exists and no earlier run wrote it, or it was changed since.
    FaceIndexError
        If the disk is full.
    """
    if not isinstance(destination, (str, os.PathLike)):
        if not dry_run:
            fill(destination)
        return Written("-", 1, 0, 0, (), dry_run)
    given = os.fspath(destination)
    parent, name = check_single_file(given)
    with Folder(parent, f"{kind} {name}", protected, dry_run=dry_run, single=name) as folder:
        if folder.include(name, source):
            folder.write(name, fill)
        done = folder.finish()
    for _, reason in done.kept:
        raise UsageError(f"{given} is left as it is: {reason}.", "Choose another file, or delete that one.")
    return Written(given, done.written, done.unchanged, done.removed, (), dry_run)


def check_single_file(given: str) -> tuple[str, str]:
    """Split the path of a destination file into its folder and its name.

    Raises
    ------
    UsageError
        If it is a folder, or its folder does not exist.
    """
    parent, name = os.path.split(given)
    try:
        is_folder, has_parent = Path(given).is_dir(), Path(parent or ".").is_dir()
    except OSError as error:
        raise unreachable(given, error) from error
    if not name or name in (".", "..") or is_folder:
        what = f"{given} is a folder." if given else "The name of the destination is empty."
        raise UsageError(what, "Choose a file.")
    if not has_parent:
        raise UsageError(f"There is no folder {parent}.", "Create it, or check the spelling.")
    return parent or ".", name
