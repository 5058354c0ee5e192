"""PhotoPrism: answers of its API as JSON, or its database ``index.db`` (SQLite).

Facts from PhotoPrism's source, versions of 2021 to 2024 (``internal/entity``):

- The YAML files in ``storage/sidecar`` hold **no faces**: ``photo.go`` leaves the files of a photo out of
  them, and with the files the markers. Neither do those of albums in ``storage/backup``.
- A marker (``marker.go``, ``marker_json.go``) has ``X Y W H``: its left and upper side, width and height, in
  fractions of the **upright** picture (``face.go``, ``crop/area.go``). ``Type`` is ``face``. ``Invalid`` is
  true if a user has removed it, ``Review`` if PhotoPrism is not sure that it is a face.
- ``SubjSrc`` says where a name comes from: ``manual``, ``admin``, a kind of metadata; it is empty if
  PhotoPrism has matched the face to a person (``src.go``). Whether a user has looked at the match is not
  stored.
- A file has its path below ``originals`` in ``Name``, or below ``sidecar`` if ``Root`` is ``sidecar``: there
  lie JPEG copies, named for their original with ``.jpg`` at the end. ``Width`` and ``Height`` are those of
  the upright picture (``mediafile.go``), and ``Hash`` is the SHA-1 of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from faceindex.errors import UsageError
from faceindex.interchange.databases import is_database, opened, rows
from faceindex.interchange.json_values import json_files, json_values, objects_in
from faceindex.interchange.regions import Region, SourceAlbum, SourcePerson, SourcePhoto
from faceindex.interchange.sources import absolute, box_of, clean, is_file, note, number, path_text, size_of

__all__ = ["read_photoprism"]

_DATABASE = "index.db"
_TABLES = {
    "files": (
        "file_uid",
        "file_name",
        "file_root",
        "file_hash",
        "file_size",
        "file_width",
        "file_height",
        "file_missing",
        "deleted_at",
    ),
    "markers": (
        "file_uid",
        "marker_type",
        "marker_name",
        "marker_review",
        "marker_invalid",
        "subj_uid",
        "subj_src",
        "x",
        "y",
        "w",
        "h",
    ),
    "subjects": ("subj_uid", "subj_name", "subj_hidden", "subj_notes", "deleted_at"),
}
_MARKERS = """
SELECT f.file_uid, f.file_name, f.file_root, f.file_hash, f.file_size, f.file_width, f.file_height,
    m.marker_type, m.marker_name, m.marker_review, m.marker_invalid, m.subj_uid, m.subj_src,
    m.x, m.y, m.w, m.h
