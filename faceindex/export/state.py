"""The state folder of a destination: its lock, its manifest and the file that is being written."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Literal

from faceindex.errors import FaceIndexError, UsageError
from faceindex.export.access import Access, create_file
from faceindex.export.destination import STATE, refuse_links
from faceindex.export.manifest import Entry, Manifest
from faceindex.locks import AlreadyLocked, FileLock

__all__ = ["StateFolder"]


class StateFolder:
    """The hidden folder ``.faceindex-export`` of a destination.

    Parameters
    ----------
    root : Path
        The destination; need not exist.
    given : str
        The destination as the user wrote it, for messages.
    access : Access
        Modes of a new destination and of new files.

    Attributes
    ----------
    created_root : bool
        Whether `open` has created the destination.
    part : Path
        Temporary file: a new file is written here, then renamed into the destination.
    """

    def __init__(self, root: Path, given: str, access: Access) -> None:
        self._root = root
        self._given = given
        self._access = access
        self._path = root / STATE
        self._manifest_path = self._path / "manifest.jsonl"
        self._lock_path = self._path / "lock"
        self.part = self._path / "part"
        self._new_manifest = self._path / "manifest.part"
        self._lock: FileLock | None = None
        self.created_root = self._created = False

    def read(self) -> Manifest:
        """Read the manifest, which is empty if there is none.

        Raises
        ------
        UsageError
            If the folder or a file in it is a symbolic link.
        FaceIndexError
            As `Manifest`.
        """
        refuse_links(self._path, self._lock_path, self._manifest_path)
        return Manifest(self._manifest_path)

    def open(self) -> Manifest:
        """Create the destination and the state folder, lock it, and read the manifest under the lock.

        Raises
        ------
        UsageError
            If another export holds the lock.
        OSError
            If the folder cannot be written.
        FaceIndexError
            As `Manifest`.
        """
        self.created_root = not self._root.is_dir()
        self._access.make_folders(self._root)
        self._created = not self._path.is_dir()
        self._path.mkdir(mode=0o700, exist_ok=True)
        try:
            self._lock = FileLock(self._lock_path)
        except AlreadyLocked:
            raise UsageError(
                f"Another export is writing into {self._given}.", "Wait until it has finished."
            ) from None
        self._delete_temporary_files()
        return Manifest(self._manifest_path)

    def write_part(self, content: bytes | Callable[[BinaryIO], None], mtime_ns: int | None) -> None:
        """Write the temporary file; `content` and `mtime_ns` as in `faceindex.export.folder.Folder.write`."""
        with create_file(self.part, self._access.file) as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
        if mtime_ns is not None:
            os.utime(self.part, ns=(mtime_ns, mtime_ns))

    def link_part(self, target: str | os.PathLike[str], how: Literal["hardlink", "symlink"]) -> str:
        """Make the temporary file a link.

        Returns
        -------
        str
            Identifies the link, as `faceindex.export.manifest.Entry.link`.

        Raises
        ------
        FaceIndexError
            If the file system does not support such links, or the files are on different disks.
        OSError
            If the disk is full, or the target or the folder is missing.
        """
        self.part.unlink(missing_ok=True)
        try:
            if how == "symlink":
                self.part.symlink_to(target)
                return str(self.part.readlink())
            self.part.hardlink_to(Path(target).resolve())
            found = self.part.stat()
            return f"hard:{found.st_dev}:{found.st_ino}"
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
                raise
            far = isinstance(error, OSError) and error.errno == errno.EXDEV
            why = "it is on another disk" if far else getattr(error, "strerror", None) or str(error)
            instead = "`link='symlink'` or `link='copy'`" if how == "hardlink" else "`link='copy'`"
            raise FaceIndexError(
                f"No {how} to {os.fspath(target)} can be made in {self._given}: {why}.", f"Pass {instead}."
            ) from error

    def discard_part(self) -> None:
        """Delete the temporary file, if the folder is open."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self.part.unlink(missing_ok=True)

    def compact(self, manifest: Manifest, entries: Iterable[Entry]) -> None:
        """Replace the manifest by a shorter one that holds only `entries` and the existing folders."""
        # The longer manifest is equivalent, and stays if the disk is full.
        with contextlib.suppress(OSError):
            manifest.rewrite(entries, manifest.folders, self._new_manifest)

    def delete_manifest(self) -> None:
        """Delete the manifest: the destination contains no exported files."""
        self._manifest_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock. Delete the state folder, and the destination, if `open` left them empty."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._delete_temporary_files()
                if not self._manifest_path.exists():
                    self._lock_path.unlink()
            self._lock.release()
            self._lock = None
        elif not self._created:
            return
        with contextlib.suppress(OSError):
            self._path.rmdir()
            if self.created_root:
                self._root.rmdir()

    def _delete_temporary_files(self) -> None:
        # A killed run may have left a link to a photo here. Writing to it would change the photo.
        for path in (self.part, self._new_manifest):
            path.unlink(missing_ok=True)
