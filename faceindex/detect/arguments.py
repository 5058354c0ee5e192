"""What every detector is given, checked in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from faceindex.errors import UsageError
from faceindex.types import Image

__all__ = ["check_images", "check_min_face"]


def check_min_face(min_face: float) -> float:
    """The smallest face as a number.

    Raises
    ------
    UsageError
        If it is not positive.
    """
    if not (math.isfinite(min_face) and min_face > 0):
        raise UsageError(f"The smallest face cannot be {min_face} px.", "Give a number greater than 0.")
    return float(min_face)


def check_images(images: Sequence[Image], min_faces: Sequence[float] | None, min_face: float) -> list[float]:
    """The smallest face for each image: `min_faces`, or `min_face` for all when that is None.

    Raises
    ------
    UsageError
        If an image is not (h, w, 3) uint8, or `min_faces` is not one positive number per image.
    """
    if min_faces is not None and len(min_faces) != len(images):
        raise UsageError(
            f"{len(min_faces)} smallest faces were given for {len(images)} images.", "Give one for each."
        )
    for image in images:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UsageError(
                f"An image is an array of {image.dtype} and shape {image.shape}.",
                "Images are (height, width, 3) and uint8, RGB.",
            )
    return [min_face] * len(images) if min_faces is None else [check_min_face(side) for side in min_faces]
