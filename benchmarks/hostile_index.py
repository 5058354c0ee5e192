"""Run commands on hundreds of damaged and crafted indexes: each must end with a clear error or a right answer.

An index may come from a broken disk or from a stranger. Each case copies a small index, changes it by one of
the attacks below, and runs commands on it in a child process. Counted are:

- unexpected errors: tracebacks, and errors that no code raises on purpose;
- crashes of the process, such as segmentation faults;
- hangs: a command that takes more than 20 seconds;
- too much memory: an index of 12 faces must not need 4 GiB;
- invalid output: NaN or infinity in JSON, or no JSON document where one was asked for;
- unnoticed damage: no command refuses a value that cannot be right, nor does `find_damage` list it.

The attacks are every wrong kind of value in every column of every table, JSON documents with wrong values,
functions below (`@attack`), and random bytes in each file. New ones: write a function and decorate it.

    python benchmarks/hostile_index.py [--cases 800] [--seed 0] [--only NAME] [--quick]
"""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import json
import os
import random
import resource
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import argument_parser, write_result

TESTS = Path(__file__).resolve().parents[1] / "tests"
SECONDS = 20  # for a command; the slowest takes one
MEMORY = 4 << 30
_PER_CASE = 10  # commands, chosen at random and in the order below: first those that only read

COMMANDS = (
    "status --json",
    "faces --json",
    "clusters --json",
    "clusters diff --json",
    "people --json",
    "people show Anna --json",
    "people log --json",
    "people suggest --json",
    "find Anna --json",
    "find Anna & !Ben --since 1990",
    "identify PHOTO --json",
    "eval --json",
    "eval --people --json",
    "export boxes OUT/boxes.csv",
    "export crops OUT/crops",
    "export clusters OUT/clusters",
    "export embeddings OUT/vectors.npy",
    "gallery OUT/gallery",
    "migrate --embedder other --dry-run --json",
    "people export OUT/journal.jsonl",
    "people undo --dry-run",
    "people name c2 Carl",
    "people reject f1",
    "people undo",
    "cluster --json",
    "index ALBUM --json",
    "migrate --embedder other --json",
)
QUICK_COMMANDS = (
    "status --json",
    "faces --json",
    "people --json",
    "find Anna --json",
    "export boxes OUT/boxes.csv",
    "people undo",
    "index ALBUM --json",
)


# Attacks --------------------------------------------------------------------------------------------


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


@attack()
def endless_view_of_faces(index: Path, rng: random.Random) -> None:
    run_sql(
        index,
        "ALTER TABLE faces RENAME TO real_faces",
        "CREATE VIEW faces AS WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)"
        " SELECT n.id, image_id, vector_row, geometry FROM n JOIN real_faces LIMIT 100000000000",
    )


@attack()
def endless_view_of_people(index: Path, rng: random.Random) -> None:
    run_sql(
        index,
        "ALTER TABLE people RENAME TO real_people",
        "CREATE VIEW people AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT i AS id, uid, name, name_key, born, died, hidden, note, into_id, written"
        " FROM n JOIN real_people",
    )


@attack()
def trigger_on_meta(index: Path, rng: random.Random) -> None:
    run_sql(index, "CREATE TRIGGER t AFTER UPDATE ON meta BEGIN DELETE FROM faces; END")


@attack()
def trigger_on_faces(index: Path, rng: random.Random) -> None:
    run_sql(
        index,
        "CREATE TRIGGER t AFTER DELETE ON images BEGIN"
        " INSERT INTO journal (at, kind, detail) SELECT hex(zeroblob(100000000)), 'a', 'b'; END",
    )


@attack()
def virtual_table(index: Path, rng: random.Random) -> None:
    run_sql(index, "DROP TABLE links", "CREATE VIRTUAL TABLE links USING fts4 (a, b, same, written)")


@attack()
def generated_column(index: Path, rng: random.Random) -> None:
    run_sql(
        index,
        "DROP TABLE journal",
        "CREATE TABLE journal (id INTEGER PRIMARY KEY, at TEXT, kind TEXT,"
        " detail TEXT GENERATED ALWAYS AS (hex(zeroblob(400000000))))",
        "INSERT INTO journal (at, kind) VALUES ('2020-01-01T00:00:00+00:00', 'index')",
    )


