"""Attacks on an index, for `benchmarks/hostile_index.py`: each is a function that changes an index directory.

To add one, write a function of the directory and a source of random numbers, and decorate it with `attack`.
They are in `hostile_catalog`, `hostile_hnsw`, `hostile_planted` and, for every column, `hostile_columns`.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ATTACKS", "Attack", "attack", "edit_meta", "run_sql"]


@dataclass(frozen=True)
class Attack:
    """A change of an index.

    Attributes
    ----------
    name : str
    apply : callable
        Changes the index in a directory, with a source of random numbers.
    wrong : bool
        Whether the result cannot be right, so that it must be noticed.
    """

    name: str
    apply: Callable[[Path, random.Random], None]
    wrong: bool = True


ATTACKS: dict[str, Attack] = {}


def attack(*, wrong: bool = True) -> Callable[[Callable[[Path, random.Random], None]], Any]:
    """Add a function to the attacks, under its name."""

    def add(function: Callable[[Path, random.Random], None]) -> Callable[[Path, random.Random], None]:
        name = function.__name__.replace("_", " ")
        ATTACKS[name] = Attack(name, function, wrong)
        return function

    return add


def run_sql(index: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(index / "catalog.sqlite")) as database, database:
        for statement in statements:
            database.execute(statement, values)


def edit_meta(index: Path, key: str, change: Callable[[Any], Any]) -> None:
    with closing(sqlite3.connect(index / "catalog.sqlite")) as database, database:
        found = database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        value = change(json.loads(found[0]) if found else None)
        database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))
