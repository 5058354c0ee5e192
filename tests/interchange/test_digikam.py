"""Reading digiKam's database."""

from __future__ import annotations

import re
import sqlite3
import tracemalloc
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from broken_sources import consume, damaged, write

from faceindex.errors import UsageError
from faceindex.interchange import databases
from faceindex.interchange.digikam import read_digikam

# The tables of digiKam 8 that hold people, with the triggers and indexes that concern them (dbconfig.xml).
SCHEMA = """
CREATE TABLE AlbumRoots (id INTEGER PRIMARY KEY, label TEXT, status INTEGER NOT NULL, type INTEGER NOT NULL,
    identifier TEXT, specificPath TEXT, caseSensitivity INTEGER, UNIQUE(identifier, specificPath));
CREATE TABLE Albums (id INTEGER PRIMARY KEY, albumRoot INTEGER NOT NULL, relativePath TEXT NOT NULL,
    date DATE, caption TEXT, collection TEXT, icon INTEGER, UNIQUE(albumRoot, relativePath));
CREATE TABLE Images (id INTEGER PRIMARY KEY, album INTEGER, name TEXT NOT NULL, status INTEGER NOT NULL,
    category INTEGER NOT NULL, modificationDate DATETIME, fileSize INTEGER, uniqueHash TEXT,
    manualOrder INTEGER, UNIQUE (album, name));
CREATE TABLE ImageInformation (imageid INTEGER PRIMARY KEY, rating INTEGER, creationDate DATETIME,
    digitizationDate DATETIME, orientation INTEGER, width INTEGER, height INTEGER, format TEXT,
    colorDepth INTEGER, colorModel INTEGER);
CREATE TABLE Tags (id INTEGER PRIMARY KEY, pid INTEGER, name TEXT NOT NULL, icon INTEGER, iconkde TEXT,
    UNIQUE (name, pid));
CREATE TABLE ImageTags (imageid INTEGER NOT NULL, tagid INTEGER NOT NULL, UNIQUE (imageid, tagid));
CREATE TABLE TagProperties (tagid INTEGER, property TEXT, value TEXT);
CREATE TABLE ImageTagProperties (imageid INTEGER, tagid INTEGER, property TEXT, value TEXT);
CREATE INDEX imagetagproperties_index ON ImageTagProperties (imageid, tagid);
CREATE TRIGGER delete_tag DELETE ON Tags BEGIN DELETE FROM ImageTags WHERE tagid=OLD.id; END;
"""
UNKNOWN, UNCONFIRMED, IGNORED, ANNA, BEN, CLEO, TREE = 21, 22, 23, 30, 31, 32, 40
ROWS: dict[str, list[tuple[Any, ...]]] = {
    "AlbumRoots": [
        (1, "Photos", 0, 1, "volumeid:?path=/mnt/my%20disk", "/Photos", 0),
        (2, "NAS", 0, 3, "networkshareid:?mountpath=/mnt/nas", "/", 0),
        (3, "Disk", 0, 1, "volumeid:?uuid=1234-abcd", "/home/me/Pictures", 0),
    ],
    "Albums": [(1, 1, "/", *[None] * 4), (2, 2, "/2009/Rom", *[None] * 4), (3, 3, "/2010", *[None] * 4)],
    "Images": [
        (1, 1, "upright.jpg", 1, 1, None, 1000, "h1", None),
        (2, 2, "turned.jpg", 1, 1, None, 2000, "h2", None),
        (3, 3, "trashed.jpg", 3, 1, None, 3000, "h3", None),
        (4, 3, "sizeless.jpg", 1, 1, None, None, "h4", None),
        (5, 3, "tagged.jpg", 2, 1, None, 0, "h5", None),
        (6, None, "gone.jpg", 1, 1, None, 1, "h6", None),
        (7, 3, "turned.heic", 1, 1, None, 1, "h7", None),
    ],
    "ImageInformation": [
        (1, 0, None, None, 1, 3024, 4032, "JPG", 8, 5),
        (2, 0, None, None, 8, 4912, 3264, "JPG", 8, 5),  # stored; upright it is 3264 x 4912
        (4, 0, None, None, 1, None, None, "PSD", 8, 5),
        (5, 0, None, None, 1, 100, 100, "JPG", 8, 5),
        (7, 0, None, None, 6, 3024, 4032, "HEIC", 8, 5),  # already turned when digiKam read it
    ],
    "Tags": [
        (20, 0, "People", None, None),
        (UNKNOWN, 20, "Unknown", None, None),
        (UNCONFIRMED, 20, "Unconfirmed", None, None),
        (IGNORED, 20, "Ignored", None, None),
        (ANNA, 20, "Anna Müller", None, None),
        (BEN, 20, "Ben", None, None),
        (CLEO, ANNA, "Cleo", None, None),
        (TREE, 0, "Tree", None, None),
    ],
    "TagProperties": [
        (UNKNOWN, "person", ""),
        (UNKNOWN, "unknownPerson", ""),
        (UNCONFIRMED, "person", ""),
        (UNCONFIRMED, "unconfirmedPerson", ""),
        (IGNORED, "person", ""),
        (IGNORED, "ignoredPerson", ""),
        (ANNA, "person", "Anna Meier"),  # renamed since
        (ANNA, "faceEngineId", "Anna Meier"),
        (BEN, "person", "Ben"),
        (CLEO, "person", "Cleo"),
    ],
    "ImageTags": [(1, ANNA), (2, ANNA), (2, BEN), (4, CLEO), (5, CLEO), (5, TREE), (6, ANNA)],
    "ImageTagProperties": [
        (1, ANNA, "tagRegion", '<rect x="264" y="1449" width="382" height="458"/>'),
        (1, ANNA, "faceToTrain", '<rect x="264" y="1449" width="382" height="458"/>'),
        (1, UNKNOWN, "autodetectedFace", '<rect x="-10" y="0" width="100" height="100"/>'),
        (1, CLEO, "autodetectedFace", f'<rect x="900" y="900" width="100" height="100"/>,{BEN};{ANNA};99'),
        (1, UNCONFIRMED, "autodetectedPerson", f'{CLEO},autodetectedFace,<rect x="900" y="9" width="1"/>'),
        (1, IGNORED, "ignoredFace", '<rect x="2000" y="2000" width="50" height="50"/>'),
        (2, ANNA, "tagRegion", '<rect height="229" width="190" y="1974" x="2284"/>'),
        (2, BEN, "tagRegion", "<rect damaged/>"),
        (3, ANNA, "tagRegion", '<rect x="1" y="1" width="9" height="9"/>'),
        (4, CLEO, "tagRegion", '<rect x="1" y="1" width="9" height="9"/>'),
        (7, ANNA, "tagRegion", '<rect x="1000" y="3900" width="100" height="100"/>'),
    ],
}


