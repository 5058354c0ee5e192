"""YuNet: one small network, at the scale that the smallest face needs, and a closer look at small faces.

Landmarks are those of O-Net, see `faceindex.detect.landmarks`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

from faceindex.detect.arguments import check_images, check_min_face
from faceindex.detect.boxes import nms
from faceindex.detect.landmarks import LandmarkNet
from faceindex.detect.yunet_decode import (
    OVERLAP,
    Candidates,
    average_landmarks,
    canvas,
    decode,
    overlap,
    suppress,
    to_input,
)
from faceindex.devices import BatchSize
from faceindex.models.onnx_format import with_free_input
from faceindex.models.spec import DetectorSpec, WeightFile
from faceindex.models.weights import read_weights
from faceindex.onnx_sessions import OnnxSession
from faceindex.types import F32, U8, Detections, Image

__all__ = ["MOST_PIXELS", "YuNet", "load_network"]

# Side in input pixels of the smallest face: the square root of the area of the network's box. Of 94 faces of
# shared/data/people, the network gives 21 % a score of 0.5 or more at 10 px, 59 % at 12 px, 85 % at 14 px,
# 96 % at 16 px and 99 % at 20 px. Of 394 faces of LFW reduced to 31 px, with a `min_face` of 30, 36 are lost
# at 16 px with candidates from a score of 0.4, 8 at 16 px from 0.2, 2 at 18 px from 0.3 and 3 at 20 px from
# 0.3; mtcnn loses none of them. The false faces on nobody/ and art/ grow from 85 to 95 from the first to the
# third (mtcnn: 104).
_FACE = 18.0
# Scales this close to 1 count as 1: decoding at reduced scale rounds up to whole pixels.
_SAME_SCALE = 0.02
# Lowest score of a cell that counts, and so of a box that is looked at closely.
_CANDIDATE = 0.3
# Boxes with a longer edge below this, in input pixels, are looked at closely. The mean distance of the
# landmarks from those at full or nearly full size is 11 % of the face's side at 16 px, 6 % at 24 px, 4 % at
# 40 px and 3 % from 60 px (medians of the 94 faces). In 1,000 pairs of LFW with MobileFaceNet, one photo was
# reduced to a face of 37 px. Of the same-person pairs, 94.6 % are above the similarity that 1 % of the others
# exceed if the network gets the face at 20 px, 99.2 % if it gets it at 29 px, and 99.0 % with the landmarks
# of the full-size photo.
_SMALL = 36.0
# Side of the input of a closer look, and that of the face's longer edge on it. Looks with 64 px and 40 px,
# hence less of the surroundings, lose 1 % of the faces of group_photos.
_LOOK, _LOOK_FACE = 96, 48.0
# An image that is longer than the first on the input is also processed in copies of a quarter of its size.
# Of the 94 faces, 99 % score 0.8 or more at 500 px, but 15 % at 700 px, and skin is taken for faces.
# Faces up to the second (longer edge, input pixels) come from the finer scale, and faces above the third from
# the coarser one. The limits overlap, so that a face between them is found at one scale at least.
_LONGEST, _COPY = 480, 4
_MOST_AT_FINER_SCALE, _LEAST_AT_COARSER_SCALE = 320.0, 40.0

MOST_PIXELS = 1 << 23
"""Pixels of the largest input, 300 MB in the network; images that need more are reduced to it."""

# Input pixels per pass on a CPU: larger batches gain nothing. Bytes per pixel in the network, measured.
_PIXELS_PER_PASS, _PIXEL_BYTES = 1 << 17, 50
_GPU_PIXELS = 1 << 24


@dataclass(frozen=True, slots=True)
class _Level:
    """An image at one scale.

    `image` is its position in the batch, `pixels` are the scaled pixels. Faces with longer edges from
    `least` to `most` input pixels are kept. `factor` (x, y) converts input pixels to pixels of the image.
    """

    image: int
    pixels: U8
    least: float
    most: float
    factor: tuple[float, float]


class YuNet:
    """Detect faces and five landmarks with YuNet.

    An image is scaled so that the smallest face is 18 px on the input of the network. With a `min_face` of
    30, that is 0.6 of its size, about a third of the pixels. Boxes of up to 36 px there are detected a second
    time on a cut-out of the image in which they are 48 px, where they get their final score, box and
    landmarks. An image of more than 480 px on the input is also processed in copies of a quarter, a
    sixteenth, ... of its size, for large faces.

    Parameters
    ----------
    spec : DetectorSpec
        Its weight files are those of YuNet and of O-Net. Its `threshold` is the lowest score of a face that
        is returned.
    min_face : float
        Side in pixels of the smallest face to find, greater than 0. The time falls with its square.
    device : str
        See `faceindex.onnx_sessions.OnnxSession`.

    Raises
    ------
    UsageError
        If `min_face` is not a positive number.
    WeightsNotFound, WeightsInvalid
        See `faceindex.models.weights.read_weights`.
    """

    def __init__(self, spec: DetectorSpec, *, min_face: float, device: str = "cpu") -> None:
        self.spec = spec
        self._min_face = check_min_face(min_face)
        weight, landmarks = spec.weights
        self._session = load_network(weight, device=device)
        self._landmarks = LandmarkNet(landmarks, device=device)
        self._pixels = BatchSize(
            device if self._session.on_gpu else "cpu",
            cpu=_PIXELS_PER_PASS,
            item_bytes=_PIXEL_BYTES,
            most=_GPU_PIXELS,
        )

    @property
    def min_face(self) -> float:
        """Side in pixels of the smallest face to find."""
        return self._min_face

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        """Find the faces on a batch of images.

        The result for an image does not depend on the other images, except for the last bits of the
        network's arithmetic.

        Parameters
        ----------
        images : sequence of (h, w, 3) uint8
            RGB, upright; sizes may differ.
        min_faces : sequence of float, optional
            Smallest face to find on each image, in pixels of that image, greater than 0. None means
            `min_face` for all images.

        Returns
        -------
        list of Detections
            One per image, in pixels of that image, sorted by descending score. Boxes may extend beyond the
            image.

        Raises
        ------
        UsageError
            If an image is not (h, w, 3) uint8, or `min_faces` is not one positive number per image.
        """
        smallest = check_images(images, min_faces, self._min_face)
        found = self._look_closer(images, *self._search(images, smallest))
        found = found.pick(np.flatnonzero(found.scores >= self.spec.threshold))
        found = found.pick(nms(found.boxes, found.scores, found.owners, OVERLAP))
        ends = np.searchsorted(found.owners, np.arange(len(images) + 1))
        faces = [
            Detections(found.boxes[a:b], found.landmarks[a:b], found.scores[a:b]) for a, b in pairwise(ends)
        ]
        return self._landmarks.locate(images, faces)

    def _search(self, images: Sequence[Image], smallest: Sequence[float]) -> tuple[Candidates, F32]:
        """Find candidates at every scale.

        Returns them in pixels of the images, and the length of the longer edge of each on the input.
        """
        groups: defaultdict[tuple[int, int], list[_Level]] = defaultdict(list)
        for index, (image, side) in enumerate(zip(images, smallest, strict=True)):
            for level in _levels(index, image, side):
                groups[canvas(level.pixels.shape[:2])].append(level)
        found, edges = [_no_candidates()], [np.empty(0, np.float32)]
        for size, levels in groups.items():
            for part, cells in self._passes([level.pixels for level in levels], size):
                candidates, own = average_landmarks(suppress(cells), cells), levels[part]
                edge = (candidates.boxes[:, 2:] - candidates.boxes[:, :2]).max(axis=1)
                limits = np.array([(level.least, level.most) for level in own])[candidates.owners]
                kept = np.flatnonzero((edge >= limits[:, 0]) & (edge <= limits[:, 1]))
                candidates = candidates.pick(kept)
                factors = np.array([level.factor for level in own], np.float32)[candidates.owners]
                owners = np.array([level.image for level in own])[candidates.owners]
                found.append(_moved(candidates, factors, np.zeros_like(factors), owners))
                edges.append(edge[kept])
        return _joined(found), np.concatenate(edges)

    def _look_closer(self, images: Sequence[Image], found: Candidates, edges: F32) -> Candidates:
        """Detect small faces again on cut-outs of the images; those not found again are dropped.

        `edges` are the longer edges of the boxes on the input of the search.
        """
        small = np.flatnonzero(edges < _SMALL)
        if not len(small):
            return found
        first = found.pick(small)
        shapes = np.array([image.shape[1::-1] for image in images])[first.owners]
        centres = (first.boxes[:, :2] + first.boxes[:, 2:]) / 2
        reach = (first.boxes[:, 2:] - first.boxes[:, :2]).max(axis=1, keepdims=True) * (
            _LOOK / (2 * _LOOK_FACE)
        )
        starts = np.clip(np.floor(centres - reach), 0, shapes - 1).astype(np.int64)
        ends = np.clip(np.ceil(centres + reach), starts + 1, shapes).astype(np.int64)
        cuts = [
            _scaled_to(images[owner][y1:y2, x1:x2], _LOOK, float(side))
            for owner, (x1, y1), (x2, y2), side in zip(
                first.owners, starts, ends, 2 * reach[:, 0], strict=True
            )
        ]
        factors = ((ends - starts) / np.array([cut.shape[1::-1] for cut in cuts])).astype(np.float32)
        parts = [found.pick(np.flatnonzero(edges >= _SMALL))]
        for part, seen in self._passes(cuts, (_LOOK, _LOOK)):
            which = np.arange(len(cuts))[part][seen.owners]
            again = _moved(seen, factors[which], starts[which].astype(np.float32), which)
            best = again.pick(np.flatnonzero(overlap(again.boxes, first.boxes[which]) >= OVERLAP))
            best = best.pick(np.lexsort((-best.scores, best.owners)))
            best = best.pick(np.unique(best.owners, return_index=True)[1])  # of each cut-out
            best = average_landmarks(best, again)
            parts.append(Candidates(best.boxes, best.landmarks, best.scores, first.owners[best.owners]))
        return _joined(parts)

    def _passes(self, pixels: Sequence[U8], size: tuple[int, int]) -> list[tuple[slice, Candidates]]:
        """Run the network on images that fit into `size`, in passes that fit into memory.

        Returns which images each pass contains, and its candidates, whose owners count from its first image.
        """

        def run(part: slice) -> tuple[slice, Candidates]:
            outputs = self._session.run({"input": to_input(pixels[part], size)})
            return part, decode(outputs, size, _CANDIDATE)

        return self._pixels.run(len(pixels), run, each=math.prod(size))


def load_network(weight: WeightFile, *, device: str = "cpu") -> OnnxSession:
    """Load a published file; the session takes the arrays of `to_input` as ``"input"``, of any size.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        See `faceindex.models.weights.read_weights` and `OnnxSession`.
    """
    # The file of 2023 is declared for 640 x 640 px, and both files for one image at a time.
    content = with_free_input(read_weights(weight), weight.name, ("images", 3, "height", "width"))
    return OnnxSession(content, weight.name, device=device)


def _levels(index: int, image: Image, smallest: float) -> list[_Level]:
    """Scale an image to the sizes at which the network processes it, the largest first."""
    if not image.size:
        return []
    height, width = image.shape[:2]
    scale = _FACE / smallest
    if abs(scale - 1) < _SAME_SCALE:
        scale = 1.0
    # The input is padded to whole cells: of a line of pixels, it has 32 rows.
    longest = MOST_PIXELS / canvas((1, 1))[0] / max(height, width)
    scale = min(scale, math.sqrt(MOST_PIXELS / (height * width)), longest)
    pixels: U8 = image
    pyramid: list[U8] = []
    while not pyramid or max(pixels.shape[:2]) > _LONGEST:
        pixels = _resized(pixels, scale)
        pyramid.append(pixels)
        scale = 1 / _COPY
    return [
        _Level(
            index,
            level,
            0.0 if number == 0 else _LEAST_AT_COARSER_SCALE,
            math.inf if number == len(pyramid) - 1 else _MOST_AT_FINER_SCALE,
            (width / level.shape[1], height / level.shape[0]),
        )
        for number, level in enumerate(pyramid)
    ]


def _scaled_to(pixels: U8, most: int, extent: float) -> U8:
    """Scale pixels by the factor that makes `extent` pixels `most`, or less if they would not fit into it."""
    return _resized(pixels, most / max(extent, *pixels.shape[:2]))


def _resized(pixels: U8, scale: float) -> U8:
    """Scale pixels (h, w, 3), averaging where that reduces them."""
    shape = max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))
    if shape == pixels.shape[:2]:
        return pixels
    plane = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)[None]
    scaled: U8 = functional.interpolate(plane, size=shape, mode="bilinear", antialias=True)[0].numpy()
    upright: U8 = scaled.transpose(1, 2, 0)
    return upright


def _no_candidates() -> Candidates:
    none = Detections.empty()
    return Candidates(none.boxes, none.landmarks, none.scores, np.empty(0, np.int64))


def _joined(parts: Sequence[Candidates]) -> Candidates:
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.owners for part in parts]),
    )


def _moved(found: Candidates, factors: F32, offsets: F32, owners: np.ndarray) -> Candidates:
    """Multiply coordinates by `factors`, add `offsets`, both (n, 2), and replace the owners."""
    boxes = found.boxes * np.tile(factors, 2) + np.tile(offsets, 2)
    return Candidates(
        boxes, found.landmarks * factors[:, None] + offsets[:, None], found.scores, owners.astype(np.int64)
    )
