"""Roots and photos in the catalog. Functions that write run inside a transaction, except `add_root`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from faceindex.addresses import is_address, normal_path
from faceindex.errors import UsageError
from faceindex.images.moments import split_moment
from faceindex.store import away
from faceindex.store.catalog import Catalog
from faceindex.store.checked_json import Malformed, blob, id_of_row, integer, natural, optional, text
from faceindex.store.checked_json import path as path_of
from faceindex.store.migrations import WITH_AWAY_PHOTOS, WITH_FILE_IDS, WITH_PICTURES
from faceindex.store.records import NewMetadata, NewPhoto, PhotoRecord, Root, Status
from faceindex.store.sqlite import chunks, placeholders, storable_text, translated_errors

if TYPE_CHECKING:
    from faceindex.images import Picture

__all__ = [
    "add_root",
    "away_photos",
    "delete_empty_roots",
    "delete_photos",
    "is_below",
    "mark_failed",
    "mounts",
    "move_photos",
    "photos",
    "photos_by_content",
    "photos_by_id",
    "photos_by_picture",
    "relocate_photos",
    "roots",
    "save_file_ids",
    "save_mounts",
    "save_photo",
    "save_pictures",
    "storable_path",
    "update_metadata",
    "update_size_and_time",
]

_COLUMNS = "id, root_id, relpath, size, mtime_ns, content_hash, width, height, status, reason, detail, faces"
_PICTURE = ", picture, orientation, taken"
_BINARY, _TEXTUAL, _NUMERIC = ({kind, type(None)} for kind in (bytes, str, int))
_FILE_IDS = ", ctime_ns, inode, failed"
_STATUS = {status.value: status for status in Status}


def roots(catalog: Catalog) -> list[Root]:
    """Return all roots, in the order in which they were added."""
    found = catalog.query("SELECT id, path, given FROM roots ORDER BY id")
    with catalog.checked():
        roots = [
            Root(
                id_of_row(id, "the id of a root"),
                path_of(path, "the path of a root"),
                path_of(given, "the path of a root"),
            )
            for id, path, given in found
        ]
        for root in roots:
            if not (is_address(root.path) or os.path.isabs(root.path)):  # noqa: PTH117 - text
                raise Malformed(f"the path of root {root.id} is not absolute")
    return roots


def add_root(catalog: Catalog, path: str | os.PathLike[str], given: str) -> Root:
    """Return the root that contains a folder, as `Store.add_root`; in a transaction of its own."""
    path = normal_path(path)
    if not (is_address(path) or os.path.isabs(path)):  # noqa: PTH117 - Path changes some names on Windows
        raise UsageError(f"{path} is not an absolute path.", "Resolve it first.")
    if (root := _root_of(roots(catalog), path)) is not None:
        return root
    with catalog.transaction():
        return _insert_root(catalog, path, given)


def _root_of(known: Iterable[Root], path: str) -> Root | None:
    return next((root for root in known if _path_inside(path, root.path) is not None), None)


def _insert_root(catalog: Catalog, path: str, given: str) -> Root:
    """Add a root, and merge those inside it into it."""
    known = roots(catalog)
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
        "INSERT INTO mounts (root_id, relpath, last_photo)"
        " SELECT ?, CAST(rtrim(? || relpath, '/') AS BLOB), last_photo FROM mounts WHERE root_id = ?",
        (outer.id, os.fsencode(prefix), inner.id),
    )
    catalog.execute("DELETE FROM roots WHERE id = ?", (inner.id,))


def _path_inside(path: str, root: str) -> str | None:
    """Return `path` relative to `root` with ``/``, "" if they are equal, None if it is not inside."""
    if path == root:
        return ""
    if is_address(root):
        return path[len(root) + 1 :] if path.startswith(f"{root}/") else None
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
    # An index of an older format, open for reading only, lacks the newer columns.
    version = catalog.format_version
    columns = _COLUMNS + (_PICTURE if version >= WITH_PICTURES else ", NULL, 1, NULL")
    columns += _FILE_IDS if version >= WITH_FILE_IDS and table == "images" else ", NULL, NULL, NULL"
    if away := table != "images":
        columns = columns.replace("root_id", "coalesce(root_id, 0)", 1)
    with translated_errors(catalog.path):
        found = catalog.execute(f"SELECT {columns} FROM {table} {clauses}", parameters).fetchall()
        known = {root for (root,) in catalog.query("SELECT id FROM roots")}
    with catalog.checked():
        photos = [_record(*row) for row in found]
        if away:
            known.add(0)
        if lost := {photo.root_id for photo in photos} - known:
            raise Malformed(f"it has no root {min(lost)}, in which photos are")
        for photo in photos:
            if photo.root_id and photo.relpath and not is_below(photo.relpath):
                raise Malformed(f"the path of photo {photo.id} leads out of its folder")
    return photos


def _record(
    id: Any, root: Any, relpath: Any, size: Any, mtime_ns: Any, content: Any, width: Any, height: Any,
    status: Any, reason: Any, detail: Any, faces: Any, picture: Any, orientation: Any, taken: Any,
    ctime_ns: Any, inode: Any, failed: Any,
) -> PhotoRecord:  # fmt: skip
    """Check the values of a photo: first all at once, because there may be a million, and then each."""
    if not (
        type(relpath) is bytes and b"\0" not in relpath and status in _STATUS
        and (relpath or status == Status.UNREADABLE.value)  # a root that cannot be listed
        and type(root) is type(size) is type(mtime_ns) is type(width) is type(height) is type(faces) is int
        and type(orientation) is int and 1 <= orientation <= 8
        and min(size, width, height, faces) >= 0
        and type(content) in _BINARY and type(picture) in _BINARY
        and type(reason) in _TEXTUAL and type(detail) in _TEXTUAL and type(failed) in _TEXTUAL
        and type(taken) in _NUMERIC and type(ctime_ns) in _NUMERIC and type(inode) in _NUMERIC
    ):  # fmt: skip
        name = f"photo {id}"
        path_of(relpath, f"the path of {name}")
        for what, value in (("size", size), ("width", width), ("height", height), ("number of faces", faces)):
            natural(value, f"the {what} of {name}")
        for what, value in (("root", root), ("time", mtime_ns)):
            integer(value, f"the {what} of {name}")
        for value in (content, picture):
            optional(blob)(value, f"a hash of {name}")
        for value in (reason, detail, failed):
            optional(text)(value, f"the reason of {name}")
        optional(integer)(taken, f"the capture date of {name}")
        for value in (ctime_ns, inode):
            optional(integer)(value, f"what the system reports of {name}")
        raise Malformed(f"the status or the orientation of {name} is unknown")
    return PhotoRecord(
        id, root, os.fsdecode(relpath), size, mtime_ns, content, width, height, _STATUS[status], reason,
        detail, faces, picture, orientation, taken, ctime_ns, inode, failed,
    )  # fmt: skip


def is_below(relpath: str) -> bool:
    """Return whether a path of a photo, with forward slashes, leads to a place below its root.

    Links below the root may lead anywhere: the user made them, and the walk follows them.
    """
    if not relpath or "\0" in relpath:
        return False
    if os.name == "nt":
        if (moment := split_moment(relpath)) is not None:
            relpath = moment[0]
        if ":" in relpath:  # of a drive, or of a stream of a file
            return False
        relpath = relpath.replace("\\", "/")
    return relpath[0] != "/" and (".." not in relpath or ".." not in relpath.split("/"))


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
        photo.ctime_ns,
        photo.inode,
    )
    known = catalog.execute(
        "SELECT id, content_hash FROM images WHERE root_id = ? AND relpath = ?", key
    ).fetchone()
    if known is None:
        cursor = catalog.execute(
            "INSERT INTO images (root_id, relpath, size, mtime_ns, content_hash, width, height,"
            " status, reason, detail, faces, picture, orientation, taken, ctime_ns, inode)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        " status = ?, reason = ?, detail = ?, faces = ?, picture = ?, orientation = ?, taken = ?,"
        " ctime_ns = ?, inode = ?, failed = NULL WHERE id = ?",
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


def relocate_photos(
    catalog: Catalog,
    folders: Iterable[tuple[str, str]],
    moves: Mapping[int, str],
    away_moves: Mapping[int, str],
) -> None:
    """Change the paths of photos to absolute ones below `folders`, as `Store.relocate_photos`."""
    for path, given in folders:
        if _root_of(roots(catalog), path) is None:
            _insert_root(catalog, path, given)
    known = roots(catalog)

    def place(path: str) -> tuple[int, str]:
        root = _root_of(known, path)
        below = None if root is None else _path_inside(path, root.path)
        if root is None or not below:
            raise AssertionError(f"{path} is in no root")
        return root.id, below

    records = photos_by_id(catalog, moves)
    move_photos(
        catalog, [(photo.id, *place(moves[photo.id]), photo.size, photo.mtime_ns) for photo in records]
    )
    catalog.executemany(
        "UPDATE away_images SET root_id = ?, relpath = ? WHERE id = ?",
        [
            (root_id, storable_path(relpath), id)
            for id, path in away_moves.items()
            for root_id, relpath in (place(path),)
        ],
    )
    delete_empty_roots(catalog)


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
    empty = catalog.query(
        "SELECT id, path FROM roots WHERE NOT EXISTS (SELECT 1 FROM images WHERE root_id = roots.id)"
    )
    away.release_roots(catalog, empty)
    catalog.executemany("DELETE FROM roots WHERE id = ?", [(id,) for id, _ in empty])


def delete_photos(catalog: Catalog, ids: Iterable[int]) -> None:
    """Delete photos and their faces for good; unknown ids are ignored."""
    catalog.executemany("DELETE FROM images WHERE id = ?", [(int(id),) for id in ids])


def mounts(catalog: Catalog) -> dict[tuple[int, str], int | None]:
    """Return the folders, as (root id, path), that were on another device than the folder above.

    The values are None; for a disk that was missing, the greatest id of a photo that may be on it.
    """
    if catalog.format_version < WITH_AWAY_PHOTOS:
        return {}
    found = catalog.query("SELECT root_id, relpath, last_photo FROM mounts")
    return {
        (int(root_id), os.fsdecode(relpath)): None if last is None else int(last)
        for root_id, relpath, last in found
    }


def save_mounts(catalog: Catalog, found: Mapping[tuple[int, str], int | None]) -> None:
    """Store what `mounts` returns, in place of what is stored."""
    catalog.execute("DELETE FROM mounts")
    catalog.executemany(
        "INSERT INTO mounts (root_id, relpath, last_photo) VALUES (?, ?, ?)",
        [(root_id, storable_path(relpath), last) for (root_id, relpath), last in found.items()],
    )


def storable_path(path: str) -> bytes:
    """Return a path as it is stored."""
    return os.fsencode(path)
