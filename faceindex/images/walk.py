"""Walk folders for files that may be photos.

Paths are plain strings here: `pathlib` has no `abspath` that keeps symbolic links, and building a
`Path` per file costs more than looking at the file. For the same reason a folder's files are listed as
columns, and become one `Candidate` each only for who wants them.
"""

# ruff: noqa: PTH100, PTH112, PTH116

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from errno import EACCES, ELOOP, ENOENT, ENOTDIR, EPERM
from hashlib import blake2b
from operator import attrgetter, itemgetter
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TypeAlias

from faceindex.errors import ImageError, Reason, UsageError

__all__ = ["Candidate", "Listing", "walk"]

# What synchronisers, network disks and operating systems leave between photos: thumbnails, trash,
# archive metadata. Compared in lower case.
_JUNK = frozenset(
    {
        "#recycle",  # Synology
        "#snapshot",
        "$recycle.bin",  # Windows
        "@eadir",  # Synology's thumbnails
        "__macosx",  # resource forks in a zip archive
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
_NO_MEDIA = ".nomedia"  # Android: no gallery shows this folder or what is below it

_REPORT_EVERY = 1000  # files

# Looking at a file by its name in an open folder spares the system the way from the root for each.
_BY_DESCRIPTOR = os.scandir in os.supports_fd and hasattr(os, "O_DIRECTORY")

# (st_dev, st_ino) of a folder: the same by whatever path and symbolic link it is reached.
_FolderId: TypeAlias = tuple[int, int]


class Candidate(NamedTuple):
    """A file that may be a photo, or something that could not be looked at.

    Attributes
    ----------
    root : Path
        Absolute: the folder that was given, or the parent folder of the file that was given.
        Symbolic links in it are kept.
    relpath : str
        Path below `root` with forward slashes; ``"."`` for a root that cannot be listed. Bytes that
        are not valid UTF-8 are kept as lone surrogates (PEP 383).
    size : int
        Bytes; 0 where `error` is set.
    mtime_ns : int
        Time of the last modification in nanoseconds since 1970; 0 where `error` is set.
    error : ImageError or None
        Why the file, or the whole folder of this path, cannot be used.
    """

    root: Path
    relpath: str
    size: int
    mtime_ns: int
    error: ImageError | None

    @property
    def path(self) -> Path:
        """Absolute path."""
        return self.root / self.relpath


def walk(
    paths: Sequence[str | PathLike[str]],
    *,
    exclude: Collection[Path] = (),
    on_files: Callable[[int], None] | None = None,
) -> Listing:
    """Find every regular file in folders, whatever its suffix, and single files.

    Left out below a folder: hidden files and folders (leading dot), folders with a ``.nomedia``
    file, thumbnails and trash of operating systems and network disks (``@eaDir``, ``Thumbs.db``,
    ``__MACOSX``, ...), and whatever is no regular file. A path in `paths` itself is honoured even if
    its name is one of these. Symbolic links are followed, and a folder is entered once by whatever
    path it is reached, so loops end and overlapping arguments yield each file once, under the first.

    Parameters
    ----------
    paths : sequence of path-like
        Folders and files. They are walked in this order.
    exclude : collection of Path
        Files and folders that are left out even if they are given, like the index directory.
    on_files : callable, optional
        Told the number of files now and then; what it raises ends the walk.

    Returns
    -------
    Listing
        Iterating gives a `Candidate` for each, within each of `paths` in code-point order of
        ``relpath``. What cannot be looked at comes with its ``error``: a broken link, a folder that
        must not be listed.

    Raises
    ------
    UsageError
        If one of `paths` does not exist; raised before anything is walked.
    """
    given = [_existing(path) for path in paths]
    are_folders = [os.path.isdir(path) for path in given]
    files = [path for path, is_folder in zip(given, are_folders, strict=True) if not is_folder]
    walker = _Walker(files, [os.path.abspath(path) for path in exclude], on_files or _no_report)
    trees = [
        walker.folder(path) if is_folder else walker.single(path)
        for path, is_folder in zip(given, are_folders, strict=True)
    ]
    return Listing(trees, None if files else _digest(trees))


class _Folder(NamedTuple):
    """The files of one folder, in code-point order of their names."""

    prefix: str  # of their relative paths; ends in a slash unless it is empty
    names: list[str]
    sizes: list[int]
    times: list[int]


class _Tree(NamedTuple):
    """What one of the given paths holds."""

    root: str
    folders: list[_Folder]
    failures: list[Candidate]


class Listing:
    """Every file that a walk found; iterating gives one `Candidate` for each, as `walk` orders them.

    Parameters
    ----------
    trees : list of _Tree
    digest : str or None

    Attributes
    ----------
    digest : str or None
        BLAKE2b of the real paths of the folders that were walked and of every file's relative path,
        size and time: the same if, and as far as a digest can tell only if, the candidates are. None
        where a single file was given, or something could not be looked at.
    """

    def __init__(self, trees: list[_Tree], digest: str | None) -> None:
        self._trees = trees
        self.digest = digest

    def __iter__(self) -> Iterator[Candidate]:
        for tree in self._trees:
            root = Path(tree.root)
            found = [
                Candidate(root, folder.prefix + name, size, mtime_ns, None)
                for folder in tree.folders
                for name, size, mtime_ns in zip(folder.names, folder.sizes, folder.times, strict=True)
            ]
            yield from sorted(found + tree.failures, key=itemgetter(1))


def _existing(path: str | PathLike[str]) -> str:
    text = os.fspath(path)
    try:
        # abspath("") is the current folder: an unset shell variable must not index that.
        if not text:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        os.lstat(text)
    except PermissionError:
        pass  # It may well exist; the walk reports it.
    except (OSError, ValueError) as error:  # ValueError: a null byte
        why = (
            "" if isinstance(error, FileNotFoundError) else f" ({getattr(error, 'strerror', None) or error})"
        )
        raise UsageError(
            f"There is no file or folder '{text}'{why}.", "Check the spelling and the current directory."
        ) from None
    return os.path.abspath(text)


def _no_report(files: int) -> None:
    """Nobody wants to know."""


class _Walker:
    """One walk: what it has come by already, and how it counts.

    Parameters
    ----------
    files : list of str
        Those that were given themselves.
    excluded : list of str
    on_files : callable
    """

    def __init__(self, files: list[str], excluded: list[str], on_files: Callable[[int], None]) -> None:
        self._on_files = on_files
        self._files = 0  # in the folders that are done with
        self._told = 0
        self._entered = {identity for path in excluded if (identity := _folder_id(path)) is not None}
        # Only files that were given themselves can come up a second time; they are known by their folder
        # and name, as inode numbers would also merge hard links, which are photos of their own.
        self._singles: dict[_FolderId | None, dict[str, bool]] = {}
        for path in excluded:
            self._was_seen(*_single_key(path))
        for path in files:
            folder, name = _single_key(path)
            self._singles.setdefault(folder, {}).setdefault(name, False)

    def single(self, path: str) -> _Tree:
        """A file that was given itself."""
        folder, name = os.path.split(path)
        tree = _Tree(folder, [], [])
        if self._was_seen(*_single_key(path)):
            return tree
        try:
            status = os.stat(path)
        except OSError as error:
            tree.failures.append(_failed(folder, name, error))
        else:
            if stat.S_ISREG(status.st_mode):
                tree.folders.append(_Folder("", [name], [status.st_size], [status.st_mtime_ns]))
        return tree

    def folder(self, top: str) -> _Tree:
        """A folder, to any depth. Loops instead of recursion: depth costs nothing and has no limit."""
        tree = _Tree(top, [], [])
        waiting = [""]  # prefixes of folders, the next one last
        while waiting:
            prefix = waiting.pop()
            try:
                inner = self._enter(os.path.join(top, prefix), prefix, tree)  # noqa: PTH118
            except OSError as error:
                tree.failures.append(_failed(top, prefix.rstrip("/") or ".", error))
            else:
                # A folder sorts as its name and a slash, which is how its content's paths begin.
                waiting += sorted((f"{prefix}{name}/" for name in inner), reverse=True)
        return tree

    def _enter(self, path: str, prefix: str, tree: _Tree) -> list[str]:
        """List a folder unless it has been; the names of the folders in it."""
        if not _BY_DESCRIPTOR:
            return self._list(path, os.stat(path), prefix, tree)
        try:
            opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            if _folder_id(path) in self._entered:
                return []  # like the index itself, it may be closed to us and is none of our business
            raise
        try:
            return self._list(opened, os.fstat(opened), prefix, tree)
        finally:
            os.close(opened)

    def _list(self, folder: str | int, status: os.stat_result, prefix: str, tree: _Tree) -> list[str]:
        identity = (status.st_dev, status.st_ino)
        if identity in self._entered:
            return []
        with os.scandir(folder) as entries:
            everything = list(entries)
        content = [entry for entry in everything if entry.name[0] != "." and entry.name.lower() not in _JUNK]
        hidden = len(content) < len(everything)
        if prefix and hidden and any(entry.name == _NO_MEDIA for entry in everything):
            return []
        self._entered.add(identity)
        if singles := self._singles.get(identity):
            content = [e for e in content if e.name not in singles or not self._was_seen(identity, e.name)]
        content.sort(key=attrgetter("name"))
        found = _Folder(prefix, [], [], [])
        tree.folders.append(found)
        inner: list[str] = []
        for start in range(0, len(content), _REPORT_EVERY):
            _look(content[start : start + _REPORT_EVERY], found, inner, tree)
            files = self._files + len(found.names)
            if files >= self._told + _REPORT_EVERY:
                self._told = files
                self._on_files(files)
        self._files += len(found.names)
        return inner

    def _was_seen(self, folder: _FolderId | None, name: str) -> bool:
        """Whether a file has been told of, or is not to be; it has from now on."""
        names = self._singles.setdefault(folder, {})
        before, names[name] = names.get(name, False), True
        return before


def _digest(trees: list[_Tree]) -> str | None:
    """As `Listing.digest`, of given folders."""
    if any(tree.failures for tree in trees):
        return None
    digest = blake2b(digest_size=20)
    try:
        for tree in trees:
            # No path holds a null byte, so that each part ends where it does.
            digest.update(os.fsencode(os.path.realpath(tree.root)) + b"\0\0")
            for prefix, names, sizes, times in tree.folders:
                if names:
                    digest.update(os.fsencode("\0".join((str(len(names)), prefix, *names))) + b"\0")
                    digest.update(array("q", sizes))
                    digest.update(array("q", times))
    except OverflowError:
        return None  # a time of more than 64 bits, which some file systems can hold
    return digest.hexdigest()


def _look(entries: list[os.DirEntry[str]], found: _Folder, inner: list[str], tree: _Tree) -> None:
    """Tell regular files from folders and the rest."""
    for entry in entries:
        try:
            status = entry.stat()
        except OSError as error:  # a link that leads nowhere, among others
            tree.failures.append(_failed(tree.root, found.prefix + entry.name, error))
            continue
        if stat.S_ISREG(status.st_mode):
            found.names.append(entry.name)
            found.sizes.append(status.st_size)
            found.times.append(status.st_mtime_ns)
        elif stat.S_ISDIR(status.st_mode):
            inner.append(entry.name)


def _folder_id(path: str) -> _FolderId | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _single_key(path: str) -> tuple[_FolderId | None, str]:
    folder, name = os.path.split(path)
    identity = _folder_id(folder)
    return (identity, name) if identity is not None else (None, path)


def _failed(top: str, relpath: str, error: OSError) -> Candidate:
    root = Path(top)
    path = root / relpath
    if error.errno in (EACCES, EPERM):
        failure = ImageError(
            path, Reason.DENIED, "permission denied.", "Give yourself permission to read it, or leave it out."
        )
    elif error.errno == ELOOP:
        failure = ImageError(
            path, Reason.MISSING, "a symbolic link that leads back to itself.", "Remove or repair the link."
        )
    elif error.errno in (ENOENT, ENOTDIR):
        failure = (
            ImageError(
                path,
                Reason.MISSING,
                "a symbolic link to a file that is not there.",
                "Remove or repair the link.",
            )
            if path.is_symlink()
            else ImageError(
                path, Reason.MISSING, "it vanished while the folder was read.", "Run the command again."
            )
        )
    else:
        failure = ImageError(
            path,
            Reason.IO_ERROR,
            f"it cannot be looked at ({error.strerror or error}).",
            "Check the disk or the network connection, and run the command again.",
        )
    return Candidate(root, relpath, 0, 0, failure)
