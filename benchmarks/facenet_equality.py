"""Compare the embeddings and the time of facenet with those of facenet-pytorch.

Both read the same weight file and embed the same chips: cut from real photos, black, white, and noise.

    python benchmarks/peers.py facenet-pytorch
    python benchmarks/facenet_equality.py [--quick] [--data ../shared/data] [--peers DIR]

Prints and writes to ``results/facenet_equality.json``: the largest difference of a component of the unit
vectors by kind of chip; milliseconds of CPU time per face by batch size with one thread, both alternating
(median and least of the turns). ``embedding.py`` measures the share of the machine's speed that ours uses.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from common import argument_parser, people_photos, use_weights_beside, write_result
from facenet_peer import FacenetPeer
from peers import about, add_peers_argument

from faceindex import images
from faceindex.align import cut_chips
from faceindex.embed.facenet import Facenet
from faceindex.models import EmbedderSpec, find_weights, get, load

PROMISED = 1e-5  # largest difference of a component
BATCHES = (1, 4, 16)


def real_chips(data: Path, spec: EmbedderSpec, count: int) -> np.ndarray:
    """Return chips of the faces on photos of people/, cut as in `index`."""
    paths = people_photos(data)
    detector = load(get("detector", "mtcnn"), min_face=30.0)
    chips: list[np.ndarray] = []
    for path in paths[:: max(1, len(paths) // count)]:
        image = images.decode(images.read(path), path).image
        (faces,) = detector.detect([image])
        chips.extend(cut_chips(image, faces, spec.alignment))
    return np.stack(chips[:count])


def run(data: Path, peers: Path, count: int, turns: int) -> dict[str, object]:
    torch.set_num_threads(1)
    spec = get("embedder", "facenet")
    real = real_chips(data, spec, count)
    weights = find_weights(spec.weights[0])
    ours, peer = Facenet(spec), FacenetPeer(peers)
    size = spec.alignment.size
    kinds = {
        "real": real,
        "black": np.zeros((1, size, size, 3), np.uint8),
        "white": np.full((1, size, size, 3), 255, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8),
    }
    differences = {}
    for kind, chips in kinds.items():
        blocks = [chips[start : start + 16] for start in range(0, len(chips), 16)]
        expected = np.concatenate([peer.embed(block, weights, 1)["vectors"] for block in blocks])
        differences[kind] = float(np.abs(ours.embed(chips)[0] - expected).max())

    milliseconds: dict[str, dict[str, dict[str, float]]] = {}
    for batch in BATCHES:
        chips = np.resize(real, (batch, size, size, 3))
        seconds: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(turns + 1):
            start = time.process_time()
            ours.embed(chips)
            seconds["ours"].append(time.process_time() - start)
            seconds["peer"].append(peer.embed(chips, weights, 1)["cpu"])
        milliseconds[str(batch)] = {
            name: {
                "median": round(1e3 * float(np.median(values[1:])) / batch, 2),
                "least": round(1e3 * min(values[1:]) / batch, 2),
            }
            for name, values in seconds.items()
        }
    peer.close()
    return {
        "seed": 0,
        "weights": weights.name,
        "peer": {**peer.about, **about(peers, "facenet-pytorch")},
        "chips": {kind: len(chips) for kind, chips in kinds.items()},
        "largest_difference": differences,
        "turns": turns,
        "ms_per_face_by_batch": milliseconds,
        "peer_over_ours": {
            batch: round(row["peer"]["median"] / row["ours"]["median"], 2)
            for batch, row in milliseconds.items()
        },
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="16 real chips and 2 turns instead of 96 and 5", data=True)
    add_peers_argument(parser)
    options = parser.parse_args()
    use_weights_beside(options.data)
    count, turns = (16, 2) if options.quick else (96, 5)
    result = run(options.data, options.peers.resolve(), count, turns)
    print(json.dumps(result, indent=2))
    write_result("facenet_equality", result, quick=options.quick)
    worst = max(result["largest_difference"].values())  # type: ignore[attr-defined]
    if worst > PROMISED:
        raise SystemExit(f"A component differs by {worst:.1e}, more than {PROMISED:.0e}.")


if __name__ == "__main__":
    main()
