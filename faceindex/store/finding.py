"""Photos by the people, clusters and dates on them, read for these alone.

Reading all faces takes several hundred milliseconds for 100,000 of them, and must be done again after each
commit. These queries follow the indexes from a person to clusters and marks, to faces, to photos.

A face shows the person of its label, else that of its cluster. A stranger, and what is not a face, show
nobody.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence

from faceindex.store.catalog import Catalog
from faceindex.store.decisions import DecisionTables, Label
from faceindex.store.migrations import WITH_PICTURES
from faceindex.store.records import Status
from faceindex.store.sqlite import chunks, placeholders

__all__ = ["PhotoQueries"]

_NOBODY = f"({int(Label.STRANGER)}, {int(Label.NOT_A_FACE)})"
_MANY = 5000  # photos; reading all is faster from here on

# CROSS JOIN keeps the order of the tables.
_OF_CLUSTERS = "clusters c CROSS JOIN assignments a ON a.cluster_id = c.id"
_LABELS = "LEFT JOIN marked_faces mf ON mf.face_id = f.id LEFT JOIN marks m ON m.id = mf.mark_id"


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
        in_cluster = "SELECT DISTINCT f.image_id FROM faces f JOIN assignments a ON a.face_id = f.id"
        if not self._decisions:
            return self._photos(in_cluster)
        nobody = (
            "SELECT mf.face_id FROM marks m CROSS JOIN marked_faces mf ON mf.mark_id = m.id"
            f" WHERE m.label IN {_NOBODY}"
        )
        # Persons on faces in no cluster are rare, so those faces are selected first.
        return self._photos(f"{in_cluster} WHERE f.id NOT IN ({nobody})") | self._photos(
            "SELECT f.image_id FROM marked_faces mf LEFT JOIN assignments a ON a.face_id = mf.face_id"
            " CROSS JOIN marks m ON m.id = mf.mark_id CROSS JOIN faces f ON f.id = mf.face_id"
            " WHERE a.face_id IS NULL AND m.person_id IS NOT NULL"
        )

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

    def faces_on(self, photos: Iterable[int]) -> Iterator[tuple[int, int, int | None, int | None]]:
        """Yield photo, face, cluster and person of the faces on photos that show somebody, by photo and face.

        The cluster or the person may be None; the person is that of the label or of the cluster, before
        merges of people.
        """
        person = "coalesce(m.person_id, c.person_id)" if self._decisions else "NULL"
        in_cluster = "a.cluster_id IS NOT NULL"
        somebody = f"({in_cluster} OR m.person_id IS NOT NULL)" if self._decisions else in_cluster
        for chunk in chunks(sorted(photos)):
            yield from self._catalog.query(
                f"SELECT f.image_id, f.id, a.cluster_id, {person} FROM faces f"
                " LEFT JOIN assignments a ON a.face_id = f.id LEFT JOIN clusters c ON c.id = a.cluster_id"
                f" {self._labels} WHERE f.image_id IN ({placeholders(chunk)}) AND {somebody}"
                f" {self._somebody} ORDER BY f.image_id, f.id",
                chunk,
            )

    def taken(self, photos: Collection[int]) -> dict[int, int]:
        """Return the capture time of each photo that has one."""
        if self._catalog.format_version < WITH_PICTURES:
            return {}
        statement = "SELECT id, taken FROM images WHERE taken IS NOT NULL"
        if len(photos) > _MANY:
            wanted = set(photos)
            return {photo: taken for photo, taken in self._catalog.query(statement) if photo in wanted}
        return {
            photo: taken
            for chunk in chunks(sorted(photos))
            for photo, taken in self._catalog.query(f"{statement} AND id IN ({placeholders(chunk)})", chunk)
        }

    def places(self, photos: Iterable[int]) -> Iterator[tuple[int, int, str, int | None]]:
        """Yield photo, root, path relative to the root with ``/``, and capture time of photos, by photo."""
        taken = "taken" if self._catalog.format_version >= WITH_PICTURES else "NULL"
        for chunk in chunks(sorted(photos)):
            for photo, root, relpath, time in self._catalog.query(
                f"SELECT id, root_id, relpath, {taken} FROM images WHERE id IN ({placeholders(chunk)})"
                " ORDER BY id",
                chunk,
            ):
                yield photo, root, os.fsdecode(relpath), time

    @property
    def _labels(self) -> str:
        return _LABELS if self._decisions else ""

    @property
    def _somebody(self) -> str:
        """The condition that the user did not say that the face shows nobody."""
        return f"AND coalesce(m.label, 0) NOT IN {_NOBODY}" if self._decisions else ""

    def _photos(self, statement: str, parameters: Sequence[object] = ()) -> set[int]:
        return {photo for (photo,) in self._catalog.query(statement, parameters)}
