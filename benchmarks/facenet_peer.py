"""Runs facenet-pytorch in a process of its own environment and sends it photos or batches of chips."""

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
    """The process of the peer.

    Every answer contains ``wall`` and ``cpu``: the seconds of the call in the peer, without the transfer.

    Attributes
    ----------
    about : dict
        Versions of the package and of torch, torch's default number of threads, and whether a stand-in
        replaces `nms`.
    """

    def __init__(self, folder: Path) -> None:
        command = [interpreter(folder, "facenet-pytorch"), SERVER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.about = self._answer()

    def detect(self, image: np.ndarray, min_face: float, threads: int = 0) -> dict[str, Any]:
        """Return ``boxes``, ``scores`` and ``landmarks`` of the faces on one photo.

        Parameters
        ----------
        image : (h, w, 3) uint8
        min_face : float
            Side of the smallest face in pixels.
        threads : int
            0 means torch's default.
        """
        return self._request("detect", image, threads, min_face=min_face)

    def embed(self, chips: np.ndarray, weights: Path, threads: int = 0) -> dict[str, Any]:
        """Return ``vectors`` of chips (n, 160, 160, 3) uint8."""
        return self._request("embed", chips, threads, weights=str(weights))

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _request(self, what: str, pixels: np.ndarray, threads: int, **more: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        header = {"what": what, "shape": pixels.shape, "threads": threads, **more}
        self._process.stdin.write(json.dumps(header).encode() + b"\n" + pixels.tobytes())
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else b""
        if not line:
            raise SystemExit("The process of the peer ended; its error is above.")
        answer: dict[str, Any] = json.loads(line)
        return answer
