"""MTCNN: a cascade of three small networks over an image pyramid.

Zhang et al. 2016, https://arxiv.org/abs/1604.02878. P-Net slides over every level of a pyramid
and proposes windows, R-Net throws most of them out, O-Net judges the rest and places five
landmarks. Thresholds, pyramid factor and every step are those of facenet-pytorch 2.5.3
(``models/utils/detect_face.py``), so that at equal settings the same faces come out; how the steps
are carried out (summed-area tables, levels of many photos packed into passes of a few shapes,
suppression without a loop, one stream of candidates for a whole batch) is not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import torch
from torch import Tensor, nn

from faceindex.detect import shelves
from faceindex.detect.arguments import check_images, check_min_face
from faceindex.detect.boxes import frames, nms, square
from faceindex.detect.mtcnn_nets import ONet, PNet, RNet
from faceindex.detect.resample import SummedAreas
from faceindex.devices import BatchSize
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

# Pixels of shelves, and of crops, that go through a network at once on a CPU; this bounds memory. Photos take
# the same time, within 10 %, from 2^16 to 2^18 pixels of shelves (one core of an AMD EPYC); a crop takes
# least in passes of 48 to 64 of 24 px and of 8 to 16 of 48 px: larger activations leave the cache.
_PIXELS_PER_PASS = 1 << 16
_CROP_PIXELS_PER_PASS = 1 << 15
# The same on a GPU, at most, and what they take there: float32 inputs and the two largest activations.
_GPU_PIXELS, _PIXEL_BYTES = 1 << 24, 4 * (3 + 10 + 10)
_GPU_CROP_PIXELS, _CROP_PIXEL_BYTES = 4096 * 48**2, 4 * (3 + 2 * 32)
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


@dataclass(slots=True)
class _Proposals:
    """Windows that P-Net takes for faces: parallel arrays. `windows` are x1 y1, of the level."""

    windows: F32
    scores: F32
    offsets: F32
    images: I64
    levels: I64

    @staticmethod
    def none() -> _Proposals:
        return _Proposals(
            np.empty((0, 2), np.float32),
            np.empty(0, np.float32),
            np.empty((0, 4), np.float32),
            np.empty(0, np.int64),
            np.empty(0, np.int64),
        )

    @staticmethod
    def joined(parts: Sequence[_Proposals]) -> _Proposals:
        return _Proposals(
            np.concatenate([part.windows for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.offsets for part in parts]),
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.levels for part in parts]),
        )


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
        self._crops = BatchSize(
            device, cpu=_CROP_PIXELS_PER_PASS, item_bytes=_CROP_PIXEL_BYTES, most=_GPU_CROP_PIXELS
        )

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
                found += self._detect(images[batch], smallest[batch])
        return found

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
        pieces: list[shelves.Piece] = []
        scales: list[float] = []
        for index, (image, side) in enumerate(zip(images, smallest, strict=True)):
            height, width = image.shape[:2]
            for scale in _scales(min(height, width), side):
                shape = (int(height * scale + 1), int(width * scale + 1))
                pieces += shelves.cut(index, len(scales), shape, _WINDOW - _STRIDE)
                scales.append(scale)
        parts = [_Proposals.none()]
        for height, group in groupby(shelves.shelve(pieces), key=lambda shelf: shelf.height):
            alike = list(group)

            def look(some: slice, alike: list[shelves.Shelf] = alike) -> _Proposals:
                return self._slide(areas, alike[some])

            parts += self._pixels.run(len(alike), look, each=height * shelves.WIDTH)
        found = _Proposals.joined(parts)
        window = np.concatenate([found.windows, found.windows + (_WINDOW - 1)], axis=1)
        boxes = np.floor(window / np.array(scales, np.float32)[found.levels, None])
        # Levels are numbered through all images.
        kept = nms(boxes, found.scores, found.levels, _LEVEL_OVERLAP)
        kept = kept[nms(boxes[kept], found.scores[kept], found.images[kept], _IMAGE_OVERLAP)]
        boxes = boxes[kept]
        boxes = boxes + found.offsets[kept] * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        return _Candidates(square(boxes), found.scores[kept], found.images[kept])

    def _slide(self, areas: SummedAreas, alike: Sequence[shelves.Shelf]) -> _Proposals:
        """P-Net on shelves of one height."""
        pixels = np.zeros((len(alike), alike[0].height, shelves.WIDTH, 3), np.float32)
        placed = [
            (number, column, piece)
            for number, shelf in enumerate(alike)
            for column, piece in zip(shelf.columns, shelf.pieces, strict=True)
        ]
        for number, column, piece in placed:
            target = pixels[number, : piece.height, column : column + piece.width]
            areas.level(piece.image, piece.shape, piece.rows, piece.columns, target)
        absent = torch.from_numpy(_absent(placed, pixels.shape[1])).to(self._device)
        probability, features = self._pnet(self._to_input(pixels), absent)
        where = (probability >= _P_THRESHOLD).nonzero()
        # A window belongs to the piece that it begins in, if it ends there too.
        number, row, column = where.cpu().numpy().T
        origins = np.array([(number, column // _STRIDE) for number, column, _ in placed])
        starts = origins @ (shelves.WIDTH, 1)
        owner = np.searchsorted(starts, number * shelves.WIDTH + column, side="right") - 1
        column = column - origins[owner, 1]
        sizes = np.array([(_cells(piece.height), _cells(piece.width)) for *_, piece in placed])
        inside = np.flatnonzero((row < sizes[owner, 0]) & (column < sizes[owner, 1]))
        image, y, x = where[torch.from_numpy(inside)].unbind(1)
        owner = owner[inside]
        corners = np.array([(piece.columns[0], piece.rows[0]) for *_, piece in placed])[owner]
        corners += _STRIDE * np.stack([column[inside], row[inside]], axis=1) + 1
        return _Proposals(
            corners.astype(np.float32),
            _to_numpy(probability[image, y, x]),
            _to_numpy(self._pnet.offsets(features[image, y, x])),
            np.array([piece.image for *_, piece in placed])[owner],
            np.array([piece.level for *_, piece in placed])[owner],
        )

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
            each=side**2,
        )
        return candidates, [_to_numpy(torch.cat(column)) for column in zip(*passes, strict=True)]

    def _to_input(self, pixels: F32) -> Tensor:
        """Pictures (n, h, w, 3) as the networks take them."""
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


def _cells(extent: int) -> int:
    """Windows side by side on so many pixels, the last of which may reach one pixel beyond them.

    Half of what the first convolution leaves, rounded up by the pooling, less the two after it.
    """
    return -(-(extent - 2) // 2) - 4


def _absent(placed: Sequence[tuple[int, int, shelves.Piece]], height: int) -> I64:
    """Pixels behind odd edges, of what P-Net's first convolution makes of shelves.

    On its own a piece of odd size would have its last pooled pixels made of one row or column, not of two.
    """
    pitch = shelves.WIDTH - 2
    parts: list[I64] = [np.empty(0, np.int64)]
    for number, column, piece in placed:
        top = number * (height - 2)
        bottom, right = top + piece.height - 2, column + piece.width - 2
        if piece.height % 2:
            parts.append(bottom * pitch + np.arange(column, right + piece.width % 2))
        if piece.width % 2:
            parts.append(np.arange(top, bottom) * pitch + right)
    return np.concatenate(parts)


def _regress(boxes: F32, offsets: F32) -> F32:
    # Width and height count both ends here, unlike after P-Net: so has facenet-pytorch.
    moved: F32 = boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    return moved


def _to_numpy(tensor: Tensor) -> F32:
    array: F32 = tensor.cpu().numpy()
    return array
