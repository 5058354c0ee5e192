"""The vectors of an index and the search in them, for the models at the time of opening."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import IndexCorrupt, IndexMigrated
from faceindex.store.catalog import Catalog
from faceindex.store.compaction import finish_erasing
from faceindex.store.directory import hnsw_name, remove_stale_files
from faceindex.store.vectors import VectorFile

if TYPE_CHECKING:
    from faceindex.store.search import Search

__all__ = ["Rows", "compacted_since"]


class Rows:
    """The committed rows of an index.

    A migration to other models and a compaction put another vector file in place of this one. `current` and
    `was_compacted` notice that.

    Parameters
    ----------
    catalog : Catalog
    directory : Path
    writable : bool
        Delete what an interrupted commit or migration left.

    Attributes
    ----------
    pins : Pins
        The models of these vectors.
    file : VectorFile
    """

    def __init__(self, catalog: Catalog, directory: Path, *, writable: bool) -> None:
        self._catalog = catalog
        self._directory = directory
        self._search: Search | None = None
        while True:
            with catalog.snapshot():
                name, rows, self.pins = catalog.vectors_name, catalog.rows, catalog.pins()
            self.file = VectorFile(directory / name, self.pins.dimension)
            try:
                self.file.check_size(rows)
                break
            except IndexCorrupt:
                if catalog.vectors_name == name:
                    raise
                # A migration has ended in between, and deleted this file: use the new one.
        if writable:
            self.file.trim(rows)
            finish_erasing(catalog, directory)
            remove_stale_files(directory, name, with_part=catalog.transfer() is not None)

    def close(self) -> None:
        """Close the files. Arrays that were returned stay valid."""
        self.file.close()
        if self._search is not None:
            self._search.close()

    @property
    def hnsw_path(self) -> Path:
        """The file of the HNSW index of these vectors, which may be missing."""
        return self._directory / hnsw_name(self.file.path.name)

    def was_compacted(self) -> bool:
        """Whether the index has another vector file by now, of the same models; inside a snapshot."""
        return self._catalog.vectors_name != self.file.path.name and self._catalog.pins() == self.pins

    @contextmanager
    def current(self) -> Iterator[None]:
        """Read one state of the index inside the ``with``.

        Raises
        ------
        IndexMigrated
            If the index has other models and vectors in that state, or if the old vectors were erased
            meanwhile, by a compaction after the state.
        """
        with self._catalog.snapshot():
            if self._catalog.vectors_name != self.file.path.name:
                now = self._catalog.pins()
                raise IndexMigrated(
                    f"The index {self._directory} was moved from {self.pins.detector} and "
                    f"{self.pins.embedder} to {now.detector} and {now.embedder} after it was opened.",
                    "Open it again, or run the same command again.",
                )
            yield
            if self.file.is_erased(self._catalog.rows):
                raise compacted_since(self._directory)

    def search(self) -> Search:
        """Return the search; created when needed: hnswlib and numpy take a tenth of a second to import."""
        if self._search is None:
            from faceindex.store.search import Search

            self._search = Search(self._catalog, self.file, self.hnsw_path)
        return self._search


def compacted_since(directory: Path) -> IndexMigrated:
    """Return the error for rows of a vector file that a compaction has replaced."""
    return IndexMigrated(
        f"The vectors of the index {directory} were compacted while they were read.",
        "Run the same command again.",
    )
