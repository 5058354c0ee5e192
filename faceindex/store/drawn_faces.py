"""Faces that the user drew: no detector found them, so that their boxes are decisions.

The box is a mark (`faceindex.store.marks`) with a row in ``hand_boxes``. So it outlives the face, the path of
the photo and the models. Wherever the index has the picture, there should be a face at this place: one that a
detector found, or else one that is embedded at the box, with a row in ``hand_faces``. `DrawnFaces.waiting`
lists the boxes that have neither.

Methods that write run inside a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceindex.errors import UsageError
from faceindex.store.digests import VectorDigests
from faceindex.store.migrations import WITH_HAND_FACES
from faceindex.store.records import Status
from faceindex.store.sqlite import chunks, corrupt, placeholders

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.store.vectors import VectorFile
    from faceindex.types import F32, Faces

__all__ = ["DrawnFaces", "WaitingBox", "drawn_face_ids", "drawn_faces_among", "stored_box"]

_BOX_BYTES = 16  # of a mark, 4 float32


@dataclass(frozen=True, slots=True)
class WaitingBox:
    """A box that the user drew, on a photo that has no face there.

    Attributes
    ----------
    photo, mark : int
    box : bytes
        As in marks.
    """

    photo: int
    mark: int
    box: bytes


class DrawnFaces:
    """The tables of faces that the user drew.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    # Reading -----------------------------------------------------------------------------------

    def waiting(self) -> list[WaitingBox]:
        """Return the boxes on photos of the index that have no face yet, by photo. Does not import numpy."""
        if self._catalog.format_version < WITH_HAND_FACES:
            return []
        return [
            WaitingBox(int(photo), int(mark), bytes(box))
            for photo, mark, box in self._catalog.query(
                "SELECT i.id, m.id, m.box FROM hand_boxes b JOIN marks m ON m.id = b.mark_id"
                " JOIN images i ON i.picture = m.picture WHERE i.status = ? AND NOT EXISTS"
                " (SELECT 1 FROM marked_faces f JOIN faces x ON x.id = f.face_id"
                " WHERE f.mark_id = m.id AND x.image_id = i.id) ORDER BY i.id, m.id",
                (Status.OK.value,),
            )
        ]

    def boxes_of_photos(self, photos: Iterable[int]) -> dict[int, list[bytes]]:
        """Return the boxes that the user drew on some photos, as in marks; photos without are left out."""
        if self._catalog.format_version < WITH_HAND_FACES:
            return {}
        wanted = {*photos}
        found: dict[int, list[bytes]] = {}
        for photo, box in self._catalog.query(
            "SELECT i.id, m.box FROM hand_boxes b JOIN marks m ON m.id = b.mark_id"
            " JOIN images i ON i.picture = m.picture ORDER BY i.id, m.id"
        ):
            if photo in wanted:
                found.setdefault(int(photo), []).append(bytes(box))
        return found

    def upright_boxes(self, photo: int, boxes: Sequence[bytes]) -> F32:
        """Return where boxes of marks are on a photo, (n, 4) float32 in pixels of the upright photo."""
        import numpy as np

        from faceindex.orientation import to_upright

        if any(len(box) != _BOX_BYTES for box in boxes):
            raise corrupt(self._catalog.path, "the box of a mark does not have 16 bytes")
        ((width, height, orientation),) = self._catalog.query(
            "SELECT width, height, orientation FROM images WHERE id = ?", (photo,)
        )
        stored = np.frombuffer(b"".join(boxes), "<f4").reshape(-1, 4).astype(np.float32)
        upright = to_upright(stored, np.full(len(stored), orientation or 1))
        return upright * np.array([width, height, width, height], np.float32)

    def boxes_of_faces(self, photo: int) -> tuple[list[int], F32]:
        """Return the faces on a photo, and their boxes, (n, 4) float32."""
        import numpy as np

        rows = self._catalog.query(
            f"SELECT id, substr(geometry, 1, {_BOX_BYTES}) FROM faces WHERE image_id = ? ORDER BY id",
            (photo,),
        )
        if any(len(box) != _BOX_BYTES for _, box in rows):
            raise corrupt(self._catalog.path, "a face has no box")
        boxes = np.frombuffer(b"".join(box for _, box in rows), "<f4").reshape(-1, 4)
        return [int(face) for face, _ in rows], boxes.astype(np.float32)

    # Boxes -------------------------------------------------------------------------------------

    def drawn(self, mark: int) -> int | None:
        """Return the decision that drew the box of a mark; None if the user drew none."""
        found = self._catalog.query("SELECT written FROM hand_boxes WHERE mark_id = ?", (mark,))
        return int(found[0][0]) if found else None

    def set_drawn(self, mark: int, written: int | None) -> None:
        """Store that the user drew the box of a mark, or with None that nobody did."""
        self._catalog.execute("DELETE FROM hand_boxes WHERE mark_id = ?", (mark,))
        if written is not None:
            self._catalog.execute("INSERT INTO hand_boxes (mark_id, written) VALUES (?, ?)", (mark, written))

    def is_said_since(self, mark: int, decision: int) -> bool:
        """Whether a later decision says anything of a mark."""
        return bool(
            self._catalog.query(
                "SELECT EXISTS (SELECT 1 FROM marks WHERE id = ?1 AND label <> 0 AND written > ?2)"
                " OR EXISTS (SELECT 1 FROM rejections WHERE mark_id = ?1 AND written > ?2)"
                " OR EXISTS (SELECT 1 FROM links WHERE (a = ?1 OR b = ?1) AND written > ?2)",
                (mark, decision),
            )[0][0]
        )

    # Faces -------------------------------------------------------------------------------------

    def insert(self, photo: int, faces: Faces, vectors: VectorFile) -> list[int]:
        """Insert faces that were embedded at boxes, and match the marks of their picture.

        Their vectors have been appended to `vectors` after the committed rows.

        Returns
        -------
        list of int
            Their ids.
        """
        from faceindex.store.decisions import DecisionTables
        from faceindex.store.faces import insert_faces

        catalog = self._catalog
        before = catalog.query("SELECT coalesce(max(id), 0) FROM faces WHERE image_id = ?", (photo,))[0][0]
        VectorDigests(catalog, vectors.path.name).extend(catalog.rows, faces.vectors)
        insert_faces(catalog, photo, faces)
        ids = [
            int(face)
            for (face,) in catalog.query(
                "SELECT id FROM faces WHERE image_id = ? AND id > ? ORDER BY id", (photo, before)
            )
        ]
        self._forget_deleted()
        catalog.executemany("INSERT INTO hand_faces (face_id) VALUES (?)", [(face,) for face in ids])
        self._count(photo)
        pictures = catalog.query("SELECT picture FROM images WHERE id = ?", (photo,))
        DecisionTables(catalog).match(picture for (picture,) in pictures if picture is not None)
        return ids

    def remove_faces(self, mark: int) -> tuple[int, set[int]]:
        """Remove the faces that were embedded at the box of a mark, also on photos that are away.

        Returns
        -------
        int
            Number of the faces that are gone from the index.
        set of int
            The clusters that have lost a face, and are not empty.
        """
        catalog = self._catalog
        found = catalog.query(
            "SELECT f.id, f.image_id, a.cluster_id FROM marked_faces m JOIN faces f ON f.id = m.face_id"
            " JOIN hand_faces h ON h.face_id = f.id LEFT JOIN assignments a ON a.face_id = f.id"
            " WHERE m.mark_id = ?",
            (mark,),
        )
        for face, photo, _ in found:
            catalog.execute("DELETE FROM faces WHERE id = ?", (face,))
            self._count(photo)
        self._remove_away(mark)
        self._forget_deleted()
        left = set()
        for cluster in {int(cluster) for *_, cluster in found if cluster is not None}:
            if catalog.query("SELECT 1 FROM assignments WHERE cluster_id = ? LIMIT 1", (cluster,)):
                left.add(cluster)
            else:
                catalog.execute("DELETE FROM clusters WHERE id = ?", (cluster,))
        return len(found), left

    def _remove_away(self, mark: int) -> None:
        """Remove the faces at the box of a mark on photos that are away."""
        import numpy as np

        from faceindex.store.forgotten import ForgottenTables, is_at_places

        catalog = self._catalog
        ((picture, box),) = catalog.query("SELECT picture, box FROM marks WHERE id = ?", (mark,))
        away = [
            int(face)
            for (face,) in catalog.query(
                "SELECT f.id FROM hand_faces h JOIN away_faces f ON f.id = h.face_id"
                " JOIN away_images i ON i.id = f.image_id WHERE i.picture = ?",
                (picture,),
            )
        ]
        tables = ForgottenTables(catalog)
        for face in away:
            ((_, place),) = tables.places_of_away([face])
            if place is None:
                continue
            near = np.abs(np.frombuffer(place, "<f4") - np.frombuffer(box, "<f4")).max() < 1e-4
            if near and is_at_places([(picture, box)], place):
                ((photo,),) = catalog.query("SELECT image_id FROM away_faces WHERE id = ?", (face,))
                catalog.execute("DELETE FROM away_faces WHERE id = ?", (face,))
                catalog.execute(
                    "UPDATE away_images SET faces ="
                    " (SELECT count(*) FROM away_faces WHERE image_id = away_images.id) WHERE id = ?",
                    (photo,),
                )

    def _count(self, photo: int) -> None:
        """Keep how many faces a photo has; if it is staged for other models, it is staged again."""
        self._catalog.execute("DELETE FROM transfer_images WHERE image_id = ?", (photo,))
        self._catalog.execute(
            "UPDATE images SET faces = (SELECT count(*) FROM faces WHERE image_id = images.id) WHERE id = ?",
            (photo,),
        )

    def _forget_deleted(self) -> None:
        """Delete the ids of faces that are gone."""
        self._catalog.execute(
            "DELETE FROM hand_faces WHERE NOT EXISTS (SELECT 1 FROM faces WHERE id = face_id)"
            " AND NOT EXISTS (SELECT 1 FROM away_faces WHERE id = face_id)"
        )


