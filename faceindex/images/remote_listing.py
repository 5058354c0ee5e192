"""The objects of a store as files of a walk.

Pages of a list come one after the other, and of each object only its name, size, time and mark are kept, in
the columns of `FolderFiles`: a million objects take about 120 MB, as a million files do.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from faceindex.addresses import as_path, secret_in, split_address
from faceindex.errors import FaceIndexError, ImageError, Reason, UsageError
from faceindex.images.ignoring import Rules, rules_from
from faceindex.images.listing import Candidate, FolderFiles, Tree
from faceindex.images.members import safe_name
from faceindex.images.remote import (
    CONNECTIONS,
    check_address,
    connect,
    failure_of,
    is_not_read,
)
from faceindex.images.remote_details import Details, details_of
from faceindex.images.remote_pages import is_junk, pages
from faceindex.images.special_files import (
    IGNORE_FILE,
    IN_STORE,
    NO_MEDIA,
    companions,
    has_special,
    is_partial,
    without,
)
from faceindex.images.volumes import INODE, FileIds, Volume

__all__ = ["has_objects", "list_address", "list_photos", "read_list"]

_REPORT_EVERY = 1000  # as of `faceindex.images.walk`
_MOST_NAMED = 3  # names in a problem


def list_address(
    address: str, rules: Rules | None, all_versions: bool, on_files: Callable[[int], None]
) -> Tree:
    """List the objects below an address.

    Parameters
    ----------
    address : str
    rules : Rules or None
        Patterns of the caller.
    all_versions : bool
    on_files : callable
        As in `faceindex.images.walk`.

    Returns
    -------
    Tree
        Without files if there are none below the address. A folder that cannot be listed is a failure of this
        folder, and a store that cannot be reached is one of ``"."``: nothing is known of the objects there.

    Raises
    ------
    UsageError
        If the address cannot be used, or a package is missing.
    """
    address = check_address(address)
    tree = Tree.empty(address)
    volume = _volume_of(address)
    folders: dict[str, FolderFiles] = {}
    marked: set[str] = set()  # folders with .nomedia
    ignoring: set[str] = set()  # folders with .faceindexignore
    unlisted: dict[str, ImageError] = {}
    unusable: list[str] = []
    number = count = 0
    try:
        system = connect(address)
        for page in pages(system, address, unlisted):
            for found in page:
                prefix, _, name = found.name.rpartition("/")
                prefix += "/" if prefix else ""
                if name == NO_MEDIA and prefix:
                    marked.add(prefix)
                elif name == IGNORE_FILE:
                    ignoring.add(prefix)
                elif is_junk(found.name):
                    continue
                elif safe_name(found.name) != found.name or secret_in(f"{address}/{found.name}"):
                    number += 1
                    if len(unusable) < _MOST_NAMED:
                        unusable.append(ascii(found.name[:100])[1:-1])
                else:
                    folder = folders.get(prefix)
                    if folder is None:
                        folder = folders[prefix] = FolderFiles.empty(prefix, volume)
                    _append(folder, name, found.details)
                    count += 1
                    if count % _REPORT_EVERY == 0:
                        on_files(count)
        patterns = _Patterns(system, address, ignoring, rules)
        for prefix in sorted(folders):
            if not _is_below(prefix, marked):
                _sort_out(_in_order(folders.pop(prefix)), patterns, all_versions, tree)
        for prefix, error in unlisted.items():
            if patterns.of(prefix)[1]:
                tree.kept.excluded.append(prefix)
            elif not _is_below(prefix, marked):
                tree.failures.append(Candidate(as_path(address), prefix.rstrip("/"), 0, 0, error))
    except ImageError as error:
        tree.folders.clear()  # a part of a list would make the rest look deleted
        tree.failures[:] = [_failure(address, error)]
        return tree
    except FileNotFoundError:
        return tree
    if number:
        names = ", ".join(unusable) + (", ..." if number > len(unusable) else "")
        problem = ImageError(
            address,
            Reason.MEMBER_NAMES,
            f"{number:,} of its objects have unusable names ({names}).",
            "Copy them to other names if you need them; all other objects are read.",
        )
        tree.failures.append(_failure(address, problem)._replace(ids=FileIds(0, 0), volume=volume))
    return tree


def list_photos(addresses: Sequence[str], on_files: Callable[[int], None]) -> list[Tree]:
    """Ask the stores about single photos, `CONNECTIONS` at a time.

    Returns
    -------
    list of Tree
        One for each bucket or host. A photo that is not there is among its failures.

    Raises
    ------
    UsageError
        As `list_address`.
    """
    trees: dict[str, Tree] = {}
    folders: dict[str, FolderFiles] = {}
    unique = list(dict.fromkeys(map(check_address, addresses)))
    for top in dict.fromkeys(split_address(address)[0] for address in unique):
        trees[top] = Tree.empty(top)
        folders[top] = FolderFiles.empty("", _volume_of(top))
        trees[top].folders.append(folders[top])
    for one in {top: address for address in unique for top in [split_address(address)[0]]}.values():
        _connect_or_fail(one)

    def ask(address: str) -> Details | ImageError:
        try:
            system = connect(address)
            return details_of(system.info(system._strip_protocol(address)))
        except (MemoryError, UsageError):
            raise
        except ImageError as error:
            return error
        except Exception as error:
            return failure_of(error, address)

    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="faceindex-list") as pool:
        for start in range(0, len(unique), _REPORT_EVERY):
            part = unique[start : start + _REPORT_EVERY]
            for address, found in zip(part, pool.map(ask, part), strict=True):
                top, key = split_address(address)
                if is_not_read(address) and not isinstance(found, ImageError):
                    trees[top].kept.companions[IN_STORE] += 1
                elif isinstance(found, ImageError):
                    trees[top].failures.append(Candidate(as_path(top), key, 0, 0, found))
                else:
                    _append(folders[top], key, found)
            on_files(start + len(part))
    return list(trees.values())


def _connect_or_fail(address: str) -> None:
    """Raise `UsageError` if a package is missing; other failures are those of each photo."""
    with suppress(ImageError):
        connect(address)


def has_objects(address: str) -> bool:
    """Return whether there is an object below an address, or at it.

    Raises
    ------
    ImageError
        If the store cannot be reached, or the folders that it has cannot be listed.
    UsageError
        As `list_address`.
    """
    system = connect(address)
    unlisted: dict[str, ImageError] = {}
    try:
        found = any(page for page in pages(system, address, unlisted, most=1))
    except FileNotFoundError:
        return False
    if unlisted and not found:
        raise next(iter(unlisted.values()))
    return found


def read_list(source: str | os.PathLike[str]) -> list[str]:
    """Return the addresses in a list, one a line. Empty lines and those that begin with ``#`` are left out.

    Parameters
    ----------
    source : path-like
        A file, or the address of one. A file may also name files of this machine.

    Raises
    ------
    UsageError
        If it cannot be read, names no photo, or has a line that cannot be used; the message has its number.
    """
    from faceindex.addresses import is_address
    from faceindex.images.formats import read_limited
    from faceindex.images.opening import open_photo

    shown, is_remote = os.fspath(source), is_address(source)
    if is_remote:
        shown = check_address(source)
        connect(shown)
    try:
        with open_photo(shown, streams=True) as file:
            data = read_limited(file, shown)
        lines = data.decode("utf-8-sig").splitlines()
    except (ImageError, OSError, ValueError) as error:
        reason = (
            error.detail if isinstance(error, ImageError) else f"{getattr(error, 'strerror', '') or error}."
        )
        raise UsageError(f"The list {shown} cannot be read: {reason}", "Pass a text file in UTF-8.") from None
    found = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if not is_address(line):
            if is_remote:  # what is on a server must not choose files of this machine
                raise UsageError(f"Line {number} of {shown} is no address.", "Write https://HOST/PHOTO.jpg.")
            found.append(line)
            continue
        try:
            found.append(check_address(line))
        except UsageError as error:
            raise UsageError(f"Line {number} of {shown}: {error.problem}", error.remedy) from None
    if not found:
        raise UsageError(f"The list {shown} names no photo.", "Write one address a line.")
    return found


def _volume_of(address: str) -> Volume:
    # As with an archive, one change of a store is no sign of a disk; the marks are in place of the ctimes.
    return Volume(address, True, frozenset({INODE}), is_archive=True)


def _failure(address: str, error: ImageError) -> Candidate:
    named = ImageError(address, error.reason, error.detail, error.remedy)
    return Candidate(as_path(address), ".", 0, 0, named)


def _append(folder: FolderFiles, name: str, details: Details) -> None:
    folder.names.append(name)
    folder.sizes.append(details.size)
    folder.times.append(details.mtime_ns)
    folder.ctimes.append(details.mark)
    folder.inodes.append(0)


def _in_order(folder: FolderFiles) -> FolderFiles:
    """Return the files in code-point order of their names; stores list in the order of bytes, or in none."""
    names = folder.names
    if all(names[i - 1] <= names[i] for i in range(1, len(names))):
        return folder
    order = sorted(range(len(names)), key=names.__getitem__)
    columns = (folder.sizes, folder.times, folder.ctimes, folder.inodes)
    return FolderFiles(
        folder.prefix,
        folder.volume,
        [names[i] for i in order],
        *(array(column.typecode, [column[i] for i in order]) for column in columns),
    )


def _sort_out(found: FolderFiles, patterns: _Patterns, all_versions: bool, tree: Tree) -> None:
    """Add the files of a folder to a tree, without those that are not listed, which are noted there."""
    rules, is_out = patterns.of(found.prefix)
    if is_out:
        tree.kept.excluded.extend(found.prefix + name for name in found.names)
        return
    if rules is not None:
        out = [rules.exclude(found.prefix + name) for name in found.names]
        tree.kept.excluded.extend(
            found.prefix + name for name, is_it in zip(found.names, out, strict=True) if is_it
        )
        found = without(found, [not is_it for is_it in out])
    unread = [is_not_read(name) for name in found.names]
    if any(unread) or has_special(found.names):
        beside = {} if all_versions else companions(zip(found.names, found.sizes, strict=True))
        tree.kept.companions.update(beside.values())
        keep = []
        for name, is_unread in zip(found.names, unread, strict=True):
            if is_partial(name):
                tree.kept.unfinished.append(found.prefix + name)
            elif is_unread and name not in beside:
                tree.kept.companions[IN_STORE] += 1
            keep.append(not (is_partial(name) or is_unread or name in beside))
        found = without(found, keep)
    tree.folders.append(found)


class _Patterns:
    """The patterns that hold in each folder: those of the caller, and of ``.faceindexignore`` objects."""

    def __init__(self, system: Any, address: str, ignoring: set[str], given: Rules | None) -> None:
        self._system = system
        self._address = address
        self._ignoring = ignoring
        self._given = given
        self._found: dict[str, tuple[Rules | None, bool]] = {}

    def of(self, prefix: str) -> tuple[Rules | None, bool]:
        """Return the patterns in a folder, and whether the folder itself is left out."""
        if not self._ignoring and self._given is None:
            return None, False
        waiting = []
        while prefix not in self._found:
            waiting.append(prefix)
            if not prefix:
                break
            prefix = _above(prefix)
        for one in reversed(waiting):
            rules, is_out = self._found[_above(one)] if one else (self._given, False)
            is_out = is_out or (bool(one) and rules is not None and rules.exclude(one))
            if one in self._ignoring and not is_out:
                rules = rules_from(self._read(one), one, rules, self._given)
            self._found[one] = rules, is_out
            prefix = one
        return self._found[prefix]

    def _read(self, prefix: str) -> bytes:
        address = f"{self._address}/{prefix}{IGNORE_FILE}"
        try:
            data: bytes = self._system.cat_file(self._system._strip_protocol(address))
        except FaceIndexError:
            raise
        except Exception as error:  # what it leaves out must not be taken in then
            raise failure_of(error, address) from error
        return data


def _above(prefix: str) -> str:
    return prefix[: prefix[:-1].rfind("/") + 1]


def _is_below(prefix: str, folders: set[str]) -> bool:
    """Return whether a folder is one of some folders, or below one."""
    while folders and prefix:
        if prefix in folders:
            return True
        prefix = _above(prefix)
    return False
