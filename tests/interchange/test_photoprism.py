"""Reading PhotoPrism's people from its API and its database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from broken_sources import consume, damaged, odd_values, write

from faceindex.errors import UsageError
from faceindex.interchange.photoprism import read_photoprism
from faceindex.interchange.regions import SourceAlbum

ANNA, BEN = "js6sg6b1qekk9jx8", "js6sg6b2h8njw0sx"
HASH = "0123456789abcdef0123456789abcdef01234567"


def marker(name: str, key: str, source: str, x: float, **more: Any) -> dict[str, Any]:
    return {
        "UID": f"ms6sg6b{int(x * 1000):09d}",
        "FileUID": "fs6sg6bw45bn0001",
        "Type": "face",
        "Src": "image",
        "Name": name,
        "Review": False,
        "Invalid": False,
        "FaceID": "TOSCDXCS4VI3PGIUTCNIQCNI6HSFXQVZ",
        "SubjUID": key,
        "SubjSrc": source,
        "X": x,
        "Y": 0.25,
        "W": 0.125,
        "H": 0.25,
        "Thumb": f"{HASH}-0c81a0",
        "CreatedAt": "2024-01-01T00:00:00Z",
        **more,
    }


MARKERS = [
    marker("Anna Müller", ANNA, "manual", 0.0),
    marker("Ben", BEN, "", 0.25),
    marker("Ben", BEN, "", 0.5, Review=True),
    marker("", "", "", 0.625, Invalid=True),
    marker("", "", "", 0.75, Type="label"),
    marker("", "", "", 0.875, W=0),
]
PHOTO: dict[str, Any] = {  # an answer of GET /api/v1/photos/{uid}
    "ID": 1,
    "UID": "ps6sg6be2lvl0yh7",
    "Type": "image",
    "Path": "2021/05",
    "Name": "IMG_1",
    "Details": {"PhotoID": 1, "Keywords": "anna, beach"},
    "Files": [
        {
            "UID": "fs6sg6bw45bn0001",
            "Name": "2021/05/IMG_1.jpg",
            "Root": "/",
            "Hash": HASH,
            "Size": 2_000_000,
            "Primary": True,
            "Width": 3000,
            "Height": 4000,
            "Orientation": 6,
            "Markers": MARKERS,
        },
        {"UID": "fs6sg6bw45bn0002", "Name": "2021/05/IMG_1.xmp", "Root": "/", "Sidecar": True, "Markers": []},
    ],
}
SUBJECTS = [
    {"UID": ANNA, "Type": "person", "Slug": "anna", "Name": "Anna Müller", "Notes": " aunt ", "Hidden": True},
    {"UID": "ls6sg6b1qekk9jx8", "Type": "label", "Slug": "cat", "Name": "Cat"},
]


def copied(name: str) -> dict[str, Any]:
    """A photo whose faces are on a JPEG copy of it."""
    return {"Files": [PHOTO["Files"][0] | {"Name": name, "Root": "sidecar", "Hash": "f" * 40}]}


def regions(album: SourceAlbum) -> list[tuple[str | None, bool, bool]]:
    return [(r.name, r.confirmed, r.rejected) for photo in album.photos for r in photo.regions]


def check(album: SourceAlbum) -> None:
    (photo,) = album.photos
    assert album.program == "PhotoPrism"
    assert photo.path == "2021/05/IMG_1.jpg"
    assert (photo.frame, photo.dimensions) == ("upright", (3000, 4000))
    assert (photo.file_size, photo.sha1) == (2_000_000, bytes.fromhex(HASH))
    assert [(r.name, r.confirmed, r.rejected) for r in photo.regions] == [
        ("Anna Müller", True, False),
        ("Ben", True, False),
        ("Ben", False, False),
        (None, True, True),
    ]
    assert photo.regions[1].box == (0.25, 0.25, 0.375, 0.5)
    assert photo.regions[1].person == BEN
    assert album.people[ANNA].note == "aunt"
    assert album.people[ANNA].hidden
    assert album.people[BEN].name == "Ben"
    assert len(album.people) == 2
    assert any("1 faces have no place" in problem for problem in album.problems)


@pytest.mark.parametrize("document", [PHOTO, [PHOTO], {"photos": [PHOTO]}])
def test_answers_of_the_api(tmp_path: Path, document: Any) -> None:
    write(tmp_path / "photos.json", json.dumps(document))
    write(tmp_path / "subjects.json", json.dumps(SUBJECTS))
    write(tmp_path / "sidecar" / "IMG_1.yml", "UID: ps6sg6be2lvl0yh7\n")
    check(read_photoprism(tmp_path))


def test_what_a_machine_matched_may_be_left_open(tmp_path: Path) -> None:
    path = write(tmp_path / "photos.json", json.dumps(PHOTO))
    album = read_photoprism(path, trust_automatic=False)
    assert regions(album)[:2] == [("Anna Müller", True, False), ("Ben", False, False)]


def test_copies_name_their_original(tmp_path: Path) -> None:
    photos = [copied("2021/IMG_2.HEIC.jpg"), copied("2021/film.MP4.jpg")]
    heic, film = read_photoprism(write(tmp_path / "a.json", json.dumps(photos))).photos
    assert heic.path == "2021/IMG_2.HEIC"
    assert len(heic.regions) == 4
    assert heic.sha1 is None
    assert heic.file_size is None
    assert film.path == "2021/film.MP4"
    assert film.people == ("Anna Müller", "Ben")
    assert film.regions == ()


def database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            CREATE TABLE files (id integer primary key, file_uid VARBINARY(42), photo_uid VARBINARY(42),
                file_name VARBINARY(1024), file_root VARBINARY(16), file_hash VARBINARY(128),
                file_size bigint,
                file_width integer, file_height integer, file_missing bool, deleted_at DATETIME);
            CREATE TABLE markers (marker_uid VARBINARY(42), file_uid VARBINARY(42), marker_type VARBINARY(8),
                marker_src VARBINARY(8), marker_name VARCHAR(160), marker_review bool, marker_invalid bool,
                subj_uid VARBINARY(42), subj_src VARBINARY(8), x FLOAT, y FLOAT, w FLOAT, h FLOAT,
                PRIMARY KEY (marker_uid));
            CREATE TABLE subjects (subj_uid VARBINARY(42), subj_type VARBINARY(8), subj_name varchar(160),
                subj_hidden bool, subj_notes varchar(1024), deleted_at DATETIME, PRIMARY KEY (subj_uid));
            CREATE UNIQUE INDEX uix_files_file_uid ON files(file_uid);
            """
        )
        file = PHOTO["Files"][0]
        keys = ("UID", "Name", "Root", "Hash", "Size", "Width", "Height")
        values = [file[key] for key in keys]
        gone = ["gone", *values[1:]]
        for missing, record in enumerate((values, gone)):
            connection.execute(
                "INSERT INTO files VALUES (NULL, ?, 'p', ?, ?, ?, ?, ?, ?, ?, NULL)", (*record, missing)
            )
        fields = ("UID", "Type", "Src", "Name", "Review", "Invalid", "SubjUID", "SubjSrc", "X", "Y", "W", "H")
        for found in MARKERS:
            # The database has the name of a subject in its own table.
            row = [found[key] for key in fields]
            row[3] = ""
            connection.execute(
                "INSERT INTO markers VALUES (?, 'fs6sg6bw45bn0001', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
            )
        connection.execute(
            "INSERT INTO markers VALUES ('x', 'gone', 'face', '', '', 0, 0, ?, '', .1, .1, .1, .1)", (ANNA,)
        )
        connection.execute(
            "INSERT INTO subjects VALUES (?, 'person', 'Anna Müller', 1, ' aunt ', NULL)", (ANNA,)
        )
        connection.execute("INSERT INTO subjects VALUES (?, 'person', 'Ben', 0, '', NULL)", (BEN,))
        connection.execute("INSERT INTO subjects VALUES ('z', 'person', 'Zoe', 0, '', '2024-01-01')")
        connection.commit()
    return path


