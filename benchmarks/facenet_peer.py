"""facenet-pytorch in a process of its environment, asked for one photo or one batch of chips at a time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from peers import interpreter

__all__ = ["FacenetPeer"]

SERVER = Path(__file__).resolve().parent / "peer_scripts" / "facenet_server.py"


class FacenetPeer:
    """The other process.

    Answers hold ``wall`` and ``cpu``, the seconds of the call in the peer without what the pipe takes.

    Attributes
    ----------
    about : dict
        Package, torch, its default number of threads, whether `nms` has a stand-in.
    """

    def __init__(self, folder: Path) -> None:
        command = [interpreter(folder, "facenet-pytorch"), SERVER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.about = self._answer()

    def detect(self, image: np.ndarray, min_face: float, threads: int = 0) -> dict[str, Any]:
        """``boxes``, ``scores`` and ``landmarks`` of the faces on one photo; 0 threads: torch's default."""
        return self._ask("detect", image, threads, min_face=min_face)

    def embed(self, chips: np.ndarray, weights: Path, threads: int = 0) -> dict[str, Any]:
        """``vectors`` of chips (n, 160, 160, 3) uint8."""
        return self._ask("embed", chips, threads, weights=str(weights))

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _ask(self, what: str, pixels: np.ndarray, threads: int, **more: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        header = {"what": what, "shape": pixels.shape, "threads": threads, **more}
        self._process.stdin.write(json.dumps(header).encode() + b"\n" + pixels.tobytes())
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        if not line:
            raise SystemExit("The peer's process ended; its error is above.")
        answer: dict[str, Any] = json.loads(line)
        return answer
