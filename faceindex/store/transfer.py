"""The transfer of all faces to other models: staged beside the index, then switched to in one transaction.

1. Photos are staged in batches, by the commit protocol (`faceindex.store.commit`): their new vectors in
   another file, their faces in the tables ``transfer_images`` and ``transfer_faces``. The index does not
   change meanwhile. A photo that is replaced or removed is no longer staged.
2. `Transfer.prepare` writes the vectors to their final file, in the order of the face ids and without gaps.
3. `Transfer.switch` changes models, faces, clusters and the name of the vector file in one transaction.

A process that is killed leaves the old index, with the staged photos, or the new one. Files that the catalog
does not name are deleted when the next writer opens the index. A new file name each time keeps readers, which
may still have the old file open, from reading the rows of one file in another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faceindex.errors import IndexCorrupt, StoreError, UsageError
from faceindex.files import sync_directory
from faceindex.store import faces as face_tables
from faceindex.store.clusterings import write_clustering
from faceindex.store.columns import INTEGER
from faceindex.store.decisions import DecisionTables
from faceindex.store.digests import Digester, VectorDigests
from faceindex.store.directory import next_vectors_name, part_name
from faceindex.store.forgotten import ForgottenTables, at_places, select_faces
from faceindex.store.journal import append_run
from faceindex.store.photo_records import delete_empty_roots, delete_photos
from faceindex.store.records import Assignments
from faceindex.store.sqlite import placeholders
from faceindex.store.vector_files import add_missing_digests, vector_file
from faceindex.store.vectors import HEADER_BYTES
from faceindex.types import F32, I64, BoolArray, Faces

if TYPE_CHECKING:
    from faceindex.documents import Json
    from faceindex.store.catalog import Catalog
    from faceindex.store.records import Pins
    from faceindex.store.vectors import VectorFile

__all__ = ["NewClusters", "NewFaces", "StagedPhoto", "Transfer"]

_BLOCK = 16_384  # vectors in memory at a time
_VALUES = ", ".join(face_tables.VALUE_COLUMNS)
_ASSIGNED = ", ".join(f"{name} = ?" for name in ("vector_row", *face_tables.VALUE_COLUMNS))


@dataclass(frozen=True, slots=True)
class StagedPhoto:
    """The faces that the new models found on one photo of the index.

    Attributes
    ----------
    photo : int
        Id of the photo.
    faces : Faces
        n faces.
    replaces : (n,) int64
        Ids of the faces of the photo that they replace, each at most once; -1 for new faces. Faces of the
        photo that are not named are deleted by the switch.
    by_hand : (n,) bool, optional
        Faces at boxes that the user drew; None means no face.
    """

    photo: int
    faces: Faces
    replaces: I64
    by_hand: BoolArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NewFaces:
    """All faces as they will be after the switch.

    Attributes
    ----------
    table : Assignments
        n faces with their new rows and sharpness, and their old clusters; -1 for new faces.
    vectors : (n, d) float32
        Their vectors, a memory map.
    is_new : (n,) bool
        Faces that replace none.
    gone : int
        Number of faces that will be deleted.
    """

    table: Assignments
    vectors: F32
    is_new: BoolArray
    gone: int
    _dropped: tuple[int, ...]
    _staged: I64  # (n,) ids in the table transfer_faces
    _digests: dict[int, int]  # of the vectors


@dataclass(frozen=True, slots=True, eq=False)
class NewClusters:
    """The clusters of `NewFaces`; attributes as the parameters of `write_clustering`."""

    algorithm: str
    params: Mapping[str, Json]
    seed: int
    labels: I64
    similarities: F32
    linked: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer that has begun; get it from `Store.transfer` or `Store.begin_transfer`.

    Attributes
    ----------
    pins : Pins
        The new models.
    """

    pins: Pins
    _catalog: Catalog
    _directory: Path
    _writable: bool
    _on_switch: Callable[[], None] = field(repr=False)

    @classmethod
    def begin(cls, catalog: Catalog, directory: Path, pins: Pins, on_switch: Callable[[], None]) -> Transfer:
        """Begin a transfer. `on_switch` is called after the switch.

        Raises
        ------
        UsageError
            If one has begun.
        """
        if (pending := catalog.transfer()) is not None:
            raise UsageError(
                f"A migration to {pending[0].detector} and {pending[0].embedder} has begun.",
                "Finish it, or discard it with `cancel`.",
            )
        transfer = cls(pins, catalog, directory, True, on_switch)
        part = transfer._part(new=True)
        part.create()
        sync_directory(directory)
        with catalog.transaction(keep_scans=True):
            catalog.execute("DELETE FROM transfer_images")
            catalog.set("part_header", HEADER_BYTES)
            VectorDigests(catalog, part.path.name).delete()
            catalog.set("transfer", {"pins": asdict(pins), "rows": 0})
        return transfer

    def staged(self) -> set[int]:
        """Return the ids of the photos that are staged."""
        return {int(photo) for (photo,) in self._catalog.query("SELECT image_id FROM transfer_images")}

    def discard(self) -> None:
        """Give up the transfer; the index stays as it is."""
        catalog = self._writable_catalog()
        with catalog.transaction(keep_scans=True):
            catalog.execute("DELETE FROM transfer_images")
            catalog.delete("transfer")
            VectorDigests(catalog, self._part().path.name).delete()
        self._part().path.unlink(missing_ok=True)

    def stage(self, photos: Sequence[StagedPhoto]) -> None:
        """Store the new faces of some photos durably beside the index: all of them, or none.

        Raises
        ------
        UsageError
            If a photo is not in the index or staged already, arrays differ in length, or vectors are not of
            unit length or of the new dimension.
        StoreError
            If the disk is full or fails.
        """
        catalog = self._writable_catalog()
        rows = self._staged_rows()
        new: F32 | None = None
        photos = [self._without_forgotten(photo) for photo in photos]
        with closing(self._checked_part(rows)) as part:
            for photo in photos:
                part.check_vectors(photo.faces.vectors)
                if not len(photo.faces) == len(photo.faces.vectors) == len(photo.replaces):
                    raise UsageError("The arrays of a photo differ in length.", "Pass one row per face.")
            if any(len(photo.faces) for photo in photos):
                new = np.concatenate([photo.faces.vectors for photo in photos])
                add_missing_digests(catalog, part, rows)
                part.append(rows, new)
        with catalog.transaction(keep_scans=True):
            if new is not None:
                VectorDigests(catalog, part.path.name).extend(rows, new)
            for photo in photos:
                catalog.execute("INSERT INTO transfer_images (image_id) VALUES (?)", (photo.photo,))
                values = face_tables.face_values(photo.faces)
                drawn = [False] * len(values) if photo.by_hand is None else photo.by_hand.tolist()
                catalog.executemany(
                    f"INSERT INTO transfer_faces (image_id, face_id, vector_row, by_hand, {_VALUES})"
                    f" VALUES (?, ?, ?, ?, {placeholders(face_tables.VALUE_COLUMNS)})",
                    [
                        (photo.photo, None if face < 0 else face, rows + i, int(drawn[i]), *face_values)
                        for i, (face, face_values) in enumerate(
                            zip(photo.replaces.tolist(), values, strict=True)
                        )
                    ],
                )
                rows += len(photo.faces)
            catalog.set("transfer", {"pins": asdict(self.pins), "rows": rows})

    def prepare(self, dropped: Iterable[int] = ()) -> NewFaces:
        """Write the final vector file; the index does not change.

        Parameters
        ----------
        dropped : iterable of int
            Ids of photos that the switch removes from the index.

        Raises
        ------
        UsageError
            If a photo with faces is neither staged nor dropped.
        StoreError
            If the disk is full or fails.
        """
        catalog = self._writable_catalog()
        dropped = tuple(dropped)
        self._check_complete(set(dropped))
        staged, photo, face, row, measures = catalog.columns(
            "transfer_faces t",
            [
                ("t.id", INTEGER),
                ("t.image_id", INTEGER),
                ("coalesce(t.face_id, -1)", INTEGER),
                ("t.vector_row", INTEGER),
                face_tables.measures_column("t"),
            ],
        )
        is_new = face < 0
        face = np.where(is_new, self._next_face() + np.cumsum(is_new) - 1, face)
        order = np.argsort(face)
        face, is_new = face[order], is_new[order]
        before = face_tables.assignments(catalog)
        cluster = np.full(len(face), -1, np.int64)
        cluster[~is_new] = before.cluster[np.searchsorted(before.face, face[~is_new])]
        return NewFaces(
            table=Assignments(
                face=face,
                row=np.arange(len(face)),
                photo=photo[order],
                cluster=cluster,
                similarity=np.full(len(face), np.nan, np.float32),
                sharpness=measures["sharpness"].astype(np.float32)[order],
                quality=measures["quality"].astype(np.float32)[order],
            ),
            vectors=self._write_vectors(row[order], digester := Digester()),
            is_new=is_new,
            gone=len(before) - int((~is_new).sum()),
            _dropped=dropped,
            _staged=staged[order],
            _digests=digester.found,
        )

    def switch(self, faces: NewFaces, clusters: NewClusters | None, detail: Mapping[str, Json]) -> None:
        """Move the index to the new models, in one transaction.

        Parameters
        ----------
        faces : NewFaces
            The result of `prepare`; nothing was committed since.
        clusters : NewClusters or None
            None if the index has no clusters.
        detail : mapping
            For the journal.
        """
        catalog, table = self._writable_catalog(), faces.table
        position = dict(zip(faces._staged.tolist(), range(len(table)), strict=True))
        final, row = table.face.tolist(), table.row.tolist()
        read = f"SELECT id, image_id, {_VALUES} FROM transfer_faces WHERE face_id IS %s"
        with catalog.transaction():
            delete_photos(catalog, faces._dropped)
            catalog.execute("DELETE FROM away_images")  # their vectors are of the old models
            delete_empty_roots(catalog)
            catalog.execute(
                "DELETE FROM faces WHERE image_id IN (SELECT image_id FROM transfer_images)"
                " AND id NOT IN (SELECT face_id FROM transfer_faces WHERE face_id IS NOT NULL)"
            )
            catalog.execute("UPDATE faces SET vector_row = -1 - vector_row")  # rows are unique
            catalog.executemany(
                f"UPDATE faces SET {_ASSIGNED} WHERE id = ?",
                (
                    (row[position[id]], *values, final[position[id]])
                    for id, _, *values in catalog.execute(read % "NOT NULL")
                ),
            )
            catalog.executemany(
                f"INSERT INTO faces (id, image_id, vector_row, {_VALUES})"
                f" VALUES (?, ?, ?, {placeholders(face_tables.VALUE_COLUMNS)})",
                (
                    (final[position[id]], photo, row[position[id]], *values)
                    for id, photo, *values in catalog.execute(read % "NULL")
                ),
            )
            catalog.execute(
                "UPDATE images SET faces = (SELECT count(*) FROM faces WHERE image_id = images.id)"
                " WHERE id IN (SELECT image_id FROM transfer_images)"
            )
            drawn = catalog.query("SELECT id FROM transfer_faces WHERE by_hand")
            catalog.execute("DELETE FROM hand_faces")
            catalog.executemany(
                "INSERT INTO hand_faces (face_id) VALUES (?)", [(final[position[id]],) for (id,) in drawn]
            )
            DecisionTables(catalog).match()
            ((left, total),) = catalog.execute("SELECT sum(vector_row < 0), count(*) FROM faces")
            if left or total != len(table):
                raise StoreError("The index has changed since the switch was prepared.", "Prepare it again.")
            if clusters is not None:
                write_clustering(
                    catalog,
                    clusters.algorithm,
                    clusters.params,
                    clusters.seed,
                    table.face,
                    clusters.labels,
                    clusters.similarities,
                    linked=clusters.linked,
                )
            catalog.set("pins", asdict(self.pins))
            for name in (catalog.vectors_name, self._part().path.name):
                VectorDigests(catalog, name).delete()
            VectorDigests(catalog, self._final().path.name).write(faces._digests)
            catalog.set("vectors", self._final().path.name)
            catalog.set("header", HEADER_BYTES)
            catalog.set("rows", len(table))
            catalog.execute("DELETE FROM transfer_images")
            catalog.delete("transfer")
            append_run(catalog, "migrate", detail)
        self._on_switch()

    def _without_forgotten(self, photo: StagedPhoto) -> StagedPhoto:
        """Return a photo without the faces at places that were forgotten: other models find them, too."""
        found = self._catalog.query(
            "SELECT picture, content_hash, orientation, width, height FROM images WHERE id = ?",
            (photo.photo,),
        )
        if not found or len(photo.faces) != len(photo.replaces):
            return photo  # refused below
        picture, content, orientation, width, height = found[0]
        places = ForgottenTables(self._catalog).places([key for key in (picture, content) if key is not None])
        kept = ~at_places(places, photo.faces.boxes, orientation, (width, height))
        if kept.all():
            return photo
        drawn = None if photo.by_hand is None else photo.by_hand[kept]
        return StagedPhoto(photo.photo, select_faces(photo.faces, kept), photo.replaces[kept], drawn)

    def _writable_catalog(self) -> Catalog:
        if not self._writable:
            raise UsageError("The index is open for reading only.", "Open it with `write=True`.")
        return self._catalog

    def _final(self) -> VectorFile:
        name = next_vectors_name(self._catalog.vectors_name)
        return vector_file(self._catalog, self._directory, name, self.pins.dimension, new=True)

    def _part(self, *, new: bool = False) -> VectorFile:
        name = part_name(next_vectors_name(self._catalog.vectors_name))
        return vector_file(self._catalog, self._directory, name, self.pins.dimension, part=True, new=new)

    def _checked_part(self, rows: int) -> VectorFile:
        """Return the unfinished file after checking that it contains the staged rows."""
        part = self._part()
        try:
            part.check_size(rows)
        except IndexCorrupt as error:
            raise StoreError(
                f"{part.path} was deleted or damaged.",
                "Discard the migration with `cancel`, and start it again; the index is intact.",
            ) from error
        return part

    def _staged_rows(self) -> int:
        found = self._catalog.transfer()
        if found is None or found[0] != self.pins:
            raise UsageError("The migration has been finished or discarded.", "Start it again.")
        return found[1]

    def _next_face(self) -> int:
        """Return the lowest id that no face ever had."""
        found = self._catalog.query("SELECT seq FROM sqlite_sequence WHERE name = 'faces'")
        return int(found[0][0]) + 1 if found else 1

    def _check_complete(self, dropped: set[int]) -> None:
        left = self._catalog.query(
            "SELECT DISTINCT image_id FROM faces WHERE image_id NOT IN (SELECT image_id FROM transfer_images)"
        )
        missing = {int(photo) for (photo,) in left} - dropped
        if missing:
            raise UsageError(f"The faces of {len(missing):,} photos are not staged.", "Stage or drop them.")

    def _write_vectors(self, rows: I64, digester: Digester) -> F32:
        """Copy rows of the unfinished file to the final one, and return its memory map."""
        staged = self._staged_rows()
        part, final = self._checked_part(staged), self._final()

        def blocks() -> Iterator[F32]:
            for start in range(0, len(rows), _BLOCK):
                yield part.gather(staged, rows[start : start + _BLOCK])

        try:
            final.create()
            final.write(0, digester.watch(blocks()))
            sync_directory(self._directory)
        except BaseException:
            final.path.unlink(missing_ok=True)  # a full disk gets its space back at once
            raise
        finally:
            part.close()
        vectors = final.read(len(rows))
        final.close()
        return vectors
