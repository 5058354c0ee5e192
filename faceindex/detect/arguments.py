"""Checks of the arguments that all detectors take."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from faceindex.errors import UsageError
from faceindex.types import Image

__all__ = ["check_images", "check_min_face"]


def check_min_face(min_face: float, name: str = "`min_face`") -> float:
    """Return the size of the smallest face as a float.

    Parameters
    ----------
    min_face : float
        Pixels.
    name : str
        What the error message calls it.

    Raises
    ------
    UsageError
        If it is not a positive number.
    """
    if not (math.isfinite(min_face) and min_face > 0):
        raise UsageError(f"{name} is {min_face} px.", "Choose a number greater than 0.")
    return float(min_face)


def check_images(images: Sequence[Image], min_faces: Sequence[float] | None, min_face: float) -> list[float]:
    """Check the arguments of `detect` and return the smallest face for each image.

    That is `min_faces`, or `min_face` for all images if `min_faces` is None.

    Raises
    ------
    UsageError
        If an image is not (h, w, 3) uint8, or `min_faces` is not one positive number per image.
    """
    if min_faces is not None and len(min_faces) != len(images):
        raise UsageError(
            f"`min_faces` has {len(min_faces)} values for {len(images)} images.", "Pass one for each image."
        )
    for image in images:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UsageError(
                f"An image has shape {image.shape} and dtype {image.dtype}.",
                "Pass RGB images of shape (height, width, 3) and dtype uint8.",
            )
    if min_faces is None:
        return [min_face] * len(images)
    return [check_min_face(side, "A value of `min_faces`") for side in min_faces]
