"""Serve OpenCV's FaceDetectorYN; `yunet_equality.py` starts it in the environment of the peer.

Reads a JSON line with the shape of an image, the threshold of the score and of the overlap, followed by the
BGR pixels; writes a JSON line with one list per face (x, y, width, height, five landmarks, score) and the
milliseconds of the call; and repeats until the input ends.

    python opencv_yunet.py WEIGHTS
"""

from __future__ import annotations

import json
import sys
import time

import cv2
import numpy as np

EVERY = 100_000  # boxes before suppression; more than there are


def main() -> None:
    cv2.setNumThreads(1)
    detector = cv2.FaceDetectorYN.create(sys.argv[1], "", (320, 320), 0.5, 0.3, EVERY)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        shape = request["shape"]
        pixels = np.frombuffer(sys.stdin.buffer.read(int(np.prod(shape))), np.uint8).reshape(shape)
        detector.setInputSize(shape[1::-1])
        detector.setScoreThreshold(request["score"])
        detector.setNMSThreshold(request["overlap"])
        started = time.perf_counter()
        _, faces = detector.detect(pixels)
        milliseconds = 1e3 * (time.perf_counter() - started)
        rows = [] if faces is None else np.asarray(faces, float).tolist()
        sys.stdout.write(json.dumps({"faces": rows, "ms": milliseconds}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
