"""Malformed values in the catalog: an error that names the value and a remedy, for readers and writers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceindex.errors import FaceIndexError, IndexCorrupt, IndexVersionError
from faceindex.store import NewPhoto, Pins, ScanCounts, Store, migrations
from faceindex.store.checked_json import (
    Malformed,
    fields,
    integer,
    list_of,
    mapping,
    moment,
    natural,
    optional,
    parse,
    positive,
    scalar,
    text,
)

COUNTS = ScanCounts(5, 1, {"corrupt": 2})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An index with a photo, a saved scan, a clustering and two journal entries."""
    directory = tmp_path / "index"
    with Store.create(directory, Pins("mtcnn", "dlib", 16, {"min_face": 40}, {"pnet.pt": "ab"})) as store:
        root = store.add_root("/photos", "photos")
        store.commit([NewPhoto(root.id, "a.jpg", 10, 1)])
        nothing = np.empty(0, np.int64)
        store.save_clustering("kmeans", {"k": 2}, 0, nothing, nothing, np.empty(0, np.float32))
        store.log_run("index", {"photos": 1})
        store.log_run("cluster", {"clusters": 0})
        store.save_scan("digest", COUNTS)
        store.save_scan("other", COUNTS)
    return directory


def execute(directory: Path, statement: str, *parameters: object) -> None:
    database = sqlite3.connect(directory / "catalog.sqlite")
    with database:
        database.execute(statement, parameters)
    database.close()


def read_meta(directory: Path, key: str) -> Any:
    database = sqlite3.connect(directory / "catalog.sqlite")
    (value,) = database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    database.close()
    return json.loads(value)


def write_meta(directory: Path, key: str, text: object) -> None:
    execute(directory, "UPDATE meta SET value = ? WHERE key = ?", text, key)


def check_error(directory: Path, read: Callable[[Store], object], words: str) -> None:
    """Both a reader and a writer raise `IndexCorrupt`, which names the value and the remedy."""
    for write in (False, True):
        with pytest.raises(IndexCorrupt) as caught, Store.open(directory, write=write) as store:
            read(store)
        assert words in caught.value.problem
        assert "catalog.sqlite" in caught.value.problem
        assert "Restore it from a backup" in caught.value.remedy


def search(store: Store) -> object:
    return store.search(np.eye(1, 16, dtype=np.float32), 1)


# What reads each key, and one of its keys with a value of the wrong type.
READERS: dict[str, tuple[Callable[[Store], object], str, object]] = {
    "pins": (lambda store: None, "dimension", "16"),
    "hnsw": (search, "m", 1.5),
    "seen": (lambda store: store.load_scan("digest"), "photos", None),
}

BROKEN = ["", "{", "nonsense", "[1, 2]", '"text"', "17", "null", "true", "[" * 100_000, b"\xff\x00", 12]


@pytest.mark.parametrize("value", BROKEN, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("key", READERS)
def test_invalid_json_and_other_types(directory: Path, key: str, value: object) -> None:
    write_meta(directory, key, value)
    check_error(directory, READERS[key][0], f"its '{key}'")


@pytest.mark.parametrize("key", READERS)
def test_an_unknown_key(directory: Path, key: str) -> None:
    document = read_meta(directory, key)
    inner = document["digest"] if key == "seen" else document
    inner["colour"] = "red"
    write_meta(directory, key, json.dumps(document))
    check_error(directory, READERS[key][0], "has an unknown key 'colour'")


@pytest.mark.parametrize("key", READERS)
def test_a_missing_key(directory: Path, key: str) -> None:
    read, name, _ = READERS[key]
    document = read_meta(directory, key)
    inner = document["digest"] if key == "seen" else document
    del inner[name]
    write_meta(directory, key, json.dumps(document))
    check_error(directory, read, f"has no key '{name}'")


@pytest.mark.parametrize("key", READERS)
def test_a_value_of_the_wrong_type(directory: Path, key: str) -> None:
    read, name, value = READERS[key]
    document = read_meta(directory, key)
    inner = document["digest"] if key == "seen" else document
    inner[name] = value
    write_meta(directory, key, json.dumps(document))
    check_error(directory, read, f"{name} is not an integer")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("detector", 5, "its 'pins'.detector is not text"),
        ("embedder", None, "its 'pins'.embedder is not text"),
        ("dimension", 0, "its 'pins'.dimension is less than 1"),
        ("dimension", True, "its 'pins'.dimension is not an integer"),
        ("settings", [], "its 'pins'.settings is not an object"),
        ("settings", {"min_face": [40]}, "its 'pins'.settings.min_face is not a single value"),
        ("weights", {"pnet.pt": 5}, "its 'pins'.weights.pnet.pt is not text"),
    ],
)
def test_each_pin_is_checked(directory: Path, name: str, value: object, words: str) -> None:
    write_meta(directory, "pins", json.dumps({**read_meta(directory, "pins"), name: value}))
    check_error(directory, lambda store: None, words)


