"""The network of lightDSFD: the design of DSFD on a backbone of a million weights.

https://github.com/lijiannuist/lightDSFD, by an author of DSFD (https://arxiv.org/abs/1810.10220);
the backbone follows FaceBoxes (Zhang et al. 2017, https://arxiv.org/abs/1708.05234). Layers, their
sizes and the keys of the state dict are those of its ``light_face_ssd.py`` with the backbone
'facebox', as used after training: 642 tensors, 991,716 weights and statistics. (The torch version that
saved them did not count batches, so batch norm's ``num_batches_tracked`` is missing.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from faceindex.detect.dsfd_nets import upsampled_product

__all__ = ["LightDSFDNet"]

_CHANNELS = (64, 64, 128, 128, 256, 256)
_WIDTH = 64  # channels of every level after the lateral layers
_MIDDLE = 16  # channels within a head


class LightDSFDNet(nn.Module):
    """The network of lightDSFD: one anchor for each cell of six levels, strides 4 to 128.

    Input and outputs are those of `faceindex.detect.dsfd_nets.DSFDNet`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _TwoSided(3, 32, 7, stride=4)
        self.inception1 = _Inception(64)
        self.inception2 = _Inception(64)
        self.conv3 = _TwoSided(64, 64, 5, stride=2)
        self.inception3 = _Inception(128)
        self.inception4 = _Inception(128)
        self.conv5_1 = _Convolution(128, 128, 1)
        self.conv5_2 = _Convolution(128, 256, 3, stride=2)
        self.conv6_1 = _Convolution(256, 128, 1)
        self.conv6_2 = _Convolution(128, 256, 3, stride=2)

        self.latlayer1 = nn.Conv2d(_CHANNELS[0], _WIDTH, 1)
        self.latlayer2 = nn.Conv2d(_CHANNELS[1], _WIDTH, 1)
        self.latlayer3 = nn.Conv2d(_CHANNELS[2], _WIDTH, 1)
        self.latlayer4 = nn.Conv2d(_CHANNELS[3], _WIDTH, 1)
        self.latlayer5 = nn.Conv2d(_CHANNELS[4], _WIDTH, 1)
        self.latlayer6 = nn.Conv2d(_CHANNELS[5], _WIDTH, 1)
        self.smooth1 = nn.Conv2d(_WIDTH, _WIDTH, 1)
        self.smooth2 = nn.Conv2d(_WIDTH, _WIDTH, 1)
        self.smooth3 = nn.Conv2d(_WIDTH, _WIDTH, 1)

        self.cpm1 = _Inception(_WIDTH)
        self.cpm2 = _Inception(_WIDTH)
        self.cpm3 = _Inception(_WIDTH)
        self.cpm4 = _Inception(_WIDTH)
        self.cpm5 = _Inception(_WIDTH)
        self.cpm6 = _Inception(_WIDTH)
        self.loc = nn.ModuleList(_Head(4) for _ in _CHANNELS)
        self.conf = nn.ModuleList(_Head(2) for _ in _CHANNELS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network; see the class."""
        c1 = self.inception1(self.conv1(x))
        c2 = self.inception2(functional.max_pool2d(c1, 3, stride=2, padding=1))
        c3 = self.inception3(self.conv3(c2))
        c4 = self.inception4(functional.max_pool2d(c3, 3, stride=2, padding=1))
        c5 = self.conv5_2(self.conv5_1(c4))
        c6 = self.conv6_2(self.conv6_1(c5))
        c6 = self.latlayer6(c6)
        c5 = self.latlayer5(c5)
        c4 = self.latlayer4(c4)
        c3 = self.smooth3(upsampled_product(c4, self.latlayer3(c3)))
        c2 = self.smooth2(upsampled_product(c3, self.latlayer2(c2)))
        c1 = self.smooth1(upsampled_product(c2, self.latlayer1(c1)))
        enhancers = (self.cpm1, self.cpm2, self.cpm3, self.cpm4, self.cpm5, self.cpm6)
        logits, offsets = [], []
        for level, (features, enhance) in enumerate(zip((c1, c2, c3, c4, c5, c6), enhancers, strict=True)):
            enhanced = enhance(features)
            logits.append(self.conf[level](enhanced).permute(0, 2, 3, 1).flatten(1, 2))
            offsets.append(self.loc[level](enhanced).permute(0, 2, 3, 1).flatten(1, 2))
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)


class _Convolution(nn.Module):
    """Convolution, batch norm, ReLU; padded, so that only the stride reduces the size."""

    def __init__(self, channels: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, outputs, kernel, stride=stride, padding=kernel // 2)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x.relu_()


class _TwoSided(_Convolution):
    """Convolution, batch norm, and ReLU of both signs (CReLU, https://arxiv.org/abs/1603.05201)."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return torch.cat([x, -x], dim=1).relu_()


class _Inception(nn.Module):
    """Receptive fields of four sizes, side by side; keeps the number of channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter, eighth = channels // 4, channels // 8
        self.branch1x1 = _Convolution(channels, quarter, 1)
        self.branch1x1_2 = _Convolution(channels, quarter, 1)
        self.branch3x3_reduce = _Convolution(channels, eighth, 1)
        self.branch3x3 = _Convolution(eighth, quarter, 3)
        self.branch3x3_reduce_2 = _Convolution(channels, eighth, 1)
        self.branch3x3_2 = _Convolution(eighth, quarter, 3)
        self.branch3x3_3 = _Convolution(quarter, quarter, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch1x1_2(functional.avg_pool2d(x, 3, stride=1, padding=1)),
                self.branch3x3(self.branch3x3_reduce(x)),
                self.branch3x3_3(self.branch3x3_2(self.branch3x3_reduce_2(x))),
            ],
            dim=1,
        )


class _Head(nn.Module):
    """Three convolutions that compute the outputs for each cell of a level."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = _Convolution(_WIDTH, _MIDDLE, 1)
        self.conv2 = _Convolution(_MIDDLE, _MIDDLE, 3)
        self.conv3 = nn.Conv2d(_MIDDLE, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.conv3(self.conv2(self.conv1(x)))
        return output