def database(path: Path, content: dict[str, list[tuple[Any, ...]]] = ROWS, schema: str = SCHEMA) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(schema)
        for table, rows in content.items():
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.commit()
    return path


def test_people_and_places(tmp_path: Path) -> None:
    album = read_digikam(database(tmp_path / "digikam4.db"))
    photos = {photo.path.rpartition("/")[2]: photo for photo in album.photos}
    assert album.program == "digiKam"
    assert list(photos) == ["upright.jpg", "turned.jpg", "sizeless.jpg", "tagged.jpg", "turned.heic"]
    assert {person.name for person in album.people.values()} == {"Anna Müller", "Ben", "Cleo"}

    upright = photos["upright.jpg"]
    assert upright.path == "/mnt/my disk/Photos/upright.jpg"
    assert (upright.frame, upright.dimensions, upright.file_size) == ("upright", (3024, 4032), 1000)
    assert [(r.name, r.confirmed, r.rejected) for r in upright.regions] == [
        (None, False, False),
        (None, False, True),
        ("Anna Müller", True, False),
        ("Cleo", False, False),
        ("Ben", True, True),
        ("Anna Müller", True, True),
    ]
    assert upright.regions[2].box == pytest.approx((264 / 3024, 1449 / 4032, 646 / 3024, 1907 / 4032))
    assert upright.regions[2].person == str(ANNA)
    assert upright.people == ()


def test_sizes_are_those_of_stored_pictures(tmp_path: Path) -> None:
    """digiKam's own measure of DSC02676.JPG, from the tests of picasa2digikam: orientation 8."""
    photos = {
        photo.path.rpartition("/")[2]: photo for photo in read_digikam(database(tmp_path / "a.db")).photos
    }
    turned = photos["turned.jpg"]
    assert turned.path == "/mnt/nas/2009/Rom/turned.jpg"
    assert turned.dimensions == (3264, 4912)
    assert turned.regions[0].box == pytest.approx((2284 / 3264, 1974 / 4912, 2474 / 3264, 2203 / 4912))
    assert turned.people == ("Ben",)  # his region is damaged
    heic = photos["turned.heic"]
    assert heic.path == "/home/me/Pictures/2010/turned.heic"
    assert heic.dimensions == (3024, 4032)


