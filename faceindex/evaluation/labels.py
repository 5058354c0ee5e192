"""Read labels of photos and faces from folder names or a CSV file."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from faceindex.errors import UsageError
from faceindex.evaluation.boxes import (
    COLUMNS,
    LabelledBox,
    MatchedBoxes,
    match_labelled_boxes,
    parse_box,
)
from faceindex.store import FaceTable
from faceindex.store.photos import Photo
from faceindex.tables import restored
from faceindex.types import F32, I64, BoolArray

__all__ = ["FaceChoice", "Labels", "choose_faces", "labels_from_csv", "labels_from_folders"]

FaceChoice: TypeAlias = Literal["largest", "center", "all"]
"""The face of a photo that its label applies to."""

_Kind: TypeAlias = Literal["photo", "face", "box"]

_EXAMPLES = 3  # rows listed in a warning

_ALIASES = {"file": "photo", "name": "label"}  # used if the column itself is missing

_COLUMNS_OF: dict[_Kind, tuple[str, ...]] = {
    "photo": ("photo", "label"),
    "face": ("face", "label"),
    "box": ("photo", *COLUMNS, "label"),
}
_CHOICES_OF_COLUMNS = ", ".join([",".join(_COLUMNS_OF["photo"]), ",".join(_COLUMNS_OF["face"])])
_CHOICES_OF_COLUMNS += f" or {','.join(_COLUMNS_OF['box'])}"

_Row: TypeAlias = tuple[int, str, list[str], str]  # line, photo or face, numbers of the box, label
_Key: TypeAlias = tuple[Any, ...]  # id of the photo or face, and the box


@dataclass(frozen=True, slots=True)
class Labels:
    """Names of people by photo, by face, or by box on a photo.

    Attributes
    ----------
    kind : {"photo", "face", "box"}
        What is labelled.
    by_id : dict of int to str
        Label of each photo or face, by its id. For boxes, that of each face in a box.
    warnings : list of str
        Reasons to doubt the labels, and kinds of rows that were left out, with their first lines.
    boxes : MatchedBoxes
        The boxes and their faces; empty unless `kind` is ``"box"``.
    """

    kind: _Kind
    by_id: dict[int, str]
    warnings: list[str]
    boxes: MatchedBoxes = field(default_factory=MatchedBoxes)


def labels_from_folders(photos: Sequence[Photo]) -> Labels:
    """Label each photo with the name of its folder.

    Folders with the same name in different places are the same person.
    """
    by_id = {photo.id: os.path.basename(os.path.dirname(photo.path)) for photo in photos}  # noqa: PTH119, PTH120
    warnings = []
    if len(folders := set(by_id.values())) == 1:
        warnings.append(
            f"All photos are in folders called {folders.pop()!r}, so everybody counts as one person. "
            "If folders are not named after people, pass a CSV file as `labels`."
        )
    return Labels("photo", by_id, warnings)


def labels_from_csv(path: str | os.PathLike[str], photos: Sequence[Photo], table: FaceTable) -> Labels:
    """Read labels from a CSV file with ``photo,label``, ``face,label`` or ``photo,x1,y1,x2,y2,label``.

    The columns may be in any order, among other columns, and `file` and `name` are accepted for `photo` and
    `label`. In a file with `face`, such as the CSV output of ``faceindex faces`` with a column `label`
    added, the photo and the box are ignored. A photo may be written as it was named when it was indexed, as
    an absolute path, relative to the folder of the file, or relative to the indexed folder. The first of
    these that matches is used. A box labels the detected face in it, see
    `faceindex.evaluation.boxes.faces_in_boxes`.

    Parameters
    ----------
    path : path-like
        A file in UTF-8, with or without a byte order mark.
    photos : sequence of Photo
        Photos of the index.
    table : FaceTable
        Faces of the index.

    Returns
    -------
    Labels
        Without the rows that have no label, repeat another row, or name a photo or face that is not in
        the index. The warnings count these.

    Raises
    ------
    UsageError
        If the file cannot be read, lacks these columns, gives two labels to one photo, face or box, has a
        malformed number, or labels nothing that is in the index.
    """
    path = Path(path)
    rows, kind = _read(path)
    face_ids = set(table.face.tolist())
    finder = _PhotoFinder(photos, path)
    by_key: dict[_Key, str] = {}
    first: dict[_Key, int] = {}
    left_out: dict[str, list[str]] = {"unknown": [], "empty": [], "repeated": []}
    for line, written, cells, label in rows:
        found: _Key | None
        if kind == "face":
            face = _face_id(path, line, written)
            found = (face,) if face in face_ids else None
        else:
            box = parse_box(str(path), line, cells) if kind == "box" else ()
            photo = finder.find(written, line)
            found = None if photo is None else (photo, *box)
        if not label:
            left_out["empty"].append(f"line {line}")
        elif found is None:
            left_out["unknown"].append(f"line {line}: {written}")
        elif found not in by_key:
            by_key[found], first[found] = label, line
        elif by_key[found] == label:
            left_out["repeated"].append(f"line {line}: {written}")
        else:
            what = "this box of " if kind == "box" else ""
            raise UsageError(
                f"{path}, line {line}: {what}{written} is {label!r}, but {by_key[found]!r} in line "
                f"{first[found]}.",
                "Give each box one label."
                if kind == "box"
                else f"Give each {kind} one label, or label single faces with the columns face,label.",
            )
    noun = "face" if kind == "face" else "photo"
    if not by_key:
        if left_out["unknown"]:
            raise UsageError(
                f"None of the {len(left_out['unknown']):,} {noun}s in {path} is in the index "
                f"({left_out['unknown'][0]})."
                if kind != "box"
                else f"None of the photos in {path} is in the index ({left_out['unknown'][0]}).",
                "Use the face ids in the output of `faceindex faces`."
                if kind == "face"
                else "Write photos as in the output of `faceindex faces`, or as absolute paths.",
            )
        raise UsageError(f"{path} has no labels.", f"Add rows of {','.join(_COLUMNS_OF[kind])}.")
    reasons = {
        "unknown": f"with a {noun} that is not in the index",
        "empty": "without a label",
        "repeated": f"with the same {kind} and label as an earlier row",
    }
    warnings = [
        f"{path}: left out {_rows(entries)} {reasons[reason]} ({_some(entries)})."
        for reason, entries in left_out.items()
        if entries
    ]
    if kind != "box":
        return Labels(kind, {key[0]: label for key, label in by_key.items()}, warnings)
    names = {photo.id: photo.name for photo in photos}
    boxes = [LabelledBox(first[key], key[0], names[key[0]], label, key[1:]) for key, label in by_key.items()]
    matched = match_labelled_boxes(boxes, table.face, table.photo, table.boxes)
    return Labels(kind, matched.label_of, warnings, matched)


def choose_faces(
    boxes: F32, photos: I64, sizes: Mapping[int, tuple[int, int]], choice: FaceChoice
) -> BoolArray:
    """Choose the faces that the labels of their photos apply to.

    Parameters
    ----------
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright photo.
    photos : (n,) int64
        The photo of each face.
    sizes : mapping of int to (int, int)
        Width and height of each photo in pixels.
    choice : {"largest", "center", "all"}
        The face with the largest box, the face whose box is centred nearest to the middle of the photo, or
        all faces. The first of equal faces is chosen.

    Returns
    -------
    (n,) bool
        True for one face of each photo, or for all.
    """
    if choice == "all":
        return np.ones(len(boxes), bool)
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    if choice == "largest":
        rank = -(x2 - x1) * (y2 - y1)
    else:
        size = np.array([sizes[photo] for photo in photos.tolist()], np.float64).reshape(-1, 2)
        rank = (x1 + x2 - size[:, 0]) ** 2 + (y1 + y2 - size[:, 1]) ** 2
    order = np.lexsort((np.arange(len(boxes)), rank, photos))
    _, first = np.unique(photos[order], return_index=True)
    chosen = np.zeros(len(boxes), bool)
    chosen[order[first]] = True
    return chosen


class _PhotoFinder:
    """Finds the id of the photo that a row of the file names."""

    def __init__(self, photos: Sequence[Photo], file: Path) -> None:
        self._file = file
        self._paths = {photo.path: photo.id for photo in photos}
        # Folders that were indexed from different working directories may have the same name.
        self._names, repeated = _unique((photo.name, photo.id) for photo in photos)
        self._relative, repeated_relative = _unique((photo.relpath, photo.id) for photo in photos)
        self._ambiguous = repeated | (repeated_relative - self._names.keys())
        # Roots are stored with symbolic links resolved.
        self._folders = {os.path.abspath(file.parent), os.path.realpath(file.parent)}  # noqa: PTH100

    def find(self, written: str, line: int) -> int | None:
        """Return the id of a photo; None if it is not in the index."""
        key = os.path.normpath(written)
        if (found := self._names.get(key, self._paths.get(key))) is not None:
            return found
        for folder in self._folders:
            beside = os.path.normpath(os.path.join(folder, key))  # noqa: PTH118
            real = os.path.join(os.path.realpath(os.path.dirname(beside)), os.path.basename(beside))  # noqa: PTH118, PTH119, PTH120
            if (found := self._paths.get(beside, self._paths.get(real))) is not None:
                return found
        if key in self._ambiguous:
            raise UsageError(
                f"{self._file}, line {line}: {written} is in more than one of the indexed folders.",
                "Write the absolute path.",
            )
        return self._relative.get(key)


def _unique(named: Iterable[tuple[str, int]]) -> tuple[dict[str, int], set[str]]:
    """Return the photo of each name that only one photo has, and the names that several photos share."""
    pairs = [(os.path.normpath(name), photo) for name, photo in named]
    counts = Counter(name for name, _ in pairs)
    return {name: photo for name, photo in pairs if counts[name] == 1}, {
        name for name, number in counts.items() if number > 1
    }


def _read(path: Path) -> tuple[list[_Row], _Kind]:
    """Return the rows, and what their labels belong to."""
    try:
        # File names may contain bytes that are not UTF-8; `faceindex faces` prints them unchanged.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file)
            first_line = [name.strip().lower() for name in next(reader, [])]
            header = [_column(name, first_line) for name in first_line]
            kind: _Kind = "face" if "face" in header else "box" if "x1" in header else "photo"
            missing = [name for name in _COLUMNS_OF[kind] if name not in header]
            if missing:
                found = ", ".join(first_line)[:80] if first_line else "none"
                raise UsageError(
                    f"{path} needs the columns {_CHOICES_OF_COLUMNS}, but its first line has: {found}.",
                    "Name the columns in the first line, separated by commas.",
                )
            rows = list(_rows_of(reader, [header.index(name) for name in _COLUMNS_OF[kind]]))
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.", "Pass a CSV file as `labels`.") from None
    except csv.Error as error:
        raise UsageError(
            f"{path} is not CSV: line {reader.line_num}: {error}.", "Save it as comma-separated values."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", "Pass a CSV file as `labels`."
        ) from None
    for line, *_, label in rows:
        if any("\udc80" <= letter <= "\udcff" for letter in label):
            raise UsageError(
                f"{path}, line {line}: the label is not text in UTF-8.", "Save it as CSV in UTF-8."
            )
        if any(unicodedata.category(letter) == "Cc" for letter in label):
            raise UsageError(f"{path}, line {line}: the label has control characters.", "Remove them.")
    return rows, kind


def _column(name: str, header: Sequence[str]) -> str:
    """Return the name under which a column is used."""
    alias = _ALIASES.get(name, name)
    return name if alias in header else alias


def _rows_of(reader: Iterator[list[str]], columns: Sequence[int]) -> Iterator[_Row]:
    for row in reader:
        if any(cell.strip() for cell in row):
            cells = [restored(cell.strip()) for cell in row] + [""] * (max(columns) + 1 - len(row))
            key, *box, label = (cells[column] for column in columns)
            yield reader.line_num, key, box, " ".join(label.split())  # type: ignore[attr-defined]


def _face_id(path: Path, line: int, key: str) -> int:
    try:
        return int(key)
    except ValueError:
        raise UsageError(
            f"{path}, line {line}: {key!r} is not a face id.",
            "Use the face ids in the output of `faceindex faces`, or rename the column to photo.",
        ) from None


def _rows(entries: Sequence[str]) -> str:
    return "1 row" if len(entries) == 1 else f"{len(entries):,} rows"


def _some(entries: Sequence[str]) -> str:
    return "; ".join(entries[:_EXAMPLES]) + ("; ..." if len(entries) > _EXAMPLES else "")
