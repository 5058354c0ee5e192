"""Compare the embeddings and the time of mobilefacenet with those of other runtimes of the same network.

All get the same chips: cut from photos of people/, black, white, and noise. LiteRT runs the published file.
ONNX Runtime and OpenVINO run the same layers as an ONNX network.

    python benchmarks/peers.py network-runtimes
    python benchmarks/mobilefacenet.py [--quick] [--data ../shared/data] [--peers DIR]

Prints and writes to ``results/mobilefacenet.json``: the largest difference of a component of the unit vectors
from LiteRT's by kind of chip; milliseconds of CPU time per face by batch size with one thread, all runtimes,
dlib's network and torch's plain module in turn (median and least of the turns, and the median of the ratios).
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import argument_parser, people_photos, use_weights_beside, write_result
from peers import about, add_peers_argument, interpreter

from faceindex import images
from faceindex.align import cut_chips
from faceindex.embed.chips import to_unit_length
from faceindex.embed.mobilefacenet_net import TorchNetwork, read_layers
from faceindex.models import find_weights, get, load

PEER = "network-runtimes"
SERVER = Path(__file__).resolve().parent / "peer_scripts" / "network_server.py"
RUNTIMES = ("litert", "onnxruntime", "openvino")
PROMISED = 1e-4  # largest difference of a component
BATCHES = (1, 8, 32)


class Runtimes:
    """The process of the peer."""

    def __init__(self, folder: Path, layers: Path) -> None:
        command = [interpreter(folder, PEER), SERVER]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        weights = find_weights(get("embedder", "mobilefacenet").weights[0])
        self.versions = self._request({"tflite": str(weights), "layers": str(layers)})["versions"]

    def run(self, runtime: str, chips: np.ndarray, *, outputs: bool = False) -> dict[str, Any]:
        header = {"runtime": runtime, "shape": chips.shape, "outputs": outputs}
        return self._request(header, chips.tobytes())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _request(self, header: dict[str, object], content: bytes = b"") -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(header).encode() + b"\n" + content)
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("The process of the peer ended.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def write_layers(path: Path) -> None:
    """Write the layers as the peer reads them."""
    layers = read_layers(get("embedder", "mobilefacenet").weights[0])
    arrays: dict[str, np.ndarray] = {"count": np.array(len(layers))}
    narrow = 0  # channels of the residual path
    for i, layer in enumerate(layers):
        filters, depth = layer.weight.shape[:2]
        groups = filters if depth == 1 else 1
        residual = layer.slope is None and groups == 1 and layers[i - 1].stride == 1 and filters == narrow
        arrays |= {f"weight{i}": layer.weight, f"bias{i}": layer.bias}
        arrays[f"geometry{i}"] = np.array([layer.stride, groups, layer.same, residual])
        if layer.slope is not None:
            arrays[f"slope{i}"] = layer.slope
        elif groups == 1:
            narrow = filters
    np.savez(path, **arrays)  # type: ignore[arg-type]


def real_chips(data: Path, count: int) -> np.ndarray:
    """Return chips of the faces on photos of people/, cut as in `index`."""
    alignment = get("embedder", "mobilefacenet").alignment
    detector = load(get("detector", "mtcnn"), min_face=30.0)
    paths = people_photos(data)
    chips: list[np.ndarray] = []
    for path in paths[:: max(1, len(paths) // count)]:
        image = images.decode(images.read(path), path).image
        chips.extend(cut_chips(image, detector.detect([image])[0], alignment))
    return np.stack(chips[:count])


def run(data: Path, peers: Path, count: int, turns: int) -> dict[str, object]:
    torch.set_num_threads(1)
    ours = load(get("embedder", "mobilefacenet"), device="cpu")
    ours.embed(np.zeros((64, 112, 112, 3), np.uint8))  # after these it uses the compiled loops
    dlib = load(get("embedder", "dlib"), device="cpu")
    module = TorchNetwork(ours.spec.weights[0]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    real = real_chips(data, count)
    kinds = {
        "real": real,
        "black": np.zeros((1, 112, 112, 3), np.uint8),
        "white": np.full((1, 112, 112, 3), 255, np.uint8),
        "noise": np.random.default_rng(0).integers(0, 256, (8, 112, 112, 3), np.uint8),
    }

    def plain(chips: np.ndarray) -> None:
        with torch.inference_mode():
            module((torch.from_numpy(chips).permute(0, 3, 1, 2).float() - 127.5) / 128)

    with tempfile.TemporaryDirectory() as folder:
        write_layers(Path(folder) / "layers.npz")
        peer = Runtimes(peers, Path(folder) / "layers.npz")
        differences = {
            runtime: {
                kind: float(
                    np.abs(
                        ours.embed(chips)[0]
                        - to_unit_length(
                            np.array(peer.run(runtime, chips, outputs=True)["outputs"], np.float32)
                        )[0]
                    ).max()
                )
                for kind, chips in kinds.items()
            }
            for runtime in RUNTIMES
        }
        milliseconds: dict[str, dict[str, dict[str, float]]] = {}
        for batch in BATCHES:
            chips = np.resize(real, (batch, 112, 112, 3))
            larger = np.resize(chips, (batch, 150, 150, 3))
            local = {"ours": (ours.embed, chips), "torch": (plain, chips), "dlib": (dlib.embed, larger)}
            seconds: dict[str, list[float]] = {name: [] for name in (*local, *RUNTIMES)}
            for _ in range(turns + 1):
                for name, (work, pixels) in local.items():
                    start = time.process_time()
                    work(pixels)
                    seconds[name].append(time.process_time() - start)
                for runtime in RUNTIMES:
                    seconds[runtime].append(peer.run(runtime, chips)["cpu"])
            spent = {name: np.array(values[1:]) / batch for name, values in seconds.items()}
            milliseconds[str(batch)] = {
                name: {
                    "median": round(1e3 * float(np.median(values)), 2),
                    "least": round(1e3 * float(values.min()), 2),
                    "times_ours": round(float(np.median(values / spent["ours"])), 2),
                }
                for name, values in spent.items()
            }
        versions = peer.versions
        peer.close()
    return {
        "faces": len(real),
        "largest_difference": differences,
        "promised": PROMISED,
        "milliseconds_per_face": milliseconds,
        "turns": turns,
        "runtimes": versions,
        "peer": about(peers, PEER),
    }


def main() -> None:
    parser = argument_parser(__doc__, quick="32 real chips and 5 turns instead of 200 and 25", data=True)
    add_peers_argument(parser)
    options = parser.parse_args()
    use_weights_beside(options.data)
    count, turns = (32, 5) if options.quick else (200, 25)
    result = run(options.data, options.peers.resolve(), count, turns)
    print(json.dumps(result, indent=2))
    write_result("mobilefacenet", result, quick=options.quick)
    worst = max(result["largest_difference"]["litert"].values())  # type: ignore[index]
    if worst > PROMISED:
        raise SystemExit(f"A component differs by {worst:.1e}, more than {PROMISED:.0e}.")


if __name__ == "__main__":
    main()