def test_names_without_places(tmp_path: Path) -> None:
    album = read_digikam(database(tmp_path / "digikam4.db"))
    photos = {photo.path.rpartition("/")[2]: photo for photo in album.photos}
    assert photos["sizeless.jpg"].people == ("Cleo",)
    assert photos["tagged.jpg"].people == ("Cleo",)  # and not the tree
    assert photos["tagged.jpg"].file_size is None
    assert any("1 photos have no size" in problem for problem in album.problems)
    assert any("image 2: The place of a face cannot be read" in problem for problem in album.problems)
    assert len(album.problems) == 2


def test_reading_changes_nothing(tmp_path: Path) -> None:
    path = database(tmp_path / "library" / "digikam4.db")
    path.parent.chmod(0o500)
    before = path.read_bytes(), path.stat().st_mtime_ns
    try:
        assert len(list(read_digikam(path.parent).photos)) == 5
    finally:
        path.parent.chmod(0o700)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [file.name for file in path.parent.iterdir()] == ["digikam4.db"]


def test_while_digikam_is_open(tmp_path: Path) -> None:
    path = database(tmp_path / "digikam4.db")
    with closing(sqlite3.connect(path)) as digikam:
        digikam.execute("PRAGMA journal_mode = WAL")
        digikam.execute("UPDATE Tags SET name = 'Benjamin' WHERE name = 'Ben'")
        digikam.commit()
        digikam.execute("UPDATE Tags SET name = name || 'x'")  # not committed
        names = {person.name for person in read_digikam(path).people.values()}
    assert names == {"Anna Müller", "Benjamin", "Cleo"}


def replaced(statement: str, by: str) -> str:
    assert statement in SCHEMA
    return SCHEMA.replace(statement, by)


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (
            SCHEMA + "DROP TABLE ImageTags; CREATE VIEW ImageTags AS WITH RECURSIVE n(imageid) AS (SELECT 1 "
            "UNION ALL SELECT imageid + 1 FROM n) SELECT imageid, imageid AS tagid FROM n;",
            "its ImageTags is not a plain table",
        ),
        (
            SCHEMA + "DROP TABLE ImageTags; CREATE VIRTUAL TABLE ImageTags USING fts5(imageid, tagid);",
            "its ImageTags is not a plain table",
        ),
        (
            replaced("value TEXT);\nCREATE INDEX", "value TEXT AS (hex(zeroblob(1e6))));\nCREATE INDEX"),
            "its table ImageTagProperties has no column value",
        ),
        (SCHEMA + "DROP TABLE TagProperties;", "it has no table TagProperties"),
        (replaced(" orientation INTEGER,", ""), "its table ImageInformation has no column orientation"),
    ],
)
def test_nothing_in_the_schema_runs(tmp_path: Path, schema: str, problem: str) -> None:
    path = database(tmp_path / "digikam4.db", {}, schema)
    with pytest.raises(UsageError, match=problem):
        read_digikam(path)


def test_what_is_no_database(tmp_path: Path) -> None:
    for path in (write(tmp_path / "a.db", "no database"), write(tmp_path / "b.db", "SQLite format 3\0junk")):
        with pytest.raises(UsageError):
            read_digikam(path)
    with pytest.raises(UsageError, match=r"digikam4\.db cannot be read"):
        read_digikam(tmp_path)


def many(photos: int, faces: int) -> dict[str, list[tuple[Any, ...]]]:
    numbers = range(1, photos + 1)
    rect = '<rect x="10" y="10" width="50" height="50"/>'
    return ROWS | {
        "Images": [(n, 2, f"{n}.jpg", 1, 1, None, n, "h", None) for n in numbers],
        "ImageInformation": [(n, 0, None, None, 1, 640, 480, "JPG", 8, 5) for n in numbers],
        "ImageTags": [(n, ANNA) for n in numbers],
        "ImageTagProperties": [(n, ANNA + f % 3, "tagRegion", rect) for n in numbers for f in range(faces)],
    }


def test_a_large_library_needs_little_memory(tmp_path: Path) -> None:
    path = database(tmp_path / "digikam4.db", many(2_000, 2))
    tracemalloc.start()
    try:
        count = sum(len(photo.regions) for photo in read_digikam(path).photos)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 4_000
    assert peak < 1 << 20, peak


def test_a_query_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_STEPS", 10_000)
    monkeypatch.setattr(databases, "_FEWEST_STEPS", 300_000)
    monkeypatch.setattr(databases, "_STEPS_PER_BYTE", 0)
    # Two thousand albums with one id, for as many photos: four million rows.
    schema = SCHEMA.replace("CREATE TABLE Albums (id INTEGER PRIMARY KEY", "CREATE TABLE Albums (id INTEGER")
    content = many(2_000, 1) | {"Albums": [(2, 2, f"/{n}", *[None] * 4) for n in range(2_000)]}
    album = read_digikam(database(tmp_path / "digikam4.db", content, schema))
    assert sum(1 for _ in album.photos) < 2_000
    assert any("interrupted" in problem for problem in album.problems)


