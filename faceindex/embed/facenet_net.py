"""Inception-ResNet-v1 as trained by facenet, with the state-dict keys of facenet-pytorch.

Szegedy et al. 2016, https://arxiv.org/abs/1602.07261, section 3.1, in the variant of davidsandberg/facenet
(convolutions without padding in the stem, no rescaling between the branches). Names of modules, channels,
strides, residual scales and the epsilon of batch norm are those of facenet-pytorch 2.5.3
(``models/inception_resnet_v1.py``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

__all__ = ["InceptionResnetV1"]

_EPSILON = 1e-3


class _Unit(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel, stride, padding, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(filters, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(self.bn(self.conv(x)))

    def fold(self) -> None:
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv, self.bn = fuse_conv_bn_eval(self.conv, self.bn), nn.Identity()


class _Residual(nn.Module):
    """Branches side by side, a 1 x 1 convolution of their outputs, and a shortcut around both."""

    def __init__(
        self, branches: list[nn.Module], widths: int, channels: int, *, scale: float, relu: bool = True
    ) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)
        self.conv2d = nn.Conv2d(widths, channels, 1)
        self.scale = scale
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        *branches, mix = self.children()
        y = mix(torch.cat([branch(x) for branch in branches], dim=1))
        # In place: the input is not used again.
        x = x.add_(y, alpha=self.scale)
        return F.relu_(x) if self.relu else x


class _Reduction(nn.Module):
    """Branches that halve the plane, and a max pooling, side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(branch(x) for branch in self.children()), F.max_pool2d(x, 3, 2)], dim=1)


def _block35() -> _Residual:
    branches = [
        _Unit(256, 32),
        nn.Sequential(_Unit(256, 32), _Unit(32, 32, 3, padding=1)),
        nn.Sequential(_Unit(256, 32), _Unit(32, 32, 3, padding=1), _Unit(32, 32, 3, padding=1)),
    ]
    return _Residual(branches, 96, 256, scale=0.17)


def _block17() -> _Residual:
    branches = [
        _Unit(896, 128),
        nn.Sequential(
            _Unit(896, 128),
            _Unit(128, 128, (1, 7), padding=(0, 3)),
            _Unit(128, 128, (7, 1), padding=(3, 0)),
        ),
    ]
    return _Residual(branches, 256, 896, scale=0.10)


def _block8(*, scale: float, relu: bool = True) -> _Residual:
    branches = [
        _Unit(1792, 192),
        nn.Sequential(
            _Unit(1792, 192),
            _Unit(192, 192, (1, 3), padding=(0, 1)),
            _Unit(192, 192, (3, 1), padding=(1, 0)),
        ),
    ]
    return _Residual(branches, 384, 1792, scale=scale, relu=relu)


class InceptionResnetV1(nn.Module):
    """Faces (n, 3, 160, 160) float32, RGB as ``(x - 127.5) / 128``, to outputs (n, 512) float32.

    The output is that of the last batch norm; facenet-pytorch's module also scales it to unit length. The
    module is for inference only: it has no dropout and no classifier, and its blocks overwrite their input.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv2d_1a = _Unit(3, 32, 3, stride=2)
        self.conv2d_2a = _Unit(32, 32, 3)
        self.conv2d_2b = _Unit(32, 64, 3, padding=1)
        self.conv2d_3b = _Unit(64, 80)
        self.conv2d_4a = _Unit(80, 192, 3)
        self.conv2d_4b = _Unit(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(_block35() for _ in range(5)))
        self.mixed_6a = _Reduction(
            _Unit(256, 384, 3, stride=2),
            nn.Sequential(_Unit(256, 192), _Unit(192, 192, 3, padding=1), _Unit(192, 256, 3, stride=2)),
        )
        self.repeat_2 = nn.Sequential(*(_block17() for _ in range(10)))
        self.mixed_7a = _Reduction(
            nn.Sequential(_Unit(896, 256), _Unit(256, 384, 3, stride=2)),
            nn.Sequential(_Unit(896, 256), _Unit(256, 256, 3, stride=2)),
            nn.Sequential(_Unit(896, 256), _Unit(256, 256, 3, padding=1), _Unit(256, 256, 3, stride=2)),
        )
        self.repeat_3 = nn.Sequential(*(_block8(scale=0.20) for _ in range(5)))
        self.block8 = _block8(scale=1.0, relu=False)
        self.last_linear = nn.Linear(1792, 512, bias=False)
        self.last_bn: nn.Module = nn.BatchNorm1d(512, eps=_EPSILON)

    def forward(self, faces: Tensor) -> Tensor:
        """Return the outputs, not scaled to unit length."""
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(faces)))
        x = F.max_pool2d(x, 3, 2)
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(x)))
        x = self.mixed_6a(self.repeat_1(x))
        x = self.mixed_7a(self.repeat_2(x))
        x = self.block8(self.repeat_3(x))
        y: Tensor = self.last_bn(self.last_linear(x.mean((2, 3))))
        return y

    def fold(self) -> None:
        """Fold every batch norm into the layer before it, which does not change the outputs.

        The network must be in evaluation mode. Its state-dict keys change.
        """
        for module in self.modules():
            if isinstance(module, _Unit):
                module.fold()
        if isinstance(self.last_bn, nn.BatchNorm1d):
            self.last_linear = fuse_linear_bn_eval(self.last_linear, self.last_bn)
            self.last_bn = nn.Identity()
