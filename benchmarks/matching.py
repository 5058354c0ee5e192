"""Matches the boxes of two detectors by their overlap."""

from __future__ import annotations

import numpy as np

__all__ = ["IOU", "Match", "overlaps"]

IOU = 0.9


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the IoU of every box of `a` with every box of `b`."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    size_a = np.prod(a[:, 2:] - a[:, :2], axis=1)
    size_b = np.prod(b[:, 2:] - b[:, :2], axis=1)
    iou: np.ndarray = shared / (size_a[:, None] + size_b - shared)
    return iou


class Match:
    """Counts the faces of ours and of a peer, and how many of them the other side finds at `IOU`."""

    def __init__(self) -> None:
        self.ours = self.peer = self.ours_at_peer = self.peer_at_ours = 0

    def add(self, ours: np.ndarray, peer: np.ndarray) -> np.ndarray:
        """Count the boxes of one photo; return the matching pairs as rows of two positions."""
        iou = overlaps(ours.astype(float).reshape(-1, 4), peer.astype(float).reshape(-1, 4))
        self.ours += len(ours)
        self.peer += len(peer)
        self.ours_at_peer += int((iou.max(axis=1, initial=0) >= IOU).sum())
        self.peer_at_ours += int((iou.max(axis=0, initial=0) >= IOU).sum())
        return np.argwhere(iou >= IOU)

    def result(self) -> dict[str, object]:
        """Return counts and shares as JSON values."""
        return {
            "iou": IOU,
            "faces_of_ours": self.ours,
            "faces_of_peer": self.peer,
            "share_of_peer_found_by_ours": self.peer_at_ours / max(1, self.peer),
            "share_of_ours_found_by_peer": self.ours_at_peer / max(1, self.ours),
        }
