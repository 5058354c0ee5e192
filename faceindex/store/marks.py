"""Marks: places on pictures about which the user said something.

A *mark* has the hash of a picture and a box in fractions of the stored picture. So it outlives the face, the
path of the photo and the models. Marks are matched to the faces of the index when photos are committed, in
the same transaction.

Methods that write run inside a transaction.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from faceindex.store.checked_json import Malformed, natural, optional
from faceindex.store.migrations import WITH_DECISIONS
from faceindex.store.photo_records import save_pictures
from faceindex.store.sqlite import chunks, placeholders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from faceindex.images import Picture
    from faceindex.store.catalog import Catalog
    from faceindex.types import I64

__all__ = ["Label", "MarkState", "MarkTables"]


class Label(IntEnum):
    """What the user said of a mark. The values are stored in the catalog: append, never change one."""

    NONE = 0  # only rejections or links
    NAMED = 1  # the face was in a cluster that the user named
    CONFIRMED = 2  # the user named this very face
    STRANGER = 3
    NOT_A_FACE = 4


_NEW_MARK = "INSERT INTO marks (picture, box, label, written) VALUES (?, ?, 0, 0)"
_LABELS = {int(label): label for label in Label}
_NONE = type(None)


@dataclass(frozen=True, slots=True)
class MarkState:
    """The label of a mark, the person if the label has one, and the decision that wrote it last."""

    label: Label = Label.NONE
    person: int | None = None
    written: int = 0


class MarkTables:
    """The tables of marks, with their labels, rejections and links.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def exist(self) -> bool:
        """Whether the catalog has these tables; not in an older format that is open for reading only."""
        return self._catalog.format_version >= WITH_DECISIONS

    # Marks -------------------------------------------------------------------------------------

    def marks_of_faces(self, faces: Sequence[int]) -> dict[int, int]:
        """Return the mark of each face that has one."""
        if not self.exist:
            return {}
        return {
            int(face): int(mark)
            for face, mark in self._catalog.query_in(
                "SELECT face_id, mark_id FROM marked_faces WHERE face_id IN ({})", faces
            )
        }

    def faces_of_marks(self, marks: Sequence[int]) -> dict[int, list[int]]:
        """Return the faces of each mark that has some: several if a picture is at several paths."""
        found: dict[int, list[int]] = {}
        for chunk in chunks(list(marks)):
            for mark, face in self._catalog.query(
                "SELECT mark_id, face_id FROM marked_faces"
                f" WHERE mark_id IN ({placeholders(chunk)}) ORDER BY face_id",
                chunk,
            ):
                found.setdefault(int(mark), []).append(int(face))
        return found

    def insert_mark(self, picture: bytes, box: bytes) -> int:
        """Add a mark without a label, and return its id; `box` is 4 little-endian float32.

        Call `match` for the picture afterwards.
        """
        cursor = self._catalog.execute(_NEW_MARK, (picture, box))
        return int(cursor.lastrowid or 0)

    def mark_faces(self, faces: Sequence[int]) -> dict[int, int]:
        """Return the mark of each face; those that have none get one.

        Raises
        ------
        UsageError
            If a face is not in the index, or the picture of its photo is not known.
        """
        marks = self.marks_of_faces(faces)
        without = sorted({*faces} - marks.keys())
        if not without:
            return marks
        from faceindex.store.faces import stored_boxes

        # Photo by photo: a mark of one is that of the copies of its picture, too, wherever their boxes are a
        # little different. Photos of different pictures go together.
        photo_of = self._photos_of_faces(without)
        left = dict(zip(without, stored_boxes(self._catalog, without), strict=True))
        while left:
            first: dict[bytes, int] = {}
            for face, (picture, _) in left.items():
                first.setdefault(picture, photo_of[face])
            chosen = [face for face, (picture, _) in left.items() if photo_of[face] == first[picture]]
            self._catalog.executemany(_NEW_MARK, [left[face] for face in chosen])
            self.match(first)
            marks = self.marks_of_faces(faces)
            left = {face: place for face, place in left.items() if face not in marks and face not in chosen}
        if lost := sorted({*faces} - marks.keys()):  # of two faces in one place
            for face, (picture, box) in zip(lost, stored_boxes(self._catalog, lost), strict=True):
                mark = self.insert_mark(picture, box)
                self._catalog.execute(
                    "INSERT INTO marked_faces (face_id, mark_id) VALUES (?, ?)", (face, mark)
                )
                marks[face] = mark
        return marks

    def _photos_of_faces(self, faces: Sequence[int]) -> dict[int, int]:
        return {
            int(face): int(photo)
            for face, photo in self._catalog.query_in(
                "SELECT id, image_id FROM faces WHERE id IN ({})", faces
            )
        }

    def rows_of_faces(self, faces: Sequence[int]) -> list[tuple[int, int]]:
        """Return (face, vector row) of some faces; unknown ones are ignored."""
        return [
            (int(face), int(row))
            for face, row in self._catalog.query_in(
                "SELECT id, vector_row FROM faces WHERE id IN ({})", faces
            )
        ]

    def capture_times(self, faces: Sequence[int]) -> dict[int, int]:
        """Return the capture time of each face whose photo has one."""
        return {
            int(face): int(taken)
            for face, taken in self._catalog.query_in(
                "SELECT f.id, i.taken FROM faces f JOIN images i ON i.id = f.image_id"
                " WHERE i.taken IS NOT NULL AND f.id IN ({})",
                faces,
            )
        }

    def photo_times(self) -> tuple[I64, I64]:
        """Return the ids of the photos with a capture time, ascending, and these times, both (m,) int64."""
        from faceindex.store.columns import INTEGER

        photos, times = self._catalog.columns(
            "(SELECT id, taken FROM images WHERE taken IS NOT NULL)",
            [("id", INTEGER), ("taken", INTEGER)],
        )
        return photos, times

    def paths_of_pictures(self, pictures: Iterable[bytes]) -> dict[bytes, str]:
        """Return the path inside its root of one photo for each picture that the index has."""
        return {
            picture: os.fsdecode(path)
            for picture, path in self._catalog.query_in(
                "SELECT picture, min(relpath) FROM images WHERE picture IN ({}) GROUP BY picture",
                sorted({*pictures}),
            )
        }

    def count_unread_photos(self) -> int:
        """Count the photos with faces of which the picture is not known."""
        found = self._catalog.query("SELECT count(*) FROM images WHERE picture IS NULL AND faces > 0")
        return int(found[0][0])

    def photos_without_picture(self, faces: Sequence[int]) -> list[int]:
        """Return the photos of some faces whose picture is not known."""
        return sorted(
            {
                int(photo)
                for (photo,) in self._catalog.query_in(
                    "SELECT DISTINCT i.id FROM faces f JOIN images i ON i.id = f.image_id"
                    " WHERE i.picture IS NULL AND f.id IN ({})",
                    faces,
                )
            }
        )

    def save_pictures(self, pictures: Iterable[tuple[int, Picture]]) -> None:
        """Store the pictures of photos that were indexed without them, given as (photo id, picture).

        Decisions may have been waiting for them: marks on these pictures are matched to the faces.
        """
        found = list(pictures)
        save_pictures(self._catalog, found)
        self.match(picture.hash for _, picture in found)

    def marks_on_picture(self, picture: bytes) -> list[tuple[int, bytes]]:
        """Return the marks on a picture with their boxes, in the order of their ids."""
        return self._catalog.query("SELECT id, box FROM marks WHERE picture = ? ORDER BY id", (picture,))

    def places(self, marks: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        """Return the picture and the box of each mark."""
        return {
            int(mark): (picture, box)
            for mark, picture, box in self._catalog.query_in(
                "SELECT id, picture, box FROM marks WHERE id IN ({})", marks
            )
        }

    def labels(self, marks: Sequence[int]) -> dict[int, MarkState]:
        """Return the state of each mark."""
        return {
            int(mark): self._state(label, person, written)
            for mark, label, person, written in self._catalog.query_in(
                "SELECT id, label, person_id, written FROM marks WHERE id IN ({})", marks
            )
        }

    def _state(self, label: object, person: object, written: object) -> MarkState:
        if label.__class__ is written.__class__ is int and person.__class__ in (int, _NONE):
            known = _LABELS.get(label)
            if known is not None and written >= 0 and (person is None or person >= 0):
                return MarkState(known, person, written)
        with self._catalog.checked():
            try:
                found = Label(natural(label, "the label of a mark"))
            except ValueError as error:
                raise Malformed(str(error)) from error
            return MarkState(
                found,
                optional(natural)(person, "the person of a mark"),
                natural(written, "the decision of a mark"),
            )

    def set_labels(self, states: Mapping[int, MarkState]) -> None:
        """Store the state of marks."""
        self._catalog.executemany(
            "UPDATE marks SET label = ?, person_id = ?, written = ? WHERE id = ?",
            [(int(s.label), s.person, s.written, mark) for mark, s in states.items()],
        )

    def marks_of_people(self, people: Sequence[int]) -> list[int]:
        """Return the marks with a label of one of some people."""
        return [
            int(mark)
            for (mark,) in self._catalog.query_in(
                "SELECT id FROM marks WHERE person_id IN ({}) ORDER BY id", people
            )
        ]

    def rejected_from_people(self, people: Sequence[int]) -> list[int]:
        """Return the marks that were rejected from some people."""
        return [
            int(mark)
            for (mark,) in self._catalog.query_in(
                "SELECT DISTINCT mark_id FROM rejections WHERE person_id IN ({})", people
            )
        ]

    def different_from_people(self, people: Sequence[int]) -> list[int]:
        """Return the marks that are different from one with a label of some people."""
        found: set[int] = set()
        for chunk in chunks(list(people)):
            for one, other in (("a", "b"), ("b", "a")):
                found.update(
                    int(mark)
                    for (mark,) in self._catalog.query(
                        f"SELECT l.{one} FROM links l JOIN marks m ON m.id = l.{other}"
                        f" WHERE NOT l.same AND m.person_id IN ({placeholders(chunk)})",
                        chunk,
                    )
                )
        return sorted(found)

    # Rejections and links ----------------------------------------------------------------------

    def rejections(self, marks: Sequence[int]) -> dict[tuple[int, int], int]:
        """Return the (mark, person) of the rejections of some marks, with the decisions that wrote them."""
        return {
            (int(mark), int(person)): int(written)
            for mark, person, written in self._catalog.query_in(
                "SELECT mark_id, person_id, written FROM rejections WHERE mark_id IN ({})", marks
            )
        }

    def set_rejection(self, mark: int, person: int, written: int | None) -> None:
        """Store a rejection, or delete it if `written` is None."""
        if written is None:
            self._catalog.execute(
                "DELETE FROM rejections WHERE mark_id = ? AND person_id = ?", (mark, person)
            )
        else:
            self._catalog.execute(
                "INSERT OR REPLACE INTO rejections (mark_id, person_id, written) VALUES (?, ?, ?)",
                (mark, person, written),
            )

    def links(self, marks: Sequence[int]) -> dict[tuple[int, int], tuple[bool, int]]:
        """Return the links that have an end among some marks.

        Returns
        -------
        dict of (mark, mark) to (bool, int)
            The lower mark first; whether the two are the same person, and the decision that wrote it.
        """
        found = {}
        for chunk in chunks(list(marks)):
            where = placeholders(chunk)
            for a, b, same, written in self._catalog.query(
                f"SELECT a, b, same, written FROM links WHERE a IN ({where})"
                f" UNION SELECT a, b, same, written FROM links WHERE b IN ({where})",
                [*chunk, *chunk],
            ):
                found[int(a), int(b)] = bool(same), int(written)
        return found

    @property
    def has_links(self) -> bool:
        """Whether there is a link of two marks."""
        return bool(self._catalog.query("SELECT EXISTS (SELECT 1 FROM links)")[0][0])

    def set_link(self, a: int, b: int, state: tuple[bool, int] | None) -> None:
        """Store a link of two marks, a < b, or delete it if `state` is None."""
        if state is None:
            self._catalog.execute("DELETE FROM links WHERE a = ? AND b = ?", (a, b))
        else:
            self._catalog.execute(
                "INSERT OR REPLACE INTO links (a, b, same, written) VALUES (?, ?, ?, ?)", (a, b, *state)
            )

    # All marks as arrays -----------------------------------------------------------------------

    def marked_faces(self) -> NDArray[np.void]:
        """Return the marks of all faces that have one.

        Returns
        -------
        (m,) structure of int64 ``face``, ``mark``, ``label``, ``person``, ``written``
            Ascending by face; the person is -1 for none.
        """
        import numpy as np

        from faceindex.store.columns import INTEGER

        names = ["face", "mark", "label", "person", "written"]
        if not self.exist:
            return np.empty(0, [(name, np.int64) for name in names])
        columns = self._catalog.columns(
            "marked_faces f JOIN marks m ON m.id = f.mark_id",
            [("f.face_id", INTEGER), ("m.id", INTEGER), ("m.label", INTEGER),
             ("coalesce(m.person_id, -1)", INTEGER), ("m.written", INTEGER)],
        )  # fmt: skip
        table = np.empty(len(columns[0]), [(name, np.int64) for name in names])
        for name, column in zip(names, columns, strict=True):
            table[name] = column
        return table

    def all_rejections(self) -> I64:
        """Return (m, 3) int64: mark, person, and the decision that wrote it, of all rejections."""
        return self._array("SELECT mark_id, person_id, written FROM rejections ORDER BY 1, 2", 3)

    def all_links(self) -> I64:
        """Return (m, 4) int64: two marks, 1 for the same person, and the decision, of all links."""
        return self._array("SELECT a, b, same, written FROM links ORDER BY 1, 2", 4)

    def _array(self, query: str, columns: int) -> I64:
        import numpy as np

        rows = self._catalog.query(query) if self.exist else []
        return np.array(rows, np.int64).reshape(-1, columns)

    # Matching ----------------------------------------------------------------------------------

    def match(self, pictures: Iterable[bytes] | None = None) -> None:
        """Find the faces of the marks on some pictures, or on all (None), and store them.

        A mark belongs to the face that its box overlaps most, on every photo of the picture; a face has one
        mark at most (`faceindex.matching.match_boxes`).
        """
        if pictures is None:
            marked = [picture for (picture,) in self._catalog.query("SELECT DISTINCT picture FROM marks")]
            self._catalog.execute("DELETE FROM marked_faces")
        else:
            marked = [
                picture
                for (picture,) in self._catalog.query_in(
                    "SELECT DISTINCT picture FROM marks WHERE picture IN ({})", sorted({*pictures})
                )
            ]
        if not marked:
            return
        from faceindex.store.faces import matched_marks

        for chunk in chunks(sorted(marked)):
            self._catalog.execute(
                "DELETE FROM marked_faces WHERE face_id IN (SELECT f.id FROM images i JOIN faces f"
                f" ON f.image_id = i.id WHERE i.picture IN ({placeholders(chunk)}))",
                chunk,
            )
            found = matched_marks(self._catalog, chunk)
            self._catalog.executemany("INSERT INTO marked_faces (face_id, mark_id) VALUES (?, ?)", found)
