"""A folder that is exported into: again and again, beside files of others, and never outside of it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, TypeAlias

from faceindex.errors import FaceIndexError, IndexLocked, StoreError, UsageError
from faceindex.export.destination import (
    NO_MEDIA,
    STATE,
    ProtectedPaths,
    cannot_be_reached,
    check_place,
    owner_of,
    refuse_links,
    visible_files,
)
from faceindex.export.manifest import Entry, Manifest, is_inside, sha256_of
from faceindex.export.names import clash_key, safe_name
from faceindex.export.originals import Originals
from faceindex.store.lock import WriterLock

__all__ = ["Folder", "Link", "ProtectedPaths", "Written", "safe_name"]

Link: TypeAlias = Literal["copy", "hardlink", "symlink"]

_MANIFEST, _LOCK, _PART, _SCRATCH = "manifest.jsonl", "lock", "part", "manifest.part"

_NOT_OURS = "it is there already and was not exported by faceindex, or was changed since"
_OTHER_KIND = "another export into this folder has a file of that name"
_IN_THE_WAY = "what should be a folder on the way to it is a link or a file"
_LAST_COPY = "it is the copy of a photo that the index finds nowhere else"

_MARKER = "marker"  # the kind of `.nomedia`, which is no export's
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a destination.

    Attributes
    ----------
    destination : str
    written : int
        Files that were new or changed; with `dry_run`, that would be written.
    unchanged : int
    removed : int
        Files of an earlier export that are no longer part of it.
    kept : tuple of (str, str)
        Files that are not ours, were changed since or are the last copy of a photo, and so were left as
        they are: the name, relative to the destination, and the reason.
    dry_run : bool
        Whether nothing was changed.
    """

    destination: str
    written: int
    unchanged: int
    removed: int
    kept: tuple[tuple[str, str], ...]
    dry_run: bool


