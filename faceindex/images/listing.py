"""The files that a walk found, in columns: a `Candidate` per file is created only by iteration."""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from faceindex.addresses import as_path, real_path
from faceindex.errors import ImageError
from faceindex.images.special_files import IN_STORE
from faceindex.images.volumes import CTIME, INODE, FileIds, Volume

if TYPE_CHECKING:
    from faceindex.images.ignoring import Rules

__all__ = ["Archives", "Candidate", "FolderFiles", "Kept", "Listing", "Tree", "digest_of", "limited_time"]

# Times in the catalog, and in a digest, have 64 bits. In nanoseconds, these end in 1677 and 2262; file
# systems go on to 2446 (ext4), 2486 (XFS) and beyond. Times outside are limited: each still equals itself.
_FIRST, _LAST = -(1 << 63), (1 << 63) - 1


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
        Size in bytes; 0 if it is unknown.
    mtime_ns : int
        Time of the last modification in nanoseconds since 1970, limited to 64 bits; 0 if it is unknown.
    error : ImageError or None
        Why the file, or the whole folder or archive at this path, cannot be read; or what of the archive
        cannot (``MEMBER_NAMES``).
    ids : FileIds or None
        None if there is an `error`, except for an archive.
    volume : Volume or None
        Where the file's folder is, or its archive; None if `ids` is.
    """

    root: Path
    relpath: str
    size: int
    mtime_ns: int
    error: ImageError | None
    ids: FileIds | None = None
    volume: Volume | None = None

    @property
    def path(self) -> Path:
        """Absolute path of the file."""
        return self.root / self.relpath


class FolderFiles(NamedTuple):
    """The files of one folder, in code-point order of their names."""

    prefix: str  # relative path of the folder, with a slash at the end unless it is empty
    volume: Volume
    names: list[str]
    sizes: array[int]
    times: array[int]
    ctimes: array[int]
    inodes: array[int]

    @classmethod
    def empty(cls, prefix: str, volume: Volume) -> FolderFiles:
        """Return a folder without files."""
        return cls(prefix, volume, [], array("q"), array("q"), array("q"), array("Q"))

    def add(self, names: list[str], found: list[os.stat_result]) -> None:
        """Add files."""
        self.names.extend(names)
        self.sizes.extend([status.st_size for status in found])
        self.times.extend(_limited([status.st_mtime_ns for status in found]))
        self.ctimes.extend(_limited([status.st_ctime_ns for status in found]))
        self.inodes.extend([status.st_ino for status in found])


def _limited(times: list[int]) -> list[int]:
    """Limit times to 64 bits."""
    if times and not _FIRST <= min(times) <= max(times) <= _LAST:
        return [min(max(time, _FIRST), _LAST) for time in times]
    return times


def limited_time(time_ns: int) -> int:
    """Limit a time of a file to 64 bits, as `walk` does."""
    return min(max(time_ns, _FIRST), _LAST)


class Archives(NamedTuple):
    """The archives of one folder, whose members are listed only if they are asked for.

    `named`: the archive was passed to `walk` itself.
    """

    files: FolderFiles
    rules: Rules | None
    all_versions: bool
    named: bool


class Kept(NamedTuple):
    """What a walk found and does not list.

    Attributes
    ----------
    unfinished : list of str
        Relative paths of files that are still being downloaded or copied.
    excluded : list of str
        Those of files and folders that patterns leave out; a folder ends with a slash.
    companions : Counter of str
        Number of files that are the second file of a shot, by kind: see `special_files.companions`.
    """

    unfinished: list[str]
    excluded: list[str]
    companions: Counter[str]


class Tree(NamedTuple):
    """The files found under one of the paths passed to `walk`."""

    root: str
    folders: list[FolderFiles]
    failures: list[Candidate]
    devices: dict[str, int]  # st_dev by prefix, of every folder that was entered
    archives: list[Archives]
    kept: Kept

    @classmethod
    def empty(cls, root: str) -> Tree:
        """Return a tree without files."""
        return cls(root, [], [], {}, [], Kept([], [], Counter()))


class Listing:
    """The files that a walk found: an iterable of `Candidate`.

    Parameters
    ----------
    trees : list of Tree
    digest : str or None

    Attributes
    ----------
    digest : str or None
        BLAKE2b of the real paths of the walked folders and of the relative path, size, time and trusted
        `FileIds` of every file. Two walks have the same digest if they found the same files, and otherwise
        different ones (up to collisions). An archive counts by its own size, time and `FileIds`, and by what
        decides which of its members are listed. None if a single file was walked, or if there was an error.
    """

    def __init__(self, trees: list[Tree], digest: str | None) -> None:
        self._trees = trees
        self._inside: dict[str, Kept] = {}
        self.digest = digest

    def __iter__(self) -> Iterator[Candidate]:
        for tree in self._trees:
            root = as_path(tree.root)
            found = [
                Candidate(root, folder.prefix + name, size, mtime_ns, None, FileIds(*ids), folder.volume)
                for folder in tree.folders
                for name, size, mtime_ns, ids in zip(
                    folder.names,
                    folder.sizes,
                    folder.times,
                    zip(folder.ctimes, array("q", folder.inodes.tobytes()), strict=True),
                    strict=True,
                )
            ]
            if tree.archives:
                found += self._members(root, tree)
            yield from sorted(found + tree.failures, key=itemgetter(1))

    def _members(self, root: Path, tree: Tree) -> list[Candidate]:
        from faceindex.images.archive_listing import list_archives

        kept = Kept([], [], Counter())
        found = [one for archives in tree.archives for one in list_archives(root, archives, kept)]
        self._inside[tree.root] = kept
        return found

    def kept_out(self) -> list[tuple[str, Kept]]:
        """Return what was found and is not listed, with the folder that was walked.

        What is in archives is included once this was iterated over.
        """
        return [
            (tree.root, kept)
            for tree in self._trees
            for kept in (tree.kept, self._inside.get(tree.root))
            if kept is not None
        ]

    def files_on(self) -> dict[Volume, int]:
        """Count the files on each volume."""
        counts: dict[Volume, int] = {}
        for tree in self._trees:
            for folder in tree.folders:
                counts[folder.volume] = counts.get(folder.volume, 0) + len(folder.names)
        return counts

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


def _device_above(folder: str) -> int | None:
    """Return the device of the folder above; None if that cannot be found."""
    try:
        return os.stat(os.path.dirname(os.path.realpath(folder))).st_dev  # noqa: PTH116, PTH120
    except OSError:
        return None


def digest_of(trees: list[Tree]) -> str | None:
    """Compute `Listing.digest` for trees of folders; None if there was an error."""
    if any(tree.failures for tree in trees):
        return None
    digest = blake2b(digest_size=20)
    for tree in trees:
        # Null bytes separate the parts, because paths cannot contain them.
        digest.update(os.fsencode(real_path(tree.root)) + b"\0\0")
        for folder in (*tree.folders, *(archives.files for archives in tree.archives)):
            names, distrusted = folder.names, folder.volume.distrusted
            if names:
                digest.update(os.fsencode("\0".join((str(len(names)), folder.prefix, *names))) + b"\0")
                digest.update(folder.sizes)
                digest.update(folder.times)
                # A byte for each, so that no folder's numbers can be taken for another's.
                digest.update(b"-" if CTIME in distrusted else b"c" + folder.ctimes.tobytes())
                digest.update(b"-" if INODE in distrusted else b"i" + folder.inodes.tobytes())
        digest.update(b"%d\0" % tree.kept.companions[IN_STORE] if tree.kept.companions[IN_STORE] else b"")
        for archives in tree.archives:  # they are not opened, so this decides which members are listed
            rules = "" if archives.rules is None else archives.rules.text()
            digest.update(f"{archives.all_versions} {rules}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
