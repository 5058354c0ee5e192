"""Compare the runner of ONNX embedders with mobilefacenet's own code, on the same network and the same chips.

The network is exported to ONNX files, with batches of any size and of fixed sizes, and added as a user adds
an own embedder.

    python benchmarks/onnx_embedder.py [--quick] [--data ../shared/data]

Prints and writes to ``results/onnx_embedder.json``: the largest difference of a component of the outputs and
of the unit vectors; milliseconds of CPU time per face with one thread, alternating, median and least of the
turns.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import argument_parser, use_weights_beside, write_result
from facenet_equality import real_chips

from faceindex.embed import Embedder
from faceindex.embed.mobilefacenet import MobileFaceNet
from faceindex.embed.onnx import OnnxEmbedder
from faceindex.embed.own import add_embedder
from faceindex.models import get, load, read_weights

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from mobilefacenet_onnx import to_onnx

PROMISED = 1e-4  # largest difference of a component of the network's output
BATCHES: tuple[int | str, ...] = ("n", 1, 8)


def run(data: Path, count: int, turns: int) -> dict[str, object]:
    torch.set_num_threads(1)
    spec = get("embedder", "mobilefacenet")
    chips = real_chips(data, spec, count)
    ours: MobileFaceNet = load(spec)
    networks: dict[str, OnnxEmbedder] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        for batch in BATCHES:
            file = Path(folder) / "exported.onnx"
            file.write_bytes(to_onnx(read_weights(spec.weights[0]), batch))
            networks[f"batch {batch}"] = load(add_embedder(f"exported-{batch}", file, like="mobilefacenet"))
    expected, vectors = ours.outputs(chips), ours.embed(chips)[0]
    differences = {
        name: {
            "outputs": float(np.abs(network.outputs(chips) - expected).max()),
            "unit_vectors": float(np.abs(network.embed(chips)[0] - vectors).max()),
        }
        for name, network in networks.items()
    }
    spent: dict[str, list[float]] = {"own code": [], **{name: [] for name in networks}}
    embedders: dict[str, Embedder] = {"own code": ours, **networks}
    for _ in range(turns):
        for name, embedder in embedders.items():
            start = time.process_time()
            embedder.embed(chips)
            spent[name].append(1e3 * (time.process_time() - start) / len(chips))
    return {
        "chips": len(chips),
        "largest_output": float(np.abs(expected).max()),
        "largest_difference": differences,
        "turns": turns,
        "ms_per_face": {
            name: {"median": round(float(np.median(values)), 2), "least": round(min(values), 2)}
            for name, values in spent.items()
        },
    }


def main() -> None:
    options = argument_parser(
        __doc__, quick="16 chips and 2 turns instead of 96 and 5", data=True
    ).parse_args()
    use_weights_beside(options.data)
    result = run(options.data, *((16, 2) if options.quick else (96, 5)))
    print(json.dumps(result, indent=2))
    write_result("onnx_embedder", result, quick=options.quick)
    differences = result["largest_difference"]
    worst = max(each["outputs"] for each in differences.values())  # type: ignore[attr-defined]
    if worst > PROMISED:
        raise SystemExit(f"A component differs by {worst:.1e}, more than {PROMISED:.0e}.")


if __name__ == "__main__":
    main()
