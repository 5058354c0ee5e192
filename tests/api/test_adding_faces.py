"""`FaceIndex.add_face`: faces that the user draws, and that nothing automatic takes away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from uuid import uuid4

import numpy as np
import pytest
from old_formats import downgrade
from photo_edits import edit

from faceindex import FaceIndex
from faceindex.api.deciding import Decider
from faceindex.errors import ImageError, NotClustered, UsageError
from faceindex.store.decisions import Label
from faceindex.store.vectors import HEADER_BYTES

BOX = (2.0, 30.0, 24.0, 54.0)  # beside the box that the fake detector finds, 24..72
CORNER = (0.0, 0.0, 19.0, 19.0)  # where the other fake detector finds a face on dark photos


@pytest.fixture
def album(tmp_path: Path, fake_models: ModuleType) -> Path:
    """Two people with three photos each, and a second face on each photo that no detector finds."""
    fake_models.register_others()
    return Path(fake_models.make_album(tmp_path / "album", people=2, photos=3))


@pytest.fixture
def index(album: Path, tmp_path: Path) -> Iterator[FaceIndex]:
    """Its index, clustered; the first person is Anna."""
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        index.cluster()
        index.people.name("Anna", clusters=[0])
        yield index


def drawn(index: FaceIndex) -> list[tuple[str, str | None, tuple[int, ...]]]:
    """The photo, the person and the box of each face that was drawn."""
    return [
        (Path(face.path).name, face.person, tuple(round(side) for side in face.box))
        for face in index
        if face.by_hand
    ]


WHOLE = tuple(round(side) for side in BOX)


def test_a_drawn_face_is_one_of_the_person(index: FaceIndex, album: Path) -> None:
    face, decided = index.add_face(album / "person0" / "0.png", BOX, name="anna")
    assert decided.command == f"people add-face {album}/person0/0.png 2,30,24,54 anna"
    assert (decided.number, decided.faces, decided.moved, decided.people) == (2, 1, 1, ("Anna",))
    found = next(each for each in index if each.face == face)
    assert (found.by_hand, found.confirmed, found.person, found.box) == (True, True, "Anna", BOX)
    assert found.cluster == 0
    assert found.score == 1.0
    assert sum(each.by_hand for each in index) == 1
    position = index.table().face.tolist().index(face)
    assert found.similarity is not None
    assert np.linalg.norm(index.vectors()[position]) == pytest.approx(1)
    assert index.people.get("Anna").faces == 4
    assert FaceIndex.doctor(index.directory).healthy


def test_it_can_be_taken_back(index: FaceIndex, album: Path) -> None:
    before = [(face.face, face.cluster, face.person, face.similarity) for face in index]
    index.add_face(album / "person0" / "0.png", BOX, name="Anna")
    index.add_face(album / "person0" / "1.png", BOX, name="Carl")
    undone = index.people.undo(2)
    assert [decided.removed for _, decided in undone] == [1, 1]
    assert [(face.face, face.cluster, face.person, face.similarity) for face in index] == before
    assert [person.name for person in index.people.list()] == ["Anna"]
    assert index.add(album).by_hand == 0
    assert not drawn(index)
    assert FaceIndex.doctor(index.directory).healthy


def test_what_was_said_of_it_later_keeps_it(index: FaceIndex, album: Path) -> None:
    """Only a decision that was undone before others in the journal of another index can do this."""
    face, _ = index.add_face(album / "person0" / "0.png", BOX)
    index.people.name("Anna", faces=[face])
    first = next(d for d in index._store.decisions.decisions() if d.command.startswith("people add-face"))
    kept: list[int] = []
    decider = Decider(index._reader)
    decider.in_transaction(
        lambda: decider.make("people undo", lambda editor: kept.append(editor.undo(first.number, first.uid))),
        dry_run=False,
    )
    assert kept == [1]
    assert drawn(index) == [("0.png", "Anna", WHOLE)]


def test_a_face_that_is_there_is_named_instead(index: FaceIndex, album: Path) -> None:
    photo, known = album / "person1" / "0.png", (26, 26, 70, 70)
    face = next(index.faces(photo=photo)).face
    with pytest.raises(UsageError, match=f"Face {face} is at this place already") as raised:
        index.add_face(photo, known)
    assert f"people name f{face} NAME" in raised.value.remedy
    named, decided = index.add_face(photo, known, name="Ben")
    assert (named, decided.command) == (face, f"people name f{face} Ben")
    assert next(index.faces(photo=photo)).person == "Ben"
    assert not drawn(index)


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ((1, 2, 3), "not four numbers"),
        ((1, 2, float("nan"), 4), "not four numbers"),
        ((2, 30, 8, 54), "less than 10 pixels"),
        ((24, 30, 2, 54), "less than 10 pixels"),
        ((-5, 30, 24, 54), "not inside .*0.png, which is 96 x 96"),
        ((80, 30, 120, 54), "not inside"),
    ],
)
def test_boxes_that_cannot_be_used(
    index: FaceIndex, album: Path, box: tuple[float, ...], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        index.add_face(album / "person0" / "0.png", box)
    assert len(index) == 6


def test_photos_that_cannot_be_used(index: FaceIndex, album: Path, fake_models: ModuleType) -> None:
    with pytest.raises(UsageError, match="no photo 999"):
        index.add_face(999, BOX)
    with pytest.raises(UsageError, match="is not in the index"):
        index.add_face(album / "new.png", BOX)
    fake_models.make_photo(album / "person0" / "0.png", (9, 200, 9), mark=77)
    with pytest.raises(ImageError, match="has changed since it was indexed"):
        index.add_face(album / "person0" / "0.png", BOX)
    with FaceIndex.open(index.directory) as reader, pytest.raises(UsageError, match="reading only"):
        reader.add_face(album / "person0" / "1.png", BOX)


def test_a_uid_adds_it_once_and_a_dry_run_never(index: FaceIndex, album: Path) -> None:
    photo, uid = album / "person0" / "0.png", uuid4().hex
    face, decided = index.add_face(photo, BOX, name="Anna", dry_run=True)
    assert (decided.number, decided.faces, len(index)) == (None, 1, 6)
    first = index.add_face(photo, BOX, name="Anna", uid=uid)
    assert first[0] == face
    assert index.add_face(photo, BOX, name="Anna", uid=uid) == first
    assert len(index) == 7
    index.people.undo()
    with pytest.raises(UsageError, match="is gone"):
        index.add_face(photo, BOX, name="Anna", uid=uid)
    assert len(index) == 6


def test_without_a_name_it_is_clustered_like_a_new_face(index: FaceIndex, album: Path) -> None:
    face, decided = index.add_face(album / "person1" / "0.png", BOX)
    assert (decided.faces, decided.moved, decided.people) == (1, 0, ())
    assert next(each for each in index if each.face == face).cluster is None
    assert index._store.count_newer_faces() == 1
    for rebuild in (False, True):
        index.cluster(rebuild=rebuild)
        assert [each.cluster is not None for each in index if each.face == face] == [True]


def test_an_index_without_clusters(album: Path, tmp_path: Path) -> None:
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(album)
        with pytest.raises(NotClustered):
            index.add_face(album / "person0" / "0.png", BOX, name="Anna")
        index.add_face(album / "person0" / "0.png", BOX)
        assert drawn(index) == [("0.png", None, WHOLE)]
        index.people.undo()
        assert len(index) == 6


def test_it_follows_its_picture(index: FaceIndex, album: Path) -> None:
    """Moved, copied, with other metadata, turned by its metadata, gone and back: the face is there."""
    photo = album / "person0" / "0.png"
    face, _ = index.add_face(photo, BOX, name="Anna")
    moved = photo.rename(album / "moved.png")
    shutil.copy(moved, album.parent / "turned.png")
    index.add(album)
    edit(moved)
    index.add(album)
    assert [each.face for each in index if each.by_hand] == [face]
    moved.rename(album.parent / "away.png")
    index.add(album)
    assert not drawn(index)
    (album.parent / "away.png").rename(moved)
    assert index.add(album).by_hand == 0
    assert [each.face for each in index if each.by_hand] == [face]
    shutil.copy(moved, album / "copy.png")
    assert index.add(album).by_hand == 1
    edit(album.parent / "turned.png", orientation=6)
    shutil.move(album.parent / "turned.png", album / "copy.png")
    index.add(album)
    index.cluster()
    turned = (96 - WHOLE[3], WHOLE[0], 96 - WHOLE[1], WHOLE[2])
    assert sorted(drawn(index)) == [("copy.png", "Anna", turned), ("moved.png", "Anna", WHOLE)]
    assert index.people.undo()[0][1].removed == 2
    assert FaceIndex.doctor(index.directory).healthy


def test_copies_of_a_photo_get_it_at_once_and_lose_it_with_the_decision(
    index: FaceIndex, album: Path
) -> None:
    photo = album / "person0" / "0.png"
    shutil.copy(photo, album / "copy.png")
    index.add(album)
    face, decided = index.add_face(photo, BOX, name="Anna")
    assert decided.faces == 2
    assert sorted(drawn(index)) == [("0.png", "Anna", WHOLE), ("copy.png", "Anna", WHOLE)]
    assert next(each for each in index if each.face == face).path == str(photo)
    (album / "copy.png").rename(album.parent / "away.png")
    index.add(album)
    assert index.people.undo()[0][1].removed == 1
    (album.parent / "away.png").rename(album / "copy.png")
    index.add(album)
    assert not drawn(index)


def test_decisions_of_another_index_wait_for_the_next_run(
    index: FaceIndex, album: Path, tmp_path: Path
) -> None:
    index.add_face(album / "person0" / "0.png", BOX, name="Anna")
    index.people.export(tmp_path / "people.jsonl")
    with FaceIndex.create(tmp_path / "other", detector="fake", embedder="fake") as other:
        other.add(album)
        other.cluster()
        applied = other.people.apply(tmp_path / "people.jsonl")
        assert (applied.decisions, applied.unmatched) == (2, 1)
        assert not drawn(other)
        assert other.add(album).by_hand == 1
        assert drawn(other) == [("0.png", "Anna", WHOLE)]
        assert other.add(album).by_hand == 0
        other.cluster()
        assert other.people.get("Anna").confirmed == 1
        assert other.people.apply(tmp_path / "people.jsonl").known == 2
        index.people.undo()
        index.people.export(tmp_path / "people.jsonl")
        other.people.apply(tmp_path / "people.jsonl")
        assert not drawn(other)
        assert other.add(album).by_hand == 0
        assert FaceIndex.doctor(other.directory).healthy


def test_a_detector_that_finds_it_takes_it_over(index: FaceIndex, album: Path) -> None:
    """The other detector finds the face in the corner of dark photos; the fake one finds none there."""
    photo = album / "person0" / "0.png"
    first, _ = index.add_face(photo, CORNER, name="Ben")
    second, _ = index.add_face(album / "person0" / "1.png", (70, 70, 95, 95), name="Ben")
    index.migrate("other", detector="other")
    found = {each.face: each for each in index if each.person == "Ben" and each.confirmed}
    assert {face: each.by_hand for face, each in found.items()} == {first: False, second: True}
    assert sum(each.path == str(photo) for each in index) == 2
    index.migrate("fake", detector="fake")
    found = {each.face: each for each in index if each.person == "Ben" and each.confirmed}
    assert {face: each.by_hand for face, each in found.items()} == {first: True, second: True}
    assert FaceIndex.doctor(index.directory).healthy


def test_another_embedder_embeds_it_again(index: FaceIndex, album: Path) -> None:
    face, _ = index.add_face(album / "person0" / "0.png", BOX, name="Anna")
    index.migrate("other")
    assert index.pins.embedder == "other"
    assert drawn(index) == [("0.png", "Anna", WHOLE)]
    assert [each.face for each in index if each.by_hand] == [face]


def test_damaged_vectors_are_embedded_again(index: FaceIndex, album: Path) -> None:
    index.add_face(album / "person0" / "0.png", BOX, name="Anna")
    vectors = index.vectors().copy()
    index.close()
    with (Path(index.directory) / "vectors.f32").open("r+b") as file:
        file.seek(HEADER_BYTES)
        file.write(bytes(7 * 16 * 4))
    health = FaceIndex.doctor(index.directory, repair=True)
    assert (health.healthy, health.embedded) == (True, 7)
    with FaceIndex.open(index.directory) as again:
        assert drawn(again) == [("0.png", "Anna", WHOLE)]
        assert np.allclose(again.vectors(), vectors, atol=1e-5)


def test_photos_that_are_read_again_keep_it(index: FaceIndex, album: Path) -> None:
    """As after a repair that could not keep the faces of a photo."""
    index.add_face(album / "person0" / "0.png", BOX, name="Anna")
    with index._store.deciding():
        index._store._catalog.execute("DELETE FROM faces")
        index._store._catalog.execute("UPDATE images SET size = 0, mtime_ns = 0, faces = 0")
    assert index.add(album).by_hand == 1
    index.cluster()
    assert drawn(index) == [("0.png", "Anna", WHOLE)]


def test_forgetting_leaves_nothing_of_it(index: FaceIndex, album: Path) -> None:
    photo = album / "person0" / "0.png"
    face, _ = index.add_face(photo, BOX, name="Anna")
    receipt = index.forget(faces=[face], verify=True)
    assert receipt.complete
    assert not receipt.left
    tables = index._store._catalog
    for table in ("hand_boxes", "hand_faces"):
        assert not tables.query(f"SELECT * FROM {table}")
    assert not [entry for entry in index.people.log() if "0.png" in entry.command]
    assert index.add(album).by_hand == 0
    assert len(index) == 6
    with pytest.raises(UsageError, match="was forgotten"):
        index.add_face(photo, BOX)


def test_a_place_that_was_not_a_face_is_one_if_the_user_draws_it(index: FaceIndex, album: Path) -> None:
    """As where an earlier detector found something that was none, and this one finds nothing."""
    photo = album / "person0" / "0.png"
    face = next(index.faces(photo=photo))
    index.people.not_a_face(faces=[face.face])
    with index._store.deciding():
        index._store._catalog.execute("DELETE FROM faces WHERE id = ?", (face.face,))
    again, decided = index.add_face(photo, face.box)
    assert decided.faces == 1
    index.cluster()
    assert next(each for each in index if each.face == again).cluster is not None
    index.people.undo()
    assert not drawn(index)
    labels = index._store.decisions.labels(list(range(1, 9))).values()
    assert Label.NOT_A_FACE in [state.label for state in labels]


def test_an_index_of_the_format_before(index: FaceIndex, album: Path) -> None:
    index.close()
    directory = Path(index.directory)
    downgrade(directory, 11)
    with FaceIndex.open(directory) as reader:
        assert not drawn(reader)
    with FaceIndex.open(directory, write=True) as again:
        again.add_face(album / "person0" / "0.png", BOX, name="Anna")
        assert drawn(again) == [("0.png", "Anna", WHOLE)]
    assert FaceIndex.doctor(directory).healthy
