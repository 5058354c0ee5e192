"""The folders that a walk has entered, so that it enters none twice and loops of links end.

A folder has a device and an inode number, under all its names. But some network and FUSE disks report inode
0, or the same inode, for all folders. So equal numbers alone do not show that two paths lead to one folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import TypeAlias

from faceindex import paths

__all__ = ["EnteredFolders", "FolderId", "folder_id"]

FolderId: TypeAlias = tuple[int, int]
"""(st_dev, st_ino) of a folder."""


class EnteredFolders:
    """A set of folders, known by their numbers and, where these say nothing, by their real paths."""

    def __init__(self) -> None:
        self._paths: dict[FolderId, set[str]] = {}  # real paths as soon as there are two
        self._invented: set[int] = set()  # devices whose inodes are no identity

    def add(self, identity: FolderId, path: str) -> None:
        """Add a folder by one of its paths."""
        known = self._paths.get(identity)
        if known is None:
            self._paths[identity] = {path}
        else:
            known.add(os.path.realpath(path))

    def contains(self, identity: FolderId, path: str) -> bool:
        """Return whether a folder was added, under this path or another."""
        known = self._paths.get(identity)
        if known is None:
            return False
        if len(known) == 1:
            known = self._paths[identity] = {os.path.realpath(path) for path in known}
        return self.find(identity, path, known) is not None

    def find(self, identity: FolderId, path: str, others: Iterable[str]) -> str | None:
        """Return the path of the same folder among real paths of folders with the same numbers."""
        real = os.path.realpath(path)
        if real in others:
            return real
        device, inode = identity
        if inode == 0 or device in self._invented:
            return None
        # One folder that is mounted at two places, or a disk that invents its inodes.
        for other in others:
            if _content(other) == _content(path):
                return other
        self._invented.add(device)
        return None


def _content(path: str) -> object:
    """Return what two paths of one folder have in common, and two folders hardly ever."""
    try:
        own = os.stat(path)  # noqa: PTH116
        with os.scandir(path) as entries:
            files = {
                entry.name: (status.st_mode, status.st_size, status.st_mtime_ns)
                for entry in entries
                for status in [entry.stat(follow_symlinks=False)]
            }
    except OSError:
        return object()  # equal to nothing
    return own.st_mtime_ns, own.st_ctime_ns, own.st_nlink, files


def folder_id(path: str) -> FolderId | None:
    """Return the numbers of a folder; None if there is none at this path, or it cannot be reached."""
    try:
        status = paths.stat(path)
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
