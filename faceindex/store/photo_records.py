"""Roots and photos in the catalog. Functions that write run inside a transaction, except `add_root`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from faceindex.errors import UsageError
from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import Malformed
from faceindex.store.migrations import WITH_FILE_IDS, WITH_PICTURES
from faceindex.store.records import NewMetadata, NewPhoto, PhotoRecord, Root, Status
from faceindex.store.sqlite import chunks, placeholders, storable_text, translated_errors

if TYPE_CHECKING:
    from faceindex.images import Picture

__all__ = [
    "add_root",
    "delete_empty_roots",
    "delete_photos",
    "mark_failed",
    "move_photos",
    "photos",
    "photos_by_content",
    "photos_by_id",
    "photos_by_picture",
    "roots",
    "save_file_ids",
    "save_photo",
    "save_pictures",
    "update_metadata",
    "update_size_and_time",
]

_COLUMNS = "id, root_id, relpath, size, mtime_ns, content_hash, width, height, status, reason, detail, faces"
_PICTURE = ", picture, orientation, taken"
_FILE_IDS = ", ctime_ns, inode, failed"
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
    catalog.execute(
        "UPDATE images SET root_id = ?, relpath = CAST(? || relpath AS BLOB) WHERE root_id = ?",
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


def _select(catalog: Catalog, clauses: str, parameters: Sequence[object]) -> list[PhotoRecord]:
    # An index of an older format, open for reading only, lacks the newer columns.
    version = catalog.format_version
    columns = _COLUMNS + (_PICTURE if version >= WITH_PICTURES else ", NULL, 1, NULL")
    columns += _FILE_IDS if version >= WITH_FILE_IDS else ", NULL, NULL, NULL"
    with translated_errors(catalog.path):
        rows = catalog.execute(f"SELECT {columns} FROM images {clauses}", parameters)
        try:
            return [
                PhotoRecord._make((*row[:2], os.fsdecode(row[2]), *row[3:8], _STATUS[row[8]], *row[9:]))
                for row in rows
            ]
        except (KeyError, TypeError) as error:
            with catalog.checked():
                raise Malformed(f"the path or the status of a photo is {error}") from error


def save_photo(catalog: Catalog, photo: NewPhoto) -> int:
    """Insert a photo without its faces, or replace the photo at its path and delete its faces.

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
        photo.ctime_ns,
        photo.inode,
    )
    known = catalog.execute("SELECT id FROM images WHERE root_id = ? AND relpath = ?", key).fetchone()
    if known is None:
        cursor = catalog.execute(
            "INSERT INTO images (root_id, relpath, size, mtime_ns, content_hash, width, height,"
            " status, reason, detail, faces, picture, orientation, taken, ctime_ns, inode)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*key, *values),
        )
        return int(cursor.lastrowid or 0)
    photo_id = int(known[0])
    catalog.execute("DELETE FROM faces WHERE image_id = ?", (photo_id,))
    catalog.execute("DELETE FROM transfer_images WHERE image_id = ?", (photo_id,))
    catalog.execute(
        "UPDATE images SET size = ?, mtime_ns = ?, content_hash = ?, width = ?, height = ?,"
        " status = ?, reason = ?, detail = ?, faces = ?, picture = ?, orientation = ?, taken = ?,"
        " ctime_ns = ?, inode = ?, failed = NULL WHERE id = ?",
        (*values, photo_id),
    )
    return photo_id


def move_photos(catalog: Catalog, moves: Sequence[tuple[int, int, str, int, int]]) -> None:
    """Change (root, path, size, mtime) of photos; any other photo at a new path is deleted."""
    # Two steps, because paths may be swapped: first to a path that no file can have.
    catalog.executemany(
        "UPDATE images SET relpath = CAST(x'00' || id AS BLOB) WHERE id = ?",
        [(move[0],) for move in moves],
    )
    for photo_id, root_id, relpath, size, mtime_ns in moves:
        key = (root_id, os.fsencode(relpath))
        catalog.execute("DELETE FROM images WHERE root_id = ? AND relpath = ?", key)
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


def save_file_ids(catalog: Catalog, updates: Iterable[tuple[int, int, int]]) -> None:
    """Store the (id, ctime, inode) of photos whose content was read and is the indexed one."""
    catalog.executemany(
        "UPDATE images SET ctime_ns = ?, inode = ?, failed = NULL WHERE id = ?",
        [(ctime_ns, inode, photo_id) for photo_id, ctime_ns, inode in updates],
    )


def mark_failed(catalog: Catalog, failures: Iterable[tuple[int, str]]) -> None:
    """Store why indexed photos cannot be read now, as (id, reason); their faces stay."""
    catalog.executemany(
        "UPDATE images SET failed = ? WHERE id = ?",
        [(storable_text(reason), photo_id) for photo_id, reason in failures],
    )


def delete_empty_roots(catalog: Catalog) -> None:
    """Delete roots that have no photos; `add_root` adds them again."""
    catalog.execute("DELETE FROM roots WHERE NOT EXISTS (SELECT 1 FROM images WHERE root_id = roots.id)")


def delete_photos(catalog: Catalog, ids: Iterable[int]) -> None:
    """Delete photos and their faces; unknown ids are ignored."""
    catalog.executemany("DELETE FROM images WHERE id = ?", [(int(id),) for id in ids])