def test_damaged_databases_are_no_crash(tmp_path: Path) -> None:
    path = database(tmp_path / "digikam4.db")
    content = path.read_bytes()
    found = 0
    for changed in damaged(content, 2, 60):
        path.write_bytes(changed)
        found += len(consume(read_digikam, path))
    assert found > 20


ODD_VALUES = (None, "", "x", b"\xff\xfe", -1, 2**62, 1.5, "\ud7ff\0", '<rect x="1e9" y="-" width=""/>')


def odd_rows(rows: Iterable[tuple[Any, ...]], place: int) -> list[tuple[Any, ...]]:
    """Replace one value in each row."""
    changed = []
    for row in map(list, rows):
        row[place % len(row)] = ODD_VALUES[place % len(ODD_VALUES)]
        changed.append(tuple(row))
    return changed


@pytest.mark.parametrize("table", ROWS)
def test_values_of_any_type(tmp_path: Path, table: str) -> None:
    schema = re.sub(r" NOT NULL|(?<=INTEGER) PRIMARY KEY|,\s+UNIQUE ?\([^)]*\)", "", SCHEMA)
    for place in range(18):
        content = ROWS | {table: odd_rows(ROWS[table], place)}
        consume(read_digikam, database(tmp_path / f"{place}.db", content, schema))


# Rows that digiKam 7.9 itself wrote for copies of one photo, stored in three orientations, whose regions are
# in XMP (github.com/skatsubo/exif-orientation-vs-face-regions, photo.3, photo.6 and photo.8, .embedded.jpg).
WRITTEN: dict[str, list[tuple[Any, ...]]] = {
    "AlbumRoots": [(1, "Photos", 0, 1, "volumeid:?path=/mnt/photos", "/", None)],
    "Albums": [(1, 1, "/", "2026-11-29", None, None, None)],
    "Images": [
        (1, 1, "photo.3.embedded.jpg", 1, 1, None, 117_807, "24b11b9e", None),
        (4, 1, "photo.6.embedded.jpg", 1, 1, None, 100_760, "ff4bf9f0", None),
        (7, 1, "photo.8.embedded.jpg", 1, 1, None, 116_483, "9ae5f4a2", None),
    ],
    "ImageInformation": [
        (1, -1, None, None, 3, 840, 700, "JPG", 8, 2),
        (4, -1, None, None, 6, 700, 840, "JPG", 8, 2),
        (7, -1, None, None, 8, 700, 840, "JPG", 8, 2),
    ],
    "Tags": [
        (4, 0, "People", None, None),
        (5, 4, "Unknown", None, None),
        (6, 4, "Marie Curie", None, None),
        (7, 4, "Pierre Curie", None, None),
        (22, 4, "Unconfirmed", None, None),
    ],
    "TagProperties": [
        (5, "person", None),
        (5, "unknownPerson", None),
        (6, "person", "Marie Curie"),
        (6, "faceEngineId", "Marie Curie"),
        (7, "person", "Pierre Curie"),
        (7, "faceEngineId", "Pierre Curie"),
        (22, "person", None),
        (22, "unconfirmedPerson", None),
    ],
    "ImageTags": [(image, tag) for image in (1, 4, 7) for tag in (6, 7)],
    "ImageTagProperties": [
        (image, tag, "tagRegion", rectangle)
        for image in (1, 4, 7)
        for tag, rectangle in (
            (6, '<rect x="265" y="147" width="92" height="140"/>'),
            (7, '<rect x="538" y="84" width="84" height="168"/>'),
        )
    ],
}


def test_what_digikam_itself_wrote(tmp_path: Path) -> None:
    album = read_digikam(database(tmp_path / "digikam4.db", WRITTEN))
    photos = list(album.photos)
    assert [photo.path for photo in photos] == [f"/mnt/photos/photo.{n}.embedded.jpg" for n in (3, 6, 8)]
    for photo in photos:
        assert photo.dimensions == (840, 700)
        assert photo.people == ()
        assert [region.name for region in photo.regions] == ["Marie Curie", "Pierre Curie"]
        # The regions in XMP of photo.6 are at x 0.31, y 0.63 and x 0.24, y 0.31, w 0.24, h 0.10 as stored.
        centres = [(box[0] + box[2], box[1] + box[3]) for box in (region.box for region in photo.regions)]
        assert centres[0] == pytest.approx((2 * 0.37, 2 * 0.31), abs=0.003)
        assert centres[1] == pytest.approx((2 * 0.69, 2 * 0.24), abs=0.003)
    assert sorted(person.name or "" for person in album.people.values()) == ["Marie Curie", "Pierre Curie"]
    assert album.problems == []
