"""``catalog.sqlite``: the truth. The only home of SQL.

Write-ahead logging lets readers go on while the writer commits; ``synchronous = FULL`` makes a
commit survive a pulled cable.

numpy takes longer to load than all else that a run of `index` needs that finds nothing to do, so it is
imported where arrays are handled; likewise in `store` and `vectors`.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from faceindex.errors import IndexCorrupt, IndexVersionError, StoreError, UsageError
from faceindex.store import migrations
from faceindex.store.records import (
    Clustering,
    HnswParams,
    Json,
    NewPhoto,
    PhotoRecord,
    Pins,
    Root,
    Run,
    Status,
    Unchanged,
)
from faceindex.store.vectors import sync_directory, sync_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceindex.store.columns import Column
    from faceindex.store.records import Assignments, FaceTable
    from faceindex.types import F32, I64, Faces

__all__ = ["Catalog"]

_Value = TypeVar("_Value")

_PHOTO_COLUMNS = (
    "id, root_id, relpath, size, mtime_ns, content_hash, width, height, status, reason, detail, faces"
)
_CHUNK = 500  # host parameters per statement; SQLite before 3.32 allows 999
_BUSY_MS = 30_000
_SEEN_TREES = 16  # that are remembered: folders of one index that are brought up to date in turn
_STATUS = {status.value: status for status in Status}


class Catalog:
    """A connection to the catalog of an index. Use `create` and `open`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection

    # Opening -----------------------------------------------------------------------------------

    @staticmethod
    def create(path: Path, pins: Pins, hnsw: HnswParams) -> None:
        """Make a new catalog. It appears under its name complete or not at all."""
        temporary = path.with_name(path.name + ".new")
        for leftover in (temporary, *(temporary.with_name(temporary.name + s) for s in ("-wal", "-shm"))):
            leftover.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        catalog = Catalog(temporary, _connect(temporary, "rw"))
        try:
            catalog._prepare_writing()
            catalog._migrate(0)
            with catalog.transaction():
                catalog._set("pins", asdict(pins))
                catalog._set("hnsw", asdict(hnsw))
                catalog._set("rows", 0)
                catalog._set("next_cluster_id", 0)
        finally:
            catalog.close()
        with temporary.open("rb") as file:
            sync_file(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)

    @classmethod
    def open(cls, path: Path, *, write: bool) -> Catalog:
        """Connect to a catalog; migrate it if `write` is true and it is of an older format.

        Raises
        ------
        IndexVersionError
            If a newer faceindex wrote it.
        IndexCorrupt
            If it is not a catalog.
        StoreError
            If it is of an older format and only opened for reading.
        """
        catalog = cls(path, _connect(path, "rw") if write else _connect_for_reading(path))
        try:
            with _translated(path):
                version = catalog.format_version
                newest = migrations.format_version()
                if version > newest:
                    raise IndexVersionError(
                        f"The index in {path.parent} has format {version}; "
                        f"this faceindex knows formats up to {newest}.",
                        "Upgrade faceindex: `pip install --upgrade faceindex`.",
                    )
                if version == 0:
                    raise _corrupt(path, "it has no format version")
                if write:
                    catalog._prepare_writing()
                    catalog._migrate(version)
                elif version < newest:
                    raise StoreError(
                        f"The index in {path.parent} has the older format {version}.",
                        "Run `faceindex index` on its photos once: that brings it up to date.",
                    )
                catalog._get("pins")
        except BaseException:
            catalog.close()
            raise
        return catalog

    def close(self) -> None:
        """Close the connection; the last one folds the write-ahead log into the catalog."""
        self._db.close()

    def _prepare_writing(self) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "foreign_keys = ON"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()

    def _migrate(self, version: int) -> None:
        for number, (_, statements) in enumerate(migrations.MIGRATIONS[version:], version + 1):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for statement in statements:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {number}")
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    # Transactions ------------------------------------------------------------------------------

    @contextmanager
    def transaction(self, *, photos_stay: bool = False) -> Iterator[None]:
        """All or nothing; counts up `generation`.

        Parameters
        ----------
        photos_stay : bool
            Promises that neither photos nor roots nor vectors change, so that what `recall` knows holds.
        """
        with _translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                generation = self._get("generation", 0)
                self._set("generation", generation + 1)
                if photos_stay and self._get("seen_at", -1) == generation:
                    self._set("seen_at", generation + 1)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment, whatever a writer does meanwhile."""
        with _translated(self.path):
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    # Meta --------------------------------------------------------------------------------------

    def _get(self, key: str, default: Any = None) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is not None:
            return json.loads(row[0])
        if default is None:
            raise _corrupt(self.path, f"its {key} is missing")
        return default

    def _set(self, key: str, value: Json) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, json.dumps(value)))

    @property
    def format_version(self) -> int:
        """Number of the newest migration that ran; 0 for an empty file."""
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    @property
    def generation(self) -> int:
        """Grows with every commit."""
        with _translated(self.path):
            return int(self._get("generation", 0))

    @property
    def rows(self) -> int:
        """Committed rows of the vector file."""
        with _translated(self.path):
            return int(self._get("rows"))

    def pins(self) -> Pins:
        """What the index is pinned to."""
        with _translated(self.path):
            return Pins(**self._get("pins"))

    def hnsw(self) -> HnswParams:
        """Parameters of the HNSW graph."""
        with _translated(self.path):
            return HnswParams(**self._get("hnsw"))

    # Roots -------------------------------------------------------------------------------------

    def roots(self) -> list[Root]:
        """All roots, in the order in which they were added."""
        with _translated(self.path):
            found = self._db.execute("SELECT id, path, given FROM roots ORDER BY id").fetchall()
        return [Root(id, os.fsdecode(path), os.fsdecode(given)) for id, path, given in found]

    def add_root(self, path: str, given: str) -> Root:
        """Insert a root; inside a transaction."""
        cursor = self._db.execute(
            "INSERT INTO roots (path, given) VALUES (?, ?)", (os.fsencode(path), os.fsencode(given))
        )
        return Root(_rowid(cursor), path, given)

    def absorb_root(self, inner: Root, outer: Root, prefix: str) -> None:
        """Give the photos of `inner` to `outer`, their paths behind `prefix`; inside a transaction."""
        self._db.execute(
            "UPDATE images SET root_id = ?, relpath = CAST(? || relpath AS BLOB) WHERE root_id = ?",
            (outer.id, os.fsencode(prefix), inner.id),
        )
        self._db.execute("DELETE FROM roots WHERE id = ?", (inner.id,))

    # Photos ------------------------------------------------------------------------------------

    def photos(self, root_id: int | None) -> list[PhotoRecord]:
        """Photos of one root or of all, in the order of their ids."""
        where, parameters = ("WHERE root_id = ?", (root_id,)) if root_id is not None else ("", ())
        return self._photos(f"{where} ORDER BY id", parameters)

    def photos_by_id(self, ids: Iterable[int]) -> list[PhotoRecord]:
        """Photos whose id is among `ids`."""
        return [
            photo
            for chunk in _chunks(list(ids))
            for photo in self._photos(f"WHERE id IN ({_marks(chunk)}) ORDER BY id", chunk)
        ]

    def _photos(self, rest: str, parameters: Sequence[object]) -> list[PhotoRecord]:
        with _translated(self.path):
            found = self._db.execute(f"SELECT {_PHOTO_COLUMNS} FROM images {rest}", parameters)
            return [
                PhotoRecord._make((*row[:2], os.fsdecode(row[2]), *row[3:8], _STATUS[row[8]], *row[9:]))
                for row in found
            ]

    def put_photo(self, photo: NewPhoto) -> int:
        """Insert a photo without faces, or replace the one at its path; its id."""
        key = (photo.root_id, os.fsencode(photo.relpath))
        values = (
            photo.size,
            photo.mtime_ns,
            photo.content_hash,
            photo.width,
            photo.height,
            photo.status.value,
            _text(photo.reason),
            _text(photo.detail),
            0 if photo.faces is None else len(photo.faces),
        )
        known = self._db.execute("SELECT id FROM images WHERE root_id = ? AND relpath = ?", key).fetchone()
        if known is None:
            cursor = self._db.execute(
                "INSERT INTO images (root_id, relpath, size, mtime_ns, content_hash, width, height,"
                " status, reason, detail, faces) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*key, *values),
            )
            return _rowid(cursor)
        photo_id = int(known[0])
        self._db.execute("DELETE FROM faces WHERE image_id = ?", (photo_id,))
        self._db.execute(
            "UPDATE images SET size = ?, mtime_ns = ?, content_hash = ?, width = ?, height = ?,"
            " status = ?, reason = ?, detail = ?, faces = ? WHERE id = ?",
            (*values, photo_id),
        )
        return photo_id

    def put_faces(self, photo_id: int, faces: Faces) -> None:
        """Insert faces whose vectors are the next rows; inside a transaction."""
        from faceindex.store.packing import pack

        row = int(self._get("rows"))
        self._db.executemany(
            "INSERT INTO faces (image_id, vector_row, geometry) VALUES (?, ?, ?)",
            [(photo_id, row + i, geometry) for i, geometry in enumerate(pack(faces))],
        )
        self._set("rows", row + len(faces))

    def move_photos(self, moves: Sequence[tuple[int, int, str, int, int]]) -> None:
        """Change (root, path, size, mtime) of photos; whatever was at a new path is removed."""
        # Two steps, as paths may be swapped: first out of the way, to a path that no file can have.
        self._db.executemany(
            "UPDATE images SET relpath = CAST(x'00' || id AS BLOB) WHERE id = ?",
            [(move[0],) for move in moves],
        )
        for photo_id, root_id, relpath, size, mtime_ns in moves:
            key = (root_id, os.fsencode(relpath))
            self._db.execute("DELETE FROM images WHERE root_id = ? AND relpath = ?", key)
            self._db.execute(
                "UPDATE images SET root_id = ?, relpath = ?, size = ?, mtime_ns = ? WHERE id = ?",
                (*key, size, mtime_ns, photo_id),
            )

    def touch_photos(self, updates: Iterable[tuple[int, int, int]]) -> None:
        """Change (size, mtime) of photos, given as (id, size, mtime_ns)."""
        self._db.executemany(
            "UPDATE images SET size = ?, mtime_ns = ? WHERE id = ?",
            [(size, mtime_ns, photo_id) for photo_id, size, mtime_ns in updates],
        )

    def remove_photos(self, photo_ids: Iterable[int]) -> None:
        """Delete photos and their faces."""
        self._db.executemany("DELETE FROM images WHERE id = ?", [(int(i),) for i in photo_ids])

    # Faces -------------------------------------------------------------------------------------

    def face_rows(self) -> tuple[I64, I64]:
        """(n,) ids of all live faces, ascending, and (n,) their rows."""
        from faceindex.store.columns import INTEGER, read_columns

        with _translated(self.path):
            faces, rows = read_columns(self._db.execute, "faces", [("id", INTEGER), ("vector_row", INTEGER)])
        return faces, rows

    def count_live(self) -> int:
        """Live faces."""
        with _translated(self.path):
            return int(self._db.execute("SELECT count(*) FROM faces").fetchone()[0])

    def faces(self) -> FaceTable:
        """All live faces."""
        from faceindex.store.packing import GEOMETRY, face_table

        return face_table(*self._read_faces(["image_id", "vector_row"], ("f.geometry", GEOMETRY)))

    def assignments(self) -> Assignments:
        """All live faces without their places."""
        from faceindex.store.packing import SHARPNESS, SHARPNESS_BYTES, assignments

        return assignments(*self._read_faces(["vector_row"], (SHARPNESS_BYTES, SHARPNESS)))

    def _read_faces(self, integers: list[str], structure: Column) -> list[NDArray[Any]]:
        """Ids, other integers, clusters, similarities, and a structure of all live faces."""
        from faceindex.store.columns import INTEGER, read_columns
        from faceindex.store.packing import SIMILARITY_UNITS

        with _translated(self.path):
            try:
                return read_columns(
                    self._db.execute,
                    "faces f LEFT JOIN assignments a ON a.face_id = f.id",
                    [
                        ("f.id", INTEGER),
                        *((f"f.{name}", INTEGER) for name in integers),
                        ("coalesce(a.cluster_id, -1)", INTEGER),
                        (f"CAST(round(coalesce(a.similarity, 0) * {SIMILARITY_UNITS}) AS INTEGER)", INTEGER),
                        structure,
                    ],
                )
            except ValueError as error:
                raise _corrupt(self.path, f"the places of its faces take {error}") from error

    # Clusterings -------------------------------------------------------------------------------

    def save_clustering(
        self,
        algorithm: str,
        params: Mapping[str, Json],
        seed: int,
        face_ids: I64,
        labels: I64,
        similarities: F32,
        *,
        everything: bool,
    ) -> int:
        """Replace the assignment of all faces to clusters, or of these; inside a transaction."""
        import numpy as np

        cursor = self._db.execute(
            "INSERT INTO clusterings (algorithm, params, seed, created) VALUES (?, ?, ?, ?)",
            (algorithm, json.dumps(dict(params)), seed, _now()),
        )
        if everything:
            self._db.execute("DELETE FROM assignments")
        else:
            self._db.executemany(
                "DELETE FROM assignments WHERE face_id = ?", [(int(face),) for face in face_ids]
            )
        used = np.unique(labels[labels >= 0])
        self._db.executemany("INSERT OR IGNORE INTO clusters (id) VALUES (?)", [(int(c),) for c in used])
        kept = np.flatnonzero(labels >= 0)
        try:
            self._db.executemany(
                "INSERT INTO assignments (face_id, cluster_id, similarity) VALUES (?, ?, ?)",
                zip(face_ids[kept].tolist(), labels[kept].tolist(), similarities[kept].tolist(), strict=True),
            )
        except sqlite3.IntegrityError as error:
            raise UsageError(
                "A clustering names a face twice, or one that is not in the index.",
                "Read the faces again and cluster those.",
            ) from error
        # A cluster that a person was named for stays, to be found again by a later clustering.
        self._db.execute(
            "DELETE FROM clusters WHERE person_id IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM assignments WHERE cluster_id = clusters.id)"
        )
        if len(used):
            self._set("next_cluster_id", max(int(self._get("next_cluster_id")), int(used[-1]) + 1))
        return _rowid(cursor)

    def active_clustering(self) -> Clustering | None:
        """The newest clustering."""
        with _translated(self.path):
            found = self._db.execute(
                "SELECT id, algorithm, params, seed, created FROM clusterings ORDER BY id DESC LIMIT 1"
            ).fetchone()
            if found is None:
                return None
            id, algorithm, params, seed, created = found
            following = int(self._get("next_cluster_id"))
        return Clustering(id, algorithm, json.loads(params), seed, datetime.fromisoformat(created), following)

    # Trees that were seen with nothing to do ------------------------------------------------------

    def remember(self, tree: str, found: Unchanged, graph: list[int] | None) -> None:
        """Note what is known of a tree of files, as `Store.remember`; inside a transaction."""
        generation = self._get("generation", 0)
        seen = self._get("seen", {}) if self._get("seen_at", -1) == generation else {}
        seen.pop(tree, None)
        seen[tree] = {
            "photos": found.photos,
            "ignored": found.ignored,
            "unreadable": dict(found.unreadable),
            "graph": graph,
        }
        self._set("seen", dict(list(seen.items())[-_SEEN_TREES:]))
        self._set("seen_at", generation)

    def recall(self, tree: str, graph: list[int] | None) -> Unchanged | None:
        """What was noted of a tree; None if nothing, or if photos or the search graph have changed since."""
        with _translated(self.path):
            if self._get("seen_at", -1) != self._get("generation", 0):
                return None
            found = self._get("seen", {}).get(tree)
        if found is None or found.pop("graph") != graph:
            return None
        return Unchanged(**found)

    # Counts and journal ------------------------------------------------------------------------

    def count_photos(self) -> tuple[dict[Status, int], dict[str, int]]:
        """Photos by status, and the unreadable ones by reason."""
        with _translated(self.path):
            by_status = dict(self._db.execute("SELECT status, count(*) FROM images GROUP BY status"))
            by_reason = dict(
                self._db.execute(
                    "SELECT coalesce(reason, ''), count(*) FROM images WHERE status = ?"
                    " GROUP BY 1 ORDER BY 1",
                    (Status.UNREADABLE.value,),
                )
            )
        return {status: by_status.get(status.value, 0) for status in Status}, by_reason

    def count_faces(self) -> tuple[int, int, int]:
        """Live faces, faces in a cluster, clusters that have a face."""
        with _translated(self.path):
            found = self._db.execute(
                "SELECT (SELECT count(*) FROM faces), count(*), count(DISTINCT cluster_id) FROM assignments"
            ).fetchone()
        return int(found[0]), int(found[1]), int(found[2])

    def write_journal(self, kind: str, detail: Mapping[str, Json]) -> None:
        """Append to the journal; inside a transaction."""
        self._db.execute(
            "INSERT INTO journal (at, kind, detail) VALUES (?, ?, ?)",
            (_now(), kind, json.dumps(dict(detail))),
        )

    def journal(self, limit: int) -> list[Run]:
        """The newest entries, newest first."""
        with _translated(self.path):
            found = self._db.execute(
                "SELECT kind, at, detail FROM journal ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        return [Run(kind, datetime.fromisoformat(at), json.loads(detail)) for kind, at, detail in found]


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    with _translated(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode if '=' in mode else 'mode=' + mode}",
            uri=True,
            isolation_level=None,  # transactions are begun and ended by us
            check_same_thread=False,
        )
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}").fetchall()
    return connection


def _connect_for_reading(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # In a folder that cannot be written there is no place for the files of the write-ahead log.
        # If the log is empty nothing can be missed: no one can be writing there.
        connection.close()
        log = path.with_name(path.name + "-wal")
        if not log.exists() or log.stat().st_size == 0:
            return _connect(path, "mode=ro&immutable=1")
        raise StoreError(
            f"The index in {path.parent} was not closed properly, and its folder cannot be written.",
            "Make the folder writable and run `faceindex status` once, or copy it to where it is.",
        ) from None
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _corrupt(path, str(error)) from error
    return connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise UsageError(
            f"A change contradicts the catalog: {error}.",
            "Name roots, photos and faces that are in the index.",
        ) from error
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # a mistake of the caller's, not of the file's
    except sqlite3.OperationalError as error:
        if "malformed" in str(error) or "no such" in str(error):
            raise _corrupt(path, str(error)) from error
        raise StoreError(
            f"{path} cannot be used: {error}.",
            "What was committed is safe; check space and permissions and run the same command again.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise _corrupt(path, str(error)) from error


def _corrupt(path: Path, what: str) -> IndexCorrupt:
    return IndexCorrupt(
        f"{path} is not a catalog of faceindex: {what}.",
        f"Restore it from a backup, or delete {path.parent} and index again.",
    )


def _rowid(cursor: sqlite3.Cursor) -> int:
    return int(cursor.lastrowid or 0)


def _text(text: str | None) -> str | None:
    """Text that SQLite can hold: messages may quote file names, which may be undecodable."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _chunks(values: list[_Value]) -> Iterator[list[_Value]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
