"""Boxes of other programs on many photos at once: arrays in, arrays out.

All arrays of boxes are sorted by photo. A *photo number* is a position in a batch of photos.
"""

from __future__ import annotations

import numpy as np

from faceindex.matching import LEAST_OVERLAP, match_pairs
from faceindex.orientation import to_stored, to_upright
from faceindex.types import F32, I64, BoolArray

__all__ = [
    "SAME_PLACE",
    "is_cropped",
    "is_usable",
    "match_regions_to_faces",
    "near_faces",
    "places",
    "same_places",
]

SAME_PLACE = 0.5
"""Intersection over union from which on two regions of a program are one: two faces that touch have less."""

_FARTHEST = 1.0  # sides of the picture by which a region may leave it; beyond, its numbers are damaged
_LEAST_SIDE = 1e-4  # of a region, as a share of the picture
_ASPECT = 0.01  # by which aspects of one picture may differ
_ROUNDING = 1.0  # pixels by which its sides may be rounded when it is scaled


def is_usable(boxes: F32) -> BoolArray:
    """Return which boxes, (n, 4) float32 in fractions of a picture, are on it; (n,) bool."""
    with np.errstate(invalid="ignore", over="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        usable: BoolArray = np.all((boxes >= -_FARTHEST) & (boxes <= 1 + _FARTHEST), axis=1)
        usable &= np.all((boxes[:, :2] < 1) & (boxes[:, 2:] > 0) & (sides >= _LEAST_SIDE), axis=1)
    return usable


def is_cropped(stated: tuple[int, int], actual: tuple[int, int]) -> bool:
    """Whether the aspect of a picture was another one when regions were stored.

    Parameters
    ----------
    stated, actual : (int, int)
        Width and height then and now. They may be of a scaled picture.
    """
    if min(*stated, *actual) < 1:
        return False
    (w, h), (width, height) = stated, actual
    change = w * height / (h * width)
    tolerance = _ASPECT + _ROUNDING / min(w, h) + _ROUNDING / min(width, height)
    return not 1 / (1 + tolerance) <= change <= 1 + tolerance


def places(boxes: F32, stored: BoolArray, orientation: I64, sizes: F32) -> tuple[F32, F32]:
    """Return where regions are on stored pictures and on upright photos.

    Parameters
    ----------
    boxes : (n, 4) float32
        In fractions of the sides of a picture.
    stored : (n,) bool
        Whether that is the stored picture, or else the upright photo.
    orientation : (n,) int64
        EXIF orientation of each photo.
    sizes : (n, 2) float32
        Width and height of the upright photo in pixels.

    Returns
    -------
    stored : (n, 4) float32
        In fractions of the sides of the stored picture.
    upright : (n, 4) float32
        In pixels of the upright photo.
    """
    which = stored[:, None]
    upright = np.where(which, to_upright(boxes, orientation), boxes)
    on_stored = np.where(which, boxes, to_stored(boxes, orientation))
    pixels = upright * np.concatenate([sizes, sizes], axis=1)
    return on_stored.astype(np.float32), pixels.astype(np.float32)


def _pairs(one: I64, other: I64) -> tuple[I64, I64]:
    """Return the positions of all pairs of rows of two sorted arrays of photo numbers that have the same one.

    Sorted by the first position, and then by the second one.
    """
    first = np.searchsorted(other, one, "left")
    number = np.searchsorted(other, one, "right") - first
    a = np.repeat(np.arange(len(one)), number)
    b = np.arange(len(a)) - np.repeat(np.cumsum(number) - number, number) + np.repeat(first, number)
    return a.astype(np.int64), b.astype(np.int64)


def _overlap(a: F32, b: F32) -> F32:
    """Return the intersection over union of each pair of boxes, (n,) float32."""
    sides = (np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])).clip(0)
    both = sides.prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - both
    found: F32 = both / np.where(union > 0, union, 1)
    return found


def same_places(photo: I64, boxes: F32) -> tuple[I64, I64]:
    """Find the regions of one photo that are at the same place.

    Parameters
    ----------
    photo : (n,) int64
        Photo numbers, ascending.
    boxes : (n, 4) float32

    Returns
    -------
    (m,) int64, (m,) int64
        Pairs of positions, the lower one first.
    """
    a, b = _pairs(photo, photo)
    later = a < b
    a, b = a[later], b[later]
    close = _overlap(boxes[a], boxes[b]) >= SAME_PLACE
    return a[close], b[close]


def match_regions_to_faces(photo: I64, boxes: F32, face_photo: I64, face_boxes: F32) -> I64:
    """Find the face of each region: each face and each region is in one pair at most.

    Pairs are chosen as by `faceindex.matching.match_boxes`, on each photo.

    Parameters
    ----------
    photo, face_photo : (n,) and (m,) int64
        Photo numbers, ascending.
    boxes, face_boxes : (n, 4) and (m, 4) float32
        In pixels of the upright photos.

    Returns
    -------
    (n,) int64
        Positions of faces; -1 for none.
    """
    found = np.full(len(photo), -1, np.int64)
    face, region = _pairs(face_photo, photo)
    matched = match_pairs(face_boxes[face], boxes[region], face, region)
    found[region[matched]] = face[matched]
    return found


def near_faces(photo: I64, boxes: F32, face_photo: I64, face_boxes: F32) -> BoolArray:
    """Return which regions have a face at their place, also if another one fits it better; (n,) bool.

    Parameters are those of `match_regions_to_faces`.
    """
    region, face = _pairs(photo, face_photo)
    own, other = boxes[region], face_boxes[face]
    close = _overlap(own, other) >= LEAST_OVERLAP
    for outer, inner in ((own, other), (other, own)):
        centre = (inner[:, :2] + inner[:, 2:]) / 2
        close &= ((outer[:, :2] <= centre) & (centre <= outer[:, 2:])).all(axis=1)
    found = np.zeros(len(photo), np.bool_)
    found[region[close]] = True
    return found
