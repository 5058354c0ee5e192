"""Immich: answers of its API, or rows of its PostgreSQL tables, as JSON; see ``docs/programs.md``.

Facts from Immich's source, versions 1.100 to 2 (``server/src/schema/tables``, ``server/src/dtos``):

- A face has ``boundingBoxX1`` ... ``boundingBoxY2`` in pixels of a picture of ``imageWidth`` and
  ``imageHeight``: the preview, which is smaller than the photo, and **upright**.
- ``sourceType`` is ``machine-learning`` for a face that Immich has found and assigned, ``exif`` for one from
  the photo's metadata, and ``manual`` for one that a user has drawn. Immich does not store whether a user has
  looked at an assignment.
- A face with ``deletedAt`` was removed by a user.
- The checksum of an asset of an external library is the SHA-1 of ``path:`` and its path
  (``library.service.ts``), and says nothing of the file.
- Without a storage template, a file is stored under a UUID; ``originalFileName`` is the name that it had.
- A person without a name has an empty one.
- ``checksum`` of an asset is the SHA-1 of the file: in base64 in the API, and ``\\x`` with hexadecimal digits
  as a ``bytea``.
- ``GET /api/assets/{id}`` has ``people`` with ``faces``. The table ``asset_face`` (``asset_faces`` before
  version 1.133) has ``assetId`` and ``personId``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from faceindex.errors import UsageError
from faceindex.interchange.json_values import json_files, json_values, objects_in
from faceindex.interchange.regions import Box, Region, SourceAlbum, SourcePerson, SourcePhoto
from faceindex.interchange.sources import absolute, box_of, clean, clean_day, note, number, path_text, size_of

__all__ = ["read_immich"]

_BY_MACHINE = "machine-learning"
_CORNERS = ("boundingBoxX1", "boundingBoxY1", "boundingBoxX2", "boundingBoxY2")
_PERSON_KEYS = {"birthDate", "thumbnailPath", "isHidden", "isFavorite"}
_HEX = re.compile(r"\\*x?([0-9a-fA-F]{40})\Z")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.", re.IGNORECASE)
_MOST_FACES = 10_000  # of one photo
_MOST_RECORDS = 20_000_000  # of all files, against ones that are made to take the memory
_LONGEST_ID = 100  # characters; Immich's are UUIDs of 36


@dataclass(frozen=True, slots=True)
class _Face:
    box: Box
    dimensions: tuple[int, int]
    person: str | None
    automatic: bool
    deleted: bool


@dataclass(frozen=True, slots=True)
class _Asset:
    path: str
    sha1: bytes | None
    file_size: int | None
    video: bool
    source: str


@dataclass(slots=True)
class _Found:
    """What is in the files: people and assets by their ids, and the faces of each asset by theirs."""

    problems: list[str]
    people: dict[str, SourcePerson] = field(default_factory=dict)
    assets: dict[str, _Asset] = field(default_factory=dict)
    faces: dict[str, dict[str, _Face]] = field(default_factory=dict)
    damaged: int = 0


def read_immich(path: str | os.PathLike[str], *, trust_automatic: bool = True) -> SourceAlbum:
    """Read the people and faces of an Immich server from JSON files.

    Parameters
    ----------
    path : path-like
        A JSON file, or a folder with some: lists, documents one after the other, or JSON lines. They may be
        answers of the API (``/api/people``, ``/api/assets/{id}``, ``/api/search/metadata``), or rows of the
        tables ``asset``, ``asset_face`` and ``person``.
    trust_automatic : bool
        Whether a face that Immich has assigned to a person whom the user has named counts as confirmed.
        Immich does not store which assignments a user has looked at: without them, only drawn faces and
        those from metadata remain.

    Returns
    -------
    SourceAlbum
        Faces that a user has removed are ``rejected``. Names on videos have no places.

    Raises
    ------
    UsageError
        If nothing can be read, or no file has assets of Immich.
    """
    root = absolute(path)
    found = _Found([])
    records = 0
    for file in json_files(root, found.problems):
        for value in json_values(file, found.problems):
            for record in objects_in(value, _is_record):
                records += 1
                if records > _MOST_RECORDS:
                    raise UsageError(
                        f"{root} has more than {_MOST_RECORDS:,} records.", "Export fewer photos at once."
                    )
                _take(record, found, str(file))
    if not found.assets:
        raise UsageError(
            f"{root} has no assets of Immich.",
            "Export the answers of /api/assets/{id}, or the table `asset`: nothing else says on which "
            "photo a face is.",
        )
    if found.damaged:
        note(found.problems, f"{root}: {found.damaged:,} faces have no place that can be read.")
    return SourceAlbum(
        program="Immich",
        photos=_photos(found, trust_automatic),
        people=found.people,
        problems=found.problems,
    )


def _is_record(value: dict[str, Any]) -> bool:
    return _is_asset(value) or _CORNERS[0] in value or _is_person(value)


def _is_asset(value: dict[str, Any]) -> bool:
    return "originalPath" in value and "id" in value


def _is_person(value: dict[str, Any]) -> bool:
    return "id" in value and "name" in value and not _PERSON_KEYS.isdisjoint(value)


def _take(record: dict[str, Any], found: _Found, source: str) -> None:
    if not _is_asset(record):
        if _CORNERS[0] in record:
            _take_face(record, _id(record.get("assetId")), _person_of(record, found), found)
        else:
            _take_person(record, found)
        return
    asset = _id(record["id"])
    path = _path(record)
    if asset is None or path is None:
        note(found.problems, f"{source}: An asset has no path.")
        return
    details = record.get("exifInfo")
    size = number(details.get("fileSizeInByte")) if isinstance(details, dict) else None
    found.assets[asset] = _Asset(
        path=path,
        sha1=_checksum(record),
        file_size=int(size) if size is not None and 0 < size < 1 << 62 else None,
        video=record.get("type") == "VIDEO",
        source=f"{source}: asset {asset}",
    )
    for person in _objects(record.get("people")):
        key = _take_person(person, found)
        for face in _objects(person.get("faces")):
            _take_face(face, asset, key, found)
    for key in ("faces", "unassignedFaces"):
        for face in _objects(record.get(key)):
            _take_face(face, asset, _person_of(face, found), found)


def _take_person(record: dict[str, Any], found: _Found) -> str | None:
    key = _id(record.get("id"))
    if key is not None:
        found.people[key] = SourcePerson(
            key,
            clean(record.get("name")),
            born=clean_day(record.get("birthDate")),
            hidden=record.get("isHidden") is True,
        )
    return key


def _person_of(face: dict[str, Any], found: _Found) -> str | None:
    """Return the person of a face that names it: by id in a table, as an object in the API."""
    person = face.get("person")
    return _take_person(person, found) if isinstance(person, dict) else _id(face.get("personId"))


def _take_face(face: dict[str, Any], asset: str | None, person: str | None, found: _Found) -> None:
    size = size_of(face.get("imageWidth"), face.get("imageHeight"))
    corners = [number(face.get(key)) for key in _CORNERS]
    box = None
    if size is not None and None not in corners:
        x1, y1, x2, y2 = (corner for corner in corners if corner is not None)
        box = box_of(x1 / size[0], y1 / size[1], x2 / size[0], y2 / size[1])
    if asset is None or size is None or box is None:
        found.damaged += 1
        return
    faces = found.faces.setdefault(asset, {})
    if len(faces) < _MOST_FACES:
        faces[_id(face.get("id")) or f"number {len(faces)}"] = _Face(
            box=box,
            dimensions=size,
            person=person,
            automatic=face.get("sourceType", _BY_MACHINE) == _BY_MACHINE,
            deleted=face.get("deletedAt") is not None,
        )


def _photos(found: _Found, trust: bool) -> Iterator[SourcePhoto]:
    absent: set[str] = set()
    for key, asset in found.assets.items():
        faces = found.faces.get(key)
        if not faces:
            continue
        regions = []
        for face in faces.values():
            person = found.people.get(face.person) if face.person is not None else None
            if face.person is not None and person is None:
                absent.add(face.person)
            name = person.name if person is not None else None
            regions.append(
                Region(
                    face.box,
                    name,
                    confirmed=name is None or trust or not face.automatic,
                    person=person.key if person is not None else None,
                    rejected=face.deleted,
                )
            )
        sizes = {face.dimensions for face in faces.values()}
        named = (region.name for region in regions if region.name is not None and not region.rejected)
        yield SourcePhoto(
            path=asset.path,
            regions=() if asset.video else tuple(regions),
            people=tuple(dict.fromkeys(named)) if asset.video else (),
            frame="upright",
            dimensions=None if asset.video or len(sizes) > 1 else sizes.pop(),
            file_size=asset.file_size,
            sha1=asset.sha1,
            source=asset.source,
        )
    if absent:
        note(
            found.problems, f"{len(absent):,} people of faces are in none of the files; export `person`, too."
        )


def _path(record: dict[str, Any]) -> str | None:
    """Return the path of an asset, with the name that the file had before Immich stored it."""
    path, name = path_text(record["originalPath"]), path_text(record.get("originalFileName"))
    if path is None or name is None or "/" in name:
        return path
    folder, slash, stored = path.rpartition("/")
    return f"{folder}{slash}{name}" if _UUID.match(stored) else path


def _checksum(record: dict[str, Any]) -> bytes | None:
    """Return the SHA-1 of the file of an asset."""
    found, path = _sha1(record.get("checksum")), record["originalPath"]
    if found is None or not isinstance(path, str):
        return found
    of_path = hashlib.sha1(f"path:{path}".encode("utf-8", "replace"), usedforsecurity=False).digest()
    return None if found == of_path else found


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID else None


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _sha1(value: object) -> bytes | None:
    """Return a checksum in base64, or in hexadecimal digits after ``\\x``; None if it is neither."""
    if not isinstance(value, str) or len(value) > _LONGEST_ID:
        return None
    if match := _HEX.match(value):
        return bytes.fromhex(match[1])
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == 20 else None
