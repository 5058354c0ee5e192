"""Compare YuNet with OpenCV's FaceDetectorYN on photos, at equal input size and thresholds.

Both process the same pixels: photos of people/, groups/, group_photos/ and nobody/, at full size and at half
size, with scores from 0.3 and from 0.8 and an overlap of 0.3. Ours is the network with the decoding and
suppression of faceindex/detect/yunet_decode.py, without the search at several scales and the closer look::

    python benchmarks/peers.py opencv
    python benchmarks/yunet_equality.py [--photos 60] [--quick] [--data ../shared/data] [--peers DIR]
                                        [--peer-weights FILE]

With `--peer-weights`, OpenCV gets another file, such as that of 2023, which was declared to hold the same
weights. Prints and writes to ``results/yunet_equality.json``: images, faces on both sides, how many of them
are in the same place of the results, the largest differences of boxes, landmarks and scores among those, and
milliseconds per image with one thread each.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from common import argument_parser, group_photos, people_photos, use_weights_beside, write_result
from peers import about, add_peers_argument, interpreter

from faceindex import images
from faceindex.detect.yunet import load_network
from faceindex.detect.yunet_decode import OVERLAP, canvas, decode, suppress, to_input
from faceindex.models import find_weights, get
from faceindex.types import F32, Image

SCRIPT = Path(__file__).resolve().parent / "peer_scripts" / "opencv_yunet.py"
SCORES = (0.3, 0.8)
TOLERANCE = 1e-3  # px, and of the score


class Peer:
    """The process of OpenCV."""

    def __init__(self, folder: Path, weights: Path) -> None:
        command = [interpreter(folder, "opencv"), SCRIPT, weights]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def detect(self, image: Image, score: float) -> tuple[F32, float]:
        """Return faces (n, 15), as `rows` does, and the milliseconds of the call."""
        assert self._process.stdin is not None and self._process.stdout is not None
        header = {"shape": image.shape, "score": score, "overlap": OVERLAP}
        pixels = np.ascontiguousarray(image[:, :, ::-1])
        self._process.stdin.write(json.dumps(header).encode() + b"\n" + pixels.tobytes())
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The process of the peer ended; its error is above.")
        answer = json.loads(line)
        return np.array(answer["faces"], np.float32).reshape(-1, 15), answer["ms"]

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def photos(data: Path, number: int) -> Iterator[Image]:
    """Yield `number` photos of each folder, and all of groups/, at full and at half size."""
    several = (
        people_photos(data),
        *(sorted((data / name).glob("*.jpg")) for name in ("group_photos", "nobody")),
    )
    paths = [path for found in several for path in found[:: max(1, len(found) // number)][:number]]
    for path in [*group_photos(data), *paths]:
        image = images.decode(images.read(path), path).image
        yield image
        yield np.ascontiguousarray(image[::2, ::2])


def run(data: Path, number: int, peer: Peer) -> dict[str, object]:
    network = load_network(get("detector", "yunet").weights[0])
    counts = dict.fromkeys(("images", "images_with_equal_faces", "faces", "peer_faces", "equal_faces"), 0)
    worst = dict.fromkeys(("box_px", "landmark_px", "score"), 0.0)
    ms = []
    for image in photos(data, number):
        for score in SCORES:
            theirs, their_ms = peer.detect(image, score)
            started = time.perf_counter()
            size = canvas(image.shape[:2])
            found = suppress(decode(network.run({"input": to_input([image], size)}), size, score))
            ms.append((1e3 * (time.perf_counter() - started), their_ms))
            ours = np.concatenate(
                [
                    found.boxes[:, :2],
                    found.boxes[:, 2:] - found.boxes[:, :2],
                    found.landmarks.reshape(-1, 10),
                    found.scores[:, None],
                ],
                axis=1,
            )
            both = min(len(ours), len(theirs))
            difference = np.abs(ours[:both] - theirs[:both])
            equal = (difference <= TOLERANCE).all(axis=1)
            counts["images"] += 1
            counts["images_with_equal_faces"] += bool(len(ours) == len(theirs) and equal.all())
            counts["faces"] += len(ours)
            counts["peer_faces"] += len(theirs)
            counts["equal_faces"] += int(equal.sum())
            for name, columns in (
                ("box_px", slice(0, 4)),
                ("landmark_px", slice(4, 14)),
                ("score", slice(14, 15)),
            ):
                # The same face, equal or not: the rest is another order or another choice of boxes.
                same = difference[:, :4].max(axis=1, initial=0) < 1
                worst[name] = max(worst[name], float(difference[same][:, columns].max(initial=0)))
    ours_ms, peer_ms = np.array(ms).mean(axis=0)
    return {
        **counts,
        "largest_difference": worst,
        "ms_per_image": {"ours": round(float(ours_ms), 2), "opencv": round(float(peer_ms), 2)},
        "opencv_over_ours": round(float(peer_ms / ours_ms), 2),
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="8 photos of each folder", data=True)
    add_peers_argument(parser)
    parser.add_argument("--photos", type=int, default=60, help="number of photos of each folder")
    parser.add_argument("--peer-weights", type=Path, help="another file for OpenCV")
    options = parser.parse_args()
    use_weights_beside(options.data)
    folder = options.peers.resolve()
    peer = Peer(folder, options.peer_weights or find_weights(get("detector", "yunet").weights[0]))
    result = {
        "peer": about(folder, "opencv"),
        **run(options.data, 8 if options.quick else options.photos, peer),
    }
    peer.close()
    print(json.dumps(result, indent=2))
    write_result("yunet_equality", result, quick=options.quick)


if __name__ == "__main__":
    main()
