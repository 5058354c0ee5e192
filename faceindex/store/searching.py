"""Which neighbour index a face index has, and when it is brought up to date; part of `Store`.

The choice is an address in the catalog (the key ``search`` of ``meta``). What connects to an address is
not the store's: who opened it sets `Searching.connect`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import FaceIndexError, SearchUnavailable
from faceindex.store.counts import count_faces
from faceindex.store.neighbours import is_missing, own_files

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.store.neighbours import Connect, NeighbourIndex
    from faceindex.store.outside import OutsideSearch
    from faceindex.store.rows import Rows

__all__ = ["Searching"]

_KEYS = ("search", "searched", "search_erasing")
_log = logging.getLogger(__name__)


class Searching:
    """The neighbour index of a store that is not the built-in one.

    Parameters
    ----------
    catalog : Catalog
    directory : Path
    rows : callable
        Returns the rows of the store now.
    current : callable
        Enters one state of the store, as `FaceStore._current`.

    Attributes
    ----------
    connect : Connect or None
        What connects to an address.
    note : str or None
        After forgetting: what is not certain to be gone from it.
    """

    def __init__(
        self,
        catalog: Catalog,
        directory: Path,
        rows: Callable[[], Rows],
        current: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.connect: Connect | None = None
        self.note: str | None = None
        self._catalog = catalog
        self._directory = directory
        self._rows = rows
        self._current = current
        self._outside: OutsideSearch | None = None
        self._given: str | None = None  # the address that the user gave to this process
        self._failed = False

    @property
    def address(self) -> str | None:
        """The address that was chosen; None for the built-in search."""
        return self._catalog.search()

    @property
    def erasing(self) -> bool:
        """Whether the chosen index may still have vectors that were forgotten."""
        return self._catalog.search_erasing

    def close(self) -> None:
        """Close the connection."""
        outside, self._outside = self._outside, None
        if outside is not None:
            outside.close()

    def outside(self) -> OutsideSearch | None:
        """Return the search in the chosen index; None without one."""
        if (address := self._catalog.search()) is None:
            self.close()
            return None
        if self._outside is None:
            from faceindex.store.outside import OutsideSearch

            self._outside = OutsideSearch(self._catalog, lambda: self._open(address))
        return self._outside

    def _open(self, address: str) -> NeighbourIndex:
        if self.connect is None:
            raise SearchUnavailable(
                "The index names a neighbour index, and nothing that connects to one is set.",
                "Open the index with `faceindex.FaceIndex`.",
            )
        id = self._catalog.index_id
        if id is None:
            raise SearchUnavailable(
                "The index has no id yet.",
                "Run `faceindex index` on its photos once: this updates the format.",
            )
        return self.connect(address, id, self._directory, self._catalog.hnsw(), address == self._given)

    def choose(self, address: str | None) -> str | None:
        """Choose a neighbour index, which must be reachable; None goes back to the built-in search.

        Parameters
        ----------
        address : str or None
            As `faceindex.engine.milvus_address.parse` returns it.

        Returns
        -------
        str or None
            Why the collection of an earlier choice could not be deleted.

        Raises
        ------
        SearchUnavailable, UsageError
            If it cannot be used. The choice does not change.
        """
        earlier = self._catalog.search()
        self._given = address
        if address == earlier:
            self._failed = False
            return None
        if address is not None:
            index = self._open(address)
            try:
                index.reach()
                index.dimension()
            except SearchUnavailable as error:
                if error.mended_by_rebuilding:  # it is not this index's own yet
                    raise SearchUnavailable(error.problem, "Delete it, or choose another name.") from None
                raise
            finally:
                index.close()
        left = self._leave() if earlier is not None else None
        with self._catalog.transaction(keep_scans=True):
            for key in _KEYS:
                self._catalog.delete(key)
            if address is not None:
                self._catalog.set("search", address)
        self.close()
        return left

    def _leave(self) -> str | None:
        """Delete the collection of the index that is chosen now; return why that failed."""
        outside = self.outside()
        assert outside is not None
        try:
            outside.index().drop()
        except FaceIndexError as error:
            return (
                f"{error.problem} It may still have the vectors of this index; delete its collection there."
            )
        finally:
            self.close()
        return None

    def catch_up(
        self, progress: Callable[[int, int], None] | None = None, *, least: int = 0, rebuild: bool = False
    ) -> int:
        """Bring the chosen index up to date; does nothing without one. Only the writer may call this.

        What fails is logged once, and tried again by the next process that writes: no photo or face
        depends on it.

        Parameters
        ----------
        progress : callable, optional
            Called with the numbers of faces written and to write.
        least : int
            Rows that it must lack to be worth a connection; 0 also deletes what is dead.
        rebuild : bool
            Start from nothing.

        Returns the number of faces that were written.
        """
        if self._failed and not rebuild:
            return 0
        try:
            return self.require_up_to_date(progress, least=least, rebuild=rebuild)
        except FaceIndexError as error:
            _log.warning(
                "%s The index itself is complete. The next command that changes it tries again. %s",
                error.problem,
                error.remedy,
            )
            return 0

    def require_up_to_date(
        self, progress: Callable[[int, int], None] | None = None, *, least: int = 0, rebuild: bool = False
    ) -> int:
        """As `catch_up`, but raises `SearchUnavailable` or `UsageError`; `catch_up` gives up after that."""
        if self._catalog.search() is None or not (rebuild or self._lags(least)):
            return 0
        outside = self.outside()
        assert outside is not None
        with self._current():
            rows = self._rows()
            live = rows.search().live()
        self._failed = True
        written, note = outside.catch_up(live, rows.file, progress, rebuild=rebuild)
        self._failed = False
        self.note = note or self.note
        return written

    def _lags(self, least: int) -> bool:
        """Whether it lacks so many rows; for 0, whether it lacks rows or has dead faces, by the catalog."""
        catalog = self._catalog
        mark = catalog.searched(catalog.vectors_name)
        if least:
            return catalog.rows - (mark[0] if mark is not None else 0) >= least
        if mark != (catalog.rows, count_faces(catalog)) or catalog.search_erasing:
            return True
        address = catalog.search()
        own = None if address is None else own_files(address, self._directory)
        return own is not None and is_missing(own)  # restored without it, for example

    def invalidate(self) -> None:
        """Have the chosen index built anew by the next `catch_up`, and search exactly until then."""
        with self._catalog.transaction(keep_scans=True, uncounted=True):
            self._catalog.delete("searched")

    def check(self, queries: int, neighbours: int, least_recall: float) -> tuple[list[str], float | None]:
        """Return what is wrong with the chosen index, and its recall; see `OutsideSearch.check`."""
        if (outside := self.outside()) is None:
            return [], None
        with self._current():
            live = self._rows().search().live()
            problems, recall = outside.check(live, self._rows().file, queries, neighbours, least_recall)
        return list(problems), recall
