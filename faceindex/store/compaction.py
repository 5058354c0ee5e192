"""Compaction: the vector file is written anew without the rows of deleted faces.

1. The live rows are written to the next vector file (`directory.next_vectors_name`), and synced.
2. One transaction names that file, and the new rows of all faces.
3. The old vector file and its HNSW index are deleted; overwritten before, if they are to be erased.

A process that is killed before the transaction leaves the old file, and after it the new one. The other file
is deleted when the next writer opens the index (`directory.remove_stale_files`). The transaction also stores
which files are to be erased, so that the next writer does that too. The order of the rows stays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import StoreError, UsageError
from faceindex.files import sync_directory, sync_file
from faceindex.safe_open import open_own
from faceindex.store.checked_json import list_of, text
from faceindex.store.digests import Digester, VectorDigests
from faceindex.store.directory import hnsw_name, is_numbered, next_vectors_name
from faceindex.store.vector_files import vector_file
from faceindex.store.vectors import HEADER_BYTES

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.store.vectors import VectorFile
    from faceindex.types import F32, I64

__all__ = [
    "LEAST_DEAD",
    "MOST_DEAD",
    "Compacted",
    "compact",
    "erase_file",
    "finish_erasing",
    "is_worthwhile",
    "live_rows",
    "overwrite_file",
    "renumber",
    "row_tables",
]

MOST_DEAD = 0.25
"""Share of dead rows above which the vector file is compacted.

At this share, compaction writes three live rows for each dead one that it removes, so that it at most
quadruples what the commits wrote, and the file is at most a third larger than its live rows.
"""

LEAST_DEAD = 16
"""Number of dead rows from which on it is: a compaction syncs a few times, as a commit of one batch does."""

_BLOCK = 16_384  # vectors in memory at a time
_ERASED = 1 << 20  # bytes that are overwritten at a time
_NAMES = list_of(text)
_ROW_TABLES = ("faces", "away_faces")


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did.

    Attributes
    ----------
    rows_before, rows_after : int
        Rows of the vector file.
    erased : bool
        Whether the old files were overwritten before they were deleted. On a disk that writes to new places
        (flash, copy-on-write) the old places may still hold the vectors for some time.
    """

    rows_before: int
    rows_after: int
    erased: bool


