"""Models that need no weights: every photo of one colour is a portrait, and the colour is the person.

The fixture `fake_models` registers them; a new process calls `register_fakes`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from faceindex import FaceIndex, models
from faceindex.models import Alignment, Calibration, DetectorSpec, EmbedderSpec, ModelOption, registry
from faceindex.types import F32, U8, Detections, Image

NAME = "fake"
DIMENSION = 16
NOBODY = (0, 0, 0)  # a photo of this colour has no face on it

DETECTOR = DetectorSpec(
    name=NAME,
    target="fakes:FakeDetector",
    summary="One face in the middle of every photo that is not black",
    landmarks=False,
    threshold=0.5,
    threshold_source="made up",
    licence="MIT",
    options=(ModelOption("upsample", 1, "Recorded, without effect", most=4),),
)

EMBEDDER = EmbedderSpec(
    name=NAME,
    target="fakes:FakeEmbedder",
    summary="The colour of a chip determines its vector",
    dimension=DIMENSION,
    alignment=Alignment(name="dlib", size=150),
    colour="RGB",
    normalisation="none",
    threshold=0.9,
    threshold_source="made up",
    calibration=Calibration(slope=200.0, midpoint=0.85, source="made up"),
    licence="MIT",
    options=(ModelOption("flip", False, "Recorded, without effect"),),
)

UNCALIBRATED = dataclasses.replace(
    EMBEDDER, name="uncalibrated", threshold=None, threshold_source="not measured", calibration=None
)
"""The same embedder, without a calibration. Tests register it themselves."""


class FakeDetector:
    """Finds one box in the middle of each photo, half as wide and high; none on a black photo."""

    delay = 0.0  # seconds for each photo

    def __init__(
        self, spec: DetectorSpec, *, min_face: float, device: str = "cpu", upsample: int = 1
    ) -> None:
        self.spec = spec
        self.min_face = min_face
        self.upsample = upsample

    def detect(
        self, images: Sequence[Image], *, min_faces: Sequence[float] | None = None
    ) -> list[Detections]:
        return [self.detect_one(image) for image in images]

    def detect_one(self, image: Image) -> Detections:
        time.sleep(self.delay)
        if image.max() < 8:
            return Detections.empty()
        height, width = image.shape[:2]
        box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]], np.float32)
        return Detections(box, np.full((1, 5, 2), np.nan, np.float32), np.array([0.9], np.float32))


class FakeEmbedder:
    """Returns a random unit vector for each colour, in steps of 32."""

    step, dimension, seed = 32, DIMENSION, 0

    def __init__(self, spec: EmbedderSpec, *, device: str = "cpu", flip: bool = False) -> None:
        self.spec = spec
        self.flip = flip

    def embed(self, chips: U8) -> tuple[F32, F32]:
        vectors = np.empty((len(chips), self.dimension), np.float32)
        for vector, chip in zip(vectors, chips, strict=True):
            colour = np.rint(np.median(chip.reshape(-1, 3), axis=0) / self.step).astype(int)
            seed = [*colour, self.seed] if self.seed else colour
            vector[:] = np.random.default_rng(seed).standard_normal(self.dimension)
        norms = np.linalg.norm(vectors, axis=1).astype(np.float32)
        return vectors / norms[:, None], norms


OTHER = "other"
OTHER_DIMENSION = 24

OTHER_DETECTOR = replace(
    DETECTOR,
    name=OTHER,
    target="fakes:OtherDetector",
    summary="A larger face, a second one on dark photos, none on red ones",
    landmarks=True,
    options=(),
    turned=2.0,  # never: its faces are those that it finds upright
)
OTHER_EMBEDDER = replace(
    EMBEDDER, name=OTHER, target="fakes:OtherEmbedder", dimension=OTHER_DIMENSION, options=()
)


class OtherDetector(FakeDetector):
    """Finds a larger box in the middle, a second face in the corner of dark photos, and none on red ones."""

    def detect_one(self, image: Image) -> Detections:
        red = image[image.shape[0] // 2, image.shape[1] // 2, 0]
        if image.max() < 8 or red > 160:
            return Detections.empty()
        height, width = image.shape[:2]
        side = np.tile(np.array([width, height], np.float32), 2)
        boxes = np.array([[0.2, 0.2, 0.8, 0.8], [0.0, 0.0, 0.2, 0.2]], np.float32)[: 1 + (red < 100)] * side
        x, y = boxes[:, :2, None].transpose(1, 0, 2)
        size = (boxes[:, 2] - boxes[:, 0])[:, None]
        landmarks = np.stack(
            [x + size * [0.3, 0.7, 0.5, 0.35, 0.65], y + size * [0.4, 0.4, 0.6, 0.8, 0.8]], axis=2
        )
        scores = np.array([0.9, 0.8], np.float32)[: len(boxes)]
        return Detections(boxes, landmarks.astype(np.float32), scores)


class OtherEmbedder(FakeEmbedder):
    """As the fake embedder, with other vectors and in steps of 150: the second and third person are one."""

    step, dimension, seed = 150, OTHER_DIMENSION, 7


def register_fakes() -> None:
    """Add the models named ``fake`` to the registry of this process."""
    models.register(DETECTOR, replace=True)
    models.register(EMBEDDER, replace=True)


def register_others() -> None:
    """Add the models named ``other``, to which an index can move."""
    models.register(OTHER_DETECTOR, replace=True)
    models.register(OTHER_EMBEDDER, replace=True)


def make_photo(path: Path, colour: tuple[int, int, int], *, mark: int = 0) -> Path:
    """Write a PNG portrait; photos with different marks differ in content and show the same person."""
    photo = PillowImage.new("RGB", (96, 96), colour)
    photo.putpixel((0, 0), (mark % 256, mark // 256, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    photo.save(path, "PNG")
    return path


def colour_of(person: int) -> tuple[int, int, int]:
    """Return the colour of the portraits of a person of `make_album`, counted from 0."""
    return 64 + 64 * (person % 3), 64 + 64 * (person // 3 % 3), 128


def make_album(folder: Path, people: int = 3, photos: int = 4) -> Path:
    """Write a folder of `people` folders with `photos` portraits each."""
    for person in range(people):
        colour = colour_of(person)
        for number in range(photos):
            make_photo(folder / f"person{person}" / f"{number}.png", colour, mark=person * photos + number)
    return folder


@contextmanager
def clustered_album(folder: Path, people: int, photos: int) -> Iterator[Path]:
    """Make ``folder/index``, the clustered index of an album; the ``with`` registers the fake models."""
    with registry.isolated():
        register_fakes()
        with FaceIndex.create(folder / "index", detector=NAME, embedder=NAME) as index:
            index.add(make_album(folder / "album", people=people, photos=photos))
            index.cluster()
        yield folder / "index"
