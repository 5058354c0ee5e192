"""The public networks of DSFD and lightDSFD, imported from checkouts of their repositories."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Peer", "import_torchvision", "light_network", "light_peer", "port_network", "port_output"]

Peer = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(n, 3, h, w) BGR minus the mean -> boxes (n, a, 4) as fractions of the image, and scores (n, a)."""


def import_torchvision() -> bool:
    """Make ``torchvision.models.resnet152`` importable; return whether a stand-in replaces it."""
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        forget("torchvision")
        if not isinstance(error, ModuleNotFoundError):
            # Compiled for another torch: its Python code needs the operators that are missing.
            library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
            for operator in ("nms", "qnms"):
                signature = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                library.define(signature)  # type: ignore[no-untyped-call]
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


KEPT: list[object] = []  # torch drops a library of operators with the object


def forget(package: str) -> None:
    """Remove a package and its modules from ``sys.modules``."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


class ResNet152(nn.Module):
    """Replaces torchvision's network if that is missing; shares no code with ours."""

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
    """Return the network of the port, without the other imports of its packages (they need a GPU and nms)."""
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
    """Return boxes and scores of the port; see `Peer`."""
    output = port(batch, 0.5, 0.3)
    return output[..., :4], output[..., 4]


def light_network(checkout: Path) -> Any:
    """Return the network of lightDSFD, without its data loaders, its loss and its last layer.

    These need OpenCV and a form of autograd that torch has removed. The last layer is suppression.
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
    module: Any = importlib.import_module("light_face_ssd")
    sys.path.remove(str(root))
    # The default of torch before 0.4, which the repository was written for.
    module.F.upsample = lambda x, size, mode: nn.functional.interpolate(
        x, size=size, mode=mode, align_corners=True
    )
    module.Variable = lambda tensor, **_: tensor
    module.print = lambda *_: None
    return module.build_ssd("test", 640, 2).eval().requires_grad_(False)


def light_peer(net: Any) -> Peer:
    """Return a function for the boxes and scores of lightDSFD."""
    decode = importlib.import_module("layers.box_utils").decode

    def run(batch: Tensor) -> tuple[Tensor, Tensor]:
        net.detect = lambda offsets, scores, priors: (
            torch.stack([decode(one, priors, [0.1, 0.2]) for one in offsets]),
            scores.view(len(batch), -1, 2)[..., 1],
        )
        found: tuple[Tensor, Tensor] = net(batch)
        return found

    return run
