"""Compare the boxes and the time of dlib-cnn with those of dlib's own network.

Both detect on the same decoded photos of people/ and groups/ with the same upsampling, alternating in
one run, with one thread each (``dlib.cnn_face_detection_model_v1`` on a CPU uses more than one only for
the pyramid)::

    python benchmarks/dlib_cnn_equality.py [--quick] [--photos 100] [--upsample 1]

Prints and writes to ``results/dlib_cnn_equality.json``: the number of photos with all boxes equal and in the
same order, the number of faces on these photos, the largest difference of a confidence on them, and
milliseconds per photo (median and mean over photos).
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import dlib
import numpy as np
import torch
from common import DATA, argument_parser, group_photos, people_photos, write_result
from PIL import Image

from faceindex.detect.dlib_cnn import DlibCnn
from faceindex.models import find_weights, get

UNEQUAL_SHOWN = 20


def photos(people: int) -> list[Path]:
    """Return `people` photos spread over people/, and all of groups/."""
    found = people_photos(DATA)
    return found[:: max(1, len(found) // people)][:people] + group_photos(DATA)


def run(paths: list[Path], upsample: int) -> dict[str, object]:
    torch.set_num_threads(1)
    spec = get("detector", "dlib-cnn")
    ours = DlibCnn(spec, min_face=spec.min_face, upsample=upsample)
    peer = dlib.cnn_face_detection_model_v1(str(find_weights(spec.weights[0])))
    equal, faces, worst = 0, [0, 0, 0], 0.0
    unequal: list[dict[str, object]] = []
    seconds: list[tuple[float, float]] = []
    for path in paths:
        image = np.asarray(Image.open(path).convert("RGB"))
        start = time.perf_counter()
        theirs = peer(image, upsample)
        middle = time.perf_counter()
        (found,) = ours.detect([image])
        seconds.append((middle - start, time.perf_counter() - middle))
        expected = [
            [face.rect.left(), face.rect.top(), face.rect.right(), face.rect.bottom()] for face in theirs
        ]
        boxes = found.boxes.astype(int).tolist()
        scores = found.scores.astype(float)
        confidences = np.log(scores / (1 - scores))  # the inverse of the logistic function
        faces = [faces[0] + len(boxes), faces[1] + len(expected), faces[2]]
        if boxes == expected:
            equal += 1
            faces[2] += len(boxes)
            difference = np.abs(confidences - [face.confidence for face in theirs])
            worst = max(worst, float(difference.max(initial=0)))
        else:
            unequal.append({"photo": path.name, "ours": boxes, "peer": expected})
    peer_ms, our_ms = (1e3 * np.array(column) for column in zip(*seconds, strict=True))
    return {
        "upsample": upsample,
        "photos": len(paths),
        "photos_with_the_same_boxes": equal,
        "faces": {"ours": faces[0], "peer": faces[1], "on_photos_with_the_same_boxes": faces[2]},
        "largest_difference_of_a_confidence": worst,
        "unequal": unequal[:UNEQUAL_SHOWN],
        "ms_per_photo": {
            name: {"median": round(float(np.median(ms)), 1), "mean": round(float(ms.mean()), 1)}
            for name, ms in (("ours", our_ms), ("peer", peer_ms))
        },
        "peer_over_ours": round(float(peer_ms.sum() / our_ms.sum()), 1),
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="8 photos of people/")
    parser.add_argument("--photos", type=int, default=100, help="number of photos of people/")
    parser.add_argument("--upsample", type=int, default=1)
    options = parser.parse_args()
    result = run(photos(8 if options.quick else options.photos), options.upsample)
    print(json.dumps(result, indent=2))
    suffix = "" if options.upsample == 1 else f"_upsample{options.upsample}"
    write_result(f"dlib_cnn_equality{suffix}", result, quick=options.quick)


if __name__ == "__main__":
    main()
