"""Report what an export could not do: photos that could not be read, and files that it left as they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.cli.render import Output, count, shell_quoted
from faceindex.errors import ImageError, Reason

if TYPE_CHECKING:
    from faceindex.export.folder import Written
    from faceindex.store import Root

__all__ = ["absence", "report_unreadable", "warn_of_readers"]

_SHOWN = 10  # photos and files; --verbose lists all


def report_unreadable(
    out: Output,
    failures: Sequence[ImageError],
    roots: Sequence[Root],
    kept: Sequence[tuple[str, str]],
) -> None:
    """Print an error for each folder that does not exist, and for ten other photos and files.

    Parameters
    ----------
    out : Output
    failures : sequence of ImageError
    roots : sequence of Root
        Of the index.
    kept : sequence of (str, str)
        Files that an export could not replace, as in `faceindex.export.folder.Written`.
    """
    from faceindex.images.formats import missing_folder

    @cache
    def lost_folder(folder: str) -> str | None:
        for root in roots:  # an empty one may be the place where a disk is mounted
            if Path(folder).is_relative_to(root.path) and absence(root.path) == "is empty":
                return root.path
        missing = missing_folder(Path(folder) / "photo")
        return None if missing is None else os.fspath(missing)

    lost: Counter[str] = Counter()
    rest = []
    for error in failures:
        folder = lost_folder(os.path.dirname(error.path)) if error.reason is Reason.MISSING else None  # noqa: PTH120
        if folder is None:
            rest.append((error.problem, error.remedy))
        else:
            lost[folder] += 1
    for folder, photos in lost.items():
        out.error(
            f"The folder {folder} {absence(folder)}; {count(photos, 'photo')} could not be read.",
            "If its disk is not mounted, mount it; if the photos are elsewhere now, run "
            f"`faceindex roots relocate {shell_quoted(folder)} NEW_FOLDER`.",
        )
    rest += [
        (f"{name} is left as it is: {reason}.", "Move or delete it, or choose another folder.")
        for name, reason in kept
    ]
    shown = len(rest) if out.verbose else _SHOWN
    for problem, remedy in rest[:shown]:
        out.error(problem, remedy)
    if more := len(rest[shown:]):
        out.error(f"{more:,} more like these.", "List them with -v.")


def warn_of_readers(out: Output, files: Written) -> None:
    """Warn if others may list a destination that was there before, since file names have names of people."""
    if files.exposed:
        folder = files.destination
        out.warning(
            f"Other users can list {folder}: they see the names of its files, not what is in them. "
            f"`chmod 700 {shell_quoted(folder)}` hides the names."
        )


def absence(folder: str) -> str | None:
    """Return "does not exist" or "is empty" for a folder without any file; else None."""
    try:
        with os.scandir(folder) as entries:
            return None if any(True for _ in entries) else "is empty"
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError:
        return None  # it exists, but cannot be listed
