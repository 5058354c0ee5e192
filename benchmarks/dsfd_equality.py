"""Do our DSFD networks compute what the public code computes, and what does DSFD cost?

::

    git clone https://github.com/hukkelas/DSFD-Pytorch-Inference port
    git clone https://github.com/lijiannuist/lightDSFD light
    python benchmarks/dsfd_equality.py port [--light light] [--seed S ...] [--size HxW ...] [--quick]

Both sides get the same random weights and the same random photos (or, for lightDSFD, its trained
weights and also the photos in ``../shared/data/groups``), and every box and score before suppression
is compared. Scores must agree to 1e-4, and boxes too, in parts of the image's width and height. Whatever
is not finite counts as a failure, and so do scores that random weights made all alike.

Ours is what the detector runs: the state dict of the port loaded strictly, batch norm folded,
channels last, decoded by our code. Random weights are scaled layer by layer so that activations
stay near 1 and scores are spread; batch norm gets the statistics of a random photo, disturbed.

The port needs torchvision. If its compiled operators do not load, ``nms`` is left out, which is not
used here; if there is none at all, a ResNet-152 written below stands in for torchvision's.

Prints and writes to ``results/dsfd_equality.json`` the largest differences, then what the detector
takes for one photo of 1,024 x 1,024 px in a process of its own: time, and the peak of its memory, which
includes reading the weights. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import io
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write_result
from torch import Tensor, nn

from faceindex.detect.dsfd import DSFD, candidates, to_input
from faceindex.detect.dsfd_folding import fold_batch_norm
from faceindex.detect.dsfd_light_nets import LightDSFDNet
from faceindex.detect.dsfd_nets import DSFDNet
from faceindex.models import get
from faceindex.state_dicts import network_from

SHARED = Path(__file__).resolve().parents[2] / "shared"
TOLERANCE = 1e-4
SIZES = ("128x128", "200x152", "97x161", "333x255", "320x416", "640x480")
PHOTO = 1024
RUNS = 3
# What random weights must give at least, or the comparison would mean little.
LEAST_SPREAD = 0.02
ENTRIES, NUMBERS = 1126, 120_212_646  # the entries count the counters of batches, the numbers do not

Peer = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(n, 3, h, w) BGR minus the mean, to boxes (n, a, 4) in parts of the image and scores (n, a)."""


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
    path = write_result(
        "dsfd_equality",
        {
            "tolerance": TOLERANCE,
            "resnet_stand_in": stand_in,
            "keys_and_shapes_equal": keys,
            "comparisons": rows,
            "photo_1024": measured,
            "equal": equal,
        },
    )
    print(f"{'equal' if equal else 'NOT EQUAL'}; wrote {path.name}")
    sys.exit(0 if equal else 1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path, help="of hukkelas/DSFD-Pytorch-Inference")
    parser.add_argument("--light", type=Path, help="checkout of lijiannuist/lightDSFD")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--size", type=size, nargs="+", help="HEIGHTxWIDTH of random photos")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the first three sizes")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return arguments
    if not (arguments.checkout / "face_detection" / "dsfd" / "face_ssd.py").is_file():
        parser.error(f"{arguments.checkout} is no checkout of hukkelas/DSFD-Pytorch-Inference")
    if arguments.light and not (arguments.light / "light_face_ssd.py").is_file():
        parser.error(f"{arguments.light} is no checkout of lijiannuist/lightDSFD")
    if arguments.size is None:
        arguments.size = [size(text) for text in (SIZES[:3] if arguments.quick else SIZES)]
    return arguments


def size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"'{text}' is not HEIGHTxWIDTH")
    return int(height), int(width)


# The port


def import_torchvision() -> bool:
    """Make ``torchvision.models.resnet152`` importable; whether it is a stand-in."""
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        forget("torchvision")
        if not isinstance(error, ModuleNotFoundError):
            # Compiled for another torch: its Python code asks for the operators that are missing.
            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            KEPT.append(library)
            try:
                import torchvision
            except (ImportError, RuntimeError):
                forget("torchvision")
            else:
                return not hasattr(torchvision.models, "resnet152")
        module = types.ModuleType("torchvision")
        models = types.ModuleType("torchvision.models")
        models.resnet152 = lambda pretrained=False: ResNet152()  # type: ignore[attr-defined]
        module.models = models  # type: ignore[attr-defined]
        sys.modules |= {"torchvision": module, "torchvision.models": models}
        return True
    return not hasattr(torchvision.models, "resnet152")


KEPT: list[object] = []  # a library of operators is gone when nothing holds it


