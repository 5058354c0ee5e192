"""Find the labelled faces of an index."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from faceindex.errors import EmptyResultError, UsageError
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
        ``"folders"``, or the CSV file.
    face : {"largest", "center", "all"} or None
        Which face of a photo carries its label; None if faces were labelled one by one.
    positions : (m,) int64
        In the table of the index.
    people : (m,) int64
        Who each is, as a position in `names`.
    names : list of str
        p people in alphabetical order; those without a face too.
    photos_of : (p,) int64
        Labelled photos of each person.
    unreadable : int
        Labelled photos that could not be read; they are not in `photos_of`.
    warnings : list of str
    """

    source: str
    face: FaceChoice | None
    positions: I64
    people: I64
    names: list[str]
    photos_of: I64
    unreadable: int
    warnings: list[str]


def label_faces(
    table: FaceTable, photos: PhotoNames, labels: str | os.PathLike[str] | None, face: str | None
) -> Labelled:
    """Find the labelled faces of an index.

    Raises
    ------
    UsageError
        As `labels_from_csv`, or if there is no such `face`.
    EmptyResultError
        If no face carries a label.
    """
    which = _face_choice(face)
    named = [photos.photo(record) for record in photos.records if record.status is not Status.IGNORED]
    given = labels_from_folders(named) if labels is None else labels_from_csv(labels, named, table.face)
    unreadable = 0
    if given.kind == "face":
        if face is not None:
            raise UsageError(
                f"{os.fspath(labels or '')} labels single faces; `face` chooses among the faces of a photo.",
                "Leave out `face`.",
            )
        of, keys, carrying = given.of, table.face, np.ones(len(table), bool)
    else:
        of = {i: name for i, name in given.of.items() if photos.by_id[i].status is Status.OK}
        unreadable = len(given.of) - len(of)
        frames = {record.id: (record.width, record.height) for record in photos.records}
        keys, carrying = table.photo, choose_faces(table.boxes, table.photo, frames, which)
    people = sorted(set(of.values()))
    code = {name: i for i, name in enumerate(people)}
    who = np.array([code[of[i]] if i in of else -1 for i in keys.tolist()], np.int64)
    positions = np.flatnonzero(carrying & (who >= 0))
    if given.kind == "face":  # a photo is labelled with everybody on it
        shots = np.unique(np.stack([who[positions], table.photo[positions]]), axis=1)[0]
    else:
        shots = np.array([code[name] for name in of.values()], np.int64)
    if not len(positions):
        raise EmptyResultError(
            "No face of the index has a label.", "Index labelled photos with `faceindex index PATH...` first."
        )
    return Labelled(
        source="folders" if labels is None else os.fspath(labels),
        face=which if given.kind == "photo" else None,
        positions=positions,
        people=who[positions],
        names=people,
        photos_of=np.bincount(shots, minlength=len(people)),
        unreadable=unreadable,
        warnings=given.warnings,
    )


def _face_choice(face: str | None) -> FaceChoice:
    for which in _CHOICES:
        if face == which or (face is None and which == "largest"):
            return which
    raise UsageError(f"`face` is {face!r}.", f"Choose one of: {', '.join(_CHOICES)}.")
