"""`index.people.import_album`: names and regions of other programs become one decision."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from decided_index import HEIGHT, WIDTH, check_constraints, make_index, make_photo, people_on, place_of
from PIL import Image as PillowImage

from faceindex import FaceIndex
from faceindex.api.import_results import ImportReport
from faceindex.errors import UsageError
from faceindex.interchange.regions import Region, SourceAlbum, SourcePerson, SourcePhoto
from faceindex.orientation import to_stored

PICTURES = 12
REGION_FIELDS = (
    *("named", "known", "added", "waiting", "conflicting", "contradicting", "crowded", "small", "forgotten"),
    *("duplicate", "unnamed", "unconfirmed", "rejected", "unusable", "not_found", "on_cropped", "unread"),
)


@pytest.fixture
def index(tmp_path: Path, fake_models: ModuleType) -> Iterator[FaceIndex]:
    """Four people on twelve pictures of all orientations, whose files do not exist; not clustered."""
    make_index(tmp_path / "index", PICTURES)
    with FaceIndex.open(tmp_path / "index", write=True) as index:
        yield index
        if index.clustering is not None:
            check_constraints(index)


def region(x1: float, y1: float, x2: float, y2: float, name: str | None, **fields: Any) -> Region:
    """A region in pixels of an upright picture of `make_index`."""
    return Region((x1 / WIDTH, y1 / HEIGHT, x2 / WIDTH, y2 / HEIGHT), name, **fields)


def place(number: int, name: str | None, **fields: Any) -> Region:
    """A region at a place of `make_index`, a little smaller than the face."""
    left = 110.0 + 250 * number
    return region(left, 115, left + 150, 275, name, **fields)


def source(picture: int, *regions: Region, frame: str = "upright", **fields: Any) -> SourcePhoto:
    if frame == "stored":
        boxes = np.array([each.box for each in regions], np.float32)
        boxes = to_stored(boxes, np.full(len(boxes), 1 + picture % 8))
        regions = tuple(
            replace(each, box=tuple(box)) for each, box in zip(regions, boxes.tolist(), strict=True)
        )
    return SourcePhoto(f"/photos/{picture}.jpg", regions, frame=frame, **fields)  # type: ignore[arg-type]


def everybody(frame: str = "upright", pictures: Sequence[int] = range(PICTURES)) -> list[SourcePhoto]:
    """All faces with the names of their true people."""
    return [
        source(
            picture,
            *(place(at, f"Person {who}") for at, who in enumerate(people_on(picture))),
            frame=frame,
        )
        for picture in pictures
    ]


def album(
    *photos: SourcePhoto, people: Sequence[SourcePerson] = (), problems: Sequence[str] = ()
) -> SourceAlbum:
    return SourceAlbum("Some Album", iter(photos), {each.key: each for each in people}, list(problems))


def imported(index: FaceIndex, *photos: SourcePhoto, **options: Any) -> ImportReport:
    people = options.pop("people", ())
    report = index.people.import_album(album(*photos, people=people), **options)
    assert report.regions == sum(getattr(report, name) for name in REGION_FIELDS), report
    assert report.photos == report.found + report.absent + report.ambiguous + report.unsure
    assert report.placeless == report.placed + report.placeless_known + report.undecided or report.absent
    return report


def named(index: FaceIndex) -> dict[tuple[str, int], str | None]:
    """The person of each face, by the photo and the place on it."""
    return {
        (Path(face.path).stem, place_of(np.array(face.box))): face.person for face in index if face.person
    }


def truth(pictures: Sequence[int] = range(PICTURES)) -> dict[tuple[str, int], str]:
    return {
        (str(picture), at): f"Person {who}"
        for picture in pictures
        for at, who in enumerate(people_on(picture))
    }


@pytest.mark.parametrize("frame", ["upright", "stored"])
@pytest.mark.parametrize("clustered", [False, True])
def test_all_names_land_on_the_right_faces_at_every_orientation(
    index: FaceIndex, frame: str, clustered: bool
) -> None:
    if clustered:
        index.cluster()
    dry = imported(index, *everybody(frame), dry_run=True)
    assert named(index) == {}
    report = imported(index, *everybody(frame))
    assert named(index) == truth()
    assert all(face.confirmed for face in index)
    assert (report.named, report.regions, report.found) == (len(truth()), len(truth()), PICTURES)
    assert report.new_people == tuple(dict.fromkeys(truth().values())) == report.people
    assert replace(dry, dry_run=False, decision=report.decision) == report
    assert report.command == f"import some-album  # {len(truth())} faces"
    index.cluster()
    assert named(index) == truth()


def test_a_second_import_decides_nothing_and_undo_takes_all_back(index: FaceIndex) -> None:
    index.cluster()
    before = [(face.face, face.cluster, face.person) for face in index]
    first = imported(index, *everybody(), people=[SourcePerson("a", "Person 0", born="1950", note="tall")])
    second = imported(index, *everybody(), people=[SourcePerson("a", "Person 0", born="1950", note="tall")])
    assert (second.decision, second.named, second.known) == (None, 0, first.named)
    (entry,) = index.people.log()
    assert (entry.command, entry.faces) == (first.command, first.named)
    assert "import" in next(iter(index.people.why(before[0][0]).decisions)).command
    index.people.undo()
    assert [(face.face, face.cluster, face.person) for face in index] == before
    assert index.people.list() == []
    third = imported(index, *everybody())
    assert third.named == first.named
    assert third.new_people == first.new_people


def test_the_journal_carries_an_import_to_another_index(
    index: FaceIndex, tmp_path: Path, fake_models: ModuleType
) -> None:
    imported(index, *everybody())
    index.people.export(tmp_path / "journal.jsonl")
    make_index(tmp_path / "other", PICTURES)
    with FaceIndex.open(tmp_path / "other", write=True) as other:
        replay = other.people.apply(tmp_path / "journal.jsonl")
        assert (replay.decisions, replay.conflicts) == (1, ())
        assert named(other) == truth()
        assert imported(other, *everybody()).known == len(truth())


def test_an_existing_person_has_the_name_in_any_case(index: FaceIndex) -> None:
    index.cluster()
    face = next(face.face for face in index if Path(face.path).stem == "0")
    index.people.name("PERSON  0", faces=[face])
    index.people.hide("person 0")
    index.people.name("Somebody", faces=[next(f.face for f in index if Path(f.path).stem == "11")])
    index.people.undo()
    report = imported(index, *everybody(pictures=range(1, PICTURES)))
    assert "PERSON 0" in report.people
    assert "PERSON 0" not in report.new_people
    assert {person.name: person.hidden for person in index.people.list()}["PERSON 0"] is True


def test_what_the_user_said_here_is_a_conflict(index: FaceIndex) -> None:
    index.cluster()
    photos = [source(picture, place(0, "Anna")) for picture in range(6)]
    faces = [next(f.face for f in index if Path(f.path).stem == str(i) and f.box[0] < 200) for i in range(6)]
    index.people.name("Ben", faces=faces[:1])
    index.people.ignore(faces=faces[1:2])
    index.people.not_a_face(faces=faces[2:3])
    index.people.name("Anna", faces=faces[3:5])
    index.people.reject(faces[4:5], "Anna")
    before = named(index)
    report = imported(index, *photos)
    assert [(conflict.photo, conflict.problem) for conflict in report.conflicts] == [
        ("0.jpg", "The face is Ben here."),
        ("1.jpg", "The face is ignored here."),
        ("2.jpg", "It is not a face here."),
        ("4.jpg", "You said that the face does not show this person."),
    ]
    assert (report.conflicting, report.known, report.named) == (4, 1, 1)
    assert named(index) == before | {("5", 0): "Anna"}
    kept = imported(index, *photos, prefer="index")
    assert (kept.conflicting, kept.conflicts, kept.decision) == (4, (), None)
    taken = imported(index, *photos, prefer="file")
    assert (taken.conflicting, taken.named, taken.known) == (0, 4, 2)
    assert {named(index)[str(i), 0] for i in range(6)} == {"Anna"}


def test_a_name_of_a_cluster_counts_less_than_that_of_a_face(index: FaceIndex) -> None:
    index.cluster()
    face = next(face for face in index if Path(face.path).stem == "0")
    index.people.name("Ben", clusters=[face.cluster or 0])
    report = imported(index, source(0, place(0, "Anna")))
    assert (report.named, report.conflicting) == (1, 0)
    assert named(index)["0", 0] == "Anna"


def test_what_was_said_of_two_faces_is_a_conflict(index: FaceIndex) -> None:
    index.cluster()
    faces = [next(f.face for f in index if Path(f.path).stem == str(i) and f.box[0] < 200) for i in range(4)]
    index.people.different(faces[:1], faces[1:2])
    index.people.same(faces[2:])
    report = imported(index, *(source(i, place(0, name)) for i, name in enumerate(["A", "A", "B", "C"])))
    assert report.conflicting == 4
    assert report.named == 0
    assert {conflict.problem for conflict in report.conflicts} == {
        "You said that this face is another person than another one.",
        "You said that this face is the same person as another one.",
    }


def test_contradictions_of_the_program_are_left_out(index: FaceIndex) -> None:
    three = next(i for i in range(PICTURES) if len(people_on(i)) == 3)
    photo = source(
        three,
        place(0, "Anna"),
        place(1, "Anna"),
        place(2, "Ben"),
        region(615, 120, 765, 285, "Carla"),  # where Ben is
    )
    report = imported(index, photo)
    assert (report.contradicting, report.named) == (4, 0)
    assert [(conflict.name, conflict.problem) for conflict in report.conflicts] == [
        ("Ben", "The place of this name is that of Carla, too."),
        ("Carla", "The place of this name is that of Ben, too."),
        ("Anna", "The photo has this name on 2 faces."),
    ]
    both = imported(index, source(three, place(0, "Anna"), place(1, "Anna"), place(1, "anna")), prefer="file")
    assert (both.named, both.duplicate) == (2, 1)


def test_a_name_on_two_faces_is_left_out_wherever_it_is_said(index: FaceIndex) -> None:
    """In two records of one photo, and in the file and the index."""
    two = next(i for i in range(PICTURES) if len(people_on(i)) > 1)
    other = replace(source(two, place(1, "anna")), path=f"/PHOTOS/{two}.JPG")
    report = imported(index, source(two, place(0, "Anna")), other)
    assert (report.contradicting, report.named, len(report.conflicts)) == (2, 0, 2)
    imported(index, source(two, place(0, "Anna")))
    report = imported(index, source(two, place(1, "Anna")))
    assert (report.contradicting, report.named) == (1, 0)
    assert report.conflicts[0].problem == "The photo has this person on another face here."
    assert named(index) == {(str(two), 0): "Anna"}
    report = imported(index, source(two, place(1, "Anna")), prefer="file")
    assert report.named == 1
    both = source(two, place(0, "Anna")), other
    assert (imported(index, *both).known, imported(index, *both).conflicts) == (2, ())


def test_only_confirmed_names_count(index: FaceIndex) -> None:
    three = next(i for i in range(PICTURES) if len(people_on(i)) == 3)
    photo = source(
        three,
        place(0, "Anna", confirmed=False),
        place(1, "Ben", rejected=True),
        place(2, None),
        place(2, None, person="k"),
        region(0, 0, 1000, 800, " "),
        region(0, 500, 100, 600, "f12"),
        region(float("nan"), 0, 1, 1, "Carla"),
        region(5000, 5000, 6000, 6000, "Carla"),
    )
    report = imported(index, photo, people=[SourcePerson("k", "Dora")])
    assert (report.unconfirmed, report.rejected, report.unnamed, report.unusable) == (1, 1, 2, 3)
    assert report.named == 1
    assert named(index) == {(str(three), 2): "Dora"}
    assert len(report.problems) == 3


def test_a_neighbour_does_not_take_the_face_of_a_region_without_a_name(index: FaceIndex) -> None:
    report = imported(index, source(0, place(0, None), region(190, 130, 340, 290, "Anna")))
    assert (report.named, report.crowded + report.unread) == (0, 1)


def test_photos_of_another_aspect_are_skipped(index: FaceIndex) -> None:
    regions = [place(0, "Anna")]
    sideways = next(i for i in range(PICTURES) if 1 + i % 8 >= 5)
    photos = [
        source(0, *regions, dimensions=(1000, 800)),
        source(1, *regions, dimensions=(250, 200)),
        source(2, *regions, dimensions=(800, 800)),
        source(sideways, *regions, frame="stored", dimensions=(800, 1000)),
        source(sideways, *regions, frame="stored", dimensions=(1000, 800)),
    ]
    report = imported(index, *photos)
    assert (report.cropped, report.on_cropped, report.named) == (2, 2, 3)
    assert report.cropped_photos == ("/photos/2.jpg", f"/photos/{sideways}.jpg")


def test_copies_of_a_picture_are_named_together(index: FaceIndex) -> None:
    index._store.commit([make_photo(1, "copies/2.jpg", 2, 1)])
    other = replace(source(2, place(0, "Anna")), path="/photos/copies/2.jpg")
    report = imported(index, source(2, place(0, "Anna")), other)
    assert report.named == 2
    assert sum(face.person == "Anna" for face in index) == 2
    index.people.undo()
    report = imported(index, source(2, place(0, "Anna")), replace(other, regions=(place(0, "Ben"),)))
    assert (report.contradicting, report.named) == (2, 0)
    assert len(report.conflicts) == 2


def test_photos_are_found_by_the_ends_of_their_paths(index: FaceIndex) -> None:
    index._store.commit([make_photo(1, "2001/x.jpg", 20, 0), make_photo(1, "2002/x.jpg", 21, 0)])
    anna = (place(0, "Anna"),)
    report = imported(
        index,
        SourcePhoto("/old/photos/0.jpg", anna, frame="upright"),
        SourcePhoto("x.jpg", anna),
        SourcePhoto("/old/1.jpg", anna),
        SourcePhoto("/old/3.jpg", anna, file_size=7),
        SourcePhoto("/old/4.jpg", anna, frame="upright", file_size=1),
        SourcePhoto("/old/nothing.jpg", anna),
        SourcePhoto("PHOTOS/2001/X.JPG", anna, frame="upright"),
    )
    assert (report.found, report.ambiguous, report.unsure, report.absent) == (3, 1, 2, 1)
    assert report.ambiguous_photos == ("x.jpg",)
    assert report.unsure_photos == ("/old/1.jpg", "/old/3.jpg")
    assert report.absent_photos == ("/old/nothing.jpg",)
    assert {photo for photo, _ in named(index)} == {"0", "4", "x"}


def test_paths_that_many_photos_have_are_not_enough(index: FaceIndex) -> None:
    photos = [make_photo(1, f"{name}/x.jpg", at, 0) for at, name in ((20, "1/100CANON"), (21, "2001"))]
    index._store.commit(photos)
    anna = (place(0, "Anna"),)
    for path, size, found in (
        ("/old/2/100CANON/x.jpg", None, 0),  # the folder is one of a camera
        ("/old/1/100CANON/x.jpg", None, 1),
        ("0.jpg", None, 0),  # a name alone
        ("photos/0.jpg", None, 1),
        ("photos/0.jpg", 2, 0),  # of another size
        ("D:/old/2001/x.jpg", None, 1),
    ):
        report = imported(index, SourcePhoto(path, anna, frame="upright", file_size=size), dry_run=True)
        assert (report.found, report.unsure) == (found, 1 - found), path


def test_a_path_of_windows_is_found_below_a_folder(index: FaceIndex, tmp_path: Path) -> None:
    folder = tmp_path / "here" / "2001"
    folder.mkdir(parents=True)
    index._store.commit([make_photo(index._store.add_root(folder.parent, "here").id, "2001/x.jpg", 20, 0)])
    report = imported(
        index, SourcePhoto("D:/old/2001/x.jpg", (place(0, "Anna"),), frame="upright"), photos_at=folder.parent
    )
    assert report.found == 1


def test_the_better_of_two_photos_counts(index: FaceIndex) -> None:
    """The album has two folders of this name, and the index one of them: it may not get both names."""
    index._store.commit([make_photo(1, "2001/7.jpg", 20, 0)])
    photos = [
        SourcePhoto(f"/{where}/2001/7.jpg", (place(0, name),), frame="upright")
        for where, name in (("a", "Anna"), ("b", "Ben"))
    ]
    report = imported(index, *photos)
    assert (report.ambiguous, report.not_found, report.named) == (2, 2, 0)
    report = imported(index, photos[0], photos[0], dry_run=True)  # two records of one photo
    assert (report.found, report.ambiguous, report.people) == (2, 0, ("Anna",))
    exact = replace(photos[1], path="/photos/2001/7.jpg")
    report = imported(index, *photos, exact)
    assert (report.found, report.ambiguous, report.named) == (1, 2, 1)
    assert named(index) == {("7", 0): "Ben"}


def test_a_renamed_or_merged_person_keeps_the_names_of_the_program(index: FaceIndex) -> None:
    index.cluster()
    imported(index, *everybody(pictures=range(6)))
    index.people.rename("Person 0", "Anna")
    index.people.merge("Person 1", "Person 2")
    report = imported(index, *everybody())
    assert report.new_people == ()
    assert report.conflicts == ()
    words = {"Person 0": "Anna", "Person 2": "Person 1"}
    assert named(index) == {key: words.get(name, name) for key, name in truth().items()}


def test_a_name_of_another_program_is_not_that_of_a_renamed_person(index: FaceIndex) -> None:
    index.cluster()
    imported(index, source(0, place(0, "Anna")))
    index.people.rename("Anna", "Anna Smith")
    found = index.people.import_album(
        SourceAlbum("Other", [source(0, place(0, "Anna")), source(1, place(0, "Anna"))], {}, [])
    )
    assert [conflict.problem for conflict in found.conflicts] == ["The face is Anna Smith here."]
    assert found.new_people == ("Anna",)


KEY = "5f0c6a2e-1111-4222-8333-944455556666"


def test_a_person_with_a_random_key_is_known_by_it(index: FaceIndex, tmp_path: Path) -> None:
    person = SourcePerson(KEY, "Anna", born="1950-03", hidden=True, note="a note")
    photos = [source(0, place(0, "Anna", person=KEY)), source(1, place(0, None, person=KEY))]
    report = imported(index, *photos, people=[person, SourcePerson("b", "Nobody here", born="1900")])
    (anna,) = index.people.list()
    assert (anna.name, anna.born, anna.hidden, anna.note) == ("Anna", "1950-03", True, "a note")
    assert report.named == 2
    index.cluster()
    index.people.rename("Anna", "Ann")
    again = imported(index, source(2, place(0, "Anna Maria", person=KEY)), people=[replace(person, note="x")])
    assert (again.named, again.new_people) == (1, ())
    (ann,) = index.people.list()
    assert (ann.name, ann.note, ann.confirmed) == ("Ann", "a note", 3)


def test_a_person_whom_the_program_has_renamed_is_reported(index: FaceIndex) -> None:
    index.cluster()
    here = {"Anna": SourcePerson(KEY, "Anna"), "Berta": SourcePerson(KEY, "Berta")}
    imported(index, source(0, place(0, "Anna", person=KEY)), people=[here["Anna"]])
    berta = source(0, place(0, "Berta", person=KEY)), source(1, place(0, "Berta", person=KEY))
    report = imported(index, *berta, people=[here["Berta"]], dry_run=True)
    assert (report.known, report.named, report.new_people) == (1, 1, ())
    assert "names Anna 'Berta' now" in report.problems[0]
    imported(index, source(2, place(0, "Berta")))
    report = imported(index, *berta, people=[here["Berta"]])
    assert [conflict.problem for conflict in report.conflicts] == ["The face is Anna here."]
    assert (named(index)["0", 0], named(index)["1", 0], report.problems) == ("Anna", "Berta", ())


def test_people_of_one_name_are_reported(index: FaceIndex) -> None:
    people = [SourcePerson(key, "Anna") for key in "12"]
    report = imported(
        index, source(0, place(0, "Anna", person="1")), source(1, place(0, "anna", person="2")), people=people
    )
    assert (report.named, report.new_people) == (2, ("Anna",))
    assert [problem.partition(",")[0] for problem in report.problems] == [
        "Some Album has 2 people with the name 'Anna'"
    ]


def test_dates_are_taken_over_where_the_index_has_none(index: FaceIndex) -> None:
    index.cluster()
    face = next(face.face for face in index)
    index.people.name("Anna", faces=[face])
    index.people.born("Anna", "1960")
    people = [SourcePerson("1", "Anna", born="1950", died="2010", hidden=True), SourcePerson("2", "X", "1")]
    photos = [
        source(1, place(0, "Anna", person="1")),
        source(3, place(0, "Eva", person="3")),
    ]
    report = imported(index, *photos, people=[*people, SourcePerson("3", "Eva", born="soon")])
    found = {person.name: person for person in index.people.list()}
    assert (found["Anna"].born, found["Anna"].died, found["Anna"].hidden) == ("1960", "2010", False)
    assert found["Eva"].born is None
    assert len(report.problems) == 1
    assert "soon" in report.problems[0]


def test_forgotten_people_do_not_come_back(index: FaceIndex) -> None:
    imported(index, *everybody(pictures=range(6)))
    index.forget("Person 0")
    gone = {key for key, name in truth().items() if name == "Person 0"}
    report = imported(index, *everybody())
    assert report.forgotten >= len(gone)
    assert "Person 0" not in [person.name for person in index.people.list()]
    assert named(index) == {key: name for key, name in truth().items() if name != "Person 0"}
    assert "Person 0" not in "".join(entry.command for entry in index.people.log())


def test_a_person_of_an_undone_import_is_forgotten_with_the_one_of_the_same_name(index: FaceIndex) -> None:
    imported(index, *everybody(pictures=range(6)))
    index.people.undo()
    imported(index, *everybody(pictures=range(6)))
    assert index.forget("person 0", verify=True).complete
    assert "Person 0" not in str([(d.command, d.actions) for d in index._store.decisions.decisions()])
    assert "Person 1" in str([d.actions for d in index._store.decisions.decisions()])
    for file in Path(index.directory).iterdir():
        assert b"Person 0" not in file.read_bytes()


def test_photos_that_are_away_get_their_names_when_they_come_back(index: FaceIndex) -> None:
    store = index._store
    photos = {record.relpath: record for record in store.photos().values()}
    gone = [photos["2.jpg"], photos["5.jpg"]]
    store.put_away([record.id for record in gone])
    report = imported(index, *everybody(pictures=[2, 5]))
    expected = len(people_on(2)) + len(people_on(5))
    assert (report.away, report.found, report.named) == (2, 2, expected)
    assert named(index) == {}
    again = imported(index, *everybody(pictures=[2, 5]))
    assert (again.known, again.decision) == (expected, None)
    store.commit([make_photo(1, f"{picture}.jpg", picture, 0) for picture in (2, 5)])
    assert named(index) == truth([2, 5])


def test_names_without_a_place_are_given_to_the_only_face(index: FaceIndex) -> None:
    alone = [i for i in range(PICTURES) if len(people_on(i)) == 1]
    photos = [SourcePhoto(f"/photos/{i}.jpg", people=(f"Person {people_on(i)[0]}",)) for i in range(PICTURES)]
    counted = imported(index, *photos)
    assert (counted.placeless, counted.undecided, counted.decision) == (PICTURES, PICTURES, None)
    two = SourcePhoto(f"/photos/{alone[0]}.jpg", people=("Anna", "Ben"))
    assert imported(index, two, whole_photos=True).undecided == 2
    report = imported(index, *photos, whole_photos=True)
    assert report.placed == len(alone)
    assert named(index) == truth(alone)
    assert imported(index, *photos, whole_photos=True).placeless_known == len(alone)


def test_the_only_face_left_of_several_does_not_get_the_name_of_the_photo(index: FaceIndex) -> None:
    two = next(i for i in range(PICTURES) if len(people_on(i)) == 2)
    path = f"/photos/{two}.jpg"
    imported(index, source(two, place(0, "Anna")))
    index.forget("Anna")
    report = imported(index, SourcePhoto(path, people=("Anna",)), whole_photos=True)
    assert (report.placed, report.undecided, named(index)) == (0, 1, {})
    one = next(i for i in range(PICTURES) if len(people_on(i)) == 1)
    photo = replace(source(one, place(1, None)), people=("Anna",))
    report = imported(index, photo, whole_photos=True)
    assert (report.placed, report.undecided, named(index)) == (0, 1, {})


def test_nothing_is_stored_without_the_writers_lock(index: FaceIndex) -> None:
    with FaceIndex.open(index.directory) as reading, pytest.raises(UsageError, match="reading only"):
        reading.people.import_album(album())
    with pytest.raises(UsageError, match="prefer"):
        index.people.import_album(album(), prefer="both")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not a folder"):
        index.people.import_album(album(), photos_at="/nowhere")
    empty = imported(index)
    assert (empty.photos, empty.decision, empty.problems) == (0, None, ())
    assert index.people.import_album(album(problems=["a.ini: broken."])).problems == ("a.ini: broken.",)


def test_a_reader_can_be_stopped(index: FaceIndex) -> None:
    seen: list[int] = []
    report = index.people.import_album(
        album(*everybody()),
        progress=lambda what, done, total: seen.append(done),
        should_stop=lambda: len(seen) > 3,
    )
    assert (report.stopped, report.decision, len(seen)) == (True, None, 4)
    assert named(index) == {}


# Faces that no detector found ----------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path: Path, fake_models: ModuleType) -> Path:
    """Two people with two photos each; the fake detector finds the face at 24..72 of 96 pixels."""
    return Path(fake_models.make_album(tmp_path / "album", people=2, photos=2))


@pytest.fixture
def real(photos: Path, tmp_path: Path) -> Iterator[FaceIndex]:
    with FaceIndex.create(tmp_path / "real", detector="fake", embedder="fake") as index:
        index.add(photos)
        yield index


def drawn(
    path: str, name: str | None, box: tuple[float, float, float, float] = (2, 30, 24, 54)
) -> SourcePhoto:
    return SourcePhoto(path, (Region(tuple(side / 96 for side in box), name),))  # type: ignore[arg-type]


def hand(index: FaceIndex) -> list[tuple[str, str | None]]:
    return [
        (Path(face.path).relative_to(Path(face.path).parents[1]).as_posix(), face.person)
        for face in index
        if face.by_hand
    ]


@pytest.mark.parametrize("clustered", [False, True])
def test_a_named_region_without_a_face_becomes_one(real: FaceIndex, photos: Path, clustered: bool) -> None:
    if clustered:
        real.cluster()
    sources = [
        drawn("person0/0.png", "Anna"),
        drawn("person0/1.png", None),
        drawn("person1/0.png", "Ben", (0, 0, 5, 5)),
    ]
    dry = imported(real, *sources, photos_at=photos, dry_run=True)
    assert (dry.added, dry.small, dry.unnamed, dry.decision, len(real)) == (1, 1, 1, None, 4)
    seen: list[tuple[str, int, int | None]] = []
    report = imported(
        real, *sources, photos_at=photos, progress=lambda what, done, total: seen.append((what, done, total))
    )
    assert replace(dry, dry_run=False, decision=report.decision, moved=report.moved) == report
    assert seen == [("photos", 1, None), ("photos", 2, None), ("photos", 3, None), ("faces", 1, 1)]
    assert hand(real) == [("person0/0.png", "Anna")]
    (face,) = [face for face in real if face.by_hand]
    assert face.box == pytest.approx((2, 30, 24, 54))
    assert face.confirmed
    assert (face.cluster is not None) is clustered
    again = imported(real, *sources, photos_at=photos)
    assert (again.known, again.added, again.decision) == (1, 0, None)
    assert real.add(photos).by_hand == 0
    real.people.undo()
    assert hand(real) == []
    assert len(real) == 4
    third = imported(real, *sources, photos_at=photos)
    assert third.added == 1
    assert FaceIndex.doctor(real.directory).healthy


def test_copies_get_the_face_too_once(real: FaceIndex, photos: Path) -> None:
    (photos / "again").mkdir()
    shutil.copy(photos / "person0" / "0.png", photos / "again" / "0.png")
    real.add(photos)
    report = imported(real, drawn("person0/0.png", "Anna"), drawn("again/0.png", "anna"), photos_at=photos)
    assert (report.added, report.duplicate) == (1, 1)
    assert sorted(hand(real)) == [("again/0.png", "Anna"), ("person0/0.png", "Anna")]
    real.people.undo()
    report = imported(real, drawn("person0/0.png", "Anna"), drawn("again/0.png", "Ben"), photos_at=photos)
    assert (report.added, report.contradicting, len(report.conflicts)) == (0, 2, 2)


def test_two_records_of_a_photo_add_one_face_or_none(real: FaceIndex, photos: Path) -> None:
    first, second = "person0/0.png", "PERSON0/0.png"
    far = (70, 30, 92, 54)
    for photo in (drawn(second, "Ben"), drawn(second, "Anna", far)):
        for dry_run in (True, False):
            report = imported(real, drawn(first, "Anna"), photo, photos_at=photos, dry_run=dry_run)
            assert (report.contradicting, report.added, len(report.conflicts)) == (2, 0, 2)
        assert (len(real), real.people.list()) == (4, [])  # no face stays that nobody has drawn
    report = imported(real, drawn(first, "Anna"), drawn(second, "Anna"), photos_at=photos)
    assert (report.added, report.duplicate) == (1, 1)
    report = imported(real, drawn(first, "Anna", far), photos_at=photos)
    assert (report.contradicting, len(real)) == (1, 5)
    assert FaceIndex.doctor(real.directory).healthy


def test_a_photo_that_has_changed_is_named_in_the_report(real: FaceIndex, photos: Path) -> None:
    (photos / "person0" / "0.png").write_bytes((photos / "person0" / "1.png").read_bytes())
    (photos / "person1" / "0.png").unlink()
    sources = [drawn(f"person{i // 2}/{i % 2}.png", "Anna") for i in range(4)]
    report = imported(real, *sources, photos_at=photos)
    assert (report.added, report.unread) == (2, 2)
    assert "0.png: it has changed" in report.problems[0]
    assert str(photos / "person1" / "0.png") in report.problems[1]
    assert sorted(hand(real)) == [("person0/1.png", "Anna"), ("person1/1.png", "Anna")]


def test_a_stopped_import_keeps_what_is_finished(real: FaceIndex, photos: Path) -> None:
    sources = [
        SourcePhoto("person0/0.png", (Region((0.25, 0.25, 0.75, 0.75), "Anna"), *drawn("", "Ben").regions)),
        drawn("person0/1.png", "Ben"),
    ]
    calls: list[str] = []
    report = imported(
        real, *sources, photos_at=photos,
        progress=lambda what, *_: calls.append(what), should_stop=lambda: len(calls) == 2,
    )  # fmt: skip
    assert (report.stopped, report.named, report.unread, report.added) == (True, 1, 2, 0)
    assert imported(real, *sources, photos_at=photos).added == 2
    assert len(real.people.log()) == 2


def test_nothing_is_drawn_where_the_user_said_something(real: FaceIndex, photos: Path) -> None:
    real.cluster()
    real.add_face(photos / "person0" / "0.png", (2, 30, 24, 54), name="Ben")
    real._store.remove_photos(
        [next(p.id for p in real._store.photos().values() if p.relpath == "person0/0.png")]
    )
    real._store.commit([])
    mark_count = len(real._store.decisions.marked_faces())
    assert mark_count == 0
    report = imported(real, drawn("person0/0.png", "Anna"), photos_at=photos)
    assert report.unsure == 1
    real.add(photos)
    assert hand(real) == [("person0/0.png", "Ben")]
    report = imported(real, drawn("person0/0.png", "Anna"), photos_at=photos)
    assert [conflict.problem for conflict in report.conflicts] == ["The face is Ben here."]
    assert imported(real, drawn("person0/0.png", "Anna"), photos_at=photos, prefer="file").named == 1


def test_a_forgotten_face_is_not_drawn_again(real: FaceIndex, photos: Path) -> None:
    imported(real, drawn("person0/0.png", "Anna"), photos_at=photos)
    real.cluster()
    real.forget("Anna")
    report = imported(real, drawn("person0/0.png", "Anna"), drawn("person0/1.png", "Anna"), photos_at=photos)
    assert (report.forgotten, report.added) == (2, 0)
    assert real.people.list() == []
    assert hand(real) == []


def test_files_of_one_size_and_digest_are_told_apart(real: FaceIndex, photos: Path) -> None:
    import hashlib

    digest = hashlib.sha1((photos / "person1" / "1.png").read_bytes()).digest()
    middle = (Region((0.25, 0.25, 0.75, 0.75), "Anna"),)
    report = imported(real, SourcePhoto("/gone/1.png", middle, sha1=digest))
    assert report.named == 1
    assert [(Path(face.path).parent.name, face.person) for face in real if face.person] == [
        ("person1", "Anna")
    ]
    assert imported(real, SourcePhoto("/gone/1.png", middle, sha1=b"x" * 20)).ambiguous == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("frame", ["stored", "upright"])
def test_a_face_is_drawn_at_its_place_at_every_orientation(
    orientation: int, frame: str, tmp_path: Path, fake_models: ModuleType
) -> None:
    """A small white square on a picture that is not square, black elsewhere: the region is around it."""
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[40:56, 8:24] = 255
    where = np.array([[8 / 96, 40 / 64, 24 / 96, 56 / 64]], np.float32)
    stored = to_stored(where, np.array([orientation]))
    swapped = upright.transpose(1, 0, 2) if orientation >= 5 else upright
    rows, columns = np.flatnonzero(swapped.any(axis=(1, 2))), np.flatnonzero(swapped.any(axis=(0, 2)))
    picture = np.zeros_like(swapped)
    left, top, right, bottom = np.rint(stored[0] * ([*swapped.shape[1::-1]] * 2)).astype(int)
    picture[top:bottom, left:right] = 255
    assert picture.sum() == upright.sum() == swapped[rows][:, columns].sum()
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    PillowImage.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    box = tuple((stored if frame == "stored" else where)[0].tolist())
    with FaceIndex.create(tmp_path / "index", detector="fake", embedder="fake") as index:
        index.add(tmp_path / "a.png")
        photo = SourcePhoto(str(tmp_path / "a.png"), (Region(box, "Anna"),), frame=frame)  # type: ignore[arg-type]
        report = imported(index, photo)
        assert report.added + report.named == 1
        (face,) = [face for face in index if face.person]
        if face.by_hand:
            assert face.box == pytest.approx((8, 40, 24, 56), abs=0.01)