def test_the_database(tmp_path: Path) -> None:
    check(read_photoprism(database(tmp_path / "index.db")))
    write(tmp_path / "ignored.json", json.dumps(PHOTO))
    check(read_photoprism(tmp_path))


def test_yaml_has_no_faces(tmp_path: Path) -> None:
    sidecar = write(tmp_path / "sidecar" / "IMG_1.yml", "UID: ps6sg6be2lvl0yh7\nFaces: 2\n")
    for path in (sidecar, tmp_path):
        with pytest.raises(UsageError, match="YAML files hold none"):
            read_photoprism(path)


def test_values_of_any_type_and_damaged_files_are_no_crash(tmp_path: Path) -> None:
    found = 0
    everything = {"photos": [PHOTO, copied("a.heic.jpg")], "subjects": SUBJECTS}
    for content in odd_values(everything, 5, 100):
        found += len(consume(read_photoprism, write(tmp_path / "a.json", content)))
    for changed in damaged(json.dumps(everything).encode(), 6, 40):
        found += len(consume(read_photoprism, write(tmp_path / "a.json", changed)))
    path = database(tmp_path / "index.db")
    for changed in damaged(path.read_bytes(), 7, 30):
        path.write_bytes(changed)
        found += len(consume(read_photoprism, path))
    assert found > 60
