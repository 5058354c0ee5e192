"""Measure the time and the number of faces found by the size of the smallest face.

For several values of `--min-face`: milliseconds per photo (everything but decoding; CPU time of one thread,
which other processes disturb little), photos with a face, faces. ``lfw_pairs.py --by-size`` measures how well
faces of a size are recognised.

    python benchmarks/min_face.py [--data ../shared/data] [--quick]
"""

from __future__ import annotations

import statistics
import time

import torch
from common import argument_parser, people_photos, write_result

from faceindex.recognition import Recogniser

SIZES = (20, 30, 40, 60, 80)
BATCH = 16


def main() -> None:
    parser = argument_parser(__doc__, quick="80 photos and one run instead of 800 and three", data=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    photos = people_photos(options.data)[:: 10 if options.quick else 1]
    recognisers = {size: Recogniser.load("mtcnn", "dlib", min_face=size, device="cpu") for size in SIZES}
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    found: dict[int, list[int]] = {}
    for _ in range(1 if options.quick else 3):
        found = {size: [] for size in SIZES}
        spent = dict.fromkeys(SIZES, 0.0)
        for start in range(0, len(photos), BATCH):
            paths = photos[start : start + BATCH]
            for size, recogniser in recognisers.items():  # alternating, batch by batch
                loaded = [recogniser.load_photo(path) for path in paths]
                started = time.process_time()
                faces = recogniser.recognise(loaded)
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
    write_result("min_face", {"photos": len(photos), "rows": rows}, quick=options.quick)


if __name__ == "__main__":
    main()
