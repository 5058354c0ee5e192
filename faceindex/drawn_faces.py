"""Embed faces at boxes that the user drew, because no detector found them.

An aligned chip needs the landmarks of the face. The detector searches an enlarged crop around each box, first
upright and at several sizes, then turned: a face that it missed on the whole photo is often found so. The
best match of the box gives the landmarks. Without one, there are none, and the alignment starts from the box
alone, as for detectors without landmarks (`faceindex.align`).

The box itself stays as it was drawn, and its score is 1: the user is certain.
`benchmarks/drawn_faces.py` compares the vectors with those of detected faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from faceindex import images
from faceindex.images.thumbnails import scaled_image
from faceindex.matching import match_boxes
from faceindex.recognition import MAX_DECODED_PIXELS, LoadedPhoto, Recogniser
from faceindex.second_looks import look_turned
from faceindex.types import F32, Detections, Faces, Image

__all__ = ["embed_drawn", "find_drawn"]

_AROUND = 1.0  # margin of the crop on each side, in longer sides of the box
_SIDES = (112, 56, 224)  # of the box in pixels of the crop, in the order in which they are tried
_SMALLEST = 0.4  # share of the side of the box from which on a face is searched
_SHRINKS = (8, 4, 2)


def embed_drawn(recogniser: Recogniser, photo: LoadedPhoto, boxes: F32) -> Faces:
    """Embed the faces at some boxes.

    Parameters
    ----------
    recogniser : Recogniser
    photo : LoadedPhoto
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the upright full-size photo.

    Returns
    -------
    Faces
        With the given boxes, in their order.

    Raises
    ------
    BrokenModel, ImageError
        As `Recogniser.recognise`.
    """
    return recogniser.embed_faces([photo], [find_drawn(recogniser, photo, boxes)])[0]


def find_drawn(recogniser: Recogniser, photo: LoadedPhoto, boxes: F32) -> Detections:
    """Find the landmarks and the turns of faces in some boxes; parameters as of `embed_drawn`.

    Returns
    -------
    Detections
        With the given boxes, and the score 1. The landmarks are NaN where the detector finds no face.
    """
    found = [_find(recogniser, photo, box) for box in boxes]
    return Detections(
        boxes=boxes.astype(np.float32),
        landmarks=np.array([face.landmarks[0] for face in found], np.float32).reshape(-1, 5, 2),
        scores=np.ones(len(boxes), np.float32),
        turns=np.array([face.turns[0] for face in found], np.int64),
    )


def _find(recogniser: Recogniser, photo: LoadedPhoto, box: F32) -> Detections:
    """Return one face in pixels of the photo; without landmarks if the detector finds none."""
    spec = recogniser.detector.spec

    def look(pictures: Sequence[Image], sides: Sequence[float]) -> list[Detections]:
        found = recogniser.detector.detect(pictures, min_faces=sides)
        return [faces[faces.scores >= spec.threshold] for faces in found]

    def turned(pictures: Sequence[Image], sides: Sequence[float]) -> list[Detections]:
        return look_turned(look, pictures, sides, threshold=spec.turned_threshold)

    side = float((box[2:] - box[:2]).max())
    crop, corner, scale = _crop(photo, box, side)
    searches = [(look, target) for target in _SIDES]
    if recogniser.second_looks:
        searches.insert(1, (turned, _SIDES[0]))
    for search, target in searches:
        image = scaled_image(crop, target / (side * scale))
        ratio = scale * image.shape[1] / crop.shape[1], scale * image.shape[0] / crop.shape[0]
        (faces,) = search([image], [_SMALLEST * target])
        here = (box.reshape(2, 2) - corner) * np.array(ratio, np.float32)
        if (best := match_boxes(faces.boxes, here.reshape(1, 4))[0]) >= 0:
            return faces[[best]].scaled((1 / ratio[0], 1 / ratio[1])).shifted(*corner.tolist())
    return Detections(box.reshape(1, 4), np.full((1, 5, 2), np.nan, np.float32), np.ones(1, np.float32))


def _crop(photo: LoadedPhoto, box: F32, side: float) -> tuple[Image, F32, float]:
    """Cut the surroundings of a box out of a photo, with black where they leave it.

    Returns
    -------
    (h, w, 3) uint8
    (2,) float32
        Where its corner is, in pixels of the photo.
    float
        Its pixels per pixel of the photo.
    """
    margin = _AROUND * side
    around = np.concatenate([box[:2] - margin, box[2:] + margin]).astype(np.float32)
    decoded = photo.decoded
    scale = max(decoded.scale)
    pixels = decoded.width * decoded.height
    wanted = next((s for s in _SHRINKS if side / s >= max(_SIDES[:2])), 1)
    while pixels / wanted**2 > MAX_DECODED_PIXELS:
        wanted *= 2
    if photo.data and wanted < photo.shrink:
        (part,) = images.decode_parts(photo.data, photo.path, around.reshape(1, 4), shrink=wanted)
        image, left, top, scale = part.image, part.left, part.top, max(part.scale)
    else:
        height, width = decoded.image.shape[:2]
        left, top = (max(0, int(value)) for value in np.floor(around[:2] * scale).tolist())
        right, bottom = np.ceil(around[2:] * scale).astype(int).tolist()
        image = decoded.image[top : min(bottom, height), left : min(right, width)]
    # Faces at the edge are found more often with a border.
    first = np.floor(around[:2] * scale).astype(int)
    end = np.ceil(around[2:] * scale).astype(int)
    before = np.maximum(0, [top - first[1], left - first[0]])
    after = np.maximum(0, [end[1] - top - image.shape[0], end[0] - left - image.shape[1]])
    padded = np.pad(image, ((before[0], after[0]), (before[1], after[1]), (0, 0)))
    corner = np.array([left - before[1], top - before[0]], np.float32) / np.float32(scale)
    return np.ascontiguousarray(padded), corner, scale
