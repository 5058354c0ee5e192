"""Folders that are named for people: ``Anna Smith/2001.jpg`` shows Anna Smith.

Where on the photo she is, the folder does not say. So the photos have names without places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from faceindex.errors import UsageError
from faceindex.interchange.regions import SourceAlbum, SourcePhoto
from faceindex.interchange.sources import file_size

__all__ = ["read_folders"]


def read_folders(path: str | os.PathLike[str]) -> SourceAlbum:
    """Read the names of people from folders.

    Each folder directly in `path` is a person, and all photos in it, also in folders inside, show them. Files
    directly in `path`, hidden files and files that are not named like photos are left out. Links to
    folders are not followed.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    SourceAlbum
        Its photos have absolute paths.

    Raises
    ------
    UsageError
        If `path` cannot be listed.
    """
    root = os.path.abspath(path)  # noqa: PTH100 - `Path.resolve` would follow links
    try:
        with os.scandir(root) as entries:
            people = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{os.fspath(path)} cannot be listed: {reason}.", "Name the folder that has a folder per person."
        ) from error
    problems: list[str] = []
    if not people:
        problems.append(f"{root}: There is no folder in it; each person needs one.")
    return SourceAlbum("Folders", _photos(root, people, problems), {}, problems)


def _photos(root: str, people: list[str], problems: list[str]) -> Iterator[SourcePhoto]:
    from faceindex.images import IMAGE_SUFFIXES

    def failed(error: OSError) -> None:
        problems.append(f"{error.filename}: {error.strerror or error}.")

    for name in people:
        folder = f"{root.rstrip('/')}/{name}"
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = folder.encode("utf-8", "replace").decode()
            problems.append(f"{shown}: The name of the folder is not text in UTF-8.")
            continue
        for here, folders, files in os.walk(folder, onerror=failed):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            for file in sorted(files):
                if file.startswith(".") or os.path.splitext(file)[1].lower() not in IMAGE_SUFFIXES:  # noqa: PTH122
                    continue
                path = f"{here.rstrip('/')}/{file}"
                yield SourcePhoto(path, people=(name,), file_size=file_size(path), source=folder)