class Folder:
    """A destination folder, as a context manager.

    Call `put` (or `claim`, then `write` or `link`) for every file that belongs to the export, then `finish`.
    What has not changed since an earlier run is not written again; files of an earlier run of the same
    `kind` that are not asked for any more are removed by `finish`. A file that faceindex did not
    write, or that was changed since, is never touched: it is reported in `Written.kept`. Nor is the copy
    of a photo that is nowhere else. A folder that held nothing of others gets a ``.nomedia`` file, so that
    nothing exported is ever indexed.
    A hidden folder ``.faceindex-export`` holds the record. Each file is written under another name
    and then renamed, after the record knows of it: killed at any instant, the next run carries on.

    Parameters
    ----------
    destination : path-like
        Made, with its parents, if missing. A symbolic link to a folder is followed; those inside are not.
    kind : str
        Name of the export; several kinds may share a folder.
    protected : ProtectedPaths
    dry_run : bool
        Only count: `claim` is always false, nothing is made or changed.
    single : str, optional
        Name of the one file that is exported into a folder of others, which may hold anything.

    Attributes
    ----------
    root : Path
        The folder, absolute.
    total : int or None
        How many files there are to be, for the message when the disk is full.
    originals : Originals
        The photos that copies are made of.

    Raises
    ------
    UsageError
        If the destination is a file or cannot be written, lies in the index, holds the indexed photos, or
        lies among them and holds other files than ours; if another index was exported into it, or another
        export is writing into it.
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
            raise UsageError("The name of the destination is empty.", "Name a folder.")
        self.given = given if single is None else os.path.normpath(os.path.join(given, single))  # noqa: PTH118
        self.dry_run = dry_run
        self.total: int | None = None
        self.originals = Originals()
        self._kind = kind
        self._single = single is not None
        try:
            self.root = Path(given).resolve()
            self._among = check_place(self.given, self.root, protected, single=self._single)
        except UsageError:
            raise
        except OSError as error:
            raise cannot_be_reached(self.given, error) from error
        except (ValueError, RuntimeError) as error:  # a null byte, a link to itself
            raise UsageError(f"{given!r} cannot be a folder ({error}).", "Name another one.") from error
        self._state = self.root / STATE
        self._owner = owner_of(self.root, protected.index)
        self._mark = False  # whether `.nomedia` is to be written
        self._lock: WriterLock | None = None
        self._made_root = self._made_state = False
        self._wanted: set[str] = set()  # clash keys
        self._sources: dict[str, str] = {}  # by name
        self._written = self._unchanged = self._removed = 0
        self._kept: dict[str, str] = {}

    def __enter__(self) -> Folder:
        try:
            with self._complaining():
                self._look_around()
                if not self.dry_run:
                    self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    # Files -------------------------------------------------------------------------------------

    def put(self, name: str, source: str, make: Callable[[], bytes]) -> None:
        """Have a file in the folder; `make` is called only if it has to be written.

        Parameters
        ----------
        name, source : str
            As in `claim`.
        make : callable
            Gives the content.

        Raises
        ------
        UsageError, FaceIndexError
            As `claim` and `write`.
        """
        if self.claim(name, source):
            self.write(name, make())

    def claim(self, name: str, source: str) -> bool:
        """Say that a file belongs to the export; it will not be removed by `finish`.

        Parameters
        ----------
        name : str
            Relative, with forward slashes; its parts made by `safe_name`.
        source : str
            Fingerprint of all that the content depends on. If an earlier run wrote the file from the same, it
            is not written again.

        Returns
        -------
        bool
            Whether `write` or `link` is to be called, now or later. A claim may be left at that, if
            the content cannot be had: what is there stays.

        Raises
        ------
        UsageError
            If the name leads out of the folder, or was claimed before.
        """
        key = clash_key(name)
        if not is_inside(name) or name.split("/")[0] == STATE:
            raise UsageError(f"'{name}' is no name of a file inside {self.given}.", "Use a safe name.")
        if key in self._wanted:
            raise UsageError(f"Two files are to be called '{name}'.", "Give them different names.")
        self._wanted.add(key)
        self._sources[name] = source
        state = self._look(name, source)
        if isinstance(state, str):
            self._kept[name] = state
            return False
        if state is not None and state.source == source:
            self._unchanged += 1
            return False
        if self.dry_run:
            self._written += 1
            return False
        return True

    def has(self, name: str, source: str) -> bool:
        """Whether a file made from that is there, as it was written."""
        state = self._look(name, source)
        return isinstance(state, Entry) and state.source == source

    def obstacle(self, name: str) -> str | None:
        """Why a file of that name could not be written; None if it could."""
        state = self._look(name, None)
        return state if isinstance(state, str) else None

    def write(
        self,
        name: str,
        content: bytes | Callable[[BinaryIO], None],
        *,
        mtime_ns: int | None = None,
        original: str | None = None,
    ) -> None:
        """Write a claimed file.

        Parameters
        ----------
        name : str
        content : bytes or callable
            A callable is given the open file, for what is too large to be held in memory.
        mtime_ns : int, optional
            Time of modification that the file is to have.
        original : str, optional
            Of the copy of a whole photo: its mark, as `Originals.mark`.

        Raises
        ------
        FaceIndexError
            If the disk is full or fails. What was written before is good.
        """
        with self._complaining():
            part = self._state / _PART
            with part.open("xb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
            if mtime_ns is not None:
                os.utime(part, ns=(mtime_ns, mtime_ns))
            self._place(name, part, original=original)

    def link(self, name: str, source: str | os.PathLike[str], how: Literal["hardlink", "symlink"]) -> None:
        """Make a claimed file a link to another one.

        Raises
        ------
        FaceIndexError
            If the file system has no such links, or the two are on different disks; or as `write`.
        """
        part = self._state / _PART
        with self._complaining():
            part.unlink(missing_ok=True)
            try:
                if how == "symlink":
                    part.symlink_to(source)
                    link = str(part.readlink())
                else:
                    part.hardlink_to(Path(source).resolve())
                    found = part.stat()
                    link = f"hard:{found.st_dev}:{found.st_ino}"
            except (OSError, NotImplementedError) as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
                    raise
                far = isinstance(error, OSError) and error.errno == errno.EXDEV
                why = "it is on another disk" if far else getattr(error, "strerror", None) or str(error)
                raise FaceIndexError(
                    f"No {how} to {os.fspath(source)} can be made in {self.given}: {why}.",
                    f"Use --link {'symlink or copy' if how == 'hardlink' else 'copy'}.",
                ) from error
            self._place(name, part, link)

    def finish(self) -> Written:
        """Remove what an earlier run wrote and this one did not claim, and count."""
        obsolete = [
            name
            for name, entries in self._manifest.entries.items()
            if entries[-1].kind == self._kind and name not in self._sources
        ]
        with self._complaining():
            for name in sorted(obsolete):
                state = self._look(name, None)
                if isinstance(state, Entry):
                    self._removed += 1
                    if not self.dry_run:
                        (self.root / name).unlink()
                elif isinstance(state, str):
                    self._kept[name] = state
                    if state == _LAST_COPY:  # to be removed once the photo is back
                        continue
                del self._manifest.entries[name]
            if not self.dry_run:
                self._tidy()
        return Written(
            self.given,
            self._written,
            self._unchanged,
            self._removed,
            tuple(sorted(self._kept.items())),
            self.dry_run,
        )

    # Details -----------------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Refuse a folder that belongs to others; see whether it can be kept out of the index."""
        refuse_links(self._state, self._state / _LOCK, self._state / _MANIFEST)
        self._manifest = Manifest(self._state / _MANIFEST)
        if self._single:
            return
        whose = self._manifest.index
        if whose and not set(whose) & set(self._owner) and any(map(self._is_ours, self._manifest.entries)):
            raise UsageError(
                f"{self.given} holds what was exported from another index.",
                "Name another folder, or delete that one.",
            )
        marked = os.path.lexists(self.root / NO_MEDIA)
        if marked and (whose or self._among is None):
            return
        stranger = next((name for name in visible_files(self.root) if not self._is_ours(name)), None)
        if stranger is not None and self._among is not None:
            raise UsageError(
                f"{self.given} lies among the indexed photos of {self._among} and already holds {stranger}.",
                "Name a new folder, so that nothing gets mixed up.",
            )
        self._mark = stranger is None and not marked

    def _is_ours(self, name: str) -> bool:
        return isinstance(self._find(name), Entry)

    def _open(self) -> None:
        self._made_root = not self.root.is_dir()
        self.root.mkdir(parents=True, exist_ok=True)
        self._made_state = not self._state.is_dir()
        self._state.mkdir(mode=0o700, exist_ok=True)
        try:
            self._lock = WriterLock(self._state / _LOCK)
        except IndexLocked:
            into = f"the folder of {self.given}" if self._single else self.given
            raise UsageError(
                f"Another export is writing into {into}.", "Wait until it has finished."
            ) from None
        except StoreError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise
        # A killed run may have left a link to a photo, through which nothing must be written.
        for left in (_PART, _SCRATCH):
            (self._state / left).unlink(missing_ok=True)
        self._manifest = Manifest(self._state / _MANIFEST)  # again: another export may just have ended

    def _look(self, name: str, source: str | None) -> Entry | str | None:
        """The entry of what is there; None if nothing is; why it must not be replaced by what is made
        from `source`, or removed."""
        entry = self._find(name)
        if not isinstance(entry, Entry):
            return entry
        if entry.kind != self._kind:
            return _OTHER_KIND
        if entry.original is None or entry.source == source or self.originals.there(entry.original):
            return entry
        return _LAST_COPY

    def _find(self, name: str) -> Entry | str | None:
        try:
            if not self._is_plain_way(name):
                return _IN_THE_WAY
            path = self.root / name
            found = path.lstat()
            for entry in reversed(self._manifest.entries.get(name, [])):
                if entry.describes(path, found):
                    return replace(entry, mtime_ns=found.st_mtime_ns)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error.strerror or str(error)
        return _NOT_OURS

    def _is_plain_way(self, name: str) -> bool:
        """Whether all that leads to a file are folders, and none a link out of here."""
        folder = self.root
        for part in Path(name).parts[:-1]:
            folder /= part
            if not stat.S_ISDIR(folder.lstat().st_mode):
                return False
        return True

    def _place(self, name: str, part: Path, link: str | None = None, original: str | None = None) -> None:
        """Give a complete file its name."""
        found = part.lstat()
        sha256 = "" if link is not None else sha256_of(part)
        source = self._sources[name]
        entry = Entry(name, self._kind, source, found.st_size, found.st_mtime_ns, sha256, link, original)
        state = self._look(name, source)  # again: time has passed since the claim
        if isinstance(state, str):
            self._kept[name] = state
            part.unlink()
            return
        self._make_parents(name)
        path = self.root / name
        if state is not None and (state.sha256, state.link) == (sha256, link):
            same = path.lstat()  # other ways, same content: the file stays as it is
            part.unlink()
            self._manifest.append(replace(entry, size=same.st_size, mtime_ns=same.st_mtime_ns))
            self._unchanged += 1
            return
        self._manifest.append(entry)
        part.replace(path)
        # Renaming one hard link over another of the same file does nothing (POSIX).
        part.unlink(missing_ok=True)
        self._written += 1

    def _make_parents(self, name: str) -> None:
        if not self._single and self._manifest.index != self._owner:
            self._manifest.give_to(self._owner)
        if self._mark:
            self._hide_from_index()
        parents = [parent.as_posix() for parent in reversed(Path(name).parents)][1:]
        for parent in parents:
            if not (self.root / parent).is_dir():
                self._manifest.append(parent)
                (self.root / parent).mkdir()

    def _hide_from_index(self) -> None:
        """What is exported would be taken for photos by an `index` of this folder or one above."""
        self._mark = False
        self._manifest.append(Entry(NO_MEDIA, _MARKER, "", sha256=_EMPTY_SHA256))
        with contextlib.suppress(FileExistsError):  # whatever it is: the name is enough
            # Without O_EXCL, a link would be followed to where it points.
            os.close(os.open(self.root / NO_MEDIA, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))

    def _tidy(self) -> None:
        for name in sorted(self._manifest.folders, key=len, reverse=True):
            with contextlib.suppress(OSError):  # others have put something there
                if self._is_plain_way(name):
                    (self.root / name).rmdir()
                self._manifest.folders.discard(name)
        ours = [entry for name in self._manifest.entries if isinstance(entry := self._find(name), Entry)]
        if any(entry.kind != _MARKER for entry in ours):
            if not self._single:
                self._manifest.index = self._owner
            # The journal itself is as good, if there is no room for a shorter one.
            with contextlib.suppress(OSError):
                self._manifest.rewrite(ours, self._manifest.folders, self._state / _SCRATCH)
            return
        for entry in ours:
            (self.root / entry.name).unlink()
        (self._state / _MANIFEST).unlink(missing_ok=True)

    def _close(self) -> None:
        if self._lock is not None:
            with contextlib.suppress(OSError):
                for left in (_PART, _SCRATCH):
                    (self._state / left).unlink(missing_ok=True)
                if not (self._state / _MANIFEST).exists():  # nothing of ours is here: leave no trace
                    (self._state / _LOCK).unlink()
            self._lock.release()
            self._lock = None
        elif not self._made_state:
            return
        with contextlib.suppress(OSError):
            self._state.rmdir()
            if self._made_root:
                self.root.rmdir()

    @contextlib.contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self._lock is not None:
                with contextlib.suppress(OSError):
                    (self._state / _PART).unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._disk_full() from error
            raise UsageError(
                f"{self.given} cannot be written: {error.strerror or error}.",
                "Check its permissions, or name another folder.",
            ) from error

    def _disk_full(self) -> FaceIndexError:
        if self._single:
            return FaceIndexError(
                f"The disk of {self.given} is full.", "Make room and run the same command again."
            )
        done = self._written + self._unchanged
        of = "" if self.total is None else f" of {self.total:,}"
        there = "1 file is there" if (done, of) == (1, "") else f"{done:,}{of} files are there"
        return FaceIndexError(
            f"The disk of {self.given} is full: {there}.",
            "Make room and run the same command again; it goes on from there.",
        )
