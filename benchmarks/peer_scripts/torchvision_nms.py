"""Replace torchvision's `nms` if its compiled operators do not load with the installed torch.

facenet-pytorch needs this one function of torchvision. Importing torchvision fails without its compiled
library, so this module registers the operator as a plain greedy loop. It measures the time spent in the
loop; the benchmarks subtract it, which favours the peer.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch

__all__ = ["StandIn", "greedy_nms", "load"]


class StandIn:
    """Whether the stand-in is used, and its seconds so far."""

    def __init__(self) -> None:
        self.used = False
        self.wall = 0.0
        self.cpu = 0.0

    def __call__(self, boxes: Any, scores: Any, threshold: float) -> Any:
        wall, cpu = time.perf_counter(), time.thread_time()
        kept = torch.from_numpy(greedy_nms(boxes.cpu().numpy(), scores.cpu().numpy(), threshold))
        self.wall += time.perf_counter() - wall
        self.cpu += time.thread_time() - cpu
        return kept


def load() -> StandIn:
    """Make ``torchvision.ops.boxes`` usable; call this before importing facenet-pytorch."""
    stand_in = StandIn()
    try:
        from torchvision.ops.boxes import nms

        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, RuntimeError):
        stand_in.used = True
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):  # importing torchvision needs both
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.impl("nms", stand_in, "CPU")
        stand_in.library = library  # type: ignore[attr-defined]  # dropped with the object
        import torchvision.ops.boxes

        torchvision.ops.boxes._assert_has_ops = lambda: None
    return stand_in


def greedy_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression in numpy, with the result of torchvision's nms."""
    x1, y1, x2, y2 = boxes.T
    area = (x2 - x1) * (y2 - y1)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        width = np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order])
        height = np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        order = order[~(shared / (area[best] + area[order] - shared) > threshold)]
    return np.asarray(kept, np.int64)
