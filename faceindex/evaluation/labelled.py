"""Find the labelled faces of an index."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from faceindex.errors import EmptyResultError, UsageError
from faceindex.evaluation.boxes import MatchedBoxes
from faceindex.evaluation.labels import FaceChoice, choose_faces, labels_from_csv, labels_from_folders
from faceindex.store import FaceTable, Status
from faceindex.store.photos import PhotoNames
from faceindex.types import I64

__all__ = ["Labelled", "label_faces"]

_CHOICES: tuple[FaceChoice, ...] = ("largest", "center", "all")


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labelled faces of an index, m in all.

    Attributes
    ----------
    source : str
        ``"folders"``, or the path of the CSV file.
    face : {"largest", "center", "all"} or None
        The face of a photo that its label applies to; None if the labels are those of single faces or of
        boxes.
    positions : (m,) int64
        Positions in the face table of the index.
    people : (m,) int64
        The person on each face, as a position in `names`.
    names : list of str
        p people in alphabetical order, including people without a face.
    photos_of : (p,) int64
        Number of labelled photos of each person.
    unreadable : int
        Number of labelled photos that could not be read. They are not counted in `photos_of`.
    warnings : list of str
        As in `Labels`.
    boxes : MatchedBoxes or None
        The boxes and their faces; None if the labels are not those of boxes.
    """

    source: str
    face: FaceChoice | None
    positions: I64
    people: I64
    names: list[str]
    photos_of: I64
    unreadable: int
    warnings: list[str]
    boxes: MatchedBoxes | None = None

    def person_of_faces(self, n: int) -> I64:
        """Return the person on each of the `n` faces of the index, (n,) int64; -1 without a label."""
        people = np.full(n, -1, np.int64)
        people[self.positions] = self.people
        return people


def label_faces(
    table: FaceTable, photos: PhotoNames, labels: str | os.PathLike[str] | None, face: str | None
) -> Labelled:
    """Find the labelled faces of an index.

    Parameters
    ----------
    table : FaceTable
        The faces of the index.
    photos : PhotoNames
        The photos of the index.
    labels : path-like or None
        A CSV file; None means that the name of the folder of a photo is its label.
    face : {"largest", "center", "all"} or None
        The face of a photo that its label applies to; None means the largest.

    Raises
    ------
    UsageError
        As in `labels_from_csv`, or if `face` is invalid.
    EmptyResultError
        If no face has a label.
    """
    choice = _face_choice(face)
    used = [photos.photo(record) for record in photos.records if record.status is not Status.IGNORED]
    found = labels_from_folders(used) if labels is None else labels_from_csv(labels, used, table)
    if found.kind != "photo" and face is not None:
        raise UsageError(
            f"{os.fspath(labels or '')} labels single faces; `face` chooses among the faces of a photo.",
            "Leave out `face`.",
        )
    label_of, unreadable = found.by_id, 0
    if found.kind == "photo":
        label_of = {i: name for i, name in found.by_id.items() if photos.by_id[i].status is Status.OK}
        unreadable = len(found.by_id) - len(label_of)
        sizes = {record.id: (record.width, record.height) for record in photos.records}
        keys, chosen = table.photo, choose_faces(table.boxes, table.photo, sizes, choice)
    else:
        keys, chosen = table.face, np.ones(len(table), bool)
    on_photos = set(label_of.items())  # not used for faces
    if found.kind == "box":
        labelled = {(box.photo, box.label) for box in found.boxes.boxes}
        on_photos = {(photo, name) for photo, name in labelled if photos.by_id[photo].status is Status.OK}
        unreadable = len({photo for photo, _ in labelled} - {photo for photo, _ in on_photos})
    names = sorted({name for _, name in on_photos})
    code = {name: i for i, name in enumerate(names)}
    person = np.array([code[label_of[i]] if i in label_of else -1 for i in keys.tolist()], np.int64)
    positions = np.flatnonzero(chosen & (person >= 0))
    # The person of each labelled photo; with labels of faces, a photo has the labels of all its faces.
    if found.kind == "face":
        person_of_photo = np.unique(np.stack([person[positions], table.photo[positions]]), axis=1)[0]
    else:
        person_of_photo = np.array([code[name] for _, name in on_photos], np.int64)
    if not len(positions):
        raise EmptyResultError(
            "No face of the index has a label.", "Index labelled photos with `faceindex index PATH...` first."
        )
    return Labelled(
        source="folders" if labels is None else os.fspath(labels),
        face=choice if found.kind == "photo" else None,
        positions=positions,
        people=person[positions],
        names=names,
        photos_of=np.bincount(person_of_photo, minlength=len(names)),
        unreadable=unreadable,
        warnings=found.warnings,
        boxes=found.boxes if found.kind == "box" else None,
    )


def _face_choice(face: str | None) -> FaceChoice:
    for choice in _CHOICES:
        if face == choice or (face is None and choice == "largest"):
            return choice
    raise UsageError(f"`face` is {face!r}.", f"Choose one of: {', '.join(_CHOICES)}.")
