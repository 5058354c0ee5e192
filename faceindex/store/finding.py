"""Photos by the people, clusters and dates on them, read for these alone.

Reading all faces takes several hundred milliseconds for 100,000 of them, and must be done again after each
commit. These queries follow the indexes from a person to clusters and marks, to faces, to photos.

A face shows the person of its label, else that of its cluster. A stranger, and what is not a face, show
nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from faceindex.store.catalog import Catalog
from faceindex.store.decisions import DecisionTables, Label
from faceindex.store.migrations import WITH_PICTURES
from faceindex.store.records import Status
from faceindex.store.sqlite import chunks, placeholders

__all__ = ["PhotoQueries", "ShownFace"]

_NOBODY = f"({int(Label.STRANGER)}, {int(Label.NOT_A_FACE)})"

# CROSS JOIN keeps the order of the tables.
_OF_CLUSTERS = "clusters c CROSS JOIN assignments a ON a.cluster_id = c.id"
_LABELS = "LEFT JOIN marked_faces mf ON mf.face_id = f.id LEFT JOIN marks m ON m.id = mf.mark_id"


class ShownFace(NamedTuple):
    """A face that shows a person, or is in a cluster.

    Attributes
    ----------
    photo, face : int
    cluster : int or None
    person : int or None
        As the label or the cluster says, before merges of people.
    """

    photo: int
    face: int
    cluster: int | None
    person: int | None


class PhotoQueries:
    """Finds photos in a catalog.

    Parameters
    ----------
    catalog : Catalog
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._decisions = DecisionTables(catalog).exist

    def readable(self) -> set[int]:
        """Return all photos that could be read."""
        return self._photos("SELECT id FROM images WHERE status = ?", [Status.OK.value])

    def of_people(self, people: Collection[int]) -> set[int]:
        """Return the photos that show one of some people."""
        if not self._decisions:
            return set()
        found: set[int] = set()
        for chunk in chunks(sorted(people)):
            where = f"IN ({placeholders(chunk)})"
            found |= self._photos(
                f"SELECT f.image_id FROM {_OF_CLUSTERS} CROSS JOIN faces f ON f.id = a.face_id {_LABELS}"
                f" WHERE c.person_id {where} AND m.person_id IS NULL"
                f" AND coalesce(m.label, 0) NOT IN {_NOBODY}",
                chunk,
            )
            found |= self._photos(
                "SELECT f.image_id FROM marks m CROSS JOIN marked_faces mf ON mf.mark_id = m.id"
                f" CROSS JOIN faces f ON f.id = mf.face_id WHERE m.person_id {where}",
                chunk,
            )
        return found

    def of_cluster(self, cluster: int) -> set[int]:
        """Return the photos with a face of a cluster."""
        return self._photos(
            f"SELECT f.image_id FROM assignments a CROSS JOIN faces f ON f.id = a.face_id {self._labels}"
            f" WHERE a.cluster_id = ? {self._somebody}",
            [cluster],
        )

    def with_anybody(self) -> set[int]:
        """Return the photos that show a person, or a face of a cluster."""
        found = self._photos(
            f"SELECT f.image_id FROM assignments a CROSS JOIN faces f ON f.id = a.face_id {self._labels}"
            f" WHERE true {self._somebody}"
        )
        if self._decisions:
            found |= self._photos(
                "SELECT f.image_id FROM marks m CROSS JOIN marked_faces mf ON mf.mark_id = m.id"
                " CROSS JOIN faces f ON f.id = mf.face_id WHERE m.person_id IS NOT NULL"
            )
        return found

    def with_unnamed(self) -> set[int]:
        """Return the photos with a face of a cluster that has no person."""
        no_person = "AND m.person_id IS NULL AND c.person_id IS NULL" if self._decisions else ""
        return self._photos(
            f"SELECT f.image_id FROM {_OF_CLUSTERS} CROSS JOIN faces f ON f.id = a.face_id {self._labels}"
            f" WHERE true {no_person} {self._somebody}"
        )

    def has_cluster(self, cluster: int) -> bool:
        """Return whether a face is in a cluster."""
        try:
            return bool(
                self._catalog.query("SELECT 1 FROM assignments WHERE cluster_id = ? LIMIT 1", (cluster,))
            )
        except OverflowError:  # more than 64 bits
            return False

    def faces_on(self, photos: Iterable[int]) -> list[ShownFace]:
        """Return the faces on photos that show a person or are in a cluster, by photo and face."""
        person = "coalesce(m.person_id, c.person_id)" if self._decisions else "NULL"
        in_cluster = "a.cluster_id IS NOT NULL"
        somebody = f"({in_cluster} OR m.person_id IS NOT NULL)" if self._decisions else in_cluster
        return [
            ShownFace(*row)
            for chunk in chunks(sorted(photos))
            for row in self._catalog.query(
                f"SELECT f.image_id, f.id, a.cluster_id, {person} FROM faces f"
                " LEFT JOIN assignments a ON a.face_id = f.id LEFT JOIN clusters c ON c.id = a.cluster_id"
                f" {self._labels} WHERE f.image_id IN ({placeholders(chunk)}) AND {somebody}"
                f" {self._somebody} ORDER BY f.image_id, f.id",
                chunk,
            )
        ]

    def taken(self, photos: Iterable[int]) -> dict[int, int]:
        """Return the capture time of each photo that has one."""
        if self._catalog.format_version < WITH_PICTURES:
            return {}
        return {
            int(photo): int(taken)
            for chunk in chunks(sorted(photos))
            for photo, taken in self._catalog.query(
                f"SELECT id, taken FROM images WHERE taken IS NOT NULL AND id IN ({placeholders(chunk)})",
                chunk,
            )
        }

    @property
    def _labels(self) -> str:
        return _LABELS if self._decisions else ""

    @property
    def _somebody(self) -> str:
        """The condition that the user did not say that the face shows nobody."""
        return f"AND coalesce(m.label, 0) NOT IN {_NOBODY}" if self._decisions else ""

    def _photos(self, statement: str, parameters: Sequence[object] = ()) -> set[int]:
        return {int(photo) for (photo,) in self._catalog.query(statement, parameters)}
