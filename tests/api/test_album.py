"""All faces and photos as arrays: what a page is sent, what follows a commit, and what conflicts.

`tests/people/test_decisions_properties.py` compares a page that follows with what the index has.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from album_page import AlbumPage, read_bytes
from decided_index import PINS, make_index, make_photo
from old_formats import downgrade

from faceindex import FaceIndex
from faceindex.api.album_covers import cover_faces
from faceindex.errors import IndexCorrupt, UsageError
from faceindex.store import Store

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "album_state.py"
FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def index(tmp_path: Path, fake_models: ModuleType) -> Iterator[FaceIndex]:
    """Four people on 12 photos, clustered."""
    make_index(tmp_path / "index", 12)
    with FaceIndex.open(tmp_path / "index", write=True) as found:
        found.cluster()
        yield found


def faces_of(index: FaceIndex, *clusters: int) -> list[list[int]]:
    return [[face.face for face in index.faces(cluster=cluster)] for cluster in clusters]


def largest(index: FaceIndex) -> list[int]:
    return [cluster.cluster for cluster in index.clusters()]


def test_the_bytes_of_an_album(index: FaceIndex) -> None:
    cluster = largest(index)[0]
    index.people.name("Zoë 李", clusters=[cluster])
    index.people.hide("Zoë 李", True)
    index.people.note("Zoë 李", "line\nline")
    header, columns = read_bytes(index.album.load().to_bytes())
    assert header["schema"] == "faceindex/album/1"
    assert (header["faces"], header["photos"], header["clustered"]) == (len(index), 12, True)
    assert header["newer_faces"] == 0
    assert (header["decision"], header["undo_number"]) == (3, 3)
    assert header["undo"] == index.people.log(1)[0].command
    (person,) = header["people"]
    assert (person["name"], person["hidden"], person["note"]) == ("Zoë 李", True, "line\nline")
    assert header["cluster_person"] == [[cluster, person["id"]]]
    types = {name: values.dtype.str[1:] for name, values in columns.items()}
    assert types == {
        "face": "u4", "face_photo": "u4", "cluster": "i4", "person": "i4", "label": "u1",
        "similarity": "i2", "quality": "u1", "photo": "u4", "taken": "f8",
    }  # fmt: skip
    for i, face in enumerate(index):
        assert columns["face"][i] == face.face
        assert columns["cluster"][i] == (-1 if face.cluster is None else face.cluster)
        assert (columns["person"][i] == person["id"]) == (face.person == "Zoë 李")
        assert columns["quality"][i] == max(1, round(face.quality * 255))
        units = -32768 if face.similarity is None else pytest.approx(face.similarity * 10_000, abs=0.6)
        assert columns["similarity"][i] == units
    assert np.isnan(columns["taken"]).sum() == 4  # every third picture


def test_an_empty_index_and_one_without_clusters(tmp_path: Path, fake_models: ModuleType) -> None:
    Store.create(tmp_path / "empty", PINS).close()
    with FaceIndex.open(tmp_path / "empty", write=True) as index:
        page = AlbumPage(FaceIndex.open(tmp_path / "empty"))
        assert (len(page.state), page.header["clustered"], page.header["undo"]) == (0, False, None)
        root = index._store.add_root("/photos", "photos").id
        index._store.commit([make_photo(root, "1.jpg", 1, 0)])
        page.follow()
        assert page.reloads == 1
        assert set(page.columns["cluster"].tolist()) == {-1}
        assert set(page.columns["similarity"].tolist()) == {-32768}
        index.cluster()
        assert page.follow() is not None
        assert page.header["clustered"]
        assert page.reloads == 1
        page.index.close()


def test_what_is_sent_after_a_decision_is_small(index: FaceIndex) -> None:
    with FaceIndex.open(index.directory) as other:
        page = AlbumPage(other)
        assert page.follow() is None
        first = largest(index)[0]
        sent = sent_after(page, lambda: index.people.name("Anna", clusters=[first]))
        assert sent["cluster_person"] == [[first, sent["people"][0]["id"]]]
        sent = sent_after(page, lambda: index.people.confirm(faces_of(index, first)[0][:1]))
        assert len(sent["faces"]["person"]) == 1
        assert "people" not in sent
        assert "cluster_person" not in sent
        sent = sent_after(page, lambda: index.people.rename("Anna", "Hannah"))
        assert sent["people"][0]["name"] == "Hannah"
        assert sent["faces"]["cluster"] == []
        assert page.reloads == 0
        # A commit without a change of what is shown.
        index._store.log_run("made up", {})
        assert page.follow() is not None
        earlier = page.state.changes_since(page.state.generation - 1)
        assert (len(earlier.faces), earlier.people, earlier.reload) == (0, None, False)


def sent_after(page: AlbumPage, decide: Callable[[], object]) -> dict[str, Any]:
    decide()
    sent = page.follow()
    assert sent is not None
    return sent


def test_a_drawn_face_comes_and_goes(tmp_path: Path, fake_models: ModuleType) -> None:
    album = fake_models.make_album(tmp_path / "album", people=2, photos=2)
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
        page = AlbumPage(FaceIndex.open(index.directory))
        face, _ = index.add_face(album / "person0" / "0.png", (2.0, 30.0, 24.0, 54.0), name="Anna")
        page.follow()
        photo = index.album.photo(int(page.state.photos[page.state.photo[page.state.face == face][0]]))
        assert [(each.face == face, each.by_hand) for each in photo.faces] == [(False, False), (True, True)]
        assert photo.faces[1].box == pytest.approx((2, 30, 24, 54))
        assert photo.as_dict()["faces"][1]["by_hand"] is True
        index.people.undo()
        page.follow()
        assert len(page.state) == 4
        assert page.reloads == 2
        page.index.close()


def test_conflicts(index: FaceIndex) -> None:
    first, second, third, *_ = largest(index)
    one, two, three = faces_of(index, first, second, third)
    with FaceIndex.open(index.directory) as other:
        state = other.album.load()
        seen = state.generation
        assert state.conflict(one, [first], [], seen) is None
        anna = index.people.name("Anna", clusters=[first])
        assert anna.number is not None
        other.album.follow(state)
        (person,) = state.people
        by = f" by `people name {first} Anna`."
        assert anna.command == f"people name {first} Anna"
        assert state.conflict(one, [], [], seen) == f"Face {one[0]} was changed meanwhile{by}"
        assert state.conflict([], [second, first], [], seen) == f"Cluster {first} was changed meanwhile{by}"
        assert state.conflict([], [], [person.id], seen) == f"Anna was changed meanwhile{by}"
        assert state.conflict(two, [second], [], seen) is None
        assert state.conflict(one, [first], [person.id], state.generation) is None
        assert state.conflict(one, [first], [person.id], seen, own={anna.number}) is None
        assert state.conflict(one, [first], [person.id], seen, own={99}) is not None
        # Several decisions at once, then one that merges and one that hides.
        seen = state.generation
        ben = index.people.name("Ben", clusters=[second])
        assert ben.number is not None
        index.people.name("Carl", clusters=[third])
        other.album.follow(state)
        assert "by one of 2 decisions" in (state.conflict(three, [], [], seen) or "")
        assert state.conflict(two, [], [], seen, own={ben.number}) is not None
        assert state.conflict(one, [first], [person.id], seen) is None
        seen = state.generation
        ids = {person.name: person.id for person in state.people}
        index.people.merge("Anna", "Ben")
        other.album.follow(state)
        problem = state.conflict([], [], [ids["Ben"]], seen)
        assert problem == "A person was removed or merged meanwhile by `people merge Anna Ben`."
        assert state.conflict([], [], [ids["Anna"]], seen) is not None
        assert state.conflict([], [], [ids["Carl"]], seen) is None
        # What is no decision.
        before, seen = seen, state.generation
        index._store.remove_photos([int(state.photos[state.photo[0]])])
        gone = int(state.face[0])
        other.album.follow(state)
        assert state.conflict([gone], [], [], seen) == f"Face {gone} is not in the index any more."
        assert state.changes_since(seen).reload
        assert not state.changes_since(state.generation).reload
        # Names of people in commands are not kept: they may have been forgotten.
        problem = state.conflict([], [], [ids["Ben"]], before)
        assert problem == "A person was removed or merged meanwhile."
        # Another index took the place of this one.
        assert state.changes_since(state.generation + 1).reload
        assert "another index" in (state.conflict([], [], [], state.generation + 1) or "")
        assert state.conflict([], [], [], 1) == "The page shows a state of the index that is too old."


def test_similarities_alone_are_no_conflict(index: FaceIndex) -> None:
    """Faces whose cluster grew can still be named on sight of the page before."""
    state = index.album.load()
    seen = state.generation
    face = int(state.face[np.flatnonzero(state.cluster >= 0)[0]])
    with index._store.deciding():
        index._store._catalog.execute(
            "UPDATE assignments SET similarity = similarity - 0.01 WHERE face_id = ?", (face,)
        )
    with sqlite3.connect(index.directory / "catalog.sqlite") as database:  # as `cluster` does
        database.execute("INSERT INTO journal (at, kind, detail) VALUES ('', 'cluster', '{}')")
    changes = index.album.follow(state)
    assert changes is not None
    assert state.face[changes.faces].tolist() == [face]
    assert state.conflict([face], [], [], seen) is None


def test_a_photo(index: FaceIndex) -> None:
    table = index.table()
    for record in list(index._store.photos().values())[:3]:
        photo = index.album.photo(record.id)
        mine = np.flatnonzero(table.photo == record.id)
        assert (photo.name, photo.folder, photo.path) == (
            f"photos/{record.relpath}", "photos", f"/photos/{record.relpath}",
        )  # fmt: skip
        assert (photo.width, photo.height, photo.taken) == (1000, 800, record.taken)
        assert [face.face for face in photo.faces] == table.face[mine].tolist()
        assert np.allclose([face.box for face in photo.faces], table.boxes[mine])
        assert np.allclose([face.quality for face in photo.faces], table.quality[mine])
        assert photo.problem is None
    index._store.mark_failed([(1, "missing")])
    assert index.album.photo(1).problem == "missing"
    with pytest.raises(UsageError, match="no photo 99"):
        index.album.photo(99)


def test_search_by_name(tmp_path: Path) -> None:
    names = [
        "1990/Grüße aus Köln.JPG",
        f"1990/{unicodedata.normalize('NFD', 'Käse')}.jpg",
        "1991/IMG_0001.jpg",
        "1991/kase.jpg",
    ]
    with Store.create(tmp_path / "index", PINS) as store:
        for given in ("alben/Familie", "."):
            root = store.add_root(f"/photos/{given}", given).id
            store.commit([make_photo(root, name, number, 0) for number, name in enumerate(names)])
    with FaceIndex.open(tmp_path / "index") as index:

        def found(words: str, limit: int = 1000) -> list[str]:
            ids = index.album.search_photos(words, limit)
            assert ids == sorted(ids)
            return [index.album.photo(id).name for id in ids]

        assert found("koln") == [f"alben/Familie/{names[0]}", names[0]]
        assert found("KÄSE") == [f"alben/Familie/{names[1]}", f"alben/Familie/{names[3]}", names[1], names[3]]
        assert found("1990 kase") == [f"alben/Familie/{names[1]}", names[1]]
        assert found("familie/1991 IMG") == [f"alben/Familie/{names[2]}"]
        assert found("jpg 1991", 3) == [f"alben/Familie/{names[2]}", f"alben/Familie/{names[3]}", names[2]]
        assert found("strasse") == found("") == found("  ") == found("jpg", 0) == []


@pytest.mark.parametrize("version", [4, 5, 6, 11])
def test_older_formats(index: FaceIndex, version: int) -> None:
    index.close()
    downgrade(index.directory, version)
    with FaceIndex.open(index.directory) as older:
        state = older.album.load()
        assert np.array_equal(state.cluster, older.table().cluster)
        assert older.album.photo(1).faces
        read_bytes(state.to_bytes())


def test_the_oldest_format(tmp_path: Path) -> None:
    """Its faces have no quality: it is computed when they are read."""
    shutil.copytree(FIXTURES / "index-format-1" / "index", tmp_path / "index")
    with FaceIndex.open(tmp_path / "index") as index:
        state = index.album.load()
        table = index.table()
        assert np.array_equal(state.quality, table.quality)
        photo = index.album.photo(int(table.photo[0]))
        assert [face.quality for face in photo.faces] == table.quality[table.photo == photo.id].tolist()


@pytest.mark.parametrize(
    "damage",
    [
        "PRAGMA foreign_keys = OFF; UPDATE faces SET image_id = 99 WHERE id = 1",
        "UPDATE faces SET geometry = x'00' WHERE id = 1",
        "UPDATE images SET taken = 'never' WHERE id = 2",
        "UPDATE assignments SET similarity = 7",
        f"PRAGMA foreign_keys = OFF; UPDATE faces SET id = {1 << 40} WHERE id = 1",
    ],
)
def test_damage_is_an_error_of_its_own(index: FaceIndex, damage: str) -> None:
    state = index.album.load()
    before = state.to_bytes()
    with sqlite3.connect(index.directory / "catalog.sqlite") as database:
        database.executescript(damage)
        database.execute("UPDATE meta SET value = value + 1 WHERE key IN ('generation', 'photos_at')")
    for read in (index.album.load, lambda: index.album.follow(state)):
        with pytest.raises(IndexCorrupt):
            read()
    assert state.to_bytes() == before


def test_the_quick_benchmark_finds_no_difference(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(BENCHMARK.parent)!r}); sys.argv = ['x', '--quick']\n"
        f"import common, pathlib; common.RESULTS = pathlib.Path({str(tmp_path)!r})\n"
        "import album_state; sys.exit(album_state.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "differences from an album that is read anew: 0" in done.stdout


def test_the_covers_of_the_largest_groups(index: FaceIndex) -> None:
    """`tests/browser/test_page_browse.py` compares them with those of the page."""
    for name, cluster in zip(("Ada", "Ben"), largest(index), strict=False):
        index.people.name(name, clusters=[cluster])
    index.people.hide("Ben", True)
    state = index.album.load()
    ada, ben = (record.id for record in state.people)
    rng = np.random.default_rng(0)
    for _ in range(20):
        state.cluster[:] = rng.integers(-1, 6, len(state))
        state.person[:] = rng.choice([-1, -1, -1, ada, ben], len(state))
        state.label[:] = rng.choice([0, 0, 0, 0, 2, 3, 4], len(state))
        state.similarity[:] = rng.choice([np.nan, 0.5, 0.50001, 0.6, 0.7], len(state))
        state.quality[:] = rng.choice([np.nan, 0.2, 0.9], len(state))
        groups: dict[tuple[str, int], list[int]] = {}
        for at in range(len(state)):
            person, cluster = int(state.person[at]), int(state.cluster[at])
            if state.label[at] in (3, 4) or person == ben or (person < 0 and cluster < 0):
                continue
            groups.setdefault(("person", person) if person >= 0 else ("cluster", cluster), []).append(at)
        expected = []
        for members in sorted(groups.values(), key=lambda found: (-len(found), found[0])):
            similarity = {
                at: -2.0 if np.isnan(s := state.similarity[at]) else round(float(s), 4) for at in members
            }
            quality = {at: -1.0 if np.isnan(q := state.quality[at]) else float(q) for at in members}
            typical = sorted(members, key=lambda at: (-similarity[at], at))[: len(members) // 2 + 1]
            expected.append(int(state.face[max(typical, key=lambda at: quality[at])]))
        assert cover_faces(state, 100) == expected
        assert cover_faces(state, 2) == expected[:2]
