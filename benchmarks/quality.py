"""Fit the model of the quality of a face (`faceindex.quality`) on half of the people, test it on the others.

Faces: the labelled faces of half of the photos of people/, pins/ and diverse/, and of half of the people of
lfw/ with three photos and more (up to four photos each). Each photo also gives one damaged copy of its face:
blurred (Gaussian, 0.8 to 8 % of the face's side), reduced (to 11 to 70 px) or cut off at one side (5 to 50 %
of the box). False faces: what the detector finds on nobody/, art/ and their copies at quarter turns, and on
photos of people that are turned, if the landmarks contradict the turn ("misplaced").

Identification with a face is right if its mean similarity to the three nearest photos of its person, of all
undamaged photos, exceeds the threshold of the embedder for that number, and the similarity to any stranger. A
false face is never right; art/ is left out of the fit, because drawn faces are faces.

The weights are fitted by logistic regression with weights of at least 0. The report on the other half of the
people has the share of right answers by tenths of the quality, and the quality of the kinds of faces.

    python benchmarks/quality.py [--detector NAME] [--embedder NAME] [--quick] [--data ../shared/data]

Writes ``results/quality.json``; the names of models that are not the defaults are appended.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFilter
from common import argument_parser, use_weights_beside, write_result
from labelled import add_model_arguments, result_name
from scipy.optimize import minimize

from faceindex import models
from faceindex.detect import Detector
from faceindex.errors import ImageError
from faceindex.quality import FAULTS, WITH_NORM, WITHOUT_NORM, Weights, faults_of_faces
from faceindex.recognition import Recogniser, use_one_thread
from faceindex.turns import turn_image
from faceindex.types import Faces, Image

QUICK = 8  # one photo of so many
SMALL_FACE = 10.0  # px, the smallest face searched on reduced copies
SIDE = 140  # px; larger faces are reduced before they are damaged
FALSE = ("nobody", "art", "misplaced")
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass
class Collection:
    """Measured faces, as parallel lists."""

    kinds: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    photos: list[str] = field(default_factory=list)
    faults: list[np.ndarray] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)


class Measurer:
    """Finds and measures faces on images.

    Parameters
    ----------
    detectors : dict of float to Detector
        By the smallest face that each finds.
    recognisers
        The same detectors with the embedder.
    """

    def __init__(self, detector: str, embedder: str) -> None:
        self.detector = models.get("detector", detector)
        self.embedder = models.get("embedder", embedder)
        loaded = models.load(self.embedder, device="cpu")

        def make(min_face: float) -> Recogniser:
            found: Detector = models.load(self.detector, min_face=min_face, device="cpu")
            return Recogniser(found, loaded, second_looks=False)

        self.usual, self.small = make(self.detector.min_face), make(SMALL_FACE)
        self.found = Collection()

    def add(self, kind: str, person: str, photo: str, image: Image, faces: Faces, which: int) -> None:
        one = slice(which, which + 1)
        measures = (faces.boxes[one], faces.landmarks[one], faces.scores[one], faces.norms[one])
        size = np.array([image.shape[1], image.shape[0]])
        found = faults_of_faces(
            *measures, faces.sharpness[one], size, detector=self.detector, embedder=self.embedder
        )
        self.found.faults.append(found[0])
        self.found.kinds.append(kind)
        self.found.people.append(person)
        self.found.photos.append(photo)
        self.found.vectors.append(faces.vectors[which])


def read(path: Path) -> Image:
    return np.array(PIL.Image.open(path).convert("RGB"))


def find(recogniser: Recogniser, image: Image) -> Faces:
    return recogniser.recognise([recogniser.load_photo(image)])[0]


def seed_of(text: str) -> int:
    return zlib.crc32(text.encode())


def labelled_photos(data: Path) -> Iterator[tuple[str, Path]]:
    """Yield the person and the path of each photo."""
    for pattern in ("people/*/*", "pins/*/*", "diverse/*/*/*"):
        for path in sorted(data.glob(pattern)):
            if seed_of(str(path.relative_to(data))) % 2:
                yield f"{pattern.split('/')[0]}/{path.parent.name}", path
    for folder in sorted((data / "lfw").iterdir()):
        photos = sorted(folder.iterdir())
        if len(photos) >= 3 and seed_of(folder.name) % 2:
            yield from ((f"lfw/{folder.name}", path) for path in photos[:4])


def labelled_face(person: str, image: Image, faces: Faces) -> int:
    """Return the face that the label applies to: in lfw/ the central one, else the largest."""
    if person.startswith("lfw/"):
        middles = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
        return int(((middles - np.array(image.shape[1::-1]) / 2) ** 2).sum(axis=1).argmin())
    return int((faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1).argmax())


def damaged_copy(
    image: Image, box: np.ndarray, kind: str, rng: np.random.Generator
) -> tuple[Image, np.ndarray, float]:
    """Return a damaged cutout around a face, and the middle and the side of the face on it."""
    x1, y1, x2, y2 = box.tolist()
    side = max(x2 - x1, y2 - y1)
    left, top = max(0, int(x1 - side)), max(0, int(y1 - side))
    picture = PIL.Image.fromarray(image[top : int(y2 + side), left : int(x2 + side)])
    wanted = float(np.exp(rng.uniform(np.log(11), np.log(70)))) if kind == "reduced" else SIDE
    scale = min(1.0, wanted / side)
    small = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(small, PIL.Image.Resampling.LANCZOS)
    corners = (np.array([x1, y1, x2, y2]) - np.tile([left, top], 2)) * scale
    if kind == "blurred":
        radius = float(np.exp(rng.uniform(np.log(0.008), np.log(0.08)))) * side * scale
        picture = picture.filter(PIL.ImageFilter.GaussianBlur(radius))
    edges = np.array([0, 0, picture.width, picture.height])
    if kind == "cut off":
        edge, share = int(rng.integers(4)), float(rng.uniform(0.05, 0.5))
        opposite = (edge + 2) % 4
        edges[edge] = int(corners[edge] + share * (corners[opposite] - corners[edge]))
    middle = (corners[:2] + corners[2:]) / 2 - edges[:2]
    return np.array(picture.crop(tuple(edges.tolist()))), middle, side * scale


def tilt(landmarks: np.ndarray) -> float:
    """Return the angle in degrees from the middle of the eyes to that of the mouth; 0 is upright."""
    x, y = landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0)
    return float(np.degrees(np.arctan2(x, y)))


def measure(data: Path, measurer: Measurer, every: int) -> None:
    """Find and measure all faces."""
    chosen = [pair for pair in labelled_photos(data) if every == 1 or seed_of(pair[1].name) % every == 0]
    for number, (person, path) in enumerate(chosen):
        photo, image = str(path.relative_to(data)), read(path)
        rng = np.random.default_rng(seed_of(photo))
        faces = find(measurer.usual, image)
        if not len(faces):
            continue
        which = labelled_face(person, image, faces)
        measurer.add("undamaged", person, photo, image, faces, which)
        kind = ("blurred", "reduced", "cut off")[number % 3]
        copy, middle, side = damaged_copy(image, faces.boxes[which], kind, rng)
        if min(copy.shape[:2]) > 20:
            again = find(measurer.small if kind == "reduced" else measurer.usual, copy)
            distance = np.linalg.norm((again.boxes[:, :2] + again.boxes[:, 2:]) / 2 - middle, axis=1)
            if len(again) and distance.min() < side / 2:
                measurer.add(kind, person, photo, copy, again, int(distance.argmin()))
        if number % 2 and measurer.detector.landmarks:
            clockwise = (90, 180, 270)[number // 2 % 3]
            turned = turn_image(image, clockwise)
            found = find(measurer.usual, turned)
            for i, landmarks in enumerate(found.landmarks):
                if abs((tilt(landmarks) + clockwise + 180) % 360 - 180) > 60:
                    measurer.add("misplaced", "misplaced", photo, turned, found, i)
    for folder in ("nobody", "art"):
        for path in sorted((data / folder).rglob("*"))[::every]:
            if not path.is_file():
                continue
            try:
                image = measurer.usual.load_photo(path).decoded.image
            except ImageError:
                continue
            for turn in (0, 90, 180, 270):
                turned = turn_image(image, turn)
                faces = find(measurer.usual, turned)
                for i in range(len(faces)):
                    kind = folder if turn == 0 else f"{folder}, turned"
                    measurer.add(kind, folder, str(path.relative_to(data)), turned, faces, i)


def right_answers(found: Collection, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return for each face whether identification is right, and whether that can be said."""
    people, photos, kinds = map(np.array, (found.people, found.photos, found.kinds))
    vectors = np.array(found.vectors)
    gallery = np.flatnonzero(kinds == "undamaged")
    similarity = vectors @ vectors[gallery].T
    same = people[:, None] == people[gallery]
    itself = photos[:, None] == photos[gallery]
    own = np.sort(np.where(same & ~itself, similarity, np.nan), axis=1)  # NaN last
    counts = (same & ~itself).sum(axis=1)
    known = counts >= 2
    own_mean = np.zeros(len(people))
    for i in np.flatnonzero(known):
        own_mean[i] = own[i, max(0, counts[i] - 3) : counts[i]].mean()
    strangers = np.where(same | itself, -2, similarity).max(axis=1)
    false = np.isin(people, FALSE)
    right = known & (own_mean > threshold) & (own_mean > strangers) & ~false
    return right, known | false


