"""Roots and photos of the index directory, the part of `Store` that `index` uses most."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import UsageError
from faceindex.store import away, photo_records, scans
from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import text
from faceindex.store.commit import commit_photos
from faceindex.store.decisions import DecisionTables
from faceindex.store.directory import IN_WORK, file_state
from faceindex.store.records import NewMetadata, NewPhoto, PhotoRecord, Root, ScanCounts
from faceindex.store.rows import Rows
from faceindex.store.searching import Searching
from faceindex.store.suspects import (
    InWork,
    Suspect,
    add_suspects,
    read_suspects,
    remove_suspects,
    take_leftover,
)
from faceindex.store.volumes import KnownVolume, load_volumes, save_volumes

if TYPE_CHECKING:
    from faceindex.images import Picture

__all__ = ["CATCH_UP_AFTER", "PhotoStore"]

CATCH_UP_AFTER = 4096
"""Rows that a neighbour index outside the files may lack while commits go on; the run ends with none."""


class PhotoStore:
    """Reads and changes roots and photos. `Store` opens the files."""

    directory: Path
    writable: bool
    _catalog: Catalog
    _rows: Rows
    _searching: Searching

    def _require_writable(self) -> Catalog:
        if not self.writable:
            raise UsageError("The index is open for reading only.", "Open it with `write=True`.")
        return self._catalog

    def roots(self) -> list[Root]:
        """Return all roots, in the order in which they were added."""
        return photo_records.roots(self._catalog)

    def add_root(self, path: str | os.PathLike[str], given: str) -> Root:
        """Return the root that contains a folder (absolute; `given` as the user typed it), or add one.

        Roots inside a new root are merged into it: their photos get paths relative to it, and keep their
        ids, faces and clusters.
        """
        return photo_records.add_root(self._require_writable(), path, given)

    def photos(self, root_id: int | None = None) -> dict[tuple[int, str], PhotoRecord]:
        """Return the photos of one root, or of all (None), by (root id, relative path)."""
        found = photo_records.photos(self._catalog, root_id)
        return {(photo.root_id, photo.relpath): photo for photo in found}

    def photos_by_id(self, photo_ids: Iterable[int]) -> dict[int, PhotoRecord]:
        """Return photos by id; unknown ids are ignored."""
        return {photo.id: photo for photo in photo_records.photos_by_id(self._catalog, set(photo_ids))}

    def photos_by_content(self, content_hash: bytes) -> list[PhotoRecord]:
        """Return the photos with this content, in the order of their ids."""
        return photo_records.photos_by_content(self._catalog, content_hash)

    def photos_by_picture(self, picture: bytes) -> list[PhotoRecord]:
        """Return the photos with this hash of their picture, in the order of their ids."""
        return photo_records.photos_by_picture(self._catalog, picture)

    def commit(self, photos: Sequence[NewPhoto]) -> None:
        """Store a batch of photos and their faces durably: all of it, or nothing.

        A process that is killed leaves the whole batch or none of it, and all earlier commits. A photo
        that is already known by root and path is replaced, and its old faces go away, see `put_away`.

        Raises `UsageError` if arrays differ in length, or vectors are not of unit length or of the index's
        dimension, and `StoreError` if the disk is full or fails. Nothing is committed then.
        """
        commit_photos(self._require_writable(), self._rows.file, photos)
        self._searching.catch_up(least=CATCH_UP_AFTER)

    def move_photos(self, moves: Sequence[tuple[int, int, str, int, int]]) -> None:
        """Change the paths of photos, given as (photo id, root id, relpath, size, mtime_ns).

        They keep their faces and clusters. `moves` may contain swaps and cycles. A photo at a new path that
        is not itself moved goes away.
        """
        with self._require_writable().transaction():
            photo_records.move_photos(self._catalog, moves)

    def update_size_and_time(self, updates: Iterable[tuple[int, int, int]]) -> None:
        """Store new (photo id, size, mtime_ns) of photos whose content is unchanged."""
        with self._require_writable().transaction():
            photo_records.update_size_and_time(self._catalog, updates)

    def update_metadata(self, updates: Iterable[NewMetadata]) -> None:
        """Store what changes of photos whose files have new bytes, but the same pictures."""
        with self._require_writable().transaction():
            photo_records.update_metadata(self._catalog, updates)

    def save_file_ids(self, updates: Iterable[tuple[int, int, int]]) -> None:
        """Store the (photo id, ctime, inode) of photos that were read and have the indexed content."""
        with self._require_writable().transaction():
            photo_records.save_file_ids(self._catalog, updates)

    def mark_failed(self, failures: Iterable[tuple[int, str]]) -> None:
        """Store why indexed photos, given as (photo id, reason), cannot be read now; their faces stay."""
        with self._require_writable().transaction():
            photo_records.mark_failed(self._catalog, failures)

    def volumes(self) -> dict[str, KnownVolume]:
        """Return what was learned about the volumes of the photos, by their paths."""
        return load_volumes(self._catalog)

    def save_volumes(self, volumes: Mapping[str, KnownVolume]) -> None:
        """Replace what was learned about volumes."""
        with self._require_writable().transaction(keep_scans=True):
            save_volumes(self._catalog, volumes)

    def save_pictures(self, pictures: Iterable[tuple[int, Picture]]) -> None:
        """Store the pictures of photos that were indexed without them; see `MarkTables.save_pictures`."""
        with self._require_writable().transaction():
            DecisionTables(self._catalog).save_pictures(pictures)

    def remove_photos(self, photo_ids: Iterable[int], away_ids: Iterable[int] = ()) -> None:
        """Remove photos for good, and roots without photos; with photos that are away, in one transaction.

        Unknown ids are ignored.
        """
        with self._require_writable().transaction():
            photo_records.delete_photos(self._catalog, photo_ids)
            away.delete_away(self._catalog, away_ids)
            photo_records.delete_empty_roots(self._catalog)

    # Photos that are away ----------------------------------------------------------------------

    def put_away(self, photo_ids: Iterable[int]) -> None:
        """Take photos out of the index, and roots without photos; keep their faces for `bring_back`.

        Unknown ids are ignored.
        """
        with self._require_writable().transaction():
            away.put_away(self._catalog, photo_ids)
            photo_records.delete_empty_roots(self._catalog)

    def away_photos(self) -> list[PhotoRecord]:
        """Return the photos that are away, in the order of their ids.

        The ``root_id`` of one whose root is gone is 0, and its ``relpath`` is absolute.
        """
        return photo_records.away_photos(self._catalog)

    def count_away(self) -> away.Away:
        """Count the photos that are away."""
        return away.count_away(self._catalog)

    def bring_back(self, returns: Sequence[away.Return]) -> None:
        """Bring photos that are away back, with their faces, clusters and decisions; see `away.bring_back`.

        Raises `StoreError` if the disk is full or fails. Nothing has come back then.
        """
        away.bring_back(self._require_writable(), self._rows.file, returns)

    def remove_expired(self, keep_days: float) -> int:
        """Remove the photos that have been away for `keep_days` days for good; return their number."""
        with self._require_writable().transaction(keep_scans=True):
            return away.delete_expired(self._catalog, keep_days)

    def relocate_photos(
        self,
        folders: Iterable[tuple[str, str]],
        moves: Mapping[int, str],
        away_moves: Mapping[int, str],
    ) -> None:
        """Add roots and change the paths of photos, in one transaction.

        A photo at a new path that is not itself moved goes away. Roots without photos are deleted.

        Parameters
        ----------
        folders : iterable of (str, str)
            Absolute paths of the folders of the new paths, and as the user wrote them; as in `add_root`.
        moves, away_moves : mapping of int to str
            New absolute paths of photos, and of photos that are away, by id. Unknown ids are ignored.
        """
        with self._require_writable().transaction():
            photo_records.relocate_photos(self._catalog, folders, moves, away_moves)

    def known_directory(self) -> str:
        """Return the path of the index directory at the last run of `index`; "" before the first."""
        return str(self._catalog.get("directory", text, ""))

    def save_directory(self, path: str) -> None:
        """Store the path of the index directory."""
        with self._require_writable().transaction(keep_scans=True):
            self._catalog.set("directory", path)

    # Disks -------------------------------------------------------------------------------------

    def mounts(self) -> dict[tuple[int, str], int | None]:
        """Return the folders, as (root id, path), that were on another device than the folder above.

        The values are None; for a disk that was missing, the greatest id of a photo that may be on it.
        """
        return photo_records.mounts(self._catalog)

    def save_mounts(self, found: Mapping[tuple[int, str], int | None]) -> None:
        """Store what `mounts` returns, for all roots."""
        with self._require_writable().transaction():  # scans of another state of the disks are not valid
            photo_records.save_mounts(self._catalog, found)

    def in_work(self) -> InWork:
        """Return a record of the photos in work, for the ``with`` in which they are decoded.

        If this process dies in it, `suspects` of the next one has these photos.
        """
        self._require_writable()
        return InWork(self.directory / IN_WORK)

    def suspects(self) -> dict[str, Suspect]:
        """Return the photos that may have ended a run, by their absolute paths."""
        catalog, path = self._require_writable(), self.directory / IN_WORK
        if leftover := take_leftover(path):
            with catalog.transaction(keep_scans=True):
                add_suspects(catalog, leftover)
            path.unlink(missing_ok=True)
        return read_suspects(catalog)

    def remove_suspects(self, names: Iterable[str]) -> None:
        """Remove photos that have a result now; unknown ones are ignored."""
        with self._require_writable().transaction(keep_scans=True):
            remove_suspects(self._catalog, names)

    # Scans -------------------------------------------------------------------------------------

    def save_scan(self, digest: str, counts: ScanCounts) -> None:
        """Save that a scan of some folders found nothing to do; `digest` is of every path, size and time.

        The entry is valid until a commit changes a photo, by any version of faceindex, or the file of the
        HNSW index changes.
        """
        with self._require_writable().transaction(keep_scans=True):
            scans.save_scan(self._catalog, digest, counts, file_state(self._rows.hnsw_path))

    def load_scan(self, digest: str) -> ScanCounts | None:
        """Return the counts of a saved scan; None if there is none, or if it is no longer valid."""
        return scans.load_scan(self._catalog, digest, file_state(self._rows.hnsw_path))
