"""`faceindex.FaceIndex.find`: the photos that show some people."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from faceindex.addresses import is_address, normal_path
from faceindex.documents import Result
from faceindex.errors import UsageError
from faceindex.people.dates import clean_date, first_second, last_second, moment_of
from faceindex.people.find import Finder, check_ages
from faceindex.people.query import And, Name, parse
from faceindex.people.roster import Roster
from faceindex.store.photos import PhotoNames

if TYPE_CHECKING:
    from datetime import datetime

    from faceindex.api.reader import Reader
    from faceindex.export.links import LinkedPhotos
    from faceindex.export.source import Progress
    from faceindex.store import Store

__all__ = ["FoundPhoto", "FoundPhotos", "IndexFinding", "Sort"]

Sort: TypeAlias = Literal["name", "date"]


@dataclass(frozen=True, slots=True)
class FoundPhoto(Result):
    """A photo that `find` found.

    Attributes
    ----------
    id : int
        In this index.
    photo : str
        Name: the indexed folder as it was given, and the path inside it.
    path : str
        Absolute path. The file may have been moved or deleted since it was indexed.
    taken : datetime or None
        Capture time, in the camera's local time.
    people : tuple of str
        Names of all people on it, sorted; also of those that the query does not name, and hidden ones.
    faces : tuple of int
        The faces that the query is about: of its people and clusters outside of ``!``.
    """

    id: int
    photo: str
    path: str
    taken: datetime | None
    people: tuple[str, ...]
    faces: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FoundPhotos(Sequence[FoundPhoto]):
    """The photos that `find` found, as a sequence.

    Attributes
    ----------
    photos : tuple of FoundPhoto
    query : str
        The query, as it was understood; empty for none.
    undated : int
        Photos that were left out because a date was asked for and they have none.
    """

    photos: tuple[FoundPhoto, ...]
    query: str
    undated: int

    def __len__(self) -> int:
        return len(self.photos)

    @overload
    def __getitem__(self, at: int) -> FoundPhoto: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[FoundPhoto, ...]: ...
    def __getitem__(self, at: int | slice) -> FoundPhoto | tuple[FoundPhoto, ...]:
        return self.photos[at]

    def __iter__(self) -> Iterator[FoundPhoto]:
        return iter(self.photos)


class IndexFinding:
    """Finds photos by the people on them; called as ``index.find("Anna & Ben")``.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __call__(
        self,
        query: str | None = None,
        *,
        only: bool = False,
        since: str | None = None,
        until: str | None = None,
        age_of: tuple[str, int, int] | None = None,
        sort: Sort = "name",
    ) -> FoundPhotos:
        """Find the photos that show some people. Reads the index only: files that are gone are listed too.

        Parameters
        ----------
        query : str, optional
            Such as ``"Anna & (Ben | Carl) & !c7"``; the language of `faceindex.people.query`. None means all
            photos.
        only : bool
            Leave out photos with somebody whom the query does not name outside of ``!``: another person, or
            a face of a cluster without a name. Faces in no cluster do not count.
        since, until : str, optional
            First and last capture date: ``1950``, ``1950-06`` or ``1950-06-14``, the last one inclusive.
        age_of : (str, int, int), optional
            A name and two ages in full years: photos that show this person at an age from the first to the
            second one, inclusive. If only the year or month of birth is known, at a possible age.
        sort : {"name", "date"}
            Photos without a date come last.

        Returns
        -------
        FoundPhotos
            A sequence of `FoundPhoto`. Its `undated` counts the photos that were left out because they have
            no capture date.

        Raises
        ------
        UsageError
            If the query cannot be parsed, a name or a cluster is unknown, or a date or an age is not valid.
        """
        return _find_photos(
            self._reader.store, query, only=only, since=since, until=until, age_of=age_of, sort=sort
        )

    def link(
        self,
        photos: Iterable[FoundPhoto],
        destination: str | os.PathLike[str],
        *,
        public: bool = False,
        on_progress: Progress | None = None,
    ) -> LinkedPhotos:
        """Make a folder of symbolic links to photos; hard links, or copies, where links are impossible.

        Called again for the same folder, also with other photos, it changes only what is different. Foreign
        files stay; see `faceindex.export.folder.Folder`.

        Parameters
        ----------
        photos : iterable of FoundPhoto
        destination : path-like
            A folder; created if missing.
        public : bool
            Let other users of this machine see the folder, and read copies in it.
        on_progress : callable, optional
            Called with the number of finished photos and of all photos.

        Returns
        -------
        LinkedPhotos

        Raises
        ------
        UsageError
            If the destination cannot be used, as one that is among the photos.
        FaceIndexError
            If its disk is full.
        """
        from pathlib import Path

        from faceindex.api.copies import recorded
        from faceindex.export.destination import ProtectedPaths
        from faceindex.export.folder import Folder
        from faceindex.export.links import link_photos
        from faceindex.export.originals import Originals
        from faceindex.export.source import ignore_progress

        store = self._reader.store
        with store.snapshot():
            photos = list(photos)
            names = PhotoNames(store, [photo.id for photo in photos])
            wanted = [names.photo(record) for record in names.records]
            roots = tuple(Path(root.path) for root in store.roots() if not is_address(root.path))

        def originals() -> Iterator[tuple[str, bytes | None]]:
            everything = PhotoNames(store)
            for record in everything.records:
                yield everything.path(record), record.content_hash

        options = {"faces": sorted({face for photo in photos for face in photo.faces})}
        protected = ProtectedPaths(store.directory, roots, public)
        with (
            recorded(self._reader, destination, "find", options),
            Folder(destination, "find", protected) as folder,
        ):
            folder.originals = Originals(originals())
            return link_photos(wanted, folder, on_progress=on_progress or ignore_progress)