def fit(faults: np.ndarray, right: np.ndarray) -> Weights:
    """Fit bias and weights, all at least 0, by the greatest likelihood (with a slight ridge)."""

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        evidence = p[0] - faults @ p[1:]
        probability = 1 / (1 + np.exp(-evidence))
        value = np.logaddexp(0, np.where(right, -evidence, evidence)).sum() + 0.01 * (p**2).sum()
        slope = probability - right
        return value, np.concatenate([[slope.sum()], -(faults.T @ slope)]) + 0.02 * p

    start = np.ones(faults.shape[1] + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start)).x
    return Weights(float(found[0]), tuple(map(float, found[1:])))


def quality(faults: np.ndarray, weights: Weights) -> np.ndarray:
    evidence = weights.bias - faults @ np.array(weights.faults)
    found: np.ndarray = (1 + np.exp(-weights.bias)) / (1 + np.exp(-evidence))
    return found


def auc(low: np.ndarray, high: np.ndarray) -> float:
    """Return the probability that a value of `high` exceeds one of `low`."""
    order = np.sort(low)
    below = np.searchsorted(order, high), np.searchsorted(order, high, "right")
    return float((below[0] + below[1]).mean() / 2 / max(len(low), 1))


def report(found: Collection, values: np.ndarray, right: np.ndarray, use: np.ndarray) -> dict[str, object]:
    """Describe the qualities of the faces `use`: reliability, and the quantiles of each kind."""
    kinds = np.array(found.kinds)
    false = np.isin(found.people, FALSE)
    order = np.flatnonzero(use & ~false)
    order = order[np.argsort(values[order], kind="stable")]
    tenths = [
        {
            "faces": len(part),
            "from": round(float(values[part[0]]), 3),
            "mean quality": round(float(values[part].mean()), 3),
            "right": round(float(right[part].mean()), 3),
        }
        for part in np.array_split(order, 10)
    ]
    good = values[use & (kinds == "undamaged")]
    by_kind = {
        kind: {
            "faces": int(mask.sum()),
            "right": round(float(right[mask].mean()), 3),
            "quantiles": [round(float(q), 3) for q in np.quantile(values[mask], QUANTILES)],
            "below 0.5": round(float((values[mask] < 0.5).mean()), 3),
            "auc against undamaged": round(auc(values[mask], good), 3),
        }
        for kind in sorted(set(found.kinds))
        if (mask := use & (kinds == kind)).any()
    }
    wrong = values[use & ~false & ~right]
    return {
        "tenths": tenths,
        "kinds": by_kind,
        "auc of right against wrong answers": round(auc(wrong, values[use & ~false & right]), 3),
    }


