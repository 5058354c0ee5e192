"""One photo takes over the faces of another file of the same shot: the RAW of a JPEG that is gone, or back.

The two files have different pictures, so that nothing of one holds for the other by itself. What is taken
over is decided by the caller, face by face. A face that is taken over has the new box and vector, and keeps
its id and its cluster. The mark of the face moves to the new picture: so it has all decisions, with their
numbers, and undoing, exporting and forgetting them are as before.

`inherit` runs inside a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from faceindex.matching import match_boxes
from faceindex.orientation import to_stored
from faceindex.store.away import (
    count_returns,
    delete_away,
    let_cluster_again,
    put_away,
    restore_clusters,
)
from faceindex.store.catalog import Catalog
from faceindex.store.decisions import DecisionTables
from faceindex.store.faces import BOX_BYTES
from faceindex.store.forgotten import ForgottenTables
from faceindex.store.sqlite import corrupt
from faceindex.store.vectors import VectorFile
from faceindex.types import F32, I64

__all__ = ["Inheritance", "ShotFaces", "inherit", "read_shot_faces"]

_SIDE = np.float32(1000)  # pixels of a picture, for boxes in fractions


@dataclass(frozen=True, slots=True, eq=False)  # `==` of arrays is not a truth value
class ShotFaces:
    """The faces of one photo, and the places on it that matter for the other file of its shot.

    Attributes
    ----------
    face : (n,) int64
        Ids, ascending.
    boxes : (n, 4) float32
        In pixels of the upright photo.
    vectors : (n, d) float32
    drawn : mapping of int to bytes
        The boxes that the user drew on its picture, as in marks, by the id of the mark.
    """

    face: I64
    boxes: F32
    vectors: F32
    drawn: Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a photo takes over.

    Attributes
    ----------
    photo : int
        Id of the photo from which; it may be away. It leaves the index, if a face or a mark is taken over.
    faces : tuple of int
        For each face of the new photo, in the order of their ids, the face that it is; -1 for a new one.
    drawn : mapping of int to bytes
        Marks that the user drew and that no face of the new photo has, with the boxes on its picture.
    places : tuple of (bytes, bytes or None)
        Places on the new picture where faces were forgotten, as in `faceindex.store.forgotten`.
    """

    photo: int
    faces: tuple[int, ...] = ()
    drawn: Mapping[int, bytes] = field(default_factory=dict)
    places: tuple[tuple[bytes, bytes | None], ...] = ()

    @property
    def number(self) -> int:
        """Number of faces that are taken over."""
        return sum(face >= 0 for face in self.faces)

    @property
    def is_same_shot(self) -> bool:
        """Whether the photo takes the place of the other one."""
        return bool(self.number or self.drawn)


def read_shot_faces(catalog: Catalog, vectors: VectorFile, photo_id: int) -> ShotFaces:
    """Return the faces of a photo, which may be away; there may be none."""
    found: list[tuple[int, int, bytes]] = []
    for table in ("faces", "away_faces"):
        found += catalog.query(
            f"SELECT id, vector_row, substr(geometry, 1, {BOX_BYTES}) FROM {table} WHERE image_id = ?"
            " ORDER BY id",
            (photo_id,),
        )
    drawn = catalog.query(
        "SELECT m.id, m.box FROM marks m JOIN hand_boxes b ON b.mark_id = m.id WHERE m.picture IN"
        " (SELECT picture FROM images WHERE id = ?1 UNION SELECT picture FROM away_images WHERE id = ?1)"
        " ORDER BY m.id",
        (photo_id,),
    )
    rows = np.array([row for _, row, _ in found], np.int64)
    return ShotFaces(
        face=np.array([face for face, *_ in found], np.int64),
        boxes=_boxes(catalog, [box for *_, box in found]),
        vectors=(
            vectors.gather(catalog.rows, rows) if found else np.empty((0, vectors.dimension), np.float32)
        ),
        drawn={int(mark): bytes(box) for mark, box in drawn},
    )


def inherit(catalog: Catalog, given: Sequence[tuple[int, Inheritance]]) -> None:
    """Give photos, by their ids, what they take over. Decisions have been matched to their faces."""
    tables, clusters = DecisionTables(catalog), list[tuple[int, int, float]]()
    for photo_id, inheritance in given:
        ForgottenTables(catalog).add_places(inheritance.places)
        if inheritance.is_same_shot:
            clusters += _inherit(catalog, tables, photo_id, inheritance)
    restore_clusters(catalog, tables, clusters)
    if any(inheritance.number for _, inheritance in given):
        catalog.set("returns", count_returns(catalog) + 1)  # faces have ids that are not the newest
        let_cluster_again(catalog)


