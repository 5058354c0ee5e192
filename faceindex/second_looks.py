"""Second looks: search a photo once more, in other ways, if a detector found no face on it.

The turned look is also for photos on which all faces are doubtful, if the detector's spec states from which
score a face is sure: on 88 of 240 photos that were stored sideways or upside down, mtcnn took something else
for a face. `benchmarks/second_looks.py` has the results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from faceindex.images.thumbnails import fit
from faceindex.turns import TURNS, turn_image, turned_size
from faceindex.types import F32, BoolArray, Detections, Image

__all__ = ["Look", "look_between", "look_padded", "look_turned", "share_inside"]

Look: TypeAlias = Callable[[Sequence[Image], Sequence[float]], list[Detections]]
"""Returns the faces that count on each image, from the given smallest side of a face in pixels."""

# The three turns are first searched for faces of at least this share of the shorter side; only the turn that
# wins, for smaller ones too. The largest face is smaller on 1 of 149 turned photos of people/ and diverse/.
_COARSE = 1 / 12

# Landmarks that stand at a steeper angle show that another turn is right.
_MOST_TILTED = np.deg2rad(60)

_BORDER = 0.25  # of the longer side, on each side
_FILLS = 0.6  # a face that fills the frame is at least this share of the photo's shorter side


def look_between(
    look: Look, images: Sequence[Image], min_faces: Sequence[float], *, factor: float
) -> list[Detections]:
    """Search images at scales between the levels of the image pyramid of the first look.

    A pyramid samples the sizes of faces in steps of `factor`; a size between two steps can be missed. Other
    parameters and result as of `look_turned`.
    """
    return look(images, [factor**-0.5 * side for side in min_faces])


def look_turned(
    look: Look, images: Sequence[Image], min_faces: Sequence[float], *, threshold: float
) -> list[Detections]:
    """Search images that are turned by 90, 180 and 270 degrees, as scans are that carry no orientation.

    The turn whose faces have the greatest sum of scores wins; all faces of an image have the same turn.

    Parameters
    ----------
    look : Look
    images : sequence of (h, w, 3) uint8
    min_faces : sequence of float
    threshold : float
        Least score of a face.

    Returns
    -------
    list of Detections
        In pixels of the given images, with their turns.
    """
    coarse = [
        max(side, _COARSE * min(image.shape[:2])) for image, side in zip(images, min_faces, strict=True)
    ]
    best = [Detections.empty()] * len(images)

    def search(which: Sequence[int], turn: int, sides: Sequence[float]) -> None:
        found = look([turn_image(images[i], turn) for i in which], [sides[i] for i in which])
        for i, faces in zip(which, found, strict=True):
            faces = faces[(faces.scores >= threshold) & _are_upright(faces)]
            if faces.scores.sum() > best[i].scores.sum():
                height, width = images[i].shape[:2]
                best[i] = faces.turned(360 - turn, *turned_size(width, height, turn))

    for turn in TURNS[1:]:
        search(range(len(images)), turn, coarse)
    for turn in TURNS[1:]:
        won = [i for i, faces in enumerate(best) if turn in faces.turns and coarse[i] > min_faces[i]]
        if won:
            search(won, turn, min_faces)
    return best


def look_padded(
    look: Look, images: Sequence[Image], min_faces: Sequence[float], *, least_inside: float
) -> list[Detections]:
    """Search reduced images with a black border around them, for faces that fill the frame or exceed it.

    Parameters
    ----------
    look, images, min_faces
        As in `look_turned`.
    least_inside : float
        Share of a face's box that must lie on the image.

    Returns
    -------
    list of Detections
        In pixels of the given images.
    """
    copies, scales, borders, sides = [], [], [], []
    for image, min_face in zip(images, min_faces, strict=True):
        height, width = image.shape[:2]
        small = fit(image, max(1, round(max(height, width) / (1 + 2 * _BORDER))))
        border = round(_BORDER * max(small.shape[:2]))
        copies.append(np.pad(small, ((border, border), (border, border), (0, 0))))
        scales.append((width / small.shape[1], height / small.shape[0]))
        borders.append(border)
        sides.append(max(min_face / max(scales[-1]), _FILLS * min(small.shape[:2])))
    found = []
    for image, faces, scale, border in zip(images, look(copies, sides), scales, borders, strict=True):
        faces = faces.shifted(-border, -border).scaled(scale)
        large = np.sqrt(np.prod(faces.boxes[:, 2:] - faces.boxes[:, :2], axis=1)) >= _FILLS * min(
            image.shape[:2]
        )
        inside = share_inside(faces, image.shape[1], image.shape[0]) >= least_inside
        found.append(faces[large & inside & _are_upright(faces)])
    return found


def share_inside(faces: Detections, width: int, height: int) -> F32:
    """Return the share (n,) float32 of each face's box that lies on an image; 0 for a box without an area."""
    corners, limits = faces.boxes, np.array([width, height], np.float32)
    inside = np.minimum(corners[:, 2:], limits) - np.maximum(corners[:, :2], 0)
    with np.errstate(invalid="ignore", over="ignore"):  # infinity minus infinity is NaN
        area = (corners[:, 2:] - corners[:, :2]).clip(0).prod(axis=1)
    share: F32 = inside.clip(0).prod(axis=1) / np.where(area > 0, area, np.inf)
    return share


def _are_upright(faces: Detections) -> BoolArray:
    """Return whether the landmarks of each face stand upright; true without landmarks."""
    eyes, mouth = faces.landmarks[:, :2].mean(axis=1), faces.landmarks[:, 3:].mean(axis=1)
    x, y = (mouth - eyes).T
    upright: BoolArray = ~(np.abs(np.arctan2(x, y)) > _MOST_TILTED)
    return upright
