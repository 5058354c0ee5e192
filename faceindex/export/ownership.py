"""Distinguish the exported files of a destination from foreign files."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from faceindex.errors import UsageError
from faceindex.export.destination import NO_MEDIA, STATE, index_ids, visible_files
from faceindex.export.manifest import Entry, Manifest

__all__ = ["FileState", "check_contents", "file_state", "has_real_parents", "is_export_of"]

_FOREIGN = "faceindex did not export it, or it was changed since"
_BLOCKED = "one of the folders above it is a link or a file"


class FileState(NamedTuple):
    """State of a file name in a destination; both fields are None if there is no such file.

    Attributes
    ----------
    entry : Entry or None
        The record of the file, if an export wrote it and it is unchanged.
    reason : str or None
        Why the file must be kept as it is.
    """

    entry: Entry | None = None
    reason: str | None = None


def file_state(root: Path, manifest: Manifest, name: str) -> FileState:
    """Compare the file at a name with the manifest's entries for the name."""
    try:
        if not has_real_parents(root, name):
            return FileState(reason=_BLOCKED)
        path = root / name
        found = path.lstat()
        for entry in reversed(manifest.entries.get(name, [])):
            if entry.describes(path, found):
                return FileState(replace(entry, mtime_ns=found.st_mtime_ns))
    except FileNotFoundError:
        return FileState()
    except OSError as error:
        return FileState(reason=error.strerror or str(error))
    return FileState(reason=_FOREIGN)


def has_real_parents(root: Path, name: str) -> bool:
    """Return whether all folders between `root` and a file are folders, not links.

    Raises
    ------
    FileNotFoundError
        If one of them is missing.
    """
    folder = root
    for part in Path(name).parts[:-1]:
        folder /= part
        if not stat.S_ISDIR(folder.lstat().st_mode):
            return False
    return True


def check_contents(
    given: str, root: Path, manifest: Manifest, ids: tuple[str, ...], indexed: Path | None
) -> bool:
    """Refuse a folder of another index, and one with foreign files among indexed photos.

    Parameters
    ----------
    given : str
        The folder as the user wrote it, for messages.
    root : Path
    manifest : Manifest
    ids : tuple of str
        `faceindex.export.destination.index_ids` of the exporting index.
    indexed : Path or None
        The indexed folder that contains `root`.

    Returns
    -------
    bool
        Whether the folder needs a ``.nomedia`` file: it has none, and it contains no foreign files.

    Raises
    ------
    UsageError
    """

    def is_ours(name: str) -> bool:
        return file_state(root, manifest, name).entry is not None

    if manifest.index and not set(manifest.index) & set(ids) and any(map(is_ours, manifest.entries)):
        raise UsageError(
            f"{given} contains an export from another index.", "Choose another folder, or delete that one."
        )
    marked = os.path.lexists(root / NO_MEDIA)
    if marked and (manifest.index or indexed is None):
        return False
    foreign = next((name for name in visible_files(root) if not is_ours(name)), None)
    if foreign is not None and indexed is not None:
        raise UsageError(
            f"{given} is among the indexed photos of {indexed} and already contains {foreign}.",
            "Choose a new folder, so that exported files and photos stay apart.",
        )
    return foreign is None and not marked


def is_export_of(path: Path, kind: str, index: Path) -> bool:
    """Return whether a manifest beside a file, or in a folder, says that an index exported it.

    An index from somebody else may name any path as its export, but has no such record there.

    Parameters
    ----------
    path : Path
    kind : str
        Name of the export.
    index : Path
        The index directory.

    Raises
    ------
    FaceIndexError
        As `faceindex.export.manifest.Manifest`.
    """
    is_folder = path.is_dir()
    root = (path if is_folder else path.parent).resolve()
    if (root / STATE).is_symlink():
        return False
    manifest, ids = Manifest(root / STATE / "manifest.jsonl"), set(index_ids(index, root))
    if is_folder:
        entries = [entry for found in manifest.entries.values() for entry in found]
        return not ids.isdisjoint(manifest.index) and any(entry.kind == kind for entry in entries)
    kinds = (f"{kind} {path.name}", f"archive of {kind} {path.name}")
    return any(
        entry.kind in kinds and not ids.isdisjoint(entry.source.split())
        for entry in manifest.entries.get(path.name, ())
    )
