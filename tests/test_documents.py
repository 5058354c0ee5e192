"""`as_json` converts what results contain to plain JSON values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timezone
from enum import Enum, IntEnum
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

from faceindex.documents import as_json
from faceindex.errors import ImageError, Reason


class Colour(str, Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 3


class Point(NamedTuple):
    x: float
    y: float


class Text(str):
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Inner:
    path: Path
    box: tuple[float, float]
    similarity: float = float("nan")


@dataclass
class Outer:
    b: Inner
    a: dict[int, list[Inner]] = field(default_factory=dict)


@pytest.mark.parametrize("value", [None, True, False, 0, -1, 2**70, 0.5, "", "é", "a\nb", [], {}, [1, [2]]])
def test_plain_values_stay(value: object) -> None:
    found = as_json(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (-float("inf"), None),
        ((1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        (deque([1, 2]), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset("ba"), ["a", "b"]),
        ({1: 2}.keys(), [1]),
        (Colour.RED, "red"),
        (Size.SMALL, 3),
        (Reason.CORRUPT, "corrupt"),
        (Text("a"), "a"),
        (Path("a/b"), str(Path("a/b"))),
        (PurePosixPath("/a"), "/a"),
        (b"\x00\xff", "00ff"),
        (datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone.utc), "2020-01-02T03:04:05+00:00"),
        (date(2020, 1, 2), "2020-01-02"),
        (time(3, 4), "03:04:00"),
        (Point(1.0, float("nan")), {"x": 1.0, "y": None}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array(2), 2),
        (np.array(np.nan), None),
        (np.arange(3), [0, 1, 2]),
        (np.array([True, False]), [True, False]),
        (np.array([[1, np.nan], [np.inf, 0.5]], np.float32), [[1.0, None], [None, 0.5]]),
        (np.zeros((0, 4), np.float32), []),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([1, None, np.nan], object), [1, None, None]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_converted(value: object, expected: object) -> None:
    found = as_json(value)
    assert found == expected
    assert _is_plain(found)
    assert json.loads(json.dumps(found, allow_nan=False)) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (1, "1"),
        (0.5, "0.5"),
        (True, "true"),
        (None, "null"),
        (Colour.RED, "red"),
        (Path("a"), "a"),
        (np.int64(5), "5"),
        (np.float64(0.25), "0.25"),
        (date(2020, 1, 2), "2020-01-02"),
    ],
    ids=repr,
)
def test_keys_become_strings(key: object, expected: str) -> None:
    found = as_json({key: 0})
    assert found == {expected: 0}
    assert _is_plain(found)


def test_dataclasses_become_dicts_in_the_order_of_their_fields() -> None:
    inner = Inner(Path("x"), (np.float32(0.25), 1.5))
    found = as_json(Outer(inner, {7: [inner]}))
    expected = {"path": "x", "box": [0.25, 1.5], "similarity": None}
    assert found == {"b": expected, "a": {"7": [expected]}}
    assert isinstance(found, dict)
    assert list(found) == ["b", "a"]
    assert _is_plain(found)


def test_order_of_mappings_is_kept() -> None:
    found = as_json(OrderedDict([(9, "a"), (1, "b")]))
    assert isinstance(found, dict)
    assert list(found) == ["9", "1"]


def test_the_result_shares_nothing_mutable() -> None:
    value: dict[str, Any] = {"a": [1], "b": {"c": 2}}
    found = as_json(value)
    value["a"].append(2)
    value["b"]["c"] = 3
    assert found == {"a": [1], "b": {"c": 2}}


@pytest.mark.skipif(sys.platform == "win32", reason="file names are text there")
def test_undecodable_bytes_of_a_path_survive() -> None:
    path = Path(os.fsdecode(b"caf\xe9"))
    found = json.loads(json.dumps(as_json(path)))
    assert os.fsencode(found) == b"caf\xe9"


def test_exceptions_become_their_attributes() -> None:
    error = ImageError("a.jpg", Reason.EMPTY, "it is empty.", "Delete it.")
    assert as_json(error) == {
        "type": "ImageError",
        "path": "a.jpg",
        "reason": "empty file",
        "detail": "it is empty.",
        "problem": "a.jpg: it is empty.",
        "remedy": "Delete it.",
    }
    assert as_json(ValueError("no number")) == {"type": "ValueError", "message": "no number"}


@pytest.mark.parametrize(
    "value",
    [object(), print, Inner, 1j, [object()], {"a": object()}, iter([1])],
    ids=["object", "function", "class", "complex", "list", "dict", "iterator"],
)
def test_other_types_are_an_error(value: object) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        as_json(value)


def test_a_key_of_another_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="tuple cannot be the key"):
        as_json({(1, 2): 0})


def test_numpy_is_not_imported() -> None:
    program = (
        "import sys\nfrom faceindex.documents import as_json\n"
        "print(as_json({1: (1.5, float('nan'))}), 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'1': [1.5, None]} False"


def _is_plain(value: object) -> bool:
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is dict:
        assert isinstance(value, Mapping)
        return all(type(key) is str for key in value) and all(map(_is_plain, value.values()))
    return value is None or type(value) in (bool, int, float, str)
