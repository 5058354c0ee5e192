"""YuNet beside MTCNN at the same smallest face: faces found, false faces, and the time of a photo.

Both detect on the same decoded photos, photo by photo and alternating, with one thread each:

- group_photos/: share of the boxes that have a face; a face belongs to the box that its centre is in, each to
  one box (the boxes cover head and hair, so overlaps would say little), also by the width of the boxes;
- people/: photos with a face, and faces;
- nobody/ and art/: what is found there, on paintings and drawings mostly faces that are painted;
- groups/parade.jpg: faces of 8 to 30 px;
- 24 photos of people/ with one face, enlarged until it is 300 to 2,400 px high: how often it is found.

The photos are divided into two halves. The score from which YuNet's boxes count (the spec's threshold) was
chosen on the first; the table is of the second, and the results contain both, for several scores.

    python benchmarks/yunet.py [--min-face 30] [--quick] [--data ../shared/data]

Writes ``results/yunet.json``.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from common import argument_parser, people_photos, target, use_weights_beside, write_result
from torch.nn import functional

from faceindex import images, models
from faceindex.detect import Detector
from faceindex.models import DetectorSpec
from faceindex.recognition import use_one_thread
from faceindex.types import F32, Detections, Image

NAMES = ("mtcnn", "yunet")
SCORES = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
LOWEST = {"mtcnn": 0.9, "yunet": 0.4}
WIDTHS = (0, 50, 75, 100, 1000)  # px of the boxes of group_photos
LARGE = (300, 600, 1200, 2400)
BLOCKS = 7
QUICK = 5  # every fifth photo


def pictures(folder: Path, pattern: str = "**/*") -> list[Path]:
    return sorted(p for p in folder.glob(pattern) if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))


def known_boxes(data: Path) -> dict[Path, F32]:
    """Return the boxes (n, 4) of each photo of group_photos/."""
    boxes = defaultdict(list)
    with (data / "group_photos" / "boxes.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            boxes[data / "group_photos" / row["file"]].append(
                [float(row[k]) for k in ("x1", "y1", "x2", "y2")]
            )
    return {path: np.array(found, np.float32) for path, found in boxes.items()}


def scores_of_boxes(found: Detections, known: F32) -> F32:
    """Return the score of the face in each known box, 0 if there is none; the best faces choose first."""
    scores = np.zeros(len(known), np.float32)
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    middles = (known[:, :2] + known[:, 2:]) / 2
    for centre, score in zip(centres, found.scores, strict=True):
        inside = ((known[:, :2] <= centre) & (centre <= known[:, 2:])).all(axis=1) & (scores == 0)
        if inside.any():
            distances = np.where(inside, np.abs(middles - centre).sum(axis=1), np.inf)
            scores[distances.argmin()] = score
    return scores


def load(name: str, min_face: float) -> Detector:
    spec: DetectorSpec = replace(models.get("detector", name), threshold=LOWEST[name])
    detector: Detector = models.load(spec, min_face=min_face)
    return detector


def detect_all(
    paths: Sequence[Path], detectors: dict[str, Detector]
) -> tuple[dict[str, list[Detections]], dict[str, list[float]]]:
    """Run the detectors on each photo in turn; return faces and CPU milliseconds."""
    found: dict[str, list[Detections]] = {name: [] for name in detectors}
    ms: dict[str, list[float]] = {name: [] for name in detectors}
    for number, path in enumerate(paths):
        image = images.decode(images.read(path), path).image
        for name in sorted(detectors, reverse=bool(number % 2)):
            started = time.thread_time()
            found[name] += detectors[name].detect([image])
            ms[name].append(1e3 * (time.thread_time() - started))
    return found, ms


def figures(
    found: dict[str, list[Detections]], half: int, score: float, known: Sequence[F32]
) -> dict[str, object]:
    """Return the figures of one detector on one half of the photos, by the name of the set."""
    chosen = {key: [one[one.scores >= score] for one in each[half::2]] for key, each in found.items()}
    hits = [
        scores_of_boxes(one, boxes) > 0
        for one, boxes in zip(chosen["group_photos"], known[half::2], strict=True)
    ]
    hit, widths = (
        np.concatenate(hits),
        np.concatenate([boxes[:, 2] - boxes[:, 0] for boxes in known[half::2]]),
    )
    return {
        "score": score,
        "boxes": len(hit),
        "recall": round(float(hit.mean()), 4),
        "missed_by_width": {
            f"{a} to {b} px": [int((~hit[own]).sum()), int(own.sum())]
            for a, b in pairwise(WIDTHS)
            if (own := (widths >= a) & (widths < b)).any()
        },
        "photos_with_face": f"{sum(len(one) > 0 for one in chosen['people'])} of {len(chosen['people'])}",
        "faces_on_people": sum(map(len, chosen["people"])),
        "faces_on_nobody": sum(map(len, chosen["nobody"])),
        "faces_on_art": sum(map(len, chosen["art"])),
    }


def large_faces(
    paths: Sequence[Path], detectors: dict[str, Detector], score: dict[str, float]
) -> dict[str, object]:
    """Enlarge faces and count how often they are found, and how many other boxes."""
    rows: dict[str, dict[str, list[int]]] = {name: {} for name in detectors}
    for height in LARGE:
        for path in paths:
            image = images.decode(images.read(path), path).image
            (before,) = detectors["mtcnn"].detect([image])
            x1, y1, x2, y2 = before.boxes[0]
            factor = height / (y2 - y1)
            enlarged = resized(image, factor)
            expected = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) * factor
            for name, detector in detectors.items():
                (faces,) = detector.detect([enlarged])
                faces = faces[faces.scores >= score[name]]
                near = (
                    np.abs((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - expected).max(axis=1) < height / 4
                )
                sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(axis=1)
                near &= (sides > 0.6 * height) & (sides < 1.6 * height)
                row = rows[name].setdefault(f"{height} px", [0, 0, 0])
                row[0] += bool(near.any())
                row[1] += 1
                row[2] += int((~near).sum())
    return {"columns": ["found", "photos", "other boxes"], **rows}


def resized(image: Image, factor: float) -> Image:
    plane = torch.from_numpy(image).permute(2, 0, 1)[None]
    size = [round(side * factor) for side in image.shape[:2]]
    scaled: Image = functional.interpolate(plane, size=size, mode="bilinear", antialias=True)[0].numpy()
    return np.ascontiguousarray(scaled.transpose(1, 2, 0))


def run(data: Path, min_face: float, every: int) -> dict[str, object]:
    use_one_thread()
    detectors = {name: load(name, min_face) for name in NAMES}
    known = known_boxes(data)
    sets = {
        "group_photos": sorted(known)[::every],
        "people": people_photos(data)[::every],
        "nobody": pictures(data / "nobody")[::every],
        "art": pictures(data / "art")[::every],
    }
    detect_all(sets["people"][:4], detectors)  # warms up
    found: dict[str, dict[str, list[Detections]]] = {name: {} for name in NAMES}
    ms: dict[str, dict[str, list[float]]] = {}
    for key, paths in sets.items():
        faces, ms[key] = detect_all(paths, detectors)
        for name in NAMES:
            found[name][key] = faces[name]
        print(key, {name: round(float(np.mean(each)), 1) for name, each in ms[key].items()}, flush=True)
    boxes = [known[path] for path in sets["group_photos"]]
    thresholds = {name: models.get("detector", name).threshold for name in NAMES}
    tuned, reported = (
        {name: figures(found[name], half, thresholds[name], boxes) for name in NAMES} for half in (0, 1)
    )
    print(markdown(reported, ms))
    parade = images.decode(images.read(data / "groups" / "parade.jpg"), "parade.jpg").image
    crowd = {
        name: {
            f"min face {side:g}": sum(
                detector.detect([parade], min_faces=[side])[0].scores >= thresholds[name]
            )
            for side in (min_face, 20, 12)
        }
        for name, detector in detectors.items()
    }
    single = [
        path for path, one in zip(sets["people"], found["mtcnn"]["people"], strict=True) if len(one) == 1
    ]
    all_ms = {name: [value for each in ms.values() for value in each[name]] for name in NAMES}
    blocks = {name: [sum(all_ms[name][n::BLOCKS]) for n in range(BLOCKS)] for name in NAMES}
    return {
        "min_face": min_face,
        "photos": {key: len(paths) for key, paths in sets.items()},
        "second_half": reported,
        "first_half": tuned,
        "scores": {
            half: [figures(found["yunet"], number, score, boxes) for score in SCORES]
            for number, half in enumerate(("first_half", "second_half"))
        },
        "parade": {name: {key: int(n) for key, n in row.items()} for name, row in crowd.items()},
        "large_faces": large_faces(single[:: max(1, len(single) // 24)][:24], detectors, thresholds),
        "ms_per_photo": {
            key: {name: round(float(np.mean(values)), 2) for name, values in each.items()}
            for key, each in ms.items()
        },
        "targets": [
            target(
                13,
                f"time of a photo, smallest face {min_face:g} px: mtcnn / yunet",
                [mtcnn / yunet for mtcnn, yunet in zip(blocks["mtcnn"], blocks["yunet"], strict=True)],
                reach=2.0,
                beyond=4.0,
                accuracy={name: reported[name]["recall"] for name in NAMES},
            )
        ],
    }


def markdown(rows: dict[str, dict[str, object]], ms: dict[str, dict[str, list[float]]]) -> str:
    lines = [
        "| detector | recall on group_photos | photos of people with a face | faces there | nobody | art | "
        f"ms a photo: {', '.join(ms)} |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        times = ", ".join(f"{np.mean(each[name]):.1f}" for each in ms.values())
        lines.append(
            f"| {name} | {row['recall']:.3f} of {row['boxes']} | {row['photos_with_face']} | "
            f"{row['faces_on_people']} | {row['faces_on_nobody']} | {row['faces_on_art']} | {times} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argument_parser(__doc__, quick="every fifth photo", data=True)
    parser.add_argument("--min-face", type=float, default=30.0)
    options = parser.parse_args()
    use_weights_beside(options.data)
    result = run(options.data, options.min_face, QUICK if options.quick else 1)
    print(json.dumps({key: result[key] for key in ("parade", "large_faces")}))
    write_result("yunet", result, quick=options.quick)


if __name__ == "__main__":
    main()
