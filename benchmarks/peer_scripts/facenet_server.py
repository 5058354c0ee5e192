"""Serve facenet-pytorch's detector and network; `facenet_peer.py` starts it in the environment of the peer.

Reads a JSON line followed by pixels, writes a JSON line, and repeats until the input ends. Wall and CPU
seconds are those of the call alone, minus those of the stand-in for torchvision's `nms`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from typing import Any

import numpy as np
import torch
import torchvision_nms

stand_in = torchvision_nms.load()
import facenet_pytorch  # noqa: E402 - needs the stand-in


def reply(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Server:
    """The models of the peer, loaded on first use."""

    def __init__(self) -> None:
        self.detectors: dict[float, Any] = {}
        self.networks: dict[str, Any] = {}

    def detect(self, pixels: np.ndarray, request: dict[str, Any]) -> dict[str, object]:
        side = request["min_face"]
        if side not in self.detectors:
            self.detectors[side] = facenet_pytorch.MTCNN(keep_all=True, min_face_size=side, device="cpu")
        before = (time.perf_counter(), time.process_time(), stand_in.wall, stand_in.cpu)
        boxes, scores, landmarks = self.detectors[side].detect(pixels, landmarks=True)
        found = [] if boxes is None else [boxes, scores, landmarks]
        return spent(before) | {
            name: np.asarray(values, float).tolist()
            for name, values in zip(("boxes", "scores", "landmarks"), found or ([], [], []), strict=True)
        }

    def embed(self, pixels: np.ndarray, request: dict[str, Any]) -> dict[str, object]:
        weights = request["weights"]
        if weights not in self.networks:
            self.networks[weights] = facenet_pytorch.InceptionResnetV1(classify=False).eval()
            state = torch.load(weights, weights_only=True)
            features = {key: value for key, value in state.items() if not key.startswith("logits.")}
            self.networks[weights].load_state_dict(features)
        before = (time.perf_counter(), time.process_time(), stand_in.wall, stand_in.cpu)
        with torch.inference_mode():
            x = (torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float() - 127.5) / 128.0
            vectors = self.networks[weights](x.contiguous()).numpy()
        return spent(before) | {"vectors": vectors.tolist()}


def spent(before: tuple[float, float, float, float]) -> dict[str, object]:
    wall, cpu, nms_wall, nms_cpu = before
    return {
        "wall": time.perf_counter() - wall - (stand_in.wall - nms_wall),
        "cpu": time.process_time() - cpu - (stand_in.cpu - nms_cpu),
    }


def main() -> None:
    default_threads = torch.get_num_threads()
    server = Server()
    reply(
        {
            "package": f"facenet-pytorch {importlib.metadata.version('facenet-pytorch')}",
            "torch": torch.__version__,
            "threads": default_threads,
            "nms_stand_in": stand_in.used,
        }
    )
    for line in sys.stdin.buffer:
        request = json.loads(line)
        shape = request["shape"]
        pixels = np.frombuffer(sys.stdin.buffer.read(int(np.prod(shape))), np.uint8).reshape(shape)
        torch.set_num_threads(request["threads"] or default_threads)
        reply(getattr(server, request["what"])(pixels, request))


if __name__ == "__main__":
    main()
