"""Delete faces, people and photos from an index for good: from the catalog, and then from all its files.

1. One transaction deletes the rows, and stores in ``meta`` that erasing has begun (the key ``forgetting``).
2. The vector file is compacted. The old one, the HNSW index, thumbnails and temporary files are overwritten
   and deleted.
   The catalog is written anew without free pages (``VACUUM``), and its write-ahead log is emptied.
3. A last transaction deletes the key.

A process that is killed before 1 has changed nothing. After 1, the next writer that opens the index does 2
again: each of its steps may be repeated.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from faceindex.errors import StoreError
from faceindex.files import sync_directory, sync_file
from faceindex.safe_open import open_own
from faceindex.store.away import delete_away
from faceindex.store.checked_json import Malformed, fields, list_of, natural, text
from faceindex.store.compaction import erase_file, live_rows
from faceindex.store.copies import CopyTable
from faceindex.store.digests import VectorDigests
from faceindex.store.directory import is_derived_name, next_vectors_name, part_name
from faceindex.store.photo_records import delete_empty_roots, delete_photos
from faceindex.store.sqlite import translated_errors
from faceindex.store.thumbnail_file import erase_thumbnails
from faceindex.store.vector_files import add_missing_digests, vector_file

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.store.vectors import VectorFile

__all__ = [
    "Deleting",
    "Forgetting",
    "begin_erasing",
    "delete_faces",
    "delete_marks",
    "delete_people",
    "delete_whole_photos",
    "end_erasing",
    "erase_rows",
    "is_erasing",
    "pending_contents",
]

_log = logging.getLogger(__name__)

_KEY = "forgetting"
_NOTHING: dict[str, object] = {}


def _hash(value: object, name: str) -> str:
    """Require a hash in hexadecimal digits."""
    try:
        return bytes.fromhex(text(value, name)).hex()
    except ValueError:
        raise Malformed(f"{name} is not a hash") from None


_PENDING = fields(contents=list_of(_hash), files=natural)
_BLOCK = 1 << 20


# 1. Inside a transaction -------------------------------------------------------------------------


def begin_erasing(catalog: Catalog, contents: Iterable[bytes]) -> None:
    """Keep that files of the index and copies must be cleaned; `contents` are the photos of deleted faces."""
    earlier = catalog.get(_KEY, _PENDING, _NOTHING).get("contents", [])
    every = sorted({*earlier, *(content.hex() for content in contents)})
    catalog.set(_KEY, {"contents": every, "files": 1})
    if catalog.search() is not None:
        catalog.set("search_erasing", 1)


def delete_faces(catalog: Catalog, faces: Sequence[int]) -> None:
    """Delete faces with all that belongs to them; also those of photos that are away, and of a transfer."""
    photos = [
        (photo,)
        for (photo,) in catalog.query_in("SELECT DISTINCT image_id FROM faces WHERE id IN ({})", faces)
    ]
    # A photo that is staged for other models is staged again.
    catalog.executemany("DELETE FROM transfer_images WHERE image_id = ?", photos)
    catalog.executemany("DELETE FROM faces WHERE id = ?", [(face,) for face in faces])
    catalog.executemany("DELETE FROM hand_faces WHERE face_id = ?", [(face,) for face in faces])
    catalog.executemany(
        "UPDATE images SET faces = (SELECT count(*) FROM faces WHERE image_id = images.id) WHERE id = ?",
        photos,
    )
    away = [
        (photo,)
        for (photo,) in catalog.query_in("SELECT DISTINCT image_id FROM away_faces WHERE id IN ({})", faces)
    ]
    catalog.executemany("DELETE FROM away_faces WHERE id = ?", [(face,) for face in faces])
    catalog.executemany(
        "UPDATE away_images SET faces = (SELECT count(*) FROM away_faces WHERE image_id = away_images.id)"
        " WHERE id = ?",
        away,
    )
    catalog.execute(
        "DELETE FROM clusters WHERE NOT EXISTS (SELECT 1 FROM assignments WHERE cluster_id = clusters.id)"
    )


def delete_whole_photos(catalog: Catalog, photos: Sequence[int]) -> None:
    """Delete photos with their faces, also those that are away, and roots without photos."""
    delete_photos(catalog, photos)
    delete_away(catalog, photos)
    delete_empty_roots(catalog)


def delete_marks(catalog: Catalog, marks: Sequence[int]) -> None:
    """Delete marks with their labels, rejections and links."""
    rows = [(mark,) for mark in marks]
    for statement in (
        "DELETE FROM marked_faces WHERE mark_id = ?",
        "DELETE FROM rejections WHERE mark_id = ?",
        "DELETE FROM links WHERE a = ?",
        "DELETE FROM links WHERE b = ?",
        "DELETE FROM hand_boxes WHERE mark_id = ?",
        "DELETE FROM marks WHERE id = ?",
    ):
        catalog.executemany(statement, rows)


def delete_people(catalog: Catalog, people: Sequence[int]) -> int:
    """Delete people, of whom no mark is left, and what was rejected from them; return the rejections."""
    rows = [(person,) for person in people]
    rejections = sum(
        int(number)
        for (number,) in catalog.query_in("SELECT count(*) FROM rejections WHERE person_id IN ({})", people)
    )
    for statement in (
        "DELETE FROM rejections WHERE person_id = ?",
        "UPDATE clusters SET person_id = NULL WHERE person_id = ?",
        "UPDATE people SET into_id = NULL WHERE into_id = ?",
        "DELETE FROM people WHERE id = ?",
    ):
        catalog.executemany(statement, rows)
    return rejections


# 2. The files ------------------------------------------------------------------------------------


def is_erasing(catalog: Catalog) -> bool:
    """Whether rows were deleted whose remains have not been erased from the files of the index yet."""
    return bool(catalog.get(_KEY, _PENDING, _NOTHING).get("files", 0))


def pending_contents(catalog: Catalog) -> set[bytes]:
    """Return the contents of the photos of the faces that are being erased."""
    return {bytes.fromhex(content) for content in catalog.get(_KEY, _PENDING, _NOTHING).get("contents", [])}


def end_erasing(catalog: Catalog) -> None:
    """Keep that the files of the index are clean; forget the key once the copies are clean, too."""
    pending = catalog.get(_KEY, _PENDING, _NOTHING)
    if pending is _NOTHING:
        return
    with catalog.transaction(keep_scans=True):
        if CopyTable(catalog).has_stale():
            catalog.set(_KEY, {**pending, "files": 0})
        else:
            catalog.delete(_KEY)
    empty_log(catalog)


def _erase_part(catalog: Catalog, directory: Path) -> None:
    """Overwrite the vectors of a transfer that no staged face names."""
    if (transfer := catalog.transfer()) is None:
        return
    pins, rows = transfer
    named = {int(row) for (row,) in catalog.query("SELECT vector_row FROM transfer_faces")}
    name = part_name(next_vectors_name(catalog.vectors_name))
    with closing(vector_file(catalog, directory, name, pins.dimension, part=True)) as part:
        if part.path.exists():
            erase_rows(catalog, part, rows, named)


def erase_rows(catalog: Catalog, vectors: VectorFile, rows: int, live: set[int]) -> None:
    """Overwrite the rows of a vector file that are not live with one and the same unit vector, and sync it.

    Zeros would be no unit vector, and mean that the whole file was erased (`VectorFile.is_erased`). The
    digests of these rows are removed before, so that a process may be killed at any moment; the next writer
    that finds no digests computes them.
    """
    plain = struct.pack("<f", 1.0) + bytes(4 * (vectors.dimension - 1))
    dead = [row for row in range(rows) if row not in live]
    if not dead:
        return
    vectors.check(rows)  # new digests must not cover up damage
    with catalog.transaction(keep_scans=True):
        VectorDigests(catalog, vectors.path.name).delete()
    with open(open_own(vectors.path, os.O_RDWR), "r+b", buffering=0) as file:  # noqa: PTH123 - a descriptor
        for first, last in _runs(dead):
            file.seek(vectors.header_bytes + first * len(plain))
            left = last + 1 - first
            while left:
                number = min(left, max(1, _BLOCK // len(plain)))
                content = memoryview(plain * number)
                while content:
                    content = content[file.write(content) :]
                left -= number
        sync_file(file.fileno())
    add_missing_digests(catalog, vectors, rows)


def _runs(rows: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each run of consecutive integers."""
    first = last = rows[0]
    for row in rows[1:]:
        if row != last + 1:
            yield first, last
            first = row
        last = row
    yield first, last


