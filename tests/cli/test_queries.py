"""The photos that the arguments of `identify` stand for."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from faceindex.cli.queries import STANDARD_INPUT, Query, find_queries
from faceindex.errors import ImageError, UsageError

GIF = b"GIF89a\x01\x00\x01\x00"


class Pipe(io.TextIOWrapper):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b/2.jpg", "b/10.jpg", "b/c/1.jpg", "b/.hidden.jpg", "GIF89a/cat.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(queries: list[Query]) -> list[str]:
    return [query.name for query in queries]


def listed(data: bytes, monkeypatch: pytest.MonkeyPatch) -> list[Query]:
    monkeypatch.setattr(sys, "stdin", Pipe(data))
    return find_queries(["-"])[0]


def test_files_folders_and_what_does_not_exist(photos: Path) -> None:
    queries, origins = find_queries(["gone.jpg", "b/", "b/2.jpg", "b"], exclude=[photos / "b" / "c"])
    inside = ["b/10.jpg", "b/2.jpg"]
    assert names(queries) == ["gone.jpg", *inside, "b/2.jpg", *inside]
    assert [query.origin for query in queries] == [None, "b/", "b/", None, "b", "b"]
    assert origins == ["b/", "b"]
    assert names(find_queries(["b"])[0]) == ["b/10.jpg", "b/2.jpg", "b/c/1.jpg"]


@pytest.mark.parametrize(
    "data",
    [
        b"b/2.jpg\nb\n",
        b"b/2.jpg\r\n\r\nb",
        b"b/2.jpg\0b\0",
        b"\0\0b/2.jpg\0b",
        b"\xef\xbb\xbfb/2.jpg\nb\n\n  \n",
    ],
)
def test_lists(photos: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(listed(data, monkeypatch)) == ["b/2.jpg", "b/10.jpg", "b/2.jpg", "b/c/1.jpg"]


def test_a_list_separated_by_null_bytes_may_have_any_name(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "b/a\nb\r.jpg"
    (photos / odd).touch()
    assert names(listed(odd.encode() + b"\0gone.jpg\0", monkeypatch)) == [odd, "gone.jpg"]
    assert names(listed(b"caf\xe9.jpg\n", monkeypatch)) == ["caf\udce9.jpg"]


def test_images_and_paths_that_begin_like_one(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listed(GIF, monkeypatch) == [Query(STANDARD_INPUT, GIF)]
    assert names(listed(b"GIF89a/cat.jpg\n", monkeypatch)) == ["GIF89a/cat.jpg"]
    assert names(listed(b"BMW/1.jpg\n", monkeypatch)) == ["BMW/1.jpg"]


def test_neither_an_image_nor_a_list(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (query,) = listed(b"\x7fELF\x02\x01\x01\0", monkeypatch)
    assert query.error is not None
    assert isinstance(query.error, ImageError)
    assert query.error.path == STANDARD_INPUT


def test_an_empty_list_is_an_origin_without_photos(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Pipe(b"\n"))
    assert find_queries(["-"]) == ([], [STANDARD_INPUT])


def test_a_terminal_has_no_list(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(b"")
    monkeypatch.setattr(pipe, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", pipe)
    with pytest.raises(UsageError, match="Standard input is a terminal"):
        find_queries(["b", "-"])
    with pytest.raises(UsageError, match="only once"):
        find_queries(["-", "b", "-"])


def test_a_list_in_utf_16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PowerShell writes lists like this; each zero byte would end a path."""
    monkeypatch.setattr(sys, "stdin", Pipe("räume/a.jpg\r\nb.jpg\r\n".encode("utf-16")))
    found, _ = find_queries(["-"])
    assert [query.photo for query in found] == ["räume/a.jpg", "b.jpg"]
