"""Roots and photos in the catalog. Functions that write run inside a transaction, except `add_root`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from faceindex.errors import UsageError
from faceindex.store import away
from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import Malformed
from faceindex.store.migrations import WITH_AWAY_PHOTOS, WITH_PICTURES
from faceindex.store.records import NewMetadata, NewPhoto, PhotoRecord, Root, Status
from faceindex.store.sqlite import chunks, placeholders, storable_text, translated_errors

if TYPE_CHECKING:
    from faceindex.images import Picture

__all__ = [
    "add_root",
    "away_photos",
    "delete_empty_roots",
    "delete_photos",
    "mounts",
    "move_photos",
    "photos",
    "photos_by_content",
    "photos_by_id",
    "photos_by_picture",
    "roots",
    "save_mounts",
    "save_photo",
    "save_pictures",
    "storable_path",
    "update_metadata",
    "update_size_and_time",
]

_COLUMNS = "id, root_id, relpath, size, mtime_ns, content_hash, width, height, status, reason, detail, faces"
_PICTURE = ", picture, orientation, taken"
_STATUS = {status.value: status for status in Status}


def roots(catalog: Catalog) -> list[Root]:
    """Return all roots, in the order in which they were added."""
    found = catalog.query("SELECT id, path, given FROM roots ORDER BY id")
    return [Root(id, os.fsdecode(path), os.fsdecode(given)) for id, path, given in found]


def add_root(catalog: Catalog, path: str | os.PathLike[str], given: str) -> Root:
    """Return the root that contains a folder, as `Store.add_root`; in a transaction of its own."""
    path = os.path.normpath(os.fspath(path))
    if not os.path.isabs(path):  # noqa: PTH117 - Path changes some names on Windows
        raise UsageError(f"{path} is not an absolute path.", "Resolve it first.")
    known = roots(catalog)
    for root in known:
        if _path_inside(path, root.path) is not None:
            return root
    with catalog.transaction():
        cursor = catalog.execute(
            "INSERT INTO roots (path, given) VALUES (?, ?)", (os.fsencode(path), os.fsencode(given))
        )
        outer = Root(int(cursor.lastrowid or 0), path, given)
        for inner in known:
            if prefix := _path_inside(inner.path, path):
                _merge_root(catalog, inner, outer, prefix + "/")
    return outer


def _merge_root(catalog: Catalog, inner: Root, outer: Root, prefix: str) -> None:
    """Assign the photos of `inner` to `outer`, put `prefix` before their paths, and delete `inner`."""
    for table in ("images", "away_images"):
        catalog.execute(
            f"UPDATE {table} SET root_id = ?, relpath = CAST(? || relpath AS BLOB) WHERE root_id = ?",
            (outer.id, os.fsencode(prefix), inner.id),
        )
    catalog.execute(
        "INSERT INTO mounts (root_id, relpath) SELECT ?, CAST(rtrim(? || relpath, '/') AS BLOB)"
        " FROM mounts WHERE root_id = ?",
        (outer.id, os.fsencode(prefix), inner.id),
    )
    catalog.execute("DELETE FROM roots WHERE id = ?", (inner.id,))


def _path_inside(path: str, root: str) -> str | None:
    """Return `path` relative to `root` with ``/``, "" if they are equal, None if it is not inside."""
    if path == root:
        return ""
    start = root if root.endswith(os.sep) else root + os.sep
    return path[len(start) :].replace(os.sep, "/") if path.startswith(start) else None


def photos(catalog: Catalog, root_id: int | None) -> list[PhotoRecord]:
    """Return the photos of one root, or of all (None), in the order of their ids."""
    where, parameters = ("WHERE root_id = ?", (root_id,)) if root_id is not None else ("", ())
    return _select(catalog, f"{where} ORDER BY id", parameters)


def photos_by_id(catalog: Catalog, ids: Iterable[int]) -> list[PhotoRecord]:
    """Return the photos with these ids; unknown ids are ignored."""
    return [
        photo
        for chunk in chunks(list(ids))
        for photo in _select(catalog, f"WHERE id IN ({placeholders(chunk)}) ORDER BY id", chunk)
    ]


def photos_by_content(catalog: Catalog, content_hash: bytes) -> list[PhotoRecord]:
    """Return the photos with this content hash, in the order of their ids."""
    return _select(catalog, "WHERE content_hash = ? ORDER BY id", (content_hash,))


def photos_by_picture(catalog: Catalog, picture: bytes) -> list[PhotoRecord]:
    """Return the photos with this hash of their picture, in the order of their ids."""
    if catalog.format_version < WITH_PICTURES:
        return []
    return _select(catalog, "WHERE picture = ? ORDER BY id", (picture,))


def away_photos(catalog: Catalog) -> list[PhotoRecord]:
    """Return the photos that are away, in the order of their ids.

    The ``root_id`` of one whose root is gone is 0, and its ``relpath`` is absolute.
    """
    if catalog.format_version < WITH_AWAY_PHOTOS:
        return []
    return _select(catalog, "ORDER BY id", (), table="away_images")


def _select(
    catalog: Catalog, clauses: str, parameters: Sequence[object], *, table: str = "images"
) -> list[PhotoRecord]:
    # An index of an older format, open for reading only, has no pictures.
    columns = _COLUMNS + (_PICTURE if catalog.format_version >= WITH_PICTURES else ", NULL, 1, NULL")
    with translated_errors(catalog.path):
        columns = columns.replace("root_id", "coalesce(root_id, 0)", 1)
        rows = catalog.execute(f"SELECT {columns} FROM {table} {clauses}", parameters)
        try:
            return [
                PhotoRecord._make((*row[:2], os.fsdecode(row[2]), *row[3:8], _STATUS[row[8]], *row[9:]))
                for row in rows
            ]
        except (KeyError, TypeError) as error:
            with catalog.checked():
                raise Malformed(f"the path or the status of a photo is {error}") from error


def save_photo(catalog: Catalog, photo: NewPhoto) -> int:
    """Insert a photo without its faces, or replace the photo at its path.

    The faces of a picture that is replaced by another go away with it, see `faceindex.store.away`.

    Returns
    -------
    int
        Its id.
    """
    key = (photo.root_id, os.fsencode(photo.relpath))
    values = (
        photo.size,
        photo.mtime_ns,
        photo.content_hash,
        photo.width,
        photo.height,
        photo.status.value,
        storable_text(photo.reason),
        storable_text(photo.detail),
        0 if photo.faces is None else len(photo.faces),
        photo.picture,
        photo.orientation,
        photo.taken,
    )
    known = catalog.execute(
        "SELECT id, content_hash FROM images WHERE root_id = ? AND relpath = ?", key
    ).fetchone()
    if known is None:
        cursor = catalog.execute(
            "INSERT INTO images (root_id, relpath, size, mtime_ns, content_hash, width, height,"
            " status, reason, detail, faces, picture, orientation, taken)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, *values),
        )
        return int(cursor.lastrowid or 0)
    photo_id = int(known[0])
    if known[1] != photo.content_hash:
        away.put_version_away(catalog, photo_id)
    else:
        catalog.execute("DELETE FROM faces WHERE image_id = ?", (photo_id,))
    catalog.execute("DELETE FROM transfer_images WHERE image_id = ?", (photo_id,))
    catalog.execute(
        "UPDATE images SET size = ?, mtime_ns = ?, content_hash = ?, width = ?, height = ?,"
        " status = ?, reason = ?, detail = ?, faces = ?, picture = ?, orientation = ?, taken = ?"
        " WHERE id = ?",
        (*values, photo_id),
    )
    return photo_id


def move_photos(catalog: Catalog, moves: Sequence[tuple[int, int, str, int, int]]) -> None:
    """Change (root, path, size, mtime) of photos; any other photo at a new path goes away."""
    # Two steps, because paths may be swapped: first to a path that no file can have.
    catalog.executemany(
        "UPDATE images SET relpath = CAST(x'00' || id AS BLOB) WHERE id = ?",
        [(move[0],) for move in moves],
    )
    for photo_id, root_id, relpath, size, mtime_ns in moves:
        key = (root_id, os.fsencode(relpath))
        there = catalog.execute("SELECT id FROM images WHERE root_id = ? AND relpath = ?", key).fetchone()
        if there is not None:
            away.put_away(catalog, there)
        catalog.execute(
            "UPDATE images SET root_id = ?, relpath = ?, size = ?, mtime_ns = ? WHERE id = ?",
            (*key, size, mtime_ns, photo_id),
        )


def update_size_and_time(catalog: Catalog, updates: Iterable[tuple[int, int, int]]) -> None:
    """Change the size and the time of photos, given as (id, size, mtime_ns)."""
    catalog.executemany(
        "UPDATE images SET size = ?, mtime_ns = ? WHERE id = ?",
        [(size, mtime_ns, photo_id) for photo_id, size, mtime_ns in updates],
    )


def update_metadata(catalog: Catalog, updates: Iterable[NewMetadata]) -> None:
    """Change what new metadata in their files change of photos."""
    catalog.executemany(
        "UPDATE images SET size = ?, mtime_ns = ?, content_hash = ?, taken = ? WHERE id = ?",
        [(size, mtime_ns, content, taken, photo_id) for photo_id, size, mtime_ns, content, taken in updates],
    )


def save_pictures(catalog: Catalog, pictures: Iterable[tuple[int, Picture]]) -> None:
    """Store the pictures of photos that were indexed without them, given as (id, picture)."""
    catalog.executemany(
        "UPDATE images SET picture = ?, orientation = ?, taken = ? WHERE id = ?",
        [(picture.hash, picture.orientation, picture.taken, photo_id) for photo_id, picture in pictures],
    )


def delete_empty_roots(catalog: Catalog) -> None:
    """Delete roots that have no photos; `add_root` adds them again."""
    empty = catalog.query(
        "SELECT id, path FROM roots WHERE NOT EXISTS (SELECT 1 FROM images WHERE root_id = roots.id)"
    )
    away.release_roots(catalog, empty)
    catalog.executemany("DELETE FROM roots WHERE id = ?", [(id,) for id, _ in empty])


def delete_photos(catalog: Catalog, ids: Iterable[int]) -> None:
    """Delete photos and their faces for good; unknown ids are ignored."""
    catalog.executemany("DELETE FROM images WHERE id = ?", [(int(id),) for id in ids])


def mounts(catalog: Catalog) -> set[tuple[int, str]]:
    """Return the folders, as (root id, path), that were on another device than the folder above."""
    if catalog.format_version < WITH_AWAY_PHOTOS:
        return set()
    found = catalog.query("SELECT root_id, relpath FROM mounts")
    return {(int(root_id), os.fsdecode(relpath)) for root_id, relpath in found}


def save_mounts(catalog: Catalog, found: Iterable[tuple[int, str]]) -> None:
    """Store the folders that are on another device than the folder above, in place of those before."""
    catalog.execute("DELETE FROM mounts")
    catalog.executemany(
        "INSERT INTO mounts (root_id, relpath) VALUES (?, ?)",
        [(root_id, storable_path(relpath)) for root_id, relpath in sorted(found)],
    )


def storable_path(path: str) -> bytes:
    """Return a path as it is stored."""
    return os.fsencode(path)
