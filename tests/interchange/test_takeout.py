"""Reading the names in Google Takeout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from broken_sources import consume, damaged, odd_values, write

from faceindex.errors import UsageError
from faceindex.interchange.takeout import read_takeout

RECORD = {
    "title": "IMG_1.jpg",
    "description": "",
    "imageViews": "3",
    "creationTime": {"timestamp": "1580000000", "formatted": "26.01.2020"},
    "photoTakenTime": {"timestamp": "1500000000", "formatted": "14.07.2017"},
    "geoData": {"latitude": 0.0, "longitude": 0.0},
    "people": [{"name": "Anna  Müller"}, {"name": "Ben"}, {"name": "Ben"}, {"name": ""}],
    "url": "https://photos.google.com/photo/x",
}
LONG = "Screenshot_20220207_102421_com.snapchat.android.jpg"  # 51 characters
DIGITS = "123456789123456789123456789123456789_DSCN0091"
SAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTU"  # 47


def found(tmp_path: Path, json_name: str, media: Sequence[str], title: str = "IMG_1.jpg") -> list[str]:
    folder = tmp_path / "Takeout" / "Google Photos" / "2017"
    for name in media:
        write(folder / name, b"")
    write(folder / json_name, json.dumps(RECORD | {"title": title}))
    album = read_takeout(tmp_path)
    photos = list(album.photos)
    assert album.problems == []
    for photo in photos:
        assert photo.people == ("Anna Müller", "Ben")
        assert photo.regions == ()
        assert Path(photo.path).parent == folder
    return [Path(photo.path).name for photo in photos]


@pytest.mark.parametrize(
    ("json_name", "media", "title", "expected"),
    [
        ("IMG_1.jpg.json", ["IMG_1.jpg", "IMG_2.jpg"], "IMG_1.jpg", ["IMG_1.jpg"]),
        ("IMG_1.jpg.supplemental-metadata.json", ["IMG_1.jpg"], "IMG_1.jpg", ["IMG_1.jpg"]),
        ("IMG_1.jpg.supplemental-metadata.json", ["IMG_1.JPG"], "IMG_1.jpg", ["IMG_1.JPG"]),
        ("IMG_1.jpg.s.json", ["IMG_1.jpg"], "IMG_1.jpg", ["IMG_1.jpg"]),
        ("IMG_1.jpg(1).json", ["IMG_1.jpg", "IMG_1(1).jpg"], "IMG_1.jpg", ["IMG_1(1).jpg"]),
        (
            "IMG_1.jpg.supplemental-metadata(2).json",
            ["IMG_1.jpg", "IMG_1(1).jpg", "IMG_1(2).jpg", "IMG_1-edited(2).jpg"],
            "IMG_1.jpg",
            ["IMG_1(2).jpg", "IMG_1-edited(2).jpg"],
        ),
        (
            "IMG_1.jpg.json",
            ["IMG_1.jpg", "IMG_1-bearbeitet.jpg"],
            "IMG_1.jpg",
            ["IMG_1.jpg", "IMG_1-bearbeitet.jpg"],
        ),
        # Names that are cut off, as they are reported for real archives
        (f"{LONG[:46]}.json", [LONG, f"{LONG[:20]}.jpg"], LONG, [LONG]),
        (
            "Screenshot_2017-07-05-10-05-26.png.supplementa.json",
            ["Screenshot_2017-07-05-10-05-26.png"],
            "Screenshot_2017-07-05-10-05-26.png",
            ["Screenshot_2017-07-05-10-05-26.png"],
        ),
        (
            f"{DIGITS}.JP.supplemental-meta(1).json",
            [f"{DIGITS}.JPG", f"{DIGITS}(1).JPG"],
            f"{DIGITS}.JPG",
            [f"{DIGITS}(1).JPG"],
        ),
        (
            f"{SAME[:46]}(1).json",
            [f"{SAME}.jpg", f"{SAME}(1).jpg"],
            f"{SAME}different.jpg",
            [f"{SAME}(1).jpg"],
        ),
        # The photo is in another archive: its title names it.
        ("what?.jpg.json", ["other.jpg"], "what?.jpg", ["what_.jpg"]),
        ("IMG_1.jpg(3).json", [], "IMG_1.jpg", ["IMG_1(3).jpg"]),
    ],
)
def test_the_photo_of_a_json_file(
    tmp_path: Path, json_name: str, media: list[str], title: str, expected: list[str]
) -> None:
    assert found(tmp_path, json_name, media, title) == expected


def test_other_json(tmp_path: Path) -> None:
    write(tmp_path / "metadata.json", json.dumps({"title": "Holiday", "description": ""}))
    write(tmp_path / "nobody.jpg.json", json.dumps(RECORD | {"people": []}))
    write(tmp_path / "print-subscriptions.json", "[]")
    write(tmp_path / "broken.json", b"\xff{")
    write(tmp_path / "deep.json", "[" * 100_000)
    write(tmp_path / "long.json", b" " * (4 << 20) + b" ")
    album = read_takeout(tmp_path)
    assert list(album.photos) == []
    assert [problem.partition(" cannot")[0] for problem in album.problems] == [
        str(tmp_path / name) for name in ("broken.json", "deep.json", "long.json")
    ]


def test_the_size_of_the_photo_is_read(tmp_path: Path) -> None:
    """Otherwise a photo of the index with the same end of the path would get the names."""
    write(tmp_path / "a.jpg.json", json.dumps({"title": "a.jpg", "people": [{"name": "Anna"}], "url": "x"}))
    write(tmp_path / "a.jpg", "12345")
    assert [photo.file_size for photo in read_takeout(tmp_path).photos] == [5]


def test_nothing_of_google(tmp_path: Path) -> None:
    album = read_takeout(tmp_path)
    assert list(album.photos) == []
    assert "no JSON files of Google Photos" in album.problems[0]
    with pytest.raises(UsageError, match="is a file"):
        read_takeout(write(tmp_path / "takeout.zip", b""))


def test_values_of_any_type_and_damaged_files_are_no_crash(tmp_path: Path) -> None:
    count = 0
    write(tmp_path / "IMG_1.jpg", b"")
    for content in odd_values(RECORD, 10, 150):
        write(tmp_path / "IMG_1.jpg.json", content)
        count += len(consume(read_takeout, tmp_path))
    for changed in damaged(json.dumps(RECORD).encode(), 11, 60):
        write(tmp_path / "IMG_1.jpg.json", changed)
        count += len(consume(read_takeout, tmp_path))
    assert count > 50