def clean_catalog(catalog: Catalog) -> None:
    """Write the catalog anew, without what is left of deleted rows in free pages, and empty its log."""
    with translated_errors(catalog.path):
        catalog.execute("PRAGMA secure_delete = ON").fetchall()
        catalog.execute("VACUUM")
    empty_log(catalog)


def empty_log(catalog: Catalog) -> None:
    """Move the write-ahead log into the catalog, and cut it to no bytes.

    Raises
    ------
    StoreError
        If a reader needs the log for longer than SQLite waits.
    """
    catalog.checkpoint()  # with the digests of what the log holds
    with translated_errors(catalog.path):
        ((busy, *_),) = catalog.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if busy:
        raise StoreError(
            f"The write-ahead log of {catalog.path} is in use by another process, and still holds old pages.",
            "The faces are not in the catalog any more; end other commands on this index. The next one that"
            " changes it, such as `faceindex cluster`, finishes this.",
        )


class Forgetting:
    """Deletes faces, people and photos for good; `faceindex.store.Store.forgetting`.

    Parameters
    ----------
    catalog : Catalog
    directory : Path
    compact : callable
        Writes the vectors of the live rows to a new file, and overwrites and deletes the old one.
    """

    def __init__(self, catalog: Catalog, directory: Path, compact: Callable[[], object]) -> None:
        self._catalog = catalog
        self._directory = directory
        self._compact = compact

    @contextlib.contextmanager
    def deleting(self, contents: Iterable[bytes]) -> Iterator[Deleting]:
        """Commit all that is deleted inside the ``with``, or nothing if it raises; `finish` does the rest.

        Parameters
        ----------
        contents : iterable of bytes
            Hashes of the files of the photos that show what is deleted.
        """
        with translated_errors(self._catalog.path):
            self._catalog.execute("PRAGMA secure_delete = ON").fetchall()
        with self._catalog.transaction():
            yield Deleting(self._catalog)
            begin_erasing(self._catalog, contents)
            CopyTable(self._catalog).mark_stale()

    def finish(self) -> None:
        """Erase what was deleted from the files of the index; may be repeated.

        Raises
        ------
        StoreError
            If a file cannot be written, the disk is full, or another process reads an old state of the
            catalog for so long that the write-ahead log cannot be emptied.
        """
        catalog = self._catalog
        try:
            if catalog.transfer() is None:
                self._compact()
            else:  # whose unfinished file has the name that a compaction would write to
                live = {int(row) for row in live_rows(catalog)}
                name, dimension = catalog.vectors_name, catalog.pins().dimension
                with closing(vector_file(catalog, self._directory, name, dimension)) as vectors:
                    erase_rows(catalog, vectors, catalog.rows, live)
                _erase_part(catalog, self._directory)
            for path in sorted(self._directory.iterdir()):
                if is_derived_name(path.name):
                    erase_file(path)
            erase_thumbnails(self._directory)
            sync_directory(self._directory)
        except OSError as error:
            raise StoreError(
                f"{error.filename or self._directory} cannot be erased: {error.strerror}.",
                "The faces are not in the catalog any more; make room. The next command that changes the"
                " index, such as `faceindex cluster`, finishes this.",
            ) from error
        clean_catalog(catalog)
        end_erasing(catalog)

    def resume(self) -> None:
        """Finish what a process that was killed has begun; what fails is tried again the next time."""
        try:
            self.finish()
        except StoreError as error:
            _log.warning("Forgotten faces have not been erased from all files yet: %s", error)

    def end(self, clean: Iterable[int], gone: Iterable[int] = ()) -> None:
        """Keep that copies are clean or gone, given by id, and that nothing else remains if that is so."""
        with self._catalog.transaction(keep_scans=True):
            CopyTable(self._catalog).mark_clean(clean)
            CopyTable(self._catalog).delete(gone)
        if not is_erasing(self._catalog):
            end_erasing(self._catalog)


class Deleting:
    """Deletes rows inside the transaction of `Forgetting.deleting`.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def faces(self, faces: Sequence[int]) -> None:
        """Delete faces, as `delete_faces`."""
        delete_faces(self._catalog, faces)

    def photos(self, photos: Sequence[int]) -> None:
        """Delete photos, as `delete_whole_photos`."""
        delete_whole_photos(self._catalog, photos)

    def marks(self, marks: Sequence[int]) -> None:
        """Delete marks, as `delete_marks`."""
        delete_marks(self._catalog, marks)

    def people(self, people: Sequence[int]) -> int:
        """Delete people, as `delete_people`."""
        return delete_people(self._catalog, people)
