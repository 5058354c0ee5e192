"""The index directory as one object."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import IndexNotFound, StoreError, UsageError
from faceindex.locks import NO_LOCKS, find_holder
from faceindex.safe_open import UnsafeFile
from faceindex.store import clusterings, journal
from faceindex.store.catalog import Catalog
from faceindex.store.counts import cluster_sizes, count_everything
from faceindex.store.creation import create_files
from faceindex.store.decisions import DecisionTables
from faceindex.store.directory import (
    CATALOG,
    LOCK,
    check_not_orphaned,
    has_index,
    is_index,
    lock_for_writing,
    make_directory,
    refused,
)
from faceindex.store.erasing import is_erasing
from faceindex.store.face_store import FaceStore
from faceindex.store.forgetting_store import ForgettingStore
from faceindex.store.photo_store import PhotoStore
from faceindex.store.records import (
    Clustering,
    Counts,
    HnswParams,
    Pins,
    Run,
)
from faceindex.store.rows import Rows
from faceindex.store.searching import Searching

if TYPE_CHECKING:
    from faceindex.documents import Json
    from faceindex.locks import FileLock, Holder
    from faceindex.store.album import AlbumQueries
    from faceindex.store.exchanged import ExchangedRegions
    from faceindex.store.finding import PhotoQueries
    from faceindex.store.importing import ImportQueries
    from faceindex.store.records import PreviousClustering
    from faceindex.store.thumbnail_cache import ThumbnailCache
    from faceindex.store.transfer import Transfer
    from faceindex.types import F32, I64, BoolArray

__all__ = ["Store"]


class Store(PhotoStore, FaceStore, ForgettingStore):
    """The catalog, the vectors and the HNSW index of one directory. Call `create` or `open`.

    Use it as a context manager. There is one writer at a time, over all processes. Readers never wait for
    it, and read its commits as they are made. Several threads may use a store, but not at the same time.

    Attributes
    ----------
    directory : Path
    writable : bool
    """

    def __init__(self, directory: Path, catalog: Catalog, lock: FileLock | None) -> None:
        self.directory = directory
        self.writable = lock is not None
        self._catalog = catalog
        self._lock = lock
        self._rows = Rows(catalog, directory, writable=self.writable)
        self._rows_from = self._rows.file.path.name
        self._searching = Searching(catalog, directory, lambda: self._rows, self._current)

    # Opening and closing -----------------------------------------------------------------------

    @staticmethod
    def exists(directory: str | os.PathLike[str]) -> bool:
        """Whether `directory` contains an index; also one that lacks its catalog, which `open` refuses."""
        return is_index(Path(directory))

    @classmethod
    def create(
        cls, directory: str | os.PathLike[str], pins: Pins, *, hnsw: HnswParams | None = None
    ) -> Store:
        """Create an index and open it for writing.

        The directory gets mode 0700, its files 0600: they contain biometric data. The remains of a creation
        that was killed are overwritten.

        Parameters
        ----------
        directory : path-like
            Created if missing. An existing one must be empty, apart from hidden files.
        pins : Pins
        hnsw : HnswParams, optional

        Raises
        ------
        UsageError
            If the directory contains an index or anything else.
        IndexCorrupt
            If it contains the vectors of an index without their catalog.
        IndexLocked
            If another process is creating an index there.
        StoreError
            If the directory cannot be created.
        """
        directory = Path(directory).absolute()
        if pins.dimension < 1:
            raise UsageError(f"Vectors cannot have {pins.dimension} dimensions.", "Choose 1 or more.")
        make_directory(directory)
        with ExitStack() as on_error:
            lock = on_error.enter_context(lock_for_writing(directory))
            if has_index(directory):
                raise UsageError(
                    f"There already is an index in {directory}.", "Open it, or choose another `directory`."
                )
            create_files(directory, pins, hnsw or HnswParams())
            store = cls._open(directory, lock)
            on_error.pop_all()
        return store

    @classmethod
    def open(cls, directory: str | os.PathLike[str], *, write: bool = False, wait: float = 0.0) -> Store:
        """Open an existing index.

        A writer upgrades an older format, and deletes what an interrupted commit left in the vector file.
        A reader needs no permission to write. A writer waits for another one for `wait` seconds.

        Raises
        ------
        IndexNotFound
            If there is no complete index.
        IndexLocked
            If `write` is true and another process is still writing then.
        IndexVersionError
            If a newer faceindex wrote it.
        IndexCorrupt
            If its files are damaged or contradict each other.
        StoreError
            If it cannot be read, or cannot be written.
        """
        directory = Path(directory).absolute()
        check_not_orphaned(directory)
        if not has_index(directory):
            raise IndexNotFound(
                f"There is no index in {directory}.", "Create one with `faceindex index PATH...`."
            )
        with ExitStack() as on_error:
            lock = on_error.enter_context(lock_for_writing(directory, wait)) if write else None
            store = cls._open(directory, lock)
            on_error.pop_all()
        return store

    @classmethod
    def _open(cls, directory: Path, lock: FileLock | None) -> Store:
        with ExitStack() as on_error:
            catalog = on_error.enter_context(
                closing(Catalog.open(directory / CATALOG, write=lock is not None))
            )
            store = cls(directory, catalog, lock)
            if lock is not None and is_erasing(catalog):
                store.forgetting.resume()
            on_error.pop_all()
        return store

    def close(self) -> None:
        """Close the files and release the lock. Does nothing if that has been done."""
        try:
            self._searching.close()
        finally:
            self._close_files()

    def _close_files(self) -> None:
        try:
            self._catalog.close()
        finally:
            self._rows.close()
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def explain(self, error: BaseException) -> None:
        """Raise `IndexCorrupt` if damage in the catalog may be why code failed that nothing is wrong with.

        Does nothing for errors that are raised on purpose, and if the catalog is sound.
        """
        from faceindex.store.checks import explain_failure

        explain_failure(self._catalog, error)

    @property
    def pins(self) -> Pins:
        """The models that the index is pinned to."""
        return self._rows.pins

    @property
    def format_version(self) -> int:
        """Format of the index directory."""
        return self._catalog.format_version

    @property
    def index_id(self) -> str | None:
        """Identity of the index, 32 hexadecimal digits; None in old formats."""
        return self._catalog.index_id

    @property
    def generation(self) -> int:
        """Number of commits, of all processes. A key for caches."""
        return self._catalog.generation

    @property
    def thumbnails(self) -> ThumbnailCache:
        """A new connection to the thumbnails of the index; keep it."""
        from faceindex.store.thumbnail_cache import ThumbnailCache

        return ThumbnailCache(self.directory, self._catalog.index_id)

    @property
    def replaced(self) -> bool:
        """Whether the catalog was deleted, or another one has its name, such as one that was repaired."""
        return self._catalog.replaced

    def sees_commits(self) -> bool:
        """Whether the next read sees all commits that were made before it; see `Catalog.sees_commits`."""
        return self._catalog.sees_commits

    def writer(self) -> Holder | None:
        """Return the process that is writing to the index; None if there is none."""
        try:
            return find_holder(self.directory / LOCK)
        except UnsafeFile as error:
            raise refused(error) from error
        except OSError as error:
            if error.errno in NO_LOCKS:
                return None  # nobody can write there
            raise StoreError(
                f"{self.directory / LOCK} cannot be read: {error.strerror}.",
                "Check the permissions of the index.",
            ) from error

    def snapshot(self) -> AbstractContextManager[None]:
        """Read one state of the index inside the ``with``, even if a writer commits meanwhile.

        Without it, a commit may come between two reads, such as `photos` and `faces`.
        """
        return self._catalog.snapshot()

    # Other models ------------------------------------------------------------------------------

    def transfer(self) -> Transfer | None:
        """Return the transfer of the faces to other models that has begun; None if there is none."""
        if (found := self._catalog.transfer()) is None:
            return None
        from faceindex.store.transfer import Transfer

        return Transfer(found[0], self._catalog, self.directory, self.writable, self._reopen)

    def begin_transfer(self, pins: Pins) -> Transfer:
        """Begin to transfer the faces to the models `pins`; raises `UsageError` if a transfer has begun."""
        from faceindex.store.transfer import Transfer

        return Transfer.begin(self._require_writable(), self.directory, pins, self._reopen)

    # Clusterings -------------------------------------------------------------------------------

    def save_clustering(
        self,
        algorithm: str,
        params: Mapping[str, Json],
        seed: int,
        face_ids: I64,
        labels: I64,
        similarities: F32,
        *,
        changed: BoolArray | None = None,
        restored: datetime | None = None,
        linked: Mapping[int, int] | None = None,
    ) -> None:
        """Store the clusters of all faces, in one transaction; see `clusterings.write_clustering`."""
        with self._require_writable().transaction(keep_scans=True):
            clusterings.write_clustering(
                self._catalog, algorithm, params, seed, face_ids, labels, similarities, changed,
                restored=restored, linked=linked,
            )  # fmt: skip

    def active_clustering(self) -> Clustering | None:
        """Return the clustering of the clusters in `faces`; None if `cluster` has not run yet."""
        return clusterings.active_clustering(self._catalog)

    def previous_clustering(self) -> PreviousClustering | None:
        """Return the clustering that the active one replaced; None if there is none."""
        return clusterings.previous_clustering(self._catalog)

    def count_newer_faces(self) -> int:
        """Count the faces that were added after the active clustering; 0 without one."""
        return clusterings.count_newer_faces(self._catalog)

    # Decisions of the user ---------------------------------------------------------------------

    @property
    def decisions(self) -> DecisionTables:
        """The decisions of the user, and what they add up to."""
        return DecisionTables(self._catalog)

    @property
    def finding(self) -> PhotoQueries:
        """Finds photos by the people on them, without reading all faces."""
        from faceindex.store.finding import PhotoQueries

        return PhotoQueries(self._catalog)

    @property
    def importing(self) -> ImportQueries:
        """Reads what an import of names needs."""
        from faceindex.store.importing import ImportQueries

        return ImportQueries(self._catalog)

    @property
    def exchanged(self) -> ExchangedRegions:
        """The regions that were exchanged with sidecars and photos."""
        from faceindex.store.exchanged import ExchangedRegions

        return ExchangedRegions(self._catalog)

    @property
    def album(self) -> AlbumQueries:
        """Reads what a page of all faces needs."""
        from faceindex.store.album import AlbumQueries

        return AlbumQueries(self._catalog)

    def deciding(self) -> AbstractContextManager[None]:
        """Commit all changes of `decisions` inside the ``with``, or nothing if it raises."""
        return self._require_writable().transaction(keep_scans=True)

    # Journal and counts ------------------------------------------------------------------------

    def log_run(self, kind: str, detail: Mapping[str, Json]) -> None:
        """Append a command and its summary to the journal."""
        with self._require_writable().transaction(keep_scans=True):
            journal.append_run(self._catalog, kind, detail)

    def runs(self, limit: int = 20) -> list[Run]:
        """Return the newest entries of the journal, newest first."""
        return journal.newest_runs(self._catalog, limit)

    def cluster_sizes(self, limit: int) -> list[tuple[int, int]]:
        """Return the largest clusters with their numbers of faces, largest first."""
        return cluster_sizes(self._catalog, limit)

    def counts(self) -> Counts:
        """Count photos, faces and clusters, and measure the files."""
        return count_everything(self._catalog, self.directory)
