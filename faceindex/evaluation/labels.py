"""Who is on which photo, by somebody's word: from folder names or a CSV file; and which face it is about."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from faceindex.errors import UsageError
from faceindex.store.photos import Photo
from faceindex.types import F32, I64, BoolArray

__all__ = ["FaceChoice", "Labels", "choose_faces", "labels_from_csv", "labels_from_folders"]

FaceChoice: TypeAlias = Literal["largest", "center", "all"]
"""Which face of a photo its label is about."""

_EXAMPLES = 3  # told of each kind of odd row


@dataclass(frozen=True, slots=True)
class Labels:
    """Who is on which photo, or who each face is.

    Attributes
    ----------
    kind : {"photo", "face"}
    of : dict of int to str
        Labels by id of the photo or face.
    warnings : list of str
        What was left out, with the file and the first lines.
    """

    kind: Literal["photo", "face"]
    of: dict[int, str]
    warnings: list[str]


def labels_from_folders(photos: Sequence[Photo]) -> Labels:
    """The name of the folder that holds a photo is its label.

    Folders of one name in different places are one person.
    """
    of = {photo.id: os.path.basename(os.path.dirname(photo.path)) for photo in photos}  # noqa: PTH119, PTH120
    warnings = []
    if len(folders := set(of.values())) == 1:
        warnings.append(
            f"All photos are in folders called {folders.pop()!r}, so everybody counts as one person. "
            "If the folders are not named for people, give labels with --labels CSV."
        )
    return Labels("photo", of, warnings)


def labels_from_csv(path: str | os.PathLike[str], photos: Sequence[Photo], faces: I64) -> Labels:
    """Read a CSV file with the columns ``face,label`` or ``photo,label``, in any order, among others.

    Where there are both, as in what ``faceindex faces --csv`` writes, `face` counts. Photos may be
    written as they were named when they were indexed, absolute, relative to the folder of the file, or
    relative to the root that was indexed; the first that fits is meant.

    Parameters
    ----------
    path : path-like
        UTF-8, with or without a byte order mark.
    photos : sequence of Photo
        Those of the index.
    faces : (n,) int64
        Face ids of the index.

    Returns
    -------
    Labels
        Rows without a label, repeated rows, and rows of unknown photos or faces are left out, and
        counted in the warnings.

    Raises
    ------
    UsageError
        If the file cannot be read, has no such columns, contradicts itself, or names nothing that is
        in the index.
    """
    path = Path(path)
    rows, kind = _read(path)
    known = {int(face) for face in faces}
    finder = _PhotoFinder(photos, path)
    of: dict[int, str] = {}
    first: dict[int, int] = {}
    odd: dict[str, list[str]] = {"unknown": [], "empty": [], "twice": []}
    for line, key, label in rows:
        if not label:
            odd["empty"].append(f"line {line}")
            continue
        if kind == "face":
            which = _face_id(path, line, key)
            found = which if which in known else None
        else:
            found = finder.find(key, line)
        if found is None:
            odd["unknown"].append(f"line {line}: {key}")
        elif found not in of:
            of[found], first[found] = label, line
        elif of[found] == label:
            odd["twice"].append(f"line {line}: {key}")
        else:
            raise UsageError(
                f"{path}, line {line}: {key} is {label!r}, and {of[found]!r} in line {first[found]}.",
                f"Give each {kind} one label, or label faces one by one with the columns face,label.",
            )
    if not of:
        if odd["unknown"]:
            raise UsageError(
                f"None of the {len(odd['unknown']):,} {kind}s in {path} is in the index "
                f"({odd['unknown'][0]}).",
                "Write photos as `faceindex faces --csv` does, or absolute."
                if kind == "photo"
                else "Take the ids from `faceindex faces --csv` of this index.",
            )
        raise UsageError(f"{path} has no labels.", f"Give it rows of {kind},label.")
    told = {
        "unknown": f"of a {kind} that is not in the index",
        "empty": "without a label",
        "twice": f"of a {kind} that came before with the same label",
    }
    warnings = [
        f"{path}: {_rows(entries)} {told[which]} {'is' if len(entries) == 1 else 'are'} left out "
        f"({_some(entries)})."
        for which, entries in odd.items()
        if entries
    ]
    return Labels(kind, of, warnings)


def choose_faces(
    boxes: F32, photos: I64, frames: Mapping[int, tuple[int, int]], which: FaceChoice
) -> BoolArray:
    """The faces that carry the labels of their photos.

    Parameters
    ----------
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright photo.
    photos : (n,) int64
        Photo that each face is on.
    frames : mapping of int to (int, int)
        Width and height of each photo in pixels.
    which : {"largest", "center", "all"}
        The face of the largest box, or the one whose box has its middle nearest the middle of the photo,
        ties by the earlier face; or every face.

    Returns
    -------
    (n,) bool
        One face per photo, or all.
    """
    if which == "all":
        return np.ones(len(boxes), bool)
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    if which == "largest":
        rank = -(x2 - x1) * (y2 - y1)
    else:
        size = np.array([frames[photo] for photo in photos.tolist()], np.float64).reshape(-1, 2)
        rank = (x1 + x2 - size[:, 0]) ** 2 + (y1 + y2 - size[:, 1]) ** 2
    order = np.lexsort((np.arange(len(boxes)), rank, photos))
    _, first = np.unique(photos[order], return_index=True)
    chosen = np.zeros(len(boxes), bool)
    chosen[order[first]] = True
    return chosen


class _PhotoFinder:
    """From what a row calls a photo to its id."""

    def __init__(self, photos: Sequence[Photo], file: Path) -> None:
        self._file = file
        self._paths = {photo.path: photo.id for photo in photos}
        # Folders that were indexed from different places may have been given by the same name.
        self._names, twice = _unique((photo.name, photo.id) for photo in photos)
        self._relative, more = _unique((photo.relpath, photo.id) for photo in photos)
        self._ambiguous = twice | (more - self._names.keys())
        # Roots are stored with symbolic links resolved.
        self._folders = {os.path.abspath(file.parent), os.path.realpath(file.parent)}  # noqa: PTH100

    def find(self, written: str, line: int) -> int | None:
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
                f"{self._file}, line {line}: there is {written} in more than one of the indexed folders.",
                "Write its absolute path.",
            )
        return self._relative.get(key)


def _unique(named: Iterable[tuple[str, int]]) -> tuple[dict[str, int], set[str]]:
    """The ids of names that only one has, and the names that several have."""
    pairs = [(os.path.normpath(name), photo) for name, photo in named]
    counts = Counter(name for name, _ in pairs)
    return {name: photo for name, photo in pairs if counts[name] == 1}, {
        name for name, number in counts.items() if number > 1
    }


def _read(path: Path) -> tuple[list[tuple[int, str, str]], Literal["photo", "face"]]:
    """Line, key and label of every row, and what the key is."""
    try:
        # File names may hold bytes that are no text, and `faces --csv` writes them as they are.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip().lower() for name in next(reader, [])]
            kind: Literal["photo", "face"] = "face" if "face" in header else "photo"
            if kind not in header or "label" not in header:
                found = ", ".join(header)[:80] if header else "none"
                raise UsageError(
                    f"{path} needs the columns photo,label or face,label, and its first line has: {found}.",
                    "Name the columns in the first line, with commas between them.",
                )
            rows = list(_rows_of(reader, header.index(kind), header.index("label")))
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.", "Name a CSV file with --labels.") from None
    except csv.Error as error:
        raise UsageError(
            f"{path} is not CSV: line {reader.line_num}: {error}.", "Save it as comma-separated values."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", "Name a CSV file with --labels."
        ) from None
    for line, _, label in rows:
        if any("\udc80" <= letter <= "\udcff" for letter in label):
            raise UsageError(
                f"{path}, line {line}: the label is not text in UTF-8.", "Save it as CSV in UTF-8."
            )
        if any(unicodedata.category(letter) == "Cc" for letter in label):
            raise UsageError(f"{path}, line {line}: the label has control characters.", "Take them out.")
    return rows, kind


def _rows_of(reader: Iterator[list[str]], key: int, label: int) -> Iterator[tuple[int, str, str]]:
    for row in reader:
        if any(cell.strip() for cell in row):
            cells = [cell.strip() for cell in row] + [""] * (max(key, label) + 1 - len(row))
            yield reader.line_num, cells[key], " ".join(cells[label].split())  # type: ignore[attr-defined]


def _face_id(path: Path, line: int, key: str) -> int:
    try:
        return int(key)
    except ValueError:
        raise UsageError(
            f"{path}, line {line}: {key!r} is no face id.",
            "Take the ids from `faceindex faces --csv`, or name the column photo.",
        ) from None


def _rows(entries: Sequence[str]) -> str:
    return "1 row" if len(entries) == 1 else f"{len(entries):,} rows"


def _some(entries: Sequence[str]) -> str:
    return "; ".join(entries[:_EXAMPLES]) + ("; ..." if len(entries) > _EXAMPLES else "")
