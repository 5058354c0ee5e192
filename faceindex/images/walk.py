"""Walk folders for files that may be photos.

Paths are plain strings here: `pathlib` has no `abspath` that keeps symbolic links, and creating a `Path`
takes longer than reading the status of a file. For the same reason, the files of a folder are stored in
columns, and a `Candidate` per file is created only by iteration.
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

__all__ = ["BY_DESCRIPTOR", "REPORT_EVERY", "Candidate", "Listing", "walk"]

# Files and folders that synchronisation programs, network disks and operating systems add to photo folders:
# thumbnails, trash, archive metadata. Names are compared in lower case.
_JUNK = frozenset(
    {
        "#recycle",  # Synology
        "#snapshot",
        "$recycle.bin",  # Windows
        "@eadir",  # thumbnails of Synology
        "__macosx",  # resource forks in a zip archive
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
_NO_MEDIA = ".nomedia"  # on Android, marks a folder and its subfolders as hidden from galleries

REPORT_EVERY = 1000  # files between two reports of progress

# With an open folder, the system need not resolve the full path of every file in it.
BY_DESCRIPTOR = os.scandir in os.supports_fd and hasattr(os, "O_DIRECTORY")

# (st_dev, st_ino) of a folder: identical for all paths and symbolic links to it.
_FolderId: TypeAlias = tuple[int, int]


class Candidate(NamedTuple):
    """A file that may be a photo, or a file or folder that cannot be read.

    Attributes
    ----------
    root : Path
        Absolute path of the folder passed to `walk`, or of the parent folder of the file passed to it.
        Symbolic links are not resolved.
    relpath : str
        Path below `root` with forward slashes; ``"."`` for a root that cannot be listed. Bytes that
        are not valid UTF-8 are kept as lone surrogates (PEP 383).
    size : int
        Size in bytes; 0 if `error` is set.
    mtime_ns : int
        Time of the last modification in nanoseconds since 1970; 0 if `error` is set.
    error : ImageError or None
        Why the file, or the whole folder at this path, cannot be read.
    """

    root: Path
    relpath: str
    size: int
    mtime_ns: int
    error: ImageError | None

    @property
    def path(self) -> Path:
        """Absolute path of the file."""
        return self.root / self.relpath


def walk(
    paths: Sequence[str | PathLike[str]],
    *,
    exclude: Collection[Path] = (),
    on_files: Callable[[int], None] | None = None,
) -> Listing:
    """Find all regular files in folders, with any suffix, and single files.

    Below a folder, these are skipped: hidden files and folders (leading dot), folders with a ``.nomedia``
    file, thumbnails and trash of operating systems and network disks (``@eaDir``, ``Thumbs.db``,
    ``__MACOSX``, ...), and everything that is not a regular file. A path in `paths` itself is walked even
    if it has such a name. Symbolic links are followed. A folder is entered only once, even if several
    paths lead to it, so loops end, and overlapping paths yield each file once, under the first of them.

    Parameters
    ----------
    paths : sequence of path-like
        Folders and files, walked in this order.
    exclude : collection of Path
        Files and folders to skip even if they are in `paths`, such as the index directory.
    on_files : callable, optional
        Called with the number of files found so far, about every 1,000 files. An exception that it raises
        ends the walk.

    Returns
    -------
    Listing
        An iterable of `Candidate`, for each of `paths` in code-point order of ``relpath``. Broken links
        and folders that cannot be listed are included, with an ``error``.

    Raises
    ------
    UsageError
        If one of `paths` does not exist. Raised before any folder is walked.
    """
    given = [_existing(path) for path in paths]
    are_folders = [os.path.isdir(path) for path in given]
    files = [path for path, is_folder in zip(given, are_folders, strict=True) if not is_folder]
    walker = _Walker(files, [os.path.abspath(path) for path in exclude], on_files or _ignore)
    trees = [
        walker.walk_folder(path) if is_folder else walker.walk_file(path)
        for path, is_folder in zip(given, are_folders, strict=True)
    ]
    return Listing(trees, None if files else _digest(trees))


class _Folder(NamedTuple):
    """The files of one folder, in code-point order of their names."""

    prefix: str  # relative path of the folder, with a slash at the end unless it is empty
    names: list[str]
    sizes: list[int]
    times: list[int]


class _Tree(NamedTuple):
    """The files found under one of the paths passed to `walk`."""

    root: str
    folders: list[_Folder]
    failures: list[Candidate]
    devices: dict[str, int]  # st_dev by prefix, of every folder that was entered


class Listing:
    """The files that a walk found: an iterable of `Candidate`.

    Parameters
    ----------
    trees : list of _Tree
    digest : str or None

    Attributes
    ----------
    digest : str or None
        BLAKE2b of the real paths of the walked folders and of the relative path, size and time of every
        file. Two walks have the same digest if they found the same files, and otherwise different ones
        (up to collisions). None if a single file was walked, or if there was an error.
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

    def mounts(self) -> list[tuple[str, str]]:
        """Return the folders that are on another device than the folder above.

        A device number alone says little: many change when a disk is mounted again. That a folder differs
        from the one above at one moment means that a disk is mounted there.

        Returns
        -------
        list of (str, str)
            The absolute path that was walked, and the path below it with forward slashes; "" is the first
            itself. In code-point order.
        """
        found = []
        for tree in self._trees:
            for prefix, device in tree.devices.items():
                above = (
                    tree.devices.get(prefix[: prefix[:-1].rfind("/") + 1])
                    if prefix
                    else _device_above(tree.root)
                )
                if above is not None and device != above:
                    found.append((tree.root, prefix.rstrip("/")))
        return sorted(found)


