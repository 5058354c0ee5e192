"""Attacks on the catalog and the vectors of an index, for `benchmarks/hostile_index.py`."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from hostile_attacks import attack, edit_meta, run_sql


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
    value: Any = rng.choice([2**62, 2**63, 10**30, -1, 1.5, "7", None, [], 10**12])
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
    value: Any = rng.choice(["x", None, [], {}, True, 1e308, -1])
    with closing(sqlite3.connect(index / "catalog.sqlite")) as database:
        (params,) = database.execute("SELECT params FROM clusterings ORDER BY id DESC").fetchone()
    document = dict.fromkeys(json.loads(params), value)
    run_sql(index, "UPDATE clusterings SET params = ?", values=(json.dumps(document),))


@attack(wrong=False)
def details_of_other_types(index: Path, rng: random.Random) -> None:
    document: Any = {
        key: rng.choice([[], {}, None, -1, "x"]) for key in ("photos", "faces", "new", "clusters")
    }
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