def _inherit(
    catalog: Catalog, tables: DecisionTables, photo_id: int, given: Inheritance
) -> list[tuple[int, int, float]]:
    """Give one photo its faces and marks; return the faces, with cluster and similarity, that had one."""
    put_away(catalog, [given.photo])
    before = _on_picture(catalog, "away", given.photo)
    now = _on_picture(catalog, "", photo_id)
    if before is None or now is None or len(now.face) != len(given.faces):
        return []  # nothing is known of what was to be taken over, as after a kill
    known = {face: i for i, face in enumerate(before.face)}
    pairs = [(known[old], i) for i, old in enumerate(given.faces) if old in known]
    _move_marks(catalog, before, now, pairs, given.drawn)
    values = {
        int(face): (cluster, similarity)
        for face, cluster, similarity in catalog.query(
            "SELECT id, cluster_id, similarity FROM away_faces WHERE image_id = ?", (given.photo,)
        )
    }
    delete_away(catalog, [given.photo])
    for was, i in pairs:
        old, new = before.face[was], now.face[i]
        for table in ("assignments", "marked_faces", "previous_assignments"):
            catalog.execute(f"DELETE FROM {table} WHERE face_id = ?", (new,))
        catalog.executemany("DELETE FROM hand_faces WHERE face_id = ?", [(old,), (new,)])  # it was detected
        catalog.execute("UPDATE faces SET id = ? WHERE id = ?", (old, new))
    catalog.execute("DELETE FROM transfer_images WHERE image_id = ?", (photo_id,))
    tables.match({before.picture, now.picture})
    taken = [before.face[was] for was, _ in pairs]
    return [(face, *values[face]) for face in taken if values[face][0] is not None]


class _OnPicture:
    """The faces of a photo, with their boxes in fractions of its picture."""

    def __init__(self, picture: bytes, face: list[int], boxes: F32) -> None:
        self.picture, self.face, self.boxes = picture, face, boxes


def _on_picture(catalog: Catalog, kind: str, photo_id: int) -> _OnPicture | None:
    """Return the faces of a photo, by id; of a photo that is away if `kind` is ``"away"``."""
    images, faces = ("away_images", "away_faces") if kind else ("images", "faces")
    photos = catalog.query(
        f"SELECT picture, orientation, width, height FROM {images} WHERE id = ?", (photo_id,)
    )
    if not photos or photos[0][0] is None:
        return None
    picture, orientation, width, height = photos[0]
    found = catalog.query(
        f"SELECT id, substr(geometry, 1, {BOX_BYTES}) FROM {faces} WHERE image_id = ? ORDER BY id",
        (photo_id,),
    )
    upright = _boxes(catalog, [box for _, box in found])
    upright /= np.array([max(1, width), max(1, height)] * 2, np.float32)
    stored = to_stored(upright, np.full(len(upright), orientation or 1))
    return _OnPicture(bytes(picture), [int(face) for face, _ in found], stored)


def _move_marks(
    catalog: Catalog,
    before: _OnPicture,
    now: _OnPicture,
    pairs: Sequence[tuple[int, int]],
    drawn: Mapping[int, bytes],
) -> None:
    """Move the marks of faces to the other picture, unless a photo of the index still has the first one.

    A face about which the user said something on the new picture already has that mark.
    """
    if catalog.query("SELECT 1 FROM images WHERE picture = ? LIMIT 1", (before.picture,)):
        return
    mark_of = _marks(catalog, before)
    own = _marks(catalog, now)
    moved = [(mark_of[was], now.boxes[i]) for was, i in pairs if was in mark_of and i not in own]
    moves = {mark: box.astype("<f4").tobytes() for mark, box in moved}
    moves = {**drawn, **moves}
    catalog.executemany(
        "UPDATE marks SET picture = ?, box = ? WHERE id = ?",
        [(now.picture, box, mark) for mark, box in moves.items()],
    )


def _marks(catalog: Catalog, on: _OnPicture) -> dict[int, int]:
    """Return the mark of each face of a photo that has one, by its position."""
    marks = DecisionTables(catalog).marks_on_picture(on.picture)
    boxes = _boxes(catalog, [box for _, box in marks])
    # As marks are matched: each belongs to the face that its box overlaps most.
    found = match_boxes(on.boxes * _SIDE, boxes * _SIDE).tolist()
    return {face: int(marks[i][0]) for i, face in enumerate(found) if face >= 0}


def _boxes(catalog: Catalog, boxes: Sequence[bytes]) -> F32:
    if any(len(box) != BOX_BYTES for box in boxes):
        raise corrupt(catalog.path, "a face or a mark has no box")
    return np.frombuffer(b"".join(boxes), "<f4").reshape(-1, 4).astype(np.float32)
