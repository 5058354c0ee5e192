"""Embed the faces in a folder of photos with face_recognition; runs in the environment of the peer.

Follows its documentation: `load_image_file`, `face_locations` (HOG, upsampled once), `face_encodings` of
the known locations. ``--processes N`` distributes the photos as its own command does with ``--cpus``, in a
pool of the forkserver::

    python face_recognition_pipeline.py FOLDER OUT.npz [--processes N]
    python face_recognition_pipeline.py --cluster OUT.npz LABELS.npy

The first form prints a JSON line with the seconds of each part, summed over all processes. The second
passes the vectors to ``dlib.chinese_whispers_clustering`` with a distance of 0.5, as dlib's example
face_clustering.py does.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from pathlib import Path

import dlib
import face_recognition
import numpy as np

SUFFIXES = {".jpg", ".jpeg", ".png"}
DISTANCE = 0.5


def recognise(path: str) -> tuple[list[tuple[int, ...]], list[np.ndarray], dict[str, float]]:
    marks = [time.perf_counter()]
    image = face_recognition.load_image_file(path)
    marks.append(time.perf_counter())
    locations = face_recognition.face_locations(image)
    marks.append(time.perf_counter())
    encodings = face_recognition.face_encodings(image, known_face_locations=locations)
    marks.append(time.perf_counter())
    boxes = [(left, top, right, bottom) for top, right, bottom, left in locations]
    parts = dict(zip(("decode", "detect", "embed"), map(float, np.diff(marks)), strict=True))
    return boxes, encodings, parts


def index(folder: Path, out: str, processes: int) -> None:
    paths = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if processes == 1:
        found = [recognise(path) for path in paths]
    else:
        with multiprocessing.get_context("forkserver").Pool(processes) as pool:
            found = pool.map(recognise, paths)
    np.savez(
        out,
        paths=np.array(paths),
        photos=np.repeat(np.arange(len(found)), [len(boxes) for boxes, _, _ in found]),
        boxes=np.array([box for boxes, _, _ in found for box in boxes], np.float32).reshape(-1, 4),
        vectors=np.array([vector for _, vectors, _ in found for vector in vectors]).reshape(-1, 128),
    )
    parts = {part: sum(seconds[part] for _, _, seconds in found) for part in ("decode", "detect", "embed")}
    print(json.dumps({"processes": processes, "dlib_uses_blas": bool(dlib.DLIB_USE_BLAS), "parts_s": parts}))


def cluster(found: str, out: str) -> None:
    vectors = [dlib.vector(vector) for vector in np.load(found)["vectors"]]
    np.save(out, np.array(dlib.chinese_whispers_clustering(vectors, DISTANCE), np.int64))


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[0] == "--cluster":
        cluster(*arguments[1:])
        return
    processes = int(arguments[3]) if arguments[2:3] == ["--processes"] else 1
    index(Path(arguments[0]), arguments[1], processes)


if __name__ == "__main__":
    main()
