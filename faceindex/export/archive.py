"""A ``.zip`` file as the destination of an export (APPNOTE.TXT 6.3.10 of PKWARE)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, BinaryIO, Literal, NamedTuple, TypeVar, cast

from faceindex.errors import UsageError
from faceindex.export.access import Access
from faceindex.export.destination import ProtectedPaths, index_ids
from faceindex.export.folder import Folder, Written
from faceindex.export.manifest import is_inside
from faceindex.export.names import clash_key
from faceindex.export.originals import Originals
from faceindex.export.single_file import check_single_file
from faceindex.export.target import Target
from faceindex.files import sync_directory, sync_file

__all__ = ["Archive", "export_archive"]

_T = TypeVar("_T")

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time of a member
_LAST_YEAR = 2107
_FORMAT = 1
_KEY = "faceindex-export"
_UNIX, _REGULAR = 3, 0o100000  # a system whose file mode is in the upper half of the attributes
_HEADER = struct.Struct("<HH")  # of an extra field: its id and the length of what follows
_RECORD_ID = 0x4946  # "FI": an extra field of our own; a comment would be shown by `unzip -l`
_TIMESTAMP_ID, _TIMESTAMP = 0x5455, struct.Struct("<HHBl")
_BLOCK = 1 << 20
_LAST_COPY = "it is a copy of a photo whose original is missing"


class _Member(NamedTuple):
    """A file of an earlier run. An extra field of the member records `source` and `original`."""

    info: zipfile.ZipInfo
    source: str
    original: str | None


class Archive:
    """Writes the files of an export into a new zip file; a `faceindex.export.target.Target`.

    Files are stored uncompressed, since photos are compressed already, in the order in which they are
    written. One file is in memory at a time. The same export gives the same bytes.

    Members that cannot be made now (because their photo cannot be read), and the last copies of photos, are
    taken over from the earlier archive. So replacing it loses none of them.

    Parameters
    ----------
    given : str
        The name of the archive, for messages.
    file : binary file or None
        The new archive, seekable; None only counts.
    kind : str
        Name of the export.
    index : tuple of str
        `faceindex.export.destination.index_ids` of the exporting index.
    earlier : Path or None
        The archive that an earlier run wrote.
    mode : int
        Permissions of its files once they are unpacked.

    Raises
    ------
    UsageError
        If the earlier archive is damaged, or contains another export, one from another index, or foreign
        files.
    """

    def __init__(
        self,
        given: str,
        file: BinaryIO | None,
        kind: str,
        index: tuple[str, ...],
        earlier: Path | None,
        *,
        mode: int = 0o600,
    ) -> None:
        self.total: int | None = None
        self.originals = Originals()
        self._given = given
        self._attributes = (_REGULAR | mode) << 16
        self._new: zipfile.ZipFile | None = None
        self._earlier = None if earlier is None else _open(given, earlier)
        self._old = {} if self._earlier is None else _members(given, self._earlier, kind, index)
        self._included: dict[str, str] = {}  # sources by name
        self._keys: set[str] = set()  # clash keys of the included names
        self._crcs: dict[str, tuple[int, int]] = {}  # size and CRC-32 of the written files
        if file is not None:
            self._new = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
            self._new.comment = json.dumps({_KEY: _FORMAT, "kind": kind, "index": index}).encode()

    def include(self, name: str, source: str) -> bool:
        """Include a file in the export; False only counts."""
        key = clash_key(name)
        if not is_inside(name):
            raise UsageError(f"'{name}' is not the name of a file inside {self._given}.", "Use a safe name.")
        if key in self._keys:
            raise UsageError(f"Two files have the name '{name}'.", "Give them different names.")
        self._keys.add(key)
        self._included[name] = source
        return self._new is not None

    def write(
        self,
        name: str,
        content: bytes | Callable[[BinaryIO], None],
        *,
        mtime_ns: int | None = None,
        original: str | None = None,
    ) -> None:
        """Write an included file."""
        info = _new_member(name, mtime_ns)
        if isinstance(content, bytes):
            info.file_size = len(content)
        with self._open_member(info, self._included[name], original) as member:
            if isinstance(content, bytes):
                member.write(content)
            else:
                content(cast(BinaryIO, member))
        self._crcs[name] = info.file_size, info.CRC

    def write_link(
        self, name: str, target: str | os.PathLike[str], how: Literal["hardlink", "symlink"]
    ) -> None:
        """Refuse: an archive has no links.

        Raises
        ------
        UsageError
        """
        raise UsageError(
            f"{self._given} cannot contain a {how} to {os.fspath(target)}.",
            "Pass `link='copy'`, or choose a folder.",
        )

    def finish(self) -> Written:
        """Take over members of the earlier archive, end the new one, and return the counts.

        Returns
        -------
        Written
            `written` and `unchanged` compare the members with those of the earlier archive.
        """
        made = list(self._included if self._new is None else self._crcs)
        unchanged = sum(map(self._is_unchanged, made))
        removed, kept = 0, []
        for name, member in sorted(self._old.items()):
            if name in self._included:
                if name not in self._crcs:  # its photo cannot be read
                    self._take_over(member)
            elif clash_key(name) not in self._keys and self._is_last_copy(member):
                self._take_over(member)
                kept.append((name, _LAST_COPY))
            else:
                removed += 1
        if self._new is not None:
            self._new.close()
        return Written(
            self._given, len(made) - unchanged, unchanged, removed, tuple(kept), dry_run=self._new is None
        )

    def close(self) -> None:
        """Close both archives. If `finish` was not called, the new one is incomplete."""
        for archive in (self._earlier, self._new):
            if archive is not None:
                with contextlib.suppress(OSError, ValueError):
                    archive.close()

    def _is_unchanged(self, name: str) -> bool:
        if name not in self._old:
            return False
        old = self._old[name]
        if self._new is None:
            return old.source == self._included[name]
        return (old.info.file_size, old.info.CRC) == self._crcs[name]

    def _is_last_copy(self, member: _Member) -> bool:
        return member.original is not None and not self.originals.exists(member.original)

    def _take_over(self, member: _Member) -> None:
        if self._new is None or self._earlier is None:
            return
        info = zipfile.ZipInfo(member.info.filename, member.info.date_time)
        info.extra = _field(member.info.extra, _TIMESTAMP_ID) or b""
        info.file_size = member.info.file_size
        with (
            self._earlier.open(member.info) as old,
            self._open_member(info, member.source, member.original) as new,
        ):
            shutil.copyfileobj(old, new, _BLOCK)

    def _open_member(self, info: zipfile.ZipInfo, source: str, original: str | None) -> IO[bytes]:
        if self._new is None:
            raise ValueError("an archive that only counts has no members")
        info.create_system, info.external_attr = _UNIX, self._attributes
        record = json.dumps({"source": source, "original": original}).encode()
        info.extra += _HEADER.pack(_RECORD_ID, len(record)) + record
        # Without its size, a member may need a 64-bit header.
        return self._new.open(info, "w", force_zip64=not info.file_size)


def export_archive(
    destination: str | os.PathLike[str],
    kind: str,
    protected: ProtectedPaths,
    run: Callable[[Target], _T],
    *,
    dry_run: bool = False,
) -> _T:
    """Write an export into a zip file: all of it, or nothing if it fails or is interrupted.

    The archive is written to a temporary file, synced and renamed. The manifest in its folder records it,
    as for other single files, so that a foreign or changed file is never replaced.

    Parameters
    ----------
    destination : path-like
        A file in an existing folder.
    kind : str
        Name of the export.
    protected : ProtectedPaths
    run : callable
        Writes the files of the export to a target, calls its `finish`, and returns the result.
    dry_run : bool
        Only count.

    Returns
    -------
    As `run`

    Raises
    ------
    UsageError
        If the folder does not exist or cannot be written, if the file exists and is not an archive that an
        earlier run of the same export wrote from this index, or if it was changed since.
    FaceIndexError
        If the disk is full.
    """
    given = os.fspath(destination)
    parent, name = check_single_file(given)
    results: list[_T] = []
    with Folder(parent, f"archive of {kind} {name}", protected, dry_run=dry_run, single=name) as folder:
        if (reason := folder.conflict(name)) is not None:
            raise _left_alone(given, reason)
        earlier = folder.root / name
        ids = index_ids(protected.index, folder.root)
        mode = Access.of(public=protected.public).file

        def fill(file: BinaryIO | None) -> None:
            archive = Archive(given, file, kind, ids, earlier if earlier.exists() else None, mode=mode)
            try:
                results.append(run(archive))
            except zipfile.BadZipFile as error:
                raise _damaged(given) from error
            finally:
                archive.close()
            if file is not None:
                file.flush()
                sync_file(file.fileno())

        if dry_run:
            fill(None)
        elif folder.include(name, os.urandom(8).hex()):  # what it is made from is known only afterwards
            folder.write(name, fill)
            sync_directory(folder.root)
        for _, reason in folder.finish().kept if not dry_run else ():
            raise _left_alone(given, reason)
    return results[0]


def _left_alone(given: str, reason: str) -> UsageError:
    return UsageError(f"{given} is left as it is: {reason}.", "Choose another file, or delete that one.")


def _damaged(given: str) -> UsageError:
    return UsageError(f"{given} is damaged.", "Choose another file, or delete that one.")


def _members(given: str, archive: zipfile.ZipFile, kind: str, index: tuple[str, ...]) -> dict[str, _Member]:
    """Read the members of an archive of an earlier run, by name."""
    try:
        about = json.loads(archive.comment)
        newer, found, ids = about[_KEY] > _FORMAT, about["kind"], set(about["index"])
        records = [(info, json.loads(_record(info))) for info in archive.infolist()]
        members = {
            info.filename: _Member(info, str(record["source"]), record["original"])
            for info, record in records
        }
    except (ValueError, KeyError, TypeError):
        raise _left_alone(given, "it is not an archive that faceindex exported") from None
    if newer or found != kind:
        raise _left_alone(given, "a newer faceindex wrote it" if newer else f"it is an export of {found}")
    if not ids & set(index):
        raise _left_alone(given, "it is an export from another index")
    return members


def _record(info: zipfile.ZipInfo) -> bytes:
    """Return the record of a member that `Archive` wrote, as JSON; empty for a foreign member."""
    return (_field(info.extra, _RECORD_ID) or b"")[_HEADER.size :]


def _open(given: str, path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise _damaged(given) from error


def _new_member(name: str, mtime_ns: int | None) -> zipfile.ZipInfo:
    """Make a member with a time of modification: in whole seconds of UTC, and in MS-DOS form."""
    if mtime_ns is None:
        return zipfile.ZipInfo(name, _EPOCH)
    seconds = mtime_ns // 10**9
    try:
        time = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OSError, OverflowError):
        return zipfile.ZipInfo(name, _EPOCH)
    info = zipfile.ZipInfo(name, time.timetuple()[:6] if _EPOCH[0] <= time.year <= _LAST_YEAR else _EPOCH)
    if -(1 << 31) <= seconds < 1 << 31:
        # Info-ZIP's extended timestamp, which has no time zone (extrafld.txt of Info-ZIP).
        info.extra = _TIMESTAMP.pack(_TIMESTAMP_ID, 5, 1, seconds)
    return info


def _field(extra: bytes, wanted: int) -> bytes | None:
    """Return an extra field of a member, with its header; None if it has none."""
    while len(extra) >= _HEADER.size:
        field, length = _HEADER.unpack_from(extra)
        if field == wanted:
            return extra[: _HEADER.size + length]
        extra = extra[_HEADER.size + length :]
    return None
