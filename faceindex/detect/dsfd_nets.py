"""The network of DSFD: a ResNet-152, a pyramid of products, enhanced features, six levels of heads.

Li, Wang, Wang, Tai, Qian, Yang, Wang, Li and Huang, "DSFD: Dual Shot Face Detector", CVPR 2019,
https://arxiv.org/abs/1810.10220. Layers, their sizes and the keys of the state dict are those of
the public inference port (https://github.com/hukkelas/DSFD-Pytorch-Inference,
``face_detection/dsfd/face_ssd.py``): 1,126 entries, 120,212,646 weights and statistics.

The heads of the first shot serve training only. Their last layers are shared with the heads of the second
shot, so their outputs are part of the weights; this module discards them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DSFDNet", "FeatureEnhance", "Head", "max_in_out", "upsampled_product"]

_BLOCKS = (3, 8, 36, 3)  # of a ResNet-152 (He et al. 2016, https://arxiv.org/abs/1512.03385)
_CHANNELS = (256, 512, 1024, 2048, 512, 256)
_ENHANCED = 512
_MIDDLE = 256
# Outputs of the last layer at each level, for all shots together.
_BOX_OUTPUTS = (4, 8, 12, 12, 12, 12)
_CLASS_OUTPUTS = (4, 6, 8, 8, 8, 8)
_USED = 4  # outputs of the second shot, which come first


class DSFDNet(nn.Module):
    """DSFD for inference: one anchor for each cell of six levels, strides 4 to 128.

    The input is (n, 3, h, w) float32, BGR grey levels minus (104, 117, 123); any h and w.

    Returns
    -------
    logits : (n, a, 2) float32
        For background and face, by level, row and column of the anchor.
    offsets : (n, a, 4) float32
        See `faceindex.detect.dsfd_anchors.decode`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
            _stage(64, 64, _BLOCKS[0], stride=1),
        )
        self.layer2 = nn.Sequential(_stage(256, 128, _BLOCKS[1], stride=2))
        self.layer3 = nn.Sequential(_stage(512, 256, _BLOCKS[2], stride=2))
        self.layer4 = nn.Sequential(_stage(1024, 512, _BLOCKS[3], stride=2))
        self.layer5 = _extra(2048, 512, 512)
        self.layer6 = _extra(512, 128, 256)

        self.latlayer3 = nn.Conv2d(_CHANNELS[3], _CHANNELS[2], 1)
        self.latlayer2 = nn.Conv2d(_CHANNELS[2], _CHANNELS[1], 1)
        self.latlayer1 = nn.Conv2d(_CHANNELS[1], _CHANNELS[0], 1)
        self.smooth3 = nn.Conv2d(_CHANNELS[2], _CHANNELS[2], 1)
        self.smooth2 = nn.Conv2d(_CHANNELS[1], _CHANNELS[1], 1)
        self.smooth1 = nn.Conv2d(_CHANNELS[0], _CHANNELS[0], 1)

        # The names refer to layers of VGG, the first backbone of the paper.
        self.cpm3_3 = FeatureEnhance(_CHANNELS[0])
        self.cpm4_3 = FeatureEnhance(_CHANNELS[1])
        self.cpm5_3 = FeatureEnhance(_CHANNELS[2])
        self.cpm7 = FeatureEnhance(_CHANNELS[3])
        self.cpm6_2 = FeatureEnhance(_CHANNELS[4])
        self.cpm7_2 = FeatureEnhance(_CHANNELS[5])
        self.loc = nn.ModuleList(Head(outputs) for outputs in _BOX_OUTPUTS)
        self.conf = nn.ModuleList(Head(outputs) for outputs in _CLASS_OUTPUTS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network; see the class."""
        c1 = self.layer1(x)
        c2 = self.layer2(c1)
        c3 = self.layer3(c2)
        c4 = self.layer4(c3)
        c5 = self.layer5(c4)
        c6 = self.layer6(c5)
        c3 = upsampled_product(self.latlayer3(c4), self.smooth3(c3))
        c2 = upsampled_product(self.latlayer2(c3), self.smooth2(c2))
        c1 = upsampled_product(self.latlayer1(c2), self.smooth1(c1))
        levels = [c1, c2, c3, c4, c5, c6]
        enhancers = (self.cpm3_3, self.cpm4_3, self.cpm5_3, self.cpm7, self.cpm6_2, self.cpm7_2)
        logits, offsets = [], []
        for level, enhance in enumerate(enhancers):
            enhanced = enhance(levels[level])
            classified = max_in_out(self.conf[level](enhanced)[:, :_USED], first=level == 0)
            logits.append(classified.permute(0, 2, 3, 1).flatten(1, 2))
            offsets.append(self.loc[level](enhanced)[:, :_USED].permute(0, 2, 3, 1).flatten(1, 2))
        return torch.cat(logits, dim=1), torch.cat(offsets, dim=1)


class FeatureEnhance(nn.Module):
    """DSFD's feature enhance module: receptive fields of three sizes side by side, 512 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cpm1 = nn.Conv2d(channels, 256, 3, padding=1)
        self.cpm2 = nn.Conv2d(channels, 256, 3, padding=2, dilation=2)
        self.cpm3 = nn.Conv2d(256, 128, 3, padding=1)
        self.cpm4 = nn.Conv2d(256, 128, 3, padding=2, dilation=2)
        self.cpm5 = nn.Conv2d(128, 128, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to (n, 512, h, w)."""
        near = self.cpm1(x).relu_()
        wide = self.cpm2(x).relu_()
        middle = self.cpm3(wide).relu_()
        far = self.cpm5(self.cpm4(wide).relu_()).relu_()
        return torch.cat([near, middle, far], dim=1)


class Head(nn.Module):
    """Three convolutions and a linear layer for each cell of a level."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_ENHANCED, _MIDDLE, 3, padding=1)
        self.conv2 = nn.Conv2d(_MIDDLE, _MIDDLE, 3, padding=1)
        self.conv3 = nn.Conv2d(_MIDDLE, _MIDDLE, 3, padding=1)
        self.conv4 = nn.Conv2d(_MIDDLE, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, 512, h, w) to (n, outputs, h, w)."""
        for layer in (self.conv1, self.conv2, self.conv3):
            x = layer(x).relu_()
        output: Tensor = self.conv4(x)
        return output


def max_in_out(outputs: Tensor, *, first: bool) -> Tensor:
    """Reduce the four class outputs of each cell to background and face.

    On the first level, where nearly all anchors are background, the largest of three outputs is the
    background and the fourth is the face. On the other levels, the largest of three is the face and the
    fourth is the background (the paper's reference code, and the port's ``mio_module``).

    Parameters
    ----------
    outputs : (n, 4, h, w)
    first : bool
        Whether this is the first level.

    Returns
    -------
    (n, 2, h, w)
    """
    best = outputs[:, :3].amax(dim=1, keepdim=True)
    single = outputs[:, 3:4]
    return torch.cat([best, single] if first else [single, best], dim=1)


def upsampled_product(x: Tensor, y: Tensor) -> Tensor:
    """Enlarge `x` to the size of `y`, bilinear with aligned corners, and multiply both.

    Parameters
    ----------
    x : (n, c, h, w)
        The coarser level.
    y : (n, c, h', w')
        The finer level.

    Returns
    -------
    (n, c, h', w')
    """
    return y * functional.interpolate(x, size=y.shape[2:], mode="bilinear", align_corners=True)


class _Bottleneck(nn.Module):
    """A block of a ResNet-152 as in torchvision: the stride is in the 3 x 3 convolution."""

    def __init__(self, channels: int, middle: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, 4 * middle, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * middle)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels != 4 * middle:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * middle, 1, stride=stride, bias=False), nn.BatchNorm2d(4 * middle)
            )

    def forward(self, x: Tensor) -> Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu_()
        x = self.bn2(self.conv2(x)).relu_()
        x = self.bn3(self.conv3(x))
        return x.add_(residual).relu_()


def _stage(channels: int, middle: int, blocks: int, stride: int) -> nn.Sequential:
    """A sequence of blocks of the ResNet; the first one has the stride."""
    return nn.Sequential(
        _Bottleneck(channels, middle, stride),
        *(_Bottleneck(4 * middle, middle, 1) for _ in range(blocks - 1)),
    )


def _extra(channels: int, middle: int, outputs: int) -> nn.Sequential:
    """A level beyond the ResNet, of half the size."""
    return nn.Sequential(
        nn.Conv2d(channels, middle, 1),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, outputs, 3, stride=2, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