FROM markers m JOIN files f ON f.file_uid = m.file_uid
WHERE f.deleted_at IS NULL AND NOT coalesce(f.file_missing, 0) AND typeof(f.file_uid) = 'text'
ORDER BY f.file_uid
"""
_MARKER_KEYS = ("Type", "Name", "Review", "Invalid", "SubjUID", "SubjSrc", "X", "Y", "W", "H")
_FILE_KEYS = ("UID", "Name", "Root", "Hash", "Size", "Width", "Height")
_AUTOMATIC = {"", "default", "estimate", "auto", "image"}
"""Sources of a name that are no user and no metadata (``src.go``)."""

_VIDEOS = frozenset(
    ["3gp", "avi", "flv", "hevc", "m2ts", "m4v", "mkv", "mov", "mp4", "mpg", "mts", "webm", "wmv"]
)
_MOST_FACES = 10_000  # of one photo
_MOST_PEOPLE = 1_000_000


def read_photoprism(path: str | os.PathLike[str], *, trust_automatic: bool = True) -> SourceAlbum:
    """Read the people and faces of PhotoPrism.

    Parameters
    ----------
    path : path-like
        ``index.db``, or JSON: a file, or a folder with some. Of a folder with ``index.db``, that is read.
        The JSON may be answers of the API: ``/api/v1/photos/{uid}`` for the photos, ``/api/v1/subjects`` for
        notes and hidden people. Databases in MariaDB are read through the API.
    trust_automatic : bool
        Whether a face that PhotoPrism has matched to a named person counts as confirmed. PhotoPrism does not
        store which matches a user has looked at.

    Returns
    -------
    SourceAlbum
        Its photos have paths relative to ``originals``. Markers that a user has removed are ``rejected``.

    Raises
    ------
    UsageError
        If it cannot be read, or is a YAML file.
    """
    root = absolute(path)
    if not is_file(root) and (root / _DATABASE).is_file():
        root = root / _DATABASE
    if is_file(root):
        if root.suffix.lower() in (".yml", ".yaml"):
            raise _without_faces(root)
        if is_database(root):
            return _from_database(root, trust_automatic)
    problems: list[str] = []
    files = list(json_files(root, problems))
    if not files:
        raise _without_faces(root)
    people = _json_people(files)
    return SourceAlbum("PhotoPrism", _from_json(files, people, trust_automatic, problems), people, problems)


def _without_faces(path: Path) -> UsageError:
    return UsageError(
        f"{path} has no faces: PhotoPrism's YAML files hold none.",
        "Name its index.db, or answers of its API as JSON, such as /api/v1/photos/{uid}.",
    )


def _from_database(path: Path, trust: bool) -> SourceAlbum:
    people = {}
    with opened(path, "PhotoPrism", _TABLES) as connection:
        for key, name, hidden, notes in rows(
            connection,
            "SELECT subj_uid, subj_name, subj_hidden, subj_notes FROM subjects "
            "WHERE deleted_at IS NULL LIMIT ?",
            _MOST_PEOPLE,
        ):
            if isinstance(key, str):
                people[key] = _subject(key, name, hidden, notes)
    problems: list[str] = []
    return SourceAlbum("PhotoPrism", _database_photos(path, people, trust, problems), people, problems)


def _database_photos(
    path: Path, people: dict[str, SourcePerson], trust: bool, problems: list[str]
) -> Iterator[SourcePhoto]:
    try:
        with opened(path, "PhotoPrism", _TABLES) as connection:
            for _, found in groupby(rows(connection, _MARKERS), key=lambda row: row[0]):
                first = next(found)
                file = dict(zip(_FILE_KEYS, first, strict=False))
                markers = (dict(zip(_MARKER_KEYS, row[7:], strict=True)) for row in chain([first], found))
                if (photo := _photo(file, markers, people, trust, str(path), problems)) is not None:
                    yield photo
    except UsageError as error:
        note(problems, f"{error.problem} The photos after it are left out.")


def _subject(key: str, name: object, hidden: object, notes: object) -> SourcePerson:
    text = notes.strip() if isinstance(notes, str) else ""
    return SourcePerson(key, clean(name), hidden=hidden in (True, 1), note=text or None)


def _from_json(
    files: list[Path], people: dict[str, SourcePerson], trust: bool, problems: list[str]
) -> Iterator[SourcePhoto]:
    for file in files:
        for value in json_values(file, problems):
            for record in objects_in(value, _is_photo):
                for part in _objects(record.get("Files")):
                    if part.get("DeletedAt") or part.get("Missing") is True:
                        continue
                    markers = _objects(part.get("Markers"))
                    photo = _photo(part, markers, people, trust, str(file), problems)
                    if photo is not None:
                        yield photo


def _json_people(files: list[Path]) -> dict[str, SourcePerson]:
    """Return the people of all files: those with an entry of their own, then those whom markers name."""
    subjects: dict[str, SourcePerson] = {}
    named: dict[str, SourcePerson] = {}
    for file in files:
        for value in json_values(file, []):
            for record in objects_in(value, lambda value: _is_photo(value) or value.get("Type") == "person"):
                if len(named) + len(subjects) > _MOST_PEOPLE:
                    break
                if not _is_photo(record):
                    if (key := clean(record.get("UID"))) is not None:
                        notes = record.get("Notes")
                        subjects[key] = _subject(key, record.get("Name"), record.get("Hidden"), notes)
                    continue
                for part in _objects(record.get("Files")):
                    for marker in _objects(part.get("Markers")):
                        if (key := clean(marker.get("SubjUID"))) and (name := clean(marker.get("Name"))):
                            named[key] = SourcePerson(key, name)
    return named | subjects


def _is_photo(value: dict[str, Any]) -> bool:
    return isinstance(value.get("Files"), list)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _photo(
    file: dict[str, Any],
    markers: Iterable[dict[str, Any]],
    people: dict[str, SourcePerson],
    trust: bool,
    source: str,
    problems: list[str],
) -> SourcePhoto | None:
    """Return the photo of a file; None if it has no markers of faces."""
    path = path_text(file.get("Name"))
    regions: list[Region] = []
    damaged = 0
    for marker in markers:
        if marker.get("Type") != "face" or len(regions) >= _MOST_FACES:
            continue
        region = _region(marker, people, trust)
        if region is None:
            damaged += 1
        else:
            regions.append(region)
    if path is None or damaged:
        lost = "A file has no name." if path is None else f"{path}: {damaged:,} faces have no place."
        note(problems, f"{source}: {lost}")
    if path is None or not regions:
        return None
    copied = file.get("Root") == "sidecar"
    if copied:  # "2021/IMG_1.HEIC.jpg" is a copy of "2021/IMG_1.HEIC"
        path = path.rpartition(".")[0] or path
    if file.get("Video") is True or path.rpartition(".")[2].lower() in _VIDEOS:
        named = (region.name for region in regions if region.name is not None and not region.rejected)
        return SourcePhoto(path, people=tuple(dict.fromkeys(named)), source=source)
    size = number(file.get("Size"))
    return SourcePhoto(
        path=path,
        regions=tuple(regions),
        frame="upright",
        dimensions=size_of(file.get("Width"), file.get("Height")),
        file_size=None if copied or size is None or not 0 < size < 1 << 62 else int(size),
        sha1=None if copied else _sha1(file.get("Hash")),
        source=source,
    )


def _region(marker: dict[str, Any], people: dict[str, SourcePerson], trust: bool) -> Region | None:
    x, y, width, height = (number(marker.get(key)) for key in ("X", "Y", "W", "H"))
    if x is None or y is None or width is None or height is None:
        return None
    if (box := box_of(x, y, x + width, y + height)) is None:
        return None
    key = marker.get("SubjUID")
    person = people.get(key) if isinstance(key, str) else None
    name = (person.name if person is not None else None) or clean(marker.get("Name"))
    said = marker.get("SubjSrc")
    automatic = not isinstance(said, str) or said in _AUTOMATIC
    unsure = marker.get("Review") in (True, 1)
    return Region(
        box,
        name,
        confirmed=name is None or not automatic or (trust and not unsure),
        person=person.key if person is not None else None,
        rejected=marker.get("Invalid") in (True, 1),
    )


def _sha1(value: object) -> bytes | None:
    try:
        digest = bytes.fromhex(value) if isinstance(value, str) and len(value) == 40 else b""
    except ValueError:
        return None
    return digest if len(digest) == 20 else None
