"""Find the photos of other programs in the index."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from faceindex.errors import FaceIndexError, UsageError
from faceindex.images.opening import open_photo
from faceindex.interchange.known_paths import FoundPath, KnownPaths, components
from faceindex.interchange.sources import is_rooted
from faceindex.store import Status

if TYPE_CHECKING:
    from faceindex.interchange.regions import SourcePhoto
    from faceindex.store import PhotoRecord, Store

__all__ = ["FoundPhoto", "Lookup", "PhotoFinder"]

_SURE_TAIL: Final = 2  # components: a file name alone, such as IMG_0001.JPG, is that of many photos
_OF_CAMERAS: Final = re.compile(r"dcim|camera|\d{3}(?!\d{5})[a-z0-9_]{5}", re.IGNORECASE)
"""Folders that cameras make, such as ``100CANON`` (DCF, CIPA DC-009): many photos have the same path."""

_BLOCK: Final = 1 << 20


class Lookup(Enum):
    """What came of looking for a photo."""

    FOUND = "found"
    ABSENT = "absent"
    AMBIGUOUS = "ambiguous"  # several photos have the longest common tail
    UNSURE = "unsure"  # only a part of its path agrees, and nothing confirms that it is the same file


@dataclass(frozen=True, slots=True)
class FoundPhoto:
    """A photo of another program, in the index.

    Attributes
    ----------
    lookup : Lookup
    record : PhotoRecord or None
        If it is found.
    away : bool
        Whether the photo is away.
    certain : bool
        Whether the whole path agrees, or the content. Otherwise another photo may have a better claim.
    tail : int
        Components of the path that agree.
    """

    lookup: Lookup
    record: PhotoRecord | None = None
    away: bool = False
    certain: bool = False
    tail: int = 0


class PhotoFinder:
    """Finds photos by their paths, sizes and digests.

    Parameters
    ----------
    store : Store
    photos_at : path-like, optional
        The folder that paths of the program are relative to. Photos outside of it are not found.

    Raises
    ------
    UsageError
        If there is no such folder.
    """

    def __init__(self, store: Store, photos_at: str | os.PathLike[str] | None = None) -> None:
        self._store = store
        self._roots: list[str] = []
        if photos_at is not None:
            if not os.path.isdir(photos_at):  # noqa: PTH112
                raise UsageError(
                    f"{os.fspath(photos_at)} is not a folder.", "Pass the folder of the program's photos."
                )
            absolute = os.path.abspath(photos_at)  # noqa: PTH100
            self._roots = list(dict.fromkeys([absolute, os.path.realpath(absolute)]))
        self._away = {record.id: record for record in store.away_photos()}
        bases = {root.id: root.path for root in store.roots()}
        self._live = KnownPaths((id, path) for id, path in store.importing.paths() if self._is_below(path))
        away_paths = ((record.id, _away_path(record, bases)) for record in self._away.values())
        self._gone = KnownPaths((id, path) for id, path in away_paths if self._is_below(path))
        self._bases = bases

    def _is_below(self, path: str) -> bool:
        return not self._roots or any(path.startswith(root.rstrip("/") + "/") for root in self._roots)

    def find(self, photos: Sequence[SourcePhoto]) -> list[FoundPhoto]:
        """Find some photos."""
        live = [self._look(self._live, photo.path) for photo in photos]
        numbers = {number for found, _ in live for number in found.numbers}
        records = self._store.photos_by_id(numbers)
        result = []
        for photo, (found, exact) in zip(photos, live, strict=True):
            chosen = self._choose(photo, found, exact, records, away=False)
            if chosen.lookup is not Lookup.FOUND and self._away:
                gone = self._choose(photo, *self._look(self._gone, photo.path), self._away, away=True)
                if gone.lookup is Lookup.FOUND or chosen.lookup is Lookup.ABSENT:
                    chosen = gone
            result.append(chosen)
        return result

    def _look(self, known: KnownPaths, path: str) -> tuple[FoundPath, bool]:
        """Return the photos that a path may mean, and whether it is exactly the path of these."""
        candidates = [path] if path.startswith("/") else [f"{root}/{path}" for root in self._roots]
        for candidate in candidates:
            if numbers := known.exact(candidate):
                return FoundPath(numbers, len(components(candidate)), True), True
        return known.find(path), False

    def _choose(
        self,
        photo: SourcePhoto,
        found: FoundPath,
        exact: bool,
        records: Mapping[int, PhotoRecord],
        *,
        away: bool,
    ) -> FoundPhoto:
        left = [records[number] for number in found.numbers if number in records]
        left = [record for record in left if record.status is Status.OK]
        if not left:
            return FoundPhoto(Lookup.ABSENT)
        if len(left) > 1:
            name = photo.path.rpartition("/")[2]
            written = [record for record in left if record.relpath.rpartition("/")[2] == name]
            left = written if exact and written else left
        same_size = [record for record in left if photo.file_size == record.size]
        confirmed = bool(same_size)
        if len(_pictures(left)) > 1 and same_size:
            left = same_size
        unchecked = photo.file_size is None and photo.sha1 is None
        agrees = _names_a_folder(photo.path, found.tail)
        sure = exact or (unchecked and agrees and found.whole and not self._roots)
        unconfirmed = not sure and not (confirmed and agrees)
        if photo.sha1 is not None and (len(_pictures(left)) > 1 or unconfirmed) and not away:
            same = [record for record in left if self._sha1(record) == photo.sha1]
            left, confirmed = same or left, bool(same)
        if len(_pictures(left)) > 1:
            return FoundPhoto(Lookup.AMBIGUOUS, tail=found.tail)
        elsewhere = bool(self._roots) and not is_rooted(photo.path)  # than the user says
        if sure or confirmed or (unchecked and not elsewhere and agrees):
            record = min(left, key=lambda record: record.id)
            return FoundPhoto(Lookup.FOUND, record, away, sure or confirmed, found.tail)
        return FoundPhoto(Lookup.UNSURE, tail=found.tail)

    def _sha1(self, record: PhotoRecord) -> bytes | None:
        """Return the SHA-1 of the file of a photo; None if it cannot be read."""
        digest = hashlib.sha1(usedforsecurity=False)
        with suppress(OSError, ValueError, FaceIndexError), open_photo(self.path(record)) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
            return digest.digest()
        return None

    def path(self, record: PhotoRecord) -> str:
        """Return the absolute path of a photo of the index."""
        return _away_path(record, self._bases)


def _names_a_folder(path: str, tail: int) -> bool:
    """Whether the last components of a path are more than the name of a file and of folders of cameras."""
    folders = components(path)[-tail:-1] if tail else []
    return sum(_OF_CAMERAS.fullmatch(folder) is None for folder in folders) >= _SURE_TAIL - 1


def _away_path(record: PhotoRecord, bases: Mapping[int, str]) -> str:
    base = bases.get(record.root_id)
    return record.relpath if base is None else f"{base.rstrip('/')}/{record.relpath}"


def _pictures(records: Sequence[PhotoRecord]) -> set[object]:
    """Return what the pictures of photos are known by; copies of one picture are one."""
    return {
        (record.picture, record.orientation) if record.picture is not None else record.id
        for record in records
    }
