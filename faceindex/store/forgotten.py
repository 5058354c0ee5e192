"""What was forgotten, so that nothing brings it back: places on pictures, and digests of people's ids.

The photo of a forgotten face is still on the disk, and the next run of `index` would find the face again. So
the place of the face is kept: the hash of the picture and the box, which say something of the photo and
nothing of the person. A face that is found there is dropped before it is stored. A person is kept as a digest
of the random uid, so that a journal from elsewhere does not bring the name back.

Methods that write run inside a transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from faceindex.store.migrations import WITH_COPIES
from faceindex.store.sqlite import chunks

if TYPE_CHECKING:
    from faceindex.store.catalog import Catalog
    from faceindex.store.records import NewPhoto
    from faceindex.types import F32, BoolArray, Faces

__all__ = ["ForgottenTables", "Place", "at_places", "is_at_places", "select_faces"]

Place = tuple[bytes, bytes | None]
"""The hash of a picture, and a box as in marks; None for the whole photo."""

_SAME_FACE = 0.5  # boxes that overlap so much are one face, also if another one overlaps more
_SIDE = 1000.0  # pixels of a picture, for boxes in fractions


class ForgottenTables:
    """The tables of what was forgotten.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @property
    def exist(self) -> bool:
        """Whether the catalog has these tables; not in an older format that is open for reading only."""
        return self._catalog.format_version >= WITH_COPIES

    # People ------------------------------------------------------------------------------------

    def add_people(self, uids: Iterable[str]) -> None:
        """Keep that people were forgotten."""
        self._catalog.executemany(
            "INSERT OR IGNORE INTO forgotten_people (digest) VALUES (?)", [(_digest(uid),) for uid in uids]
        )

    def people_among(self, uids: Iterable[str]) -> set[str]:
        """Return those of some people that were forgotten."""
        digests = {_digest(uid): uid for uid in uids}
        if not digests or not self.exist:
            return set()
        return {
            digests[digest]
            for (digest,) in self._catalog.query_in(
                "SELECT digest FROM forgotten_people WHERE digest IN ({})", sorted(digests)
            )
        }

    # Places ------------------------------------------------------------------------------------

    def add_places(self, places: Iterable[Place]) -> None:
        """Keep the places of forgotten faces."""
        self._catalog.executemany(
            "INSERT INTO forgotten_places (picture, box) SELECT ?1, ?2 WHERE NOT EXISTS"
            " (SELECT 1 FROM forgotten_places WHERE picture = ?1 AND box IS ?2)",
            list(dict.fromkeys(places)),
        )

    def places(self, hashes: Sequence[bytes]) -> list[Place]:
        """Return the places on some pictures."""
        if not self.exist:
            return []
        return [
            (picture, box)
            for picture, box in self._catalog.query_in(
                "SELECT picture, box AS place FROM forgotten_places WHERE picture IN ({}) ORDER BY rowid",
                hashes,
            )
        ]

    def known_places(self, faces: Sequence[int]) -> list[Place]:
        """Return the places of those of some faces whose pictures are known."""
        return [place for _, place in self._located("faces", "f.id", faces)]

    def away_photos(self, hashes: Sequence[bytes]) -> list[int]:
        """Return the photos that are away with some pictures or contents, given by their hashes."""
        found = [
            *self._catalog.query_in("SELECT id FROM away_images WHERE picture IN ({})", hashes),
            *self._catalog.query_in("SELECT id FROM away_images WHERE content_hash IN ({})", hashes),
        ]
        return sorted({int(photo) for (photo,) in found})

    def away_faces_on(self, photos: Sequence[int]) -> list[int]:
        """Return the faces on photos that are away."""
        return [
            int(face)
            for (face,) in self._catalog.query_in("SELECT id FROM away_faces WHERE image_id IN ({})", photos)
        ]

    def contents_of_pictures(self, pictures: Sequence[bytes]) -> set[bytes]:
        """Return the contents (hashes of files) of the photos with some pictures, also of those away."""
        return {
            content
            for table in ("images", "away_images")
            for (content,) in self._catalog.query_in(
                f"SELECT content_hash FROM {table} WHERE content_hash IS NOT NULL AND picture IN ({{}})",
                pictures,
            )
        }

    def places_of_away(self, faces: Sequence[int]) -> list[Place]:
        """Return the places of faces on photos that are away.

        A photo whose picture is unknown cannot be read now: the hash of its content stands for the picture.
        """
        return [place for _, place in self._located("away_faces", "f.id", faces)]

    def away_among(self, faces: Sequence[int]) -> set[int]:
        """Return those of some faces that are on photos that are away."""
        found = self._catalog.query_in("SELECT id FROM away_faces WHERE id IN ({})", faces)
        return {int(face) for (face,) in found}

    def away_clusters(self) -> dict[int, int]:
        """Return the faces on photos that are away which were in clusters, with these."""
        found = self._catalog.query("SELECT id, cluster_id FROM away_faces WHERE cluster_id IS NOT NULL")
        return {int(face): int(cluster) for face, cluster in found}

    def marks_of_away(self, faces: Sequence[int]) -> dict[int, int]:
        """Return the mark of each of some faces on photos that are away, where there is one.

        These are the marks that the faces get when they come back.
        """
        from faceindex.store.faces import matched_marks

        found: dict[int, int] = {}
        pictures = self._catalog.query_in(
            "SELECT DISTINCT i.picture FROM away_faces f JOIN away_images i ON i.id = f.image_id"
            " WHERE i.picture IN (SELECT picture FROM marks) AND f.id IN ({})",
            faces,
        )
        for chunk in chunks(sorted({picture for (picture,) in pictures})):
            found.update(matched_marks(self._catalog, chunk, away=True))
        wanted = set(faces)
        return {int(face): int(mark) for face, mark in found.items() if face in wanted}

    def contents_of_away(self, faces: Sequence[int]) -> set[bytes]:
        """Return the contents (hashes of files) of the photos that are away with some faces."""
        return {
            content
            for (content,) in self._catalog.query_in(
                "SELECT DISTINCT i.content_hash FROM away_faces f JOIN away_images i ON i.id = f.image_id"
                " WHERE i.content_hash IS NOT NULL AND f.id IN ({})",
                faces,
            )
        }

    def faces_at(self, places: Iterable[Place]) -> tuple[list[int], list[int]]:
        """Return the faces at some places: those of the index, and those on photos that are away."""
        by_picture: dict[bytes, list[Place]] = {}
        for place in places:
            by_picture.setdefault(place[0], []).append(place)
        pictures = sorted(by_picture)
        found: list[list[int]] = []
        for table in ("faces", "away_faces"):
            located = self._located(table, "i.picture", pictures)
            found.append([face for face, (p, box) in located if box and is_at_places(by_picture[p], box)])
        return found[0], found[1]

    def _located(
        self, table: str, column: str, values: Sequence[object]
    ) -> list[tuple[int, tuple[bytes, bytes]]]:
        """Return faces of a table with their places, where a column has one of some values."""
        import numpy as np

        from faceindex.orientation import to_stored

        photos, key = ("images", "i.picture")
        if table == "away_faces":
            photos, key = ("away_images", "coalesce(i.picture, i.content_hash)")
        found = []
        for face, picture, orientation, width, height, box in self._catalog.query_in(
            f"SELECT f.id, {key}, i.orientation, i.width, i.height, substr(f.geometry, 1, 16)"
            f" FROM {table} f JOIN {photos} i ON i.id = f.image_id"
            f" WHERE {key} IS NOT NULL AND {column} IN ({{}})",
            values,
        ):
            size = np.maximum(np.array([width, height, width, height], np.float32), np.float32(1))
            upright = np.frombuffer(box, "<f4").reshape(1, 4) / size
            stored = to_stored(upright, np.array([orientation or 1])).astype("<f4")
            found.append((int(face), (bytes(picture), stored.tobytes())))
        return found

    def contents(self) -> set[bytes]:
        """Return the contents (hashes of files) of the photos of the index with a forgotten face."""
        if not self.exist:
            return set()
        found = self._catalog.query(
            "SELECT content_hash FROM images WHERE content_hash IS NOT NULL"
            " AND (picture IN (SELECT picture FROM forgotten_places)"
            " OR content_hash IN (SELECT picture FROM forgotten_places))"
        )
        return {content for (content,) in found}

    def without(self, photo: NewPhoto) -> NewPhoto:
        """Return a photo that was just read without the faces at forgotten places."""
        if photo.faces is None or not len(photo.faces):
            return photo
        hashes = [key for key in (photo.picture, photo.content_hash) if key is not None]
        faces = self.without_forgotten(photo.faces, hashes, photo.orientation, (photo.width, photo.height))
        return photo if faces is photo.faces else replace(photo, faces=faces)

    def without_forgotten(
        self, faces: Faces, hashes: Sequence[bytes], orientation: int, size: tuple[int, int]
    ) -> Faces:
        """Return the faces on a photo that are not at forgotten places; the same object if all are not.

        Parameters
        ----------
        faces : Faces
        hashes : sequence of bytes
            Hashes of the picture and of the file.
        orientation : int
            EXIF orientation of the photo.
        size : (int, int)
            Width and height of the upright photo.
        """
        dropped = at_places(self.places(hashes), faces.boxes, orientation, size)
        if not dropped.any():
            return faces
        return select_faces(faces, ~dropped)


