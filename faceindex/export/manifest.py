"""The record that a destination folder holds of the files that were exported into it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from faceindex.errors import FaceIndexError

__all__ = ["Entry", "Manifest", "is_inside", "sha256_of"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that was written.

    Attributes
    ----------
    name : str
        Relative to the destination, with forward slashes.
    kind : str
        The export that it belongs to.
    source : str
        Fingerprint of what it was made from.
    size : int
        Bytes.
    mtime_ns : int
    sha256 : str
        Hexadecimal; empty for links.
    link : str or None
        Target of a symbolic link, or device and inode of a hard link (``"hard:1:2"``).
    original : str or None
        Of the copy of a whole photo: which one, as `faceindex.export.originals.Originals.mark`.
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
        """Whether the file at `path`, with that ``lstat``, is the one that was written, unchanged."""
        if stat.S_ISLNK(found.st_mode):
            return self.link is not None and str(path.readlink()) == self.link
        if not stat.S_ISREG(found.st_mode):
            return False
        if self.link is not None:
            # The last link is all that there is of the photo: nothing that could be made again.
            return self.link == f"hard:{found.st_dev}:{found.st_ino}" and found.st_nlink > 1
        if found.st_size != self.size:
            return False
        # A copy or another file system may have changed the time alone.
        return found.st_mtime_ns == self.mtime_ns or sha256_of(path) == self.sha256


class Manifest:
    """A journal: each line is appended *before* its file gets its name.

    So whatever instant a run is killed at, every file that it wrote is known as ours at the next one.
    A name may have several entries until `rewrite` keeps the last one: the file is one of them.

    Parameters
    ----------
    path : Path
        Need not exist.

    Attributes
    ----------
    entries : dict of str to list of Entry
        By name, newest last.
    folders : set of str
        Folders that were made, relative to the destination.
    index : tuple of str
        Which index was exported into the folder, as `faceindex.export.destination.owner_of`; empty if unknown.

    Raises
    ------
    FaceIndexError
        If it cannot be read, is no regular file, or a newer faceindex wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, list[Entry]] = {}
        self.folders: set[str] = set()
        self.index: tuple[str, ...] = ()
        try:
            if not stat.S_ISREG(path.lstat().st_mode):  # a pipe would have no end
                raise FaceIndexError(f"{path} is no regular file.", "Delete it, or name another folder.")
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise FaceIndexError(
                f"{path} cannot be read: {error.strerror}.", "Check its permissions, or name another folder."
            ) from error
        for line in lines:
            self._read(line)

    def append(self, item: Entry | str) -> None:
        """Add an entry, or a folder that is made, at once."""
        self._append(_line(item))
        self._add(item)

    def give_to(self, index: tuple[str, ...]) -> None:
        """Say which index the folder belongs to, at once."""
        self._append(_owner(index))
        self.index = index

    def rewrite(self, entries: Iterable[Entry], folders: Iterable[str], scratch: Path) -> None:
        """Replace everything, by way of the new file `scratch`."""
        with scratch.open("x", encoding="utf-8") as file:
            file.write(_header())
            if self.index:
                file.write(_owner(self.index))
            file.writelines(map(_line, sorted(folders)))
            file.writelines(map(_line, entries))
        scratch.replace(self.path)

    def _append(self, line: str) -> None:
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            # A killed run may have left half a line.
            file.write((_header() if new else "\n") + line)

    def _read(self, line: str) -> None:
        try:
            fields_of = json.loads(line)
            if "faceindex-export" in fields_of:
                version = fields_of["faceindex-export"]
                if version > _FORMAT:
                    raise FaceIndexError(
                        f"A newer faceindex exported into {self.path.parent.parent}.",
                        "Update faceindex, or name another folder.",
                    )
            elif "index" in fields_of:
                self.index = tuple(map(str, fields_of["index"]))
            elif "folder" in fields_of:
                self._add(str(fields_of["folder"]))
            else:
                entry = Entry(**fields_of)
                if all(isinstance(getattr(entry, field.name), _TYPES[field.type]) for field in fields(Entry)):
                    self._add(entry)
        except (ValueError, TypeError, RecursionError):
            return  # what is not known is not ours, and will not be touched

    def _add(self, item: Entry | str) -> None:
        # The folder may come from anybody: no name may lead out of it.
        if not is_inside(item if isinstance(item, str) else item.name):
            return
        if isinstance(item, str):
            self.folders.add(item)
        else:
            self.entries.setdefault(item.name, []).append(item)


_TYPES: dict[object, tuple[type, ...]] = {"str": (str,), "int": (int,), "str | None": (str, type(None))}


def is_inside(name: str) -> bool:
    """Whether a relative name with forward slashes is one of a file below what it is relative to."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # lone surrogates that stand for no byte
        return False
    parts = name.split("/")
    return all(
        part not in ("", ".", "..") and "\0" not in part and not (os.name == "nt" and set(part) & set("\\:"))
        for part in parts
    )


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _header() -> str:
    return json.dumps({"faceindex-export": _FORMAT}) + "\n"


def _owner(index: tuple[str, ...]) -> str:
    return json.dumps({"index": index}) + "\n"


def _line(item: Entry | str) -> str:
    return json.dumps({"folder": item} if isinstance(item, str) else asdict(item)) + "\n"
