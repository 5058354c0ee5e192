from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from faceindex.store.catalog import Catalog
from faceindex.store.creation import create_files
from faceindex.store.directory import CATALOG
from faceindex.store.pages import check_pages
from faceindex.store.records import HnswParams, Pins
from faceindex.store.shared_files import _uses
from faceindex.store.traces import _count

WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("INSERT INTO roots (path, given) VALUES (x'61', x'61')")
db.close()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    create_files(tmp_path, Pins("fake", "fake", 4), HnswParams())
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="there, closing a file drops only its own locks")
def test_reading_the_files_of_a_database_drops_no_lock_of_its_connections(directory: Path) -> None:
    path = directory / CATALOG
    Catalog.open(path, write=True).close()  # it has a write-ahead log from now on
    with closing(Catalog.open(path, write=False)) as reader:
        for write in (True, False):
            Catalog.open(path, write=write).close()  # each reads all pages, and the index of the log
        check_pages(path)
        assert _count(path, b"CREATE TABLE roots") == 1
        log = path.with_name(CATALOG + "-wal")
        inode = log.stat().st_ino
        subprocess.run([sys.executable, "-c", WRITER, str(path)], check=True)
        # Another process takes itself for the last one, and deletes the log, if the locks are gone.
        assert log.stat().st_ino == inode
        assert reader.query("SELECT count(*) FROM roots") == [(1,)]
    assert os.path.realpath(path) not in _uses  # nothing is left open
