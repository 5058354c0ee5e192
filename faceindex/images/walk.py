"""Walk folders for files that may be photos.

Paths are plain strings here: `pathlib` has no `abspath` that keeps symbolic links, and creating a `Path`
takes longer than reading the status of a file. For the same reason, the files of a folder are stored in
columns, and a `Candidate` per file is created only by iteration.
"""

# ruff: noqa: PTH100, PTH116

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Sequence
from errno import EACCES, ELOOP, ENOENT, ENOTDIR, EPERM
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex import paths as paths_of_files
from faceindex.addresses import is_address
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images.entered import EnteredFolders, FolderId, folder_id
from faceindex.images.listing import Archives, Candidate, FolderFiles, Listing, Tree, digest_of
from faceindex.images.special_files import (
    IGNORE_FILE,
    JUNK,
    NO_MEDIA,
    companions,
    has_special,
    is_archive,
    is_partial,
    without,
)
from faceindex.images.volumes import Distrust, Volumes

if TYPE_CHECKING:
    from faceindex.images.ignoring import Rules

__all__ = ["BY_DESCRIPTOR", "REPORT_EVERY", "Candidate", "Listing", "walk"]

REPORT_EVERY = 1000  # files between two reports of progress

# With an open folder, the system need not resolve the full path of every file in it.
BY_DESCRIPTOR = os.scandir in os.supports_fd and hasattr(os, "O_DIRECTORY")


def walk(
    paths: Sequence[str | PathLike[str]],
    *,
    exclude: Collection[Path] = (),
    patterns: Sequence[str] = (),
    all_versions: bool = False,
    on_files: Callable[[int], None] | None = None,
    distrust: Distrust | None = None,
) -> Listing:
    """Find all regular files in folders, with any suffix, and single files.

    Below a folder, these are skipped: hidden files and folders (leading dot), folders with a ``.nomedia``
    file, thumbnails and trash of operating systems and network disks (``@eaDir``, ``Thumbs.db``,
    ``__MACOSX``, ...), partial downloads, the second file of a shot (see `special_files`), what patterns
    leave out (see `ignoring`), and everything that is not a regular file. A path in `paths` itself is walked
    even if it has such a name. Archives are walked like folders, and listed when the result is iterated
    over. The store of an address lists it. Symbolic links are followed. A folder is entered only once, even
    if several paths lead to it, so loops end, and overlapping paths yield each file once, under the first of
    them.

    Parameters
    ----------
    paths : sequence of path-like
        Folders and files, walked in this order; and addresses, of which each photo that is named itself
        comes after all others.
    exclude : collection of Path
        Files and folders to skip even if they are in `paths`, such as the index directory.
    patterns : sequence of str
        Patterns of gitignore(5) for files and folders to skip, relative to each of `paths`.
    all_versions : bool
        List every file of a shot: the RAW file beside its JPEG, and the clip of a Live Photo.
    on_files : callable, optional
        Called with the number of files found so far, about every 1,000 files. An exception that it raises
        ends the walk.
    distrust : mapping, optional
        For volumes by path, what of `Candidate.ids` is not used for the digest.

    Returns
    -------
    Listing
        An iterable of `Candidate`, for each of `paths` in code-point order of ``relpath``. Broken links,
        and folders and archives that cannot be listed, are included, with an ``error``.

    Raises
    ------
    UsageError
        If one of `paths` does not exist, or one of `patterns` is none. Raised before any folder is walked.
    """
    addresses = [os.fspath(path) for path in paths if is_address(path)]
    given = [_existing(path) for path in paths if not is_address(path)]
    are_folders = [paths_of_files.is_folder(path) for path in given]
    files = [path for path, is_folder in zip(given, are_folders, strict=True) if not is_folder]
    excluded = [os.path.abspath(path) for path in exclude]
    rules = None
    if patterns:
        from faceindex.images.ignoring import rules_of

        rules = rules_of(patterns)
    walker = _Walker(files, excluded, rules, all_versions, on_files or _ignore, Volumes(distrust or {}))
    trees = [
        walker.walk_folder(path) if is_folder else walker.walk_file(path)
        for path, is_folder in zip(given, are_folders, strict=True)
    ]
    if addresses:
        listed, photos = _list_addresses(addresses, rules, all_versions, on_files or _ignore)
        return Listing([*trees, *listed, *photos], None if files or photos else digest_of([*trees, *listed]))
    return Listing(trees, None if files else digest_of(trees))


