"""What an export writes its files to: a folder or an archive."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO, Literal, Protocol

from faceindex.export.folder import Written
from faceindex.export.originals import Originals

__all__ = ["Target"]


class Target(Protocol):
    """Receives the files of an export; `faceindex.export.folder.Folder` documents the methods.

    Attributes
    ----------
    total : int or None
        Number of files of the export.
    originals : Originals
        The photos of the index.
    """

    total: int | None
    originals: Originals

    def include(self, name: str, source: str) -> bool:
        """Include a file in the export, and return whether it must be written."""

    def write(
        self,
        name: str,
        content: bytes | Callable[[BinaryIO], None],
        *,
        mtime_ns: int | None = None,
        original: str | None = None,
    ) -> None:
        """Write an included file."""

    def write_link(
        self, name: str, target: str | os.PathLike[str], how: Literal["hardlink", "symlink"]
    ) -> None:
        """Make an included file a link to another file."""

    def finish(self) -> Written:
        """End the export, and return the counts."""
