"""The three sides of an exchange with files: the index, a file, and on what both agreed last."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from faceindex.addresses import absolute_path, is_address, real_path
from faceindex.api.source_boxes import is_cropped
from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images.containers import locate
from faceindex.interchange.xmp import SidecarFinder, join_people, read_packets
from faceindex.matching import LEAST_OVERLAP
from faceindex.people.roster import name_key
from faceindex.store import Status
from faceindex.store.exchanged import ExchangedRegion
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from faceindex.images.containers import Inside
    from faceindex.interchange.regions import Box, Region, SourcePhoto
    from faceindex.interchange.xmp import XmpPeople
    from faceindex.people.roster import Roster
    from faceindex.store import PhotoRecord, Store

__all__ = [
    "FileSide",
    "IndexSide",
    "NamedFace",
    "Photos",
    "packed",
    "pair",
    "read_files",
    "same_name",
    "stored_size",
    "unpacked",
    "usable_rows",
]

_BOX: Final = struct.Struct("<4f")


def packed(box: Sequence[float]) -> bytes:
    """Return a box as marks have it."""
    return _BOX.pack(*box)


def unpacked(box: bytes) -> Box:
    """Return the box of a mark."""
    x1, y1, x2, y2 = _BOX.unpack(box)
    return x1, y1, x2, y2


def same_name(one: str | None, other: str | None) -> bool:
    """Return whether two names are one for the index."""
    return one is not None and other is not None and name_key(one) == name_key(other)


@dataclass(frozen=True, slots=True)
class NamedFace:
    """A face of which the user said who it shows.

    Attributes
    ----------
    mark, person : int
        The person after merges.
    name : str or None
        Of the person.
    hidden : bool
    box : tuple of float
        In fractions of the stored picture.
    """

    mark: int
    person: int
    name: str | None
    hidden: bool
    box: Box


class IndexSide:
    """What the user said of the faces of pictures.

    Parameters
    ----------
    store : Store
    roster : Roster
    """

    def __init__(self, store: Store, roster: Roster) -> None:
        self._marks = store.exchanged.named_marks()
        self._roster = roster

    def faces(self, picture: bytes | None) -> list[NamedFace]:
        """Return the named faces on a picture."""
        found = []
        for mark in self._marks.get(picture, ()) if picture is not None else ():
            root = self._roster.roots[mark.person]
            record = self._roster.records[root]
            found.append(NamedFace(mark.mark, root, record.name, record.hidden, unpacked(mark.box)))
        return found


@dataclass(frozen=True, slots=True)
class FileSide:
    """What the files of a photo say of the people on it.

    Attributes
    ----------
    people : SourcePhoto
        Of the sidecars and the photo together.
    sidecars : tuple of str
        All that there are, the one that counts most first.
    packets : tuple of (str, XmpPeople)
        The files that could be read.
    named : tuple of Region
        The regions with a name; none if the picture has another shape now.
    cropped : bool
        Whether it has.
    problems : tuple of str
    """

    people: SourcePhoto
    sidecars: tuple[str, ...]
    packets: tuple[tuple[str, XmpPeople], ...]
    named: tuple[Region, ...]
    cropped: bool
    problems: tuple[str, ...]

    def has(self, *, embedded: bool) -> bool:
        """Return whether a packet in the photo, or a sidecar, could be read."""
        return any((name not in self.sidecars) == embedded for name, _ in self.packets)

    def regions(self, *, embedded: bool) -> list[Region]:
        """Return the regions with a name in the photo itself, or in the sidecars."""
        return [
            region
            for name, people in self.packets
            for region in people.regions
            if (name not in self.sidecars) == embedded and region.name and not region.rejected
        ]

    def is_embedded(self, region: Region) -> bool:
        """Return whether a region is from the photo itself."""
        return region not in self.regions(embedded=False)


class Photos:
    """The photos of an index that are exchanged, in the order of their paths, and their files.

    Parameters
    ----------
    store : Store
    paths : iterable of path-like
        Photos and folders; none for all.

    Attributes
    ----------
    records : list of PhotoRecord
    names : PhotoNames
    """

    def __init__(self, store: Store, paths: Iterable[str | os.PathLike[str]]) -> None:
        self.names = PhotoNames(store)
        every = [record for record in self.names.records if record.status is Status.OK]
        chosen = [(self.names.path(record), record) for record in every]
        wanted = list(paths)
        if wanted:
            chosen = _below(chosen, wanted)
        chosen.sort(key=lambda one: os.path.split(one[0]))
        self.records = [record for _, record in chosen]
        self._finder = SidecarFinder()
        self._folders: dict[str, bool] = {}

    def inside(self, record: PhotoRecord) -> Inside | None:
        """Return the container of a photo inside a file."""
        path = self.names.path(record)
        folder = os.path.dirname(path)  # noqa: PTH120
        if folder not in self._folders:
            self._folders[folder] = os.path.isdir(folder)  # noqa: PTH112
        return None if self._folders[folder] else locate(path)

    def read(self, record: PhotoRecord) -> FileSide | None:
        """Read the files of a photo; None if it is not there.

        Raises
        ------
        ImageError
            If it cannot be read.
        """
        return read_files(record, self.names.path(record), self._finder)


def read_files(record: PhotoRecord, path: str, finder: SidecarFinder) -> FileSide | None:
    """Read the files of a photo, as `Photos.read`."""
    sidecars = tuple(finder.of(path))
    size, problems = stored_size(record), list[str]()
    try:
        packets = read_packets(
            path, size=size, orientation=record.orientation, sidecars=sidecars, problems=problems
        )
    except ImageError as error:
        if error.reason is Reason.MISSING:
            return None
        raise
    people = join_people(path, packets)
    cropped = people.dimensions is not None and size is not None and is_cropped(people.dimensions, size)
    named = () if cropped else tuple(r for r in people.regions if r.name and not r.rejected)
    return FileSide(people, sidecars, tuple(packets), named, cropped, tuple(problems))


def stored_size(record: PhotoRecord) -> tuple[int, int] | None:
    """Return the width and height of the stored picture; None if unknown."""
    size = record.width, record.height
    if min(size) < 1:
        return None
    return size[::-1] if record.orientation > 4 else size


def _below(
    chosen: list[tuple[str, PhotoRecord]], paths: Sequence[str | os.PathLike[str]]
) -> list[tuple[str, PhotoRecord]]:
    """Return the photos that are below some paths, or are these."""
    found: dict[int, tuple[str, PhotoRecord]] = {}
    for given in paths:
        expanded = os.fspath(given) if is_address(given) else os.path.expanduser(os.fspath(given))  # noqa: PTH111
        places = {absolute_path(expanded), real_path(expanded)}
        starts = tuple(place.rstrip("/") + "/" for place in places)
        here = [one for one in chosen if one[0] in places or one[0].startswith(starts)]
        if not here:
            raise UsageError(
                f"The index has no photo at {os.fspath(given)}.",
                "Index it with `faceindex index PATH...` first.",
            )
        found.update((record.id, (path, record)) for path, record in here)
    return list(found.values())


def usable_rows(rows: Iterable[ExchangedRegion], record: PhotoRecord) -> list[ExchangedRegion]:
    """Return the exchanged regions of a photo that are of the picture which it has now."""
    return [row for row in rows if row.picture == record.picture]


def _overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes that contain each other's centre, else 0."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    for outer, inner in ((a, b), (b, a)):
        x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
        if not (outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]):
            return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def pair(one: Sequence[Box], other: Sequence[Box]) -> dict[int, int]:
    """Match boxes of one picture, as `faceindex.matching.match_boxes` does; positions in `other` by `one`.

    A photo has few boxes, so that arrays would cost more than they save.
    """
    found = [
        (share, i, j)
        for i, a in enumerate(one)
        for j, b in enumerate(other)
        if (share := _overlap(a, b)) >= LEAST_OVERLAP
    ]
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(found, key=lambda each: (-each[0], each[1], each[2])):
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs
