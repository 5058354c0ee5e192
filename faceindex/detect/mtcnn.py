"""MTCNN: a cascade of three small networks over an image pyramid.

Zhang et al. 2016, https://arxiv.org/abs/1604.02878. P-Net slides over every level of a pyramid and
proposes windows, R-Net rejects most of them, and O-Net classifies the rest and locates five landmarks.
Thresholds, pyramid factor and every step are those of facenet-pytorch 2.5.3
(``models/utils/detect_face.py``), so equal settings find the same faces. The implementation differs:
summed-area tables, levels of many images packed into passes of a few shapes, suppression without a
loop, and one stream of candidates for a whole batch.
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

__all__ = [
    "CROP_PIXELS_PER_PASS",
    "MTCNN",
    "O_THRESHOLD",
    "PIXELS_PER_BATCH",
    "PIXELS_PER_PASS",
    "P_THRESHOLD",
    "R_THRESHOLD",
]

# facenet-pytorch 2.5.3, models/mtcnn.py and models/utils/detect_face.py.
P_THRESHOLD, R_THRESHOLD, O_THRESHOLD = 0.6, 0.7, 0.7
_FACTOR = 0.709
_WINDOW, _STRIDE = 12, 2
_LEVEL_OVERLAP, _IMAGE_OVERLAP = 0.5, 0.7
_R_SIDE, _O_SIDE = 24, 48

# Pixels of shelves, and of crops, per pass through a network on a CPU; this bounds memory. The time for an
# image is the same, within 10 %, from 2^16 to 2^18 pixels of shelves (one core of an AMD EPYC). Crops are
# fastest in passes of 48 to 64 of 24 px and of 8 to 16 of 48 px: larger activations exceed the cache.
PIXELS_PER_PASS = 1 << 16
CROP_PIXELS_PER_PASS = 1 << 15
# Upper limits of the same on a GPU, and bytes per pixel: float32 inputs and the two largest activations.
_GPU_PIXELS, _PIXEL_BYTES = 1 << 24, 4 * (3 + 10 + 10)
_GPU_CROP_PIXELS, _CROP_PIXEL_BYTES = 4096 * 48**2, 4 * (3 + 2 * 32)
# Pixels of the images that are processed together; their summed-area tables take 8 bytes per pixel.
PIXELS_PER_BATCH = 1 << 24


@dataclass(slots=True)
class _Candidates:
    """Candidate faces of a batch: parallel arrays, sorted by image and descending score."""

    boxes: F32
    scores: F32
    images: I64

    def pick(self, which: I64) -> _Candidates:
        return _Candidates(self.boxes[which], self.scores[which], self.images[which])


@dataclass(slots=True)
class _Proposals:
    """Windows that P-Net classifies as faces: parallel arrays. `windows` are x1 y1 on their level."""

    windows: F32
    scores: F32
    offsets: F32
    images: I64
    levels: I64

    @staticmethod
    def empty() -> _Proposals:
        return _Proposals(
            np.empty((0, 2), np.float32),
            np.empty(0, np.float32),
            np.empty((0, 4), np.float32),
            np.empty(0, np.int64),
            np.empty(0, np.int64),
        )

    @staticmethod
    def concatenated(parts: Sequence[_Proposals]) -> _Proposals:
        return _Proposals(
            np.concatenate([part.windows for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.offsets for part in parts]),
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.levels for part in parts]),
        )


class MTCNN:
    """Detect faces and five landmarks with multi-task cascaded networks.

    Parameters
    ----------
    spec : DetectorSpec
        Its weight files are those of P-Net, R-Net and O-Net, in this order.
    min_face : float
        Side in pixels of the smallest face to find, greater than 0. The time falls with its square.
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
        self._shelf_pixels = BatchSize(device, cpu=PIXELS_PER_PASS, item_bytes=_PIXEL_BYTES, most=_GPU_PIXELS)
        self._crop_pixels = BatchSize(
            device, cpu=CROP_PIXELS_PER_PASS, item_bytes=_CROP_PIXEL_BYTES, most=_GPU_CROP_PIXELS
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
        networks' arithmetic. Memory is bounded, whatever the number of images.

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
        """Run P-Net on every level of every image."""
        pieces: list[shelves.Piece] = []
        scales: list[float] = []
        for index, (image, side) in enumerate(zip(images, smallest, strict=True)):
            height, width = image.shape[:2]
            for scale in _scales(min(height, width), side):
                shape = (int(height * scale + 1), int(width * scale + 1))
                pieces += shelves.cut(index, len(scales), shape, _WINDOW - _STRIDE)
                scales.append(scale)
        parts = [_Proposals.empty()]
        for height, group in groupby(shelves.shelve(pieces), key=lambda shelf: shelf.height):
            same_height = list(group)

            def propose(part: slice, same_height: list[shelves.Shelf] = same_height) -> _Proposals:
                return self._run_pnet(areas, same_height[part])

            parts += self._shelf_pixels.run(len(same_height), propose, each=height * shelves.WIDTH)
        found = _Proposals.concatenated(parts)
        window = np.concatenate([found.windows, found.windows + (_WINDOW - 1)], axis=1)
        boxes = np.floor(window / np.array(scales, np.float32)[found.levels, None])
        # The numbers of the levels are unique across the images.
        kept = nms(boxes, found.scores, found.levels, _LEVEL_OVERLAP)
        kept = kept[nms(boxes[kept], found.scores[kept], found.images[kept], _IMAGE_OVERLAP)]
        boxes = boxes[kept]
        boxes = boxes + found.offsets[kept] * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        return _Candidates(square(boxes), found.scores[kept], found.images[kept])

    def _run_pnet(self, areas: SummedAreas, same_height: Sequence[shelves.Shelf]) -> _Proposals:
        """Run P-Net on shelves of the same height."""
        pixels = np.zeros((len(same_height), same_height[0].height, shelves.WIDTH, 3), np.float32)
        placed = [
            (number, column, piece)
            for number, shelf in enumerate(same_height)
            for column, piece in zip(shelf.columns, shelf.pieces, strict=True)
        ]
        for number, column, piece in placed:
            target = pixels[number, : piece.height, column : column + piece.width]
            areas.level(piece.image, piece.shape, (piece.rows[0], piece.columns[0]), target)
        masked = torch.from_numpy(_masked_pixels(placed, pixels.shape[1])).to(self._device)
        probability, features = self._pnet(self._to_input(pixels), masked)
        where = (probability >= P_THRESHOLD).nonzero()
        # A window belongs to the piece in which it begins. Windows that end outside of it are dropped.
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
        """Run R-Net on the crops of all candidates."""
        candidates, (scores, offsets) = self._run_on_crops(self._rnet, _R_SIDE, areas, sizes, candidates)
        passed = np.flatnonzero(scores > R_THRESHOLD)
        boxes, scores, owners = candidates.boxes[passed], scores[passed], candidates.images[passed]
        kept = nms(boxes, scores, owners, _IMAGE_OVERLAP)
        boxes = _regress(boxes[kept], offsets[passed][kept])
        return _Candidates(square(boxes), scores[kept], owners[kept])

    def _output(self, areas: SummedAreas, sizes: I64, candidates: _Candidates) -> tuple[_Candidates, F32]:
        """Run O-Net on the crops of the remaining candidates; returns the faces and their landmarks."""
        candidates, outputs = self._run_on_crops(self._onet, _O_SIDE, areas, sizes, candidates)
        scores, offsets, points = outputs
        # In reverse order: of equal scores, which are common near 1, the last suppression of
        # facenet-pytorch prefers the later one.
        passed = np.flatnonzero(scores > O_THRESHOLD)[::-1]
        boxes, scores, owners = candidates.boxes[passed], scores[passed], candidates.images[passed]
        extent = boxes[:, None, 2:] - boxes[:, None, :2] + 1
        landmarks = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1) * extent + boxes[:, None, :2] - 1
        faces = _Candidates(_regress(boxes, offsets[passed]), scores, owners)
        kept = nms(faces.boxes, scores, owners, _IMAGE_OVERLAP, overlap="min")
        return faces.pick(kept), landmarks[kept]

    def _run_on_crops(
        self, net: nn.Module, side: int, areas: SummedAreas, sizes: I64, candidates: _Candidates
    ) -> tuple[_Candidates, list[F32]]:
        """Run a network on the crops of the candidates; drops candidates outside of their image."""
        cut, inside = frames(candidates.boxes, sizes[candidates.images])
        candidates, cut = candidates.pick(np.flatnonzero(inside)), cut[inside]
        # Without crops there is one empty pass, so that the outputs have the right shapes.
        passes = self._crop_pixels.run(
            len(cut),
            lambda part: net(self._to_input(areas.crops(candidates.images[part], cut[part], side))),
            each=side**2,
        )
        return candidates, [_to_numpy(torch.cat(column)) for column in zip(*passes, strict=True)]

    def _to_input(self, pixels: F32) -> Tensor:
        """Convert pixels (n, h, w, 3) to the input of the networks."""
        # A view with channels last in memory. On a CPU, P-Net is then 1.5 times and R-Net and O-Net are 3
        # times as fast as with one plane per channel.
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self._device)


