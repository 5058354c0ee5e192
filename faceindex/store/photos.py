"""Names and paths of the photos of an index."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from faceindex.addresses import is_address, normal_path
from faceindex.errors import UsageError
from faceindex.store.directory import CATALOG
from faceindex.store.records import PhotoRecord
from faceindex.store.sqlite import corrupt
from faceindex.store.store import Store

__all__ = ["Photo", "PhotoNames"]

_Value = TypeVar("_Value")


class _Known(dict[int, _Value]):
    """Rows by their ids; an id that another row names must be among them."""

    def __init__(self, found: Mapping[int, _Value], store: Store, what: str) -> None:
        super().__init__(found)
        self._store, self._what = store, what

    def __missing__(self, key: int) -> _Value:
        raise corrupt(
            self._store.directory / CATALOG, f"it has no {self._what} {key}, which a face or photo names"
        )


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of the index.

    Attributes
    ----------
    id : int
    name : str
        The indexed folder as the user wrote it, and the path inside it.
    path : str
        Absolute path.
    relpath : str
        Path relative to the indexed folder.
    width, height : int
        Size of the upright photo in pixels; 0 if it could not be read.
    content_hash : bytes or None
        Result of `faceindex.images.content_hash` when the photo was indexed; None if it could not be read.
    picture : bytes or None
        ``hash`` of `faceindex.images.Picture`; None if unknown.
    taken : int or None
        Capture date in seconds since 1970-01-01 00:00, in the local time of the camera; None if unknown.
    """

    id: int
    name: str
    path: str
    relpath: str
    width: int
    height: int
    content_hash: bytes | None
    picture: bytes | None = None
    taken: int | None = None


class PhotoNames:
    """Names and paths of the photos of an index.

    Parameters
    ----------
    store : Store
    photos : iterable of int, optional
        Ids of the photos to load; None means all.

    Attributes
    ----------
    by_id : dict of int to PhotoRecord
        The loaded photos by their ids.
    records : list of PhotoRecord
        The loaded photos.
    """

    def __init__(self, store: Store, photos: Iterable[int] | None = None) -> None:
        self._roots = _Known({root.id: root for root in store.roots()}, store, "root")
        if photos is None:
            found = {record.id: record for record in store.photos().values()}
        else:
            found = store.photos_by_id(photos)
        self.by_id: dict[int, PhotoRecord] = _Known(found, store, "photo")
        self.records: list[PhotoRecord] = list(self.by_id.values())

    def name(self, record: PhotoRecord) -> str:
        """Return the name of a photo: the indexed folder as the user wrote it, and the path inside it."""
        return normal_path(os.path.join(self._roots[record.root_id].given, record.relpath))  # noqa: PTH118

    def path(self, record: PhotoRecord) -> str:
        """Return the absolute path of a photo."""
        return os.path.join(self._roots[record.root_id].path, record.relpath)  # noqa: PTH118

    def photo(self, record: PhotoRecord) -> Photo:
        """Return a photo with its name and path."""
        return Photo(
            record.id,
            self.name(record),
            self.path(record),
            record.relpath,
            record.width,
            record.height,
            record.content_hash,
            record.picture,
            record.taken,
        )

    def folders(self) -> dict[str, set[str]]:
        """Return the file names of the photos in each folder, by the absolute path of the folder."""
        found: dict[tuple[int, str], set[str]] = {}
        for record in self.records:
            folder, _, name = record.relpath.rpartition("/")
            found.setdefault((record.root_id, folder), set()).add(name)
        return {
            os.path.join(self._roots[root_id].path, folder): names  # noqa: PTH118
            for (root_id, folder), names in found.items()
        }

    def find(self, photo: str | os.PathLike[str]) -> int:
        """Return the id of the photo with this name or path.

        Raises
        ------
        UsageError
            If the photo is not in the index.
        """
        written, paths = _spellings(photo)
        for record in self.records:
            if self.name(record) == written or self.path(record) in paths:
                return record.id
        raise UsageError(
            f"{os.fspath(photo)} is not in the index.", "Index it with `faceindex index PATH...` first."
        )

    def find_away(self, photo: str | os.PathLike[str], away: Iterable[PhotoRecord]) -> list[PhotoRecord]:
        """Return those of some photos that are away which had this name or path.

        Several pictures may have been at a path, one after the other.
        """
        written, paths = _spellings(photo)
        found = []
        for record in away:
            if not record.root_id:  # its root is gone, and its path is absolute
                is_it = record.relpath in paths
            else:
                is_it = self.name(record) == written or self.path(record) in paths
            if is_it:
                found.append(record)
        return found

    def leads_to_photo(self, path: str | os.PathLike[str]) -> bool:
        """Return whether a path is one of the photos, after following symbolic links on both sides.

        An archive with photos counts as one.
        """
        if is_address(path):
            return False  # no program writes there
        real = os.path.realpath(path)
        parent, name = os.path.split(real)
        is_file = os.path.isfile(real)  # noqa: PTH113
        # Resolve each folder once: resolving each photo would take seconds.
        for folder, names in self.folders().items():
            if is_address(folder):
                continue
            here = os.path.realpath(folder)
            if here == parent and name in names:
                return True
            if is_file and (here + os.sep).startswith(real + os.sep):
                return True
            if any(os.path.realpath(os.path.join(here, link)) == real for link in names & _links(here)):  # noqa: PTH118
                return True
        return False


def _spellings(photo: str | os.PathLike[str]) -> tuple[str, tuple[str, ...]]:
    """Return how a photo is written, and the paths that this means."""
    written = normal_path(photo)
    if is_address(written):
        return written, (written,)
    absolute = os.path.abspath(written)  # noqa: PTH100
    real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))  # noqa: PTH118, PTH119, PTH120
    return written, (absolute, real)


def _links(folder: str) -> set[str]:
    """Return the names of the symbolic links in a folder; none if it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_symlink()}
    except OSError:
        return set()
