"""`read_columns` returns the values that a loop over the rows returns."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from faceindex.store import columns
from faceindex.store.columns import INTEGER, read_columns

PLACE = np.dtype([("corner", "<f4", 2), ("score", "<f4")])


@pytest.fixture
def table() -> sqlite3.Connection:
    """50 rows with gaps between their keys, in random order."""
    rng = np.random.default_rng(3)
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, amount INTEGER, place BLOB)")
    rows = [
        (int(key), int(rng.integers(-(2**40), 2**40)), rng.standard_normal(3).astype("<f4").tobytes())
        for key in rng.permutation(200)[:50]
    ]
    database.executemany("INSERT INTO things VALUES (?, ?, ?)", rows)
    return database


@pytest.mark.parametrize("chunk", [1, 7, 25, 50, 1 << 16])
def test_rows_come_in_ascending_order_of_the_key(
    table: sqlite3.Connection, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "CHUNK", chunk)
    keys, amounts, places = read_columns(
        table.execute, "things", [("id", INTEGER), ("coalesce(amount, 0)", INTEGER), ("place", PLACE)]
    )
    rows = table.execute("SELECT id, amount, place FROM things ORDER BY id").fetchall()
    assert keys.tolist() == [row[0] for row in rows]
    assert amounts.tolist() == [row[1] for row in rows]
    assert places.tobytes() == b"".join(row[2] for row in rows)
    assert (keys.dtype, amounts.dtype, places.dtype) == (INTEGER, INTEGER, PLACE)


def test_an_empty_table_gives_empty_columns_of_the_right_types(table: sqlite3.Connection) -> None:
    table.execute("DELETE FROM things")
    found = read_columns(table.execute, "things", [("id", INTEGER), ("amount", INTEGER), ("place", PLACE)])
    assert [(len(column), column.dtype) for column in found] == [(0, INTEGER), (0, INTEGER), (0, PLACE)]


def test_integers_of_every_size(table: sqlite3.Connection) -> None:
    numbers = [0, 1, -1, 2**53, -(2**53), 2**63 - 1, -(2**63)]
    table.execute("DELETE FROM things")
    table.executemany("INSERT INTO things VALUES (?, ?, NULL)", enumerate(numbers, 2**53))
    keys, amounts = read_columns(table.execute, "things", [("id", INTEGER), ("amount", INTEGER)])
    assert keys.tolist() == list(range(2**53, 2**53 + len(numbers)))
    assert amounts.tolist() == numbers


def test_a_blob_of_the_wrong_size_is_an_error(table: sqlite3.Connection) -> None:
    table.execute("UPDATE things SET place = x'0000' WHERE id = (SELECT max(id) FROM things)")
    with pytest.raises(ValueError, match="bytes instead of 600"):
        read_columns(table.execute, "things", [("id", INTEGER), ("place", PLACE)])
