"""Creating, opening, permissions, format versions, damaged directories."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from faceindex.errors import (
    IndexCorrupt,
    IndexNotFound,
    IndexVersionError,
    StoreError,
    UsageError,
)
from faceindex.store import HnswParams, NewPhoto, Pins, Store, migrations
from faceindex.types import F32

MakePhoto: TypeAlias = Callable[..., NewPhoto]
MakeVectors: TypeAlias = Callable[..., F32]

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")


def test_pins_are_stored(directory: Path, pins: Pins) -> None:
    with Store.create(directory, pins, hnsw=HnswParams(m=8)) as store:
        assert store.pins == pins
        assert store.writable
    with Store.open(directory) as store:
        assert store.pins == pins
        assert not store.writable
        assert store.format_version == migrations.format_version()


@posix
def test_only_the_owner_can_read_the_index(directory: Path, pins: Pins) -> None:
    directory.mkdir(mode=0o755)
    old = os.umask(0)
    try:
        with Store.create(directory, pins) as store:
            store.add_root("/a", "a")
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in directory.iterdir()}
    finally:
        os.umask(old)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {"catalog.sqlite", "catalog.sqlite-wal", "vectors.f32", "lock"} <= modes.keys()
    assert set(modes.values()) == {0o600}


@posix
def test_opening_does_not_change_the_mode_of_the_directory(directory: Path, pins: Pins) -> None:
    Store.create(directory, pins).close()
    directory.chmod(0o750)
    Store.open(directory, write=True).close()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750


def test_a_missing_index_is_an_error(directory: Path) -> None:
    for write in (False, True):
        with pytest.raises(IndexNotFound, match="faceindex index"):
            Store.open(directory, write=write)
    assert not directory.exists()


def test_creating_an_index_twice_is_an_error(store: Store, directory: Path, pins: Pins) -> None:
    store.close()
    with pytest.raises(UsageError, match="already is an index"):
        Store.create(directory, pins)
    Store.open(directory, write=True).close()  # the failed creation has released its lock


def test_a_folder_with_foreign_files_is_refused(directory: Path, pins: Pins) -> None:
    directory.mkdir(mode=0o755)
    (directory / "holiday.jpg").touch()
    with pytest.raises(UsageError, match=r"holiday\.jpg"):
        Store.create(directory, pins)
    assert [p.name for p in directory.iterdir()] == ["holiday.jpg"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755 or sys.platform == "win32"


def test_an_incomplete_index_does_not_count_and_is_overwritten(directory: Path, pins: Pins) -> None:
    directory.mkdir()
    (directory / "lock").write_text("")
    (directory / "vectors.f32").write_bytes(b"")
    (directory / "catalog.sqlite.new").write_bytes(b"SQLite format 3")
    (directory / "catalog.sqlite.new-wal").write_bytes(b"left over")
    with pytest.raises(IndexNotFound):
        Store.open(directory)
    with Store.create(directory, pins) as store:
        assert store.counts().rows == 0
    assert not list(directory.glob("*.new*"))


def test_a_missing_catalog_is_not_made_anew(store: Store, directory: Path, pins: Pins) -> None:
    store.close()
    (directory / "catalog.sqlite").unlink()
    vectors = directory / "vectors.f32"
    vectors.write_bytes(bytes(640))
    attempts: tuple[Callable[[], Store], ...] = (
        lambda: Store.open(directory),
        lambda: Store.open(directory, write=True),
        lambda: Store.create(directory, pins),
    )
    for attempt in attempts:
        with pytest.raises(IndexCorrupt, match=r"catalog\.sqlite is missing, and vectors\.f32 beside it"):
            attempt()
    assert Store.exists(directory)
    assert vectors.read_bytes() == bytes(640)


def test_a_newer_format_is_refused(store: Store, directory: Path) -> None:
    store.close()
    newer = migrations.format_version() + 1
    with sqlite3.connect(directory / "catalog.sqlite") as db:
        db.execute(f"PRAGMA user_version = {newer}")
    db.close()
    for write in (False, True):
        with pytest.raises(IndexVersionError, match=f"format {newer}"):
            Store.open(directory, write=write)


def test_a_reader_reads_an_older_format_and_only_a_writer_migrates_it(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    step = ("a new table", ("CREATE TABLE later (id INTEGER PRIMARY KEY)",))
    older = migrations.format_version()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, step))
    with Store.open(directory) as read:
        assert read.format_version == older
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "OLDEST_READABLE", older + 1)
        with pytest.raises(StoreError, match="older format"):
            Store.open(directory)
    with Store.open(directory, write=True) as migrated:
        assert migrated.format_version == migrations.format_version()
    Store.open(directory).close()


def test_a_failed_migration_changes_nothing(
    store: Store, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    version = migrations.format_version()
    step = ("broken", ("CREATE TABLE later (id INTEGER PRIMARY KEY)", "CREATE TABLE images (id)"))
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, step))
        with pytest.raises(StoreError):
            Store.open(directory, write=True)
    with Store.open(directory, write=True) as unchanged:
        assert unchanged.format_version == version
        assert unchanged.roots() == []


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to have a header " * 100])
def test_a_file_that_is_not_a_catalog_is_an_error(store: Store, directory: Path, content: bytes) -> None:
    store.close()
    (directory / "catalog.sqlite").write_bytes(content)
    for write in (False, True):
        with pytest.raises(IndexCorrupt, match=r"catalog\.sqlite"):
            Store.open(directory, write=write)


_READ_AND_TRY_TO_WRITE = """
import os, pathlib, sys
from faceindex.errors import StoreError
from faceindex.store import Store
from faceindex.store.doctor import check_index

def read():
    assert not check_index(pathlib.Path(sys.argv[1])).problems
    with Store.open(sys.argv[1]) as store:
        return len(store.faces()), store.search(store.vectors()[:1], 1)[0]

if os.geteuid() == 0:  # root ignores permissions
    read()  # numpy imports some parts late, when this user can no longer read them
    os.setuid(65534)
print(*read())
try:
    Store.open(sys.argv[1], write=True)
except StoreError as error:
    print(error.problem)
"""


@posix
def test_an_index_in_a_read_only_folder_can_be_read(
    store: Store, root_id: int, directory: Path, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(2, 0))])
    store.close()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = Path(shutil.copytree(directory, Path(folder) / "index"))
        for path in (*copy.iterdir(), copy):
            path.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", _READ_AND_TRY_TO_WRITE, str(copy)],
            capture_output=True,
            text=True,
            check=False,
        )
        copy.chmod(0o755)
    lines = done.stdout.splitlines()
    assert lines[:1] == ["2 [[1]]"], done.stderr
    assert "cannot be written" in lines[1]


def test_a_dimension_below_one_is_refused(directory: Path) -> None:
    with pytest.raises(UsageError, match="dimension"):
        Store.create(directory, Pins("mtcnn", "dlib", 0))
    assert not directory.exists()


class _FullDisk(sqlite3.Connection):
    """Ends the transaction itself if it cannot be committed, as SQLite does on some errors."""

    def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        if statement != "COMMIT":
            return super().execute(statement, *parameters)
        super().execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")


def test_a_full_disk_during_a_migration_is_named() -> None:
    with (
        closing(sqlite3.connect("file::memory:", uri=True, isolation_level=None, factory=_FullDisk)) as disk,
        pytest.raises(sqlite3.OperationalError, match="full"),
    ):
        migrations.migrate(disk, 0)
