"""Links, pipes and hard links in place of the files of an index: nothing outside it is read or changed."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from faceindex.errors import FaceIndexError, IndexCorrupt, IndexNotFound, StoreError
from faceindex.store import NewPhoto, Pins, Store
from faceindex.types import F32

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of Unix")

SECRET = b"somebody's file" * 1000
FILES = (
    *("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "catalog.sqlite-journal"),
    *("lock", "vectors.f32", "ann.hnsw", "ann.hnsw.new"),
)
KINDS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, victim: path.symlink_to(victim),
    "hard link": lambda path, victim: path.hardlink_to(victim),
    "pipe": lambda path, victim: os.mkfifo(path),
}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_bytes(SECRET)
    return path


@pytest.fixture
def filled(
    directory: Path,
    store: Store,
    root_id: int,
    make_photo: Callable[..., NewPhoto],
    unit_vectors: Callable[..., F32],
) -> Path:
    """An index with a photo and an HNSW index, closed."""
    store.commit([make_photo(root_id, "a.jpg", unit_vectors(5, 1))])
    store.update_hnsw(always=True)
    store.close()
    return directory


def read(directory: Path) -> None:
    with Store.open(directory) as store:
        store.search(store.vectors(), 1, exact=False)
        store.writer()


def use(directory: Path, photo: NewPhoto) -> None:
    """Read and write everything that an index has."""
    with Store.open(directory, write=True) as store:
        store.commit([photo])
        store.update_hnsw(always=True)
    read(directory)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_a_planted_file_is_never_followed(
    name: str,
    kind: str,
    filled: Path,
    victim: Path,
    make_photo: Callable[..., NewPhoto],
    unit_vectors: Callable[..., F32],
) -> None:
    (filled / name).unlink(missing_ok=True)
    KINDS[kind](filled / name, victim)
    photo = make_photo(1, "b.jpg", unit_vectors(2, 3))
    if name.startswith("ann.hnsw"):  # derived: replaced, not followed
        use(filled, photo)
        assert (filled / "ann.hnsw").is_file() and not (filled / "ann.hnsw").is_symlink()
    elif (name, kind) == ("catalog.sqlite", "pipe"):
        with pytest.raises((IndexNotFound, IndexCorrupt)):  # without a catalog, the vectors are orphans
            use(filled, photo)
    else:
        with pytest.raises(StoreError, match=f"{re.escape(name)} is (not opened: it |damaged: its header)"):
            use(filled, photo)
        if kind != "hard link" or "-" in name:
            with pytest.raises(StoreError, match=r"is not opened|being written"):
                read(filled)
    assert victim.read_bytes() == SECRET


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["lock", "vectors.f32", "catalog.sqlite.new", "ann.hnsw"])
def test_a_new_index_follows_nothing(name: str, kind: str, directory: Path, victim: Path, pins: Pins) -> None:
    directory.mkdir()
    KINDS[kind](directory / name, victim)
    try:
        Store.create(directory, pins).close()
    except FaceIndexError as error:
        assert name in error.problem
    assert victim.read_bytes() == SECRET


def test_the_folder_itself_may_be_a_link(
    filled: Path, tmp_path: Path, make_photo: Callable[..., NewPhoto], unit_vectors: Callable[..., F32]
) -> None:
    (tmp_path / "link").symlink_to(filled, target_is_directory=True)
    use(tmp_path / "link", make_photo(1, "b.jpg", unit_vectors(2, 3)))


def test_a_copy_with_hard_links_is_read_but_not_written(filled: Path, tmp_path: Path) -> None:
    shutil.copytree(filled, tmp_path / "backup", copy_function=os.link)
    with Store.open(filled) as store:
        assert store.count_faces() == 5
    with pytest.raises(StoreError, match="hard link"):
        Store.open(filled, write=True)


@pytest.mark.parametrize("path", ["../victim", "a/../../victim", "{victim}", "..", "a\0b", ""])
def test_a_photo_outside_its_root_is_damage(path: str, filled: Path, victim: Path) -> None:
    relpath = os.fsencode(path.format(victim=victim))
    with sqlite3.connect(filled / "catalog.sqlite") as catalog:
        catalog.execute("UPDATE images SET relpath = ?", (relpath,))
    catalog.close()
    with (
        Store.open(filled) as store,
        pytest.raises(IndexCorrupt, match=r"leads out of its folder|is not a path"),
    ):
        store.photos()


@pytest.mark.parametrize("path", ["..jpg", "a..b/c.jpg", ".", "a/..b"])
def test_names_with_dots_are_names(path: str, filled: Path) -> None:
    with sqlite3.connect(filled / "catalog.sqlite") as catalog:
        catalog.execute("UPDATE images SET relpath = ?", (os.fsencode(path),))
    catalog.close()
    with Store.open(filled) as store:
        assert list(store.photos()) == [(1, path)]


def test_a_root_without_a_place_is_damage(filled: Path) -> None:
    with sqlite3.connect(filled / "catalog.sqlite") as catalog:
        catalog.execute("UPDATE roots SET path = ?", (b"photos",))
    catalog.close()
    with Store.open(filled) as store, pytest.raises(IndexCorrupt, match="not absolute"):
        store.roots()
