"""`index.people`: what each verb does to clusters, and what stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from decided_index import check_constraints, make_index, make_photo, said_by_user

from faceindex import FaceIndex
from faceindex.errors import NotClustered, UsageError
from faceindex.orientation import to_upright


@pytest.fixture
def index(tmp_path: Path, fake_models: ModuleType) -> Iterator[FaceIndex]:
    """A clustered index of four people on twelve pictures."""
    make_index(tmp_path / "index", 12)
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index.cluster()
        assert len(index.clusters()) == 4
        yield index
        check_constraints(index)


def faces_of(index: FaceIndex, name: str) -> set[int]:
    return {face.face for face in index if face.person == name}


def members(index: FaceIndex, cluster: int) -> list[int]:
    return [face.face for face in index.faces(cluster=cluster)]


def test_a_named_cluster_is_a_person(index: FaceIndex) -> None:
    faces = members(index, 0)
    decided = index.people.name("  Anna ", clusters=[0])
    assert (decided.faces, decided.moved, decided.people) == (len(faces), 0, ("Anna",))
    (anna,) = index.people.list()
    assert (anna.name, anna.clusters, anna.faces, anna.named) == ("Anna", (0,), len(faces), len(faces))
    assert anna.confirmed == 0
    assert anna.photos == len({face.photo for face in index.faces(cluster=0)})
    assert anna.first is not None
    assert anna.last is not None
    assert anna.first < anna.last
    assert index.people.get("ANNA") == anna


@pytest.mark.parametrize("algorithm", ["album", "chinese-whispers", "kmeans"])
def test_names_and_rejections_outlive_new_clusters(index: FaceIndex, algorithm: str) -> None:
    faces = set(members(index, 0))
    wrong = min(faces)
    index.people.name("Anna", clusters=[0])
    index.people.reject([wrong])
    for _ in range(2):
        index.cluster(algorithm, k=3 if algorithm == "kmeans" else None, rebuild=True)
        assert faces_of(index, "Anna") >= faces - {wrong}
        assert wrong not in faces_of(index, "Anna")


def test_a_face_of_another_person_changes_its_name(index: FaceIndex) -> None:
    index.people.name("Anna", clusters=[0])
    index.people.name("Ben", clusters=[1])
    face = members(index, 0)[0]
    decided = index.people.name("ben", faces=[face])
    assert (decided.faces, decided.moved) == (1, 1)
    assert face in faces_of(index, "Ben")
    assert index.people.get("Ben").confirmed == 1


def test_a_rejected_face_does_not_come_back_by_a_merge(index: FaceIndex) -> None:
    """Face rejected from Anna, in the cluster of Ben: if the two are one, it is not this person either."""
    one, other = members(index, 0), members(index, 1)
    index.people.name("Anna", clusters=[0])
    index.people.name("Ben", faces=other[:1])
    index.people.reject(other[-1:], "Anna")
    assert other[-1] in faces_of(index, "Ben")
    before = said_by_user(index), {face.face: face.cluster for face in index}
    index.people.merge("Anna", "Ben")
    assert [person.name for person in index.people.list()] == ["Anna"]
    assert faces_of(index, "Anna") >= {*one, other[0]}
    assert other[-1] not in faces_of(index, "Anna")
    index.people.undo()
    assert (said_by_user(index), {face.face: face.cluster for face in index}) == before


def test_nobody_is_found_before_birth(index: FaceIndex) -> None:
    faces = [face.face for face in index.faces(cluster=0)]
    index.people.name("Anna", faces=faces[-1:])
    assert faces_of(index, "Anna") == set(faces)
    taken = {face.face: photo.taken for face in index for photo in index._store.photos().values()
             if photo.relpath == Path(face.path).name}  # fmt: skip
    index.people.born("Anna", "1980")
    early = {face for face in faces if (at := taken[face]) is not None and at < 315_532_800}
    assert early
    assert not early & (faces_of(index, "Anna") - {faces[-1]})
    index.people.confirm(sorted(early)[:1], "Anna")  # the word of the user counts more than a date
    assert sorted(early)[0] in faces_of(index, "Anna")


def test_a_decision_that_says_nothing_new_is_not_stored(index: FaceIndex) -> None:
    index.people.name("Anna", clusters=[0])
    assert index.people.name("Anna", clusters=[0]).number is None
    assert index.people.rename("Anna", "Anna").number is None
    assert index.people.born("Anna", None).number is None
    assert len(index.people.log()) == 1


def test_same_faces_come_together_and_different_ones_part(index: FaceIndex) -> None:
    one, other = members(index, 0), members(index, 1)
    index.people.same([one[0], other[0]])
    assert {face.cluster for face in index if face.face in {*one, *other}} == {0}
    index.people.undo()
    assert members(index, 1) == other
    index.people.different([one[0]], [one[-1]])
    clusters = {face.face: face.cluster for face in index}
    assert clusters[one[0]] != clusters[one[-1]]
    index.cluster(rebuild=True)
    clusters = {face.face: face.cluster for face in index}
    assert clusters[one[0]] is None or clusters[one[0]] != clusters[one[-1]]


def test_links_lead_on_to_other_clusters(index: FaceIndex) -> None:
    """What a decision moves takes along the faces that are linked with it, through several links."""
    one, other, third = (members(index, cluster) for cluster in (0, 1, 2))
    index.people.same([one[0], other[0]])
    index.people.same([other[-1], third[0]])
    index.people.name("Anna", faces=[one[-1]])
    index.people.reject([third[-1]], "Anna")
    check_constraints(index)


def test_nobody_is_in_no_cluster(index: FaceIndex) -> None:
    faces = members(index, 0)
    index.people.ignore(clusters=[0])
    index.people.not_a_face(faces=members(index, 1)[:1])
    index.cluster(rebuild=True)
    assert all(face.cluster is None for face in index if face.face in faces)
    index.people.name("Anna", faces=faces[:1])  # after all
    assert faces_of(index, "Anna") == set(faces[:1])


def test_undo_needs_a_decision_and_a_number(index: FaceIndex) -> None:
    with pytest.raises(UsageError, match="no decision to undo"):
        index.people.undo()
    with pytest.raises(UsageError, match="1 or more"):
        index.people.undo(0)


def test_what_is_not_in_the_index_is_an_error(index: FaceIndex) -> None:
    people = index.people
    with pytest.raises(UsageError, match="no cluster 99"):
        people.name("Anna", clusters=[99])
    with pytest.raises(UsageError, match="no face 9999"):
        people.name("Anna", faces=[9999])
    with pytest.raises(UsageError, match="no face 9999"):
        people.reject([9999])
    with pytest.raises(UsageError, match="Nothing is given"):
        people.name("Anna")
    with pytest.raises(UsageError, match="in no cluster of a person"):
        people.confirm([1])
    with pytest.raises(UsageError, match="Nobody has the name"):
        people.rename("Zoe", "Anna")
    people.name("Anna", clusters=[0])
    with pytest.raises(UsageError, match="with itself"):
        people.merge("Anna", "anna")
    assert len(people.log()) == 1


def test_decisions_need_clusters_and_an_index_that_is_open_for_writing(
    tmp_path: Path, fake_models: ModuleType
) -> None:
    make_index(tmp_path / "index", 3)
    with FaceIndex.open(tmp_path / "index", write=True) as index, pytest.raises(NotClustered):
        index.people.name("Anna", faces=[1])
    with FaceIndex.open(tmp_path / "index") as index:
        assert list(index.people.list()) == []
        with pytest.raises(UsageError, match="reading only"):
            index.people.name("Anna", faces=[1])


def test_an_error_in_the_middle_changes_nothing(index: FaceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    index.people.name("Anna", clusters=[0])
    before = said_by_user(index), index.people.log()

    def fail(*arguments: object, **options: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("faceindex.api.deciding.settle", fail)
    with pytest.raises(OSError, match="full"):
        index.people.name("Ben", clusters=[1])
    assert (said_by_user(index), index.people.log()) == before
    monkeypatch.undo()
    index.people.name("Ben", clusters=[1])
    assert {person.name for person in index.people.list()} == {"Anna", "Ben"}


def test_the_name_of_a_cluster_lifts_no_rejection(index: FaceIndex) -> None:
    faces = members(index, 0)
    index.people.name("Anna", faces=members(index, 1)[:1])
    index.people.reject(faces[:1], "Anna")
    decided = index.people.name("Anna", clusters=[0])
    assert decided.faces == len(faces) - 1
    assert faces_of(index, "Anna") >= set(faces[1:])
    assert faces[0] not in faces_of(index, "Anna")
    index.people.name("Anna", faces=faces[:1])  # a word about this very face does
    assert faces[0] in faces_of(index, "Anna")


@pytest.mark.parametrize("orientation", [3, 6, 8, 5])
def test_a_decision_follows_the_face_when_the_orientation_is_edited(
    orientation: int, tmp_path: Path, fake_models: ModuleType
) -> None:
    """The same picture is shown turned or mirrored: the name stays with the face, not with the place."""
    photo = replace(make_photo(1, "a.jpg", 2, 0), orientation=1)
    assert photo.faces is not None
    assert len(photo.faces) > 1
    make_index(tmp_path / "index", 1)
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index._store.commit([photo])
        index.cluster()
        first = next(index.faces(photo="photos/a.jpg"))
        index.people.name("Anna", faces=[first.face])
        size = np.array([photo.width, photo.height] * 2, np.float32)
        upright = to_upright(photo.faces.boxes / size, np.full(len(photo.faces), orientation))
        width, height = (photo.height, photo.width) if orientation >= 5 else (photo.width, photo.height)
        boxes = upright * np.array([width, height] * 2, np.float32)
        turned = replace(photo.faces, boxes=boxes)
        index._store.commit(
            [replace(photo, orientation=orientation, width=width, height=height, faces=turned)]
        )
        people = [face.person for face in index.faces(photo="photos/a.jpg")]
        assert people == ["Anna", *[None] * (len(people) - 1)]


def test_copies_of_a_picture_share_their_marks(tmp_path: Path, fake_models: ModuleType) -> None:
    """Also if several versions of a detector drew their boxes, and both are named at once."""
    make_index(tmp_path / "index", 8)
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        index._store.commit(
            [make_photo(1, f"copies/{i}.jpg", 2, version) for i, version in enumerate((0, 1, 5))]
        )
        index.cluster()
        copies = [face for face in index if Path(face.path).name == "2.jpg" or "copies" in face.path]
        index.people.name("Anna", faces=[face.face for face in copies])
        marks = index._store.decisions.marks_of_faces([face.face for face in copies])
        assert len(set(marks.values())) == len(copies) // 4
        index.people.name("Ben", faces=[copies[0].face])
        named = {face.face: face.person for face in index}
        same_place = [face for face, mark in marks.items() if mark == marks[copies[0].face]]
        assert len(same_place) == 4
        assert {named[face] for face in same_place} == {"Ben"}
