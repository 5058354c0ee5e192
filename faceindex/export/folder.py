"""A destination folder that can be exported into repeatedly, without touching foreign files."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, TypeAlias

from faceindex.errors import FaceIndexError, UsageError
from faceindex.export.access import Access, create_file
from faceindex.export.destination import (
    NO_MEDIA,
    STATE,
    ProtectedPaths,
    check_destination,
    index_ids,
    unreachable,
)
from faceindex.export.manifest import Entry, is_inside
from faceindex.export.names import clash_key
from faceindex.export.originals import Originals
from faceindex.export.ownership import FileState, check_contents, file_state, has_real_parents
from faceindex.export.state import StateFolder
from faceindex.files import sha256_of
from faceindex.safe_open import UnsafeFile

__all__ = ["Folder", "Link", "Written"]

Link: TypeAlias = Literal["copy", "hardlink", "symlink"]

_OTHER_KIND = "another export into this folder wrote it"
_LAST_COPY = "it is a copy of a photo whose original is missing"

_MARKER = "marker"  # the kind of `.nomedia`, which all exports share
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True, slots=True)
class Written:
    """Changes that an export made to its destination.

    Attributes
    ----------
    destination : str
    written : int
        New and changed files; with `dry_run`, files that would be written.
    unchanged : int
    removed : int
        Files of an earlier export that no longer belong to it.
    kept : tuple of (str, str)
        Files left as they are because they are foreign, were changed, or are the last copy of a photo:
        the name, relative to the destination, and the reason.
    dry_run : bool
        Whether nothing was changed.
    exposed : bool
        Whether others may list the destination, which was there before, so that they see the names of the
        files. The files themselves are not readable for them, unless the export is public.
    """

    destination: str
    written: int
    unchanged: int
    removed: int
    kept: tuple[tuple[str, str], ...]
    dry_run: bool
    exposed: bool = False


class Folder:
    """A destination folder, as a context manager.

    Call `write_if_changed` (or `include`, then `write` or `write_link`) for every file of the export,
    then `finish`. A file whose source is the same as in an earlier run is not written again. `finish`
    removes the files of an earlier run of the same `kind` that were not included in this one.

    Files have mode 0600 and new folders 0700, also if an earlier run gave them others; 0644 and 0755 if the
    export is public. The mode of a destination that exists stays.

    Foreign and changed files, and the last copy of a photo, are never replaced or removed; `Written.kept`
    lists them. Without foreign files, the folder gets ``.nomedia``, so that `faceindex index` skips it.

    The hidden folder ``.faceindex-export`` holds a manifest of the exported files. A file is written
    under a temporary name, recorded in the manifest, and then renamed. So the next run can continue
    after a run that was killed at any point.

    Parameters
    ----------
    destination : path-like
        Created, with its parents, if missing. May be a symbolic link to a folder; links inside the
        folder are not followed.
    kind : str
        Name of the export; several kinds may share a folder.
    protected : ProtectedPaths
    dry_run : bool
        Only count: `include` always returns False, and nothing is created or changed.
    single : str, optional
        Name of the only file of this export. The folder may then contain foreign files.

    Attributes
    ----------
    root : Path
        The folder, absolute.
    total : int or None
        Number of files of the export, for the message when the disk is full.
    originals : Originals
        The photos of the index. A copied photo is kept if its original is missing.

    Raises
    ------
    UsageError
        If the destination is a file, cannot be written, or is inside the index; if it is or contains an
        indexed folder; if it is inside one and contains foreign files; if it contains an export from
        another index; or if another export is writing into it.
    """

    def __init__(
        self,
        destination: str | os.PathLike[str],
        kind: str,
        protected: ProtectedPaths,
        *,
        dry_run: bool = False,
        single: str | None = None,
    ) -> None:
        given = os.fspath(destination)
        if not given:
            raise UsageError("The name of the destination is empty.", "Choose a folder.")
        self.given = given if single is None else os.path.normpath(os.path.join(given, single))  # noqa: PTH118
        self.dry_run = dry_run
        self.total: int | None = None
        self.originals = Originals()
        self._kind = kind
        self._single = single is not None
        try:
            self.root = Path(given).resolve()
            self._indexed = check_destination(self.given, self.root, protected, single=self._single)
        except UsageError:
            raise
        except OSError as error:
            raise unreachable(self.given, error) from error
        except (ValueError, RuntimeError) as error:  # a null byte, a link to itself
            raise UsageError(f"{given!r} is not a valid folder ({error}).", "Choose another one.") from error
        self._access = Access.of(public=protected.public)
        self._state = StateFolder(
            self.root, f"the folder of {self.given}" if self._single else self.given, self._access
        )
        self._index_ids = index_ids(protected.index, self.root)
        self._needs_marker = False  # whether to write `.nomedia`
        self._included: set[str] = set()  # clash keys
        self._sources: dict[str, str] = {}  # by name
        self._written = self._unchanged = self._removed = 0
        self._kept: dict[str, str] = {}

    def __enter__(self) -> Folder:
        try:
            with self._translate_os_errors():
                self._manifest = self._state.read()
                if not self._single:
                    self._needs_marker = check_contents(
                        self.given, self.root, self._manifest, self._index_ids, self._indexed
                    )
                if not self.dry_run:
                    # Read again: another export may have ended just before the lock was taken.
                    self._manifest = self._state.open()
        except BaseException:
            self._state.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state.close()

    # Files -------------------------------------------------------------------------------------

    def write_if_changed(self, name: str, source: str, make: Callable[[], bytes]) -> None:
        """Include a file in the export, and write it if it is missing or its source has changed.

        Parameters
        ----------
        name, source : str
            As in `include`.
        make : callable
            Returns the content; called only if the file must be written.

        Raises
        ------
        UsageError, FaceIndexError
            As `include` and `write`.
        """
        if self.include(name, source):
            self.write(name, make())

    def include(self, name: str, source: str) -> bool:
        """Include a file in the export, so that `finish` does not remove it.

        Parameters
        ----------
        name : str
            Relative, with forward slashes; its parts made by `faceindex.export.names.safe_name`.
        source : str
            Fingerprint of everything that the content depends on. A file that an earlier run wrote from
            the same source is not written again.

        Returns
        -------
        bool
            Whether the file must be written, by `write` or `write_link`. If its content cannot be made,
            leave out that call: an existing file then stays as it is.

        Raises
        ------
        UsageError
            If the name leads out of the folder, or was included before.
        """
        if self._single:  # the folder may have files of several indexes
            source = " ".join((source, *self._index_ids))
        key = clash_key(name)
        if not is_inside(name) or name.split("/")[0] == STATE:
            raise UsageError(f"'{name}' is not the name of a file inside {self.given}.", "Use a safe name.")
        if key in self._included:
            raise UsageError(f"Two files have the name '{name}'.", "Give them different names.")
        self._included.add(key)
        self._sources[name] = source
        state = self._file_state(name, source)
        if state.reason is not None:
            self._kept[name] = state.reason
            return False
        if state.entry is not None and state.entry.source == source:
            self._unchanged += 1
            if not self.dry_run and state.entry.link is None:  # the mode of a hard link is that of the photo
                self._access.adjust(self.root / name)
            return False
        if self.dry_run:
            self._written += 1
            return False
        return True

    def is_current(self, name: str, source: str) -> bool:
        """Return whether a file exists that an earlier run wrote from the same source."""
        entry = self._file_state(name, source).entry
        return entry is not None and entry.source == source

    def conflict(self, name: str) -> str | None:
        """Return why a file with that name cannot be written; None if it can."""
        return self._file_state(name, None).reason

    def write(
        self,
        name: str,
        content: bytes | Callable[[BinaryIO], None],
        *,
        mtime_ns: int | None = None,
        original: str | None = None,
    ) -> None:
        """Write an included file.

        Parameters
        ----------
        name : str
        content : bytes or callable
            The content, or a callable that writes it to an open file.
        mtime_ns : int, optional
            Modification time for the file.
        original : str, optional
            For a copy of a whole photo: `Originals.key` of the photo.

        Raises
        ------
        FaceIndexError
            If the disk is full or fails. Files written before stay valid.
        """
        with self._translate_os_errors():
            self._state.write_part(content, mtime_ns)
            self._move_into_place(name, original=original)

    def write_link(
        self, name: str, target: str | os.PathLike[str], how: Literal["hardlink", "symlink"]
    ) -> None:
        """Make an included file a link to another file.

        Raises
        ------
        FaceIndexError
            If the file system does not support such links, or the files are on different disks; or as
            `write`.
        """
        with self._translate_os_errors():
            link = self._state.link_part(target, how)
            self._move_into_place(name, link=link)

    def can_link(self, target: str | os.PathLike[str], how: Literal["hardlink", "symlink"]) -> bool:
        """Return whether `write_link` can make such a link to an existing file here."""
        try:
            with self._translate_os_errors():
                self._state.link_part(target, how)
        except FaceIndexError:
            return False
        self._state.discard_part()
        return True

    def finish(self) -> Written:
        """Remove the files of an earlier run that this run did not include, and return the counts."""
        obsolete = [
            name
            for name, entries in self._manifest.entries.items()
            if entries[-1].kind == self._kind and name not in self._sources
        ]
        with self._translate_os_errors():
            for name in sorted(obsolete):
                entry, reason = self._file_state(name, None)
                if entry is not None:
                    self._removed += 1
                    if not self.dry_run:
                        (self.root / name).unlink()
                elif reason is not None:
                    self._kept[name] = reason
                    if reason == _LAST_COPY:  # a later run removes it if the original is back
                        continue
                del self._manifest.entries[name]
            if not self.dry_run:
                self._clean_up()
            exposed = not (self.dry_run or self._single or self._state.created_root)
            exposed = exposed and self._access.exposes(self.root)
        return Written(
            self.given,
            self._written,
            self._unchanged,
            self._removed,
            tuple(sorted(self._kept.items())),
            self.dry_run,
            exposed,
        )

    # Details -----------------------------------------------------------------------------------

    def _file_state(self, name: str, source: str | None) -> FileState:
        """Return the state of a file that is to be made from `source`, or removed (None)."""
        state = file_state(self.root, self._manifest, name)
        entry = state.entry
        if entry is None:
            return state
        if entry.kind != self._kind:
            return FileState(reason=_OTHER_KIND)
        if entry.original is None or entry.source == source or self.originals.exists(entry.original):
            return state
        return FileState(reason=_LAST_COPY)

    def _move_into_place(self, name: str, *, link: str | None = None, original: str | None = None) -> None:
        """Record the finished temporary file, and rename it to its final name."""
        part = self._state.part
        found = part.lstat()
        sha256 = "" if link is not None else sha256_of(part)
        source = self._sources[name]
        entry = Entry(name, self._kind, source, found.st_size, found.st_mtime_ns, sha256, link, original)
        old, reason = self._file_state(name, source)  # it may have changed since `include`
        if reason is not None:
            self._kept[name] = reason
            part.unlink()
            return
        self._prepare_folder(name)
        path = self.root / name
        if old is not None and (old.sha256, old.link) == (sha256, link):
            same = path.lstat()  # another source, but the same content: keep the file
            if link is None:
                self._access.adjust(path)
            part.unlink()
            self._manifest.append(replace(entry, size=same.st_size, mtime_ns=same.st_mtime_ns))
            self._unchanged += 1
            return
        self._manifest.append(entry)
        part.replace(path)
        # Renaming one hard link over another of the same file does nothing (POSIX).
        part.unlink(missing_ok=True)
        self._written += 1

    def _prepare_folder(self, name: str) -> None:
        """Record the index, write ``.nomedia``, and create the parent folders of a file."""
        if not self._single and self._manifest.index != self._index_ids:
            self._manifest.set_index(self._index_ids)
        if self._needs_marker:
            self._write_marker()
        parents = [parent.as_posix() for parent in reversed(Path(name).parents)][1:]
        for parent in parents:
            if not (self.root / parent).is_dir():
                self._manifest.append(parent)
                self._access.make_folders(self.root / parent)

    def _write_marker(self) -> None:
        self._needs_marker = False
        self._manifest.append(Entry(NO_MEDIA, _MARKER, "", sha256=_EMPTY_SHA256))
        with contextlib.suppress(FileExistsError):  # the name is enough, whatever it is
            create_file(self.root / NO_MEDIA, self._access.file).close()

    def _clean_up(self) -> None:
        """Remove empty folders, and shorten the manifest; remove it if no exported file is left."""
        for name in sorted(self._manifest.folders, key=len, reverse=True):
            with contextlib.suppress(OSError):  # it contains foreign files
                if has_real_parents(self.root, name):
                    self._access.adjust(self.root / name)
                    (self.root / name).rmdir()
                self._manifest.folders.discard(name)
        states = [file_state(self.root, self._manifest, name) for name in self._manifest.entries]
        ours = [state.entry for state in states if state.entry is not None]
        if any(entry.kind != _MARKER for entry in ours):
            if not self._single:
                self._manifest.index = self._index_ids
            self._state.compact(self._manifest, ours)
            return
        for entry in ours:
            (self.root / entry.name).unlink()
        self._state.delete_manifest()

    @contextlib.contextmanager
    def _translate_os_errors(self) -> Iterator[None]:
        """Turn `OSError` into an error that names the destination, and delete the temporary file."""
        try:
            yield
        except UnsafeFile as error:
            self._state.discard_part()
            raise UsageError(
                f"{error.filename} is not opened: {error.strerror}.", "Delete it, or choose another folder."
            ) from error
        except OSError as error:
            self._state.discard_part()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._disk_full() from error
            raise UsageError(
                f"{self.given} cannot be written: {error.strerror or error}.",
                "Check its permissions, or choose another folder.",
            ) from error

    def _disk_full(self) -> FaceIndexError:
        if self._single:
            return FaceIndexError(
                f"The disk of {self.given} is full.", "Free some space and run the same command again."
            )
        done = self._written + self._unchanged
        of = "" if self.total is None else f" of {self.total:,}"
        written = "1 file is there" if (done, of) == (1, "") else f"{done:,}{of} files are there"
        return FaceIndexError(
            f"The disk of {self.given} is full: {written}.",
            "Free some space and run the same command again; it continues from there.",
        )
