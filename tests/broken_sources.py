"""Damaged files of other programs: random changes of good ones, which no reader may answer with a crash."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faceindex.errors import FaceIndexError
from faceindex.interchange.regions import Region, SourceAlbum, SourcePerson, SourcePhoto

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e308,
    float("nan"),
    10**400,
    "",
    "x" * 3000,
    "NaN",
    "a\0b\u202e\ud800",
    "../../etc/passwd",
    [],
    {},
    [[[]]],
    {"name": {"name": []}},
)


def consume(read: Callable[[Path], SourceAlbum], path: Path) -> list[SourcePhoto]:
    """Read an album whole and check all its types; an error of faceindex gives no photos."""
    try:
        album = read(path)
        photos = list(album.photos)
    except FaceIndexError as error:
        assert error.problem
        assert error.remedy
        return []
    assert all(isinstance(problem, str) and len(problem) < 600 for problem in album.problems)
    for photo in photos:
        check(photo)
    for key, person in album.people.items():
        assert isinstance(person, SourcePerson)
        assert person.key == key
        assert person.name is None or person.name.strip()
    return photos


def check(photo: SourcePhoto) -> None:
    assert isinstance(photo.path, str)
    assert "\0" not in photo.path
    assert photo.path.encode("utf-8", "surrogateescape")
    assert all(isinstance(name, str) and name.strip() for name in photo.people)
    assert not set(photo.people) & {region.name for region in photo.regions if not region.rejected}
    assert photo.sha1 is None or len(photo.sha1) == 20
    assert photo.file_size is None or photo.file_size >= 0
    assert photo.dimensions is None or min(photo.dimensions) >= 1
    for region in photo.regions:
        assert isinstance(region, Region)
        x1, y1, x2, y2 = region.box
        assert -3 < x1 < x2 < 4
        assert -3 < y1 < y2 < 4
        assert region.name is None or region.name.strip()


def damaged(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Yield `count` changed copies: bytes replaced, cut out, doubled, and the end cut off."""
    chance = random.Random(seed)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            start = chance.randrange(len(changed) or 1)
            length = chance.choice((1, 1, 2, 8, 64))
            match chance.randrange(5):
                case 0:
                    changed[start : start + length] = chance.randbytes(length)
                case 1:
                    del changed[start : start + length]
                case 2:
                    changed[start:start] = changed[start : start + length]
                case 3:
                    odd = (b"\0", b'"', b"[", b"{", b"-", b"9" * 40, b"\n")
                    changed[start : start + 1] = chance.choice(odd)
                case _:
                    del changed[max(start, 1) :]
        yield bytes(changed)


def odd_values(document: Any, seed: int, count: int) -> Iterator[str]:
    """Yield `count` JSON documents with some values replaced by ones of odd types, or their keys removed."""
    chance = random.Random(seed)
    for _ in range(count):
        yield json.dumps(_changed(document, chance, chance.choice((0.02, 0.1, 0.3))))


def _changed(value: Any, chance: random.Random, rate: float) -> Any:
    if chance.random() < rate:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {
            key: _changed(item, chance, rate) for key, item in value.items() if chance.random() >= rate / 3
        }
    if isinstance(value, list):
        return [_changed(item, chance, rate) for item in value]
    return value


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path
