"""Wrong values in every column of every table, as attacks for `benchmarks/hostile_index.py`."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from hostile_attacks import Attack

__all__ = ["column_attacks"]

_NUMBERS: tuple[object, ...] = ("text", b"\xff\xfe", 1.5, -(2**62), "1,2")
_TEXTS: tuple[object, ...] = (b"\xff\xfe", b"\xed\xa0\x80")
_BLOBS: tuple[object, ...] = (5, "text", 1.5)
_JSON: tuple[object, ...] = ("{", "5", "null", '"x"', "[1, [2", b"{}")
_FLOATS = tuple(struct.pack("<f", value) for value in (float("nan"), float("inf"), 1e30, -1e20))

# Columns where these are allowed, or where the values are not read.
_SIGNED = {"mtime_ns", "taken", "seed", "cluster_id", "size_and_time"}
_SKIPPED = {("meta", "key"), ("meta", "value")}


def column_attacks(index: Path) -> Iterator[Attack]:
    """Yield wrong kinds of values for each column of each table with rows."""
    with closing(sqlite3.connect(index / "catalog.sqlite")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            if (
                table.startswith("sqlite")
                or not database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            ):
                continue
            for _, column, kind, _, _, key in database.execute(f"PRAGMA table_info({table})").fetchall():
                if (table, column) in _SKIPPED:
                    continue
                yield from _of_column(table, column, kind, bool(key))


def _of_column(table: str, column: str, kind: str, key: bool) -> Iterator[Attack]:
    values = {"INTEGER": _NUMBERS, "TEXT": _TEXTS, "BLOB": _BLOBS, "REAL": ("text", 9e999, -7.0, b"x")}[kind]
    if column in ("params", "detail", "actions", "changes") and table != "images":
        values = (*values, *_JSON)
    if column == "geometry":
        values = (
            *values,
            b"",
            b"\0" * 75,
            *(one * 19 for one in _FLOATS),
            *(one + bytes(72) for one in _FLOATS),
        )
    if column == "box":
        values = (*values, b"", *(one * 4 for one in _FLOATS))
    if (kind == "INTEGER" and column.endswith(("_id", "_by", "row", "id"))) or column in ("a", "b"):
        values = (*values, 2**62, 777)
    if column in ("at", "created"):
        values = (*values, "yesterday", "", "9" * 50)
    for value in values:
        if value == -(2**62) and column in _SIGNED:
            continue

        def apply(
            index: Path, rng: random.Random, value: object = value, table: str = table, column: str = column
        ) -> None:
            with closing(sqlite3.connect(index / "catalog.sqlite")) as database, database:
                text = isinstance(value, bytes) and _is_text_column(database, table, column)
                new = "CAST(? AS TEXT)" if text else "?"
                # One row, or all of them where that is possible.
                everywhere = rng.random() < 0.3
                rows = [row for (row,) in database.execute(f"SELECT {_key(database, table)} FROM {table}")]
                chosen = rows if everywhere else [rng.choice(rows)]
                with contextlib.suppress(sqlite3.IntegrityError):
                    for row in chosen:
                        database.execute(
                            f"UPDATE {table} SET {column} = {new} WHERE {_key(database, table)} = ?",
                            (value, row),
                        )

        yield Attack(f"{table}.{column} = {value!r:.40}", apply, wrong=not key and table != "sqlite_sequence")


def _is_text_column(database: sqlite3.Connection, table: str, column: str) -> bool:
    return any(
        c == column and kind == "TEXT" for _, c, kind, *_ in database.execute(f"PRAGMA table_info({table})")
    )


def _key(database: sqlite3.Connection, table: str) -> str:
    keys = [c for _, c, _, _, _, key in database.execute(f"PRAGMA table_info({table})") if key]
    return keys[0] if keys else "rowid"