@attack()
def missing_table(index: Path, rng: random.Random) -> None:
    with closing(sqlite3.connect(index / "catalog.sqlite")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    run_sql(index, f"DROP TABLE {rng.choice([t for t in tables if not t.startswith('sqlite')])}")


@attack()
def missing_column(index: Path, rng: random.Random) -> None:
    table, column = rng.choice(
        [("images", "taken"), ("people", "note"), ("marks", "box"), ("journal", "kind"), ("decisions", "at")]
    )
    run_sql(index, f"ALTER TABLE {table} DROP COLUMN {column}")


@attack()
def tiny_min_face(index: Path, rng: random.Random) -> None:
    edit_meta(index, "pins", lambda p: {**p, "settings": {**p["settings"], "min_face": 1e-9}})


@attack()
def min_face_that_is_no_number(index: Path, rng: random.Random) -> None:
    value = rng.choice([float("nan"), float("inf"), -40, "40", None, 1e300, True])
    edit_meta(index, "pins", lambda p: {**p, "settings": {**p["settings"], "min_face": value}})


@attack()
def huge_upsample(index: Path, rng: random.Random) -> None:
    value = rng.choice([10**9, -3, "2", None, 1.5, float("nan")])
    edit_meta(index, "pins", lambda p: {**p, "settings": {**p["settings"], "upsample": value}})


@attack()
def absurd_dimension(index: Path, rng: random.Random) -> None:
    edit_meta(index, "pins", lambda p: {**p, "dimension": rng.choice([10**6, 2**31, 2**62, 10**30, 1, 17])})


@attack()
def unknown_models(index: Path, rng: random.Random) -> None:
    edit_meta(index, "pins", lambda p: {**p, rng.choice(["detector", "embedder"]): "../../etc/passwd\0"})


@attack()
def hnsw_parameters(index: Path, rng: random.Random) -> None:
    name = rng.choice(["m", "ef", "ef_construction"])
    edit_meta(index, "hnsw", lambda p: {**p, name: rng.choice([10**9, 2**63, 10**30, -1, 0])})


@attack(wrong=False)
def hnsw_seed(index: Path, rng: random.Random) -> None:
    edit_meta(index, "hnsw", lambda p: {**p, "seed": rng.choice([2**63, 2**64, -1, 10**30])})


@attack()
def counters(index: Path, rng: random.Random) -> None:
    key = rng.choice(["rows", "next_cluster_id", "generation"])
    value = rng.choice([2**62, 2**63, 10**30, -1, 1.5, "7", None, [], 10**12])
    if (key, value) == ("generation", 10**12) or (key, value) == ("generation", 2**62):
        value = -1
    edit_meta(index, key, lambda _: value)


@attack()
def fewer_rows(index: Path, rng: random.Random) -> None:
    edit_meta(index, "rows", lambda rows: rng.randrange(rows))


@attack()
def vectors_of_another_name(index: Path, rng: random.Random) -> None:
    name = rng.choice(["../vectors.f32", "/etc/passwd", "catalog.sqlite", "vectors-999.f32", "lock", 5, ""])
    edit_meta(index, "vectors", lambda _: name)


@attack()
def broken_transfer(index: Path, rng: random.Random) -> None:
    value = rng.choice([{}, [], 5, {"pins": {}, "rows": 1}, {"pins": None, "rows": -1}])
    edit_meta(index, "transfer", lambda _: value)


@attack(wrong=False)
def transfer_without_a_file(index: Path, rng: random.Random) -> None:
    with closing(sqlite3.connect(index / "catalog.sqlite")) as database:
        pins = json.loads(database.execute("SELECT value FROM meta WHERE key = 'pins'").fetchone()[0])
    edit_meta(index, "transfer", lambda _: {"pins": {**pins, "embedder": "other"}, "rows": 10**6})


@attack()
def faces_in_a_photo_that_is_missing(index: Path, rng: random.Random) -> None:
    run_sql(index, "DELETE FROM images WHERE id = 3")


@attack()
def photos_of_a_root_that_is_missing(index: Path, rng: random.Random) -> None:
    run_sql(index, "DELETE FROM roots")


@attack()
def assignments_to_a_missing_cluster(index: Path, rng: random.Random) -> None:
    run_sql(index, "DELETE FROM clusters WHERE id = 1")


@attack()
def decisions_on_missing_people(index: Path, rng: random.Random) -> None:
    run_sql(index, f"DELETE FROM people WHERE id = {rng.choice([1, 2])}")


@attack()
def missing_marks(index: Path, rng: random.Random) -> None:
    run_sql(index, "DELETE FROM marks WHERE id % 2 = 0")


@attack()
def people_merged_in_a_circle(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE people SET into_id = CASE id WHEN 1 THEN 2 ELSE 1 END")


@attack()
def person_merged_into_itself(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE people SET into_id = id")


@attack()
def decisions_undone_by_themselves(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE decisions SET undone_by = id")


@attack()
def links_of_a_mark_with_itself(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE links SET b = a")


@attack()
def changes_of_missing_rows(index: Path, rng: random.Random) -> None:
    what = rng.choice(
        [
            ["mark", 999, [0, None, 0], [1, 99, 1]],
            ["person", 99, None, None],
            ["cluster", 10**30, None, 5],
            ["link", 1, 99, None, [5, 0]],
            ["rejection", 2**64, 1, None, 1],
            ["nonsense", 1],
        ]
    )
    run_sql(index, "UPDATE decisions SET changes = ?", values=(json.dumps([what]),))


@attack(wrong=False)
def actions_of_other_kinds(index: Path, rng: random.Random) -> None:
    what = rng.choice(
        [
            {"do": "label"},
            {"do": "label", "person": 5, "name": [], "as": {}, "faces": "all"},
            {"do": "same", "faces": [1, 2]},
            {"do": "left_out"},
            {"do": "left_out", "actions": 5},
            {"do": "undo", "decision": None},
            {"do": ["label"]},
            {},
            {"do": "person", "person": None, "set": 5},
            {"do": "different", "faces": [[10**30], [-1]]},
        ]
    )
    document = json.dumps([what], separators=(",", ":"))
    run_sql(index, "UPDATE decisions SET actions = ?", values=(document,))


@attack()
def two_faces_of_one_row(index: Path, rng: random.Random) -> None:
    run_sql(
        index,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'vector_row INTEGER NOT NULL UNIQUE',"
        " 'vector_row INTEGER NOT NULL') WHERE name = 'faces'",
        "DELETE FROM sqlite_master WHERE name = 'sqlite_autoindex_faces_1'",
    )
    run_sql(index, "UPDATE faces SET vector_row = 0")


@attack()
def long_text(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE meta SET value = hex(zeroblob(140000000)) WHERE key = 'seen'")
    run_sql(index, "INSERT OR REPLACE INTO meta VALUES ('seen', hex(zeroblob(140000000)))")


@attack()
def deep_json(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE clusterings SET params = ?", values=('{"a":' * 50_000 + "1" + "}" * 50_000,))


@attack(wrong=False)
def long_number(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE clusterings SET params = ?", values=('{"last_face": ' + "9" * 4000 + "}",))


@attack(wrong=False)
def parameters_of_other_types(index: Path, rng: random.Random) -> None:
    value = rng.choice(["x", None, [], {}, True, 1e308, -1])
    with closing(sqlite3.connect(index / "catalog.sqlite")) as database:
        (params,) = database.execute("SELECT params FROM clusterings ORDER BY id DESC").fetchone()
    document = dict.fromkeys(json.loads(params), value)
    run_sql(index, "UPDATE clusterings SET params = ?", values=(json.dumps(document),))


@attack(wrong=False)
def details_of_other_types(index: Path, rng: random.Random) -> None:
    document = {key: rng.choice([[], {}, None, -1, "x"]) for key in ("photos", "faces", "new", "clusters")}
    run_sql(index, "UPDATE journal SET detail = ?", values=(json.dumps(document),))


@attack(wrong=False)
def unknown_algorithm(index: Path, rng: random.Random) -> None:
    run_sql(index, "UPDATE clusterings SET algorithm = 'os.system'")


@attack()
def missing_catalog(index: Path, rng: random.Random) -> None:
    (index / "catalog.sqlite").unlink()


@attack()
def empty_catalog(index: Path, rng: random.Random) -> None:
    (index / "catalog.sqlite").write_bytes(b"")


@attack()
def catalog_cut_short(index: Path, rng: random.Random) -> None:
    path = index / "catalog.sqlite"
    os.truncate(path, rng.randrange(path.stat().st_size))


@attack()
def vectors_cut_short(index: Path, rng: random.Random) -> None:
    path = index / "vectors.f32"
    os.truncate(path, rng.randrange(path.stat().st_size - 1))


@attack(wrong=False)
def random_bytes_in_the_catalog(index: Path, rng: random.Random) -> None:
    path = index / "catalog.sqlite"
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 4, 30, 300])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(content)


@attack(wrong=False)
def a_page_of_the_catalog_zeroed(index: Path, rng: random.Random) -> None:
    path = index / "catalog.sqlite"
    content = bytearray(path.read_bytes())
    page = rng.randrange(len(content) // 4096) * 4096
    content[page : page + 4096] = bytes(4096)
    path.write_bytes(content)


@attack(wrong=False)
def two_pages_of_the_catalog_swapped(index: Path, rng: random.Random) -> None:
    path = index / "catalog.sqlite"
    content = bytearray(path.read_bytes())
    a, b = (page * 4096 for page in rng.sample(range(len(content) // 4096), 2))
    content[a : a + 4096], content[b : b + 4096] = content[b : b + 4096], content[a : a + 4096]
    path.write_bytes(content)


# The HNSW index has a valid digest in all of these: the content is a lie.

_PREFIX = struct.Struct("<8sI32s")


def edit_hnsw(
    index: Path, change: Callable[[dict[str, Any], bytearray], None], *, digest: bool = True
) -> None:
    """Change the header and the arrays of the HNSW index, and write the digest that belongs to them."""
    (path,) = index.glob("ann*.hnsw")
    content = path.read_bytes()
    magic, length, old = _PREFIX.unpack_from(content)
    header = json.loads(content[_PREFIX.size : _PREFIX.size + length])
    arrays = bytearray(content[_PREFIX.size + length :])
    change(header, arrays)
    text = json.dumps(header).encode()
    found = hashlib.blake2b(text + arrays, digest_size=32).digest() if digest else old
    path.write_bytes(_PREFIX.pack(magic, len(text), found) + text + arrays)


def array_place(header: dict[str, Any], name: str) -> tuple[int, int, int]:
    """Return the offset, the bytes of an item, and the items of an array."""
    offset = 0
    for found, dtype, count in header["arrays"]:
        size = int(dtype[2:])
        if found == name:
            return offset, size, count
        offset += size * count
    raise KeyError(name)


@attack(wrong=False)
def hnsw_scalars(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        name = rng.choice([*header["scalars"]])
        header["scalars"][name] = rng.choice([0, -1, 1, 13, 2**31, 2**40, 2**63, None, "x", 1.5, True])

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_scalar_one_off(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        names = [name for name, value in header["scalars"].items() if isinstance(value, int)]
        header["scalars"][rng.choice(names)] += rng.choice([-8, -4, -1, 1, 4, 8, 1000])

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_links(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        for _ in range(rng.choice([1, 5, 50])):
            name = rng.choice([n for n, _, count in header["arrays"] if count])
            offset, size, count = array_place(header, name)
            at = offset + rng.randrange(max(1, size * count - 4))
            struct.pack_into("<I", arrays, at, rng.choice([0, 1, 11, 12, 500, 2**31, 2**32 - 1]))

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_random_bytes_with_a_digest(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        for _ in range(rng.choice([1, 10, 100, 1000])):
            arrays[rng.randrange(len(arrays))] = rng.randrange(256)

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_labels(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        name = rng.choice(["label_lookup_external", "label_lookup_internal"])
        offset, size, count = array_place(header, name)
        value = rng.choice([0, 1, 12, 2**20, 2**31])
        struct.pack_into(f"<{'Q' if size == 8 else 'I'}", arrays, offset + size * rng.randrange(count), value)

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_levels(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        offset, size, count = array_place(header, "element_levels")
        struct.pack_into("<i", arrays, offset + size * rng.randrange(count), rng.choice([1, 5, 2**30, -1]))

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_arrays_of_other_lengths(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        array = rng.choice(header["arrays"])
        array[2] = rng.choice([0, 1, array[2] * 2, array[2] // 2, -1, 2**40, "x"])
        if rng.random() < 0.5 and isinstance(array[2], int) and 0 <= array[2] < 10**6:
            arrays.extend(bytes(4096))
            arrays[sum(int(d[2:]) * n for _, d, n in header["arrays"] if isinstance(n, int)) :] = b""

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_header(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        key = rng.choice([*header])
        header[key] = rng.choice([None, 5, "x", [], {}, [["a"]], -1, 2**70])

    edit_hnsw(index, change)


@attack(wrong=False)
def hnsw_without_its_digest(index: Path, rng: random.Random) -> None:
    def change(header: dict[str, Any], arrays: bytearray) -> None:
        arrays[rng.randrange(len(arrays))] ^= 1 << rng.randrange(8)

    edit_hnsw(index, change, digest=False)


@attack(wrong=False)
def hnsw_cut_short(index: Path, rng: random.Random) -> None:
    (path,) = index.glob("ann*.hnsw")
    os.truncate(path, rng.randrange(path.stat().st_size))


# Wrong values in columns ------------------------------------------------------------------------------

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


# Cases ------------------------------------------------------------------------------------------------


def make_index(folder: Path) -> Path:
    """Write an album and its index, with people, decisions, two clusterings and an HNSW index."""
    import fakes

    from faceindex import FaceIndex

    album = fakes.make_album(folder / "album")
    with FaceIndex.create(folder / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
        one, two, three = index.clusters()
        index.people.name("Anna", clusters=[one.cluster])
        index.people.name("Ben", clusters=[two.cluster])
        index.people.reject([three.example.face], "Anna")
        index.people.different([one.example.face], [two.example.face])
        index.people.born("Anna", "1980")
        index.people.note("Ben", "a note")
        index.people.ignore(faces=[three.example.face + 1])
        index.cluster(rebuild=True)
        index._store.update_hnsw(always=True)
    return folder / "index"


def all_attacks(index: Path) -> dict[str, Attack]:
    return {**ATTACKS, **{one.name: one for one in column_attacks(index)}}


def work(folder: Path, commands: list[str]) -> None:
    """Run the cases that come on standard input, one a line; answer with one line each."""
    sys.path.insert(0, str(TESTS))
    import fakes
    import numpy as np
    from typer.testing import CliRunner

    from faceindex.cli.app import app
    from faceindex.store import Store
    from faceindex.store.catalog import Catalog
    from faceindex.store.checks import find_damage

    faulthandler.enable()
    fakes.register_fakes()
    fakes.register_others()
    if not (folder / "index").exists():
        make_index(folder)
        (folder / "ready").touch()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    attacks = all_attacks(folder / "index")
    photo = next((folder / "album").rglob("*.png"))
    output = os.dup(1)

    class Slow(BaseException):
        pass

    def alarm(*_: object) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, alarm)

    def problem_of(command: str, index: Path, out: Path) -> tuple[str | None, bool]:
        """Return what is wrong with the end of a command, and whether it refused the index."""
        words = [
            w.replace("PHOTO", str(photo)).replace("ALBUM", str(folder / "album")).replace("OUT", str(out))
            for w in command.split()
        ]
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            result = CliRunner().invoke(app, [*words, "--index", str(index)])
        except Slow:
            return "hang", False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        text = result.stdout + result.stderr
        if isinstance(result.exception, Slow):
            return "hang", False
        if "Unexpected error" in text or "Traceback" in text:
            return "unexpected: " + next(
                line for line in text.splitlines() if "Unexp" in line or "Trace" in line
            ), False
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            return f"unexpected: {result.exception!r}", False
        if "not enough memory" in text:
            return "memory", False
        if "Warning" in text:
            return "unexpected: " + next(line for line in text.splitlines() if "Warning" in line), False
        if "--json" in words:
            try:
                json.loads(result.stdout, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
            except ValueError as error:
                return f"output: {error} {result.stdout[:80]!r}", False
        return None, result.exit_code == 2

    def search_problem(index: Path) -> str | None:
        """Search by the HNSW index; it must not crash."""
        from faceindex.errors import FaceIndexError

        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            with Store.open(index, write=True) as store:
                queries = np.array(store.vectors()[:4])
                exact, _ = store.search(queries, 3, exact=True)
                near, _ = store.search(queries, 3, exact=False)
                store.update_hnsw(always=True)
                store.search(queries, 3, exact=False)
                if exact.shape != near.shape:
                    return "search of another shape"
        except FaceIndexError:
            return None
        except Slow:
            return "hang"
        except Exception as error:
            return f"unexpected: {type(error).__name__}: {error} in search"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return None

    for line in sys.stdin:
        name, seed = json.loads(line)
        chosen = random.Random(f"{name} {seed}").sample(commands, min(len(commands), _PER_CASE))
        case = Path(tempfile.mkdtemp(dir=folder))
        try:
            index = shutil.copytree(folder / "index", case / "index")
            attacks[name].apply(index, random.Random(seed))
            before = (index / "catalog.sqlite").read_bytes() if (index / "catalog.sqlite").exists() else b""
            same = before == (folder / "index" / "catalog.sqlite").read_bytes()
            listed = True
            with (
                contextlib.suppress(Exception),
                closing(Catalog.open(index / "catalog.sqlite", write=False)) as catalog,
            ):
                listed = bool(find_damage(catalog))
            problems = []
            refused = False
            if "hnsw" in name and (problem := search_problem(index)):
                problems.append(("search", problem))
            for command in sorted(chosen, key=commands.index):
                os.write(output, (json.dumps({"running": command}) + "\n").encode())
                problem, refuses = problem_of(command, index, case / "out")
                refused |= refuses
                if problem is not None:
                    problems.append((command, problem))
            if attacks[name].wrong and not same and not refused and not listed:
                problems.append(("find_damage", "unnoticed"))
            answer = {"problems": problems, "refused": refused, "listed": listed}
            os.write(output, (json.dumps(answer) + "\n").encode())
        finally:
            shutil.rmtree(case, ignore_errors=True)


class Worker:
    """A child process that runs cases, and is started again after a crash."""

    def __init__(self, folder: Path, commands: list[str]) -> None:
        self._folder, self._commands = folder, commands
        self._child: subprocess.Popen[bytes] | None = None
        self._errors = (folder / "errors.txt").open("wb")

    def run(self, name: str, seed: int) -> dict[str, Any]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(
                [sys.executable, __file__, "--work", str(self._folder), json.dumps(self._commands)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=self._folder,
                env={**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            )
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write((json.dumps([name, seed]) + "\n").encode())
        child.stdin.flush()
        running = "start"
        buffer = b""
        while True:
            ready, _, _ = select.select([child.stdout], [], [], 3 * SECONDS + 60)
            chunk = os.read(child.stdout.fileno(), 1 << 16) if ready else b""
            if not chunk:
                child.kill()
                code = child.wait()
                last = (self._folder / "errors.txt").read_text(errors="replace").splitlines()[-1:]
                what = "hang" if not ready else f"crash ({code}) {last}"
                return {"problems": [(running, what)], "refused": False, "listed": False}
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                answer: dict[str, Any] = json.loads(line)
                if "running" not in answer:
                    return answer
                running = answer["running"]

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()


def main() -> int:
    parser = argument_parser(__doc__, quick="30 cases and 7 commands")
    parser.add_argument("--cases", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="only attacks with this in their name")
    parser.add_argument("--work", nargs=2, help="run cases from standard input (for child processes)")
    options = parser.parse_args()
    if options.work:
        work(Path(options.work[0]), json.loads(options.work[1]))
        return 0
    sys.path.insert(0, str(TESTS))
    import fakes

    folder = Path(tempfile.mkdtemp())
    rng = random.Random(options.seed)
    try:
        fakes.register_fakes()
        index = make_index(folder)
        names = [name for name in all_attacks(index) if options.only is None or options.only in name]
        count = 30 if options.quick else options.cases
        # Every attack once; then those with random numbers again.
        rng.shuffle(names)
        if options.quick:
            names.sort(key=lambda name: name not in ATTACKS)
        varied = [name for name in names if name in ATTACKS]
        cases = [(name, 0) for name in names[:count]]
        cases += [
            (rng.choice(varied), seed) for seed in range(1, 1 + max(0, count - len(cases)) * bool(varied))
        ]
        worker = Worker(folder, list(QUICK_COMMANDS if options.quick else COMMANDS))
        totals: Counter[str] = Counter()
        failures = []
        started = time.monotonic()
        for name, seed in cases:
            answer = worker.run(name, seed)
            totals["refused"] += answer["refused"]
            totals["listed by find_damage"] += answer["listed"]
            for command, problem in answer["problems"]:
                totals[problem.partition(":")[0].partition(" (")[0]] += 1
                print(f"{name} [{seed}]  {command}: {problem}", flush=True)
            if answer["problems"]:
                failures.append({"attack": name, "seed": seed, "problems": answer["problems"]})
        worker.close()
        commands = len(QUICK_COMMANDS if options.quick else COMMANDS)
        print(
            f"{len(cases)} cases of {len({name for name, _ in cases})} attacks, {commands} commands each,"
            f" {time.monotonic() - started:.0f} s: {totals['unexpected']} unexpected errors,"
            f" {totals['crash']} crashes, {totals['hang']} hangs, {totals['memory']} out of memory,"
            f" {totals['output']} invalid outputs, {totals['unnoticed']} unnoticed"
        )
        payload = {
            "seed": options.seed,
            "cases": len(cases),
            "attacks": len({name for name, _ in cases}),
            "commands": commands,
            "totals": dict(totals),
            "failures": failures,
        }
        if options.only is None:
            write_result("hostile_index", payload, quick=options.quick)
        return 1 if failures else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