def _list_addresses(
    addresses: Sequence[str], rules: Rules | None, all_versions: bool, on_files: Callable[[int], None]
) -> tuple[list[Tree], list[Tree]]:
    """Return the trees of folders in stores, and those of single photos there."""
    from faceindex.images.remote import check_address, is_photo_address
    from faceindex.images.remote_listing import list_address, list_photos

    addresses = [check_address(address) for address in addresses]
    photos = [address for address in addresses if is_photo_address(address)]
    folders = [address for address in addresses if not is_photo_address(address)]
    return [list_address(one, rules, all_versions, on_files) for one in folders], list_photos(
        photos, on_files
    )


def _existing(path: str | PathLike[str]) -> str:
    text = os.fspath(path)
    try:
        # abspath("") is the current folder, which an unset shell variable must not index.
        if not text:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
        paths_of_files.stat(text, follow=False)
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
    rules : Rules or None
        Patterns of the caller.
    all_versions : bool
    on_files : callable
    volumes : Volumes
    """

    def __init__(
        self,
        files: list[str],
        excluded: list[str],
        rules: Rules | None,
        all_versions: bool,
        on_files: Callable[[int], None],
        volumes: Volumes,
    ) -> None:
        self._rules = rules
        self._all_versions = all_versions
        self._on_files = on_files
        self._volumes = volumes
        self._files = 0  # in finished folders
        self._reported = 0
        self._entered = EnteredFolders()
        for path in excluded:
            if (identity := folder_id(path)) is not None:
                self._entered.add(identity, path)
        # Only files passed to `walk` or excluded can be found a second time. They are identified by folder
        # and name: inode numbers would merge hard links, which count as separate photos.
        self._singles: dict[FolderId | None, dict[str, dict[str, bool]]] = {}  # by number, path, name
        for path in excluded:
            self._mark_seen(*_single_key(path))
        for path in files:
            identity, folder, name = _single_key(path)
            self._singles_in(identity, folder).setdefault(name, False)

    def walk_file(self, path: str) -> Tree:
        """Find a file that was passed to `walk`."""
        folder, name = os.path.split(path)
        tree = Tree.empty(folder)
        if self._mark_seen(*_single_key(path)):
            return tree
        try:
            status = paths_of_files.stat(path)
        except OSError as error:
            tree.failures.append(_failure(folder, name, error))
        else:
            if stat.S_ISREG(status.st_mode):
                found = FolderFiles.empty("", self._volumes.of_folder(folder, status.st_dev))
                found.add([name], [status])
                if is_archive(name):
                    tree.archives.append(Archives(found, self._rules, self._all_versions, named=True))
                else:
                    tree.folders.append(found)
        return tree

    def walk_folder(self, top: str) -> Tree:
        """Find the files of a folder at any depth. Iterative, so that the depth has no limit."""
        tree = Tree.empty(top)
        # Prefixes of the folders to enter, the next one last, and the patterns of the folder above.
        waiting: list[tuple[str, Rules | None]] = [("", self._rules)]
        while waiting:
            prefix, rules = waiting.pop()
            try:
                inner, rules = self._enter(os.path.join(top, prefix), prefix, rules, tree)  # noqa: PTH118
            except OSError as error:
                tree.failures.append(_failure(top, prefix.rstrip("/") or ".", error))
            else:
                # Sorted with the slash, because the paths of the files in a folder start with it.
                waiting += [(f, rules) for f in sorted((f"{prefix}{name}/" for name in inner), reverse=True)]
        return tree

    def _enter(
        self, path: str, prefix: str, rules: Rules | None, tree: Tree
    ) -> tuple[list[str], Rules | None]:
        """List a folder, unless it was entered before; return its subfolders, and the patterns for these."""
        if not BY_DESCRIPTOR:
            return self._list(path, os.stat(path), path, prefix, rules, tree)
        try:
            opened = paths_of_files.open_descriptor(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            identity = folder_id(path)
            if identity is not None and self._entered.contains(identity, path):
                return [], None  # an excluded folder, such as the index, may be unreadable
            raise
        try:
            return self._list(opened, os.fstat(opened), path, prefix, rules, tree)
        finally:
            os.close(opened)

    def _list(
        self,
        folder: str | int,
        status: os.stat_result,
        path: str,
        prefix: str,
        rules: Rules | None,
        tree: Tree,
    ) -> tuple[list[str], Rules | None]:
        identity = (status.st_dev, status.st_ino)
        if self._entered.contains(identity, path):
            return [], None
        with os.scandir(folder) as entries:
            everything = list(entries)
        content = [entry for entry in everything if entry.name[0] != "." and entry.name.lower() not in JUNK]
        hidden = len(content) < len(everything)
        if prefix and hidden and any(entry.name == NO_MEDIA for entry in everything):
            return [], None
        if hidden and any(entry.name == IGNORE_FILE for entry in everything):
            from faceindex.images.ignoring import read_rules

            file = os.path.join(path, IGNORE_FILE)  # noqa: PTH118
            rules = read_rules(file, prefix, rules, self._rules)
        self._entered.add(identity, path)
        tree.devices[prefix] = status.st_dev
        if identity in self._singles:
            singles = self._singles_in(identity, path)
            content = [
                e for e in content if e.name not in singles or not self._mark_seen(identity, path, e.name)
            ]
        if rules is not None:
            content = _taken_in(content, prefix, rules, tree)
        content.sort(key=attrgetter("name"))
        found = FolderFiles.empty(prefix, self._volumes.of_folder(path, status.st_dev))
        inner: list[str] = []
        for start in range(0, len(content), REPORT_EVERY):
            _add(content[start : start + REPORT_EVERY], found, inner, tree)
            files = self._files + len(found.names)
            if files >= self._reported + REPORT_EVERY:
                self._reported = files
                self._on_files(files)
        self._files += len(found.names)
        tree.folders.append(self._sort_out(found, rules, tree) if has_special(found.names) else found)
        return inner, rules

    def _sort_out(self, found: FolderFiles, rules: Rules | None, tree: Tree) -> FolderFiles:
        """Return the files of a folder without those that are not listed; these are noted in `tree`."""
        beside = {} if self._all_versions else companions(zip(found.names, found.sizes, strict=True))
        tree.kept.companions.update(beside.values())
        archives = [is_archive(name) for name in found.names]
        partial = [is_partial(name) for name in found.names]
        if any(archives):
            tree.archives.append(Archives(without(found, archives), rules, self._all_versions, named=False))
        tree.kept.unfinished.extend(
            [found.prefix + name for name, is_it in zip(found.names, partial, strict=True) if is_it]
        )
        return without(
            found,
            [
                not (one_archive or one_partial or name in beside)
                for name, one_archive, one_partial in zip(found.names, archives, partial, strict=True)
            ],
        )

    def _singles_in(self, identity: FolderId | None, path: str) -> dict[str, bool]:
        """Return the names of single files in a folder, and whether they were seen."""
        folders = self._singles.setdefault(identity, {})
        known = None if identity is None else self._entered.find(identity, path, folders)
        return folders.setdefault(os.path.realpath(path) if known is None else known, {})

    def _mark_seen(self, identity: FolderId | None, folder: str, name: str) -> bool:
        """Mark a file as seen; return whether it was seen before. Excluded files count as seen."""
        names = self._singles_in(identity, folder)
        before, names[name] = names.get(name, False), True
        return before


def _taken_in(
    entries: list[os.DirEntry[str]], prefix: str, rules: Rules, tree: Tree
) -> list[os.DirEntry[str]]:
    """Return the files and folders that patterns do not leave out; the others are noted in `tree`."""
    taken = []
    for entry in entries:
        try:
            relpath = prefix + entry.name + ("/" if entry.is_dir() else "")
        except OSError:  # reported when its status is read
            relpath = prefix + entry.name
        if rules.exclude(relpath):
            tree.kept.excluded.append(relpath)
        else:
            taken.append(entry)
    return taken


def _add(entries: list[os.DirEntry[str]], found: FolderFiles, inner: list[str], tree: Tree) -> None:
    """Add regular files to `found`, names of folders to `inner`, and errors to `tree`."""
    names: list[str] = []
    statuses: list[os.stat_result] = []
    for entry in entries:
        try:
            status = entry.stat()
        except OSError as error:  # for example a broken link
            tree.failures.append(_failure(tree.root, found.prefix + entry.name, error))
            continue
        if stat.S_ISREG(status.st_mode):
            names.append(entry.name)
            statuses.append(status)
        elif stat.S_ISDIR(status.st_mode):
            inner.append(entry.name)
    found.add(names, statuses)


def _single_key(path: str) -> tuple[FolderId | None, str, str]:
    """Return what identifies a file in `_Walker._singles`: its folder, by number and path, and its name."""
    folder, name = os.path.split(path)
    return folder_id(folder), folder, name


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
            if paths_of_files.is_link(path)
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