@pytest.mark.parametrize(
    ("name", "value"),
    [("m", 0), ("ef_construction", -1), ("ef", "200"), ("ef", None), ("seed", 0.5), ("seed", False)],
)
def test_each_parameter_of_the_hnsw_index_is_checked(directory: Path, name: str, value: object) -> None:
    write_meta(directory, "hnsw", json.dumps({**read_meta(directory, "hnsw"), name: value}))
    check_error(directory, search, f"its 'hnsw'.{name} is")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("photos", -1),
        ("ignored", "1"),
        ("unreadable", ["corrupt"]),
        ("unreadable", {"corrupt": "2"}),
        ("graph", "1"),
        ("graph", [1, "2"]),
    ],
)
def test_each_count_of_a_scan_is_checked(directory: Path, name: str, value: object) -> None:
    document = read_meta(directory, "seen")
    document["other"][name] = value  # not the one that is read
    write_meta(directory, "seen", json.dumps(document))
    check_error(directory, lambda store: store.load_scan("digest"), f"its 'seen'.other.{name}")


@pytest.mark.parametrize("key", ["pins", "rows", "hnsw", "next_cluster_id"])
def test_a_missing_value(directory: Path, key: str) -> None:
    execute(directory, "DELETE FROM meta WHERE key = ?", key)
    read: dict[str, Callable[[Store], object]] = {
        "hnsw": search,
        "next_cluster_id": lambda store: store.active_clustering(),
    }
    check_error(directory, read.get(key, lambda store: None), f"its '{key}' is missing")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (key, value)
        for key in ("rows", "generation", "next_cluster_id", "seen_at")
        for value in ("-1", '"5"', "1.5", "null", "x")
        if (key, value) != ("seen_at", "-1")  # valid: no scan is saved
    ],
)
def test_counters(directory: Path, key: str, value: str) -> None:
    write_meta(directory, key, value)

    def read(store: Store) -> None:
        store.active_clustering()
        store.load_scan("digest")

    check_error(directory, read, f"its '{key}'")


@pytest.mark.parametrize("value", ["", "{", "[1]", "3", "null", b"\xff", 12], ids=repr)
def test_parameters_of_a_clustering(directory: Path, value: object) -> None:
    execute(directory, "UPDATE clusterings SET params = ?", value)
    check_error(directory, lambda store: store.active_clustering(), "the parameters of a clustering")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("created", "yesterday", "a clustering.created is not a time"),
        ("created", 5.5, "a clustering.created is not a time"),
        ("created", b"2020", "a clustering.created is not a time"),
        ("algorithm", b"kmeans", "a clustering.algorithm is not text"),
        ("seed", "many", "a clustering.seed is not an integer"),
        ("seed", 0.5, "a clustering.seed is not an integer"),
    ],
)
def test_columns_of_a_clustering(directory: Path, column: str, value: object, words: str) -> None:
    execute(directory, f"UPDATE clusterings SET {column} = ?", value)
    check_error(directory, lambda store: store.active_clustering(), words)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("detail", "", "the detail of a journal entry is not valid JSON"),
        ("detail", "[]", "the detail of a journal entry is not an object"),
        ("detail", b"{}", "the detail of a journal entry is not text"),
        ("at", "soon", "the time of a journal entry is not a time"),
        ("kind", b"index", "the command of a journal entry is not text"),
    ],
)
def test_the_journal(directory: Path, column: str, value: object, words: str) -> None:
    execute(directory, f"UPDATE journal SET {column} = ? WHERE kind = 'cluster'", value)
    for read in (lambda store: store.runs(), lambda store: store.counts()):
        check_error(directory, read, words)


