"""Who may read what is exported: only this user, unless the export is public.

Modes are set exactly, whatever the umask is. Windows, and file systems without modes (FAT, some network
disks), ignore them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = ["Access", "create_file"]

_OTHERS = 0o077


class Access(NamedTuple):
    """Modes of exported files and folders.

    Attributes
    ----------
    file, folder : int
    """

    file: int
    folder: int

    @classmethod
    def of(cls, *, public: bool) -> Access:
        """Return the modes for one's own eyes, or for all users of this machine."""
        return cls(0o644, 0o755) if public else cls(0o600, 0o700)

    def make_folders(self, path: Path) -> None:
        """Create a folder and those above it that are missing."""
        missing = []
        while not path.is_dir():
            missing.append(path)
            path = path.parent
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            _set_mode(folder, self.folder)

    def adjust(self, path: Path) -> None:
        """Set the mode of a file or folder that an earlier run made, if others have another share in it."""
        with contextlib.suppress(OSError):
            mode = path.lstat().st_mode
            wanted = self.folder if stat.S_ISDIR(mode) else self.file
            if not stat.S_ISLNK(mode) and (mode ^ wanted) & _OTHERS:
                _set_mode(path, wanted)

    def exposes(self, path: Path) -> bool:
        """Return whether others may list a folder although the export is not public."""
        return os.name != "nt" and not self.folder & _OTHERS and bool(path.stat().st_mode & _OTHERS)


def create_file(path: Path, mode: int) -> BinaryIO:
    """Create a file of this mode, and open it for writing; raises `FileExistsError` if the name is taken."""
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    with contextlib.suppress(OSError, AttributeError):
        os.fchmod(opened, mode)
    return open(opened, "wb")  # noqa: PTH123 - a descriptor


def _set_mode(path: Path, mode: int) -> None:
    with contextlib.suppress(OSError):
        path.chmod(mode)
