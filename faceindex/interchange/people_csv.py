"""A table of names: which person is on which photo, and where.

======================================= ==================================================================
column                                  content
======================================= ==================================================================
photo, image_path, path or file         path of the photo; required
name or person                          required; rows with an empty one are skipped
x1, y1, x2, y2                          the face, in pixels of the upright photo at full size
x_min, y_min, x_max, y_max              the same
left, top, right, bottom                the face, in fractions (0 to 1) of the sides of the upright photo
======================================= ==================================================================

Other columns are ignored. Without columns of a box, and in rows in which all four are empty, the name is of
the whole photo. The tables of ``faceindex faces`` and ``faceindex export boxes`` are such files.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from faceindex.errors import UsageError
from faceindex.interchange.regions import Box, Frame, Region, SourceAlbum, SourcePhoto
from faceindex.interchange.sources import path_text, read_source
from faceindex.tables import restored

__all__ = ["read_csv"]

_PHOTO = ("photo", "image_path", "path", "file")
_NAME = ("name", "person")
_BOXES: tuple[tuple[tuple[str, str, str, str], Frame], ...] = (
    (("x1", "y1", "x2", "y2"), "pixels"),
    (("x_min", "y_min", "x_max", "y_max"), "pixels"),
    (("left", "top", "right", "bottom"), "upright"),
)
_DELIMITERS = ",;\t"
_MOST_BYTES = 1 << 30
_SEPARATOR = re.compile(r"\s*\"?sep=([,;\t])\"?[ \t]*(?:\r\n?|\n)", re.IGNORECASE)
"""The first line with which Excel states the separator."""

_MOST_PROBLEMS = 1000
_WIDE = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def read_csv(path: str | os.PathLike[str]) -> SourceAlbum:
    """Read a table of names.

    Parameters
    ----------
    path : path-like
        CSV in UTF-8, or UTF-16 with a byte order mark; separated by commas, semicolons or tabs. The first
        line names the columns, see `faceindex.interchange.people_csv`.

    Returns
    -------
    SourceAlbum

    Raises
    ------
    UsageError
        If the file cannot be read, or lacks the required columns.
    """
    shown = os.fspath(path)
    text = _text(path)
    whole = text
    if stated := _SEPARATOR.match(text):
        text = text[stated.end() :]
    text = text.lstrip("\r\n")
    skipped = len(whole[: len(whole) - len(text)].splitlines())
    head = text.partition("\n")[0]
    delimiter = stated[1] if stated else max(_DELIMITERS, key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    problems: list[str] = []
    found: dict[str, tuple[list[Region], list[str]]] = {}
    frame: Frame = "upright"
    try:
        header = [cell.strip().lower() for cell in next(rows, [])]
        photo, name = (next((each for each in names if each in header), None) for names in (_PHOTO, _NAME))
        if photo is None or name is None:
            columns = ", ".join(header)[:80] or "nothing"
            raise UsageError(
                f"{shown} needs the columns photo and name, but its first line has: {columns}.",
                "Name the columns in the first line.",
            )
        sides: tuple[str, ...] = ()
        for columns_of_box, unit in _BOXES:
            if set(columns_of_box) <= set(header):
                sides, frame = columns_of_box, unit
                break
        places = [header.index(each) for each in (photo, name, *sides)]
        for line, cells in _rows(rows, places):
            problem = _add(found, cells)
            if problem is not None and len(problems) < _MOST_PROBLEMS:
                problems.append(f"{shown}, line {skipped + line}: {problem}")
    except csv.Error as error:
        raise UsageError(
            f"{shown} is not CSV: line {skipped + rows.line_num}: {error}.",
            "Save it as comma-separated values.",
        ) from None
    return SourceAlbum("CSV", _photos(found, frame, shown), {}, problems)


def _text(path: str | os.PathLike[str]) -> str:
    try:
        data = read_source(path, _MOST_BYTES)
    except FileNotFoundError:
        raise UsageError(f"There is no file {os.fspath(path)}.", "Check the name of the CSV file.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{os.fspath(path)} cannot be read: {reason}.", "Check the path and its permissions."
        ) from error
    for mark, encoding in _WIDE:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return data.decode("utf-8-sig", "surrogateescape")


def _rows(rows: Iterator[list[str]], places: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of the wanted columns of each row that is not empty."""
    for row in rows:
        if any(cell.strip() for cell in row):
            cells = [restored(cell.strip()) for cell in row] + [""] * (max(places) + 1 - len(row))
            yield rows.line_num, [cells[place] for place in places]  # type: ignore[attr-defined]


def _add(found: dict[str, tuple[list[Region], list[str]]], cells: Sequence[str]) -> str | None:
    """Add a row; returns what is wrong with one that cannot be used."""
    photo, name, *sides = cells
    if not name:
        return None
    if not photo or "\0" in photo:
        return "It has no photo."
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        return "The name is not text in UTF-8."
    box = _box(sides) if any(sides) else None
    if box is None and any(sides):
        return f"{', '.join(sides)[:60]} is not a box."
    regions, people = found.setdefault(photo, ([], []))
    if box is not None:
        regions.append(Region(box, name))
    elif name not in people:
        people.append(name)
    return None


def _box(sides: Sequence[str]) -> Box | None:
    try:
        x1, y1, x2, y2 = (float(side.replace(",", ".")) for side in sides)
    except ValueError:
        return None
    usable = all(map(math.isfinite, (x1, y1, x2, y2))) and x1 < x2 and y1 < y2
    return (x1, y1, x2, y2) if usable else None


def _photos(
    found: dict[str, tuple[list[Region], list[str]]], frame: Frame, source: str
) -> Iterator[SourcePhoto]:
    for photo, (regions, people) in found.items():
        named = {region.name for region in regions}
        rest = tuple(name for name in people if name not in named)
        yield SourcePhoto(_path(photo), tuple(regions), rest, frame=frame, source=source)


def _path(written: str) -> str:
    """Return a path with ``/`` between folders; backslashes separate where the path is one of Windows.

    A path that is written as a ``file:`` URL is decoded.
    """
    if written.lower().startswith("file://"):
        written = "/" + unquote(written[7:]).partition("/")[2]
        if re.match(r"/[A-Za-z]:/", written):
            written = written[1:]
    written = path_text(written) or written
    return written.replace("\\", "/") if "\\" in written and "/" not in written else written
