"""`faceindex.interchange.folders`: folders that are named for people."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from faceindex.errors import UsageError
from faceindex.interchange.folders import read_folders


def test_each_folder_is_a_person(tmp_path: Path) -> None:
    for name in (
        "Anna/1.jpg",
        "Anna/2001/2.PNG",
        "Ben/3.jpg",
        ".hidden/4.jpg",
        "Ben/.5.jpg",
        "Ben/a.txt",
        "6.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"xyz")
    (tmp_path / "Carla").symlink_to(tmp_path / "Ben")
    album = read_folders(tmp_path)
    found = [(photo.path, photo.people, photo.file_size) for photo in album.photos]
    assert found == [
        (f"{tmp_path}/Anna/1.jpg", ("Anna",), 3),
        (f"{tmp_path}/Anna/2001/2.PNG", ("Anna",), 3),
        (f"{tmp_path}/Ben/3.jpg", ("Ben",), 3),
    ]
    assert (album.problems, album.people) == ([], {})


def test_what_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere cannot be listed: No such file"):
        read_folders(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file cannot be listed: Not a directory"):
        read_folders(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "There is no folder in it" in read_folders(tmp_path / "empty").problems[0]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux")
def test_a_name_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).mkdir()
    (tmp_path / os.fsdecode(b"\xff") / "a.jpg").touch()
    album = read_folders(tmp_path)
    assert list(album.photos) == []
    assert "not text in UTF-8" in album.problems[0]
