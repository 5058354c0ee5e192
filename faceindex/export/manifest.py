"""The manifest of a destination: a record of every exported file."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from faceindex.errors import FaceIndexError
from faceindex.files import sha256_of, write_durably
from faceindex.safe_open import open_own

__all__ = ["Entry", "Manifest", "is_inside"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """The record of an exported file.

    Attributes
    ----------
    name : str
        Relative to the destination, with forward slashes.
    kind : str
        Name of the export that the file belongs to.
    source : str
        Fingerprint of everything that the content depends on.
    size : int
        Bytes.
    mtime_ns : int
    sha256 : str
        Hexadecimal; empty for links.
    link : str or None
        Target of a symbolic link, or device and inode of a hard link (``"hard:1:2"``).
    original : str or None
        For a copy of a whole photo: `faceindex.export.originals.Originals.key` of the photo.
    """

    name: str
    kind: str
    source: str
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    link: str | None = None
    original: str | None = None

    def describes(self, path: Path, found: os.stat_result) -> bool:
        """Return whether the file at `path` is the recorded one, unchanged; `found` is its ``lstat``."""
        if stat.S_ISLNK(found.st_mode):
            return self.link is not None and str(path.readlink()) == self.link
        if not stat.S_ISREG(found.st_mode):
            return False
        if self.link is not None:
            # The last link to a photo is not ours to remove: it cannot be made again.
            return self.link == f"hard:{found.st_dev}:{found.st_ino}" and found.st_nlink > 1
        if found.st_size != self.size:
            return False
        # Copying the folder, or another file system, may have changed only the time.
        return found.st_mtime_ns == self.mtime_ns or sha256_of(path) == self.sha256


class Manifest:
    """The manifest file, a journal: each line is appended *before* its file gets its final name.

    The next run therefore recognises every file, even if the run was killed. A name may have several
    entries until `rewrite`; the file matches one of them.

    Parameters
    ----------
    path : Path
        Need not exist.

    Attributes
    ----------
    entries : dict of str to list of Entry
        By name, newest last.
    folders : set of str
        Folders that exports created, relative to the destination.
    index : tuple of str
        `faceindex.export.destination.index_ids` of the exporting index; empty if unknown.

    Raises
    ------
    FaceIndexError
        If the file cannot be read, is not a regular file, or was written by a newer faceindex.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, list[Entry]] = {}
        self.folders: set[str] = set()
        self.index: tuple[str, ...] = ()
        try:
            if not stat.S_ISREG(path.lstat().st_mode):  # reading a pipe would block
                raise FaceIndexError(f"{path} is not a regular file.", "Delete it, or choose another folder.")
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise FaceIndexError(
                f"{path} cannot be read: {error.strerror}.",
                "Check its permissions, or choose another folder.",
            ) from error
        for line in lines:
            self._read(line)

    def append(self, item: Entry | str) -> None:
        """Write an entry, or the name of a new folder, to the file at once."""
        self._append(_line(item))
        self._add(item)

    def set_index(self, ids: tuple[str, ...]) -> None:
        """Write the ids of the exporting index to the file at once."""
        self._append(_index_line(ids))
        self.index = ids

    def rewrite(self, entries: Iterable[Entry], folders: Iterable[str], temporary: Path) -> None:
        """Replace the file, by way of the file `temporary` beside it."""
        index = [_index_line(self.index)] if self.index else []
        lines = [_header(), *index, *map(_line, sorted(folders)), *map(_line, entries)]
        write_durably(self.path, "".join(lines).encode(), temporary=temporary)

    def _append(self, line: str) -> None:
        new = not self.path.exists()
        opened = open_own(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with open(opened, "a", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            # A killed run may have left an incomplete line.
            file.write((_header() if new else "\n") + line)

    def _read(self, line: str) -> None:
        try:
            record = json.loads(line)
            if "faceindex-export" in record:
                version = record["faceindex-export"]
                if version > _FORMAT:
                    raise FaceIndexError(
                        f"A newer faceindex exported into {self.path.parent.parent}.",
                        "Update faceindex, or choose another folder.",
                    )
            elif "index" in record:
                self.index = tuple(map(str, record["index"]))
            elif "folder" in record:
                self._add(str(record["folder"]))
            else:
                entry = Entry(**record)
                if all(isinstance(getattr(entry, field.name), _TYPES[field.type]) for field in fields(Entry)):
                    self._add(entry)
        except (ValueError, TypeError, RecursionError):
            return  # an unreadable line records nothing, so its file counts as foreign

    def _add(self, item: Entry | str) -> None:
        # Somebody else may have made the folder: a name must not lead out of it.
        if not is_inside(item if isinstance(item, str) else item.name):
            return
        if isinstance(item, str):
            self.folders.add(item)
        else:
            self.entries.setdefault(item.name, []).append(item)


_TYPES: dict[object, tuple[type, ...]] = {"str": (str,), "int": (int,), "str | None": (str, type(None))}


def is_inside(name: str) -> bool:
    """Return whether a relative name with forward slashes leads to a file below its base folder."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # lone surrogates that do not encode a byte
        return False
    parts = name.split("/")
    return all(
        part not in ("", ".", "..") and "\0" not in part and not (os.name == "nt" and set(part) & set("\\:"))
        for part in parts
    )


def _header() -> str:
    return json.dumps({"faceindex-export": _FORMAT}) + "\n"


def _index_line(ids: tuple[str, ...]) -> str:
    return json.dumps({"index": ids}) + "\n"


def _line(item: Entry | str) -> str:
    return json.dumps({"folder": item} if isinstance(item, str) else asdict(item)) + "\n"