def main() -> None:
    parser = argument_parser(__doc__, quick=f"one photo of {QUICK}", data=True)
    add_model_arguments(parser)
    arguments = parser.parse_args()
    use_weights_beside(arguments.data)
    use_one_thread()
    measurer = Measurer(arguments.detector, arguments.embedder)
    measure(arguments.data, measurer, QUICK if arguments.quick else 1)
    found = measurer.found
    faults = np.array(found.faults)
    gallery = found.kinds.count("undamaged")
    calibration = measurer.embedder.calibration
    if calibration is None:
        raise SystemExit(f"{arguments.embedder} is not calibrated.")
    threshold = calibration.threshold(gallery)
    right, known = right_answers(found, threshold)
    false = np.isin(found.people, FALSE)
    # The halves share no person, and no photo of nobody/ and art/.
    halves = np.array(
        [
            seed_of(photo if no_person else person) % 2
            for photo, person, no_person in zip(found.photos, found.people, false, strict=True)
        ]
    )
    fitting = known & (halves == 0) & (np.array(found.people) != "art")
    testing = known & (halves == 1)
    result: dict[str, object] = {
        "detector": arguments.detector,
        "embedder": arguments.embedder,
        "faces": len(right),
        "gallery": gallery,
        "threshold": round(threshold, 4),
        "faults": FAULTS,
        "quantiles": QUANTILES,
    }
    variants = {"without norm": WITHOUT_NORM}
    if measurer.embedder.norm is not None:
        variants["with norm"] = WITH_NORM
    for name, stored in variants.items():
        seen = faults * (np.array(FAULTS) != "weak") if name == "without norm" else faults
        weights = fit(seen[fitting], right[fitting])
        result[name] = {
            "fitted": {"bias": round(weights.bias, 3), "faults": [round(w, 3) for w in weights.faults]},
            "fitted model": report(found, quality(seen, weights), right, testing),
            "model in use": report(found, quality(seen, stored), right, testing),
        }
        print(name, "fitted:", replace(weights, faults=tuple(round(w, 2) for w in weights.faults)))
        print(json.dumps(result[name], indent=1))
    write_result(
        result_name("quality", arguments.detector, arguments.embedder), result, quick=arguments.quick
    )


if __name__ == "__main__":
    main()
