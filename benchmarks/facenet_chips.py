"""Measure which part of the photo facenet's chip should show.

Cuts the faces that MTCNN finds in several ways and embeds them: the face nearest the centre on the photos of
``../shared/data/lfw_pairs.csv``, the largest face on those of ``../shared/data/people``. The ways:

- ``facenet-pytorch M``: its ``extract_face``, the box with a margin of M pixels of the chip, stretched to a
  square;
- ``box M``: the same with our resampling and black outside the photo;
- ``W x H at X, Y``: a rectangle of W by H sides of dlib's chip, centred at X, Y of it, after the fit of
  `faceindex.align` to ten points;
- the present rectangle again with ``--flip``.

Prints and writes to ``results/facenet_chips.json``: the share of correctly classified LFW pairs (ten folds);
the share of the pairs of one person whose similarity exceeds all but 1 in 1,000 and 1 in 10,000 of the pairs
of two people; and the same on people/ for 1 in 100 and 1 in 1,000. ``--quick`` uses half of the people of LFW
and half of the photos of people/.

    python benchmarks/facenet_chips.py [--quick] [--only NAME ...]
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from common import DATA, argument_parser, people_photos, write_result
from lfw_pairs import batches, central_face, decode, read_pairs, score

from faceindex import align
from faceindex.embed.facenet import Facenet
from faceindex.models import get, load
from faceindex.types import F32, U8, Detections, Image

SIZE = 160
MARGINS = (0, 32)
FRAMES = (
    (1.0, 1.0, 0.5, 0.5),
    (1.15, 1.15, 0.5, 0.44),
    (1.3, 1.3, 0.5, 0.43),
    (0.87, 1.16, 0.5, 0.42),
    (0.97, 1.29, 0.49, 0.435),
    (1.0, 1.35, 0.5, 0.47),
)

Fitted = tuple[F32, np.ndarray]
"""Box of a face, and transform from the unit square to its dlib chip."""
Cutter = Callable[[Image, Fitted], U8]


def corners(box: F32, margin: float) -> np.ndarray:
    """Return a box with a margin in pixels of the chip, float64 ``x1 y1 x2 y2``."""
    more = (box[2:] - box[:2]).astype(np.float64) * margin / (SIZE - margin) / 2
    return np.concatenate([box[:2] - more, box[2:] + more])


def cut_like_facenet_pytorch(margin: float) -> Cutter:
    def cut(image: Image, face: Fitted) -> U8:
        height, width = image.shape[:2]
        limits = np.array([width, height, width, height])
        box = tuple(corners(face[0], margin).clip(0, limits).astype(int).tolist())
        part = PIL.Image.fromarray(image).crop(box)
        return np.asarray(part.resize((SIZE, SIZE), PIL.Image.Resampling.BILINEAR))

    return cut


def cut_box(margin: float) -> Cutter:
    def cut(image: Image, face: Fitted) -> U8:
        x1, y1, x2, y2 = corners(face[0], margin)
        return align._extract(image, np.array([[x2 - x1, 0, x1], [0, y2 - y1, y1]]), SIZE)

    return cut


def cut_frame(frame: tuple[float, float, float, float]) -> Cutter:
    width, height, x, y = frame
    part = align.Frame(x, y, width, height)
    return lambda image, face: align._extract(image, part.within(face[1]), SIZE)


def largest_face(detections: Detections, image: Image) -> Detections:
    """Return the largest face, as Detections of length 0 or 1."""
    if not len(detections):
        return detections
    return detections[[int((detections.boxes[:, 2:] - detections.boxes[:, :2]).prod(axis=1).argmax())]]


def find(names: list[str], choose: Callable[[Detections, Image], Detections]) -> dict[str, Fitted]:
    """Detect one face on each photo; photos without one are left out."""
    spec = get("detector", "mtcnn")
    detector = load(spec, min_face=spec.min_face)
    found = {}
    for batch in batches(names):
        images = [decode(name) for name in batch]
        for name, image, faces in zip(batch, images, detector.detect(images), strict=True):
            face = choose(faces[faces.scores >= spec.threshold], image)
            if len(face):
                found[name] = (face.boxes[0], align._fit_faces(image, face, None)[0])
    return found


def embed(embedder: Facenet, faces: dict[str, Fitted], cut: Cutter) -> dict[str, F32]:
    vectors: dict[str, F32] = {}
    for batch in batches(faces):
        chips = np.stack([cut(decode(name), faces[name]) for name in batch])
        vectors.update(zip(batch, embedder.embed(chips)[0], strict=True))
    return vectors


def person(name: str) -> str:
    return Path(name).parent.name


def shares(
    vectors: dict[str, F32], alarms: tuple[float, ...], same: set[tuple[str, str]] | None
) -> list[float]:
    """Return the percentage of pairs of one person that exceed all but a share of the pairs of two people.

    Parameters
    ----------
    vectors : dict
        Unit vector by photo.
    alarms : tuple of float
        Shares of the pairs of two people that may exceed the similarity.
    same : set of pairs of photos, optional
        The pairs of one person; None means all of them.
    """
    names = list(vectors)
    every = np.stack(list(vectors.values()))
    first, second = np.triu_indices(len(names), 1)
    similarity = (every @ every.T)[first, second]
    people = np.array([person(name) for name in names])
    one = people[first] == people[second]
    if same is None:
        genuine = similarity[one]
    else:
        genuine = np.array([vectors[a] @ vectors[b] for a, b in same if a in vectors and b in vectors])
    return [float(100 * (genuine > np.quantile(similarity[~one], 1 - alarm)).mean()) for alarm in alarms]


def main() -> None:
    parser = argument_parser(__doc__, quick="half of the people of LFW, half of the photos of people/")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run only these variants")
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = get("embedder", "facenet")

    pairs = read_pairs(quick=False)
    photos = [str(path.relative_to(DATA)) for path in people_photos(DATA)]
    if options.quick:
        halves = {name: zlib.crc32(person(name).encode()) % 2 for a, b, _ in pairs for name in (a, b)}
        pairs = [pair for pair in pairs if not halves[pair[0]] and not halves[pair[1]]]
        photos = photos[::2]
    lfw = find(sorted({name for a, b, _ in pairs for name in (a, b)}), central_face)
    people = find(photos, largest_face)

    used = align.FRAMES["facenet"]
    frames = dict.fromkeys([*FRAMES, (used.width, used.height, used.x, used.y)])
    plain, flipping = Facenet(spec), Facenet(spec, flip=True)
    variants: dict[str, tuple[Facenet, Cutter]] = {
        **{f"facenet-pytorch {m}": (plain, cut_like_facenet_pytorch(m)) for m in MARGINS},
        **{f"box {m}": (plain, cut_box(m)) for m in MARGINS},
        **{f"{f[0]} x {f[1]} at {f[2]}, {f[3]}": (plain, cut_frame(f)) for f in frames},
        "in use, flip": (flipping, cut_frame((used.width, used.height, used.x, used.y))),
    }
    print(f"{len(lfw)} photos of lfw/, {len(pairs)} pairs; {len(people)} photos of people/")
    print(f"{'':28}{'pairs':>8} {'+-':>5} {'lfw 1e-3':>9} {'1e-4':>6} {'people 1e-2':>12} {'1e-3':>6}")
    results = {}
    for name, (embedder, cut) in variants.items():
        if options.only and name not in options.only:
            continue
        vectors = embed(embedder, lfw, cut)
        verification = score(pairs, vectors, vectors)
        found = shares(vectors, (1e-3, 1e-4), {(a, b) for a, b, same in pairs if same})
        found += shares(embed(embedder, people, cut), (1e-2, 1e-3), None)
        results[name] = {**asdict(verification), "lfw_and_people": found}
        print(
            f"{name:28}{verification.accuracy:8.2f} {verification.standard_error:5.2f} "
            f"{found[0]:9.2f} {found[1]:6.2f} {found[2]:12.2f} {found[3]:6.2f}",
            flush=True,
        )
    payload = {"pairs": len(pairs), "photos": {"lfw": len(lfw), "people": len(people)}, "ways": results}
    write_result("facenet_chips", payload, quick=options.quick)


if __name__ == "__main__":
    main()
