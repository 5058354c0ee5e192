"""`FaceIndex.searching`: which neighbour index searches the faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from faceindex.engine.milvus_address import embedded_path, parse_search
from faceindex.engine.milvus_embedded import erase_database
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.store import Store

__all__ = ["IndexSearching"]


class IndexSearching:
    """Chooses the neighbour index of an index, which it keeps until another one is chosen.

    The built-in one compares every face, and uses an HNSW index from 100,000 faces on. Milvus is a copy of
    the vectors that can be made anew at any time.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def address(self) -> str | None:
        """Where Milvus is, as `choose` takes it; None for the built-in search."""
        return self._store.searching.address

    def choose(self, search: str) -> str | None:
        """Choose a neighbour index.

        Parameters
        ----------
        search : str
            ``auto`` or ``hnsw`` for the built-in one; ``milvus:NAME.db`` for Milvus Lite in the index
            directory; ``milvus:http://HOST:PORT`` for a server. The token of a server is the environment
            variable ``MILVUS_TOKEN``; it is never stored.

        Returns
        -------
        str or None
            Why the collection of an earlier choice could not be deleted.

        Raises
        ------
        UsageError
            If the index is not open for writing, or the address is wrong.
        SearchUnavailable
            If Milvus cannot be reached, or its packages are missing; the choice does not change. If the
            database of Milvus Lite that was chosen before cannot be erased.
        """
        if not self._store.writable:
            raise UsageError("The index is open for reading only.", "Open it with `write=True`.")
        earlier = self._store.searching.address
        left = self._store.searching.choose(parse_search(search, self._store.directory))
        if left is None or earlier is None:
            return left
        if (database := embedded_path(earlier, self._store.directory)) is None:
            return left
        # It needs no connection, which fails without the extra, or while another process has it open.
        erase_database(database)
        return None

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Write to Milvus what it lacks, and delete there what was deleted here; `add` does that too.

        Returns the number of faces that were written. Raises `SearchUnavailable`.
        """
        if not self._store.writable:
            raise UsageError("The index is open for reading only.", "Open it with `write=True`.")
        return self._store.searching.require_up_to_date(progress)
