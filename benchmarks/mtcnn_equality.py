"""Does our MTCNN find the faces that facenet-pytorch's finds, and how long do both take?

Both look at the same decoded photos at the same smallest face, interleaved in one run, with one
thread and with torch's default. facenet-pytorch runs in an environment of its own, because it
needs a torchvision beside its torch::

    python -m venv peer
    peer/bin/pip install "torch>=2.4,<2.14" "facenet-pytorch>=2.5.3,<2.6"
    python benchmarks/mtcnn_equality.py --peer-python peer/bin/python [--quick]

If torchvision's compiled operators do not load there, a plain greedy loop stands in for
``torchvision::nms`` and the time spent in it is **not** counted, which favours the peer.

Prints, and writes to ``results/mtcnn_equality.json``: the share of each side's faces that the
other has at IoU >= 0.9, the largest differences of boxes, landmarks and scores among those, and
milliseconds per photo (median and mean over photos; the batch of ours holds 16).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
BATCH = 16
IOU = 0.9
# With default threads every fifth batch is timed; on a busy machine those runs are slow and noisy.
TIMED_BOTH = 5


def serve_peer() -> None:
    """Run facenet-pytorch: a JSON line and pixels in, a JSON line out, until the input ends."""
    nms_seconds = [0.0]
    import torch

    try:
        from torchvision.ops.boxes import nms

        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
        stand_in = False
    except (ImportError, RuntimeError):
        stand_in = True
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):  # those that importing torchvision asks for
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

        def greedy(boxes: Any, scores: Any, threshold: float) -> Any:
            start = time.perf_counter()
            kept = torch.from_numpy(greedy_nms(boxes.cpu().numpy(), scores.cpu().numpy(), threshold))
            nms_seconds[0] += time.perf_counter() - start
            return kept

        library.impl("nms", greedy, "CPU")
        import torchvision.ops.boxes

        torchvision.ops.boxes._assert_has_ops = lambda: None

    import facenet_pytorch

    default_threads = torch.get_num_threads()
    detectors: dict[float, Any] = {}
    reply({"stand_in": stand_in, "torch": torch.__version__, "threads": default_threads})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        size = int(np.prod(request["shape"]))
        image = np.frombuffer(sys.stdin.buffer.read(size), np.uint8).reshape(request["shape"])
        side = request["min_face"]
        if side not in detectors:
            detectors[side] = facenet_pytorch.MTCNN(keep_all=True, min_face_size=side, device="cpu")
        torch.set_num_threads(request["threads"] or default_threads)
        nms_seconds[0] = 0.0
        start = time.perf_counter()
        boxes, scores, landmarks = detectors[side].detect(image, landmarks=True)
        seconds = time.perf_counter() - start - nms_seconds[0]
        faces = [] if boxes is None else np.asarray(boxes, float).tolist()
        reply(
            {
                "seconds": seconds,
                "boxes": faces,
                "scores": np.asarray(scores, float).tolist() if faces else [],
                "landmarks": np.asarray(landmarks, float).tolist() if faces else [],
            }
        )


def reply(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def greedy_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """torchvision's nms in plain numpy."""
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


