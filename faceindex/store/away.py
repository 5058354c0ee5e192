"""Photos that are away: gone from their folder, or replaced by another picture, and kept for some time.

Such a photo is in the tables ``away_images`` and ``away_faces``, not in ``images`` and ``faces``, so that
nothing that reads photos or faces finds it. If its content is found again, it comes back with the same ids,
clusters and decisions, and no network runs. Its vectors keep their rows, which are tombstones of the search.
They are appended as new rows when it comes back: a tombstone never becomes a live row again.

Functions that write run inside a transaction, except `bring_back`. This module does not import numpy.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import mapping, natural, parse
from faceindex.store.digests import VectorDigests
from faceindex.store.migrations import WITH_AWAY_PHOTOS
from faceindex.store.records import Status
from faceindex.store.sqlite import chunks, placeholders

if TYPE_CHECKING:
    from faceindex.store.decisions import DecisionTables
    from faceindex.store.vectors import VectorFile

__all__ = [
    "KEEP_DAYS",
    "Away",
    "Return",
    "bring_back",
    "count_away",
    "count_returns",
    "delete_away",
    "delete_expired",
    "put_away",
    "put_version_away",
    "release_roots",
]

KEEP_DAYS = 90
"""Days for which the faces of photos that are gone are kept, unless the user chooses another number."""

_DAY = 86_400  # seconds

_SAME = (
    "size, mtime_ns, content_hash, width, height, status, reason, detail, faces, picture, orientation, taken"
)


@dataclass(frozen=True, slots=True)
class Away:
    """The photos that are away.

    Attributes
    ----------
    photos, faces : int
    since : datetime or None
        When the first of them was found to be gone, UTC; None if there is none.
    """

    photos: int = 0
    faces: int = 0
    since: datetime | None = None


class Return(NamedTuple):
    """A photo that comes back.

    Attributes
    ----------
    id : int
        Of the photo that is away.
    root_id, relpath, size, mtime_ns
        Of the file, as in `PhotoRecord`. A photo that is at this path keeps its id and gets the faces.
    content_hash, taken
        Of the file if its metadata are new; None to keep what is stored.
    """

    id: int
    root_id: int
    relpath: str
    size: int
    mtime_ns: int
    content_hash: bytes | None = None
    taken: int | None = None


def put_away(catalog: Catalog, ids: Iterable[int], at: float | None = None) -> None:
    """Move photos and their faces to the tables of photos that are away.

    Photos that could not be read are deleted: there is nothing to keep. Unknown ids are ignored.

    Parameters
    ----------
    catalog : Catalog
    ids : iterable of int
    at : float, optional
        Seconds since 1970; None means now.
    """
    now = int(time.time() if at is None else at)
    for chunk in chunks([int(id) for id in ids]):
        where = placeholders(chunk)
        catalog.execute(
            f"INSERT INTO away_images (id, root_id, relpath, {_SAME}, away_since)"
            f" SELECT id, root_id, relpath, {_SAME}, ? FROM images"
            f" WHERE id IN ({where}) AND status = ? AND content_hash IS NOT NULL",
            (now, *chunk, Status.OK.value),
        )
        _move_faces(catalog, chunk, "f.image_id")
        catalog.execute(f"DELETE FROM images WHERE id IN ({where})", chunk)


def put_version_away(catalog: Catalog, photo_id: int, at: float | None = None) -> None:
    """Move the faces of a photo, whose picture is about to be replaced, to an id of their own that is away.

    The photo stays, without faces.
    """
    readable = catalog.execute(
        "SELECT 1 FROM images WHERE id = ? AND status = ? AND content_hash IS NOT NULL",
        (photo_id, Status.OK.value),
    ).fetchone()
    if readable is not None:
        catalog.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'images'")
        ((version,),) = catalog.execute("SELECT seq FROM sqlite_sequence WHERE name = 'images'").fetchall()
        catalog.execute(
            f"INSERT INTO away_images (id, root_id, relpath, {_SAME}, away_since)"
            f" SELECT ?, root_id, relpath, {_SAME}, ? FROM images WHERE id = ?",
            (version, int(time.time() if at is None else at), photo_id),
        )
        _move_faces(catalog, [photo_id], "?", (version,))
    catalog.execute("DELETE FROM faces WHERE image_id = ?", (photo_id,))


def _move_faces(
    catalog: Catalog, photos: Sequence[int], away_id: str, parameters: tuple[int, ...] = ()
) -> None:
    catalog.execute(
        "INSERT INTO away_faces (id, image_id, vector_row, geometry, cluster_id, similarity)"
        f" SELECT f.id, {away_id}, f.vector_row, f.geometry, a.cluster_id, a.similarity"
        f" FROM faces f JOIN images i ON i.id = f.image_id LEFT JOIN assignments a ON a.face_id = f.id"
        f" WHERE f.image_id IN ({placeholders(photos)}) AND i.status = ? AND i.content_hash IS NOT NULL",
        (*parameters, *photos, Status.OK.value),
    )


def count_away(catalog: Catalog) -> Away:
    """Count the photos that are away, and their faces."""
    if catalog.format_version < WITH_AWAY_PHOTOS:
        return Away()
    photos, since = catalog.query("SELECT count(*), min(away_since) FROM away_images")[0]
    faces = catalog.query("SELECT count(*) FROM away_faces")[0][0]
    first = None if since is None else datetime.fromtimestamp(max(0, int(since)), timezone.utc)
    return Away(int(photos), int(faces), first)


def delete_away(catalog: Catalog, ids: Iterable[int]) -> None:
    """Delete photos that are away, and their faces, for good; unknown ids are ignored."""
    catalog.executemany("DELETE FROM away_images WHERE id = ?", [(int(id),) for id in ids])


def delete_expired(catalog: Catalog, keep_days: float, at: float | None = None) -> int:
    """Delete the photos that have been away for some days or more; return their number."""
    limit = int(max(0, (time.time() if at is None else at) - keep_days * _DAY))  # days may be infinite
    return catalog.execute("DELETE FROM away_images WHERE away_since <= ?", (limit,)).rowcount


def release_roots(catalog: Catalog, roots: Iterable[tuple[int, bytes]]) -> None:
    """Give photos that are away absolute paths, before their roots, given as (id, path), are deleted."""
    for root_id, path in roots:
        prefix = path if path.endswith(os.fsencode(os.sep)) else path + b"/"
        catalog.execute(
            "UPDATE away_images SET root_id = NULL, relpath = CAST(? || relpath AS BLOB) WHERE root_id = ?",
            (prefix, root_id),
        )


def count_returns(catalog: Catalog) -> int:
    """Return how many times photos have come back: their faces have ids that are not the newest."""
    return int(catalog.get("returns", natural, 0))


# Coming back -------------------------------------------------------------------------------------


def bring_back(catalog: Catalog, vectors: VectorFile, returns: Sequence[Return]) -> None:
    """Move photos that are away to paths where they were found, in a transaction of its own.

    Their faces have the same ids. They are in the same clusters as before, unless that contradicts what the
    user decided meanwhile; then they are in none until the next clustering. A picture that is at the path of
    one of them now goes away.

    Raises
    ------
    StoreError
        If the disk is full or fails. Nothing has come back then.
    """
    from faceindex.store.decisions import DecisionTables
    from faceindex.store.photo_records import storable_path

    faces = sorted(
        catalog.query_in(
            "SELECT id, image_id, vector_row, geometry, cluster_id, similarity FROM away_faces"
            " WHERE image_id IN ({})",
            [each.id for each in returns],
        )
    )
    first, returned = catalog.rows, None
    if faces:
        import numpy as np

        returned = vectors.gather(first, np.array([row for _, _, row, *_ in faces], np.int64))
        vectors.append(first, returned)
    with catalog.transaction():
        if returned is not None:
            VectorDigests(catalog, vectors.path.name).extend(first, returned)
        photo_of: dict[int, int] = {}
        for each in returns:
            photo_of[each.id] = _restore_photo(catalog, each, storable_path(each.relpath))
        catalog.executemany(
            "INSERT INTO faces (id, image_id, vector_row, geometry) VALUES (?, ?, ?, ?)",
            [
                (face, photo_of[away], first + position, geometry)
                for position, (face, away, _, geometry, *_) in enumerate(faces)
            ],
        )
        delete_away(catalog, photo_of)
        catalog.set("rows", first + len(faces))
        catalog.set("returns", count_returns(catalog) + 1)
        tables = DecisionTables(catalog)
        tables.match(
            picture
            for (picture,) in catalog.query_in(
                "SELECT picture FROM images WHERE picture IS NOT NULL AND id IN ({})", photo_of.values()
            )
        )
        _restore_clusters(
            catalog,
            tables,
            [(face, cluster, similarity) for face, *_, cluster, similarity in faces if cluster is not None],
        )
        _let_cluster_again(catalog)


def _restore_photo(catalog: Catalog, each: Return, relpath: bytes) -> int:
    """Insert a photo at its path, or put it in the place of the photo that is there; return its id."""
    there = catalog.execute(
        "SELECT id FROM images WHERE root_id = ? AND relpath = ?", (each.root_id, relpath)
    ).fetchone()
    if there is None:
        photo_id = each.id
        catalog.execute(
            f"INSERT INTO images (id, root_id, relpath, {_SAME}) SELECT id, ?, ?, {_SAME}"
            " FROM away_images WHERE id = ?",
            (each.root_id, relpath, each.id),
        )
    else:
        photo_id = int(there[0])
        put_version_away(catalog, photo_id)
        catalog.execute("DELETE FROM transfer_images WHERE image_id = ?", (photo_id,))
        catalog.execute(
            f"UPDATE images SET ({_SAME}) = (SELECT {_SAME} FROM away_images WHERE id = ?) WHERE id = ?",
            (each.id, photo_id),
        )
    catalog.execute(
        "UPDATE images SET size = ?, mtime_ns = ? WHERE id = ?", (each.size, each.mtime_ns, photo_id)
    )
    if each.content_hash is not None:
        catalog.execute(
            "UPDATE images SET content_hash = ?, taken = ? WHERE id = ?",
            (each.content_hash, each.taken, photo_id),
        )
    return photo_id


def _restore_clusters(
    catalog: Catalog, tables: DecisionTables, faces: Sequence[tuple[int, int, float]]
) -> None:
    """Assign faces, given with cluster and similarity, to their clusters where no decision is against it."""
    if not faces:
        return
    clusters = sorted({cluster for _, cluster, _ in faces})
    known = _Decided(catalog, tables, [face for face, *_ in faces], clusters)
    kept = [row for row in faces if known.may_join(row[0], row[1])]
    catalog.executemany("INSERT OR IGNORE INTO clusters (id) VALUES (?)", {(row[1],) for row in kept})
    catalog.executemany("INSERT INTO assignments (face_id, cluster_id, similarity) VALUES (?, ?, ?)", kept)
    tables.update_cluster_people(clusters)


class _Decided:
    """What the user decided about faces that come back, and about the clusters that they were in."""

    def __init__(
        self, catalog: Catalog, tables: DecisionTables, faces: Sequence[int], clusters: Sequence[int]
    ) -> None:
        self._mark = tables.marks_of_faces(faces)
        there = {
            int(face): int(cluster)
            for face, cluster in catalog.query_in(
                "SELECT m.face_id, a.cluster_id FROM marked_faces m JOIN assignments a"
                " ON a.face_id = m.face_id WHERE a.cluster_id IN ({})",
                clusters,
            )
        }
        inside = tables.marks_of_faces(sorted(there))
        marks = sorted({*self._mark.values(), *inside.values()})
        self._labels = tables.labels(marks)
        into = {record.id: record.into for record in tables.people()} if marks else {}
        self._root = {person: _root(into, person) for person in into}
        self._rejected: dict[int, set[int]] = {}
        for mark, person in tables.rejections(marks):
            self._rejected.setdefault(mark, set()).add(self._root.get(person, person))
        self._different: dict[int, set[int]] = {}
        for (a, b), (same, _) in tables.links(marks).items():
            if not same:
                self._different.setdefault(a, set()).add(b)
                self._different.setdefault(b, set()).add(a)
        self._person: dict[int, int] = {}
        self._members: dict[int, set[int]] = {}  # marks by cluster
        for face, cluster in there.items():
            self._add(inside[face], cluster)

    def _add(self, mark: int, cluster: int) -> None:
        self._members.setdefault(cluster, set()).add(mark)
        if (person := self._person_of(mark)) is not None:
            self._person[cluster] = person

    def _person_of(self, mark: int) -> int | None:
        person = self._labels[mark].person
        return None if person is None else self._root.get(person, person)

    def may_join(self, face: int, cluster: int) -> bool:
        """Return whether a face may be in its cluster; it counts as a member from then on."""
        from faceindex.store.marks import Label

        mark = self._mark.get(face)
        if mark is None:
            return True
        person, there = self._person_of(mark), self._person.get(cluster)
        members = self._members.get(cluster, set())
        if (
            self._labels[mark].label in (Label.STRANGER, Label.NOT_A_FACE)
            or (person is not None and there is not None and person != there)
            or there in self._rejected.get(mark, ())
            or not members.isdisjoint(self._different.get(mark, ()))
            or (person is not None and any(person in self._rejected.get(other, ()) for other in members))
        ):
            return False
        self._add(mark, cluster)
        return True


def _root(into: dict[int, int | None], person: int) -> int:
    """Return the person that a person was merged into; of a circle in a damaged catalog, any of it."""
    seen = {person}
    while (next_one := into.get(person)) is not None and next_one not in seen:
        person = next_one
        seen.add(person)
    return person


def _let_cluster_again(catalog: Catalog) -> None:
    """Let the next clustering look at all faces, although none has a new id."""
    found = catalog.query("SELECT id, params FROM clusterings ORDER BY id DESC LIMIT 1")
    for id, params in found:
        with catalog.checked():
            values = parse(params, "the parameters of a clustering", mapping())
        values.pop("faces", None)
        catalog.execute("UPDATE clusterings SET params = ? WHERE id = ?", (json.dumps(values), id))