def forget(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


class ResNet152(nn.Module):
    """Stands in for torchvision's where there is none; plain, and not shared with ours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        inputs = 64
        for number, (planes, count) in enumerate(((64, 3), (128, 8), (256, 36), (512, 3)), 1):
            blocks = []
            for position in range(count):
                stride = 2 if number > 1 and position == 0 else 1
                blocks.append(Block(inputs, planes, stride))
                inputs = planes * 4
            setattr(self, f"layer{number}", nn.Sequential(*blocks))


class Block(nn.Module):
    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = planes * 4
        self.conv1 = nn.Conv2d(inputs, planes, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )
        else:
            self.downsample = nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def port_network(checkout: Path) -> nn.Module:
    """The port's network, without what else its packages import (they would ask for a GPU's, and for nms)."""
    for name, folder in (
        ("face_detection", "face_detection"),
        ("face_detection.dsfd", "face_detection/dsfd"),
    ):
        package = types.ModuleType(name)
        package.__path__ = [str((checkout / folder).resolve())]
        sys.modules[name] = package
    ssd = importlib.import_module("face_detection.dsfd.face_ssd")
    config = importlib.import_module("face_detection.dsfd.config")
    with torch.random.fork_rng():
        net: nn.Module = ssd.SSD(config.resnet152_model_config)
    return net.eval().requires_grad_(False)


def port_output(port: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor]:
    output = port(batch, 0.5, 0.3)
    return output[..., :4], output[..., 4]


def check_keys(port: nn.Module) -> bool:
    """Whether keys, shapes and counts are the port's."""
    with torch.device("meta"):
        ours = {key: tuple(value.shape) for key, value in DSFDNet().state_dict().items()}
    theirs = {key: tuple(value.shape) for key, value in port.state_dict().items()}
    numbers = sum(value.numel() for key, value in port.state_dict().items() if not key.endswith("_tracked"))
    print(f"state dict: {len(theirs)} entries, {numbers:,} numbers; keys and shapes equal: {ours == theirs}")
    return ours == theirs and (len(theirs), numbers) == (ENTRIES, NUMBERS)


# Weights and photos


