"""Report what an export could not do: photos that could not be read, and files that it left as they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.addresses import is_address
from faceindex.cli.render import Output, count, shell_quoted
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.paths import presence

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.export.folder import Written
    from faceindex.store import Root

__all__ = ["FAIL_ON", "check_fail_on", "is_news", "report_unreadable", "warn_of_readers"]

FAIL_ON = ("new", "any", "never")
"""Which unreadable photos make the exit code 1."""

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
        if is_address(folder):  # a store has no folders that could be away
            return None
        for root in roots:  # an empty one may be the place where a disk is mounted
            if Path(folder).is_relative_to(root.path) and presence(root.path) == "empty":
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
        what = "is empty" if presence(folder) == "empty" else "does not exist"
        out.error(
            f"The folder {folder} {what}; {count(photos, 'photo')} could not be read.",
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


def check_fail_on(fail_on: str) -> None:
    """Raise `UsageError` if this is no value of --fail-on."""
    if fail_on not in FAIL_ON:
        raise UsageError(
            f"There is no --fail-on {fail_on}.", f"Choose {', '.join(FAIL_ON[:-1])} or {FAIL_ON[-1]}."
        )


def is_news(index: FaceIndex, failures: Sequence[ImageError], fail_on: str) -> bool:
    """Return whether photos that could not be read make the exit code 1.

    Parameters
    ----------
    index : FaceIndex
        Knows which photos the last run of `index` could not read, and why.
    failures : sequence of ImageError
    fail_on : str
        One of `FAIL_ON`.
    """
    if fail_on == "new" and failures:
        known = index.known_failures()
        return any(known.get(error.path) != error.reason.value for error in failures)
    return fail_on == "any" and bool(failures)
