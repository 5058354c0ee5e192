"""MTCNN alone, compared with facenet-pytorch at equal settings: the same faces, and the speed.

Both detect faces of 20 pixels and more, with the same weights and thresholds, on the same decoded photos
of people/; the time excludes decoding. The target compares these two: facenet-pytorch with one photo at a
time, as in its pipeline, and torch's default threads; ours with batches of 16 in as many one-thread workers
as there are cores, as in `index`. For comparison the results contain one thread each (ours in batches, and
one photo at a time), and ours one photo at a time with torch's default threads.

The photos are divided into blocks, and all variants run on each block in turn, so a block is a pair of runs.
Its ratio is of wall seconds, because all cores count; the results contain CPU seconds too. The time of the
stand-in for torchvision's `nms` (``peer_scripts/torchvision_nms.py``) is subtracted, which favours the peer.

The accuracy is the share of each side's faces that the other side finds at IoU >= 0.9, and the largest
differences of boxes, landmarks and scores among those.

    python benchmarks/peers.py facenet-pytorch
    python benchmarks/detection.py [--min-face PX] [--blocks N] [--quick]
                                   [--data ../shared/data] [--peers DIR]

The full run takes about seven minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import argument_parser, people_photos, ratios, target, write_result
from facenet_peer import FacenetPeer
from matching import Match
from peers import about, add_peers_argument

from faceindex import images, models
from faceindex.detect import Detector
from faceindex.pipeline.batches import BATCH_PHOTOS, count_workers
from faceindex.recognition import use_one_thread
from faceindex.types import Detections, Image

PEER, OURS = "peer, default threads", "ours, batches in one-thread workers"


class Differences:
    """Counts the faces, and keeps the largest differences of matching faces."""

    def __init__(self) -> None:
        self.match = Match()
        self.worst = dict.fromkeys(("box_px", "landmark_px", "score"), 0.0)

    def add(self, ours: Detections, peer: dict[str, Any]) -> None:
        boxes = np.asarray(peer["boxes"], float).reshape(-1, 4)
        for i, j in self.match.add(ours.boxes, boxes):
            differences = {
                "box_px": np.abs(ours.boxes[i] - boxes[j]).max(),
                "landmark_px": np.abs(ours.landmarks[i] - np.asarray(peer["landmarks"][j])).max(),
                "score": abs(ours.scores[i] - peer["scores"][j]),
            }
            self.worst = {key: max(self.worst[key], float(value)) for key, value in differences.items()}


class Clock:
    """Wall and CPU seconds of each variant, one entry per block."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.cpu: dict[str, list[float]] = {}

    def add(self, name: str, wall: float, cpu: float) -> None:
        self.wall.setdefault(name, []).append(wall)
        self.cpu.setdefault(name, []).append(cpu)

    def time(self, name: str, work: Callable[[], list[Detections]]) -> list[Detections]:
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        self.add(name, time.perf_counter() - wall, time.process_time() - cpu)
        return found

    def ratios(self, peer: str, ours: str, *, cpu: bool = False) -> list[float]:
        seconds = self.cpu if cpu else self.wall
        return ratios(seconds[peer], seconds[ours])


def batches(photos: Sequence[Image]) -> list[Sequence[Image]]:
    return [photos[start : start + BATCH_PHOTOS] for start in range(0, len(photos), BATCH_PHOTOS)]


def ours_on(
    block: Sequence[Image], detector: Detector, pool: ThreadPoolExecutor, clock: Clock
) -> list[Detections]:
    """Run every variant of ours, after one photo each to warm up; return what the workers found."""
    default = torch.get_num_threads()

    def in_workers() -> list[Detections]:
        return [one for found in pool.map(detector.detect, batches(block)) for one in found]

    def in_batches() -> list[Detections]:
        return [one for batch in batches(block) for one in detector.detect(batch)]

    def one_by_one() -> list[Detections]:
        return [detector.detect([photo])[0] for photo in block]

    list(pool.map(detector.detect, [block[:1]] * count_workers()))
    found = clock.time(OURS, in_workers)
    detector.detect(block[:1])
    clock.time("ours, one photo at a time, default threads", one_by_one)
    torch.set_num_threads(1)
    try:
        detector.detect(block[:1])
        clock.time("ours, batches, 1 thread", in_batches)
        clock.time("ours, one photo at a time, 1 thread", one_by_one)
    finally:
        torch.set_num_threads(default)
    return found


