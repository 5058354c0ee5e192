"""The list of an archive: its members, and what is wrong with it. Names of members are untrusted."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from faceindex.errors import ImageError, Reason

__all__ = ["MOST_MEMBERS", "ArchiveError", "Contents", "Entry", "safe_name"]

MOST_MEMBERS = 300_000
"""Members of an archive that is read; its list takes about 100 MB then. More need to be unpacked."""

_LONGEST_NAME = 4_096  # characters
_MOST_NAMED = 3  # names in a problem
_UNSAFE = re.compile(r"^/|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)|[\x00-\x1f\x7f]")


class ArchiveError(Exception):
    """An archive, or a part of it, cannot be read; the text says why."""


class Entry(NamedTuple):
    """Where a member is in its archive, and what the archive states of it.

    Attributes
    ----------
    offset : int
        Byte at which its data begin in a tar, or its local header in a zip.
    packed, size : int
        Bytes in the archive and unpacked.
    mtime_ns : int
        Time of modification in nanoseconds since 1970. A zip may have only local time, which is read as UTC,
        so that it stays the same when the computer travels.
    check : int or None
        CRC-32 of the content in a zip; None in a tar, which has none.
    method : int
        Compression of a zip (APPNOTE.TXT, 4.4.5); 0 is none.
    encrypted : bool
    """

    offset: int
    packed: int
    size: int
    mtime_ns: int
    check: int | None = None
    method: int = 0
    encrypted: bool = False


@dataclass(slots=True)
class Contents:
    """The list of an archive.

    Attributes
    ----------
    members : dict of str to Entry
        By name, with forward slashes; folders and links are not among them.
    left_out : list of str
        Names that cannot be used, at most a few, as they may be shown.
    unusable, twice : int
        Number of names that cannot be used, and of those that occur again.
    damage : str
        Why the list ends early; empty if it is whole.
    is_export : bool
        Whether faceindex wrote the archive, as an export of copies.
    """

    members: dict[str, Entry] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    unusable: int = 0
    twice: int = 0
    damage: str = ""
    is_export: bool = False

    def add(self, name: str, entry: Entry) -> None:
        """Add a member under its name; raises `ArchiveError` if there are too many."""
        safe = safe_name(name)
        if safe is None:
            self.unusable += 1
            if len(self.left_out) < _MOST_NAMED:
                self.left_out.append(ascii(name[:100])[1:-1])
            return
        self.twice += safe in self.members
        self.members[safe] = entry
        if len(self.members) + self.unusable > MOST_MEMBERS:
            raise ArchiveError(f"it has more than {MOST_MEMBERS:,} members")

    def problem(self, path: str) -> ImageError | None:
        """Return what is to be reported of the archive; None if nothing."""
        if self.damage:
            return ImageError(
                path, Reason.ARCHIVE, f"{self.damage}.", "Restore it from a backup, or unpack it."
            )
        found = []
        if self.unusable:
            names = ", ".join(self.left_out) + (", ..." if self.unusable > len(self.left_out) else "")
            found.append(f"{self.unusable:,} of its members have unusable names ({names})")
        if self.twice:
            found.append(f"{self.twice:,} of its members have the name of another; the last counts")
        if not found:
            return None
        return ImageError(
            path,
            Reason.MEMBER_NAMES,
            "; ".join(found) + ".",
            "Unpack it if you need them; all other members are read.",
        )


def safe_name(name: str) -> str | None:
    """Return the name of a member as it is used in a path; None if it is empty or not safe."""
    if len(name) > _LONGEST_NAME or _UNSAFE.search(name) is not None:
        return None
    return "/".join(part for part in name.split("/") if part not in ("", ".")) or None
