"""Measure what second looks find, and what they cost, if the first look at a photo found no face.

- ``turned``: photos of people/ and diverse/, turned by 90, 180 or 270 degrees without EXIF orientation: the
  number with a face, with the right turn, and identified right. Right means: the most similar face of a
  gallery of upright photos (eight of each person, the photo itself left out) shows the same person.
- ``tight``: the largest face of upright photos, cut out so that the detector's box exceeds the frame.
- ``upright``: photos whose faces differ from those of the first look, although that found a face (must be 0).
- ``nobody``, ``art``: faces on photos without people and on works of art, and CPU milliseconds a photo on
  those where nothing is found.

    python benchmarks/second_looks.py [--detector NAME] [--embedder NAME] [--photos N] [--quick]
                                      [--data ../shared/data]

Writes ``results/second_looks.json``; the names of models that are not the defaults are appended.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from common import argument_parser, use_weights_beside, write_result
from labelled import add_model_arguments, result_name

from faceindex import models
from faceindex.errors import ImageError
from faceindex.recognition import Recogniser, use_one_thread
from faceindex.turns import turn_image
from faceindex.types import F32, Faces, Image

SEED = 6
QUICK = 30  # photos
GALLERY = 8  # photos of each person
TIGHT = (1.0, 0.9, 0.8, 0.7)  # side of the cut, in sides of the detector's box


@dataclass(frozen=True)
class Gallery:
    """Vectors (n, d) of the largest faces of upright photos, with their photos and people."""

    vectors: F32
    photos: np.ndarray
    people: np.ndarray

    def is_right(self, vector: F32, photo: Path) -> bool:
        """Whether the most similar face of another photo shows the person of `photo`."""
        similarity = np.where(self.photos == str(photo), -2, self.vectors @ vector)
        return bool(self.people[similarity.argmax()] == photo.parent.name)


def largest(faces: Faces) -> int:
    return int((faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1).argmax())


def read(path: Path) -> Image:
    return np.array(PIL.Image.open(path).convert("RGB"))


def find(recogniser: Recogniser, image: Image) -> Faces:
    return recogniser.recognise([recogniser.load_photo(image)])[0]


def make_gallery(recogniser: Recogniser, paths: Sequence[Path]) -> Gallery:
    taken: Counter[str] = Counter()
    vectors, photos, people = [], [], []
    for path in paths:
        if taken[path.parent.name] < GALLERY and len(faces := find(recogniser, read(path))):
            taken[path.parent.name] += 1
            vectors.append(faces.vectors[largest(faces)])
            photos.append(str(path))
            people.append(path.parent.name)
    return Gallery(np.array(vectors), np.array(photos), np.array(people))


def measure_turned(
    recognisers: dict[str, Recogniser], gallery: Gallery, paths: Sequence[Path]
) -> dict[str, object]:
    counts: dict[str, Counter[str]] = {name: Counter() for name in recognisers}
    for number, path in enumerate(paths):
        clockwise = (90, 180, 270)[number % 3]
        image = turn_image(read(path), clockwise)
        for name, recogniser in recognisers.items():
            faces = find(recogniser, image)
            counts[name]["photos"] += 1
            if len(faces):
                best = largest(faces)
                turned_right = int(faces.turns[best]) == (360 - clockwise) % 360
                counts[name]["with a face"] += 1
                counts[name]["right turn"] += turned_right
                counts[name]["stopped by the first look"] += not faces.turns.any()
                counts[name]["identified right"] += gallery.is_right(faces.vectors[best], path)
    return {name: dict(count) for name, count in counts.items()}


def measure_tight(
    recognisers: dict[str, Recogniser], gallery: Gallery, paths: Sequence[Path]
) -> dict[str, object]:
    counts: dict[str, Counter[str]] = {
        f"{share} {name}": Counter() for share in TIGHT for name in recognisers
    }
    for path in paths:
        image = read(path)
        faces = find(recognisers["before"], image)
        if not len(faces):
            continue
        corners = faces.boxes[largest(faces)].reshape(2, 2)
        centre, sides = corners.mean(axis=0), corners[1] - corners[0]
        for share in TIGHT:
            left, top = np.maximum(centre - share * sides / 2, 0).astype(int)
            right, bottom = (centre + share * sides / 2).astype(int)
            cut = np.ascontiguousarray(image[top:bottom, left:right])
            for name, recogniser in recognisers.items():
                count = counts[f"{share} {name}"]
                found = find(recogniser, cut)
                count["photos"] += 1
                if len(found):
                    count["with a face"] += 1
                    count["identified right"] += gallery.is_right(found.vectors[largest(found)], path)
    return {name: dict(count) for name, count in counts.items()}


def measure_upright(recognisers: dict[str, Recogniser], paths: Sequence[Path]) -> dict[str, int]:
    count = Counter({"photos": 0, "with a face at the first look": 0, "different": 0, "found later": 0})
    for path in paths:
        image = read(path)
        before, after = (find(recognisers[name], image) for name in ("before", "after"))
        count["photos"] += 1
        count["with a face at the first look"] += len(before) > 0
        count["found later"] += not len(before) and len(after) > 0
        count["different"] += len(before) > 0 and not np.array_equal(before.boxes, after.boxes)
    return dict(count)


def measure_false(recognisers: dict[str, Recogniser], paths: Iterable[Path]) -> dict[str, object]:
    faces: Counter[str] = Counter()
    milliseconds: dict[str, list[float]] = {name: [] for name in recognisers}
    photos = 0
    for path in paths:
        try:
            loaded = recognisers["after"].load_photo(path)
        except ImageError:
            continue
        photos += 1
        for name, recogniser in recognisers.items():
            start = time.process_time()
            found = recogniser.detect([loaded])[0]
            faces[name] += len(found)
            if not len(found):
                milliseconds[name].append(1000 * (time.process_time() - start))
    return {
        "photos": photos,
        "faces": dict(faces),
        "mean ms of a photo without a face": {
            n: round(float(np.mean(t)), 1) for n, t in milliseconds.items()
        },
    }


def main() -> None:
    parser = argument_parser(__doc__, quick=f"{QUICK} photos", data=True)
    add_model_arguments(parser)
    parser.add_argument("--photos", type=int, default=120)
    arguments = parser.parse_args()
    use_weights_beside(arguments.data)
    use_one_thread()
    photos = QUICK if arguments.quick else arguments.photos
    spec = models.get("detector", arguments.detector)
    detector = models.load(spec, min_face=spec.min_face, device="cpu")
    embedder = models.load(models.get("embedder", arguments.embedder), device="cpu")
    recognisers = {
        "before": Recogniser(detector, embedder, second_looks=False),
        "after": Recogniser(detector, embedder),
    }
    data = arguments.data
    paths = sorted([*(data / "people").glob("*/*"), *(data / "diverse").glob("*/*/*")])
    paths = [paths[i] for i in np.random.default_rng(SEED).permutation(len(paths))]
    gallery = make_gallery(recognisers["before"], paths)
    chosen = paths[-photos:]  # the gallery has the first photos of each person
    result: dict[str, object] = {
        "seed": SEED,
        "detector": arguments.detector,
        "embedder": arguments.embedder,
        "gallery": len(gallery.people),
        "turned": measure_turned(recognisers, gallery, chosen),
        "tight": measure_tight(recognisers, gallery, chosen),
        "upright": measure_upright(recognisers, chosen),
    }
    for folder in ("nobody", "art"):
        files = sorted(path for path in (data / folder).rglob("*") if path.is_file())
        result[folder] = measure_false(recognisers, files[: photos if arguments.quick else None])
    for name, values in result.items():
        print(name, values)
    write_result(
        result_name("second_looks", arguments.detector, arguments.embedder), result, quick=arguments.quick
    )


if __name__ == "__main__":
    main()
