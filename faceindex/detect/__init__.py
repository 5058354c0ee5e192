"""Detectors: images in, boxes and landmarks out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from faceindex.models.spec import DetectorSpec
from faceindex.types import Detections, Image

__all__ = ["Detector"]


class Detector(Protocol):
    """Interface of a detector; `models.load` calls ``Target(spec, min_face=..., device=..., **options)``."""

    spec: DetectorSpec

    @property
    def min_face(self) -> float:
        """Side in pixels of the smallest face to find."""

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        """Find the faces on a batch of images.

        Parameters
        ----------
        images : sequence of (h, w, 3) uint8
            RGB, upright; sizes may differ.
        min_faces : sequence of float, optional
            Smallest face to find on each image, in pixels *of that image*. It differs from `min_face` if the
            image was decoded at a reduced scale. None means `min_face` for all images.

        Returns
        -------
        list of Detections
            One per image, in pixels of that image.
        """
