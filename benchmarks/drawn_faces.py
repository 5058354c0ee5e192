"""Measure how near a face that a person draws is to the same face as a detector finds it.

- ``jitter``: detected faces of people/, whose boxes are drawn again with each edge moved by up to 10 or 20 %
  of the side: the similarity of the two vectors, and how often the most similar face of another photo is the
  same person's, by the detected and by the drawn face. ``alone`` is without the search for landmarks.
- ``heads``: the boxes of group_photos/, which people drew around heads and hair: the same for the boxes with
  a detected face, and for those that the detector missed.
- ``milliseconds``: CPU time of a face, without reading and decoding the photo.

    python benchmarks/drawn_faces.py [--detector NAME] [--embedder NAME] [--faces N] [--quick]
                                     [--data ../shared/data]

Writes ``results/drawn_faces.json``; the names of models that are not the defaults are appended.
"""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import argument_parser, people_photos, use_weights_beside, write_result
from labelled import add_model_arguments, result_name

from faceindex.drawn_faces import find_drawn
from faceindex.matching import match_boxes
from faceindex.recognition import LoadedPhoto, Recogniser, use_one_thread
from faceindex.types import F32, Detections, Faces

SEED = 10
QUICK = 2  # photos
JITTER = (0.1, 0.2)


class Gallery:
    """Vectors of faces, with their photos and people."""

    def __init__(self) -> None:
        self._rows: list[tuple[F32, str, str]] = []

    def add(self, vector: F32, photo: Path, person: str) -> None:
        self._rows.append((vector, str(photo), person))

    def is_right(self, vector: F32, photo: Path, person: str) -> bool:
        """Whether the most similar face of another photo shows the person."""
        best = max(
            (row for row in self._rows if row[1] != str(photo)), key=lambda row: float(row[0] @ vector)
        )
        return best[2] == person


def embed(recogniser: Recogniser, photo: LoadedPhoto, faces: Detections) -> Faces:
    return recogniser.embed_faces([photo], [faces])[0]


def without_landmarks(boxes: F32) -> Detections:
    n = len(boxes)
    return Detections(boxes, np.full((n, 5, 2), np.nan, np.float32), np.ones(n, np.float32))


def summary(similarity: Sequence[float], right: Sequence[bool]) -> dict[str, float]:
    low, middle = np.quantile(similarity, [0.1, 0.5])
    return {
        "faces": len(similarity),
        "median": round(float(middle), 4),
        "tenth_percentile": round(float(low), 4),
        "least": round(float(np.min(similarity)), 4),
        "right": round(float(np.mean(right)), 4),
    }


def measure_jitter(recogniser: Recogniser, paths: Sequence[Path]) -> dict[str, object]:
    rng = np.random.default_rng(SEED)
    photos, gallery = [], Gallery()
    for path in paths:
        photo = recogniser.load_photo(path)
        (faces,) = recogniser.recognise([photo])
        if not len(faces):
            continue
        main = int((faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1).argmax())
        gallery.add(faces.vectors[main], path, path.parent.name)
        photos.append((path, photo, faces.boxes[main], faces.vectors[main]))
    found: dict[str, object] = {}
    spent, landmarks = 0.0, 0
    for share in JITTER:
        near: dict[str, list[float]] = defaultdict(list)
        right: dict[str, list[bool]] = defaultdict(list)
        for path, photo, box, vector in photos:
            side = np.tile(box[2:] - box[:2], 2)
            size = np.tile([photo.decoded.width, photo.decoded.height], 2)
            moved = np.clip(box + rng.uniform(-share, share, 4) * side, 0, size).astype(np.float32)[None]
            started = time.process_time()
            drawn = find_drawn(recogniser, photo, moved)
            faces = embed(recogniser, photo, drawn)
            spent += time.process_time() - started
            landmarks += int(np.isfinite(drawn.landmarks).all())
            for name, vectors in (
                ("drawn", faces.vectors),
                ("alone", embed(recogniser, photo, without_landmarks(moved)).vectors),
                ("detected", vector[None]),
            ):
                near[name].append(float(vectors[0] @ vector))
                right[name].append(gallery.is_right(vectors[0], path, path.parent.name))
        found[f"{share:.0%}"] = {name: summary(near[name], right[name]) for name in near}
    number = len(JITTER) * len(photos)
    return found | {
        "with_landmarks": round(landmarks / number, 4),
        "milliseconds": round(1000 * spent / number, 1),
    }


def measure_heads(recogniser: Recogniser, data: Path, most: int) -> dict[str, object]:
    heads: dict[str, list[tuple[list[float], str]]] = defaultdict(list)
    with (data / "group_photos" / "boxes.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            heads[row["file"]].append(([float(row[key]) for key in ("x1", "y1", "x2", "y2")], row["name"]))
    gallery = Gallery()
    drawn: list[tuple[Path, str, F32, F32 | None, bool]] = []
    for name, rows in sorted(heads.items())[:most]:
        path = data / "group_photos" / name
        photo = recogniser.load_photo(path)
        (faces,) = recogniser.recognise([photo])
        boxes = np.array([box for box, _ in rows], np.float32)
        at = match_boxes(faces.boxes, boxes)
        found = find_drawn(recogniser, photo, boxes)
        vectors = embed(recogniser, photo, found).vectors
        known = np.isfinite(found.landmarks.sum(axis=(1, 2))).tolist()
        for (_, person), i, vector, has_landmarks in zip(rows, at.tolist(), vectors, known, strict=True):
            if i >= 0:
                gallery.add(faces.vectors[i], path, person)
            drawn.append((path, person, vector, faces.vectors[i] if i >= 0 else None, has_landmarks))
    there = [each for each in drawn if each[3] is not None]
    missed = [each for each in drawn if each[3] is None]
    return {
        "detected": summary(
            [float(v @ d) for *_, v, d, _ in there if d is not None],
            [gallery.is_right(v, path, person) for path, person, v, *_ in there],
        )
        | {
            "detected_right": round(
                float(np.mean([gallery.is_right(d, p, n) for p, n, _, d, _ in there if d is not None])), 4
            )
        },
        "missed": {
            "faces": len(missed),
            "right": sum(gallery.is_right(v, path, person) for path, person, v, *_ in missed),
            "with_landmarks": sum(has_landmarks for *_, has_landmarks in missed),
        },
    }


def main() -> None:
    parser = argument_parser(__doc__, quick=f"{QUICK} photos each", data=True)
    add_model_arguments(parser)
    parser.add_argument("--faces", type=int, default=100, help="faces of people/")
    args = parser.parse_args()
    use_weights_beside(args.data)
    use_one_thread()
    recogniser = Recogniser.load(args.detector, args.embedder, device="cpu")
    number = QUICK if args.quick else args.faces
    paths = people_photos(args.data)
    step = 1 if args.quick else max(1, len(paths) // number)
    jitter = measure_jitter(recogniser, paths[::step][:number])
    heads = measure_heads(recogniser, args.data, QUICK if args.quick else 10**6)
    print(f"{args.detector} + {args.embedder}")
    for share in ("10%", "20%"):
        print(f"jitter {share}: {jitter[share]}")
    print(f"landmarks {jitter['with_landmarks']:.1%}, {jitter['milliseconds']} ms a face")
    print(f"heads, detected: {heads['detected']}")
    print(f"heads, missed: {heads['missed']}")
    name = result_name("drawn_faces", args.detector, args.embedder)
    models = {"detector": args.detector, "embedder": args.embedder}
    write_result(name, {**models, "seed": SEED, "jitter": jitter, "heads": heads}, quick=args.quick)


if __name__ == "__main__":
    main()
