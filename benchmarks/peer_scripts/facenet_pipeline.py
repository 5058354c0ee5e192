"""Embed the faces in a folder of photos with facenet-pytorch; runs in the environment of the peer.

Follows its README and its examples: `MTCNN` with ``keep_all`` detects on one photo at a time and cuts its
own crops of 160 pixels, `InceptionResnetV1` embeds all faces of a photo in one call. Unlike the examples,
it runs without gradients. torch chooses the number of threads::

    python facenet_pipeline.py FOLDER OUT.npz WEIGHTS MIN_FACE

Prints a JSON line: threads, seconds of each part, and seconds of the stand-in for torchvision's `nms`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torchvision_nms
from PIL import Image

stand_in = torchvision_nms.load()
from facenet_pytorch import MTCNN, InceptionResnetV1  # noqa: E402 - needs the stand-in

SUFFIXES = {".jpg", ".jpeg", ".png"}


def main() -> None:
    folder, out, weights, min_face = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    mtcnn = MTCNN(keep_all=True, min_face_size=min_face)
    resnet = InceptionResnetV1(pretrained=None, classify=False).eval()
    state = torch.load(weights, weights_only=True)
    resnet.load_state_dict({key: value for key, value in state.items() if not key.startswith("logits.")})
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    parts = dict.fromkeys(("decode", "detect", "crop", "embed"), 0.0)
    boxes, scores, vectors, photos = [], [], [], []
    with torch.no_grad():
        for number, path in enumerate(paths):
            marks = [time.perf_counter()]
            image = Image.open(path).convert("RGB")
            marks.append(time.perf_counter())
            # The steps of mtcnn(image), which does not return the boxes.
            found, probabilities, _ = mtcnn.detect(image, landmarks=True)
            marks.append(time.perf_counter())
            if found is not None:
                crops = mtcnn.extract(image, found, None)
                marks.append(time.perf_counter())
                vectors.append(resnet(crops).numpy())
                marks.append(time.perf_counter())
                boxes.append(np.asarray(found, np.float32))
                scores.append(np.asarray(probabilities, np.float32))
                photos.extend([number] * len(found))
            for part, seconds in zip(parts, np.diff(marks), strict=False):
                parts[part] += float(seconds)
    parts["detect"] -= stand_in.wall
    np.savez(
        out,
        paths=np.array([str(path) for path in paths]),
        photos=np.array(photos, np.int64),
        boxes=np.concatenate(boxes),
        scores=np.concatenate(scores),
        vectors=np.concatenate(vectors),
    )
    report = {
        "threads": torch.get_num_threads(),
        "parts_s": parts,
        "nms_stand_in": stand_in.used,
        "nms_wall_s": stand_in.wall,
        "nms_cpu_s": stand_in.cpu,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
