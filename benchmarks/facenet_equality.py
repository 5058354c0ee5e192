"""Are our facenet embeddings those of facenet-pytorch, and how long do both take?

Both read the same file of weights and get the same chips: cut from real photos, black, white, and noise.
facenet-pytorch's module runs in an environment of its own, with its own torch::

    python -m venv peer
    peer/bin/pip install "torch>=2.4,<2.14" "facenet-pytorch>=2.5.3,<2.6"
    python benchmarks/facenet_equality.py --peer-python peer/bin/python [--quick]

Only its network is imported there, past the package's ``__init__``, so no torchvision is needed.

Prints, and writes to ``results/facenet_equality.json``: the largest difference of a component of the unit
vectors by kind of chip; milliseconds per face by batch, one thread, the two taking turns (median and least
of the turns); the peak of float32 multiplication in the same minutes, and the share of it that our network
reaches. All times are those of the processor, so that other programs on the machine matter less.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PROMISED = 1e-5
BATCHES = (1, 4, 16)
GMAC = 1.42  # multiplications and additions of one face, in thousand millions


def serve_peer(weights: str) -> None:
    """Run facenet-pytorch's network: a JSON line and pixels in, a JSON line and floats out."""
    import importlib.metadata
    import types

    package = Path(str(importlib.metadata.distribution("facenet-pytorch").locate_file("facenet_pytorch")))
    for name, folder in (("facenet_pytorch", package), ("facenet_pytorch.models", package / "models")):
        module = types.ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules[name] = module
    import torch
    from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1

    torch.set_num_threads(1)
    network = InceptionResnetV1(classify=False).eval()
    state = torch.load(weights, weights_only=True)
    network.load_state_dict({key: value for key, value in state.items() if not key.startswith("logits.")})
    version = importlib.metadata.version("facenet-pytorch")
    reply({"facenet-pytorch": version, "torch": torch.__version__})
    for line in sys.stdin.buffer:
        shape = json.loads(line)["shape"]
        chips = np.frombuffer(sys.stdin.buffer.read(int(np.prod(shape))), np.uint8).reshape(shape)
        start = time.process_time()
        with torch.inference_mode():
            x = (torch.from_numpy(chips.copy()).permute(0, 3, 1, 2).float() - 127.5) / 128.0
            vectors = network(x.contiguous()).numpy()
        reply({"seconds": time.process_time() - start, "vectors": vectors.tolist()})


def reply(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Peer:
    """The other process."""

    def __init__(self, python: str, weights: Path) -> None:
        self._process = subprocess.Popen(
            [python, __file__, "--serve-peer", str(weights)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.about = self._answer()

    def embed(self, chips: np.ndarray) -> tuple[np.ndarray, float]:
        """Unit vectors, and the seconds that the network took."""
        if self._process.stdin is None:
            raise RuntimeError("the peer's process has no pipe")
        self._process.stdin.write(json.dumps({"shape": chips.shape}).encode() + b"\n" + chips.tobytes())
        self._process.stdin.flush()
        answer = self._answer()
        return np.array(answer["vectors"], np.float32), float(answer["seconds"])

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        if not line:
            raise SystemExit("The peer's process ended; its error is above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def real_chips(count: int) -> np.ndarray:
    """Chips of the faces on photos of people/, cut as an index would."""
    from PIL import Image

    from faceindex.align import cut_chips
    from faceindex.models import EmbedderSpec, get, load

    paths = sorted((DATA / "people").glob("*/*"))
    if not paths:
        raise SystemExit(f"There are no photos under {DATA / 'people'}.")
    spec = get("embedder", "facenet")
    if not isinstance(spec, EmbedderSpec):
        raise TypeError("the spec of facenet is not that of an embedder")
    detector = load(get("detector", "mtcnn"), min_face=30.0)
    chips: list[np.ndarray] = []
    for path in paths[:: max(1, len(paths) // count)]:
        image = np.array(Image.open(path).convert("RGB"))
        (faces,) = detector.detect([image])
        chips.extend(cut_chips(image, faces, spec.alignment))
    return np.stack(chips[:count])


def peak_gflops() -> float:
    """Of one thread at the product of two float32 matrices: the best of three."""
    import torch

    side = 1536
    a, b = torch.rand(side, side), torch.rand(side, side)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        torch.mm(a, b)
        seconds.append(time.process_time() - start)
    return 2e-9 * side**3 / min(seconds)


def run(peer_python: str, count: int, turns: int) -> dict[str, object]:
    import torch

    from faceindex.embed.facenet import Facenet
    from faceindex.models import EmbedderSpec, find_weights, get

    torch.set_num_threads(1)
    spec = get("embedder", "facenet")
    if not isinstance(spec, EmbedderSpec):
        raise TypeError("the spec of facenet is not that of an embedder")
    weights = find_weights(spec.weights[0])
    ours, peer = Facenet(spec), Peer(peer_python, weights)

    real = real_chips(count)
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
        expected = np.concatenate([peer.embed(block)[0] for block in blocks])
        differences[kind] = float(np.abs(ours.embed(chips)[0] - expected).max())

    peaks: list[float] = []
    milliseconds: dict[str, dict[str, dict[str, float]]] = {}
    for batch in BATCHES:
        chips = np.resize(real, (batch, size, size, 3))
        seconds: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(turns + 1):
            peaks.append(peak_gflops())
            start = time.process_time()
            ours.embed(chips)
            seconds["ours"].append(time.process_time() - start)
            seconds["peer"].append(peer.embed(chips)[1])
        row = {
            name: {
                "median": round(1e3 * float(np.median(values[1:])) / batch, 2),
                "least": round(1e3 * min(values[1:]) / batch, 2),
            }
            for name, values in seconds.items()
        }
        milliseconds[str(batch)] = row
    peer.close()
    best = min(row["ours"]["least"] for row in milliseconds.values())
    return {
        "seed": 0,
        "weights": weights.name,
        "peer": peer.about,
        "chips": {kind: len(chips) for kind, chips in kinds.items()},
        "largest_difference": differences,
        "turns": turns,
        "ms_per_face_by_batch": milliseconds,
        "peer_over_ours": {
            batch: round(row["peer"]["median"] / row["ours"]["median"], 2)
            for batch, row in milliseconds.items()
        },
        "sgemm_peak_gflops": round(max(peaks), 1),
        "share_of_peak": round(2 * GMAC / best * 1e3 / max(peaks), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer-python", help="the interpreter that has facenet-pytorch")
    parser.add_argument("--quick", action="store_true", help="16 real chips and 2 turns, not 96 and 5")
    parser.add_argument("--serve-peer", metavar="WEIGHTS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_peer:
        serve_peer(arguments.serve_peer)
        return
    if not arguments.peer_python:
        parser.error("--peer-python is needed")
    from common import environment, write_result

    result = run(arguments.peer_python, *((16, 2) if arguments.quick else (96, 5)))
    print(json.dumps(result, indent=2))
    about = environment()
    # Where the peer lives is nobody's business but this machine's.
    result["environment"] = {**about, "command": str(about["command"]).replace(arguments.peer_python, "PEER")}
    print(write_result("facenet_equality" + ("_quick" if arguments.quick else ""), result))
    worst = max(result["largest_difference"].values())  # type: ignore[attr-defined]
    if worst > PROMISED:
        raise SystemExit(f"A component differs by {worst:.1e}, more than {PROMISED:.0e}.")


if __name__ == "__main__":
    main()
