"""`FaceIndex.identify` where the user has named people, with fake models."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from faceindex import FaceIndex, IdentifiedFace
from faceindex.api.matcher import Matcher
from faceindex.api.reader import Reader
from faceindex.people.said import said_of_faces
from faceindex.store import Store


@pytest.fixture
def new(tmp_path: Path, fake_models: ModuleType) -> list[Path]:
    """A new photo of each of the three people."""
    return [
        fake_models.make_photo(tmp_path / "new" / f"{i}.png", fake_models.colour_of(i), mark=700 + i)
        for i in range(3)
    ]


def clusters_of(index: FaceIndex) -> list[int]:
    """Return the clusters of the three people of the album."""
    found = {Path(face.path).parent.name: face.cluster for face in index}
    return [cluster for _, cluster in sorted(found.items()) if cluster is not None]


def faces_of(index: FaceIndex, cluster: int) -> list[int]:
    return [face.face for face in index.faces(cluster=cluster)]


def only_face(index: FaceIndex, photo: Path | np.ndarray) -> IdentifiedFace:
    (face,) = index.identify(photo).faces
    return face


def photo_of(index: FaceIndex, face: int) -> Path:
    return next(Path(row.path) for row in index if row.face == face)


def with_date(path: Path, to: Path, date: str) -> Path:
    """Copy a photo as a JPEG file that was taken at some time."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = date
    with Image.open(path) as photo:
        photo.convert("RGB").save(to, "JPEG", quality=100, subsampling=0, exif=exif)
    return to


def test_the_answer_is_the_person_of_the_cluster(index: FaceIndex, new: list[Path]) -> None:
    first, second, _ = clusters_of(index)
    before = [only_face(index, photo) for photo in new]
    assert [face.person for face in before] == [None] * 3
    index.people.name("Anna", clusters=[first])
    after = [only_face(index, photo) for photo in new]
    assert [(face.person, face.nearest_person) for face in after] == [
        ("Anna", "Anna"),
        (None, None),
        (None, None),
    ]
    assert [face.source for face in after] == ["similarity"] * 3
    assert {near.face.person for near in after[0].neighbours if near.face.cluster == first} == {"Anna"}

    # A name alone changes no number.
    def plain(face: IdentifiedFace) -> IdentifiedFace:
        near = tuple(replace(n, face=replace(n.face, person=None)) for n in face.neighbours)
        return replace(face, person=None, nearest_person=None, neighbours=near)

    assert list(map(plain, after)) == before
    index.people.name("Anna", clusters=[second])
    both = [only_face(index, photo) for photo in new]
    assert [face.person for face in both] == ["Anna", "Anna", None]
    assert [face.cluster for face in both[:2]] == [first, second]


def test_the_rival_of_a_person_is_another_person(index: FaceIndex, new: list[Path]) -> None:
    clusters = clusters_of(index)
    margin = only_face(index, new[0]).margin
    assert margin > 0
    for cluster in clusters:
        index.people.name("Anna", clusters=[cluster])
    face = only_face(index, new[0])
    assert face.person == "Anna"
    assert math.isnan(face.margin)


@pytest.mark.parametrize("by", ["confirmed", "named"])
def test_a_labelled_face_is_certain_on_every_copy_of_its_picture(
    index: FaceIndex, tmp_path: Path, by: str
) -> None:
    first, second, _ = clusters_of(index)
    index.people.name("Anna", clusters=[first])
    index.people.name("Ben", clusters=[second])
    face = faces_of(index, second)[0]
    if by == "confirmed":  # a face that looks like Ben
        index.people.name("Anna", faces=[face])
    copy = tmp_path / "copy.png"
    copy.write_bytes(photo_of(index, face).read_bytes())
    alone, (many, _) = only_face(index, copy), list(index.identify_many([copy, copy]))
    for found in (alone, many.faces[0]):
        expected = ("Anna", first) if by == "confirmed" else ("Ben", second)
        if by == "confirmed":
            expected = ("Anna", next(f.cluster for f in index if f.face == face) or 0)
        assert (found.person, found.cluster, found.source) == (*expected, by)
        assert (found.nearest_person, found.nearest_cluster) == expected
        assert (found.probability, found.false_alarm, found.confidence) == (1.0, 0.0, "certain")
        assert math.isnan(found.margin)
        assert math.isnan(found.needed)
    # The same face on another picture is found by similarity.
    with Image.open(copy) as photo:
        pixels = np.asarray(photo.convert("RGB"))
    assert only_face(index, pixels).source == "similarity"


def test_a_photo_that_is_gone_keeps_its_decision(index: FaceIndex, tmp_path: Path) -> None:
    first, _, third = clusters_of(index)
    index.people.name("Anna", clusters=[first])
    face = faces_of(index, third)[0]
    index.people.name("Carl", faces=[face])
    photo = photo_of(index, face)
    copy = tmp_path / "copy.png"
    copy.write_bytes(photo.read_bytes())
    photo.unlink()
    index.add(tmp_path / "album")
    found = only_face(index, copy)
    assert (found.person, found.source, found.confidence) == ("Carl", "confirmed", "certain")
    assert found.cluster == third  # of the faces that are believed to show Carl
    for other in faces_of(index, third):
        photo_of(index, other).unlink()
    photo.parent.rmdir()  # an empty folder may be that of a disk
    index.add(tmp_path / "album")
    found = only_face(index, copy)
    assert (found.person, found.source, found.confidence) == ("Carl", "confirmed", "certain")
    assert (found.cluster, found.nearest_cluster) == (None, None)
    assert math.isnan(found.similarity)