class Peer:
    """The other process."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, __file__, "--serve-peer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.about = json.loads(self._stream(self._process.stdout).readline())

    def detect(self, image: np.ndarray, min_face: float, threads: int) -> dict[str, Any]:
        stream = self._stream(self._process.stdin)
        header = {"shape": image.shape, "min_face": min_face, "threads": threads}
        stream.write(json.dumps(header).encode() + b"\n" + image.tobytes())
        stream.flush()
        line = self._stream(self._process.stdout).readline()
        if not line:
            raise SystemExit("The peer's process ended; its error is above.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._stream(self._process.stdin).close()
        self._process.wait()

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        if stream is None:
            raise RuntimeError("the peer's process has no pipe")
        return stream


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of every box of `a` with every box of `b`."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    size_a = np.prod(a[:, 2:] - a[:, :2], axis=1)
    size_b = np.prod(b[:, 2:] - b[:, :2], axis=1)
    return shared / (size_a[:, None] + size_b - shared)


def run(peer_python: str, min_face: float, limit: int) -> dict[str, object]:
    import torch
    from PIL import Image

    from faceindex.detect.mtcnn import MTCNN
    from faceindex.models import get
    from faceindex.models.spec import DetectorSpec

    paths = sorted((DATA / "people").glob("*/*"))
    paths = paths[:: max(1, len(paths) // limit)][:limit]
    if not paths:
        raise SystemExit(f"There are no photos under {DATA / 'people'}.")
    spec = get("detector", "mtcnn")
    if not isinstance(spec, DetectorSpec):
        raise TypeError("the spec of mtcnn is not that of a detector")
    ours = MTCNN(spec, min_face=min_face)
    peer = Peer(peer_python)
    default_threads = torch.get_num_threads()

    seconds: dict[str, list[float]] = {}
    photos_without: list[str] = []
    totals = dict.fromkeys(("ours", "peer", "ours_at_peer", "peer_at_ours"), 0)
    worst = dict.fromkeys(("box_px", "landmark_px", "score"), 0.0)
    for start in range(0, len(paths), BATCH):
        some = paths[start : start + BATCH]
        images = [np.asarray(Image.open(path).convert("RGB")) for path in some]
        settings = [("default threads", 0), ("1 thread", 1)]
        for name, threads in settings if start % (TIMED_BOTH * BATCH) == 0 else settings[1:]:
            torch.set_num_threads(threads or default_threads)
            ours.detect(images[:1], min_faces=[min_face])  # wake the threads
            peer.detect(images[0], min_face, threads)
            answers, found = [], []
            for image in images:
                answers.append(peer.detect(image, min_face, threads))
                seconds.setdefault(f"peer, {name}", []).append(answers[-1]["seconds"])
                begin = time.perf_counter()
                found += ours.detect([image])
                seconds.setdefault(f"ours, {name}", []).append(time.perf_counter() - begin)
            begin = time.perf_counter()
            ours.detect(images)
            batch_seconds = (time.perf_counter() - begin) / len(images)
            seconds.setdefault(f"ours in batches, {name}", []).extend([batch_seconds] * len(images))
        for path, detections, answer in zip(some, found, answers, strict=True):
            theirs = np.asarray(answer["boxes"], float).reshape(-1, 4)
            iou = overlaps(detections.boxes.astype(float), theirs)
            totals["ours"] += len(detections)
            totals["peer"] += len(theirs)
            totals["ours_at_peer"] += int((iou.max(axis=1, initial=0) >= IOU).sum())
            totals["peer_at_ours"] += int((iou.max(axis=0, initial=0) >= IOU).sum())
            if not len(detections):
                photos_without.append("/".join(path.parts[-2:]))
            for i, j in np.argwhere(iou >= IOU):
                points = np.asarray(answer["landmarks"][j])
                differences = {
                    "box_px": np.abs(detections.boxes[i] - theirs[j]).max(),
                    "landmark_px": np.abs(detections.landmarks[i] - points).max(),
                    "score": abs(detections.scores[i] - answer["scores"][j]),
                }
                worst = {key: max(worst[key], float(value)) for key, value in differences.items()}
    peer.close()
    milliseconds = {
        name: {
            "median": round(1e3 * float(np.median(values)), 2),
            "mean": round(1e3 * float(np.mean(values)), 2),
        }
        for name, values in seconds.items()
    }
    return {
        "photos": len(paths),
        "min_face": min_face,
        "peer": {"package": "facenet-pytorch 2.5.3", **peer.about},
        "faces": totals,
        "share_of_peer_found_by_ours": totals["peer_at_ours"] / max(1, totals["peer"]),
        "share_of_ours_found_by_peer": totals["ours_at_peer"] / max(1, totals["ours"]),
        "largest_difference": worst,
        "photos_without_face": photos_without,
        "ms_per_photo": milliseconds,
        "peer_over_ours": {
            name: round(milliseconds[f"peer, {name}"]["mean"] / milliseconds[f"ours, {name}"]["mean"], 2)
            for name in ("1 thread", "default threads")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peer-python", help="the interpreter that has facenet-pytorch and torchvision")
    parser.add_argument("--min-face", type=float, default=20.0)
    parser.add_argument("--quick", action="store_true", help="80 photos instead of 800")
    parser.add_argument("--serve-peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_peer:
        serve_peer()
        return
    if not arguments.peer_python:
        parser.error("--peer-python is needed")
    from common import environment, write_result

    result = run(arguments.peer_python, arguments.min_face, 80 if arguments.quick else 800)
    print(json.dumps(result, indent=2))
    about = environment()
    # Where the peer lives is nobody's business but this machine's.
    result["environment"] = {**about, "command": str(about["command"]).replace(arguments.peer_python, "PEER")}
    print(write_result("mtcnn_equality" + ("_quick" if arguments.quick else ""), result))


if __name__ == "__main__":
    main()
