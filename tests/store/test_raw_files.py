"""Reading files of a database keeps the locks of this process's connections to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faceindex.store import NewPhoto, Pins, Store
from faceindex.store.raw_files import reading

_OTHER = """
import sys
from faceindex.store import NewPhoto, Store
with Store.open(sys.argv[1], write=True) as store:
    (root,) = store.roots()
    store.commit([NewPhoto(root.id, sys.argv[2], 1, 1)])
"""


def names(store: Store) -> list[str]:
    return sorted(name for _, name in store.photos())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with Store.create(tmp_path / "index", Pins("mtcnn", "dlib", 4, {})) as store:
        store.add_root("/photos", "photos")
    return tmp_path / "index"


def commit_elsewhere(directory: Path, name: str) -> None:
    subprocess.run([sys.executable, "-c", _OTHER, str(directory), name], check=True)


def test_a_reader_keeps_its_log_while_the_process_opens_the_index_again_and_another_one_closes_it(
    directory: Path,
) -> None:
    with Store.open(directory) as reader:
        assert names(reader) == []
        with Store.open(directory):  # reads all pages, and closes the file
            pass
        log = directory / "catalog.sqlite-wal"
        before = log.stat().st_ino
        commit_elsewhere(directory, "a.jpg")
        assert log.stat().st_ino == before  # the other process knew that it was not the last one
        assert names(reader) == ["a.jpg"]
        with Store.open(directory, write=True) as writer:
            (root,) = writer.roots()
            writer.commit([NewPhoto(root.id, "b.jpg", 1, 1)])
            assert names(reader) == ["a.jpg", "b.jpg"]
        commit_elsewhere(directory, "c.jpg")
        assert names(reader) == ["a.jpg", "b.jpg", "c.jpg"]
    with Store.open(directory) as again:
        assert names(again) == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are not kept there")
def test_descriptors_are_kept_for_as_long_as_there_is_a_connection(directory: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH208, PTH112

    with Store.open(directory):
        pass
    before = descriptors()
    for _ in range(5):
        with Store.open(directory), Store.open(directory, write=True) as writer, Store.open(directory):
            (root,) = writer.roots()
            writer.commit([NewPhoto(root.id, "a.jpg", 1, 1)])
    assert descriptors() == before


def test_parts_of_a_file_are_read_at_any_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)) * 1000)
    with reading(path) as one, reading(path) as other:
        assert one.read(3) == bytes([0, 1, 2])
        one.seek(50, os.SEEK_CUR)
        assert one.read(1) == bytes([53])
        assert other.read() == path.read_bytes()
        one.seek(-1, os.SEEK_END)
        assert one.read() == bytes([99])
    with pytest.raises(FileNotFoundError), reading(tmp_path / "none"):
        pass