def test_nobody_stays_nobody(index: FaceIndex, tmp_path: Path) -> None:
    first, second, third = clusters_of(index)
    for name, cluster in (("Anna", first), ("Ben", second), ("Carl", third)):
        index.people.name(name, clusters=[cluster])
    stranger, thing = faces_of(index, first)[:2]
    index.people.ignore(faces=[stranger])
    index.people.not_a_face(faces=[thing])
    for face, source in ((stranger, "stranger"), (thing, "not a face")):
        found = only_face(index, photo_of(index, face))
        assert (found.cluster, found.person, found.source) == (None, None, source)
        assert (found.probability, found.confidence) == (0.0, "unknown")
        assert found.nearest_person == "Anna"  # what it resembles
    index.people.undo(2)
    assert only_face(index, photo_of(index, stranger)).person == "Anna"


def test_a_rejected_face_is_never_that_person(index: FaceIndex) -> None:
    first, *_ = clusters_of(index)
    index.people.name("Anna", clusters=[first])
    face, other = faces_of(index, first)[:2]
    index.people.reject([face], "Anna")
    found = only_face(index, photo_of(index, face))
    assert found.person is None
    assert found.nearest_person is None
    assert found.nearest_cluster != first
    assert only_face(index, photo_of(index, other)).person == "Anna"


def test_faces_that_are_nobody_name_nobody(index: FaceIndex, new: list[Path]) -> None:
    first, *_ = clusters_of(index)
    index.people.name("Anna", clusters=[first])
    index.people.ignore(clusters=[first])
    found = only_face(index, new[0])
    assert (found.person, found.cluster) == (None, None)
    assert found.nearest_cluster != first
    assert found.neighbours[0].similarity == pytest.approx(1, abs=1e-5)
    assert found.neighbours[0].face.person is None


def test_nobody_is_found_before_birth(index: FaceIndex, new: list[Path], tmp_path: Path) -> None:
    first, *_ = clusters_of(index)
    early = with_date(new[0], tmp_path / "early.jpg", "1990:05:01 12:00:00")
    assert only_face(index, early).cluster == first
    index.people.name("Anna", clusters=[first])
    assert only_face(index, early).person == "Anna"
    for born, person in (("1990-05-02", None), ("1990-05", "Anna"), ("1991", None), ("1990", "Anna")):
        index.people.born("Anna", born)
        face = only_face(index, early)
        assert face.person == person, born
        assert (face.nearest_cluster == first) == (person == "Anna")
        assert only_face(index, new[0]).person == "Anna"  # without a date
    # The user's word about the face itself counts more.
    index.people.born("Anna", "1995")
    index.add(early)
    index.cluster()
    (added,) = [face for face in index if face.path == str(early)]
    index.people.name("Anna", faces=[added.face])
    assert only_face(index, early).source == "confirmed"


def test_a_confirmed_face_represents_its_cluster_however_blurred(
    index: FaceIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = clusters_of(index)
    face = faces_of(index, first)[0]

    def representing(name: str) -> set[int]:
        with Store.open(index.directory) as store:
            table = store.faces()
            monkeypatch.setattr(f"faceindex.api.matcher.{name}", lambda *_: table.cluster != first)
            found = Matcher(Reader(store)).representatives()
        monkeypatch.undo()
        return set(table.face[found.clusters == first].tolist())

    assert representing("representative_faces") == representing("shown_well") == set()
    index.people.name("Anna", clusters=[first])
    assert representing("shown_well") == set()  # named with the cluster is not looked at
    index.people.confirm([face])
    assert representing("representative_faces") == representing("shown_well") == {face}


def test_marks_are_found_by_place_whatever_the_orientation(index: FaceIndex) -> None:
    first, *_ = clusters_of(index)
    face = faces_of(index, first)[0]
    index.people.name("Anna", faces=[face])
    with Store.open(index.directory) as store:
        reader = Reader(store)
        tables, roster = store.decisions, reader.people().roster
        names = reader.faces_and_photos()[1]
        (record,) = [r for r in names.records if names.path(r) == str(photo_of(index, face))]
        assert record.picture is not None
        box = np.array([[20, 20, 70, 70], [0, 0, 10, 10]], np.float32)
        for orientation in range(1, 9):  # the box is in the middle
            found = said_of_faces(tables, roster, record.picture, orientation, (96, 96), box)
            assert [roster.title(one.person) if one.person else None for one in found] == ["Anna", None]
        assert said_of_faces(tables, roster, b"x" * 16, 1, (96, 96), box)[0].person is None
        assert said_of_faces(tables, roster, record.picture, 1, (96, 96), box[:0]) == []


def test_a_face_that_is_different_from_a_person_is_not_this_person(index: FaceIndex) -> None:
    first, *_ = clusters_of(index)
    face = faces_of(index, first)[0]
    index.people.reject([face])  # from a cluster without a name: different from the faces in its middle
    index.people.name("Anna", clusters=[first])
    found = only_face(index, photo_of(index, face))
    assert found.person is None
    assert found.nearest_cluster != first