def _batches(images: Sequence[Image]) -> Iterator[slice]:
    """Split images into batches of `PIXELS_PER_BATCH` pixels at most, or of one image."""
    first, pixels = 0, 0
    for index, image in enumerate(images):
        size = image.shape[0] * image.shape[1]
        if index > first and pixels + size > PIXELS_PER_BATCH:
            yield slice(first, index)
            first, pixels = index, 0
        pixels += size
    if first < len(images):
        yield slice(first, len(images))


def _scales(shorter: int, min_face: float) -> Iterator[float]:
    """Yield the scales of the pyramid.

    At the first the smallest face fills P-Net's window, at the last the shorter side of the image does.
    """
    scale = _WINDOW / min_face
    side = shorter * scale
    while side >= _WINDOW:
        yield scale
        scale *= _FACTOR
        side *= _FACTOR


def _cells(extent: int) -> int:
    """Return the number of windows along `extent` pixels; the last may extend one pixel beyond them.

    The first convolution takes 2 pixels, the pooling halves the rest and rounds up, and the two other
    convolutions take 4.
    """
    return -(-(extent - 2) // 2) - 4


def _masked_pixels(placed: Sequence[tuple[int, int, shelves.Piece]], height: int) -> I64:
    """Return the pixels next to pieces of odd size in the output of P-Net's first convolution.

    On its own, a piece of odd size has incomplete pooling windows in its last row or column. On a shelf,
    these windows also cover pixels outside of the piece, which the pooling must ignore.
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
    # As in facenet-pytorch, width and height count both ends here, but not after P-Net.
    moved: F32 = boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)
    return moved


def _to_numpy(tensor: Tensor) -> F32:
    array: F32 = tensor.cpu().numpy()
    return array
