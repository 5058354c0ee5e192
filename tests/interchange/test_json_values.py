"""Reading the values of JSON files one by one."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from broken_sources import write

from faceindex.errors import UsageError
from faceindex.interchange import json_values as module
from faceindex.interchange.json_values import json_files, json_values, objects_in


def values(path: Path, content: str | bytes) -> tuple[list[Any], list[str]]:
    problems: list[str] = []
    return list(json_values(write(path, content), problems)), problems


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", []),
        ("  \n", []),
        ('{"a": 1}', [{"a": 1}]),
        ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ("[]", []),
        ('{"a": 1}\n{"a": 2}\r\n\n{"a": 3}', [{"a": 1}, {"a": 2}, {"a": 3}]),
        ('{"a": 1}{"a": 2}', [{"a": 1}, {"a": 2}]),
        ('[{"a": 1}]\n[{"a": 2}]', [{"a": 1}, {"a": 2}]),
        ('[{"a": NaN, "b": Infinity}]', [{"a": None, "b": None}]),
        ('["tab\t", "\\ud83d\\ude00"]', ["tab\t", "\U0001f600"]),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_lists_lines_and_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: list[Any], chunk: int
) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    assert values(tmp_path / "a.json", content) == (expected, [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    assert values(tmp_path / "a.json", '["Müller"]'.encode(encoding)) == (["Müller"], [])


@pytest.mark.parametrize(
    ("content", "expected", "problem"),
    [
        ('{"a": 1}\n{bad}\n{"a": 2}', [{"a": 1}, {"a": 2}], "no JSON"),
        ('[{"a": 1}, {bad: 1, and: "a text of some length after it"}]', [{"a": 1}], "no JSON"),
        ('[{"a": 1}, {"a": "never', [{"a": 1}], "cut off"),
        ('[{"a": 1}, ', [{"a": 1}], "cut off"),
        ("not JSON at all, but text", [], "no JSON"),
        ("[" * 100_000, [], "nested too deeply"),
        ('[{"a": ' + "9" * 5_000 + "}]", [], "a number is too long"),
        ('{"a": "' + "x" * 9000, [], "longer than 8,000 characters"),
        ("{bad: 'line of some length'}\n" * 100, [], "The rest is left out"),
    ],
)
def test_damage_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, expected: list[Any], problem: str
) -> None:
    monkeypatch.setattr(module, "LONGEST_VALUE", 8_000)
    monkeypatch.setattr(module, "_CHUNK", 512)
    found, problems = values(tmp_path / "a.json", content)
    assert found == expected
    assert problem in " ".join(problems)
    assert len(problems) <= 21
    assert all(line.startswith(str(tmp_path / "a.json")) for line in problems)


def test_a_long_list_needs_little_memory(tmp_path: Path) -> None:
    line = json.dumps({"name": "x" * 500, "list": list(range(20))})
    path = write(tmp_path / "a.json", "[" + ",\n".join([line] * 8_000) + "]")
    assert path.stat().st_size > 4 << 20
    tracemalloc.start()
    try:
        count = sum(1 for _ in json_values(path, []))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 8_000
    assert peak < 5 * module._CHUNK


def test_files_and_objects(tmp_path: Path) -> None:
    for name in ("b/2.JSONL", "a.json", "c.txt"):
        write(tmp_path / name, "{}")
    assert [path.name for path in json_files(tmp_path, [])] == ["a.json", "2.JSONL"]
    assert list(json_files(tmp_path / "c.txt", [])) == [tmp_path / "c.txt"]
    document = {"total": 1, "items": [{"id": 1, "inner": {"id": 2}}, [{"id": 3}]]}
    assert [found["id"] for found in objects_in(document, lambda value: "id" in value)] == [1, 3]
    deep: Any = {"id": 1}
    for _ in range(20_000):
        deep = [deep]
    assert list(objects_in(deep, lambda value: "id" in value)) == []
    with pytest.raises(UsageError, match="cannot be read"):
        list(json_values(tmp_path / "absent.json", []))
    with pytest.raises(UsageError, match="not a regular file"):
        list(json_values(tmp_path, []))
