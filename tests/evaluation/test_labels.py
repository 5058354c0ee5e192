"""Labels from folders and CSV files, and the face that a label applies to."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from faceindex.errors import UsageError
from faceindex.evaluation.boxes import LabelledBox
from faceindex.evaluation.labels import Labels, choose_faces, labels_from_csv, labels_from_folders
from faceindex.store import FaceTable
from faceindex.store.photos import Photo


def make_table(faces: list[int], photos: list[int], boxes: list[tuple[int, int, int, int]]) -> FaceTable:
    n = len(faces)
    some = np.ones(n, np.float32)
    return FaceTable(
        face=np.array(faces),
        row=np.arange(n),
        cluster=np.full(n, -1),
        similarity=some,
        sharpness=some,
        quality=some,
        photo=np.array(photos),
        boxes=np.array(boxes, np.float32),
        landmarks=np.ones((n, 5, 2), np.float32),
        scores=some,
        norms=some,
        turns=np.zeros(n, np.int64),
    )


# Two faces on photo 1, one each on photos 2 and 3.
FACES = make_table(
    [10, 11, 12, 13], [1, 1, 2, 3], [(10, 10, 30, 30), (60, 10, 80, 30), (0, 0, 9, 9), (0, 0, 9, 9)]
)


BOXES = "file,x1,y1,x2,y2,name\n"


def make_photo(number: int, name: str, path: Path, relpath: str) -> Photo:
    return Photo(number, name, str(path), relpath, width=100, height=100, content_hash=None)


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    """Two roots, each with a photo b.jpg."""
    root = tmp_path.resolve()
    return [
        make_photo(1, "album/ann/a.jpg", root / "album/ann/a.jpg", "ann/a.jpg"),
        make_photo(2, "album/b.jpg", root / "album/b.jpg", "b.jpg"),
        make_photo(3, "more/b.jpg", root / "more/b.jpg", "b.jpg"),
        make_photo(4, "more/c,d.jpg", root / "more/c,d.jpg", "c,d.jpg"),
    ]


@pytest.fixture
def read(tmp_path: Path, photos: list[Photo]):
    def read(content: str | bytes, name: str = "labels.csv") -> Labels:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return labels_from_csv(path, photos, FACES)

    return read


def test_the_name_of_the_folder_is_the_label(photos: list[Photo]) -> None:
    found = labels_from_folders(photos)
    assert found == Labels("photo", {1: "ann", 2: "album", 3: "more", 4: "more"}, [])
    (warning,) = labels_from_folders(photos[2:]).warnings
    assert "'more'" in warning and "`labels`" in warning


@pytest.mark.parametrize(
    "written",
    ["album/ann/a.jpg", "./album//ann/a.jpg", "{root}/album/ann/a.jpg", "ann/a.jpg", " album/ann/a.jpg "],
    ids=["as named", "not normalised", "absolute", "relative to the root", "with spaces"],
)
def test_ways_to_write_a_photo(written: str, read, tmp_path: Path) -> None:
    found = read(f"photo,label\n{written.format(root=tmp_path.resolve())},Ann\n")
    assert found == Labels("photo", {1: "Ann"}, [])


def test_paths_relative_to_the_folder_of_the_file(read) -> None:
    assert read("photo,label\n../more/b.jpg,Bob\nb.jpg,Ann\n", "album/labels.csv").by_id == {
        3: "Bob",
        2: "Ann",
    }


def test_a_path_through_a_symbolic_link(read, tmp_path: Path) -> None:
    (tmp_path / "album" / "ann").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "album")
    assert read(f"photo,label\n{tmp_path}/link/ann/a.jpg,Ann\n").by_id == {1: "Ann"}


def test_a_photo_in_two_indexed_folders_is_ambiguous(read) -> None:
    with pytest.raises(UsageError, match=r"labels\.csv, line 3: b\.jpg is in more than one"):
        read("photo,label\nann/a.jpg,Ann\nb.jpg,Bob\n")


def test_a_file_as_spreadsheet_programs_save_it(read) -> None:
    content = '\ufeffLabel , id,Photo\r\n"Ann, the first",7,"more/c,d.jpg"\r\n\r\n,,\r\n'
    assert read(content) == Labels("photo", {4: "Ann, the first"}, [])


def test_labels_of_faces(read) -> None:
    assert read("face,label\n10,Ann\n13,Bob\n") == Labels("face", {10: "Ann", 13: "Bob"}, [])


def test_the_table_of_faces_with_a_column_label(read) -> None:
    assert read("face,photo,x1,label\n12,album/b.jpg,1.0,Ann\n").by_id == {12: "Ann"}


@pytest.mark.parametrize("header", ["file,name", "name,file,label,photo"])
def test_other_names_of_the_columns(header: str, read) -> None:
    row = {"file": "ann/a.jpg", "photo": "album/b.jpg", "name": "Ann", "label": "Bob"}
    found = read(f"{header}\n{','.join(row[column] for column in header.split(','))}\n")
    assert found.by_id == ({1: "Ann"} if header == "file,name" else {2: "Bob"})


@pytest.mark.parametrize("header", [BOXES, "label,y2,x2,y1,x1,photo,more\n"])
def test_labels_by_boxes(header: str, read) -> None:
    row = {"x1": 55, "y1": 0, "x2": 85, "y2": 40, "file": "ann/a.jpg", "name": "Ann", "more": 1}
    row |= {"photo": row["file"], "label": row["name"]}
    found = read(header + ",".join(str(row[column]) for column in header.strip().split(",")) + "\n")
    assert (found.kind, found.by_id, found.warnings) == ("box", {11: "Ann"}, [])
    assert found.boxes.boxes == [LabelledBox(2, 1, "album/ann/a.jpg", "Ann", (55, 0, 85, 40))]
    assert (found.boxes.without_face, found.boxes.without_box, found.boxes.photos) == ([], [0], 1)


def test_boxes_that_are_left_out_are_counted(read) -> None:
    box = "ann/a.jpg,0,0,40,40"
    found = read(BOXES + f"{box},Ann\nx.jpg,0,0,1,1,Ann\n{box},Ann\nalbum/b.jpg,0,0,9,9,\n")
    assert found.by_id == {10: "Ann"}
    unknown, empty, repeated = found.warnings
    assert "left out 1 row with a photo that is not in the index (line 3: x.jpg)" in unknown
    assert "left out 1 row without a label (line 5)" in empty
    assert "left out 1 row with the same box and label as an earlier row (line 4: ann/a.jpg)" in repeated


def test_rows_that_are_left_out_are_counted(read) -> None:
    found = read("photo,label\nnone.jpg,Ann\nann/a.jpg,Ann\nann/a.jpg,Ann\nalbum/b.jpg,\nmore/b.jpg\n")
    assert found.by_id == {1: "Ann"}
    unknown, empty, repeated = found.warnings
    assert "labels.csv: left out 1 row with a photo that is not in the index (line 2: none.jpg)" in unknown
    assert "left out 2 rows without a label (line 5; line 6)" in empty
    assert "left out 1 row with the same photo and label as an earlier row (line 4: ann/a.jpg)" in repeated


def test_only_the_first_lines_are_listed(read) -> None:
    (warning,) = read("photo,label\nann/a.jpg,Ann\n" + "x.jpg,Ann\n" * 1200).warnings
    assert "1,200 rows" in warning and warning.endswith("line 5: x.jpg; ...).")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", r"needs the columns photo,label, face,label or photo,x1.*, but its first line has: none"),
        ("photo;label\na;b\n", r"first line has: photo;label"),
        ("photo,who\na,b\n", r"first line has: photo, who"),
        ("file,x1,y1,x2,label\na,1,2,3,b\n", r"first line has: file, x1, y1, x2, label"),
        ("photo,label\n", r"has no labels"),
        ("photo,label\nann/a.jpg,\n", r"has no labels"),
        ("photo,label\nx.jpg,Ann\ny.jpg,Bob\n", r"None of the 2 photos in .* \(line 2: x\.jpg\)"),
        ("face,label\n99,Ann\n", r"None of the 1 faces"),
        ("face,label\nten,Ann\n", r"line 2: 'ten' is not a face id"),
        ("photo,label\nann/a.jpg,Ann\nann/a.jpg,Bob\n", r"line 3: ann/a\.jpg is 'Bob', but 'Ann' in line 2"),
        (BOXES + "ann/a.jpg,0,0,40,40,\n", r"has no labels"),
        (BOXES + "x.jpg,0,0,40,40,Ann\n", r"None of the photos in .* \(line 2: x\.jpg\)"),
        (BOXES + "ann/a.jpg,0,0,40,,Ann\n", r"line 2: y2 is '', which is not a number"),
        (BOXES + 'ann/a.jpg,0,0,40,40,Ann\nx.jpg,0,"1,5",2,3,Bob\n', r"line 3: y1 is '1,5'"),
        (BOXES + "ann/a.jpg,nan,0,40,40,Ann\n", r"line 2: x1 is 'nan'"),
        (BOXES + "ann/a.jpg,0,0,inf,40,Ann\n", r"line 2: x2 is 'inf'"),
        (BOXES + "ann/a.jpg,40,0,40,40,Ann\n", r"line 2: the box 40 0 40 40 has no area"),
        (
            BOXES + "ann/a.jpg,0,0,40,40,Ann\nalbum/ann/a.jpg,0,0,40,40.0,Bob\n",
            r"line 3: this box of album/ann/a\.jpg is 'Bob', but 'Ann' in line 2",
        ),
        ("photo,label\nann/a.jpg,Ann\n".encode("utf-16"), r"first line has"),
        ("photo,label\nann/a.jpg,Zoë\n".encode("latin-1"), r"line 2: the label is not text in UTF-8"),
        ('photo,label\n"' + "x" * 200_000 + '",Ann\n', r"is not CSV: line 2"),
    ],
)
def test_files_that_cannot_be_used(content: str | bytes, problem: str, read) -> None:
    with pytest.raises(UsageError, match=problem) as info:
        read(content)
    assert "labels.csv" in info.value.problem
    assert info.value.remedy


def test_a_missing_file_and_a_folder_are_reported(tmp_path: Path, photos: list[Photo]) -> None:
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "no.csv"))):
        labels_from_csv(tmp_path / "no.csv", photos, FACES)
    with pytest.raises(UsageError, match="cannot be read"):
        labels_from_csv(tmp_path, photos, FACES)


def test_the_face_that_a_label_applies_to() -> None:
    boxes = np.array(
        [[0, 0, 50, 50], [40, 40, 60, 60], [0, 0, 10, 10], [0, 0, 10, 10], [-5, 0, 5, 10]], np.float32
    )
    photos = np.array([7, 7, 9, 9, 9])
    sizes = {7: (100, 100), 9: (10, 10), 11: (1, 1)}
    assert choose_faces(boxes, photos, sizes, "largest").tolist() == [True, False, True, False, False]
    assert choose_faces(boxes, photos, sizes, "center").tolist() == [False, True, True, False, False]
    assert choose_faces(boxes, photos, sizes, "all").all()
    assert choose_faces(boxes[:0], photos[:0], sizes, "center").tolist() == []


def test_a_name_that_two_photos_share_is_ambiguous(tmp_path: Path) -> None:
    """Folders that were indexed from different working directories may have the same name."""
    photos = [
        make_photo(number, "photos/1.jpg", tmp_path.resolve() / folder / "photos/1.jpg", "1.jpg")
        for number, folder in ((1, "a"), (2, "b"))
    ]
    labels = tmp_path / "labels.csv"
    labels.write_text("photo,label\nphotos/1.jpg,Ann\n", encoding="utf-8")
    with pytest.raises(UsageError, match="more than one of the indexed folders"):
        labels_from_csv(labels, photos, FACES)
    (tmp_path / "a").mkdir()
    beside = tmp_path / "a" / "labels.csv"
    beside.write_bytes(labels.read_bytes())
    assert labels_from_csv(beside, photos, FACES).by_id == {1: "Ann"}


@pytest.mark.parametrize("label", ["Brad\u00a0Pitt", "می\u200cخواهم", "👩\u200d💻"])
def test_labels_in_any_script(label: str, read) -> None:
    assert set(read(f"photo,label\nalbum/b.jpg,{label}\n").by_id.values()) == {" ".join(label.split())}
