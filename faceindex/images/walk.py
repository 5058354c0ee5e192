"""Walk folders for files that may be photos.

Paths are plain strings here: `pathlib` has no `abspath` that keeps symbolic links, and building a
`Path` per file costs more than looking at the file.
"""

# ruff: noqa: PTH100, PTH112, PTH116

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from errno import EACCES, ELOOP, ENOENT, ENOTDIR, EPERM
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TypeAlias

from faceindex.errors import ImageError, Reason, UsageError

__all__ = ["Candidate", "walk"]

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


def walk(paths: Sequence[str | PathLike[str]], *, exclude: Collection[Path] = ()) -> Iterator[Candidate]:
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

    Returns
    -------
    iterator of Candidate
        Within each of `paths` in code-point order of ``relpath``. What cannot be looked at
        is yielded with its ``error``: a broken link, a folder that must not be listed.

    Raises
    ------
    UsageError
        If one of `paths` does not exist; raised before anything is yielded.
    """
    given = [_existing(path) for path in paths]
    return _walk_all(given, [os.path.abspath(path) for path in exclude])


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


def _walk_all(given: list[str], excluded: list[str]) -> Iterator[Candidate]:
    entered = {identity for path in excluded if (identity := _folder_id(path)) is not None}
    # Only files that were given themselves can come up a second time; they are known by their folder
    # and name, as inode numbers would also merge hard links, which are photos of their own.
    singles: dict[tuple[_FolderId | None, str], bool] = {}
    for path in excluded:
        singles[_single_key(path)] = True
    for path in given:
        if not os.path.isdir(path):
            singles.setdefault(_single_key(path), False)

    for path in given:
        if os.path.isdir(path):
            yield from _walk_folder(path, entered, singles)
        elif not singles[_single_key(path)]:
            singles[_single_key(path)] = True
            folder, name = os.path.split(path)
            try:
                status = os.stat(path)
            except OSError as error:
                yield _failed(Path(folder), name, error)
            else:
                if stat.S_ISREG(status.st_mode):
                    yield Candidate(Path(folder), name, status.st_size, status.st_mtime_ns, None)


def _walk_folder(
    top: str, entered: set[_FolderId], singles: dict[tuple[_FolderId | None, str], bool]
) -> Iterator[Candidate]:
    root = Path(top)
    # Folders still to be finished, innermost last: what is left of each, and its relative path.
    # A stack instead of recursion: depth costs nothing and has no limit.
    open_folders: list[tuple[Iterator[tuple[str, os.DirEntry[str], bool]], str, _FolderId]] = []

    def enter(path: str, prefix: str) -> Candidate | None:
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in entered:
                return None
            with os.scandir(path) as entries:
                content = _sorted(entries, honour_no_media=bool(prefix))
        except OSError as error:
            return _failed(root, prefix.rstrip("/") or ".", error)
        if content is not None:
            entered.add(identity)
            open_folders.append((iter(content), prefix, identity))
        return None

    if (failure := enter(top, "")) is not None:
        yield failure
    while open_folders:
        rest, prefix, identity = open_folders[-1]
        following = next(rest, None)
        if following is None:
            open_folders.pop()
            continue
        _, entry, is_folder = following
        relpath = prefix + entry.name
        if is_folder:
            if (failure := enter(entry.path, relpath + "/")) is not None:
                yield failure
            continue
        if singles:
            key = (identity, entry.name)
            if singles.get(key, False):
                continue
            if key in singles:
                singles[key] = True
        try:
            status = entry.stat()
        except OSError as error:
            yield _failed(root, relpath, error)
        else:
            if stat.S_ISREG(status.st_mode):
                yield Candidate(root, relpath, status.st_size, status.st_mtime_ns, None)


def _sorted(
    entries: Iterator[os.DirEntry[str]], *, honour_no_media: bool
) -> list[tuple[str, os.DirEntry[str], bool]] | None:
    """What is to be visited of one folder: sort key, entry, whether a folder. None if it is no media.

    A folder sorts as its name and a slash, which is how its content's relative paths begin.
    """
    content = []
    for entry in entries:
        name = entry.name
        if name.startswith("."):
            if name == _NO_MEDIA and honour_no_media:
                return None
            continue
        if name.lower() in _JUNK:
            continue
        try:
            is_folder = entry.is_dir()
        except OSError:
            is_folder = False  # A link that cannot be followed; reported when its turn comes.
        content.append((f"{name}/" if is_folder else name, entry, is_folder))
    content.sort(key=itemgetter(0))
    return content


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


def _failed(root: Path, relpath: str, error: OSError) -> Candidate:
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
