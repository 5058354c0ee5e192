"""``catalog.sqlite``: the record of everything in the index. This module opens it and commits to it.

Each table has a module of functions on a `Catalog`: `photo_records`, `faces`, `clusterings`, `scans` and
`journal`. Readers never wait for the writer: the catalog has a write-ahead log. A commit survives a power
cut: ``synchronous`` is FULL.

numpy takes longer to import than everything else that `index` needs if no photo has changed. So
`face_store`, `vectors` and this module import it where they handle arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceindex.errors import IndexCorrupt, IndexVersionError, StoreError
from faceindex.files import replace_durably
from faceindex.store import meta, migrations
from faceindex.store.cells import check_cells
from faceindex.store.checked_json import Check, Malformed, integer, natural, parse
from faceindex.store.directory import VECTORS, check_catalog_files
from faceindex.store.pages import PageDigests, check_pages
from faceindex.store.records import HnswParams, Pins
from faceindex.store.sqlite import (
    MORE_PAGES,
    check_schema,
    chunks,
    connect,
    connect_for_reading,
    corrupt,
    keeping_log,
    placeholders,
    suppress_errors,
    translated_errors,
)
from faceindex.store.vectors import HEADER_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from faceindex.documents import Json
    from faceindex.store.columns import Column
    from faceindex.store.sqlite import Connection, Cursor

__all__ = ["Catalog"]


class Catalog:
    """A connection to the catalog of an index. Call `create` or `open`, not the constructor.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, path: Path, connection: Connection) -> None:
        self.path = path
        self._db = connection
        self._file = _identity(path)
        self._digests: PageDigests | None = None

    # Opening -----------------------------------------------------------------------------------

    @staticmethod
    def create(path: Path, pins: Pins, hnsw: HnswParams, index_id: str) -> None:
        """Write a new catalog. The file gets its name once it is complete.

        Raises
        ------
        StoreError
            If the disk is full or fails. Nothing is left then.
        """
        temporary = path.with_name(path.name + ".new")
        leftovers = [
            temporary,
            *(temporary.with_name(temporary.name + s) for s in ("-wal", "-shm", "-journal")),
        ]
        try:
            for leftover in leftovers:
                leftover.unlink(missing_ok=True)
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            catalog = Catalog(temporary, connect(temporary))
            try:
                # Not with a write-ahead log: closing moves it into the file, and hides that it could not.
                catalog._prepare_writing("DELETE")
                with translated_errors(temporary):
                    migrations.migrate(catalog._db, 0)
                with catalog.transaction():
                    catalog.set("pins", asdict(pins))
                    catalog.set("hnsw", asdict(hnsw))
                    catalog.set("index_id", index_id)
                    catalog.set("header", HEADER_BYTES)
                    catalog.set("rows", 0)
                    catalog.set("next_cluster_id", 0)
                if catalog.query("PRAGMA integrity_check") != [("ok",)] or catalog.pins() != pins:
                    raise corrupt(temporary, "the disk did not store what was written")
            finally:
                catalog.close()
            replace_durably(temporary, path)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be written: {error.strerror}.",
                "Make room or check the disk, and run the same command again.",
            ) from error
        finally:
            for leftover in leftovers:
                with suppress(OSError):
                    leftover.unlink(missing_ok=True)

    @classmethod
    def open(cls, path: Path, *, write: bool) -> Catalog:
        """Connect to a catalog. A writer migrates it if it has an older format.

        Raises
        ------
        IndexVersionError
            If a newer faceindex wrote it.
        IndexCorrupt
            If the file is not a catalog, or its pages or its log are damaged (`faceindex.store.pages`).
        StoreError
            If it has a format before `migrations.OLDEST_READABLE`, and is opened for reading only.
        """
        check_catalog_files(path, write=write)
        commit = check_pages(path)
        if write and commit:
            # Before a connection that would move a damaged log into the file, and delete it.
            with closing(cls(path, connect_for_reading(path))) as reader:
                reader._check_commit(commit)
        catalog = cls(path, connect(path) if write else connect_for_reading(path))
        try:
            with translated_errors(path):
                version = catalog.format_version
                catalog._refuse_newer(version)
                if version == 0:
                    raise corrupt(path, "it has no format version")
                if commit:
                    catalog._check_commit(commit)
                check_schema(catalog._db, path)
                if write:
                    catalog._prepare_writing()
                    migrations.migrate(catalog._db, version)
                    with suppress(IndexCorrupt):  # of values that their readers report
                        digests = PageDigests(path, str(catalog.index_id))
                        digests.open(catalog.generation)
                        catalog._digests = digests
                elif version < migrations.OLDEST_READABLE:
                    raise StoreError(
                        f"The index in {path.parent} has the older format {version}.",
                        "Run `faceindex index` on its photos once: this updates the format.",
                    )
        except BaseException:
            with keeping_log(path):  # its digests may not be there yet
                catalog.close()
            raise
        return catalog

    def close(self) -> None:
        """Close the connection. The last one to close moves the write-ahead log into the catalog."""
        digests, self._digests = self._digests, None
        try:
            if digests is not None:
                with digests:
                    digests.record()
                    digests.sync()
        finally:
            self._db.close()

    def checkpoint(self) -> None:
        """Move the write-ahead log into the catalog, as far as no reader needs it; outside a transaction.

        Call it after statements outside `transaction` that change the file, such as VACUUM.
        """
        if self._digests is not None:
            self._digests.record()
            self._digests.sync()
        self.query("PRAGMA wal_checkpoint(PASSIVE)")

    def _check_commit(self, commit: int) -> None:
        if commit > self.generation:
            raise IndexCorrupt(
                f"{self.path} or its log {self.path.name}-wal is damaged or an old copy: it has only "
                f"{self.generation:,} of {commit:,} commits.",
                "Restore the index from a backup, or run `faceindex doctor --repair` to go on without them.",
            )

    def _prepare_writing(self, journal: str = "WAL") -> None:
        for pragma in (
            f"journal_mode = {journal}",
            "synchronous = FULL",
            "fullfsync = ON",
            "foreign_keys = ON",
            "wal_autocheckpoint = 0",  # only `checkpoint` moves the log into the file: see `pages`
        ):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute(MORE_PAGES)

    def _refuse_newer(self, version: int) -> None:
        newest = migrations.format_version()
        if version > newest:
            raise IndexVersionError(
                f"The index in {self.path.parent} has format {version}; "
                f"this faceindex reads formats up to {newest}.",
                "Upgrade faceindex: `pip install --upgrade faceindex`.",
            )

    # Statements --------------------------------------------------------------------------------

    @contextmanager
    def transaction(self, *, keep_scans: bool = False, uncounted: bool = False) -> Iterator[None]:
        """Commit everything inside the ``with``, or nothing if it raises; increment `generation`.

        Parameters
        ----------
        keep_scans : bool
            The transaction changes neither photos nor roots nor vectors, so that saved scans stay valid.
        uncounted : bool
            It changes nothing that anything depends on, and leaves `generation` as it is.
        """
        with translated_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                generation = self.get("generation", natural, 0)
                if not uncounted:
                    self.set("generation", generation + 1)
                    if not keep_scans:
                        self.set("photos_at", generation + 1)
                    elif self.get("seen_at", integer, -1) == generation:
                        self.set("seen_at", generation + 1)
                self._db.execute("COMMIT")
                generation += not uncounted
                if self._digests is not None and self._digests.record(generation):
                    self.checkpoint()
            except BaseException:
                self._roll_back()
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the catalog inside the ``with``, even if a writer commits meanwhile."""
        with translated_errors(self.path):
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._roll_back()

    @property
    def sees_commits(self) -> bool:
        """Whether the next read sees all commits that were made before it.

        Not inside `snapshot` and `transaction`, nor in a folder that could not be written when the catalog
        was opened.
        """
        return not self._db.in_transaction and self.query("PRAGMA journal_mode") == [("wal",)]

    @property
    def replaced(self) -> bool:
        """Whether the file at `path` is another one now, or none: this connection still has the old one."""
        return _identity(self.path) != self._file

    def _roll_back(self) -> None:
        """End a transaction. A failure is not raised: it would hide the error that ended the transaction.

        SQLite itself rolls back after some errors, such as a full disk, and then has nothing to roll back. A
        transaction that cannot be rolled back now is when the next process opens the catalog.
        """
        with suppress_errors():
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> Cursor:
        """Run a statement; inside a transaction, or `sqlite.translated_errors`."""
        return self._db.execute(statement, parameters)

    def executemany(self, statement: str, parameters: Iterable[Sequence[object]]) -> None:
        """Run a statement for each set of parameters; inside a transaction."""
        self._db.executemany(statement, parameters)

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Run a query and return all rows, after checking the types of their values.

        Raises
        ------
        IndexCorrupt
            If a value is of another type than its column.
        """
        with translated_errors(self.path):
            cursor = self._db.execute(statement, parameters)
            found = cursor.fetchall()
        if found:
            with self.checked():
                check_cells([column[0] for column in cursor.description], found)
        return found

    def query_in(self, statement: str, values: Iterable[object]) -> list[Any]:
        """Run a query about any number of values, in steps, and return the rows of all steps.

        Parameters
        ----------
        statement : str
            With ``IN ({})`` for the values.
        values : iterable
        """
        return [
            row
            for chunk in chunks(list(values))
            for row in self.query(statement.format(placeholders(chunk)), chunk)
        ]

    def columns(self, source: str, columns: Sequence[Column]) -> list[NDArray[Any]]:
        """Read whole columns of a table as arrays; see `faceindex.store.columns.read_columns`.

        Raises
        ------
        IndexCorrupt
            If a value is missing or not of the type of its column.
        """
        from faceindex.store.columns import read_columns

        with translated_errors(self.path), self.checked():
            return read_columns(self.execute, source, columns)

    # Values ------------------------------------------------------------------------------------

    def get(self, key: str, check: Check, default: Any = None) -> Any:
        """Return a value of the table ``meta``.

        Parameters
        ----------
        key : str
        check : Check
            The form of the value.
        default : optional
            Returned if there is no such key. None means that the key is required.

        Raises
        ------
        IndexCorrupt
            If the key is required and missing, or its value is not of that form.
        IndexVersionError
            The same, if a newer faceindex has migrated the catalog since it was opened.
        """
        found = self.query("SELECT value FROM meta WHERE key = ?", (key,))
        if not found and default is not None:
            return default
        with self.checked():
            if not found:
                raise Malformed(f"its '{key}' is missing")
            return parse(found[0][0], f"its '{key}'", check)

    def set(self, key: str, value: Json) -> None:
        """Store a value in the table ``meta``; inside a transaction."""
        self._db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, json.dumps(value)))

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Raise `Malformed` as `IndexCorrupt`, or as `IndexVersionError` if the format is now a newer one."""
        try:
            yield
        except Malformed as error:
            self._refuse_newer(self.format_version)
            raise corrupt(self.path, str(error)) from error

    def delete(self, key: str) -> None:
        """Delete a value of the table ``meta``; inside a transaction."""
        self._db.execute("DELETE FROM meta WHERE key = ?", (key,))

    @property
    def format_version(self) -> int:
        """Number of the last migration that ran; 0 for an empty file."""
        return int(self.query("PRAGMA user_version")[0][0])

    @property
    def generation(self) -> int:
        """Number of commits."""
        return int(self.get("generation", natural, 0))

    @property
    def photos_at(self) -> int:
        """The commit that last changed photos, roots or vectors; 0 if an older version wrote the catalog."""
        return int(self.get("photos_at", natural, 0))

    @property
    def rows(self) -> int:
        """Number of committed rows of the vector file."""
        return int(self.get("rows", natural))

    @property
    def vectors_name(self) -> str:
        """Name of the vector file. It changes with the models, and so does the meaning of all rows."""
        return str(self.get("vectors", meta.vectors_name, VECTORS))

    @property
    def index_id(self) -> str | None:
        """Id of the index, 32 hexadecimal digits; None in formats before 7."""
        if self.format_version < migrations.WITH_DIGESTS:
            return None
        return str(self.get("index_id", meta.index_id))

    def pins(self) -> Pins:
        """Return the models that the index is pinned to."""
        return Pins(**self.get("pins", meta.PINS))

    def transfer(self) -> tuple[Pins, int] | None:
        """Return the models to which faces are being transferred, and the rows of their unfinished file."""
        found = self.get("transfer", meta.TRANSFER, meta.NO_TRANSFER)
        return None if found is meta.NO_TRANSFER else (Pins(**found["pins"]), int(found["rows"]))

    def search(self) -> str | None:
        """Return the address of the neighbour index that was chosen; None for the built-in search."""
        return str(self.get("search", meta.address, meta.BUILT_IN)) or None

    def searched(self, vectors: str) -> tuple[int, int] | None:
        """Return how far that index is in a vector file: rows and faces; see `faceindex.store.outside`."""
        found = self.get("searched", meta.SEARCHED, meta.NOT_SEARCHED)
        return (int(found["rows"]), int(found["faces"])) if found["vectors"] == vectors else None

    def set_searched(self, vectors: str, rows: int, faces: int) -> None:
        """Store what `searched` returns; inside a transaction."""
        self.set("searched", {"vectors": vectors, "rows": rows, "faces": faces})

    @property
    def search_erasing(self) -> bool:
        """Whether deleted vectors must be erased from that index."""
        return bool(self.get("search_erasing", natural, 0))

    def hnsw(self) -> HnswParams:
        """Return the parameters of the HNSW index."""
        return HnswParams(**self.get("hnsw", meta.HNSW))


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what differs between a file and another one that took its name."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