def peer_on(block: Sequence[Image], peer: FacenetPeer, min_face: float, clock: Clock) -> list[dict[str, Any]]:
    """Run the peer with one thread and with torch's default; return its answers."""
    for name, threads in (("peer, 1 thread", 1), (PEER, 0)):
        peer.detect(block[0], min_face, threads)
        answers = [peer.detect(photo, min_face, threads) for photo in block]
        clock.add(name, *(sum(answer[key] for answer in answers) for key in ("wall", "cpu")))
    return answers


def run(paths: list[Path], blocks: int, options: argparse.Namespace) -> dict[str, object]:
    detector: Detector = models.load(models.get("detector", "mtcnn"), min_face=options.min_face)
    peer = FacenetPeer(options.peers)
    clock, differences = Clock(), Differences()
    without: list[str] = []  # photos without a face
    workers = count_workers()
    with ThreadPoolExecutor(workers, initializer=use_one_thread) as pool:
        for number in range(blocks):
            some = paths[number::blocks]
            block = [images.decode(images.read(path), path).image for path in some]
            if number % 2:
                found = ours_on(block, detector, pool, clock)
                answers = peer_on(block, peer, options.min_face, clock)
            else:
                answers = peer_on(block, peer, options.min_face, clock)
                found = ours_on(block, detector, pool, clock)
            for path, mine, theirs in zip(some, found, answers, strict=True):
                differences.add(mine, theirs)
                if not len(mine):
                    without.append("/".join(path.parts[-2:]))
            print(f"block {number + 1} of {blocks}: {clock.ratios(PEER, OURS)[-1]:.2f}", flush=True)
    peer.close()
    matched = differences.match.result()
    sizes = [len(paths[number::blocks]) for number in range(blocks)]
    per_photo = {
        name: {
            key: round(1e3 * float(np.median(np.array(seconds[name]) / sizes)), 2)
            for key, seconds in (("wall", clock.wall), ("cpu", clock.cpu))
        }
        for name in sorted(clock.wall)
    }
    for name, milliseconds in per_photo.items():
        print(f"  {name}: {milliseconds['wall']:.1f} ms a photo ({milliseconds['cpu']:.1f} ms of CPU time)")
    print(json.dumps({**matched, **differences.worst}, indent=1))
    return {
        "photos": len(paths),
        "blocks": blocks,
        "min_face": options.min_face,
        "workers": workers,
        "peer": {**peer.about, **about(options.peers, "facenet-pytorch")},
        "matched": matched,
        "largest_difference": differences.worst,
        "photos_without_face": without,
        "ms_per_photo": per_photo,
        "targets": [
            target(
                3,
                f"facenet-pytorch's MTCNN, one photo at a time / ours, smallest face {options.min_face:g} px",
                clock.ratios(PEER, OURS),
                reach=4.0,
                beyond=6.0,
                accuracy=matched,
                cpu_ratios=clock.ratios(PEER, OURS, cpu=True),
                one_thread_each=clock.ratios("peer, 1 thread", "ours, batches, 1 thread"),
                one_thread_each_cpu=clock.ratios("peer, 1 thread", "ours, batches, 1 thread", cpu=True),
                one_thread_each_one_photo_at_a_time=clock.ratios(
                    "peer, 1 thread", "ours, one photo at a time, 1 thread"
                ),
                one_photo_at_a_time=clock.ratios(PEER, "ours, one photo at a time, default threads"),
            )
        ],
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="80 photos in two blocks instead of all in seven", data=True)
    add_peers_argument(parser)
    parser.add_argument("--min-face", type=float, default=20.0)
    parser.add_argument("--blocks", type=int, default=7)
    options = parser.parse_args()
    paths = people_photos(options.data)
    blocks = min(options.blocks, len(paths))
    if blocks < 1:
        parser.error("--blocks must be 1 or more")
    if options.quick:
        paths, blocks = paths[:: max(1, len(paths) // 80)][:80], 2
    options.peers = options.peers.resolve()
    write_result("detection", run(paths, blocks, options), quick=options.quick)


if __name__ == "__main__":
    main()
