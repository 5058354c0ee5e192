"""Files that a walk does not list as photos: archives, partial downloads, and companions of other files.

A *companion* is a second file of one shot, which counts once: a RAW file beside its JPEG or HEIC, and the
clip of a Live Photo. It has the name of the other file, but for the suffix, in the same folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from faceindex.images.containers import ARCHIVE_SUFFIXES, COMPRESSED_TARS
from faceindex.images.suffixes import CLIP_SUFFIXES, PARTIAL_SUFFIXES, RAW_SUFFIXES, STILL_SUFFIXES

if TYPE_CHECKING:
    from faceindex.images.listing import FolderFiles

__all__ = [
    "IGNORE_FILE",
    "IN_STORE",
    "JUNK",
    "MOST_CLIP_BYTES",
    "NO_MEDIA",
    "companions",
    "has_special",
    "is_archive",
    "is_partial",
    "without",
]

# Files and folders that synchronisation programs, network disks and operating systems add to photo folders:
# thumbnails, trash, archive metadata. Names are compared in lower case.
JUNK = frozenset(
    {
        "#recycle",  # Synology
        "#snapshot",
        "$recycle.bin",  # Windows
        "@eadir",  # thumbnails of Synology
        "__macosx",  # resource forks in a zip archive
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
IGNORE_FILE = ".faceindexignore"  # patterns, see `faceindex.images.ignoring`
NO_MEDIA = ".nomedia"  # on Android, marks a folder and its subfolders as hidden from galleries

IN_STORE = "store"
"""The kind of archives and videos in object stores, which are not read there, among the companions."""

MOST_CLIP_BYTES = 30_000_000
"""A larger MOV is a film of its own, whatever is beside it: the clip of a Live Photo has three seconds."""

# One search in all names of a folder takes less time than looking at each name.
_ENDS = sorted(
    {*ARCHIVE_SUFFIXES, *COMPRESSED_TARS, *PARTIAL_SUFFIXES, *RAW_SUFFIXES, *CLIP_SUFFIXES}, key=len
)
_SPECIAL = re.compile(r"\.(?:" + "|".join(re.escape(end[1:]) for end in _ENDS) + r")\0")


def has_special(names: Iterable[str]) -> bool:
    """Return whether one of some file names may be that of a special file."""
    return _SPECIAL.search("\0".join(names).lower() + "\0") is not None


def is_archive(name: str) -> bool:
    """Return whether a file is walked like a folder, or would be if it were not compressed."""
    low = name.lower()
    return low.endswith((*ARCHIVE_SUFFIXES, *COMPRESSED_TARS))


def is_partial(name: str) -> bool:
    """Return whether a name is that of a file that is not complete yet."""
    return _split(name)[1] in PARTIAL_SUFFIXES


def companions(files: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Find the companions among the files of a folder.

    Parameters
    ----------
    files : iterable of (str, int)
        Name and size in bytes.

    Returns
    -------
    dict of str to str
        Names, with ``"raw"`` or ``"clip"`` for each.
    """
    split = [(name, size, *_split(name)) for name, size in files]
    stills = {stem for _, _, stem, suffix in split if suffix in STILL_SUFFIXES}
    found = {}
    for name, size, stem, suffix in split:
        if stem in stills:
            if suffix in RAW_SUFFIXES:
                found[name] = "raw"
            elif suffix in CLIP_SUFFIXES and size <= MOST_CLIP_BYTES:
                found[name] = "clip"
    return found


def without(found: FolderFiles, keep: list[bool]) -> FolderFiles:
    """Return the files of a folder for which `keep` is true."""
    kept = type(found).empty(found.prefix, found.volume)
    kept.names.extend([name for name, is_kept in zip(found.names, keep, strict=True) if is_kept])
    columns = [
        (kept.sizes, found.sizes),
        (kept.times, found.times),
        (kept.ctimes, found.ctimes),
        (kept.inodes, found.inodes),
    ]
    for new, old in columns:
        new.extend([number for number, is_kept in zip(old, keep, strict=True) if is_kept])
    return kept


def _split(name: str) -> tuple[str, str]:
    """Return the stem and the suffix of a name, in lower case."""
    stem, dot, suffix = name.lower().rpartition(".")
    return stem, dot + suffix
