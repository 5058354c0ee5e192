"""`faceindex.FaceIndex.roots`: the folders of an index; move them to other paths, or remove them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.addresses import absolute_path, is_address, real_path
from faceindex.documents import Result
from faceindex.paths import Presence, presence
from faceindex.pipeline.counting import count_photos
from faceindex.pipeline.places import away_in_places, path_below, photos_below
from faceindex.pipeline.roots import no_photos, plan_relocation, relocate
from faceindex.store import Status

if TYPE_CHECKING:
    from faceindex.api.reader import Reader
    from faceindex.store import Root

__all__ = ["IndexRoots", "Relocated", "RemovedRoot", "RootFolder", "state_of_root"]


@dataclass(frozen=True, slots=True)
class RootFolder(Result):
    """A folder of the index.

    Attributes
    ----------
    path : str
        Absolute.
    given : str
        As the user wrote it.
    photos, faces : int
        In the index now.
    gone : int
        Photos that were deleted, and whose faces are still kept.
    state : str
        ``present``, ``empty`` or ``missing``, as is a store that cannot be reached. A web server that
        answers is ``present``.
    """

    path: str
    given: str
    photos: int
    faces: int
    gone: int
    state: Presence


@dataclass(frozen=True, slots=True)
class Relocated(Result):
    """Photos that the index finds at another place now.

    Attributes
    ----------
    old, new : str
        Absolute paths.
    photos, faces : int
    sampled, found : int
        Photos that were looked for in the new place, and those that are there.
    dry_run : bool
    """

    old: str
    new: str
    photos: int
    faces: int
    sampled: int
    found: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class RemovedRoot(Result):
    """Photos that were removed from the index.

    Attributes
    ----------
    path : str
        Absolute.
    photos, faces : int
        What was removed.
    gone : int
        Photos that had been deleted from the disk before, and whose kept faces were removed.
    people : tuple of str
        Names of people of whom no face is left in the index, sorted.
    decisions : int
        Faces about which the user decided something; the decisions stay, and count again if the photos do.
    dry_run : bool
    """

    path: str
    photos: int
    faces: int
    gone: int
    people: tuple[str, ...]
    decisions: int
    dry_run: bool


class IndexRoots:
    """The folders of an index, as ``index.roots()``.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._store = reader.store

    def __call__(self) -> list[Root]:
        """Return the indexed folders."""
        return self._store.roots()

    def describe(self) -> list[RootFolder]:
        """Return the indexed folders with what the index has of them, and whether they are there."""
        with self._store.snapshot():
            roots, photos, away = self._store.roots(), self._store.photos(), self._store.away_photos()
        found = []
        for root in roots:
            records = [record for (root_id, _), record in photos.items() if root_id == root.id]
            found.append(
                RootFolder(
                    root.path,
                    root.given,
                    sum(record.status is Status.OK for record in records),
                    sum(record.faces for record in records),
                    sum(record.root_id == root.id for record in away),
                    state_of_root(root.path),
                )
            )
        return found

    def relocate(
        self, old: str | os.PathLike[str], new: str | os.PathLike[str], *, dry_run: bool = False
    ) -> Relocated:
        """Set where photos are now. They keep their ids, faces, clusters and decisions.

        Up to 50 of the photos are read at the new place, and compared by content and picture. At least half
        must be there; the next `add` finds out what has become of the others. A photo that is in the index
        under its new path already leaves it.

        Parameters
        ----------
        old : path-like
            An indexed folder, a folder in one, a folder with several, or a photo. It need not exist.
        new : path-like
            Where its photos are now.
        dry_run : bool
            Check only.

        Raises `UsageError` if the index has no photos of `old`, or they are not in `new`.
        """
        planned = plan_relocation(self._store, old, new)
        if not dry_run:
            relocate(self._store, planned, new)
        records = [record for record, _ in planned.photos]
        return Relocated(
            planned.old,
            planned.new,
            count_photos(records),
            sum(record.faces for record in records),
            planned.sampled,
            planned.found,
            dry_run,
        )

    def remove(self, path: str | os.PathLike[str], *, dry_run: bool = False) -> RemovedRoot:
        """Remove the photos of a folder from the index, with their faces, for good; the files stay.

        Decisions stay: they count again if the photos are indexed again.

        Parameters
        ----------
        path : path-like
            An indexed folder, a folder in one, a folder with several, or a photo. It need not exist.
        dry_run : bool
            Count only.

        Raises `UsageError` if the index has no photos of `path`.
        """
        store = self._store
        place, records, away = "", [], []
        with store.snapshot():
            for place in dict.fromkeys((absolute_path(path), real_path(path))):
                records = [record for record, _ in photos_below(store, place)]
                away = [record for record, _ in away_in_places(store, [place])]
                if records or away or any(path_below(r.path, place) is not None for r in store.roots()):
                    break
            else:
                raise no_photos(path)
            people, decisions = self._lost({record.id for record in records})
        if not dry_run:
            store.remove_photos([record.id for record in records], [record.id for record in away])
        return RemovedRoot(
            place,
            count_photos(records),
            sum(record.faces for record in records),
            len(away),
            people,
            decisions,
            dry_run,
        )

    def _lost(self, photos: set[int]) -> tuple[tuple[str, ...], int]:
        """Return the people with all faces on some photos, and the number of faces there with decisions."""
        import numpy as np

        table, view = self._reader.table(), self._reader.people()
        inside = np.isin(table.photo, np.array(sorted(photos), np.int64))
        there, elsewhere = (set(view.person[which].tolist()) - {-1} for which in (inside, ~inside))
        marked = self._store.decisions.marks_of_faces(table.face[inside].tolist())
        return tuple(sorted(view.roster.title(person) for person in there - elsewhere)), len(marked)


def state_of_root(root: str) -> Presence:
    """Return whether there is anything in a folder or store; see `RootFolder.state`."""
    if not is_address(root):
        return presence(root)
    from faceindex.images.remote import presence as presence_in_store

    return presence_in_store(root)
