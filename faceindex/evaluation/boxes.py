"""Labels by boxes: which detected face each labelled box of a photo shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from faceindex.errors import UsageError
from faceindex.types import F32, F64, I64

__all__ = ["COLUMNS", "LabelledBox", "MatchedBoxes", "faces_in_boxes", "match_labelled_boxes", "parse_box"]

COLUMNS = ("x1", "y1", "x2", "y2")
"""Columns of a CSV file with labels by boxes."""


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A box on a photo with the name of the person in it.

    Attributes
    ----------
    line : int
        Line of the CSV file.
    photo : int
        Id of the photo.
    name : str
        Name of the photo.
    label : str
    box : tuple of four floats
        ``x1 y1 x2 y2`` in pixels of the upright photo.
    """

    line: int
    photo: int
    name: str
    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class MatchedBoxes:
    """Which faces the boxes label.

    Attributes
    ----------
    boxes : list of LabelledBox
        All boxes on photos of the index.
    label_of : dict of int to str
        Label of each face that is in a box, by its id.
    without_face : list of LabelledBox
        Boxes without a face.
    without_box : list of int
        The faces, on photos with a box, that no box labels, as positions in the face table of the index.
    """

    boxes: list[LabelledBox] = field(default_factory=list)
    label_of: dict[int, str] = field(default_factory=dict)
    without_face: list[LabelledBox] = field(default_factory=list)
    without_box: list[int] = field(default_factory=list)

    @property
    def photos(self) -> int:
        """Number of photos with a box."""
        return len({box.photo for box in self.boxes})


def parse_box(file: str, line: int, cells: Sequence[str]) -> tuple[float, float, float, float]:
    """Read the four numbers of a box.

    Raises
    ------
    UsageError
        If one is not a number, or the box has no area. The message names the file and the line.
    """
    numbers = []
    for column, cell in zip(COLUMNS, cells, strict=True):
        try:
            number = float(cell)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise UsageError(
                f"{file}, line {line}: {column} is {cell!r}, which is not a number.",
                "Write pixels of the upright photo, with a point for decimals.",
            )
        numbers.append(number)
    x1, y1, x2, y2 = numbers
    if x2 <= x1 or y2 <= y1:
        raise UsageError(
            f"{file}, line {line}: the box {x1:g} {y1:g} {x2:g} {y2:g} has no area.",
            "Write the left, top, right and bottom edge as x1,y1,x2,y2.",
        )
    return x1, y1, x2, y2


def match_labelled_boxes(
    boxes: Sequence[LabelledBox], faces: I64, photos: I64, face_boxes: F32
) -> MatchedBoxes:
    """Give each labelled box at most one of the detected faces of its photo.

    Parameters
    ----------
    boxes : sequence of LabelledBox
    faces, photos : (n,) int64
        Ids and photos of the detected faces.
    face_boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright photo.

    Returns
    -------
    MatchedBoxes
    """
    by_photo: dict[int, list[LabelledBox]] = {}
    for box in boxes:
        by_photo.setdefault(box.photo, []).append(box)
    on_photo: Mapping[int, list[int]] = {photo: [] for photo in by_photo}
    for i, photo in enumerate(photos.tolist()):
        if photo in on_photo:
            on_photo[photo].append(i)
    result = MatchedBoxes(list(boxes))
    for photo, here in by_photo.items():
        positions = on_photo[photo]
        found = faces_in_boxes(np.array([box.box for box in here], np.float64), face_boxes[positions])
        for box, face in zip(here, found.tolist(), strict=True):
            if face < 0:
                result.without_face.append(box)
            else:
                result.label_of[int(faces[positions[face]])] = box.label
        rest = set(range(len(positions))) - set(found.tolist())
        result.without_box.extend(positions[i] for i in sorted(rest - {-1}))
    return result


def faces_in_boxes(boxes: F64, faces: F32) -> I64:
    """Find the face in each box of one photo.

    A face belongs to a box that contains its centre; boxes may cover the hair or the whole head. Where
    there is a choice, pairs are taken in ascending order of the distance between the two centres, in units
    of width and height of the box. Each box and each face is in one pair at most.

    Parameters
    ----------
    boxes : (m, 4) float64
    faces : (n, 4) float32
        Boxes ``x1 y1 x2 y2`` on the same photo.

    Returns
    -------
    (m,) int64
        Positions in `faces`; -1 for a box without a face.
    """
    found = np.full(len(boxes), -1, np.int64)
    if not len(boxes) or not len(faces):
        return found
    centres = (faces[:, :2] + faces[:, 2:]).astype(np.float64) / 2
    sides = boxes[:, 2:] - boxes[:, :2]
    # From -0.5 to 0.5 inside the box, (m, n, 2).
    offsets = (centres[None] - (boxes[:, None, :2] + boxes[:, None, 2:]) / 2) / sides[:, None]
    inside = (np.abs(offsets) <= 0.5).all(axis=2)
    distances = (offsets**2).sum(axis=2)
    pairs = np.argwhere(inside)
    taken = np.zeros(len(faces), np.bool_)
    for i, j in pairs[np.argsort(distances[pairs[:, 0], pairs[:, 1]], kind="stable")].tolist():
        if found[i] < 0 and not taken[j]:
            found[i], taken[j] = j, True
    return found
