"""`faceindex.interchange.people_csv`: tables of names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faceindex.errors import UsageError
from faceindex.interchange.people_csv import read_csv
from faceindex.interchange.regions import Region, SourceAlbum


def read(tmp_path: Path, content: str | bytes) -> SourceAlbum:
    path = tmp_path / "names.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_names_of_whole_photos(tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    rows: tuple[list[str], ...] = (
        ["Photo", "x", "NAME"],
        ["a.jpg", "1", "Zoë"],
        ["b/c.jpg", "", "Ben"],
        ["a.jpg", "", "Ben"],
        [],
        ["d"],
    )
    text = end.join(delimiter.join(row) for row in rows)
    photos = list(read(tmp_path, text.encode(encoding)).photos)
    assert [(photo.path, photo.people) for photo in photos] == [
        ("a.jpg", ("Zoë", "Ben")),
        ("b/c.jpg", ("Ben",)),
    ]


def test_boxes_are_pixels_or_fractions_by_the_names_of_their_columns(tmp_path: Path) -> None:
    album = read(tmp_path, "image_path,x1,y1,x2,y2,person\na.jpg,1,2,30.5,40,Anna\na.jpg,,,,,Ben\n")
    (photo,) = album.photos
    assert (photo.regions, photo.people) == ((Region((1, 2, 30.5, 40), "Anna"),), ("Ben",))
    assert photo.frame == "pixels"
    (photo,) = read(tmp_path, "image_path,y_min,x_max,y_max,x_min,name\na.jpg,2,30,40,1,Anna\n").photos
    assert (photo.regions[0].box, photo.frame) == ((1, 2, 30, 40), "pixels")
    (photo,) = read(tmp_path, 'file;left;top;right;bottom;name\na.jpg;0,1;0.2;"0,3";0.4;Anna\n').photos
    assert (photo.regions[0].box, photo.frame) == ((0.1, 0.2, 0.3, 0.4), "upright")


def test_cells_that_a_spreadsheet_would_execute_are_restored(tmp_path: Path) -> None:
    (photo,) = read(tmp_path, "photo,name\n'=a.jpg,'+Anna\n").photos
    assert (photo.path, photo.people) == ("=a.jpg", ("+Anna",))


def test_paths_of_windows(tmp_path: Path) -> None:
    (photo,) = read(tmp_path, "photo,name\nC:\\Pictures\\a.jpg,Anna\n").photos
    assert photo.path == "C:/Pictures/a.jpg"


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("D:\\a/b\\c.jpg", "D:/a/b/c.jpg"),
        ("\\\\nas\\a\\c.jpg", "//nas/a/c.jpg"),
        ("file:///home/a/M%C3%BCller%20c.jpg", "/home/a/Müller c.jpg"),
        ("file:///D:/a/c.jpg", "D:/a/c.jpg"),
        ("/home/a\\b/c%20.jpg", "/home/a\\b/c%20.jpg"),
    ],
)
def test_ways_to_write_a_path(tmp_path: Path, written: str, path: str) -> None:
    assert [photo.path for photo in read(tmp_path, f"photo,name\n{written},Anna\n").photos] == [path]


@pytest.mark.parametrize("head", ["sep=;\r\n", "\ufeffsep=;\r\n", '"sep=;"\n', "\n\n", "SEP=;\r"])
def test_lines_before_the_header(tmp_path: Path, head: str) -> None:
    album = read(tmp_path, f"{head}photo;name;left;top;right;bottom\na,b.jpg;Anna;;;;\nc.jpg;Ben;1;2;3;x\n")
    assert [(photo.path, photo.people) for photo in album.photos] == [("a,b.jpg", ("Anna",))]
    line = 3 + len(head.lstrip("\ufeff").splitlines())
    assert [f"line {line}: " in problem for problem in album.problems] == [True]


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "names.csv")
    with pytest.raises(UsageError, match="not a regular file"):
        read_csv(tmp_path / "names.csv")


def test_damaged_rows_are_problems(tmp_path: Path) -> None:
    rows = [
        b"photo,x1,y1,x2,y2,name",
        b",,,,,Anna",
        b"a.jpg,1,2,3,x,Anna",
        b"a.jpg,5,5,1,1,Anna",
        b"a.jpg,,,,,\xff",
    ]
    rows += [b"a.jpg,nan,1,2,3,Anna", b"a.jpg,,,,,", b"b.jpg,,,,,Ben"]
    album = read(tmp_path, b"\n".join(rows))
    assert [photo.path for photo in album.photos] == ["b.jpg"]
    assert [problem.partition(", line ")[2] for problem in album.problems] == [
        "2: It has no photo.",
        "3: 1, 2, 3, x is not a box.",
        "4: 5, 5, 1, 1 is not a box.",
        "5: The name is not text in UTF-8.",
        "6: nan, 1, 2, 3 is not a box.",
    ]


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", "photo\na.jpg\n", "\0\0\0", b"\x89PNG\r\n\x1a\n\xff\xd8"]
)
def test_what_is_no_such_table_is_an_error(tmp_path: Path, content: str | bytes) -> None:
    with pytest.raises(UsageError, match=r"names\.csv"):
        read(tmp_path, content)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no file"):
        read_csv(tmp_path / "x.csv")
    with pytest.raises(UsageError, match="cannot be read"):
        read_csv(tmp_path)
