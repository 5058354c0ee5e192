"""Does dlib-cnn find the boxes that dlib's own network finds, and how long do both take?

Both look at the same decoded photos of people/ and groups/ with the same upsampling, interleaved in
one run, with one thread each (``dlib.cnn_face_detection_model_v1`` on a CPU uses one but for the
pyramid)::

    python benchmarks/dlib_cnn_equality.py [--quick] [--photos 100] [--upsample 1]

Prints, and writes to ``results/dlib_cnn_equality.json``: the number of photos on which all boxes are
the same in the same order, the number of such faces, the largest difference of a confidence on them,
and milliseconds per photo (median and mean over photos).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import dlib
import numpy as np
import torch
from common import write_result
from PIL import Image

from faceindex.detect.dlib_cnn import DlibCnn
from faceindex.models import find_weights, get
from faceindex.models.spec import DetectorSpec

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
UNEQUAL_SHOWN = 20


def photos(people: int) -> list[Path]:
    """`people` photos spread over people/, and all of groups/."""
    found = sorted((DATA / "people").glob("*/*"))
    groups = [path for path in sorted((DATA / "groups").glob("*")) if path.suffix in (".jpg", ".png")]
    return found[:: max(1, len(found) // people)][:people] + groups


def run(paths: list[Path], upsample: int) -> dict[str, object]:
    torch.set_num_threads(1)
    spec = get("detector", "dlib-cnn")
    if not isinstance(spec, DetectorSpec):
        raise TypeError("the spec of dlib-cnn is not that of a detector")
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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=int, default=100, help="photos of people/, besides those of groups/")
    parser.add_argument("--upsample", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="8 photos of people/")
    arguments = parser.parse_args()
    paths = photos(8 if arguments.quick else arguments.photos)
    if not paths:
        raise SystemExit(f"There are no photos under {DATA}.")
    result = run(paths, arguments.upsample)
    print(json.dumps(result, indent=2))
    name = "dlib_cnn_equality"
    if arguments.upsample != 1:
        name += f"_upsample{arguments.upsample}"
    print(write_result(name + ("_quick" if arguments.quick else ""), result))


if __name__ == "__main__":
    main()