def select_faces(faces: Faces, which: BoolArray) -> Faces:
    """Return the faces of a photo for which `which`, (n,) bool, is true."""
    return type(faces)(**{field.name: getattr(faces, field.name)[which] for field in fields(faces)})


def at_places(places: Sequence[Place], boxes: F32, orientation: int, size: tuple[int, int]) -> BoolArray:
    """Find the faces on a photo that are at some places of its picture.

    Parameters
    ----------
    places : sequence of (bytes, bytes or None)
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright photo.
    orientation : int
        EXIF orientation of the photo.
    size : (int, int)
        Width and height of the upright photo.

    Returns
    -------
    (n,) bool
    """
    import numpy as np

    from faceindex.matching import match_boxes, overlaps
    from faceindex.orientation import to_upright

    found = np.zeros(len(boxes), np.bool_)
    if not places or not len(boxes):
        return found
    if any(box is None for _, box in places):
        return ~found
    stored = np.frombuffer(b"".join(box for _, box in places if box is not None), "<f4").reshape(-1, 4)
    here = to_upright(stored, np.full(len(stored), orientation or 1))
    here = here * np.array([*size, *size], np.float32)
    found |= match_boxes(here, boxes) >= 0
    found |= (overlaps(here, boxes) >= _SAME_FACE).any(axis=0)
    return found


def is_at_places(places: Sequence[Place], box: bytes) -> bool:
    """Whether a box of the same picture, stored as in marks, is at one of some places."""
    import numpy as np

    side = np.float32(_SIDE)
    boxes = np.frombuffer(box, "<f4").reshape(1, 4) * side
    return bool(at_places(places, boxes, 1, (int(side), int(side)))[0])


def _digest(uid: str) -> bytes:
    return hashlib.blake2b(uid.encode(), digest_size=16, person=b"forgotten person").digest()
