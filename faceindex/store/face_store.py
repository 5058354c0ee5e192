"""Faces, vectors and the search in them, the part of `Store` that reads and rewrites the vector files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import StoreError, UsageError
from faceindex.store.away import count_returns
from faceindex.store.catalog import Catalog
from faceindex.store.compaction import Compacted, compact, is_worthwhile
from faceindex.store.counts import count_faces
from faceindex.store.drawn_faces import DrawnFaces
from faceindex.store.rows import Rows, compacted_since
from faceindex.store.thumbnail_file import erase_thumbnails

if TYPE_CHECKING:
    from faceindex.store.records import Assignments, FacePlaces, FaceTable
    from faceindex.store.searching import Searching
    from faceindex.types import F32, I64, Faces

__all__ = ["FaceStore"]

_log = logging.getLogger(__name__)


class FaceStore:
    """Reads faces and vectors, searches them, and compacts their file. `Store` opens the files."""

    directory: Path
    _catalog: Catalog
    _rows: Rows
    _rows_from: str  # the file of the rows that were returned last
    _searching: Searching
    _require_writable: Callable[[], Catalog]

    def count_faces(self) -> int:
        """Return the number of live faces; faster than `counts`."""
        return count_faces(self._catalog)

    def last_faces(self) -> tuple[int, int, int]:
        """Return the number of live faces, the greatest id of one, and how often photos have come back.

        All three stay only if the faces do.
        """
        ((number, last),) = self._catalog.query("SELECT count(*), coalesce(max(id), 0) FROM faces")
        return int(number), int(last), count_returns(self._catalog)

    @property
    def drawn_faces(self) -> DrawnFaces:
        """The faces that the user drew."""
        return DrawnFaces(self._catalog)

    def append_vectors(self, vectors: F32) -> None:
        """Append vectors after the committed rows, for `insert_drawn` in a transaction that follows.

        Raises `UsageError` if they do not fit the index, and `StoreError` if the disk is full or fails.
        """
        self._require_writable()
        self._rows.file.check_vectors(vectors)
        self._rows.file.append(self._catalog.rows, vectors)

    def insert_drawn(self, photo: int, faces: Faces) -> list[int]:
        """Insert faces that the user drew after `append_vectors`, inside a transaction; return their ids."""
        return self.drawn_faces.insert(photo, faces, self._rows.file)

    def faces(self, ids: Sequence[int] | None = None) -> FaceTable:
        """Return all live faces with their positions on the photos and their clusters.

        Parameters
        ----------
        ids : sequence of int, optional
            Of faces to return; unknown ones are ignored. None means all.
        """
        from faceindex.store.faces import face_table

        with self._current():
            table = face_table(self._catalog, ids)
            self._rows_from = self._rows.file.path.name
            return table

    def places(self, faces: Sequence[int]) -> FacePlaces:
        """Return where faces are on their photos, in the order of their ids; unknown ids are ignored."""
        from faceindex.store.faces import face_places

        return face_places(self._catalog, faces)

    def assignments(self) -> Assignments:
        """Return all live faces with their clusters, in two thirds of the time of `faces`."""
        from faceindex.store.faces import assignments

        with self._current():
            table = assignments(self._catalog)
            self._rows_from = self._rows.file.path.name
            return table

    def vectors(self, rows: I64 | None = None) -> F32:
        """Return unit vectors.

        Parameters
        ----------
        rows : (n,) int64, optional
            Rows to read, such as ``faces().row``; None means all committed rows, including tombstones.

        Returns
        -------
        (n, d) float32
            Read-only. Consecutive rows are a memory map, not a copy.
        """
        with self._current():
            if rows is not None and self._rows_from != self._rows.file.path.name:
                raise compacted_since(self.directory)
            committed, file = self._catalog.rows, self._rows.file
            if rows is not None:
                return file.gather(committed, rows)
            file.check(committed)
            return file.read(committed)

    def search(self, queries: F32, k: int, *, exact: bool | None = None) -> tuple[I64, F32]:
        """Find the live faces that are most similar to each query.

        Parameters
        ----------
        queries : (m, d) float32
            Unit length.
        k : int
            At least 1; may exceed the number of faces.
        exact : bool, optional
            True compares with every face. False uses the HNSW index for the rows that it covers, if it is
            usable. None uses the neighbour index that `searching` has chosen, or compares with every face,
            after a warning, if that is no use. Without one, None uses the HNSW index from `EXACT_BELOW`
            faces on, after enough queries to be worth loading it.

        Returns
        -------
        faces : (m, k) int64
            Face ids, most similar first, ties by lower id; padded with -1.
        similarities : (m, k) float32
            Padded with -inf.
        """
        if k < 1:
            raise UsageError(f"`k` is {k}.", "Choose 1 or more.")
        import numpy as np

        queries = np.ascontiguousarray(queries, np.float32)
        self._rows.file.check_vectors(queries)
        with self._current():
            outside = self._searching.outside() if exact is None else None
            return self._rows.search().find(queries, k, exact, outside)

    def prepare_search(self) -> None:
        """Read now what the first `search` would have to read."""
        with self._current():
            self._rows.search().prepare()

    def update_hnsw(self, *, always: bool = False, progress: Callable[[int, int], None] | None = None) -> int:
        """Add the committed rows to the HNSW index; build it if it is missing or damaged.

        If `searching` has chosen another neighbour index, that one is brought up to date instead.

        Does nothing below `EXACT_BELOW` faces, because no search would use it, nor if it lacks less than a
        fiftieth of the rows: searching these exactly takes less time than adding them.

        Parameters
        ----------
        always : bool
            Build it for any number of faces, and add every row.
        progress : callable, optional
            Called with the numbers of faces added and to add.

        Returns the number of faces that were added. Raises `StoreError` if the file cannot be written;
        searches are slower then, and still correct.
        """
        self._require_writable()
        if self._catalog.search() is not None and not always:
            return self._searching.catch_up(progress)
        return self._rows.search().update_hnsw(always, progress)

    @property
    def searching(self) -> Searching:
        """The choice of the neighbour index, and what keeps it up to date."""
        return self._searching

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Read one state of the index inside the ``with``; after a compaction, with its new vector file."""
        with self._catalog.snapshot():
            if self._rows.was_compacted():
                self._rows.close()
                self._rows = Rows(self._catalog, self.directory, writable=False)
            with self._rows.current():
                yield

    def compact(self, *, erase: bool = False) -> Compacted:
        """Rewrite the vector file without the rows of deleted faces; see `faceindex.store.compaction`.

        Readers go on with the new file. Call `update_hnsw` afterwards. `erase` compacts even if no row is
        dead, and overwrites the old files. Raises `UsageError` if a migration to other models has begun, and
        `StoreError` if the disk is full or fails; the index does not change then.
        """
        self._require_writable()
        try:
            return compact(self._catalog, self._rows.file, erase=erase)
        finally:
            if self._catalog.vectors_name != self._rows.file.path.name:
                self._reopen()

    def compact_if_worthwhile(self) -> Compacted | None:
        """Compact if enough rows are dead (`compaction.is_worthwhile`); None if not.

        The old file is overwritten: it has the vectors of photos that were removed. So are the thumbnails.
        """
        if not is_worthwhile(self._require_writable()):
            return None
        done = self.compact(erase=True)
        try:
            erase_thumbnails(self.directory)
        except StoreError as error:
            _log.warning("Thumbnails of removed photos are still there: %s", error)
        return done

    def _reopen(self) -> None:
        self._rows.close()
        self._rows = Rows(self._catalog, self.directory, writable=True)
        self._rows_from = self._rows.file.path.name