def drawn_face_ids(catalog: Catalog) -> list[int]:
    """Return the ids of the faces that were embedded at boxes of the user, ascending; some may be gone."""
    if catalog.format_version < WITH_HAND_FACES:
        return []
    return [int(face) for (face,) in catalog.query("SELECT face_id FROM hand_faces ORDER BY face_id")]


def drawn_faces_among(catalog: Catalog, faces: Sequence[int]) -> set[int]:
    """Return those of some faces that were embedded at boxes of the user."""
    if catalog.format_version < WITH_HAND_FACES:
        return set()
    found: set[int] = set()
    for chunk in chunks(list(faces)):
        found.update(
            int(face)
            for (face,) in catalog.query(
                f"SELECT face_id FROM hand_faces WHERE face_id IN ({placeholders(chunk)})", chunk
            )
        )
    return found


def stored_box(box: Sequence[float], size: tuple[int, int], orientation: int) -> bytes:
    """Return a box as marks have it.

    Parameters
    ----------
    box : sequence of 4 float
        In pixels of the upright photo.
    size : (int, int)
        Width and height of the upright photo.
    orientation : int
        EXIF orientation.
    """
    import numpy as np

    from faceindex.orientation import to_stored

    if min(size) < 1:
        raise UsageError("The size of the photo is not known.", "Run `faceindex index` on its folder first.")
    upright = np.array([box], np.float64) / np.array([*size, *size], np.float64)
    stored: F32 = to_stored(upright.astype(np.float32), np.array([orientation]))
    return stored.astype("<f4").tobytes()
