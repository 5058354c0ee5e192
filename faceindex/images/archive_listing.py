"""The members of an archive as files of a walk."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable
from errno import EACCES, EPERM
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import ImageError, Reason
from faceindex.images.archives import contents_of
from faceindex.images.containers import COMPRESSED_TARS
from faceindex.images.listing import Candidate, limited_time
from faceindex.images.special_files import JUNK, NO_MEDIA, companions, has_special, is_partial
from faceindex.images.volumes import CTIME, FileIds, Volume

if TYPE_CHECKING:
    from faceindex.images.listing import Archives, Kept
    from faceindex.images.members import Contents

__all__ = ["list_archives"]


def list_archives(root: Path, archives: Archives, kept: Kept) -> list[Candidate]:
    """List the members of the archives of a folder, and what is wrong with these.

    Parameters
    ----------
    root : Path
        The walked folder.
    archives : Archives
    kept : Kept
        Counts the members that are not listed.
    """
    files, found = archives.files, []
    for name, size, mtime_ns, ctime_ns, inode in zip(
        files.names, files.sizes, files.times, files.ctimes, array("q", files.inodes.tobytes()), strict=True
    ):
        relpath = files.prefix + name
        ids = FileIds(ctime_ns, inode)
        one = Candidate(root, relpath, size, mtime_ns, None, ids, files.volume)
        try:
            if name.lower().endswith(COMPRESSED_TARS):
                raise _compressed(one.path)
            contents = contents_of(os.fspath(one.path))
        except ImageError as error:
            found.append(one._replace(error=error))
            continue
        except OSError as error:
            found.append(Candidate(root, relpath, 0, 0, _unreachable(one.path, error)))
            continue
        problem = contents.problem(os.fspath(one.path))
        if problem is not None:
            found.append(one._replace(error=problem))
        found += _members(one, contents, archives, kept)
    return found


def _members(archive: Candidate, contents: Contents, found_in: Archives, kept: Kept) -> list[Candidate]:
    if contents.is_export and not found_in.named:
        return []  # copies, as in an exported folder, which has a .nomedia file
    names: list[str] = []
    folders = {name.rpartition("/")[0] for name in contents.members if name.rpartition("/")[2] == NO_MEDIA}
    if found_in.named:
        folders.discard("")
    excluded: dict[str, bool] = {}
    for name in contents.members:
        if _is_junk(name) or (folders and _is_below(name, folders)):
            continue
        relpath = f"{archive.relpath}/{name}"
        if is_partial(name):
            kept.unfinished.append(relpath)
        elif found_in.rules is not None and found_in.rules.exclude_member(archive.relpath, name, excluded):
            kept.excluded.append(relpath)
        else:
            names.append(name)
    if not found_in.all_versions and has_special(names):
        beside = _companions(names, contents)
        kept.companions.update(beside.values())
        names = [name for name in names if name not in beside]
    assert archive.volume is not None
    # The members of a zip have checksums, which show every change of content: no other sign is needed. Those
    # of a tar have none, and share the signs of their archive.
    trusted = archive.volume.distrusted
    summed = any(entry.check is not None for entry in contents.members.values())
    volume = Volume(
        os.fspath(archive.path), False, frozenset({CTIME}) if summed else trusted, is_archive=True
    )
    found = []
    for name in names:
        entry = contents.members[name]
        ids = archive.ids if entry.check is None else FileIds(0, entry.check)
        found.append(
            Candidate(
                archive.root,
                f"{archive.relpath}/{name}",
                entry.size,
                limited_time(entry.mtime_ns),
                None,
                ids,
                volume,
            )
        )
    return found


def _is_junk(name: str) -> bool:
    """Return whether a walk skips a member for its name, or for that of a folder above it in the archive."""
    return any(part.startswith(".") or part.lower() in JUNK for part in name.split("/"))


def _is_below(name: str, folders: set[str]) -> bool:
    """Return whether a member is in one of some folders, at any depth; "" is the archive itself."""
    while name:
        name = name.rpartition("/")[0]
        if name in folders:
            return True
    return False


def _companions(names: Iterable[str], contents: Contents) -> dict[str, str]:
    folders: dict[str, list[tuple[str, int]]] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        folders.setdefault(folder, []).append((last, contents.members[name].size))
    return {
        f"{folder}/{last}" if folder else last: kind
        for folder, files in folders.items()
        for last, kind in companions(files).items()
    }


def _compressed(path: Path) -> ImageError:
    return ImageError(
        path,
        Reason.ARCHIVE,
        "it is a compressed tar, which can only be read from its beginning.",
        "Unpack it, or uncompress it to a .tar.",
    )


def _unreachable(path: Path, error: OSError) -> ImageError:
    if error.errno in (EACCES, EPERM):
        return ImageError(
            path, Reason.DENIED, "permission denied.", "Give yourself permission to read it, or leave it out."
        )
    return ImageError(
        path,
        Reason.IO_ERROR,
        f"it cannot be read ({error.strerror or error}).",
        "Check the disk or the network connection, and run the command again.",
    )
