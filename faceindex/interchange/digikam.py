"""digiKam: its database ``digikam4.db``, an SQLite file.

Facts from digiKam's source, versions 6 to 8 (``core/libs/database``):

- ``ImageTagProperties`` has a row for each face (``coredbconstants.cpp``, ``facetagsiface.cpp``). Its
  property is ``tagRegion`` for a name that the user has confirmed, ``autodetectedFace`` for a face without a
  name or with one that digiKam suggests, and ``ignoredFace`` for one that the user ignores. ``faceToTrain``
  and ``autodetectedPerson`` repeat others.
- Its value is ``<rect x="2108" y="1164" width="883" height="1058"/>``, in pixels of the **upright** picture
  (``ItemScanner::commitFaces`` turns the regions of a file by its orientation; ``tagregion.cpp``). In
  the newest versions, ``,`` and the ids of tags that the user has rejected for this face follow, with ``;``
  between them.
- ``ImageInformation`` has width and height of the picture as it is **stored**, and its EXIF orientation. Some
  RAW and HEIC files are turned before digiKam sees their size; then the boxes only fit as it is.
- A tag is a person if it has the property ``person`` in ``TagProperties``. ``unknownPerson``,
  ``unconfirmedPerson`` and ``ignoredPerson`` mark the tags of faces without a name.
- ``Images.status`` is 1 (visible), 2 (hidden: an older version of an edited photo), 3 (trashed)
  or 4 (obsolete).
- A folder is ``AlbumRoots.specificPath`` on the volume of ``AlbumRoots.identifier``, then
  ``Albums.relativePath``.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from faceindex.errors import UsageError
from faceindex.interchange.databases import Connection, opened, rows
from faceindex.interchange.regions import Box, Region, SourceAlbum, SourcePerson, SourcePhoto
from faceindex.interchange.sources import absolute, box_of, clean, is_file, note, path_text, size_of

__all__ = ["read_digikam"]

_DATABASE = "digikam4.db"
_TABLES = {
    "AlbumRoots": ("id", "identifier", "specificPath"),
    "Albums": ("id", "albumRoot", "relativePath"),
    "Images": ("id", "album", "name", "status", "fileSize"),
    "ImageInformation": ("imageid", "orientation", "width", "height"),
    "Tags": ("id", "pid", "name"),
    "TagProperties": ("tagid", "property", "value"),
    "ImageTags": ("imageid", "tagid"),
    "ImageTagProperties": ("imageid", "tagid", "property", "value"),
}
_PROPERTIES = ("tagRegion", "autodetectedFace", "ignoredFace")
_SPECIAL = ("unknownPerson", "unconfirmedPerson", "ignoredPerson")
_RECT = re.compile(r"\s*<rect\s([^<>]{1,400})>")
_SIDE = re.compile(r'\b(x|y|width|height)\s*=\s*"\s*([-+.\d]{1,12})\s*"')
_REJECTED = re.compile(r">\s*,\s*(\d{1,10}(?:\s*;\s*\d{1,10})*)\s*\Z")
_LONGEST = 10_000  # characters of a value
_MOST_FACES = 10_000  # of one photo
_SWAPPED = {5, 6, 7, 8}
"""EXIF orientations that turn a picture by a quarter."""

_PEOPLE = "SELECT tagid FROM TagProperties WHERE property = 'person'"
# The rows of one photo follow each other. Both queries walk along an index of digiKam's.
_PHOTO = "i.id, a.albumRoot, a.relativePath, i.name, i.fileSize, f.orientation, f.width, f.height"
_JOINS = (
    "JOIN Images i ON i.id = p.imageid AND typeof(i.id) = 'integer' AND i.status IN (1, 2) "
    "JOIN Albums a ON a.id = i.album "
    "LEFT JOIN ImageInformation f ON f.imageid = i.id"
)
_FACES = (
    f"SELECT {_PHOTO}, p.tagid, p.property, p.value FROM ImageTagProperties p {_JOINS} "
    f"WHERE p.property IN {_PROPERTIES!r} ORDER BY i.id"
)
_NAMES = (
    f"SELECT {_PHOTO}, p.tagid, NULL, NULL FROM ImageTags p {_JOINS} "
    f"WHERE p.tagid IN ({_PEOPLE}) ORDER BY i.id"
)


def read_digikam(path: str | os.PathLike[str]) -> SourceAlbum:
    """Read the people and faces of a digiKam database.

    The database is only read; digiKam may be open. The photos come one by one from the open file. Databases
    in MySQL or MariaDB are not read: migrate them to SQLite in digiKam, or write the metadata to the files.

    Parameters
    ----------
    path : path-like
        ``digikam4.db``, or the folder with it.

    Returns
    -------
    SourceAlbum
        Its photos have paths below the mount point of their volume if digiKam stores it, otherwise relative
        to the volume. A name that digiKam suggests is not ``confirmed``.

    Raises
    ------
    UsageError
        If it cannot be read, or is not a database of digiKam. If it turns out to be damaged while the photos
        are read, that is a problem of the album, and the photos end.
    """
    database = absolute(path)
    if not is_file(database):
        database = database / _DATABASE
        if not is_file(database):
            raise UsageError(f"{database} is a folder.", f"Name the file {_DATABASE} of digiKam.")
    problems: list[str] = []
    with opened(database, "digiKam", _TABLES) as connection:
        tags = _Tags(connection)
    return SourceAlbum(
        program="digiKam",
        photos=_photos(database, tags, problems),
        people={
            str(tag): SourcePerson(str(tag), name)
            for tag, name in tags.names.items()
            if tag in tags.people and tag not in tags.special
        },
        problems=problems,
    )


class _Tags:
    """The tags that are people.

    Attributes
    ----------
    names : dict of int to str
        Of all people, and of all tags that have a region. A tag has the name that digiKam shows, which may
        have changed since ``person`` was stored.
    people : set of int
    special : dict of int to set of str
        ``unknownPerson`` and the like by tag.
    """

    def __init__(self, connection: Connection) -> None:
        self.people: set[int] = set()
        self.special: dict[int, set[str]] = {}
        full: dict[int, str] = {}
        for tag, kind, value in rows(
            connection,
            f"SELECT tagid, property, value FROM TagProperties WHERE property IN {('person', *_SPECIAL)!r}",
        ):
            if not isinstance(tag, int):
                continue
            if kind in _SPECIAL:
                self.special.setdefault(tag, set()).add(kind)
            else:
                self.people.add(tag)
                if name := clean(value):
                    full[tag] = name
        self.names: dict[int, str] = {}
        for tag, name in rows(
            connection,
            f"SELECT id, name FROM Tags WHERE id IN ({_PEOPLE}) "
            "OR id IN (SELECT tagid FROM ImageTagProperties WHERE property = 'tagRegion')",
        ):
            if isinstance(tag, int) and (shown := clean(name) or full.get(tag)):
                self.names[tag] = shown

    def name(self, tag: object) -> str | None:
        """Return the name of the person that a tag stands for."""
        return None if tag in self.special or not isinstance(tag, int) else self.names.get(tag)


def _photos(database: Path, tags: _Tags, problems: list[str]) -> Iterator[SourcePhoto]:
    without_size = 0
    try:
        with opened(database, "digiKam", _TABLES) as connection:
            roots = {
                root: _mount(identifier, folder)
                for root, identifier, folder in rows(
                    connection, "SELECT id, identifier, specificPath FROM AlbumRoots"
                )
            }
            merged = heapq.merge(rows(connection, _FACES), rows(connection, _NAMES), key=lambda row: row[0])
            for image, found in groupby(merged, key=lambda row: row[0]):
                records = list(islice(found, 2 * _MOST_FACES))
                source = f"{database}: image {image}"
                photo = _photo(records, roots, tags, source, problems)
                if photo is not None and photo.dimensions is None and records[0][9] is not None:
                    without_size += 1
                if photo is not None and (photo.regions or photo.people):
                    yield photo
    except UsageError as error:
        note(problems, f"{error.problem} The photos after it are left out.")
    if without_size:
        note(
            problems,
            f"{database}: {without_size:,} photos have no size; their names count without places. "
            "'Item > Reread Metadata' of digiKam stores it.",
        )


def _photo(
    records: list[tuple[Any, ...]],
    roots: dict[object, str],
    tags: _Tags,
    source: str,
    problems: list[str],
) -> SourcePhoto | None:
    """Return the photo of its rows; None if its path is damaged."""
    _, root, folder, name, size, orientation, width, height = records[0][:8]
    path = None
    if isinstance(name, str) and isinstance(folder, str):
        path = path_text("/".join(part for part in (roots.get(root, ""), folder.strip("/"), name) if part))
    if path is None:
        note(problems, f"{source}: Its path is damaged.")
        return None
    faces = [record[8:] for record in records if record[9] is not None][:_MOST_FACES]
    rectangles = [_rectangle(value) for _, _, value in faces]
    dimensions = _upright(width, height, orientation, rectangles)
    regions: list[Region] = []
    if dimensions is not None:
        for face, rectangle in zip(faces, rectangles, strict=True):
            regions += _regions(face, rectangle, dimensions, tags, source, problems)
    placed = {region.name for region in regions if not region.rejected}
    people = dict.fromkeys(
        known
        for record in records
        if record[9] in (None, "tagRegion")
        and (known := tags.name(record[8])) is not None
        and known not in placed
    )
    return SourcePhoto(
        path=path,
        regions=tuple(regions),
        people=tuple(people),
        frame="upright",
        dimensions=dimensions,
        file_size=size if isinstance(size, int) and 0 < size < 1 << 62 else None,
        source=source,
    )


def _mount(identifier: object, folder: object) -> str:
    """Return the path of an album root without a slash at the end."""
    base = ""
    if isinstance(identifier, str) and (
        match := re.search(r"[?&](?:path|mountpath)=([^&]*)", identifier)  # "volumeid:?path=/mnt/photos"
    ):
        base = unquote(match[1]).rstrip("/")
    below = folder.strip("/") if isinstance(folder, str) else ""
    return f"{base}/{below}".rstrip("/")


def _rectangle(value: object) -> tuple[float, float, float, float] | None:
    """Return ``x y width height`` in pixels."""
    if not isinstance(value, str) or len(value) > _LONGEST or (match := _RECT.match(value)) is None:
        return None
    try:
        sides = {side: float(written) for side, written in _SIDE.findall(match[1])}
        return sides["x"], sides["y"], sides["width"], sides["height"]
    except (KeyError, ValueError):
        return None


def _upright(
    width: object, height: object, orientation: object, rectangles: list[Any]
) -> tuple[int, int] | None:
    """Return the size of the upright picture."""
    if (stored := size_of(width, height)) is None:
        return None
    if orientation not in _SWAPPED:
        return stored
    turned = stored[1], stored[0]

    def leaving(size: tuple[int, int]) -> int:
        return sum(
            box is not None and (box[0] + box[2] > size[0] or box[1] + box[3] > size[1]) for box in rectangles
        )

    return stored if leaving(turned) > leaving(stored) == 0 else turned


def _regions(
    face: tuple[Any, ...],
    rectangle: tuple[float, float, float, float] | None,
    dimensions: tuple[int, int],
    tags: _Tags,
    source: str,
    problems: list[str],
) -> list[Region]:
    """Return the region of a row, and one for each name that the user has rejected for it."""
    tag, kind, value = face
    special = tags.special.get(tag, set()) if isinstance(tag, int) else set()
    if "unconfirmedPerson" in special:
        return []  # the face has another row, with the tag of the suggested person
    box = None if rectangle is None else _fractions(rectangle, dimensions)
    if box is None:
        note(problems, f"{source}: The place of a face cannot be read.")
        return []
    name = tags.name(tag)
    found = [
        Region(
            box,
            name,
            confirmed=kind == "tagRegion",
            person=str(tag) if name is not None and tag in tags.people else None,
            rejected=kind == "ignoredFace" or "ignoredPerson" in special,
        )
    ]
    if rejected := _REJECTED.search(value):
        for other in dict.fromkeys(map(int, re.split(r"\D+", rejected[1]))):
            unwanted = tags.name(other)
            if unwanted is not None and unwanted != name:
                found += [Region(box, unwanted, rejected=True)]
    return found


def _fractions(rectangle: tuple[float, float, float, float], size: tuple[int, int]) -> Box | None:
    x, y, width, height = rectangle
    return box_of(x / size[0], y / size[1], (x + width) / size[0], (y + height) / size[1])
