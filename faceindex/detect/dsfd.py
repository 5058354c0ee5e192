"""DSFD and lightDSFD: six levels of anchors, faces from 16 px on; a photo of up to 640 px is looked at once.

Li et al., "DSFD: Dual LoadedPhoto Face Detector", CVPR 2019, https://arxiv.org/abs/1810.10220. What is done
with a photo before and after the network is what the public inference port does
(https://github.com/hukkelas/DSFD-Pytorch-Inference, ``face_detection/base.py``), but that boxes are
decoded only where a face is, and that larger photos are also looked at in reduced copies.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from faceindex.detect.arguments import check_images, check_min_face
from faceindex.detect.boxes import nms
from faceindex.detect.dsfd_anchors import anchors, decode
from faceindex.detect.dsfd_folding import fold_batch_norm
from faceindex.detect.dsfd_light_nets import LightDSFDNet
from faceindex.detect.dsfd_nets import DSFDNet
from faceindex.devices import BatchSize
from faceindex.models.spec import DetectorSpec
from faceindex.state_dicts import load_network
from faceindex.types import F32, I64, Detections, Image

__all__ = ["DSFD", "LightDSFD", "candidates", "to_input"]

_MEAN_BGR = (104.0, 117.0, 123.0)
_OVERLAP = 0.3
# Scales this near to 1 are 1: decoding at reduced scale rounds up to whole pixels.
_SAME_SCALE = 0.02
# The side that both networks were trained at (``min_dim`` in the configurations upstream).
_ONE_LOOK = 640
# Sides (roots of areas) that a look is trusted with, in pixels as the network sees them: faces up to the
# first where a coarser look follows, over the second where a finer one came before. The first is the last
# anchor but one; above it lightDSFD sees faces in patches of skin. Between the two, seen at both scales, a
# face is kept by one look at least: with 128 for 96, 8 of 120 enlarged faces were lost between the looks.
_LARGEST = 256.0
_SMALLEST = 96.0


class DSFD:
    """Find faces by DSFD with its ResNet-152.

    The largest anchor is 512 px, and the networks were trained on 640 x 640 px. So photos of which the
    longer side is over 640 px are also looked at in copies of half, a quarter, ... of the size until it is
    not, at a third of the cost of the first look at most. Faces over 256 px come from the copies, all
    others from the first look. Photos of up to 640 px are looked at once, as was published.

    One look at 1,024 x 1,024 px took 39 s on one core of an AMD EPYC that had other work too (18 s of its
    time), and 1.2 GiB of memory, weights included (benchmarks/dsfd_equality.py); the copy of 512 px takes a
    quarter more. Both grow with the number of pixels. Photos of more than 2 megapixels are therefore shrunk
    to that, and the smallest face that is found grows with them.

    Parameters
    ----------
    spec : DetectorSpec
        Has one weight file. Its `threshold` is the least score of a face that is returned.
    min_face : float
        Side of the smallest face that is looked for, in pixels, greater than 0. Photos are scaled so
        that such a face gets the size of the spec's own `min_face`; with that value, the default, they
        are looked at as they are. The time goes down with its square.
    device : str
        A torch device.

    Raises
    ------
    UsageError
        If `min_face` is not a positive number.
    WeightsNotFound, WeightsInvalid
        See `faceindex.state_dicts.load_network`.
    """

    _network: ClassVar[type[nn.Module]] = DSFDNet
    _most_pixels: ClassVar[int] = 1 << 21
    _pixels_per_pass: ClassVar[int] = 1 << 20
    _bytes_per_pixel: ClassVar[int] = 600  # measured, as for lightDSFD below

    def __init__(self, spec: DetectorSpec, *, min_face: float, device: str = "cpu") -> None:
        self.spec = spec
        self._min_face = check_min_face(min_face)
        self._device = torch.device(device)
        (weight,) = spec.weights
        net = load_network(self._network, weight)
        fold_batch_norm(net)
        self._net = net.to(device=self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._batches: dict[tuple[int, int], BatchSize] = {}

    @property
    def min_face(self) -> float:
        """Side in pixels of the smallest face that is looked for."""
        return self._min_face

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        """Find the faces on a batch of images.

        Images of one size go through the network together. The result for an image does not depend
        on the others, beyond the last bits of the network's arithmetic.

        Parameters
        ----------
        images : sequence of (h, w, 3) uint8
            RGB, upright; sizes may differ.
        min_faces : sequence of float, optional
            Smallest face for each image in pixels of that image, greater than 0; `min_face` for
            all when None.

        Returns
        -------
        list of Detections
            One per image, in pixels of that image; faces sorted by score, highest first. Boxes may
            leave the frame; landmarks are NaN.

        Raises
        ------
        UsageError
            If an image is not (h, w, 3) uint8, or `min_faces` is not one positive number per image.
        """
        smallest = check_images(images, min_faces, self._min_face)
        groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        found = [Detections.empty()] * len(images)
        for index, (image, side) in enumerate(zip(images, smallest, strict=True)):
            if image.size:
                groups[self._input_shape(image, side)].append(index)
        for shape, group in groups.items():
            for index, detections in zip(group, self._find([images[i] for i in group], shape), strict=True):
                found[index] = detections
        return found

    def _input_shape(self, image: Image, smallest: float) -> tuple[int, int]:
        """Height and width at which the network sees an image first."""
        height, width = image.shape[:2]
        scale = self.spec.min_face / smallest
        if abs(scale - 1) < _SAME_SCALE:
            scale = 1.0
        scale = min(scale, math.sqrt(self._most_pixels / (height * width)))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _find(self, images: Sequence[Image], shape: tuple[int, int]) -> list[Detections]:
        """Find the faces on images by looks at one size and its halves."""
        shapes = [shape]
        while max(shapes[-1]) > _ONE_LOOK:
            height, width = shapes[-1]
            shapes.append((max(1, round(height / 2)), max(1, round(width / 2))))
        looks = [self._look(images, each) for each in shapes]
        if len(looks) == 1:
            return looks[0]
        return [_merged(found, image.shape[:2], shapes) for image, *found in zip(images, *looks, strict=True)]

    def _look(self, images: Sequence[Image], shape: tuple[int, int]) -> list[Detections]:
        """What the network finds on images at one size."""
        if shape not in self._batches:
            pixels = shape[0] * shape[1]
            self._batches[shape] = BatchSize(
                str(self._device),
                cpu=max(1, self._pixels_per_pass // pixels),
                item_bytes=self._bytes_per_pixel * pixels,
            )
        passes = self._batches[shape].run(len(images), lambda some: self._pass(images[some], shape))
        return [detections for found in passes for detections in found]

    @torch.inference_mode()
    def _pass(self, images: Sequence[Image], shape: tuple[int, int]) -> list[Detections]:
        """Put images through the network together."""
        found = candidates(self._net, to_input(images, shape, self._device), self.spec.threshold)
        boxes, scores = _to_numpy(found[0]), _to_numpy(found[1])
        groups: I64 = found[2].cpu().numpy()
        boxes *= np.array([image.shape[1::-1] * 2 for image in images], np.float32)[groups]
        kept = nms(boxes, scores, groups, _OVERLAP)
        ends = np.searchsorted(groups[kept], np.arange(1, len(images)))
        return [_detections(boxes[some], scores[some]) for some in np.split(kept, ends)]


class LightDSFD(DSFD):
    """Find faces by lightDSFD; everything but the network is as in `DSFD`.

    Of 200 faces of shared/data people/ that were shrunk to 24 px it finds 70 %, at 28 px 96 %, at 32 px
    98 % and from 40 px on all; so 30 px is where it is used as it was published, and for smaller faces
    photos are enlarged: on groups/parade.jpg, whose faces are 8 to 30 px wide, it finds none with a
    `min_face` of 30, 48 with 20, 108 with 15 and 138 with 12.

    Of 25 photos of people/ that were enlarged until a face was 300 to 1,200 px high, with and without noise
    (240 photos), it finds that face on all, and 13 others, all of people in the background of one photo.
    Looked at once, it finds the face on 212, and 539 others, nearly all in patches of skin: one such patch
    on every second photo at 500 px, five or six on each at 1,200 px.

    A look takes about 0.2 s a megapixel on one core of an AMD EPYC, and 120 bytes a pixel. Photos of more
    than 8 megapixels (1 GB) are shrunk to that.
    """

    _network = LightDSFDNet
    _most_pixels = 1 << 23
    _pixels_per_pass = 1 << 19
    _bytes_per_pixel = 120


def candidates(net: nn.Module, batch: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """What a network finds, before suppression.

    Parameters
    ----------
    net : DSFDNet or LightDSFDNet
    batch : (n, 3, h, w) float32
        As `to_input` makes it.
    threshold : float
        Least score; 0 for all anchors.

    Returns
    -------
    boxes : (m, 4) float32
        ``x1 y1 x2 y2`` in parts of the image's width and height.
    scores : (m,) float32
    images : (m,) int64
        The image of each, ascending; within an image they are in the order of the anchors.
    """
    logits, offsets = net(batch)
    scores = logits.softmax(dim=2)[:, :, 1]
    images, cells = (scores >= threshold).nonzero(as_tuple=True)
    priors = anchors(*batch.shape[2:]).to(batch.device)
    return decode(offsets[images, cells], priors[cells]), scores[images, cells], images


def to_input(images: Sequence[Image], shape: tuple[int, int], device: torch.device) -> Tensor:
    """A batch as the networks take it.

    Parameters
    ----------
    images : sequence of (h, w, 3) uint8
        RGB, of one size or not.
    shape : (height, width)
        The size that all are scaled to.
    device : torch.device

    Returns
    -------
    (n, 3, height, width) float32
        BGR grey levels minus (104, 117, 123), channels last in memory.
    """
    planes = []
    for image in images:
        plane = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
        if image.shape[:2] != shape:
            # Averages over what a pixel covers, while it is still one byte a grey level.
            plane = functional.interpolate(plane, size=shape, mode="bilinear", antialias=True)
        planes.append(plane)
    batch = torch.cat(planes).to(device).flip(1).float()
    batch -= torch.tensor(_MEAN_BGR, device=device)[:, None, None]
    return batch.contiguous(memory_format=torch.channels_last)


def _merged(
    found: Sequence[Detections], shape: tuple[int, int], shapes: Sequence[tuple[int, int]]
) -> Detections:
    """What looks at an image of `shape`, each from twice as far as the one before, find together."""
    boxes, scores = [], []
    for level, (detections, seen) in enumerate(zip(found, shapes, strict=True)):
        x1, y1, x2, y2 = detections.boxes.T
        sides = np.sqrt((x2 - x1) * (y2 - y1) * (math.prod(seen) / math.prod(shape)))
        trusted = np.ones(len(detections), np.bool_)
        if level > 0:
            trusted &= sides > _SMALLEST
        if level < len(shapes) - 1:
            trusted &= sides <= _LARGEST
        boxes.append(detections.boxes[trusted])
        scores.append(detections.scores[trusted])
    every, of_all = np.concatenate(boxes), np.concatenate(scores)
    kept = nms(every, of_all, np.zeros(len(every), np.int64), _OVERLAP)
    return _detections(every[kept], of_all[kept])


def _detections(boxes: F32, scores: F32) -> Detections:
    return Detections(boxes, np.full((len(boxes), 5, 2), np.nan, np.float32), scores)


def _to_numpy(tensor: Tensor) -> F32:
    array: F32 = tensor.cpu().numpy()
    return array