def randomise(net: nn.Module, seed: int) -> None:
    """Random weights that keep activations near 1, and random batch norm that fits them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: Tensor, scale: float) -> None:
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            normal(module.weight, math.sqrt(2 / module.weight[0].numel()))
            if module.bias is not None:
                normal(module.bias, 0.3)
        elif isinstance(module, nn.BatchNorm2d):
            # The last of a residual block: small, or 50 blocks would add up.
            residual = name.endswith("bn3")
            uniform(module.weight, *((0.05, 0.2) if residual else (0.6, 1.4)))
            normal(module.bias, 0.3)

    def settle(name: str, module: nn.Module) -> Callable[..., Tensor | None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if isinstance(module, nn.BatchNorm2d):
                mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
                # A channel that hardly changes on this photo must not explode on another.
                deviation = variance.sqrt().clamp(min=float(variance.mean().sqrt()) / 2)
                module.running_mean.copy_(mean + noise(len(mean)) * deviation * 0.2)
                module.running_var.copy_((deviation * torch.exp(noise(len(mean)) * 0.2)) ** 2)
                return nn.functional.batch_norm(
                    inputs[0], module.running_mean, module.running_var, module.weight, module.bias
                )
            if not isinstance(module, nn.Conv2d) or module.bias is None:
                return None
            # Logits of a unit, offsets of less, and 1 elsewhere; what the pyramid multiplies lies around
            # 1, or products of products would be 0 here and enormous there.
            product = name.startswith(("latlayer", "smooth"))
            last = name.endswith("conv4")
            wanted = 0.3 if product else 0.5 if last and name.startswith("loc") else 1.0
            factor, shift = wanted / float(output.std().clamp(min=1e-6)), float(product)
            module.weight.mul_(factor)
            module.bias.mul_(factor).add_(shift)
            return output * factor + shift

        return hook

    def noise(count: int) -> Tensor:
        return torch.randn(count, generator=generator)

    handles = [module.register_forward_hook(settle(name, module)) for name, module in net.named_modules()]
    photo = random_photos(np.random.default_rng(seed), 320, 288)
    net(to_input(photo, photo[0].shape[:2], torch.device("cpu")).contiguous(), 0.5, 0.3)
    for handle in handles:
        handle.remove()


def random_photos(rng: np.random.Generator, height: int, width: int) -> list[np.ndarray]:
    """Two photos of blobs and noise, RGB."""
    photos = []
    for _ in range(2):
        image = rng.normal(0, 25, (height, width, 3))
        y, x = np.mgrid[:height, :width]
        for _ in range(12):
            centre, radius = rng.random(2) * (height, width), rng.uniform(4, 120)
            blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / radius**2)
            image += blob[..., None] * rng.normal(0, 90, 3)
        photos.append((image + 118).clip(0, 255).astype(np.uint8))
    return photos


def our_network(build: Callable[[], nn.Module], peer: nn.Module) -> nn.Module:
    """Ours, by way of a saved file, as the detector makes it."""
    file = io.BytesIO()
    torch.save(peer.state_dict(), file)
    net = network_from(build, file.getvalue(), Path("random weights"), "this script")
    fold_batch_norm(net)
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


# Comparison


def compare(
    what: str, seed: int | None, ours: nn.Module, peer: Peer, photos: list[np.ndarray], name: str = ""
) -> dict[str, object]:
    """Both on photos of one size, as a batch; the row for the results, which is printed too."""
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
        # Trained weights give what they give: on noise there are hardly any faces.
        if what == "dsfd" and float(peer_scores.std()) < LEAST_SPREAD:
            problem = "the scores are all alike"
        elif not (row["boxes"] <= TOLERANCE and row["scores"] <= TOLERANCE):  # type: ignore[operator]
            problem = "beyond the tolerance"
    row |= {"equal": problem is None, "problem": problem}
    told = (
        f"boxes {row['boxes']:.1e}, scores {row['scores']:.1e}, spread of scores {row['score_spread']:.2f}"
        if "boxes" in row
        else ""
    )
    print(f"{what} seed {seed}, {row['photo']} x {len(photos)}: {told}{'; ' + problem if problem else ''}")
    return row


# lightDSFD


def compare_light(
    checkout: Path, sizes: Iterable[tuple[int, int]], seeds: Iterable[int]
) -> list[dict[str, object]]:
    """Its network and ours with its trained weights, on random photos and those of groups/."""
    peer = light_network(checkout)
    net = light_peer(peer)
    rows = []
    weights = checkout / "weights" / "light_DSFD.pth"
    content = weights.read_bytes()
    state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    peer.load_state_dict(state, strict=False)  # a torch of today also wants the counters of batches
    missing = [key for key in peer.state_dict() if key not in state and not key.endswith("_tracked")]
    if missing or any(key not in peer.state_dict() for key in state):
        raise SystemExit(f"{weights} does not fit the network of {checkout}")
    ours = network_from(LightDSFDNet, content, weights, "the checkout's repository")
    fold_batch_norm(ours)
    ours = ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for height, width in sizes:
            rows.append(compare("dsfd-light", seed, ours, net, random_photos(rng, height, width)))
    for path in sorted((SHARED / "data" / "groups").glob("*.jpg")):
        from PIL import Image

        with Image.open(path) as image:
            photo = np.asarray(image.convert("RGB"))
        rows.append(compare("dsfd-light", None, ours, net, [photo], path.name))
    return rows


def light_network(checkout: Path) -> Any:
    """lightDSFD's network, without its data loaders, its loss and its last layer.

    They need OpenCV, and an autograd that torch has given up; the last layer is suppression.
    """
    root = checkout.resolve()
    for name in ("data", "layers", "layers.functions"):
        package = types.ModuleType(name)
        package.__path__ = [str(root / name.replace(".", "/"))]
        sys.modules[name] = package
    data, layers = sys.modules["data"], sys.modules["layers"]
    data.widerface_640 = importlib.import_module("data.config").widerface_640  # type: ignore[attr-defined]
    layers.PriorBox = importlib.import_module("layers.functions.prior_box").PriorBox  # type: ignore[attr-defined]
    layers.Detect = lambda *_: None  # type: ignore[attr-defined]
    sys.path.insert(0, str(root))
    module = importlib.import_module("light_face_ssd")
    sys.path.remove(str(root))
    # What the torch of its time, before 0.4, did by default; today's default is the other.
    module.F.upsample = lambda x, size, mode: nn.functional.interpolate(
        x, size=size, mode=mode, align_corners=True
    )
    module.Variable = lambda tensor, **_: tensor
    module.print = lambda *_: None
    return module.build_ssd("test", 640, 2).eval().requires_grad_(False)


def light_peer(net: Any) -> Peer:
    decode = importlib.import_module("layers.box_utils").decode

    def run(batch: Tensor) -> tuple[Tensor, Tensor]:
        net.detect = lambda offsets, scores, priors: (
            torch.stack([decode(one, priors, [0.1, 0.2]) for one in offsets]),
            scores.view(len(batch), -1, 2)[..., 1],
        )
        found: tuple[Tensor, Tensor] = net(batch)
        return found

    return run


# Cost


def measure(port: nn.Module) -> dict[str, Any]:
    """`cost`, in a process of its own that finds the port's random weights in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pth"
        torch.save(port.state_dict(), path)
        with path.open("rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        child = f"{path.stat().st_size}:{digest}"
        done = subprocess.run(
            [sys.executable, __file__, ".", "--child", child],
            capture_output=True,
            text=True,
            env={**os.environ, "FACEINDEX_WEIGHTS": folder, "OMP_NUM_THREADS": "1"},
        )
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def cost(file: str) -> dict[str, object]:
    """Seconds and peak memory of the detector with its defaults, for one photo; one thread."""
    torch.set_num_threads(1)
    spec = get("detector", "dsfd")
    length, _, digest = file.partition(":")
    weight = replace(spec.weights[0], name="random.pth", size=int(length), sha256=digest)
    detector = DSFD(replace(spec, weights=(weight,)), min_face=spec.min_face)
    loaded = peak_mib()
    (photo, _) = random_photos(np.random.default_rng(0), PHOTO, PHOTO)
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        detector.detect([photo])
        seconds.append(round(time.perf_counter() - start, 2))
    return {
        "seconds": float(np.median(seconds)),
        "all_seconds": seconds,
        "threads": 1,
        "peak_mib_loaded": loaded,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.is_file():  # on Linux ru_maxrss starts at that of the process that started this one
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    main()