def _existing(path: str | PathLike[str]) -> str:
    text = os.fspath(path)
    try:
        # abspath("") is the current folder, which an unset shell variable must not index.
        if not text:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        os.lstat(text)
    except PermissionError:
        pass  # it may exist; the walk reports the error
    except (OSError, ValueError) as error:  # ValueError: a null byte
        reason = (
            "" if isinstance(error, FileNotFoundError) else f" ({getattr(error, 'strerror', None) or error})"
        )
        raise UsageError(
            f"There is no file or folder '{text}'{reason}.", "Check the spelling and the current directory."
        ) from None
    return os.path.abspath(text)


def _ignore(files: int) -> None:
    """Default callback: do nothing."""


class _Walker:
    """The state of a walk: the folders and files seen so far, and their number.

    Parameters
    ----------
    files : list of str
        Paths passed to `walk` that are files.
    excluded : list of str
    on_files : callable
    """

    def __init__(self, files: list[str], excluded: list[str], on_files: Callable[[int], None]) -> None:
        self._on_files = on_files
        self._files = 0  # in finished folders
        self._reported = 0
        self._entered = {identity for path in excluded if (identity := _folder_id(path)) is not None}
        # Only files passed to `walk` or excluded can be found a second time. They are identified by folder
        # and name: inode numbers would merge hard links, which count as separate photos.
        self._singles: dict[_FolderId | None, dict[str, bool]] = {}
        for path in excluded:
            self._mark_seen(*_single_key(path))
        for path in files:
            folder, name = _single_key(path)
            self._singles.setdefault(folder, {}).setdefault(name, False)

    def walk_file(self, path: str) -> _Tree:
        """Find a file that was passed to `walk`."""
        folder, name = os.path.split(path)
        tree = _Tree(folder, [], [], {})
        if self._mark_seen(*_single_key(path)):
            return tree
        try:
            status = os.stat(path)
        except OSError as error:
            tree.failures.append(_failure(folder, name, error))
        else:
            if stat.S_ISREG(status.st_mode):
                tree.folders.append(_Folder("", [name], [status.st_size], [status.st_mtime_ns]))
        return tree

    def walk_folder(self, top: str) -> _Tree:
        """Find the files of a folder at any depth. Iterative, so that the depth has no limit."""
        tree = _Tree(top, [], [], {})
        waiting = [""]  # prefixes of the folders to enter, the next one last
        while waiting:
            prefix = waiting.pop()
            try:
                inner = self._enter(os.path.join(top, prefix), prefix, tree)  # noqa: PTH118
            except OSError as error:
                tree.failures.append(_failure(top, prefix.rstrip("/") or ".", error))
            else:
                # Sorted with the slash, because the paths of the files in a folder start with it.
                waiting += sorted((f"{prefix}{name}/" for name in inner), reverse=True)
        return tree

    def _enter(self, path: str, prefix: str, tree: _Tree) -> list[str]:
        """List a folder, unless it was entered before; return the names of its subfolders."""
        if not BY_DESCRIPTOR:
            return self._list(path, os.stat(path), prefix, tree)
        try:
            opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            if _folder_id(path) in self._entered:
                return []  # an excluded folder, such as the index, may be unreadable
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
        tree.devices[prefix] = status.st_dev
        if singles := self._singles.get(identity):
            content = [e for e in content if e.name not in singles or not self._mark_seen(identity, e.name)]
        content.sort(key=attrgetter("name"))
        found = _Folder(prefix, [], [], [])
        tree.folders.append(found)
        inner: list[str] = []
        for start in range(0, len(content), REPORT_EVERY):
            _add(content[start : start + REPORT_EVERY], found, inner, tree)
            files = self._files + len(found.names)
            if files >= self._reported + REPORT_EVERY:
                self._reported = files
                self._on_files(files)
        self._files += len(found.names)
        return inner

    def _mark_seen(self, folder: _FolderId | None, name: str) -> bool:
        """Mark a file as seen; return whether it was seen before. Excluded files count as seen."""
        names = self._singles.setdefault(folder, {})
        before, names[name] = names.get(name, False), True
        return before


