"""DSFD and lightDSFD: anchors at six levels for faces from 16 px, and several scales for large images.

Li et al., "DSFD: Dual Shot Face Detector", CVPR 2019, https://arxiv.org/abs/1810.10220. The steps before and
after the network are those of the public inference port (https://github.com/hukkelas/DSFD-Pytorch-Inference,
``face_detection/base.py``), with two differences: only the boxes of faces are decoded, and images over 640 px
are also processed in reduced copies.
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
# Scales this close to 1 count as 1: decoding at reduced scale rounds up to whole pixels.
_SAME_SCALE = 0.02
# Side of the images that both networks were trained on (``min_dim`` in the configurations upstream).
_TRAINED_SIDE = 640
# Sizes (square roots of areas) of the faces that are kept from one scale, in pixels of the scaled image: at
# most the first if a coarser scale follows, above the second if a finer scale came before. The first is the
# last anchor but one; above it lightDSFD finds faces in patches of skin. The second is less than half of the
# first, so that a face between two scales is kept from one of them at least: with 128 instead of 96, 8 of 120
# enlarged faces were lost.
_MAX_AT_FINER_SCALE = 256.0
_MIN_AT_COARSER_SCALE = 96.0


class DSFD:
    """Detect faces with DSFD and its ResNet-152.

    The largest anchor is 512 px, and the networks were trained on images of 640 x 640 px. An image whose
    longer side exceeds 640 px is therefore also processed in copies of half, a quarter, ... of its size,
    until a copy is no larger than that. Faces over 256 px come from the copies, all others from the image at
    full scale. The copies take at most a third of the time of the full scale. Images of up to 640 px are
    processed at one scale, as published.

    At 1,024 x 1,024 px, the full scale took 39 s on one core of an AMD EPYC that was also doing other work
    (18 s of CPU time), and 1.2 GiB of memory, weights included (benchmarks/dsfd_equality.py). The copy of 512
    px takes a quarter more. Both grow with the number of pixels. Images of more than 2 megapixels are
    therefore reduced to 2 megapixels, which enlarges the smallest face that can be found.

    Parameters
    ----------
    spec : DetectorSpec
        Has one weight file. Its `threshold` is the lowest score of a face that is returned.
    min_face : float
        Side in pixels of the smallest face to find, greater than 0. Images are scaled so that such a face
        gets the size of the spec's own `min_face`; with that value they keep their scale. The time falls
        with the square of `min_face`.
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
    most_pixels: ClassVar[int] = 1 << 21
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
        """Side in pixels of the smallest face to find."""
        return self._min_face

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        """Find the faces on a batch of images.

        Images of one size pass through the network together. The result for an image does not depend on
        the other images, except for the last bits of the network's arithmetic.

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
            image; landmarks are NaN.

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
            results = self._detect_at_scales([images[i] for i in group], shape)
            for index, detections in zip(group, results, strict=True):
                found[index] = detections
        return found

    def _input_shape(self, image: Image, smallest: float) -> tuple[int, int]:
        """Return height and width of an image at the largest scale that the network processes."""
        height, width = image.shape[:2]
        scale = self.spec.min_face / smallest
        if abs(scale - 1) < _SAME_SCALE:
            scale = 1.0
        scale = min(scale, math.sqrt(self.most_pixels / (height * width)))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def _detect_at_scales(self, images: Sequence[Image], shape: tuple[int, int]) -> list[Detections]:
        """Find the faces on images scaled to `shape` and to its halves, down to `_TRAINED_SIDE`."""
        shapes = [shape]
        while max(shapes[-1]) > _TRAINED_SIDE:
            height, width = shapes[-1]
            shapes.append((max(1, round(height / 2)), max(1, round(width / 2))))
        scales = [self._detect_at(images, each) for each in shapes]
        if len(scales) == 1:
            return scales[0]
        return [_merge(found, image.shape[:2], shapes) for image, *found in zip(images, *scales, strict=True)]

    def _detect_at(self, images: Sequence[Image], shape: tuple[int, int]) -> list[Detections]:
        """Find the faces on images at one scale."""
        if shape not in self._batches:
            pixels = shape[0] * shape[1]
            self._batches[shape] = BatchSize(
                str(self._device),
                cpu=max(1, self._pixels_per_pass // pixels),
                item_bytes=self._bytes_per_pixel * pixels,
            )
        passes = self._batches[shape].run(len(images), lambda part: self._pass(images[part], shape))
        return [detections for found in passes for detections in found]

    @torch.inference_mode()
    def _pass(self, images: Sequence[Image], shape: tuple[int, int]) -> list[Detections]:
        """Pass images through the network together."""
        found = candidates(self._net, to_input(images, shape, self._device), self.spec.threshold)
        boxes, scores = _to_numpy(found[0]), _to_numpy(found[1])
        groups: I64 = found[2].cpu().numpy()
        boxes *= np.array([image.shape[1::-1] * 2 for image in images], np.float32)[groups]
        kept = nms(boxes, scores, groups, _OVERLAP)
        ends = np.searchsorted(groups[kept], np.arange(1, len(images)))
        return [_detections(boxes[own], scores[own]) for own in np.split(kept, ends)]


class LightDSFD(DSFD):
    """Detect faces with lightDSFD; everything but the network is as in `DSFD`.

    Of 200 faces of shared/data/people that were reduced to a smaller size, it finds 70 % at 24 px, 96 % at
    28 px, 98 % at 32 px and all from 40 px. With a `min_face` of 30 it is therefore used as published; for
    smaller faces, images are enlarged. On groups/parade.jpg, whose faces are 8 to 30 px wide, it finds none
    with a `min_face` of 30, 48 with 20, 108 with 15 and 138 with 12.

    25 photos of people/ were enlarged until a face was 300 to 1,200 px high, with and without noise (240
    images). It finds that face on all images, and 13 more faces, all of people in the background of one
    photo. At one scale only, it finds the face on 212 images, and 539 more boxes, nearly all of them patches
    of skin: one on every second image at 500 px, five or six on each at 1,200 px.

    One scale takes about 0.2 s per megapixel on one core of an AMD EPYC, and 120 bytes per pixel. Images of
    more than 8 megapixels (1 GB) are reduced to 8 megapixels.
    """

    _network = LightDSFDNet
    most_pixels = 1 << 23
    _pixels_per_pass = 1 << 19
    _bytes_per_pixel = 120


def candidates(net: nn.Module, batch: Tensor, threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Run a network and decode the anchors that are faces, without suppression.

    Parameters
    ----------
    net : DSFDNet or LightDSFDNet
    batch : (n, 3, h, w) float32
        As returned by `to_input`.
    threshold : float
        Lowest score of a face; with 0, all anchors are returned.

    Returns
    -------
    boxes : (m, 4) float32
        ``x1 y1 x2 y2`` as fractions of the image's width and height.
    scores : (m,) float32
    images : (m,) int64
        Index of the image of each box, ascending. The boxes of an image are in the order of the anchors.
    """
    logits, offsets = net(batch)
    scores = logits.softmax(dim=2)[:, :, 1]
    images, cells = (scores >= threshold).nonzero(as_tuple=True)
    priors = anchors(*batch.shape[2:]).to(batch.device)
    return decode(offsets[images, cells], priors[cells]), scores[images, cells], images