def row_tables(catalog: Catalog) -> list[str]:
    """Return the tables whose column ``vector_row`` names live rows of the vector file."""
    found = {str(name) for (name,) in catalog.query("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [table for table in _ROW_TABLES if table in found]


def live_rows(catalog: Catalog) -> I64:
    """Return the rows that a face names, of photos in the index and of photos that are away, ascending."""
    import numpy as np

    from faceindex.store.columns import INTEGER, read_columns
    from faceindex.store.sqlite import translated_errors

    with translated_errors(catalog.path):
        rows = [
            read_columns(catalog.execute, table, [("id", INTEGER), ("vector_row", INTEGER)])[1]
            for table in row_tables(catalog)
        ]
    return np.unique(np.concatenate(rows))


def is_worthwhile(catalog: Catalog) -> bool:
    """Whether so many rows are dead that `compact` is worth its time, and no migration has begun."""
    with catalog.snapshot():
        rows = catalog.rows
        live = sum(int(catalog.query(f"SELECT count(*) FROM {table}")[0][0]) for table in row_tables(catalog))
        dead = rows - live
        return dead >= LEAST_DEAD and dead > MOST_DEAD * rows and catalog.transfer() is None


def compact(catalog: Catalog, vectors: VectorFile, *, erase: bool) -> Compacted:
    """Compact the vector file, as `Store.compact`; only the writer may call this.

    Parameters
    ----------
    catalog : Catalog
    vectors : VectorFile
        The file that the catalog names. It must be opened anew afterwards.
    erase : bool
    """
    if catalog.transfer() is not None:
        raise UsageError(
            "The vectors cannot be compacted while a migration to other models has begun.",
            "Finish the migration with `faceindex migrate`, or discard it with `cancel`.",
        )
    import numpy as np

    before, live = catalog.rows, live_rows(catalog)
    if len(live) == before and not erase:
        return Compacted(before, before, False)
    if len(live) and not 0 <= int(live[0]) <= int(live[-1]) < before:
        from faceindex.store.sqlite import corrupt

        raise corrupt(catalog.path, f"it refers to row {int(live[-1])} of {before}")
    directory, old = vectors.path.parent, vectors.path.name
    new = vector_file(catalog, directory, next_vectors_name(old), vectors.dimension, new=True)
    digester = Digester()
    _write(new, vectors, before, live, digester)
    with catalog.transaction(keep_scans=True):
        renumber(catalog, live)
        catalog.set("vectors", new.path.name)
        catalog.set("header", HEADER_BYTES)
        catalog.set("rows", len(live))
        VectorDigests(catalog, old).delete()
        VectorDigests(catalog, new.path.name).write(digester.found)
        if (mark := catalog.searched(old)) is not None:
            catalog.set_searched(new.path.name, int(np.searchsorted(live, mark[0])), mark[1])
        if erase:
            catalog.set("erasing", [old, hnsw_name(old)])
            if catalog.search() is not None:
                catalog.set("search_erasing", 1)
    vectors.close()
    if erase:
        finish_erasing(catalog, directory)
    for name in (old, hnsw_name(old)):
        with contextlib.suppress(OSError):  # open on Windows: deleted when the next writer opens the index
            (directory / name).unlink(missing_ok=True)
    sync_directory(directory)
    return Compacted(before, len(live), erase)


def _write(new: VectorFile, old: VectorFile, committed: int, live: I64, digester: Digester) -> None:
    def blocks() -> Iterator[F32]:
        for start in range(0, len(live), _BLOCK):
            yield old.gather(committed, live[start : start + _BLOCK])

    try:
        new.create()
        new.write(0, digester.watch(blocks()))
        sync_directory(new.path.parent)
    except BaseException:
        new.path.unlink(missing_ok=True)  # a full disk gets its space back at once
        raise


def renumber(catalog: Catalog, live: I64) -> None:
    """Give the faces their new rows; inside a transaction."""
    import numpy as np

    for table in row_tables(catalog):
        # Rows are unique, and only get smaller: in ascending order, none takes one that is still in use.
        rows = [int(row) for (row,) in catalog.query(f"SELECT vector_row FROM {table} ORDER BY vector_row")]
        new = np.searchsorted(live, np.array(rows, np.int64)).tolist()
        catalog.executemany(
            f"UPDATE {table} SET vector_row = ? WHERE vector_row = ?",
            ((after, before) for after, before in zip(new, rows, strict=True) if after != before),
        )


def finish_erasing(catalog: Catalog, directory: Path) -> None:
    """Overwrite and delete the files that a compaction was to erase; only the writer may call this.

    Raises
    ------
    StoreError
        If one cannot be overwritten or deleted. The next call tries again.
    """
    names = catalog.get("erasing", _NAMES, [])
    if not names:
        return
    for name in names:
        if is_numbered(name) and name != catalog.vectors_name:
            erase_file(directory / name)
    sync_directory(directory)
    with catalog.transaction(keep_scans=True):
        catalog.delete("erasing")


def erase_file(path: Path) -> None:
    """Overwrite a file with zeros, sync it, and delete it; does nothing if it is missing.

    Raises
    ------
    StoreError
        If that fails.
    """
    if not overwrite_file(path):
        return
    try:
        path.unlink()
    except OSError as error:
        raise _not_erased(path, error) from error


def overwrite_file(path: Path) -> bool:
    """Overwrite a file with zeros, and sync it; return whether it exists.

    The first bytes come first: readers that still have it open see from them that it is erased.

    Raises
    ------
    StoreError
        If that fails.
    """
    try:
        fd = open_own(path, os.O_WRONLY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _not_erased(path, error) from error
    try:
        with open(fd, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            left = os.fstat(fd).st_size
            while left > 0:
                left -= file.write(bytes(min(left, _ERASED)))
            sync_file(fd)
    except OSError as error:
        raise _not_erased(path, error) from error
    return True


def _not_erased(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{path} cannot be erased: {error.strerror}.",
        "Close the programs that have it open, check its permissions, and run the same command again.",
    )
