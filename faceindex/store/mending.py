"""Find the damaged rows of the vector file, and write it anew with other vectors for them; for `doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceindex.errors import IndexCorrupt
from faceindex.files import sync_directory
from faceindex.store.catalog import Catalog
from faceindex.store.compaction import live_rows, renumber
from faceindex.store.digests import Digester, VectorDigests
from faceindex.store.directory import next_vectors_name, part_name
from faceindex.store.faces import face_table
from faceindex.store.records import FaceTable
from faceindex.store.sqlite import chunks, placeholders
from faceindex.store.vector_files import vector_file
from faceindex.store.vectors import HEADER_BYTES, VectorFile
from faceindex.types import F32, BoolArray

__all__ = ["Damage", "Mended", "find_damaged_rows", "mend_vectors"]

_BLOCK = 16_384  # vectors in memory at a time


@dataclass(frozen=True, slots=True, eq=False)
class Damage:
    """The state of the vector file.

    Attributes
    ----------
    file : VectorFile
    rows : (n,) bool
        True for each committed row that is not in the file as it was stored, or in a block with such a row.
    problem : str or None
        What is wrong, with the name of the file.
    """

    file: VectorFile
    rows: BoolArray
    problem: str | None


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done about damaged vectors.

    Attributes
    ----------
    embedded : int
        Faces that were embedded again.
    lost : tuple of int
        Ids of the photos whose damaged faces could not be embedded again. The faces are deleted, and the
        next `index` reads these photos again, if they are there.
    """

    embedded: int
    lost: tuple[int, ...]


def find_damaged_rows(catalog: Catalog, directory: Path) -> Damage:
    """Compare the whole vector file with its digests."""
    rows = catalog.rows
    file = vector_file(catalog, directory, catalog.vectors_name, catalog.pins().dimension)
    damaged = np.zeros(rows, np.bool_)
    try:
        file.check_size(rows)
        there, problem = rows, None
    except IndexCorrupt as error:
        there, problem = _readable_rows(file, rows), error.problem
    except OSError as error:
        there, problem = 0, f"{file.path} cannot be read: {error.strerror}."
    damaged[there:] = True
    blocks = file.damaged_blocks(there)
    for start, stop in blocks:
        damaged[start:stop] = True
    if problem is None and blocks:
        which = ", ".join(f"{start:,} to {stop - 1:,}" for start, stop in blocks[:3])
        more = f" and {len(blocks) - 3:,} other blocks" if len(blocks) > 3 else ""
        problem = f"{file.path} is damaged in its rows {which}{more}."
    return Damage(file, damaged, problem)


def _readable_rows(file: VectorFile, rows: int) -> int:
    """Return the number of whole rows of a file that is too short; 0 if it is not a file of this index."""
    try:
        file.check_size(0)
        return min(rows, max(0, (file.path.stat().st_size - file.header_bytes) // (4 * file.dimension)))
    except (IndexCorrupt, OSError):
        return 0


def mend_vectors(
    catalog: Catalog,
    directory: Path,
    damage: Damage,
    embed: Callable[[int, FaceTable], F32 | None],
) -> Mended:
    """Write a new vector file, in which the faces with damaged rows have new vectors; as a compaction does.

    Parameters
    ----------
    catalog : Catalog
        Open for writing.
    directory : Path
    damage : Damage
    embed : callable
        Takes the id of a photo and the damaged faces on it, and returns their vectors (n, d) float32; None if
        the photo is not as it was indexed.

    Returns
    -------
    Mended

    Raises
    ------
    StoreError
        If the disk is full or fails. The index does not change.
    """
    table = face_table(catalog)
    hurt = np.flatnonzero(damage.rows[table.row])
    new: dict[int, F32] = {}
    lost: list[int] = []
    for photo in np.unique(table.photo[hurt]).tolist():
        some = hurt[table.photo[hurt] == photo]
        vectors = embed(photo, _select(table, some))
        if vectors is None:
            lost.append(photo)
        else:
            new.update(zip(table.row[some].tolist(), vectors, strict=True))
    with catalog.transaction():
        pass  # fails now, not after the work, if the catalog cannot be written
    gone = set(table.row[hurt][np.isin(table.photo[hurt], lost)].tolist())
    gone |= _damaged_away_rows(catalog, damage.rows)
    live = live_rows(catalog)
    live = live[~np.isin(live, sorted(gone))]
    old = catalog.vectors_name
    file = vector_file(catalog, directory, next_vectors_name(old), damage.file.dimension, new=True)
    digester = Digester()

    def blocks() -> Iterator[F32]:
        for start in range(0, len(live), _BLOCK):
            rows = live[start : start + _BLOCK]
            part = np.empty((len(rows), file.dimension), np.float32)
            for position, row in enumerate(rows.tolist()):
                if row in new:
                    part[position] = new[row]
            kept = ~damage.rows[rows]
            if kept.any():
                readable = int(rows[kept][-1]) + 1
                part[kept] = damage.file.read(readable)[rows[kept]]
            file.check_vectors(part)
            yield part

    try:
        file.create()
        file.write(0, digester.watch(blocks()))
        sync_directory(directory)
        with catalog.transaction():
            _delete_rows(catalog, gone)
            _read_again(catalog, lost)
            renumber(catalog, live)
            catalog.set("vectors", file.path.name)
            catalog.set("header", HEADER_BYTES)
            catalog.set("rows", len(live))
            catalog.execute("DELETE FROM transfer_images")
            catalog.delete("transfer")
            for name in (old, part_name(next_vectors_name(old))):
                VectorDigests(catalog, name).delete()
            VectorDigests(catalog, file.path.name).write(digester.found)
    except BaseException:
        if catalog.vectors_name != file.path.name:
            file.path.unlink(missing_ok=True)
        raise
    damage.file.close()
    return Mended(len(new), tuple(lost))


def _select(table: FaceTable, positions: np.ndarray) -> FaceTable:
    return FaceTable(**{name: getattr(table, name)[positions] for name in FaceTable.__dataclass_fields__})


def _damaged_away_rows(catalog: Catalog, damaged: BoolArray) -> set[int]:
    """Return the damaged rows of photos that are away, which no photo can replace now."""
    rows = [int(row) for (row,) in catalog.query("SELECT vector_row FROM away_faces")]
    return {row for row in rows if damaged[row]}


def _delete_rows(catalog: Catalog, rows: set[int]) -> None:
    for chunk in chunks(sorted(rows)):
        where = f"vector_row IN ({placeholders(chunk)})"
        catalog.execute(
            f"DELETE FROM away_images WHERE id IN (SELECT image_id FROM away_faces WHERE {where})", chunk
        )
        catalog.execute(f"DELETE FROM faces WHERE {where}", chunk)


def _read_again(catalog: Catalog, photos: Sequence[int]) -> None:
    """Let the next `index` read photos again: with no size, time and content, they count as changed."""
    catalog.executemany("DELETE FROM faces WHERE image_id = ?", [(photo,) for photo in photos])
    catalog.executemany(
        "UPDATE images SET size = 0, mtime_ns = 0, content_hash = NULL, picture = NULL, faces = 0"
        " WHERE id = ?",
        [(photo,) for photo in photos],
    )
