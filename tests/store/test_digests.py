"""Damage of the vector file is found on reading, and files of other indexes are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from old_formats import downgrade

from faceindex.errors import IndexCorrupt
from faceindex.store import NewPhoto, Pins, Store
from faceindex.store.digests import BLOCK_ROWS, Digester
from faceindex.store.vectors import HEADER_BYTES
from faceindex.types import F32

MakePhoto: TypeAlias = Callable[..., NewPhoto]
MakeVectors: TypeAlias = Callable[..., F32]

ROW = 16 * 4
ROWS = 600  # in three blocks
DAMAGED = r"vectors\.f32 is damaged.*rows {} to {}.*doctor --repair"


@pytest.fixture
def vectors(
    directory: Path, store: Store, root_id: int, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> F32:
    """The vectors of an index that is closed; committed in parts that do not end with blocks."""
    found = unit_vectors(ROWS, 0)
    for number, part in enumerate(np.array_split(found, 7)):
        store.commit([make_photo(root_id, f"{number}.jpg", part)])
    store.close()
    return found


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


@pytest.mark.parametrize("start", [0, 3, BLOCK_ROWS - 1, BLOCK_ROWS])
def test_digests_do_not_depend_on_the_division_into_commits(unit_vectors: MakeVectors, start: int) -> None:
    vectors = unit_vectors(ROWS, 1)
    whole, first = Digester(), Digester()
    whole.add(vectors)
    first.add(vectors[:start])
    rest = Digester(start, first.found.get(start // BLOCK_ROWS, 0))
    rest.add(vectors[start:])
    assert {**first.found, **rest.found} == whole.found
    assert len(whole.found) == 3


@pytest.mark.parametrize("row", [0, 300, ROWS - 1])
@pytest.mark.parametrize("damage", ["bit", "zeros", "NaN", "other"])
def test_damaged_rows_are_never_read(directory: Path, vectors: F32, row: int, damage: str) -> None:
    path = directory / "vectors.f32"
    offset = HEADER_BYTES + row * ROW
    changed = bytes([vectors[row].tobytes()[0] ^ 1])  # the lowest bit of a number
    overwrite(path, offset, {
        "bit": changed, "zeros": bytes(ROW), "NaN": b"\xff" * 4, "other": vectors[row - 1].tobytes(),
    }[damage])  # fmt: skip
    start = row // BLOCK_ROWS * BLOCK_ROWS
    message = DAMAGED.format(start, min(start + BLOCK_ROWS, ROWS) - 1)
    with Store.open(directory) as store:
        for read in (
            lambda: store.search(vectors[:2], 3),
            lambda: store.vectors(),
            lambda: store.vectors(np.array([row])),
            lambda: store.vectors(np.array([row, ROWS - 1 - row, row])),
        ):
            with pytest.raises(IndexCorrupt, match=message):
                read()
        other = (row + BLOCK_ROWS) % ROWS
        np.testing.assert_array_equal(store.vectors(np.array([other])), vectors[[other]])
    with Store.open(directory, write=True) as store, pytest.raises(IndexCorrupt, match=message):
        store.update_hnsw(always=True)


def test_a_commit_does_not_cover_up_damage(
    directory: Path, vectors: F32, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    overwrite(directory / "vectors.f32", HEADER_BYTES + (ROWS - 1) * ROW, b"\1")
    with Store.open(directory, write=True) as store:
        store.commit([make_photo(1, "new.jpg", unit_vectors(3, 5))])
        with pytest.raises(IndexCorrupt, match="rows 512 to 602"):
            store.vectors(np.array([ROWS + 1]))
        with pytest.raises(IndexCorrupt, match="rows 512 to 602"):
            store.compact(erase=True)
    assert (directory / "vectors.f32").exists()


def test_a_reader_checks_rows_that_were_added_to_a_block(
    directory: Path, vectors: F32, make_photo: MakePhoto, unit_vectors: MakeVectors
) -> None:
    with Store.open(directory) as reader:
        reader.vectors()
        with Store.open(directory, write=True) as store:
            store.commit([make_photo(1, "new.jpg", unit_vectors(3, 5))])
        np.testing.assert_array_equal(reader.vectors()[ROWS:], unit_vectors(3, 5))
        overwrite(directory / "vectors.f32", HEADER_BYTES + (ROWS + 1) * ROW, b"\1")
        with Store.open(directory) as other, pytest.raises(IndexCorrupt, match="rows 512 to 602"):
            other.vectors()


@pytest.mark.parametrize("name", ["vectors.f32", "ann.hnsw"])
def test_the_file_of_another_index_is_refused(
    directory: Path, tmp_path: Path, pins: Pins, vectors: F32, make_photo: MakePhoto, name: str
) -> None:
    """Even if it has the same vectors."""
    with Store.open(directory, write=True) as store:
        store.update_hnsw(always=True)
    with Store.create(tmp_path / "other", pins) as other:
        root = other.add_root("/photos", "photos").id
        other.commit([make_photo(root, "a.jpg", vectors)])
        other.update_hnsw(always=True)
        assert other.search(vectors[:9], 1, exact=False)[0].ravel().tolist() == list(range(1, 10))
    shutil.copy(tmp_path / "other" / name, directory / name)
    if name == "vectors.f32":
        for write in (False, True):
            with pytest.raises(IndexCorrupt, match=r"vectors\.f32 belongs to another index.*backup"):
                Store.open(directory, write=write)
    else:
        with Store.open(directory) as reader:
            assert reader.search(vectors[:9], 1, exact=False)[0].ravel().tolist() == list(range(1, 10))
            assert reader._rows.search().hnsw is None


def test_a_damaged_header_is_refused(directory: Path, vectors: F32) -> None:
    for offset in (0, 10, 25, HEADER_BYTES - 1):
        copy = (directory / "vectors.f32").read_bytes()
        overwrite(directory / "vectors.f32", offset, bytes([copy[offset] ^ 4]))
        with pytest.raises(IndexCorrupt, match=r"vectors\.f32 (is damaged|belongs to another)"):
            Store.open(directory)
        (directory / "vectors.f32").write_bytes(copy)
    Store.open(directory).close()


def test_an_older_index_gets_its_id_and_digests_from_the_first_writer(directory: Path, vectors: F32) -> None:
    downgrade(directory, 6)
    assert (directory / "vectors.f32").stat().st_size == ROWS * ROW
    with Store.open(directory) as reader:
        np.testing.assert_array_equal(reader.vectors(), vectors)
        with Store.open(directory, write=True) as store:
            np.testing.assert_array_equal(reader.vectors(), vectors)
            assert len(str(store._catalog.index_id)) == 32
    overwrite(directory / "vectors.f32", 300 * ROW, b"\1")
    with Store.open(directory) as reader, pytest.raises(IndexCorrupt, match="rows 256 to 511"):
        reader.vectors()
    overwrite(directory / "vectors.f32", 300 * ROW, vectors[300].tobytes())
    with Store.open(directory, write=True) as store:
        store.compact(erase=True)  # the new file has a header
        np.testing.assert_array_equal(store.vectors(), vectors)
    assert os.path.getsize(directory / "vectors-2.f32") == HEADER_BYTES + ROWS * ROW  # noqa: PTH202


def test_vectors_of_an_older_index_are_at_least_of_unit_length(directory: Path, vectors: F32) -> None:
    downgrade(directory, 6)
    overwrite(directory / "vectors.f32", 300 * ROW, bytes(ROW))
    with Store.open(directory) as reader, pytest.raises(IndexCorrupt, match="rows 256 to 511"):
        reader.search(vectors[:1], 1)
    with pytest.raises(IndexCorrupt, match="rows 256 to 511"):
        Store.open(directory, write=True)
