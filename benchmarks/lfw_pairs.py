"""Measure the accuracy of detector, alignment and embedder on LFW, and of other chains with the same network.

Verification on the 3,000 pairs of ``../shared/data/lfw_pairs.csv``: does a pair show one person? Ten folds,
the threshold of each from the other nine. The face of a photo is the one nearest its centre. Every
chain uses the network of ``--embedder``, ours (`tests/embed` shows that it equals the published
one to 1e-5), so the chains differ in detection and alignment:

- ``ours``: the detector of ``--detector`` and `faceindex.align.cut_chips`;
- ``dlib``: its HOG detector with one upsampling, or without if that finds nothing, its 5-point
  predictor, and the chip from these points (with ``--embedder dlib`` this is dlib's own chain);
- for a detector with landmarks, on its faces:
  - ``landmarks only``: a similarity transform of the five landmarks;
  - ``points only``: dlib's 5-point predictor from a box derived from the landmarks;
  - ``box only``: dlib's 5-point predictor from the detector's box.

A pair with a photo on which a chain finds no face is an **error** of that chain (column "all pairs"). The
column "shared pairs" leaves out pairs that ours or dlib's lacks, and so compares alignment alone.

``--by-size`` measures how small a face may be: it shrinks each photo until the face's box has a given side
(square root of its area), detects again, and embeds. "both small" compares two shrunk photos, "one
small" a shrunk photo with the other at full size.

Prints and writes to ``results/lfw_pairs.json`` and ``results/lfw_by_size.json``. The names of the results
contain the names of models that are not the defaults.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice

import dlib
import numpy as np
import PIL.Image
import torch
from common import DATA, argument_parser, write_result
from labelled import add_model_arguments, result_name

from faceindex import align
from faceindex.align import cut_chips
from faceindex.detect import Detector
from faceindex.embed import Embedder
from faceindex.models import Alignment, get, load
from faceindex.types import F32, U8, BoolArray, Detections, Image

SIZES = (20, 30, 40, 60, 80)
FOLDS = 10
QUICK = 300  # pairs
BATCH = 32

Pairs = list[tuple[str, str, bool]]
Vectors = dict[str, F32]


@dataclass(frozen=True)
class Score:
    """Percentages, and the similarity above which a pair counts as one person."""

    pairs: int
    accuracy: float
    standard_error: float
    threshold: float
    tpr_at_fpr_1e3: float


def read_pairs(quick: bool) -> Pairs:
    """Return the pairs of LFW, or a part of them with as many of one person as of two."""
    with (DATA / "lfw_pairs.csv").open(newline="", encoding="utf-8") as file:
        pairs = [(row["a"], row["b"], row["same"] == "1") for row in csv.DictReader(file)]
    if not quick:
        return pairs
    return [pair for same in (True, False) for pair in [p for p in pairs if p[2] is same][: QUICK // 2]]


def decode(name: str) -> Image:
    with PIL.Image.open(DATA / name) as image:
        return np.array(image.convert("RGB"))


def batches(names: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(names)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def nearest(detections: Detections, x: float, y: float) -> Detections:
    """Return the face whose centre is nearest to a point, as Detections of length 0 or 1."""
    if not len(detections):
        return detections
    centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
    return detections[[int(((centres - (x, y)) ** 2).sum(1).argmin())]]


def central_face(detections: Detections, image: Image) -> Detections:
    """Return the face nearest to the centre of the image, as Detections of length 0 or 1."""
    return nearest(detections, image.shape[1] / 2, image.shape[0] / 2)


def detect_central(detector: Detector, images: list[Image]) -> list[Detections]:
    found = detector.detect(images)
    return [central_face(faces, image) for faces, image in zip(found, images, strict=True)]


def detect_hog(detector: dlib.fhog_object_detector, image: Image) -> Detections:
    rectangles = detector(image, 1) or detector(image, 0)
    boxes = np.array([(r.left(), r.top(), r.right(), r.bottom()) for r in rectangles], np.float32)
    n = len(boxes)
    faces = Detections(boxes.reshape(n, 4), np.full((n, 5, 2), np.nan, np.float32), np.ones(n, np.float32))
    return central_face(faces, image)


def cut_landmarks_only(image: Image, faces: Detections, alignment: Alignment) -> U8:
    return _extract(image, _fit(align._LANDMARKS_IN_CHIP, faces.landmarks), alignment)


def cut_points_only(image: Image, faces: Detections, alignment: Alignment) -> U8:
    rough = _fit(align._LANDMARKS_IN_CHIP, faces.landmarks)
    points = np.stack([align._forest_by_landmarks(image, transform) for transform in rough])
    return _extract(image, _fit(align._POINTS_IN_CHIP[:5], points), alignment)


def _fit(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return align._fit_similarity(source, target.astype(np.float64), np.ones(target.shape[:2]))


def _extract(image: Image, transforms: np.ndarray, alignment: Alignment) -> U8:
    frame = align.FRAMES[alignment.name]
    return np.stack([align._extract(image, frame.within(t), alignment.size) for t in transforms])


def without_landmarks(faces: Detections) -> Detections:
    return Detections(faces.boxes, np.full_like(faces.landmarks, np.nan), faces.scores)


def embed(embedder: Embedder, chips: dict[str, U8]) -> Vectors:
    if not chips:
        return {}
    vectors, _ = embedder.embed(np.concatenate(list(chips.values())))
    return dict(zip(chips, vectors, strict=True))


def folds_of(same: BoolArray) -> np.ndarray:
    """Return a random fold for each pair; every fold has the same share of pairs of one person."""
    rng = np.random.default_rng(7)
    folds = np.empty(len(same), np.int64)
    for value in (True, False):
        where = rng.permutation(np.flatnonzero(same == value))
        folds[where] = np.arange(len(where)) % FOLDS
    return folds


def best_threshold(similarity: F32, same: BoolArray) -> float:
    """Return the threshold with the most correct answers."""
    order = np.argsort(similarity)
    ordered, positive = similarity[order], same[order]
    # Correct answers if the i lowest pairs count as two people.
    right = np.concatenate([[0], np.cumsum(~positive)]) + positive.sum()
    right[1:] -= np.cumsum(positive)
    best = np.flatnonzero(right == right.max())
    i = int(best[len(best) // 2])
    return float((ordered[max(i - 1, 0)] + ordered[min(i, len(ordered) - 1)]) / 2)


def score(pairs: Pairs, first: Vectors, second: Vectors, names: set[str] | None = None) -> Score:
    """Score the verification of pairs.

    Pairs that lack a vector are errors. Pairs with a photo that is not in `names` are left out.
    """
    if names is not None:
        pairs = [pair for pair in pairs if pair[0] in names and pair[1] in names]
    same = np.array([pair[2] for pair in pairs])
    known = np.array([a in first and b in second for a, b, _ in pairs])
    similarity = np.array(
        [first[a] @ second[b] if both else np.nan for (a, b, _), both in zip(pairs, known, strict=True)],
        np.float32,
    )
    folds = folds_of(same)
    accuracies = []
    for fold in range(FOLDS):
        train = known & (folds != fold)
        threshold = best_threshold(similarity[train], same[train])
        test = folds == fold
        accuracies.append(float((known & ((similarity > threshold) == same))[test].mean()))
    strangers = np.sort(similarity[known & ~same])[::-1]
    strict = strangers[int(1e-3 * len(strangers))]
    return Score(
        pairs=len(pairs),
        accuracy=100 * float(np.mean(accuracies)),
        standard_error=100 * float(np.std(accuracies, ddof=1) / np.sqrt(FOLDS)),
        threshold=best_threshold(similarity[known], same[known]),
        tpr_at_fpr_1e3=100 * float((known & (similarity > strict))[same].mean()),
    )


def compare_chains(pairs: Pairs, names: list[str], detector: Detector, embedder: Embedder) -> None:
    alignment = embedder.spec.alignment
    cutters: dict[str, Callable[[Image, Detections], U8]] = {
        "ours": lambda image, faces: cut_chips(image, faces, alignment, box=detector.spec.box),
        "dlib": lambda image, faces: cut_chips(image, faces, alignment),
    }
    if detector.spec.landmarks:
        cutters |= {
            "landmarks only": lambda image, faces: cut_landmarks_only(image, faces, alignment),
            "points only": lambda image, faces: cut_points_only(image, faces, alignment),
            "box only": lambda image, faces: cut_chips(image, without_landmarks(faces), alignment),
        }
    hog = dlib.get_frontal_face_detector()
    vectors: dict[str, Vectors] = {chain: {} for chain in cutters}
    for batch in batches(names):
        images = [decode(name) for name in batch]
        our_faces = detect_central(detector, images)
        hog_faces = [detect_hog(hog, image) for image in images]
        for chain, cut in cutters.items():
            found = zip(batch, images, hog_faces if chain == "dlib" else our_faces, strict=True)
            chips = {name: cut(image, faces) for name, image, faces in found if len(faces)}
            vectors[chain].update(embed(embedder, chips))
    shared = vectors["ours"].keys() & vectors["dlib"].keys()
    results = {}
    print(
        f"{'':16}{'no face':>8}  {'all pairs':>16} {'shared pairs':>18} {'threshold':>10} {'TPR @ 1e-3':>11}"
    )
    for chain, found_vectors in vectors.items():
        every = score(pairs, found_vectors, found_vectors)
        common = score(pairs, found_vectors, found_vectors, set(shared))
        missing = len(names) - len(found_vectors)
        print(
            f"{chain:16}{missing:8}  {every.accuracy:8.2f} +- {every.standard_error:.2f} "
            f"{common.accuracy:10.2f} +- {common.standard_error:.2f} "
            f"{every.threshold:10.3f} {every.tpr_at_fpr_1e3:11.1f}"
        )
        results[chain] = {"no_face": missing, "all_pairs": asdict(every), "shared_pairs": asdict(common)}
    print(f"{len(names)} photos, {len(pairs)} pairs, of which {common.pairs} are shared")
    payload = {"seed": 7, "photos": len(names), "min_face": detector.min_face, "chains": results}
    name = result_name("lfw_pairs", detector.spec.name, embedder.spec.name)
    write_result(name, payload, quick=len(pairs) <= QUICK)


def shrink(image: Image, factor: float) -> Image:
    height, width = image.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.array(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.BICUBIC))


def by_size(pairs: Pairs, names: list[str], detector: Detector, embedder: Embedder) -> None:
    full: Vectors = {}
    small: dict[int, Vectors] = {size: {} for size in SIZES}
    for batch in batches(names):
        images = [decode(name) for name in batch]
        faces = detect_central(detector, images)
        with_face = [i for i, found in enumerate(faces) if len(found)]
        alignment = embedder.spec.alignment
        cut = partial(cut_chips, alignment=alignment, box=detector.spec.box)
        full.update(embed(embedder, {batch[i]: cut(images[i], faces[i]) for i in with_face}))
        boxes = np.concatenate([faces[i].boxes for i in with_face])
        sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        for size in SIZES:
            factors = np.minimum(size / sides, 1)
            reduced = [shrink(images[i], factor) for i, factor in zip(with_face, factors, strict=True)]
            # Boxes of one face vary in size. A smallest face of 70 % favours no size.
            found = detector.detect(reduced, min_faces=[0.7 * size] * len(reduced))
            chips = {}
            for i, image, candidates, centre in zip(
                with_face, reduced, found, centres * factors[:, None], strict=True
            ):
                face = nearest(candidates, *centre)
                middle = (face.boxes[:, :2] + face.boxes[:, 2:]) / 2
                if len(face) and np.abs(middle - centre).max() < size / 2:
                    chips[batch[i]] = cut(image, face)
            small[size].update(embed(embedder, chips))
    whole = score(pairs, full, full)
    print(f"{'side':>6} {'found':>7} {'both small':>17} {'one small':>17} {'threshold':>10}  (found pairs)")
    results: dict[str, object] = {"full": asdict(whole)}
    for size, vectors in small.items():
        both = score(pairs, vectors, vectors, set(vectors))
        one = score(pairs, vectors, full, set(vectors))
        share = 100 * len(vectors) / len(full)
        print(
            f"{size:6} {share:6.1f}% {both.accuracy:9.2f} +- {both.standard_error:.2f} "
            f"{one.accuracy:9.2f} +- {one.standard_error:.2f} {both.threshold:10.3f}"
        )
        results[str(size)] = {"found_percent": share, "both_small": asdict(both), "one_small": asdict(one)}
    share = 100 * len(full) / len(names)
    print(f"{'full':>6} {share:6.1f}% {whole.accuracy:9.2f} +- {whole.standard_error:.2f}")
    name = result_name("lfw_by_size", detector.spec.name, embedder.spec.name)
    payload = {"seed": 7, "photos": len(names), "sides": results}
    write_result(name, payload, quick=len(pairs) <= QUICK)


def main() -> None:
    parser = argument_parser(__doc__, quick="300 pairs instead of 3,000")
    parser.add_argument(
        "--by-size", action="store_true", help="measure accuracy by size of face instead of by chain"
    )
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    add_model_arguments(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = read_pairs(options.quick)
    names = sorted({name for a, b, _ in pairs for name in (a, b)})
    detector_spec = get("detector", options.detector)
    detector: Detector = load(detector_spec, min_face=detector_spec.min_face)
    embedder: Embedder = load(get("embedder", options.embedder))
    (by_size if options.by_size else compare_chains)(pairs, names, detector, embedder)


if __name__ == "__main__":
    main()
