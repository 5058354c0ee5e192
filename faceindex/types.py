"""Plain data that packages pass to each other: structures of numpy arrays with fixed shapes and dtypes.

Conventions everywhere:

- *image*: (h, w, 3) uint8, RGB, upright (EXIF orientation applied), C-contiguous.
- *boxes*: (n, 4) float32, ``x1 y1 x2 y2`` in pixels; may extend beyond the image.
- *landmarks*: (n, 5, 2) float32, ``x y`` of left eye, right eye, nose, left and right mouth
  corner (left as the viewer sees it); NaN if a detector has none.
- *scores*: (n,) float32 in 0..1.
- *chips*: (n, s, s, 3) uint8, aligned faces.
- *vectors*: (n, d) float32, unit length; *norms*: (n,) float32, lengths of the model's own output.
- *similarity*: dot product of two unit vectors, -1..1.
- *turns*: (n,) int64, 0, 90, 180 or 270: degrees by which the image must be turned clockwise for a face to be
  upright. Other than 0 only on photos that are stored sideways or upside down without EXIF orientation.
- *quality*: (n,) float32 in 0..1, see `faceindex.quality`.
- *labels*: (n,) int64, cluster ids; -1 means "in no cluster".

If there are no faces, arrays have length 0 and the right shape; they are never None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from faceindex.turns import turn_boxes, turn_points

__all__ = ["F32", "F64", "I32", "I64", "U8", "BoolArray", "Detections", "Faces", "Graph", "Image"]

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
I32: TypeAlias = NDArray[np.int32]
U8: TypeAlias = NDArray[np.uint8]
BoolArray: TypeAlias = NDArray[np.bool_]
Image: TypeAlias = NDArray[np.uint8]


def _none() -> NDArray[Any]:
    return np.empty(0, np.float32)


@dataclass(frozen=True, slots=True)
class Detections:
    """The faces that a detector found on one image.

    Attributes
    ----------
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the detector's input.
    landmarks : (n, 5, 2) float32
        ``x y``; all NaN if the detector has none.
    scores : (n,) float32
        Confidence in 0..1; faces are sorted by it, highest first.
    turns : (n,) int64
        0, 90, 180 or 270: degrees by which the image must be turned clockwise for the face to be upright.
        A detector leaves it out: it means 0 for every face.
    """

    boxes: F32
    landmarks: F32
    scores: F32
    turns: I64 = field(default_factory=_none)

    def __post_init__(self) -> None:
        _fill(self, "turns", 0, np.int64)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, which: Any) -> Detections:
        """Select faces by slice, mask or index array."""
        return Detections(self.boxes[which], self.landmarks[which], self.scores[which], self.turns[which])

    def scaled(self, factor: float | tuple[float, float]) -> Detections:
        """Return the faces with all coordinates multiplied by `factor`, one number or (x, y)."""
        fx, fy = factor if isinstance(factor, tuple) else (factor, factor)
        xy = np.array([fx, fy], np.float32)
        return Detections(self.boxes * np.tile(xy, 2), self.landmarks * xy, self.scores, self.turns)

    def shifted(self, x: float, y: float) -> Detections:
        """Return the faces with `x` and `y` added to all coordinates."""
        xy = np.array([x, y], np.float32)
        return Detections(self.boxes + np.tile(xy, 2), self.landmarks + xy, self.scores, self.turns)

    def turned(self, turn: int, width: float, height: float) -> Detections:
        """Return the faces as they are on the image, `width` x `height`, after a clockwise turn.

        The order of the landmarks is that of the upright face, and stays.
        """
        return Detections(
            turn_boxes(self.boxes, turn, width, height),
            turn_points(self.landmarks, turn, width, height),
            self.scores,
            (self.turns - turn) % 360,
        )

    @classmethod
    def empty(cls) -> Detections:
        """Return detections without faces."""
        return cls(
            np.empty((0, 4), np.float32),
            np.empty((0, 5, 2), np.float32),
            np.empty((0,), np.float32),
        )


@dataclass(frozen=True, slots=True)
class Faces:
    """Detected and embedded faces of one photo, in pixels of the upright full-size photo.

    Attributes
    ----------
    boxes : (n, 4) float32
    landmarks : (n, 5, 2) float32
    scores : (n,) float32
    vectors : (n, d) float32
        Unit length.
    norms : (n,) float32
        Length of the model's own output, which is ``vectors * norms[:, None]``.
    sharpness : (n,) float32
        Sharpness of the chips, see `faceindex.recognition.sharpness`: 0 for a uniform surface, 0.2 and more
        for a face in focus.
    quality : (n,) float32
        Quality of the faces, see `faceindex.quality`: 0..1, higher is better. NaN, or left out, means that
        it has not been computed.
    turns : (n,) int64
        As in `Detections`; left out means 0 for every face.
    """

    boxes: F32
    landmarks: F32
    scores: F32
    vectors: F32
    norms: F32
    sharpness: F32
    quality: F32 = field(default_factory=_none)
    turns: I64 = field(default_factory=_none)

    def __post_init__(self) -> None:
        _fill(self, "quality", np.nan, np.float32)
        _fill(self, "turns", 0, np.int64)

    def __len__(self) -> int:
        return len(self.boxes)


def _fill(faces: Detections | Faces, name: str, value: float, dtype: type[np.generic]) -> None:
    """Give every face the same value if the array `name` was left out."""
    if isinstance(faces.boxes, np.ndarray) and not getattr(faces, name).size:
        object.__setattr__(faces, name, np.full(len(faces.boxes), value, dtype))


@dataclass(frozen=True, slots=True)
class Graph:
    """A symmetric weighted graph in compressed sparse row form.

    The neighbours of node ``i`` are ``indices[indptr[i]:indptr[i + 1]]``, in ascending order,
    without ``i`` itself. `weights` is parallel to `indices`.

    Attributes
    ----------
    indptr : (n + 1,) int64
    indices : (m,) int32
    weights : (m,) float32
        Larger for more similar nodes; log-odds if made by `faceindex.clustering.graph.log_odds`.
    """

    indptr: I64
    indices: I32
    weights: F32

    def __len__(self) -> int:
        return len(self.indptr) - 1
