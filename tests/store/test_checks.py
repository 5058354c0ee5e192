"""Damage in a catalog: all of it is found, and the repairs leave a sound catalog and everything else."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from faceindex import FaceIndex
from faceindex.store.catalog import Catalog
from faceindex.store.checks import find_damage

NAN = struct.pack("<f", float("nan"))
HUGE = struct.pack("<f", 1e30)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with clusters, a person, a stranger, a rejection and a link."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1])
        import fakes

        from faceindex.models import registry

        with registry.isolated():
            fakes.register_fakes()
            with FaceIndex.create(folder / "index", detector="fake", embedder="fake") as index:
                index.add(fakes.make_album(folder / "album"))
                index.cluster()
                one, two, three = index.clusters()
                index.people.name("Anna", clusters=[one.cluster])
                index.people.name("Ben", clusters=[two.cluster])
                index.people.reject([three.example.face], "Anna")
                index.people.different([one.example.face], [two.example.face])
    return folder / "index"


@pytest.fixture
def index(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "index"))


def damage(index: Path, *statements: str | tuple[str, object]) -> None:
    with closing(sqlite3.connect(index / "catalog.sqlite")) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            database.execute(
                *((statement,) if isinstance(statement, str) else (statement[0], [statement[1]]))
            )


def findings(index: Path, *, repair: bool = False) -> list[tuple[str, int]]:
    """Return the tables and rows of all findings, after running their repairs if wanted."""
    with closing(Catalog.open(index / "catalog.sqlite", write=repair)) as catalog:
        found = find_damage(catalog)
        if repair:
            with catalog.transaction():
                for finding in found:
                    catalog.execute(str(finding.repair))
    return [(finding.table, finding.rows) for finding in found]


def test_a_sound_index_has_no_damage(index: Path) -> None:
    assert findings(index) == []


REPAIRABLE: list[tuple[str, str | tuple[str, object]]] = [
    ("meta", "UPDATE meta SET value = '{' WHERE key = 'hnsw'"),
    ("meta", "UPDATE meta SET value = '{\"m\": 1000000000}' WHERE key = 'hnsw'"),
    ("meta", "UPDATE meta SET value = '-1' WHERE key = 'generation'"),
    ("meta", "UPDATE meta SET value = '0' WHERE key = 'next_cluster_id'"),
    ("meta", "INSERT INTO meta VALUES ('transfer', '[]')"),
    ("images", "UPDATE images SET width = 'wide' WHERE id = 1"),
    ("images", "UPDATE images SET relpath = CAST('../../etc/passwd' AS BLOB) WHERE id = 1"),
    ("images", "UPDATE images SET relpath = CAST('/etc/passwd' AS BLOB) WHERE id = 1"),
    ("images", "UPDATE images SET root_id = 77 WHERE id = 1"),
    ("images", "UPDATE images SET status = 'fine' WHERE id = 1"),
    ("images", "UPDATE images SET faces = 9 WHERE id = 1"),
    ("images", "UPDATE images SET reason = CAST(x'ff' AS TEXT) WHERE id = 1"),
    ("faces", "UPDATE faces SET image_id = 77 WHERE id = 1"),
    ("faces", "UPDATE faces SET vector_row = 12345 WHERE id = 1"),
    ("faces", "UPDATE faces SET vector_row = -5 WHERE id = 1"),
    ("faces", "UPDATE faces SET vector_row = 'x' WHERE id = 1"),
    ("faces", "UPDATE faces SET geometry = substr(geometry, 2) WHERE id = 1"),
    ("faces", ("UPDATE faces SET geometry = CAST(? || substr(geometry, 5) AS BLOB) WHERE id = 1", NAN)),
    ("faces", ("UPDATE faces SET geometry = CAST(? || substr(geometry, 5) AS BLOB) WHERE id = 1", HUGE)),
    ("assignments", "UPDATE assignments SET face_id = 99 WHERE face_id = 1"),
    ("assignments", "UPDATE assignments SET cluster_id = 99 WHERE face_id = 1"),
    ("assignments", "UPDATE assignments SET cluster_id = 100000000 WHERE face_id = 1"),
    ("assignments", "UPDATE assignments SET similarity = 9e999 WHERE face_id = 1"),
    ("assignments", "UPDATE assignments SET similarity = 'much' WHERE face_id = 1"),
    ("clusterings", "UPDATE clusterings SET params = 'x'"),
    ("clusterings", "UPDATE clusterings SET created = 'x'"),
    ("clusterings", "UPDATE clusterings SET previous_id = 44"),
    ("clusters", "UPDATE clusters SET person_id = 99 WHERE id = 0"),
    ("people", "UPDATE people SET into_id = 99 WHERE id = 1"),
    ("people", "UPDATE people SET into_id = 3 - id"),
    ("people", "UPDATE people SET note = CAST(x'c3' AS TEXT) WHERE id = 1"),
    ("decisions", "UPDATE decisions SET undone_by = 99 WHERE id = 1"),
    ("decisions", "UPDATE decisions SET undone_by = id WHERE id = 2"),
    ("decisions", "UPDATE decisions SET changes = '{' WHERE id = 1"),
    ("decisions", "UPDATE decisions SET at = 'x' WHERE id = 1"),
    ("marks", "UPDATE marks SET person_id = 99 WHERE id = 1"),
    ("rejections", "UPDATE rejections SET mark_id = 99"),
    ("rejections", "UPDATE rejections SET person_id = 99"),
    ("links", "UPDATE links SET b = 99"),
    ("links", "UPDATE links SET a = b, b = a"),
    ("marked_faces", "UPDATE marked_faces SET mark_id = 99 WHERE face_id = 1"),
    ("journal", "UPDATE journal SET detail = '[1'"),
    ("meta", 'INSERT INTO meta VALUES (\'forgetting\', \'{"contents": ["no hash"], "files": 0}\')'),
    ("copies", "INSERT INTO copies (path, kind, options, at) VALUES (x'2f6100', 'crops', '{}', '')"),
    ("copies", "INSERT INTO copies (path, kind, options, at) VALUES (x'2f61', 'crops', '{', '')"),
]


@pytest.mark.parametrize(("table", "statement"), REPAIRABLE, ids=lambda value: str(value)[:70])
def test_damage_is_found_and_repaired(index: Path, table: str, statement: str | tuple[str, object]) -> None:
    damage(index, statement)
    found = findings(index, repair=True)
    assert found
    assert found[0][0] == table
    assert all(rows >= 1 for _, rows in found)
    again = findings(index, repair=True)  # a deleted photo or face leaves a count to correct
    assert findings(index) == [], again


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("meta", "UPDATE meta SET value = 'x' WHERE key = 'pins'"),
        ("meta", "DELETE FROM meta WHERE key = 'rows'"),
        ("people", "UPDATE people SET hidden = 'x'"),
        ("people", "INSERT INTO people (id, uid, written) VALUES (100000000, 'x', 0)"),
        ("people", "UPDATE people SET uid = CAST(x'ff' || id AS TEXT)"),
        ("decisions", "UPDATE decisions SET actions = '5' WHERE id = 1"),
        ("marks", "UPDATE marks SET box = x'00' WHERE id = 1"),
        ("marks", "UPDATE marks SET label = 17 WHERE id = 1"),
        ("roots", "UPDATE roots SET path = 5"),
    ],
)
def test_no_statement_repairs_what_the_user_said(index: Path, table: str, statement: str) -> None:
    damage(index, statement)
    with closing(Catalog.open(index / "catalog.sqlite", write=False)) as catalog:
        (finding,) = find_damage(catalog)
    assert (finding.table, finding.repair) == (table, None)


def test_several_kinds_are_listed_together(index: Path) -> None:
    damage(
        index,
        "UPDATE journal SET detail = '[1'",
        "UPDATE links SET b = 99",
        "UPDATE faces SET image_id = 77 WHERE id < 3",
    )
    assert {("journal", 1), ("links", 1), ("faces", 2)} <= {*findings(index)}


def test_photos_that_are_away_are_sound_if_their_root_is_gone(index: Path) -> None:
    """Their paths are absolute then; with a root, an absolute path is damage."""
    with FaceIndex.open(index, write=True) as opened:
        store, number = opened._store, len(opened)
        album = store.roots()[0].path
        store.put_away([photo.id for photo in store.photos().values()])
        store.remove_photos([])  # deletes the root, which has no photos
        away = store.away_photos()
        assert {(photo.root_id, Path(photo.relpath).is_absolute()) for photo in away} == {(0, True)}
    assert findings(index, repair=True) == []
    with FaceIndex.open(index, write=True) as opened:
        opened.add(album)
        assert (len(opened), len(opened._store.away_photos())) == (number, 0)
        opened._store.put_away([min(photo.id for photo in opened._store.photos().values())])
    damage(index, "UPDATE away_images SET relpath = CAST('/etc/' || relpath AS BLOB)")
    assert findings(index, repair=True) == [("away_images", 1)]
    assert findings(index) == []
