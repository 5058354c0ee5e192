"""What does the smallest face that is looked for cost, and what does it find?

For several values of `--min-face`: milliseconds per photo (detection, embedding and all, decoding apart;
CPU time of one thread, which other processes disturb little), photos with a face, faces. How far faces of a
size can be told apart is measured by ``lfw_pairs.py --by-size``.

    python benchmarks/min_face.py [--data ../shared/data] [--quick]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from common import write_result
from labelled import add_data_argument

from faceindex.images import read
from faceindex.recognition import Recogniser

SIZES = (20, 30, 40, 60, 80)
BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_data_argument(parser)
    parser.add_argument("--quick", action="store_true", help="80 photos and one run instead of 800 and three")
    options = parser.parse_args()
    torch.set_num_threads(1)
    photos = sorted((options.data / "people").rglob("*.jpg"))[:: 10 if options.quick else 1]
    recognisers = {size: Recogniser.load("mtcnn", "dlib", min_face=size) for size in SIZES}
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    found: dict[int, list[int]] = {}
    for _ in range(1 if options.quick else 3):
        found = {size: [] for size in SIZES}
        spent = dict.fromkeys(SIZES, 0.0)
        for start in range(0, len(photos), BATCH):
            data = [(read(path), path) for path in photos[start : start + BATCH]]
            for size, recogniser in recognisers.items():  # interleaved, batch by batch
                shots = [recogniser.take(content, path) for content, path in data]
                started = time.process_time()
                faces = recogniser.faces(shots)
                spent[size] += time.process_time() - started
                found[size] += [len(some) for some in faces]
        for size in SIZES:
            seconds[size].append(spent[size])
    rows = {}
    print("min face   ms/photo   photos with a face   faces")
    for size in SIZES:
        ms = 1000 * statistics.median(seconds[size]) / len(photos)
        with_face = sum(count > 0 for count in found[size]) / len(photos)
        rows[size] = {"ms_per_photo": ms, "photos_with_a_face": with_face, "faces": sum(found[size])}
        print(f"{size:8}   {ms:8.1f}   {with_face:18.2%}   {sum(found[size]):5}")
    write_result("min_face_quick" if options.quick else "min_face", {"photos": len(photos), "rows": rows})


if __name__ == "__main__":
    main()
