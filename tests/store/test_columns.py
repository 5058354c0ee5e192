"""Columns read in few steps are the values that a loop over the rows gives."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from faceindex.store import columns
from faceindex.store.columns import INTEGER, REAL, read_columns

PLACE = np.dtype([("corner", "<f4", 2), ("score", "<f4")])


@pytest.fixture
def table() -> sqlite3.Connection:
    """50 rows with gaps between their keys, in an order of their own."""
    rng = np.random.default_rng(3)
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, amount REAL, place BLOB)")
    rows = [
        (int(key), float(np.float32(rng.standard_normal())), rng.standard_normal(3).astype("<f4").tobytes())
        for key in rng.permutation(200)[:50]
    ]
    database.executemany("INSERT INTO things VALUES (?, ?, ?)", rows)
    return database


@pytest.mark.parametrize("chunk", [1, 7, 25, 50, 1 << 16])
def test_all_rows_by_ascending_key(
    table: sqlite3.Connection, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "_CHUNK", chunk)
    keys, amounts, places = read_columns(
        table.execute, "things", [("id", INTEGER), ("coalesce(amount, 0.0)", REAL), ("place", PLACE)]
    )
    rows = table.execute("SELECT id, amount, place FROM things ORDER BY id").fetchall()
    assert keys.tolist() == [row[0] for row in rows]
    # Similarities are float32: what is stored as a double comes back to the last bit of them.
    np.testing.assert_array_equal(amounts.astype(np.float32), np.array([row[1] for row in rows], np.float32))
    assert places.tobytes() == b"".join(row[2] for row in rows)
    assert (keys.dtype, amounts.dtype, places.dtype) == (INTEGER, REAL, PLACE)


def test_no_row_is_empty_columns_of_the_right_types(table: sqlite3.Connection) -> None:
    table.execute("DELETE FROM things")
    found = read_columns(table.execute, "things", [("id", INTEGER), ("amount", REAL), ("place", PLACE)])
    assert [(len(column), column.dtype) for column in found] == [(0, INTEGER), (0, REAL), (0, PLACE)]


def test_numbers_of_every_size_come_back(table: sqlite3.Connection) -> None:
    numbers = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1e-30,
        3.4e38,
        float(np.float32(1 / 3)),
        float(np.nextafter(np.float32(1), 2)),
    ]
    table.execute("DELETE FROM things")
    table.executemany("INSERT INTO things VALUES (?, ?, NULL)", enumerate(numbers, 2**53))
    keys, amounts = read_columns(table.execute, "things", [("id", INTEGER), ("amount", REAL)])
    assert keys.tolist() == list(range(2**53, 2**53 + len(numbers)))
    np.testing.assert_array_equal(amounts.astype(np.float32), np.array(numbers, np.float32))


def test_a_blob_of_another_size_is_refused(table: sqlite3.Connection) -> None:
    table.execute("UPDATE things SET place = x'0000' WHERE id = (SELECT max(id) FROM things)")
    with pytest.raises(ValueError, match="bytes instead of 600"):
        read_columns(table.execute, "things", [("id", INTEGER), ("place", PLACE)])
