"""Errors of the catalog: the cause is named, not what fails because of it."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceindex.errors import FaceIndexError, IndexLocked, StoreError
from faceindex.store import NewPhoto, Store
from faceindex.store import sqlite as connections
from faceindex.types import F32

if sys.platform != "win32":
    import fcntl


class _Broken:
    """A connection whose statements fail as on a full disk: SQLite then rolls back by itself."""

    def __init__(self, connection: Any, error: str) -> None:
        self._connection = connection
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *parameters: object) -> Any:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            self._connection.execute("ROLLBACK")
            raise sqlite3.OperationalError(self._error)
        return self._connection.execute(statement, *parameters)


def test_a_transaction_that_sqlite_ended_names_the_cause(
    store: Store, root_id: int, make_photo: Callable[..., NewPhoto], unit_vectors: Callable[..., F32]
) -> None:
    store._catalog._db = _Broken(store._catalog._db, "database or disk is full")  # type: ignore[assignment]
    with pytest.raises(StoreError, match="database or disk is full") as caught:
        store.commit([make_photo(root_id, "a.jpg", unit_vectors(1, 1))])
    assert "rollback" not in str(caught.value)


def test_a_snapshot_whose_end_fails_names_the_cause(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.snapshot():
        store._catalog._db.execute("ROLLBACK")  # as SQLite does after an error of the disk
        raise ZeroDivisionError


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_not_another_writer(
    error: int, store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()

    def refuse(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match="has no file locks") as caught:
        Store.open(directory, write=True)
    assert not isinstance(caught.value, IndexLocked)
    with Store.open(directory) as reader:
        assert reader.writer() is None


@pytest.mark.skipif(sys.platform == "win32", reason="fcntl")
def test_sqlite_on_a_disk_without_locks(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite reports ENOLCK as "database is locked"."""

    def locked(**_: object) -> FaceIndexError:
        with pytest.raises(StoreError) as caught, connections.translated_errors(directory / "catalog.sqlite"):
            raise sqlite3.OperationalError("database is locked")
        return caught.value

    assert "locked by another program" in locked().problem

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    assert "has no file locks" in locked().problem
