"""The vector files of an index: each with its header and its digests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.store.checked_json import Malformed, integer
from faceindex.store.digests import BLOCK_ROWS, Digester, VectorDigests
from faceindex.store.vectors import HEADER_BYTES, VectorFile, make_header

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog

__all__ = ["add_missing_digests", "vector_file"]


def vector_file(
    catalog: Catalog, directory: Path, name: str, dimension: int, *, part: bool = False, new: bool = False
) -> VectorFile:
    """Return a vector file of an index, with its header and its digests.

    Parameters
    ----------
    catalog : Catalog
    directory : Path
    name : str
    dimension : int
    part : bool
        It is the unfinished file of a transfer.
    new : bool
        It is yet to be written; new files have a header.
    """
    header = HEADER_BYTES if new else catalog.get("part_header" if part else "header", _header_bytes, 0)
    index_id = catalog.index_id
    return VectorFile(
        directory / name,
        dimension,
        make_header(index_id, dimension) if header and index_id is not None else b"",
        VectorDigests(catalog, name),
    )


def add_missing_digests(catalog: Catalog, file: VectorFile, rows: int) -> None:
    """Store the digests of rows from formats before 7, after a check of their lengths; once."""
    digests = VectorDigests(catalog, file.path.name)
    missing = -(-rows // BLOCK_ROWS) - digests.count()
    if missing <= 0:
        return
    file.check(rows)
    digester = Digester()
    digester.add(file.read(rows))
    with catalog.transaction(keep_scans=True):
        digests.write(digester.found)


def _header_bytes(value: object, name: str) -> int:
    if integer(value, name) not in (0, HEADER_BYTES):
        raise Malformed(f"{name} is not the length of a header")
    return integer(value, name)
