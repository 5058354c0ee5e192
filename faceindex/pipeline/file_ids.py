"""Find files that may have other content although their size and time are as indexed.

A program can write to a file and set its old time of modification again; it cannot do that with the ctime. A
file that is replaced by another has another inode. So a photo whose ctime or inode is not the indexed one is
read, and its content is compared. The new numbers are stored then, so that it is read only once.

But the numbers of most files of a volume may change at once although nobody wrote to them: after a restored
backup, a ``chmod -R``, or at each mount of a disk that invents them. The rule:

- Fewer than half of the files of a volume, or fewer than `FEW`: they are read.
- Most files, on a volume of a kind that may invent numbers (network, FUSE, FAT): they are not read, and the
  number that changed is not used there any more.
- Most files, on any other volume: they are read. If all had the indexed content, and it happens again within
  `AGAIN_SECONDS`, they are not read, and the number is not used there any more.

Comparing all contents (`check_content`) makes the numbers of its volumes count again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from faceindex.errors import Reason
from faceindex.images import Candidate
from faceindex.images.volumes import CTIME, INODE, Volume
from faceindex.store import PhotoRecord, Status
from faceindex.store.volumes import KnownVolume

__all__ = ["AGAIN_SECONDS", "FEW", "Compared", "FileChecks", "compare_file_ids", "nobody_wrote"]

FEW = 16
"""Files that are read in any case."""

AGAIN_SECONDS = 90 * 86_400


class Compared(NamedTuple):
    """A file with the size and the time of the indexed photo at its path."""

    candidate: Candidate
    root: str
    relpath: str
    record: PhotoRecord

    def changed(self) -> Iterator[str]:
        """Yield which of the file's numbers are trusted and not the indexed ones."""
        ids, volume, record = self.candidate.ids, self.candidate.volume, self.record
        if ids is not None and volume is not None:
            if record.ctime_ns not in (None, ids.ctime_ns) and CTIME not in volume.distrusted:
                yield CTIME
            if record.inode not in (None, ids.inode) and INODE not in volume.distrusted:
                yield INODE


@dataclass(slots=True)
class FileChecks:
    """What to do with files whose size and time are as indexed.

    Attributes
    ----------
    read : list of Compared
        Indexed photos whose content is to be compared.
    open_again : list of Compared
        Files that could not be read, or are not photos: they are opened as if they had changed.
    note : list of Compared
        Files whose ctime and inode are stored without reading them: an older version did not, or they were
        missing in the last run.
    volumes : dict of str to KnownVolume or None
        To store if the photos of `read` have the indexed content; None if nothing was learned.
    warnings : list of str
        About volumes that are distrusted from now on.
    """

    read: list[Compared] = field(default_factory=list)
    open_again: list[Compared] = field(default_factory=list)
    note: list[Compared] = field(default_factory=list)
    volumes: dict[str, KnownVolume] | None = None
    warnings: list[str] = field(default_factory=list)


def compare_file_ids(
    differing: Sequence[Compared],
    files_on: Mapping[Volume, int],
    known: Mapping[str, KnownVolume],
    *,
    check_content: bool,
) -> FileChecks:
    """Decide which photos to read; see the rule of this module.

    Parameters
    ----------
    differing : sequence of Compared
        Files whose ctime or inode is not the indexed one, or that could not be read before; all unchanged
        files if `check_content` is set.
    files_on : mapping of Volume to int
        Number of files on each volume that was walked.
    known : mapping of str to KnownVolume
        What earlier runs learned.
    check_content : bool
        Read all.
    """
    checks = FileChecks()
    if check_content:
        for one in differing:
            (checks.read if one.record.status is Status.OK else checks.open_again).append(one)
        walked = {volume.path for volume in files_on}
        if walked & known.keys():
            checks.volumes = {path: volume for path, volume in known.items() if path not in walked}
        return checks
    counts: dict[tuple[Volume, str], int] = {}
    changed = [list(one.changed()) for one in differing]
    for one, numbers in zip(differing, changed, strict=True):
        for number in numbers:
            assert one.candidate.volume is not None
            if one.candidate.volume.is_archive:  # one change of an archive is no sign of its disk
                continue
            key = one.candidate.volume, number
            counts[key] = counts.get(key, 0) + 1
    unused = _learn(checks, counts, files_on, known)
    for one, numbers in zip(differing, changed, strict=True):
        if all((one.candidate.volume, number) in unused for number in numbers):
            if one.record.failed not in (None, Reason.MISSING.value):
                checks.read.append(one)
            elif None in (one.record.ctime_ns, one.record.inode) or one.record.failed:
                checks.note.append(one)
        elif one.record.status is Status.OK:
            checks.read.append(one)
        else:
            checks.open_again.append(one)
    return checks


def _learn(
    checks: FileChecks,
    counts: Mapping[tuple[Volume, str], int],
    files_on: Mapping[Volume, int],
    known: Mapping[str, KnownVolume],
) -> set[tuple[Volume, str]]:
    """Store in `checks` what the numbers of most files show; return the numbers that are not used now."""
    unused: set[tuple[Volume, str]] = set()
    now = int(time.time())
    volumes = {path: KnownVolume(dict(one.renewed), list(one.distrusted)) for path, one in known.items()}
    for (volume, number), count in counts.items():
        if count < FEW or 2 * count < files_on.get(volume, 0):
            continue
        one = volumes.setdefault(volume.path, KnownVolume())
        before = one.renewed.get(number)
        one.renewed[number] = now
        checks.volumes = volumes
        if volume.remote or (before is not None and 0 <= now - before <= AGAIN_SECONDS):
            one.distrusted.append(number)
            unused.add((volume, number))
            what = "times of the last status change (ctimes)" if number == CTIME else "inodes"
            checks.warnings.append(
                f"The {what} of the files on {volume.path} change by themselves, so they are not used any "
                "more to find photos that were changed without a new size or time. Pass `check_content=True` "
                "now and then to find these."
            )
    return unused


def nobody_wrote(one: Compared) -> bool:
    """Return whether the system saw no change of a file since it was indexed."""
    ids, volume = one.candidate.ids, one.candidate.volume
    if ids is None or volume is None or CTIME in volume.distrusted:
        return False
    same_inode = INODE in volume.distrusted or one.record.inode == ids.inode
    return one.record.ctime_ns == ids.ctime_ns and same_inode
