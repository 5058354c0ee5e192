"""Google Takeout: one JSON file for each photo, with names and without places.

What is known of them, from the issues of programs that read them (ente/ente #4956, GooglePhotosTakeoutHelper
#353, #448 and #449):

- The file is named for the photo: ``IMG_1.jpg.json`` until 2024, since then
  ``IMG_1.jpg.supplemental-metadata.json``. Before ``.json``, the name is cut off after 46 characters, be it
  in ``supplemental-metadata`` or in the photo's name. The photo's own name is cut off after about as many.
- The second of two photos of one name is ``IMG_1(1).jpg``, with ``IMG_1.jpg(1).json`` or
  ``IMG_1.jpg.supplemental-metadata(1).json``; the number is never cut off.
- An edited photo has no file of its own: ``IMG_1-edited.jpg``, in the language of the account.
- ``title`` is the name when the photo was uploaded, and ``people`` is ``[{"name": "Anna"}, ...]``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faceindex.errors import UsageError
from faceindex.interchange.regions import SourceAlbum, SourcePhoto
from faceindex.interchange.sources import (
    absolute,
    clean,
    decode,
    file_size,
    files_below,
    is_file,
    note,
    path_text,
    read_source,
)

__all__ = ["read_takeout"]

_MOST_BYTES = 4 << 20  # of one JSON file; they have about 1 kB
_MOST_PEOPLE = 1_000  # on one photo
_CUT_OFF = 40
"""Characters from which a name may be cut off; other counts than 46 have been seen."""

_SUPPLEMENT = "supplemental-metadata"
_COUNTER = re.compile(r"(.*)\((\d{1,5})\)", re.DOTALL)
_REPLACED = re.compile(r'[<>:"/\\|?*&\x00-\x1f]')
"""Characters of a title that are ``_`` in the name of its file."""

_EDITED = (
    "-edited",
    "-effects",
    "-smile",
    "-mix",
    "-edytowane",
    "-bearbeitet",
    "-bewerkt",
    "-編集済み",
    "-modificato",
    "-modifié",
    "-ha editado",
    "-editado",
    "-editat",
)
"""Ends of the names of edited photos, of GooglePhotosTakeoutHelper (``extras.dart``)."""


def read_takeout(path: str | os.PathLike[str]) -> SourceAlbum:
    """Read the names of people from an unpacked archive of Google Takeout.

    Parameters
    ----------
    path : path-like
        The folder ``Google Photos``, or one around it. If Takeout has made several archives, unpack all into
        one folder: a JSON file may lie in another than its photo.

    Returns
    -------
    SourceAlbum
        Its photos have absolute paths and no regions.

    Raises
    ------
    UsageError
        If `path` is no folder.
    """
    root = absolute(path)
    if is_file(root):
        raise UsageError(f"{root} is a file.", "Unpack the archives of Takeout, and name the folder.")
    problems: list[str] = []
    return SourceAlbum("Google Takeout", _photos(root, problems), {}, problems)


def _photos(root: Path, problems: list[str]) -> Iterator[SourcePhoto]:
    of_photos = 0
    for folder, names, matching in files_below(root, lambda name: name.lower().endswith(".json"), problems):
        media = _Media(name for name in names if not name.lower().endswith(".json"))
        for name in matching:
            file = Path(folder, name)
            record = _record(file, problems)
            if record is None:
                continue
            of_photos += 1
            people = _people(record.get("people"))
            if not people:
                continue
            for photo in media.of(name, str(record["title"])):
                if (path := path_text(Path(folder, photo).as_posix())) is None:
                    note(problems, f"{file}: Its title cannot be the name of a file.")
                else:
                    yield SourcePhoto(path, people=people, file_size=file_size(path), source=str(file))
    if not of_photos:
        note(problems, f"{root}: There are no JSON files of Google Photos in it.")


def _record(file: Path, problems: list[str]) -> dict[str, Any] | None:
    """Return the JSON of a photo; None for that of an album, and for anything else."""
    try:
        value = json.loads(decode(read_source(file, _MOST_BYTES)), strict=False)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON, or too large"
        note(problems, f"{file} cannot be read: {reason}.")
        return None
    if not isinstance(value, dict) or not isinstance(value.get("title"), str):
        return None
    # That of an album has a title, too, but neither of these.
    return value if {"photoTakenTime", "people", "url"} & value.keys() else None


def _people(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    named = (clean(item.get("name")) for item in value[:_MOST_PEOPLE] if isinstance(item, dict))
    return tuple(dict.fromkeys(name for name in named if name is not None))


class _Media:
    """The photos and videos in a folder."""

    def __init__(self, names: Iterator[str]) -> None:
        self._names = {name.casefold(): name for name in names}

    def of(self, json_name: str, title: str) -> list[str]:
        """Return the file that a JSON file belongs to, and its edited form if there is one."""
        stem = json_name[: -len(".json")]
        counter = ""
        if match := _COUNTER.fullmatch(stem):
            stem, counter = match[1], f"({match[2]})"
        name, _, end = stem.rpartition(".")
        base = name if name and _SUPPLEMENT.startswith(end) else stem
        photo = (
            self._names.get(_numbered(base, counter).casefold())
            or (len(stem) >= _CUT_OFF and self._cut_off(base, counter))
            or _numbered(_REPLACED.sub("_", title), counter)
        )
        return [photo, *self._edited(photo)]

    def _cut_off(self, base: str, counter: str) -> str | None:
        """Return the only file that begins as a name that may be cut off."""
        start = base.casefold()
        found = []
        for name in self._names.values():
            stem, numbered = name.rpartition(".")[0] or name, ""
            if match := _COUNTER.fullmatch(stem):
                stem, numbered = match[1], f"({match[2]})"
            whole = f"{stem}.{name.rpartition('.')[2]}".casefold()
            cut = len(stem) >= _CUT_OFF and start.startswith(stem.casefold())
            if numbered == counter and (whole.startswith(start) or cut):
                found.append(name)
        plain = [name for name in found if not any(end in name for end in _EDITED)]
        return plain[0] if len(plain) == 1 else None

    def _edited(self, photo: str) -> list[str]:
        stem, dot, extension = photo.rpartition(".")
        counter = ""
        if match := _COUNTER.fullmatch(stem):
            stem, counter = match[1], f"({match[2]})"
        wanted = (f"{stem}{end}{counter}{dot}{extension}".casefold() for end in _EDITED)
        return [self._names[name] for name in wanted if name in self._names]


def _numbered(name: str, counter: str) -> str:
    """Return the name of a file with a counter before its extension."""
    stem, dot, extension = name.rpartition(".")
    return f"{stem}{counter}{dot}{extension}" if dot else f"{name}{counter}"
