"""MTCNN: a cascade of three small networks over an image pyramid.

Zhang et al. 2016, https://arxiv.org/abs/1604.02878. P-Net slides over every level of a pyramid
and proposes windows, R-Net throws most of them out, O-Net judges the rest and places five
landmarks. Thresholds, pyramid factor and every step are those of facenet-pytorch 2.5.3
(``models/utils/detect_face.py``), so that at equal settings the same faces come out; how the steps
are carried out (summed-area tables, suppression without a loop, one stream of candidates for a
whole batch) is not.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from faceindex.detect.arguments import check_images, check_min_face
from faceindex.detect.boxes import frames, nms, square
from faceindex.detect.mtcnn_nets import ONet, PNet, RNet
from faceindex.detect.resample import SummedAreas
from faceindex.devices import BatchSize, is_out_of_memory
from faceindex.models.spec import DetectorSpec
from faceindex.models.weights import read_weights
from faceindex.types import F32, I64, Detections, Image

__all__ = ["MTCNN"]

# facenet-pytorch 2.5.3, models/mtcnn.py and models/utils/detect_face.py.
_P_THRESHOLD, _R_THRESHOLD, _O_THRESHOLD = 0.6, 0.7, 0.7
_FACTOR = 0.709
_WINDOW, _STRIDE = 12, 2
_LEVEL_OVERLAP, _IMAGE_OVERLAP = 0.5, 0.7
_R_SIDE, _O_SIDE = 24, 48

# Pixels of a pyramid level, and crops, that go through a network at once on a CPU; this bounds memory.
# Whole photos take the same time, within 10 %, from 2^16 to 2^18 pixels and from 24 to 64 crops (one
# core of an AMD EPYC): smaller strips overlap too much, larger activations leave the cache.
_PIXELS_PER_PASS = 1 << 16
_CROPS_PER_PASS = 32
# The same on a GPU, at most, and what they take there: float32 inputs and the two largest activations.
_GPU_PIXELS, _PIXEL_BYTES = 1 << 24, 4 * (3 + 10 + 10)
_GPU_CROPS, _CROP_BYTES = 4096, 4 * (3 * 48**2 + 2 * 32 * 46**2)
# Rows of windows in a strip of a wide level, at least: the 10 rows that strips share cost a sixth then.
_CELLS_PER_STRIP = 32
# Pixels of photos that are worked on together; their tables take 8 bytes each.
_PIXELS_PER_BATCH = 1 << 24


@dataclass(slots=True)
class _Candidates:
    """Candidates of a batch: parallel arrays, by image and then by descending score."""

    boxes: F32
    scores: F32
    images: I64

    def pick(self, which: I64) -> _Candidates:
        return _Candidates(self.boxes[which], self.scores[which], self.images[which])


class MTCNN:
    """Find faces with five landmarks by the multi-task cascaded networks.

    Parameters
    ----------
    spec : DetectorSpec
        Its weights are those of P-, R- and O-Net, in this order.
    min_face : float
        Side of the smallest face that is looked for, in pixels, greater than 0. The time goes down
        with its square.
    device : str
        A torch device.

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
        self._device = torch.device(device)
        self._pnet, self._rnet, self._onet = PNet(), RNet(), ONet()
        for net, weight in zip((self._pnet, self._rnet, self._onet), spec.weights, strict=True):
            net.load_state_dict(torch.load(io.BytesIO(read_weights(weight)), weights_only=True))
            net.eval().requires_grad_(False).to(self._device)
        self._pixels = BatchSize(device, cpu=_PIXELS_PER_PASS, item_bytes=_PIXEL_BYTES, most=_GPU_PIXELS)
        self._crops = BatchSize(device, cpu=_CROPS_PER_PASS, item_bytes=_CROP_BYTES, most=_GPU_CROPS)

    @property
    def min_face(self) -> float:
        """Side in pixels of the smallest face that is looked for."""
        return self._min_face

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        """Find the faces on a batch of images.

        The result for an image does not depend on the others of the batch, beyond the last bits
        of the networks' arithmetic. Memory is bounded however many images are given.

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
            leave the frame.

        Raises
        ------
        UsageError
            If an image is not (h, w, 3) uint8, or `min_faces` is not one positive number per image.
        """
        smallest = check_images(images, min_faces, self._min_face)
        found: list[Detections] = []
        for batch in _batches(images):
            with torch.inference_mode():
                found += self._detect_fitting(images[batch], smallest[batch])
        return found

    def _detect_fitting(self, images: Sequence[Image], smallest: Sequence[float]) -> list[Detections]:
        """`_detect`, again with narrower strips of a level when not even one fits into memory."""
        try:
            return self._detect(images, smallest)
        except RuntimeError as error:
            if self._pixels.size <= _PIXELS_PER_PASS or not is_out_of_memory(error):
                raise
        return self._detect_fitting(images, smallest)

    def _detect(self, images: Sequence[Image], smallest: Sequence[float]) -> list[Detections]:
        areas = SummedAreas(images)
        sizes = np.array([image.shape[1::-1] for image in images], np.int64).reshape(-1, 2)
        candidates = self._propose(areas, images, smallest)
        candidates = self._refine(areas, sizes, candidates)
        candidates, landmarks = self._output(areas, sizes, candidates)
        ends = np.searchsorted(candidates.images, np.arange(len(images) + 1))
        return [
            Detections(candidates.boxes[a:b], landmarks[a:b], candidates.scores[a:b])
            for a, b in pairwise(ends)
        ]

    def _propose(self, areas: SummedAreas, images: Sequence[Image], smallest: Sequence[float]) -> _Candidates:
        """P-Net on every level of every image."""
        alike: defaultdict[tuple[int, int, float], list[int]] = defaultdict(list)
        for index, (image, side) in enumerate(zip(images, smallest, strict=True)):
            alike[image.shape[0], image.shape[1], side].append(index)
        parts: list[tuple[F32, F32, F32, I64, I64]] = []
        for (height, width, side), members in alike.items():
            for level, scale in enumerate(_scales(min(height, width), side)):
                shape = (int(height * scale + 1), int(width * scale + 1))
                for cells, scores, offsets in self._slide(areas, members, shape):
                    window = (cells[:, [2, 1]] * _STRIDE + 1).astype(np.float32)
                    window = np.concatenate([window, window + (_WINDOW - 1)], axis=1)
                    boxes = np.floor(window / np.float32(scale))
                    parts.append((boxes, scores, offsets, cells[:, 0], np.full(len(cells), level)))
        if not parts:
            return _Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))
        boxes, scores, offsets, owners, levels = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        kept = nms(boxes, scores, owners * (levels.max(initial=0) + 1) + levels, _LEVEL_OVERLAP)
        kept = kept[nms(boxes[kept], scores[kept], owners[kept], _IMAGE_OVERLAP)]
        boxes, offsets = boxes[kept], offsets[kept]
        boxes = boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        return _Candidates(square(boxes), scores[kept], owners[kept])

    def _slide(
        self, areas: SummedAreas, members: Sequence[int], shape: tuple[int, int]
    ) -> Iterator[tuple[I64, F32, F32]]:
        """P-Net on one level of images of one size: (image, row, column), score and offsets of windows.

        Small levels of several images go together; large ones go in strips, which overlap by what a
        window reaches beyond its stride.
        """
        height, width = shape
        reach = _WINDOW - _STRIDE
        # Half of what conv1 leaves of the rows, rounded up by the pool, less the two convolutions after it.
        cells = -(-(height - 2) // 2) - 4
        per_strip = max(_CELLS_PER_STRIP, (self._pixels.size // width - reach) // _STRIDE)
        strip = width * min(height, per_strip * _STRIDE + reach)
        for row in range(0, cells, per_strip):
            rows = (row * _STRIDE, min((row + per_strip) * _STRIDE + reach, height))

            def look(some: slice, rows: tuple[int, int] = rows) -> tuple[I64, F32, F32]:
                together = np.asarray(members[some])
                pixels = np.empty((len(together), rows[1] - rows[0], width, 3), np.float32)
                for place, index in enumerate(together):
                    areas.level(index, shape, rows, pixels[place])
                probability, offsets = self._pnet(self._to_input(pixels))
                where = (probability >= _P_THRESHOLD).nonzero()
                image, y, x = where.unbind(1)
                found = where.cpu().numpy()
                cells = np.stack(
                    [together[found[:, 0]], found[:, 1] + rows[0] // _STRIDE, found[:, 2]], axis=1
                )
                return cells, _to_numpy(probability[image, y, x]), _to_numpy(offsets[image, :, y, x])

            yield from self._pixels.run(len(members), look, each=strip)

    def _refine(self, areas: SummedAreas, sizes: I64, candidates: _Candidates) -> _Candidates:
        """R-Net on the crops of all candidates."""
        candidates, (scores, offsets) = self._judge(self._rnet, _R_SIDE, areas, sizes, candidates)
        passed = np.flatnonzero(scores > _R_THRESHOLD)
        boxes, scores, owners = candidates.boxes[passed], scores[passed], candidates.images[passed]
        kept = nms(boxes, scores, owners, _IMAGE_OVERLAP)
        boxes = _regress(boxes[kept], offsets[passed][kept])
        return _Candidates(square(boxes), scores[kept], owners[kept])

    def _output(self, areas: SummedAreas, sizes: I64, candidates: _Candidates) -> tuple[_Candidates, F32]:
        """O-Net on the crops of those that are left: the faces, and their landmarks."""
        candidates, (scores, offsets, points) = self._judge(self._onet, _O_SIDE, areas, sizes, candidates)
        # Last come first: of equal scores, which are common near 1, facenet-pytorch's last suppression
        # prefers the later.
        passed = np.flatnonzero(scores > _O_THRESHOLD)[::-1]
        boxes, scores, owners = candidates.boxes[passed], scores[passed], candidates.images[passed]
        extent = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        landmarks = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1) * extent + boxes[:, None, :2] - 1
        faces = _Candidates(_regress(boxes, offsets[passed]), scores, owners)
        kept = nms(faces.boxes, scores, owners, _IMAGE_OVERLAP, overlap="min")
        return faces.pick(kept), landmarks[kept]

    def _judge(
        self, net: nn.Module, side: int, areas: SummedAreas, sizes: I64, candidates: _Candidates
    ) -> tuple[_Candidates, list[F32]]:
        """Crop the candidates and run a network on them; those outside their photo are left out."""
        cut, inside = frames(candidates.boxes, sizes[candidates.images])
        candidates, cut = candidates.pick(np.flatnonzero(inside)), cut[inside]
        passes = self._crops.run(  # at least once, if with no crop: the outputs have the right shapes then
            len(cut),
            lambda some: net(self._to_input(areas.crops(candidates.images[some], cut[some], side))),
        )
        return candidates, [_to_numpy(torch.cat(column)) for column in zip(*passes, strict=True)]

    def _to_input(self, pixels: F32) -> Tensor:
        """(n, h, w, 3) grey levels as the networks take them; overwrites `pixels`."""
        pixels -= 127.5
        pixels *= 1 / 128
        # A view, channels last in memory: on a CPU that is 1.5 times as fast in P-Net, and 3 times in
        # R- and O-Net, as one plane per channel.
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self._device)


def _batches(images: Sequence[Image]) -> Iterator[slice]:
    first, pixels = 0, 0
    for index, image in enumerate(images):
        size = image.shape[0] * image.shape[1]
        if index > first and pixels + size > _PIXELS_PER_BATCH:
            yield slice(first, index)
            first, pixels = index, 0
        pixels += size
    if first < len(images):
        yield slice(first, len(images))


def _scales(shorter: int, min_face: float) -> Iterator[float]:
    """Scales of the pyramid: from the smallest face filling P-Net's window to the shorter side doing so."""
    scale = _WINDOW / min_face
    side = shorter * scale
    while side >= _WINDOW:
        yield scale
        scale *= _FACTOR
        side *= _FACTOR


def _regress(boxes: F32, offsets: F32) -> F32:
    # Width and height count both ends here, unlike after P-Net: so has facenet-pytorch.
    moved: F32 = boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    return moved


def _to_numpy(tensor: Tensor) -> F32:
    array: F32 = tensor.cpu().numpy()
    return array
