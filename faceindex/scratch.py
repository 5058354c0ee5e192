"""Folders for one run that only this user can read, removed when the run ends, however it ends.

A run that is killed cannot remove its folder. The next run does, as nobody holds the lock in it any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from faceindex.locks import AlreadyLocked, FileLock

__all__ = ["own_folder", "remove_leftovers"]

_LOCK = "lock"
_ATTEMPTS, _PAUSE = 10, 0.2  # seconds


@contextlib.contextmanager
def own_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Make a folder of mode 0700 in `parent`, and remove it in the end; first remove leftovers.

    Raises
    ------
    OSError
        If it cannot be made, or its disk has no locks.
    """
    remove_leftovers(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        lock = FileLock(folder / _LOCK)
        try:
            yield folder
        finally:
            lock.release()
    finally:
        _remove(folder)


def remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove the folders of runs that were killed; what cannot be removed stays."""
    for folder in parent.glob(f"{prefix}*"):
        lock = folder / _LOCK
        with contextlib.suppress(OSError, AlreadyLocked):
            if folder.is_symlink() or not lock.exists() or not _is_own(folder):
                continue
            held = FileLock(lock)
            try:
                _remove(folder)
            finally:
                held.release()


def _is_own(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def _remove(folder: Path) -> None:
    """Remove a folder in which processes that are ending may still write."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)
