"""Volumes: the mounted file systems under a walk, and how far the numbers that they report can be trusted.

Besides size and time of modification, the system has two more signs that a file was written: its inode, and
the time of the last change of its status (ctime), which no program can set. But some disks invent one or both
at each mount. Their kinds are listed here; others are noticed by `faceindex.pipeline.file_ids`.
"""

# ruff: noqa: PTH116

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

__all__ = ["CTIME", "INODE", "Distrust", "FileIds", "Volume", "Volumes"]

CTIME = "ctime"
INODE = "inode"

# Linux: kinds that are served by another machine or by a program, or that store no inodes (FAT and exFAT).
# All their numbers may change at once. The names are those of mount(8).
_REMOTE = re.compile(
    r"fuse|fuseblk|fuse\..*|fusectl|nfs.*|cifs|smb.*|ncpfs|9p|afs|ceph|lustre|gpfs|virtiofs|vboxsf|vmhgfs|prl_fs"
    r"|drvfs|msdos|vfat|exfat|davfs"
)
# Of these, the kinds whose inodes are numbers that the kernel hands out as files are looked up.
_WITHOUT_INODES = re.compile(
    r"fuse|fuse\..*|cifs|smb.*|ncpfs|9p|vboxsf|vmhgfs|prl_fs|drvfs|msdos|vfat|exfat|davfs"
)

_MOUNTS = "/proc/self/mountinfo"
_ESCAPE = re.compile(r"\\([0-7]{3})")

# Windows reports the time of creation as ctime, and no inode in the listing of a folder.
_NOTHING = frozenset({CTIME, INODE}) if os.name != "posix" else frozenset[str]()

Distrust = Mapping[str, Collection[str]]
"""For volumes by their paths: which of `CTIME` and `INODE` are not used there."""


class FileIds(NamedTuple):
    """What a volume reports of a file, besides size and time of modification.

    Attributes
    ----------
    ctime_ns : int
        Time of the last change of the status, in nanoseconds since 1970, limited to 64 bits.
    inode : int
        As a signed number of 64 bits.
    """

    ctime_ns: int
    inode: int


class Volume(NamedTuple):
    """A mounted file system.

    Attributes
    ----------
    path : str
        Where it is mounted.
    remote : bool
        Whether it is of a kind that may report other inodes and times at each mount.
    distrusted : frozenset of str
        Which of `CTIME` and `INODE` are not used.
    is_archive : bool
        Whether it is no file system but an archive, whose members are listed.
    """

    path: str
    remote: bool
    distrusted: frozenset[str]
    is_archive: bool = False


class Volumes:
    """The volumes of a walk, by the device numbers of their folders.

    Parameters
    ----------
    distrust : mapping
        What is not used, besides what the kind of a volume excludes.
    """

    def __init__(self, distrust: Distrust) -> None:
        self._distrust = distrust
        self._found: dict[int, Volume] = {}
        self._kinds: dict[str, str] | None = None

    def of_folder(self, path: str, device: int) -> Volume:
        """Return the volume of a folder with this device number."""
        found = self._found.get(device)
        if found is None:
            found = self._found[device] = self._look_up(path, device)
        return found

    def _look_up(self, path: str, device: int) -> Volume:
        top = os.path.realpath(path)
        while (above := os.path.dirname(top)) != top:  # noqa: PTH120
            try:
                if os.stat(above).st_dev != device:
                    break
            except OSError:
                break
            top = above
        if self._kinds is None:
            self._kinds = _read_mounts()
        kind = self._kinds.get(top, "")
        without = {INODE} if _WITHOUT_INODES.fullmatch(kind) else set()
        distrusted = _NOTHING.union(without, self._distrust.get(top, ()))
        return Volume(top, _REMOTE.fullmatch(kind) is not None, distrusted)


def _read_mounts() -> dict[str, str]:
    """Return the kind of the file system at each mount point; nothing where the system has no such list."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - starts sooner
            lines = file.readlines()
    except OSError:
        return {}
    kinds = {}
    for line in lines:
        # ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAGS] - KIND SOURCE OPTIONS, see proc(5).
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 4 and after:
            point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
            kinds[point] = after.split()[0]  # the last mount at a point covers the others
    return kinds
