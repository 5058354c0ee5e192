"""Journals as files: what is written, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from decided_index import make_index

from faceindex import FaceIndex
from faceindex.errors import UsageError
from faceindex.people.exchange import SCHEMA, read_journal

UID = "0" * 32
FACE = {"picture": "ab" * 16, "box": [0.1, 0.1, 0.3, 0.4]}
HEADER = json.dumps({"schema": SCHEMA, "written": "2026-01-01T00:00:00+00:00"})


def line(*actions: dict[str, Any], **changes: Any) -> str:
    entry = {"id": UID, "at": "2026-01-01T00:00:00+00:00", "command": "people x", "actions": list(actions)}
    return json.dumps({**entry, **changes})


def test_a_journal_is_readable(tmp_path: Path, fake_models: ModuleType) -> None:
    make_index(tmp_path / "index", 8)
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index.cluster()
        index.people.name("Anna", faces=[1])
        index.people.reject([2], "Anna")
        assert index.people.export(tmp_path / "journal.jsonl") == 2
    header, name, reject = map(json.loads, (tmp_path / "journal.jsonl").read_text().splitlines())
    assert header["schema"] == SCHEMA
    assert name["command"] == "people name f1 Anna"
    person, label = name["actions"]
    assert person == {"do": "person", "person": label["person"], "set": {"name": "Anna"}}
    assert (label["do"], label["as"], label["name"]) == ("label", "confirmed", "Anna")
    (face,) = label["faces"]
    assert face["photo"] == "0.jpg"
    assert len(bytes.fromhex(face["picture"])) == 16
    assert all(0 <= side <= 1 for side in face["box"])
    assert reject["actions"][0]["do"] == "reject"
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "is empty"),
        (["not json"], "line 1: this is not JSON"),
        (["[" * 100_000], "this is not JSON"),
        (["[1]"], "not a JSON object"),
        ([line()], "not the first line of a journal"),
        ([HEADER.replace("journal/1", "journal/2")], "a newer faceindex wrote it"),
        ([HEADER, line(id="short")], "line 2: the decision.id is not an id"),
        ([HEADER, line(at="yesterday")], "is not a time"),
        ([HEADER, line(more=1)], "unknown key 'more'"),
        ([HEADER, line(), line()], "is there twice"),
        ([HEADER, line({"do": "delete"})], "does 'delete'"),
        ([HEADER, line({"do": 1})], "is not text"),
        ([HEADER, line({"do": "person", "person": UID, "set": {"name": "7"}})], "looks like a cluster"),
        ([HEADER, line({"do": "person", "person": UID, "set": {"born": "x"}})], "is not a date"),
        ([HEADER, line({"do": "person", "person": UID, "set": {"id": 1}})], "unknown key 'id'"),
        ([HEADER, line({"do": "person", "person": UID, "set": {"hidden": "yes"}})], "true or false"),
        ([HEADER, line({"do": "same", "faces": [{**FACE, "box": [0, 0, 1]}]})], "not four numbers"),
        ([HEADER, line({"do": "same", "faces": [{**FACE, "box": [0.5, 0, 0.5, 1]}]})], "box is empty"),
        (
            [HEADER, line({"do": "same", "faces": [{**FACE, "box": [0, 0, 1, float("nan")]}]})],
            "not four numbers",
        ),
        ([HEADER, line({"do": "same", "faces": [{**FACE, "box": [0, 0, 1, 10**400]}]})], "not four numbers"),
        ([HEADER, line({"do": "same", "faces": [{**FACE, "box": [0.1, 0, 0.1000001, 1]}]})], "box is empty"),
        ([HEADER, line(at="0001-01-01T00:00:00+23:00")], "is in the year 1"),
        ([HEADER, line(at="9999-12-31T23:59:59-23:00")], "is in the year 9999"),
        ([HEADER, line({"do": "person", "person": UID, "set": {"note": "\ud800"}})], "cannot be stored"),
        ([HEADER, line({"do": "person", "person": UID, "set": {"note": "x" * 10_001}})], "10,001 characters"),
        ([HEADER, line({"do": "same", "faces": [{**FACE, "picture": "xy"}]})], "not hexadecimal"),
        ([HEADER, line({"do": "same", "faces": [{**FACE, "picture": "ab"}]})], "1 bytes instead of 16"),
        ([HEADER, line({"do": "different", "faces": [[FACE]]})], "1 groups instead of 2"),
        ([HEADER, line({"do": "nobody", "as": "named", "faces": [FACE]})], "is 'named'"),
        (
            [HEADER, line({"do": "label", "person": UID, "name": "A", "as": "stranger", "faces": []})],
            "'stranger'",
        ),
    ],
)
def test_malformed_files_are_refused(lines: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_journal(lines, "journal.jsonl")
    assert words in caught.value.problem
    assert "journal.jsonl" in caught.value.problem


def test_commands_of_files_are_safe_to_print() -> None:
    (decision,) = read_journal([HEADER, line(command="people\x1b[31m \u009b name\n\ud800 Anna")], "j")
    assert decision.command == "people [31m name Anna"


def test_text_may_contain_other_line_ends(tmp_path: Path, fake_models: ModuleType) -> None:
    make_index(tmp_path / "index", 3)
    added = line({"do": "person", "person": UID, "set": {"name": "Anna", "note": "one\u2028two\x85"}})
    written = json.dumps(json.loads(added), ensure_ascii=False)
    (tmp_path / "journal.jsonl").write_text(f"{HEADER}\r\n{written}\r\n", "utf-8", newline="")
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index.people.apply(tmp_path / "journal.jsonl")
        assert index.people.get("Anna").note == "one\u2028two\x85"


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: path.mkdir(),
        lambda path: None,
        lambda path: path.write_text(f"{HEADER}\n{line()}\nx"),
    ],
)
def test_a_file_that_cannot_be_applied_changes_nothing(
    make: Callable[[Path], object], tmp_path: Path, fake_models: ModuleType
) -> None:
    make_index(tmp_path / "index", 3)
    make(tmp_path / "journal.jsonl")
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        with pytest.raises(UsageError, match=r"journal\.jsonl"):
            index.people.apply(tmp_path / "journal.jsonl")
        assert not index.people.log()


def test_an_indexed_photo_is_not_overwritten(tmp_path: Path, fake_models: ModuleType) -> None:
    album = fake_models.make_album(tmp_path / "photos", people=1)
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        with pytest.raises(UsageError, match="indexed photos"):
            index.people.export(album / "person0" / "0.png")
