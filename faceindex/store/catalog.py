"""``catalog.sqlite``: the record of everything in the index. This module opens it and commits to it.

Each table has a module of functions on a `Catalog`: `photo_records`, `faces`, `clusterings`, `scans` and
`journal`. Readers never wait for the writer: the catalog has a write-ahead log. A commit survives a power
cut: ``synchronous`` is FULL.

numpy takes longer to import than everything else that `index` needs if no photo has changed. So `store`,
`vectors` and this module import it where they handle arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceindex.errors import IndexVersionError, StoreError
from faceindex.files import replace_durably
from faceindex.store import migrations
from faceindex.store.checked_json import (
    Check,
    Malformed,
    fields,
    integer,
    mapping,
    natural,
    parse,
    positive,
    scalar,
    text,
)
from faceindex.store.directory import VECTORS, is_vectors_name
from faceindex.store.records import HnswParams, Pins
from faceindex.store.sqlite import (
    chunks,
    connect,
    connect_for_reading,
    corrupt,
    placeholders,
    translated_errors,
)

if TYPE_CHECKING:
    from faceindex.documents import Json
    from faceindex.store.sqlite import Connection, Cursor

__all__ = ["Catalog"]

_PINS = fields(
    detector=text, embedder=text, dimension=positive, settings=mapping(scalar), weights=mapping(text)
)
_TRANSFER = fields(pins=_PINS, rows=natural)
_NO_TRANSFER: dict[str, object] = {}
_HNSW = fields(m=positive, ef_construction=positive, ef=positive, seed=integer)


def _vectors_name(value: object, name: str) -> str:
    if not is_vectors_name(text(value, name)):  # it names a file that is written and deleted
        raise Malformed(f"{name} is not the name of a vector file")
    return str(value)


class Catalog:
    """A connection to the catalog of an index. Call `create` or `open`, not the constructor.

    Attributes
    ----------
    path : Path
    """

    def __init__(self, path: Path, connection: Connection) -> None:
        self.path = path
        self._db = connection

    # Opening -----------------------------------------------------------------------------------

    @staticmethod
    def create(path: Path, pins: Pins, hnsw: HnswParams) -> None:
        """Write a new catalog. The file gets its name once it is complete."""
        temporary = path.with_name(path.name + ".new")
        for leftover in (temporary, *(temporary.with_name(temporary.name + s) for s in ("-wal", "-shm"))):
            leftover.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        catalog = Catalog(temporary, connect(temporary))
        try:
            catalog._prepare_writing()
            migrations.migrate(catalog._db, 0)
            with catalog.transaction():
                catalog.set("pins", asdict(pins))
                catalog.set("hnsw", asdict(hnsw))
                catalog.set("rows", 0)
                catalog.set("next_cluster_id", 0)
        finally:
            catalog.close()
        replace_durably(temporary, path)

    @classmethod
    def open(cls, path: Path, *, write: bool) -> Catalog:
        """Connect to a catalog. A writer migrates it if it has an older format.

        Raises
        ------
        IndexVersionError
            If a newer faceindex wrote it.
        IndexCorrupt
            If the file is not a catalog.
        StoreError
            If it has a format before `migrations.OLDEST_READABLE`, and is opened for reading only.
        """
        catalog = cls(path, connect(path) if write else connect_for_reading(path))
        try:
            with translated_errors(path):
                version = catalog.format_version
                catalog._refuse_newer(version)
                if version == 0:
                    raise corrupt(path, "it has no format version")
                if write:
                    catalog._prepare_writing()
                    migrations.migrate(catalog._db, version)
                elif version < migrations.OLDEST_READABLE:
                    raise StoreError(
                        f"The index in {path.parent} has the older format {version}.",
                        "Run `faceindex index` on its photos once: this updates the format.",
                    )
        except BaseException:
            catalog.close()
            raise
        return catalog

    def close(self) -> None:
        """Close the connection. The last one to close moves the write-ahead log into the catalog."""
        self._db.close()

    def _prepare_writing(self) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "foreign_keys = ON"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()

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
                if not uncounted:
                    generation = self.get("generation", natural, 0)
                    self.set("generation", generation + 1)
                    if keep_scans and self.get("seen_at", integer, -1) == generation:
                        self.set("seen_at", generation + 1)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
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
                self._db.execute("ROLLBACK")

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> Cursor:
        """Run a statement; inside a transaction, or `sqlite.translated_errors`."""
        return self._db.execute(statement, parameters)

    def executemany(self, statement: str, parameters: Iterable[Sequence[object]]) -> None:
        """Run a statement for each set of parameters; inside a transaction."""
        self._db.executemany(statement, parameters)

    def query(self, statement: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Run a query and return all rows."""
        with translated_errors(self.path):
            return self._db.execute(statement, parameters).fetchall()

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
    def rows(self) -> int:
        """Number of committed rows of the vector file."""
        return int(self.get("rows", natural))

    @property
    def vectors_name(self) -> str:
        """Name of the vector file. It changes with the models, and so does the meaning of all rows."""
        return str(self.get("vectors", _vectors_name, VECTORS))

    def pins(self) -> Pins:
        """Return the models that the index is pinned to."""
        return Pins(**self.get("pins", _PINS))

    def transfer(self) -> tuple[Pins, int] | None:
        """Return the models to which faces are being transferred, and the rows of their unfinished file."""
        found = self.get("transfer", _TRANSFER, _NO_TRANSFER)
        return None if found is _NO_TRANSFER else (Pins(**found["pins"]), int(found["rows"]))

    def hnsw(self) -> HnswParams:
        """Return the parameters of the HNSW index."""
        return HnswParams(**self.get("hnsw", _HNSW))
