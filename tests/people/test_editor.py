"""Decisions on an index of made-up pictures: what they change at once, and what undoing brings back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from decided_index import check_constraints, make_index, said_by_user
from old_formats import downgrade

from faceindex import FaceIndex
from faceindex.errors import UsageError
from faceindex.images import Picture


@pytest.fixture
def index(tmp_path: Path, fake_models: ModuleType) -> Iterator[FaceIndex]:
    """An index with clusters: Anna has a face in the first, Ben in the second one."""
    make_index(tmp_path / "index", 12)
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index.cluster()
        for name, cluster in zip(("Anna", "Ben"), index.clusters(), strict=False):
            index.people.name(name, faces=faces_of(index, cluster.cluster)[:1])
        yield index


def faces_of(index: FaceIndex, cluster: int) -> list[int]:
    return [face.face for face in index.faces(cluster=cluster)]


def faces_of_person(index: FaceIndex, name: str) -> list[int]:
    return [face.face for face in index.faces(person=name)]


def state(index: FaceIndex) -> object:
    return said_by_user(index), {face.face: face.cluster for face in index}


def test_a_merge_does_not_bring_a_rejected_face_back(index: FaceIndex) -> None:
    face = faces_of_person(index, "Anna")[-1]  # by its cluster only
    index.people.reject([face], "Ben")
    before = state(index)
    index.people.merge("Ben", "Anna")
    assert face not in faces_of_person(index, "Ben")
    check_constraints(index)
    index.people.undo()
    assert state(index) == before


def test_a_merge_keeps_different_faces_apart(index: FaceIndex) -> None:
    face = faces_of_person(index, "Anna")[-1]
    index.people.different([face], faces_of_person(index, "Ben")[:1])
    index.people.merge("Ben", "Anna")
    assert face not in faces_of_person(index, "Ben")
    check_constraints(index)


def test_a_merge_heeds_the_date_of_birth(index: FaceIndex) -> None:
    index.people.born("Ben", "2000")
    before = state(index)
    index.people.merge("Ben", "Anna")
    check_constraints(index)
    index.people.undo()
    assert state(index) == before


def test_a_face_that_is_different_from_one_elsewhere_leaves_a_cluster_that_gets_its_name(
    index: FaceIndex,
) -> None:
    third, fourth = (cluster.cluster for cluster in index.clusters()[2:4])
    face, *others = faces_of(index, third)
    elsewhere = faces_of(index, fourth)[0]
    index.people.different([face], [elsewhere])
    index.people.name("Carl", faces=[elsewhere])
    index.people.name("Carl", faces=others[:1])
    assert face not in faces_of_person(index, "Carl")
    check_constraints(index)


@pytest.mark.parametrize("rebuild", [None, False, True])
def test_a_face_that_is_the_same_as_one_of_a_person_shows_the_person(
    index: FaceIndex, rebuild: bool | None
) -> None:
    face = faces_of(index, index.clusters()[2].cluster)[0]
    before = state(index)
    index.people.same([faces_of_person(index, "Anna")[0], face])
    if rebuild is not None:
        index.cluster(rebuild=rebuild)
    assert face in faces_of_person(index, "Anna")
    check_constraints(index)
    index.people.undo()
    assert face not in faces_of_person(index, "Anna")
    if rebuild is None:
        assert state(index) == before


def test_a_person_who_was_undone_cannot_be_given(index: FaceIndex) -> None:
    index.people.name("Carl", faces=[faces_of(index, index.clusters()[2].cluster)[0]])
    carl = index.people.get("Carl")
    index.people.undo()
    with pytest.raises(UsageError, match="Carl is not in the index any more"):
        index.people.confirm([1], carl)


def test_numbers_that_the_catalog_cannot_store_mean_all(index: FaceIndex) -> None:
    assert len(index.people.log(10**30)) == 2
    assert len(index.people.undo(10**30)) == 2


@pytest.mark.parametrize("note", ["not text: \udcff", "x" * 10_001])
def test_notes_that_cannot_be_kept_are_refused(index: FaceIndex, note: str) -> None:
    with pytest.raises(UsageError, match="note"):
        index.people.note("Anna", note)


def test_undoing_without_clusters_makes_none(index: FaceIndex, tmp_path: Path) -> None:
    index.people.reject(faces_of_person(index, "Anna")[:1], "Anna")
    index.people.export(tmp_path / "journal.jsonl")
    make_index(tmp_path / "other", 12)
    with FaceIndex.open(tmp_path / "other", write=True) as other:
        other.people.apply(tmp_path / "journal.jsonl")
        other.people.undo()
        assert all(face.cluster is None for face in other)
        assert other.people.get("Anna").confirmed == 1


def test_decisions_wait_for_pictures_that_are_read_later(index: FaceIndex, tmp_path: Path) -> None:
    index.people.export(tmp_path / "journal.jsonl")
    make_index(tmp_path / "other", 12)
    with FaceIndex.open(tmp_path / "other", write=True) as other:
        store = other._store
        known = [(p.id, Picture(p.picture or b"", p.orientation, p.taken)) for p in store.photos().values()]
        with store.deciding():  # as an older faceindex indexed them
            store._catalog.execute("UPDATE images SET picture = NULL")
        assert other.people.apply(tmp_path / "journal.jsonl").unmatched == 2
        store.save_pictures(known)
        assert other.people.get("Anna").confirmed == 1


@pytest.fixture
def old(tmp_path: Path, fake_models: ModuleType) -> Path:
    """An index with clusters, of a format without pictures and decisions."""
    album = fake_models.make_album(tmp_path / "photos", people=2)
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
    downgrade(tmp_path / "index", 4)
    return tmp_path / "index"


def test_an_old_index_that_is_open_for_reading_has_no_decisions(old: Path) -> None:
    with FaceIndex.open(old) as index:
        face = next(iter(index)).face
        assert not index.people.list()
        assert not index.people.log()
        assert index.people.why(face).face.person is None
        with pytest.raises(UsageError, match="reading only"):
            index.people.undo()


def test_a_dry_run_stores_no_pictures(old: Path) -> None:
    with FaceIndex.open(old, write=True) as index:
        generation = index._store.generation
        face = next(iter(index)).face
        assert index.people.name("Anna", faces=[face], dry_run=True).number is None
        assert index._store.generation == generation
        index.people.name("Anna", faces=[face])
        assert index.people.get("Anna").confirmed == 1


def test_kmeans_does_not_need_the_faces_that_show_nobody(index: FaceIndex) -> None:
    faces = [face.face for face in index]
    index.people.ignore(faces=faces[2:])
    assert index.cluster("kmeans", k=3).unclustered == len(faces) - 2