def _digest(trees: list[_Tree]) -> str | None:
    """Compute `Listing.digest` for trees of folders."""
    if any(tree.failures for tree in trees):
        return None
    digest = blake2b(digest_size=20)
    try:
        for tree in trees:
            # Null bytes separate the parts, because paths cannot contain them.
            digest.update(os.fsencode(os.path.realpath(tree.root)) + b"\0\0")
            for prefix, names, sizes, times in tree.folders:
                if names:
                    digest.update(os.fsencode("\0".join((str(len(names)), prefix, *names))) + b"\0")
                    digest.update(array("q", sizes))
                    digest.update(array("q", times))
    except OverflowError:
        return None  # some file systems store times of more than 64 bits
    return digest.hexdigest()


def _add(entries: list[os.DirEntry[str]], found: _Folder, inner: list[str], tree: _Tree) -> None:
    """Add regular files to `found`, names of folders to `inner`, and errors to `tree`."""
    for entry in entries:
        try:
            status = entry.stat()
        except OSError as error:  # for example a broken link
            tree.failures.append(_failure(tree.root, found.prefix + entry.name, error))
            continue
        if stat.S_ISREG(status.st_mode):
            found.names.append(entry.name)
            found.sizes.append(status.st_size)
            found.times.append(status.st_mtime_ns)
        elif stat.S_ISDIR(status.st_mode):
            inner.append(entry.name)


def _device_above(folder: str) -> int | None:
    """Return the device of the folder above; None if that cannot be found."""
    try:
        return os.stat(os.path.dirname(os.path.realpath(folder))).st_dev  # noqa: PTH120
    except OSError:
        return None


def _folder_id(path: str) -> _FolderId | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None


def _single_key(path: str) -> tuple[_FolderId | None, str]:
    """Return what identifies a file in `_Walker._singles`: its folder and its name."""
    folder, name = os.path.split(path)
    identity = _folder_id(folder)
    return (identity, name) if identity is not None else (None, path)


def _failure(top: str, relpath: str, error: OSError) -> Candidate:
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
                "a symbolic link to a missing file.",
                "Remove or repair the link.",
            )
            if path.is_symlink()
            else ImageError(
                path, Reason.MISSING, "it was removed while the folder was read.", "Run the command again."
            )
        )
    else:
        failure = ImageError(
            path,
            Reason.IO_ERROR,
            f"it cannot be read ({error.strerror or error}).",
            "Check the disk or the network connection, and run the command again.",
        )
    return Candidate(root, relpath, 0, 0, failure)