def to_input(images: Sequence[Image], shape: tuple[int, int], device: torch.device) -> Tensor:
    """Convert images to a batch for the networks.

    Parameters
    ----------
    images : sequence of (h, w, 3) uint8
        RGB; sizes may differ.
    shape : (height, width)
        Size to which all images are scaled.
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
            # Antialiased, and before the conversion to float32, at one byte per grey level.
            plane = functional.interpolate(plane, size=shape, mode="bilinear", antialias=True)
        planes.append(plane)
    batch = torch.cat(planes).to(device).flip(1).float()
    batch -= torch.tensor(_MEAN_BGR, device=device)[:, None, None]
    return batch.contiguous(memory_format=torch.channels_last)


def _merge(
    found: Sequence[Detections], shape: tuple[int, int], shapes: Sequence[tuple[int, int]]
) -> Detections:
    """Merge the faces found on an image of `shape` at several scales.

    `found` and `shapes` are the faces and the size of the image at each scale, the largest first.
    """
    boxes, scores = [], []
    for level, (detections, scaled) in enumerate(zip(found, shapes, strict=True)):
        x1, y1, x2, y2 = detections.boxes.T
        sides = np.sqrt((x2 - x1) * (y2 - y1) * (math.prod(scaled) / math.prod(shape)))
        usable = np.ones(len(detections), np.bool_)
        if level > 0:
            usable &= sides > _MIN_AT_COARSER_SCALE
        if level < len(shapes) - 1:
            usable &= sides <= _MAX_AT_FINER_SCALE
        boxes.append(detections.boxes[usable])
        scores.append(detections.scores[usable])
    all_boxes, all_scores = np.concatenate(boxes), np.concatenate(scores)
    kept = nms(all_boxes, all_scores, np.zeros(len(all_boxes), np.int64), _OVERLAP)
    return _detections(all_boxes[kept], all_scores[kept])


def _detections(boxes: F32, scores: F32) -> Detections:
    return Detections(boxes, np.full((len(boxes), 5, 2), np.nan, np.float32), scores)


def _to_numpy(tensor: Tensor) -> F32:
    array: F32 = tensor.cpu().numpy()
    return array
