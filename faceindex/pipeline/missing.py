"""Tell photos that were deleted from photos whose disk is not there.

A photo that a walk does not find is *missing*, and kept, in these cases:

- The folder that was to be indexed has no files at all, or does not exist.
- A folder above it, at any depth, is there but has become empty, as a place where a disk is mounted is
  without its disk.
- A folder above it is or was on another device than the folder above that one, and none of the indexed
  photos is found in it: its disk is not mounted, or another one is. Device numbers are never compared with
  those of an earlier run, because they change when a disk is mounted again.

Else it is *gone*: deleted, alone or with its folder.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass

__all__ = ["Absent", "Place", "find_absent"]

_Key = tuple[str, str]  # a root, and a path below it with forward slashes


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file, relative to its root; "" is the root itself."""

    root: str
    relpath: str

    def contains(self, root: str, relpath: str) -> bool:
        """Return whether a path is this place or below it."""
        if root != self.root:
            return False
        return not self.relpath or relpath == self.relpath or relpath.startswith(self.relpath + "/")

    @property
    def path(self) -> str:
        """Absolute path."""
        return os.path.join(self.root, self.relpath) if self.relpath else self.root  # noqa: PTH118


@dataclass(frozen=True, slots=True)
class Absent:
    """Photos that a walk did not find.

    Attributes
    ----------
    gone : list of (str, str)
        Deleted photos, as roots and relative paths, sorted.
    missing : dict of (str, str) to str
        Photos that are kept, sorted, and the absolute path of the folder that is empty or whose disk is
        missing.
    """

    gone: list[_Key]
    missing: dict[_Key, str]


def find_absent(
    unseen: Iterable[_Key],
    *,
    seen: Collection[_Key],
    known: Collection[_Key],
    places: Collection[Place],
    unlisted: Collection[Place],
    mounts: Set[_Key],
) -> Absent:
    """Sort photos that a walk did not find.

    Parameters
    ----------
    unseen : iterable of (str, str)
        Indexed photos that were not found. Those that are in none of `places`, or in one of `unlisted`, are
        left out of the result.
    seen : collection of (str, str)
        All files that were found.
    known : collection of (str, str)
        All indexed photos.
    places : collection of Place
        The folders that were walked.
    unlisted : collection of Place
        Files and folders that could not be read.
    mounts : set of (str, str)
        Folders that are or were on another device than the folder above.
    """
    found = Absent([], {})
    left = []
    for key in sorted(unseen):
        within = [place for place in places if place.contains(*key)]
        if within and not any(place.contains(*key) for place in unlisted):
            left.append((key, min(within, key=lambda place: len(place.relpath))))
    if not left:
        return found
    folders = _Folders(_folders_of(seen), _folders_of(key for key in known if key in seen), mounts)
    for key, top in left:
        folder = folders.missing(key[0], key[1].rpartition("/")[0], top)
        if folder is None:
            found.gone.append(key)
        else:
            found.missing[key] = folder.path
    return found


def _folders_of(files: Iterable[_Key]) -> set[_Key]:
    """Return all folders above some files, and their roots as ""."""
    folders: set[_Key] = set()
    for root, relpath in files:
        while relpath:
            relpath = relpath.rpartition("/")[0]
            if (root, relpath) in folders:
                break
            folders.add((root, relpath))
    return folders


class _Folders:
    """Finds the missing folder above photos, once for each folder."""

    def __init__(self, with_files: set[_Key], with_known: set[_Key], mounts: Set[_Key]) -> None:
        self._with_files = with_files
        self._with_known = with_known
        self._mounts = mounts
        self._found: dict[tuple[str, str, Place], Place | None] = {}

    def missing(self, root: str, folder: str, top: Place) -> Place | None:
        key = (root, folder, top)
        if key not in self._found:
            self._found[key] = self._find(root, folder, top)
        return self._found[key]

    def _find(self, root: str, folder: str, top: Place) -> Place | None:
        above = list(_upwards(folder, top.relpath))
        for relpath in above:
            if (root, relpath) in self._mounts and (root, relpath) not in self._with_known:
                return Place(root, relpath)
        found = None
        for relpath in above:
            place = Place(root, relpath)
            if (root, relpath) in self._with_files:
                break
            if relpath == top.relpath:
                return top  # nothing at all was found in the folder that was named
            if os.path.isdir(place.path):  # noqa: PTH112
                if not _is_empty(place.path):
                    break  # its files are left out by intention, as in a folder with .nomedia
                found = place
        return found


def _upwards(folder: str, top: str) -> Iterable[str]:
    """Yield a folder and those above it, up to `top`."""
    while True:
        yield folder
        if folder in (top, ""):
            return
        folder = folder.rpartition("/")[0]


def _is_empty(path: str) -> bool:
    """Return whether a folder has no file at any depth, apart from hidden ones."""
    waiting = [path]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listed:
                entries = list(listed)
        except OSError:
            return False
        for entry in entries:
            is_hidden = entry.name[0] == "."
            if entry.is_dir(follow_symlinks=False):
                waiting += [] if is_hidden else [entry.path]
            elif not is_hidden or entry.name == ".nomedia":
                return False
    return True