def test_journal_entries_of_other_commands_and_keys_are_read(directory: Path) -> None:
    """Other versions write other commands and other summaries: only their form is checked."""
    execute(
        directory,
        "UPDATE journal SET kind = 'name', detail = '{\"who\": [null, 1.5]}' WHERE kind = 'cluster'",
    )
    with Store.open(directory) as store:
        assert (store.runs(1)[0].kind, store.runs(1)[0].detail) == ("name", {"who": [None, 1.5]})


@pytest.mark.parametrize(
    ("column", "value"),
    [("status", "wonderful"), ("relpath", 5), ("width", "wide"), ("size", -1), ("detail", b"x")],
)
def test_photos(directory: Path, column: str, value: object) -> None:
    execute(directory, f"UPDATE images SET {column} = ?", value)
    check_error(directory, lambda store: store.photos(), "of photo 1")


def test_a_catalog_that_a_newer_version_migrates_while_it_is_open(directory: Path) -> None:
    with Store.open(directory) as reader:
        execute(directory, f"PRAGMA user_version = {migrations.format_version() + 1}")
        reader.runs()  # still readable
        write_meta(directory, "seen", '{"digest": {"photos": 1, "videos": 2}}')
        with pytest.raises(IndexVersionError, match="Upgrade faceindex"):
            reader.load_scan("digest")


def test_a_failed_write_leaves_the_catalog_as_it_was(directory: Path) -> None:
    write_meta(directory, "generation", '"many"')
    before = read_meta(directory, "generation"), (directory / "vectors.f32").read_bytes()
    with Store.open(directory, write=True) as store:
        for write in (
            lambda: store.log_run("index", {}),
            lambda: store.add_root("/other", "other"),
            lambda: store.commit([NewPhoto(1, "b.jpg", 1, 1)]),
            lambda: store.save_scan("digest", COUNTS),
        ):
            with pytest.raises(FaceIndexError, match="generation"):
                write()
        assert [path for _, path in store.photos()] == ["a.jpg"]
    assert (read_meta(directory, "generation"), (directory / "vectors.f32").read_bytes()) == before


# The checks themselves


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (text, ["", "a"], [None, 1, b"a", []]),
        (integer, [0, -5, 2**70], [True, 1.0, "1", None]),
        (natural, [0, 5], [-1, False, 1.0]),
        (positive, [1, 5], [0, -1, True]),
        (scalar, [None, 1, 1.5, "a", True], [[], {}]),
        (optional(natural), [None, 0], [-1, "a"]),
        (list_of(text), [[], ["a", "b"]], [None, "a", ["a", 1], {}]),
        (mapping(), [{}, {"a": [1]}], [None, [], "a"]),
        (mapping(natural), [{}, {"a": 1}], [{"a": -1}, {"a": None}]),
        (fields(a=text, b=natural), [{"a": "x", "b": 0}, {"b": 0, "a": "x"}], [{}, {"a": "x"}, []]),
        (fields(a=text), [{"a": ""}], [{"a": "", "b": 0}, {"a": 0}]),
    ],
)
def test_checks(check: Callable[[object, str], object], good: list[object], bad: list[object]) -> None:
    for value in good:
        assert check(value, "it") == value
        assert parse(json.dumps(value), "it", check) == value
    for value in bad:
        with pytest.raises(Malformed, match=r"^it"):
            check(value, "it")


def test_times() -> None:
    assert moment("2020-01-02T03:04:05+00:00", "it").utcoffset() is not None
    for bad in ("", "noon", 5, None):
        with pytest.raises(Malformed, match="it is not a time"):
            moment(bad, "it")
