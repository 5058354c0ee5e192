"""Compare our DSFD networks with the public code, and measure the time and memory of DSFD.

::

    git clone https://github.com/hukkelas/DSFD-Pytorch-Inference port
    git clone https://github.com/lijiannuist/lightDSFD light
    python benchmarks/dsfd_equality.py port [--light light] [--seed S ...] [--size HxW ...] [--quick]

Both sides get the same random weights and the same random photos (`dsfd_random.py`); lightDSFD gets its
trained weights, and also the photos in ``../shared/data/groups``. The script compares every box and score
before suppression. Scores, and boxes as fractions of the image's width and height, must agree to 1e-4.
Values that are not finite count as a failure, and so do scores of random weights that are all alike.

Ours is what the detector runs: the state dict of the port, loaded strictly, with folded batch norm,
channels last, decoded by our code.

The port (`dsfd_peers.py`) needs torchvision. If the compiled operators of torchvision do not load, the script
replaces ``nms``, which it does not call; if torchvision is missing, it replaces torchvision's ResNet-152.

Prints and writes to ``results/dsfd_equality.json`` the largest differences, then the time and the peak memory
of the detector for one photo of 1,024 x 1,024 px in a new process; the memory includes reading the weights.
Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import DATA, argument_parser, group_photos, peak_mib, run_child, seconds, write_result
from dsfd_peers import Peer, import_torchvision, light_network, light_peer, port_network, port_output
from dsfd_random import random_photos, randomise
from PIL import Image
from torch import nn

from faceindex.detect.dsfd import DSFD, candidates, to_input
from faceindex.detect.dsfd_folding import fold_batch_norm
from faceindex.detect.dsfd_light_nets import LightDSFDNet
from faceindex.detect.dsfd_nets import DSFDNet
from faceindex.models import get
from faceindex.state_dicts import network_from

TOLERANCE = 1e-4
SIZES = ("128x128", "200x152", "97x161", "333x255", "320x416", "640x480")
PHOTO = 1024
RUNS = 3
LEAST_SPREAD = 0.02  # of the scores of random weights; with less the comparison would mean little
ENTRIES, NUMBERS = 1126, 120_212_646  # the entries include the counters of batches, the numbers do not


def main() -> None:
    arguments = parse()
    if arguments.child:
        print(json.dumps(cost(arguments.child)))
        return
    torch.set_num_threads(arguments.threads)
    rows: list[dict[str, object]] = []
    stand_in = import_torchvision()
    port = port_network(arguments.checkout)
    for seed in arguments.seed:
        rng = np.random.default_rng(seed)
        randomise(port, seed)
        ours = our_network(DSFDNet, port)
        for height, width in arguments.size:
            photos = random_photos(rng, height, width)
            rows.append(compare("dsfd", seed, ours, lambda x: port_output(port, x), photos))
    keys = check_keys(port)
    if arguments.light:
        rows += compare_light(arguments.light, arguments.size, arguments.seed)
    measured = measure(port)
    print(
        f"{PHOTO} x {PHOTO} px: {measured['seconds']:.1f} s a photo (median of {RUNS}), peak "
        f"{measured['peak_mib']:.0f} MiB, {measured['peak_mib_loaded']:.0f} MiB before the photo; one thread"
    )
    equal = keys and all(row["equal"] for row in rows)
    write_result(
        "dsfd_equality",
        {
            "tolerance": TOLERANCE,
            "resnet_stand_in": stand_in,
            "keys_and_shapes_equal": keys,
            "comparisons": rows,
            "photo_1024": measured,
            "equal": equal,
        },
        quick=arguments.quick,
    )
    print("equal" if equal else "NOT EQUAL")
    sys.exit(0 if equal else 1)


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__, quick="the first three sizes")
    parser.add_argument("checkout", type=Path, help="checkout of hukkelas/DSFD-Pytorch-Inference")
    parser.add_argument("--light", type=Path, help="checkout of lijiannuist/lightDSFD")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--size", type=size, nargs="+", help="HEIGHTxWIDTH of random photos")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return arguments
    if not (arguments.checkout / "face_detection" / "dsfd" / "face_ssd.py").is_file():
        parser.error(f"{arguments.checkout} is not a checkout of hukkelas/DSFD-Pytorch-Inference")
    if arguments.light and not (arguments.light / "light_face_ssd.py").is_file():
        parser.error(f"{arguments.light} is not a checkout of lijiannuist/lightDSFD")
    if arguments.size is None:
        arguments.size = [size(text) for text in (SIZES[:3] if arguments.quick else SIZES)]
    return arguments


def size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTH")
    return int(height), int(width)


def check_keys(port: nn.Module) -> bool:
    """Return whether keys, shapes and counts equal those of the port."""
    with torch.device("meta"):
        ours = {key: tuple(value.shape) for key, value in DSFDNet().state_dict().items()}
    theirs = {key: tuple(value.shape) for key, value in port.state_dict().items()}
    numbers = sum(value.numel() for key, value in port.state_dict().items() if not key.endswith("_tracked"))
    print(f"state dict: {len(theirs)} entries, {numbers:,} numbers; keys and shapes equal: {ours == theirs}")
    return ours == theirs and (len(theirs), numbers) == (ENTRIES, NUMBERS)


def our_network(build: Callable[[], nn.Module], peer: nn.Module) -> nn.Module:
    """Build our network from a saved file, as the detector does."""
    file = io.BytesIO()
    torch.save(peer.state_dict(), file)
    net = network_from(build, file.getvalue(), Path("random weights"), "this script")
    fold_batch_norm(net)
    return channels_last(net)


def channels_last(net: nn.Module) -> nn.Module:
    laid_out: nn.Module = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return laid_out


# Comparison


def compare(
    what: str, seed: int | None, ours: nn.Module, peer: Peer, photos: list[np.ndarray], name: str = ""
) -> dict[str, object]:
    """Run both on a batch of photos of one size; print and return the row of the result."""
    shape = photos[0].shape[:2]
    rgb = np.stack(photos).astype(np.float32) - np.array([123, 117, 104], np.float32)
    theirs = torch.from_numpy(np.ascontiguousarray(rgb[..., ::-1].transpose(0, 3, 1, 2)))
    with torch.inference_mode():
        peer_boxes, peer_scores = (part.reshape(-1, *part.shape[2:]) for part in peer(theirs))
        boxes, scores, owners = candidates(ours, to_input(photos, shape, torch.device("cpu")), 0.0)
    row: dict[str, object] = {
        "network": what,
        "seed": seed,
        "photo": name or f"{shape[0]}x{shape[1]}",
        "batch": len(photos),
        "anchors": len(peer_scores) // len(photos),
    }
    problem = None
    if boxes.shape != peer_boxes.shape or len(owners) != len(peer_scores):
        problem = f"{len(boxes)} boxes of ours, {len(peer_boxes)} of the peer"
    elif not all(bool(t.isfinite().all()) for t in (boxes, scores, peer_boxes, peer_scores)):
        problem = "not finite"
    else:
        row["boxes"] = float((boxes - peer_boxes).abs().max())
        row["scores"] = float((scores - peer_scores).abs().max())
        row["score_spread"] = float(peer_scores.std())
        # Trained weights find hardly any faces on noise, so only random weights must spread.
        if what == "dsfd" and float(peer_scores.std()) < LEAST_SPREAD:
            problem = "the scores are all alike"
        elif not (row["boxes"] <= TOLERANCE and row["scores"] <= TOLERANCE):  # type: ignore[operator]
            problem = "beyond the tolerance"
    row |= {"equal": problem is None, "problem": problem}
    differences = (
        f"boxes {row['boxes']:.1e}, scores {row['scores']:.1e}, spread of scores {row['score_spread']:.2f}"
        if "boxes" in row
        else ""
    )
    outcome = "; ".join(filter(None, (differences, problem)))
    print(f"{what} seed {seed}, {row['photo']} x {len(photos)}: {outcome}")
    return row


# lightDSFD


def compare_light(
    checkout: Path, sizes: Iterable[tuple[int, int]], seeds: Iterable[int]
) -> list[dict[str, object]]:
    """Compare both networks with the trained weights of lightDSFD, on random photos and those of groups/."""
    peer = light_network(checkout)
    net = light_peer(peer)
    rows = []
    weights = checkout / "weights" / "light_DSFD.pth"
    content = weights.read_bytes()
    state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    peer.load_state_dict(state, strict=False)  # present torch also expects the counters of batches
    missing = [key for key in peer.state_dict() if key not in state and not key.endswith("_tracked")]
    if missing or any(key not in peer.state_dict() for key in state):
        raise SystemExit(f"{weights} does not fit the network of {checkout}")
    light = network_from(LightDSFDNet, content, weights, "the checkout's repository")
    fold_batch_norm(light)
    ours = channels_last(light)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for height, width in sizes:
            rows.append(compare("dsfd-light", seed, ours, net, random_photos(rng, height, width)))
    for path in group_photos(DATA):
        if path.suffix != ".jpg":
            continue
        with Image.open(path) as image:
            photo = np.asarray(image.convert("RGB"))
        rows.append(compare("dsfd-light", None, ours, net, [photo], path.name))
    return rows


# Cost


def measure(port: nn.Module) -> dict[str, Any]:
    """Run `cost` in a new process, with the random weights of the port in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        torch.save(port.state_dict(), path)
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        env = {**os.environ, "FACEINDEX_WEIGHTS": folder, "OMP_NUM_THREADS": "1"}
        answer: dict[str, Any] = run_child(
            __file__, ".", "--child", f"{path.stat().st_size}:{digest}", env=env
        )
    return answer


def cost(file: str) -> dict[str, object]:
    """Measure the detector with its defaults and one thread on one photo.

    Parameters
    ----------
    file : str
        Size and SHA-256 of the weight file, separated by a colon.
    """
    torch.set_num_threads(1)
    spec = get("detector", "dsfd")
    length, _, digest = file.partition(":")
    weight = replace(spec.weights[0], name="random.pth", size=int(length), sha256=digest)
    detector = DSFD(replace(spec, weights=(weight,)), min_face=spec.min_face)
    loaded = peak_mib()
    (photo, _) = random_photos(np.random.default_rng(0), PHOTO, PHOTO)
    times = [round(seconds(lambda: detector.detect([photo])), 2) for _ in range(RUNS)]
    return {
        "seconds": float(np.median(times)),
        "all_seconds": times,
        "threads": 1,
        "peak_mib_loaded": loaded,
        "peak_mib": peak_mib(),
    }


if __name__ == "__main__":
    main()
