"""The folders of an index and the paths of a run, as real paths: where each file belongs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from faceindex.addresses import as_path, is_address, real_path, split_address
from faceindex.images.containers import ARCHIVE_SUFFIXES
from faceindex.paths import is_folder, stat
from faceindex.store import PhotoRecord, Store

__all__ = ["Roots", "compare_roots", "is_archive_path", "lost_places", "split_path"]


def compare_roots(
    store: Store | None, folders: Sequence[str]
) -> tuple[Roots, dict[tuple[str, str], PhotoRecord]]:
    """Return the roots as they will be with `folders`, and the indexed photos by root and relative path."""
    roots = Roots()
    if store is None:
        roots.add(folders)
        return roots, {}
    with store.snapshot():
        existing, photos = store.roots(), store.photos().values()
    roots.add(root.path for root in existing)
    roots.add(folders)
    inside = {root.id: roots.find(as_path(root.path)) for root in existing}
    known = {}
    for record in photos:
        path, prefix = inside[record.root_id]
        known[path, f"{prefix}/{record.relpath}" if prefix else record.relpath] = record
    return roots, known


_Path: TypeAlias = "str | os.PathLike[str]"


def lost_places(store: Store, paths: Sequence[_Path]) -> tuple[list[_Path], list[_Path]]:
    """Return the paths that do not exist: those from which there are photos in the index, and the others."""
    absent = [path for path in paths if os.fspath(path) and not is_address(path) and not _exists(path)]
    if not absent:
        return [], []
    roots = {root.id: as_path(root.path) for root in store.roots()}
    photos = [roots[root_id] / relpath for root_id, relpath in store.photos()]
    indexed = {place for path in (*photos, *roots.values()) for place in (path, *path.parents)}
    lost = [path for path in absent if Path(os.path.realpath(path)) in indexed]
    return lost, [path for path in absent if path not in lost]


def is_archive_path(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is that of an archive, by its name; a folder may have such a name too."""
    if is_address(path):
        return False
    return os.path.splitext(os.fspath(path))[1].lower() in ARCHIVE_SUFFIXES and not is_folder(path)  # noqa: PTH122


def _exists(path: str | os.PathLike[str]) -> bool:
    try:
        stat(path, follow=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        pass  # reported by the walk
    return True


def split_path(given: str | os.PathLike[str]) -> tuple[str, str]:
    """Split a path into the folder that is or becomes a root, as the user typed it, and the rest."""
    text = os.fspath(given)
    if is_address(text):
        from faceindex.images.remote import is_photo_address

        return split_address(text) if is_photo_address(text) else (text, ".")
    if is_folder(text):
        return text, "."
    folder, name = os.path.split(text.rstrip(os.sep) or os.sep)
    return folder or ".", name


class Roots:
    """The roots of an index as real paths, so that each folder has one root under all its names."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self._found: dict[str | os.PathLike[str], tuple[str, str]] = {}

    def add(self, folders: Iterable[str]) -> None:
        """Add folders in the way of `Store.add_root`: a new root replaces the roots inside it."""
        for folder in map(as_path, folders):
            if not any(folder.is_relative_to(path) for path in self.paths):
                self.paths = [path for path in self.paths if not path.is_relative_to(folder)]
                self.paths.append(folder)

    def locate(self, folder: str | os.PathLike[str], relpath: str = ".") -> tuple[str, str]:
        """Return the root of a folder and the path below it, separated by ``/``; "" is the root itself."""
        found = self._found.get(folder)
        if found is None:
            found = self._found[folder] = self.find(as_path(real_path(folder)))
        root, prefix = found
        if relpath == ".":
            return found
        return root, f"{prefix}/{relpath}" if prefix else relpath

    def find(self, folder: Path) -> tuple[str, str]:
        """As `locate`, for a real path or the path of a root, which may have become a link since."""
        for path in self.paths:
            if folder.is_relative_to(path):
                inside = folder.relative_to(path).as_posix()
                return str(path), "" if inside == "." else inside
        raise AssertionError(f"{folder} was walked but belongs to no root")
