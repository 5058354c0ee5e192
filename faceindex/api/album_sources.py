"""The programs whose names can be imported, and the readers of their files."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.interchange.regions import SourceAlbum

__all__ = ["READERS", "read_album"]

READERS: Final = MappingProxyType(
    {
        "picasa": "picasa:read_picasa",
        "digikam": "digikam:read_digikam",
        "immich": "immich:read_immich",
        "photoprism": "photoprism:read_photoprism",
        "apple-photos": "apple_photos:read_apple_photos",
        "takeout": "takeout:read_takeout",
        "folders": "folders:read_folders",
        "csv": "people_csv:read_csv",
    }
)
"""The reader of each program, as a module of `faceindex.interchange` and its function."""


def read_album(program: str, path: str | os.PathLike[str], **options: object) -> SourceAlbum:
    """Read the names of another program, for ``index.people.import_album``.

    Parameters
    ----------
    program : str
        A key of `READERS`.
    path : path-like
        What the program's reader takes: a file or a folder.
    **options
        Of the reader, such as ``contacts`` of Picasa's.

    Raises
    ------
    UsageError
        If there is no such program, or the path cannot be read.
    """
    if program not in READERS:
        raise UsageError(f"There is no reader for {program!r}.", f"Choose one of: {', '.join(READERS)}.")
    module, _, function = READERS[program].partition(":")
    found = getattr(importlib.import_module(f"faceindex.interchange.{module}"), function)
    return cast("Callable[..., SourceAlbum]", found)(path, **options)
