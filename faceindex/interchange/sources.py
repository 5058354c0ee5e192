"""What the readers of other programs share: files that may be anything, and values that may have any type."""

from __future__ import annotations

import codecs
import math
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date
from io import BufferedReader, FileIO
from pathlib import Path

from faceindex.errors import UsageError
from faceindex.interchange.regions import Box

__all__ = [
    "MOST_PROBLEMS",
    "absolute",
    "box_of",
    "clean",
    "clean_day",
    "decode",
    "encoding_of",
    "file_size",
    "files_below",
    "is_file",
    "is_rooted",
    "note",
    "number",
    "open_source",
    "path_text",
    "read_source",
    "size_of",
    "unreadable",
]

MOST_PROBLEMS = 1000
"""Problems that a reader lists. A damaged file of millions of records would give as many."""

_LONGEST_PROBLEM = 500  # characters
_LONGEST_NAME = 1000  # characters; the index takes fewer, and names the ones that it does not take
_LONGEST_PATH = 32_768  # characters; Windows permits 32,767, and no system more
_FURTHEST = 2.0  # how far a box may leave the picture, in its sides; a face's box leaves it by half a face
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: they begin alike
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?!\d)", re.ASCII)


def note(problems: list[str], problem: str) -> None:
    """Add a sentence to the problems of an album, unless it has `MOST_PROBLEMS` already."""
    if len(problems) < MOST_PROBLEMS:
        problems.append(problem if len(problem) <= _LONGEST_PROBLEM else f"{problem[:_LONGEST_PROBLEM]}...")
    elif len(problems) == MOST_PROBLEMS:
        problems.append("There are further problems, which are not listed.")


def unreadable(path: str | os.PathLike[str], error: OSError | ValueError) -> UsageError:
    """Return the error for a file or folder that cannot be opened."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return UsageError(f"{os.fspath(path)} cannot be read: {reason}.", "Check its name and its permissions.")


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path; links in it are kept, for photos are indexed by the path that a user names."""
    try:
        return Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow links
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def is_file(path: Path) -> bool:
    """Return whether a path is a file, False for a folder.

    Raises
    ------
    UsageError
        If there is nothing, or neither a file nor a folder.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a pipe or a device.", "Name a file or a folder.")
    return stat.S_ISREG(mode)


def open_source(path: str | os.PathLike[str]) -> BufferedReader:
    """Open a regular file for reading; a pipe never blocks.

    Raises
    ------
    OSError, ValueError
        As of `open`; also for what is not a regular file.
    """
    descriptor = os.open(path, _FLAGS | _AT_ONCE)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is not a regular file")
        return BufferedReader(FileIO(descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def file_size(path: str | os.PathLike[str]) -> int | None:
    """Return the bytes of a file; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - faster
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def read_source(path: str | os.PathLike[str], most: int) -> bytes:
    """Read a file of at most `most` bytes.

    Raises
    ------
    OSError, ValueError
        As `open_source`; a ``ValueError`` if it is longer.
    """
    with open_source(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return data


def encoding_of(head: bytes) -> str | None:
    """Return the encoding that the byte order mark at the start of a file names; None if it has none."""
    return next((encoding for mark, encoding in _BOMS if head.startswith(mark)), None)


def decode(data: bytes) -> str:
    """Decode text: by its byte order mark, else as UTF-8, else as Windows-1252. Never fails."""
    if encoding := encoding_of(data):
        return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def files_below(
    root: Path, wanted: Callable[[str], bool], problems: list[str]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk over a tree in the order of names, without following links to folders.

    Yields
    ------
    folder : str
        Absolute, if `root` is.
    names : list of str
        Of all files in the folder.
    matching : list of str
        Those names for which `wanted` is true, sorted; at least one.
    """

    def failed(error: OSError) -> None:
        note(problems, f"{error.filename}: {error.strerror or error}.")

    for folder, folders, names in os.walk(root, onerror=failed):
        folders.sort()
        if matching := sorted(filter(wanted, names)):
            yield folder, names, matching


def number(value: object) -> float | None:
    """Return a finite number, also one that is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and len(value) > 40:
        return None
    try:
        converted = float(value)
    except (ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) else None


def size_of(width: object, height: object) -> tuple[int, int] | None:
    """Return width and height in pixels; None if either is missing or cannot be that of a picture."""
    sides = number(width), number(height)
    if any(side is None or not 1 <= side <= 1 << 24 for side in sides):
        return None
    return tuple(int(side) for side in sides if side is not None)  # type: ignore[return-value]


def box_of(x1: object, y1: object, x2: object, y2: object) -> Box | None:
    """Return a box from its corners in fractions of the picture's sides.

    None unless it has an area, a part of it is on the picture, and it does not leave the picture by far.
    """
    corners = [number(value) for value in (x1, y1, x2, y2)]
    if any(corner is None or not -_FURTHEST <= corner <= 1 + _FURTHEST for corner in corners):
        return None
    left, top, right, bottom = (corner for corner in corners if corner is not None)
    if not (left < right and top < bottom and left < 1 and top < 1 and right > 0 and bottom > 0):
        return None
    return left, top, right, bottom


def clean(value: object) -> str | None:
    """Return a name with single spaces and without control characters; None if nothing remains."""
    if not isinstance(value, str):
        return None
    shown = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in value[:_LONGEST_NAME])
    return " ".join(unicodedata.normalize("NFC", shown).split()) or None


def path_text(value: object) -> str | None:
    """Return a path of a record with ``/`` between folders; None if it cannot be a path.

    A backslash counts as a separator in a path of Windows: one with a drive or of a network share.
    """
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_PATH or "\0" in value:
        return None
    try:
        value.encode("utf-8", "surrogateescape")  # as the names of files
    except UnicodeEncodeError:
        return None
    if re.match(r"[A-Za-z]:[\\/]|\\\\", value):
        value = value.replace("\\", "/")
    return value if value.strip("/") else None


def is_rooted(path: str) -> bool:
    """Whether a path with ``/`` between folders is absolute, be it one of Windows with its drive."""
    return path.startswith("/") or re.match(r"[A-Za-z]:/", path) is not None


def clean_day(value: object) -> str | None:
    """Return the day of a date or time in ISO 8601, such as ``1950-03-14``; None for anything else."""
    if not isinstance(value, str) or (match := _DAY.match(value)) is None:
        return None
    try:
        return date(*map(int, match.groups())).isoformat()
    except ValueError:
        return None