def _find_photos(
    store: Store,
    query: str | None,
    *,
    only: bool,
    since: str | None,
    until: str | None,
    age_of: tuple[str, int, int] | None,
    sort: Sort,
) -> FoundPhotos:
    if sort not in ("name", "date"):
        raise UsageError(f"There is no order '{sort}'.", "Choose name or date.")
    if query is None and since is None and until is None and age_of is None:
        raise UsageError("Nothing is given to find.", "Give a name, such as Anna, or a date.")
    begin = None if since is None else first_second(clean_date(since))
    end = None if until is None else last_second(clean_date(until))
    if begin is not None and end is not None and begin > end:
        raise UsageError(f"`since` {since} is after `until` {until}.", "Swap them.")
    wanted = None if query is None else parse(query)
    if age_of is not None:
        name, youngest, oldest = age_of
        if youngest > oldest:
            raise UsageError(f"The ages {youngest}..{oldest} are none.", "Write the lower one first.")
        named = Name(name)
        wanted = named if wanted is None or wanted == named else And((wanted, named))
    with store.snapshot():
        queries = store.finding
        finder = Finder(queries, Roster.of(store.decisions.people()))
        births = [] if age_of is None else finder.births(age_of[0])
        photos = queries.readable() if wanted is None else finder.photos(wanted)
        meant = None if wanted is None else finder.meant(wanted)
        shown = None
        if only:
            if not meant:
                raise UsageError(
                    "`only` needs a name outside of `!`.", "Name whom the photos show, and nobody else."
                )
            shown = finder.faces_on(photos)
            photos = {
                photo
                for photo in photos
                if all(meant.includes(cluster, person) for _, cluster, person in shown.get(photo, ()))
            }
        undated = 0
        if begin is not None or end is not None or births:
            taken = queries.taken(photos)
            undated = len(photos) - len(taken)
            photos = {
                photo
                for photo, at in taken.items()
                if (begin is None or at >= begin)
                and (end is None or at <= end)
                and (age_of is None or check_ages(births, at, *age_of[1:]))
            }
        if shown is None:
            shown = finder.faces_on(photos)
        places = list(queries.places(photos))
        roots = {root.id: (_start(normal_path(root.given)), _start(root.path)) for root in store.roots()}
    title = cache(finder.roster.title)
    found = []
    for id, root, relpath, at in places:
        faces = shown.get(id, ())
        given, path = roots[root]
        below = relpath if os.sep == "/" else relpath.replace("/", os.sep)
        found.append(
            FoundPhoto(
                id=id,
                photo=given + below,
                path=path + below,
                taken=None if at is None else moment_of(at),
                people=tuple(sorted({title(person) for _, _, person in faces if person is not None})),
                faces=tuple(face for face, *who in faces if meant and meant.includes(*who)),
            )
        )
    found.sort(key=lambda photo: (photo.photo, photo.id))
    if sort == "date":  # without a date: at the end
        found.sort(key=lambda photo: (photo.taken is None, photo.taken or moment_of(0)))
    return FoundPhotos(tuple(found), "" if wanted is None else str(wanted), undated)


def _start(folder: str) -> str:
    """Return what stands before the names in a folder: nothing for the current one."""
    return "" if folder == os.curdir else os.path.join(folder, "")  # noqa: PTH118
