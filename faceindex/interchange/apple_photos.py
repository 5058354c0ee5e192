"""Apple Photos, through the JSON of osxphotos.

``osxphotos query --json`` writes one object for each photo of a library. Facts from osxphotos' source
(``personinfo.py``, ``photoinfo.py``; versions of 2020 to 2024):

- ``persons`` has the names of the people on the photo; ``_UNKNOWN_`` stands for faces without a name.
- ``faces`` (or ``face_info``) has for each face its ``name``, its centre, ``center_x`` and ``center_y``, and
  its ``size``. The centre is in fractions of the **upright** picture with **y upwards** from the lower edge;
  ``_fix_orientation`` undoes exactly that. ``size`` is the diameter in fractions of the longer side.
- ``width`` and ``height`` are those of the upright picture. If the photo is edited (``hasadjustments``), they
  and the faces are those of the edited picture, ``path_edited``; ``original_width`` and ``original_height``
  belong to the original, ``path``. Both paths are inside the library; an export has ``original_filename``,
  with ``_edited`` after it for an edited picture.
- ``manual`` is true for a face that the user has drawn. Photos does not store whether a user has looked at
  one that it has assigned itself.

``osxphotos export --sidecar json`` writes files in the form of ``exiftool -j``: ``PersonInImage`` has the
names, and the regions, if there are any, are those of XMP, on the picture as it is stored.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faceindex.interchange.json_values import json_files, json_values, objects_in
from faceindex.interchange.regions import Box, Region, SourceAlbum, SourcePhoto
from faceindex.interchange.sources import absolute, box_of, clean, note, number, path_text, size_of

__all__ = ["read_apple_photos"]

_NOBODY = "_UNKNOWN_"
_EDITED = "_edited"
_MOST_FACES = 10_000  # of one photo


def read_apple_photos(
    path: str | os.PathLike[str], *, exported: bool = False, trust_automatic: bool = True
) -> SourceAlbum:
    """Read the people and faces of an Apple Photos library from the JSON of osxphotos.

    Parameters
    ----------
    path : path-like
        What ``osxphotos query --json`` wrote; or a folder with JSON, such as the sidecars of
        ``osxphotos export --sidecar json``.
    exported : bool
        Whether the photos are those of an export: then they are found by their original names. Otherwise by
        their paths inside the library.
    trust_automatic : bool
        Whether a face that Photos has assigned to a named person counts as confirmed. Photos does not store
        which assignments a user has looked at.

    Returns
    -------
    SourceAlbum
        An edited photo has places for the edited picture. Its original has them if its size is the same, and
        otherwise names only. So have films.

    Raises
    ------
    UsageError
        If `path` cannot be read.
    """
    root = absolute(path)
    problems: list[str] = []
    files = list(json_files(root, problems))
    return SourceAlbum(
        "Apple Photos", _photos(root, files, exported, trust_automatic, problems), {}, problems
    )


def _photos(
    root: Path, files: list[Path], exported: bool, trust: bool, problems: list[str]
) -> Iterator[SourcePhoto]:
    found = 0
    for file in files:
        for value in json_values(file, problems):
            for record in objects_in(value, lambda value: _is_photo(value) or "SourceFile" in value):
                found += 1
                if _is_photo(record):
                    yield from _of_library(record, exported, trust, str(file), problems)
                elif (photo := _of_sidecar(record, file, problems)) is not None:
                    yield photo
    if not found:
        note(problems, f"{root}: There are no photos in it; `osxphotos query --json` writes them.")


def _is_photo(value: dict[str, Any]) -> bool:
    return "uuid" in value and "original_filename" in value


def _of_library(
    record: dict[str, Any], exported: bool, trust: bool, file: str, problems: list[str]
) -> Iterator[SourcePhoto]:
    source = f"{file}: {clean(record.get('uuid')) or 'a photo'}"
    original_name = path_text(record.get("original_filename"))
    paths = [path_text(record.get("path")), path_text(record.get("path_edited"))]
    if exported or not any(paths):
        paths = [original_name, _edited_name(original_name, paths[1])]
    original, edited = paths
    size = size_of(record.get("width"), record.get("height"))
    regions = () if record.get("ismovie") is True else _regions(record, size, trust, source, problems)
    names = dict.fromkeys(
        region.name for region in regions if region.name is not None and not region.rejected
    )
    without_places = tuple(name for name in _names(record.get("persons")) if name not in names)
    if not regions and not without_places:
        return
    if original is None and edited is None:
        note(problems, f"{source}: It has no path.")
        return
    adjusted = record.get("hasadjustments") is True
    placed = SourcePhoto(
        path="",
        regions=regions,
        people=without_places,
        frame="upright",
        dimensions=size,
        source=source,
    )
    if adjusted and edited is not None:
        yield _moved(placed, edited)
    if original is not None:
        filesize = number(record.get("original_filesize"))
        length = int(filesize) if filesize is not None and 0 < filesize < 1 << 62 else None
        if not adjusted or size == size_of(record.get("original_width"), record.get("original_height")):
            yield _moved(placed, original, length)
        else:
            everybody = tuple(dict.fromkeys([*names, *without_places]))
            if everybody:
                yield SourcePhoto(original, people=everybody, file_size=length, source=source)


def _moved(photo: SourcePhoto, path: str, file_size: int | None = None) -> SourcePhoto:
    return SourcePhoto(
        path=path,
        regions=photo.regions,
        people=photo.people,
        frame=photo.frame,
        dimensions=photo.dimensions,
        file_size=file_size,
        source=photo.source,
    )


def _edited_name(original: str | None, edited: str | None) -> str | None:
    """Return the name that osxphotos gives an edited picture: ``IMG_1_edited.jpeg`` of ``IMG_1.HEIC``."""
    if original is None or edited is None:
        return None
    return f"{original.rpartition('.')[0] or original}{_EDITED}.{edited.rpartition('.')[2]}"


def _regions(
    record: dict[str, Any], size: tuple[int, int] | None, trust: bool, source: str, problems: list[str]
) -> tuple[Region, ...]:
    faces = record.get("faces", record.get("face_info"))
    if not isinstance(faces, list):
        return ()
    regions = []
    damaged = 0
    for face in faces[:_MOST_FACES]:
        box = None
        if isinstance(face, dict) and size is not None:
            x, y, diameter = (number(face.get(key)) for key in ("center_x", "center_y", "size"))
            if y is not None and diameter is not None:
                width, height = (diameter * max(size) / side for side in size)
                box = _around(x, 1 - y, width, height)
        if box is None:
            damaged += 1
            continue
        name = _name(face.get("name"))
        regions.append(
            Region(
                box,
                name,
                confirmed=name is None or trust or face.get("manual") in (True, 1),
                rejected=face.get("intrash") in (True, 1),
            )
        )
    if damaged:
        note(problems, f"{source}: {damaged:,} faces have no place.")
    return tuple(regions)


def _around(x: float | None, y: float | None, width: float | None, height: float | None) -> Box | None:
    """Return a box from its centre and its size."""
    if x is None or y is None or width is None or height is None:
        return None
    return box_of(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _name(value: object) -> str | None:
    name = clean(value)
    return None if name == _NOBODY else name


def _names(value: object) -> tuple[str, ...]:
    """Return the names in a list, or in one text."""
    values = value if isinstance(value, list) else [value]
    names = map(_name, values[:_MOST_FACES])
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _of_sidecar(record: dict[str, Any], file: Path, problems: list[str]) -> SourcePhoto | None:
    """Return the photo of an object in the form of ``exiftool -j``, whose tags may follow groups."""
    path = path_text(record.get("SourceFile"))
    if path is None:
        return None
    if "/" not in path:
        path = (file.parent / path).as_posix()
    tags = {key.rpartition(":")[2]: value for key, value in record.items()}
    fields = ("Name", "AreaX", "AreaY", "AreaW", "AreaH")
    columns = [_column(tags.get(f"Region{name}")) for name in fields]
    kinds = _column(tags.get("RegionType"))
    size = size_of(tags.get("RegionAppliedToDimensionsW"), tags.get("RegionAppliedToDimensionsH"))
    regions = []
    if columns[0] and len({len(column) for column in columns}) == 1:
        for row, (name, x, y, width, height) in enumerate(zip(*columns, strict=True)):
            is_face = len(kinds) != len(columns[0]) or kinds[row] == "Face"
            box = _around(number(x), number(y), number(width), number(height))
            if is_face and box is not None:
                regions.append(Region(box, _name(name)))
    elif any(columns):
        note(problems, f"{file}: The regions of {path} are incomplete.")
    placed = {region.name for region in regions}
    people = tuple(name for name in _names(tags.get("PersonInImage")) if name not in placed)
    if not regions and not people:
        return None
    return SourcePhoto(path, tuple(regions), people, "stored", size, source=str(file))


def _column(value: object) -> list[Any]:
    """Return the values of a tag that may have one or several."""
    if value is None:
        return []
    return value[:_MOST_FACES] if isinstance(value, list) else [value]
