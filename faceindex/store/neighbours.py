"""The seam of a neighbour index outside the index directory's own files, such as a Milvus server.

It is derived: the catalog and the vectors are the truth, and it can be built anew from them at any time. Its
answers are ids of faces only. The store compares these with the catalog, and computes their similarities from
its own vectors (`faceindex.store.outside`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from faceindex.store.records import HnswParams
    from faceindex.types import F32, I64

__all__ = [
    "BUILD_ANEW",
    "LIST_RANGE",
    "MOST_NEIGHBOURS",
    "Connect",
    "NeighbourIndex",
    "is_missing",
    "own_files",
]

BUILD_ANEW = "`faceindex doctor --repair` builds it anew."
"""The remedy for one that is damaged or lost."""

LIST_RANGE = 4096
"""Width of the greatest range of ids that is listed at once; Milvus returns 16,384 at most."""

MOST_NEIGHBOURS = 16_384
"""Most neighbours of a query that are asked for; the limit of Milvus."""


class NeighbourIndex(Protocol):
    """Vectors by the id of their face. Every method raises `faceindex.errors.SearchUnavailable` if it fails.

    Attributes
    ----------
    name : str
        For messages; without credentials.
    erases_by_rebuilding : bool
        Whether deleted vectors are gone for good only once the whole is dropped and built anew.
    """

    name: str
    erases_by_rebuilding: bool

    def reach(self) -> None:
        """Connect, and make ready what a collection needs."""

    def dimension(self) -> int | None:
        """Return the dimension of the vectors; None if there is no collection of this face index."""

    def create(self, dimension: int) -> None:
        """Make an empty collection in place of the one that is there."""

    def drop(self) -> None:
        """Delete the collection, for good as far as possible; nothing if there is none."""

    def count(self, first: int, end: int) -> int:
        """Count the faces with ids in ``first..end-1``."""

    def ids(self, first: int, end: int) -> I64:
        """Return the ids in ``first..end-1``, ascending; the range is at most `LIST_RANGE` wide."""

    def vectors(self, ids: I64) -> tuple[I64, F32]:
        """Return those of `ids` that are there, ascending, and their vectors."""

    def upsert(self, ids: I64, vectors: F32) -> None:
        """Insert faces, in place of those with the same ids."""

    def delete(self, ids: I64) -> None:
        """Delete faces; unknown ids are ignored."""

    def delete_range(self, first: int, end: int) -> None:
        """Delete the faces with ids in ``first..end-1``."""

    def settle(self) -> None:
        """Return once what was written survives the end of this process."""

    def finish(self, faces: int) -> None:
        """Prepare for searching so many faces, after the last of some writes."""

    def search(self, queries: F32, k: int, *, latest: bool = True) -> I64:
        """Return the ids of the `k` most similar faces of each query, (m, k), padded with -1.

        False for `latest` allows an answer that is some seconds old: no write is newer.
        """

    def erase(self) -> str | None:
        """Make deletions final, as far as possible; return a sentence on what is not certain, or None."""

    def close(self) -> None:
        """Close the connection, and release what it holds."""


Connect: TypeAlias = "Callable[[str, str, Path, HnswParams, bool], NeighbourIndex]"
"""Connects to the neighbour index of an address.

Takes the address (``milvus:...``), the id and the directory of the face index, the parameters of an HNSW
graph, and whether the user gave the address in this very command: one that an index names is trusted less.
Makes no file; `NeighbourIndex.reach` and `NeighbourIndex.create` do.
"""


def own_files(address: str, directory: Path) -> Path | None:
    """Return the path of a neighbour index that lies in the index directory; None for that of a server.

    The address of the first is ``milvus:NAME``, without a slash.
    """
    name = address.partition(":")[2]
    return None if "/" in name else directory / name


def is_missing(path: Path) -> bool:
    """Return whether there is no neighbour index at a path of `own_files`, or an empty folder."""
    try:
        return not any(path.iterdir())
    except FileNotFoundError:
        return True
    except OSError:
        return False  # what opens it reports why it cannot be read
