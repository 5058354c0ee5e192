"""The three networks of MTCNN: proposal, refinement, output.

Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks", IEEE Signal Processing Letters 2016, https://arxiv.org/abs/1604.02878.
Layers, their sizes and the keys of the state dicts are those of facenet-pytorch 2.5.3
(``models/mtcnn.py``), whose weights are loaded into them.

Each takes (n, 3, h, w) float32 RGB, grey levels mapped to (x - 127.5) / 128.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["ONet", "PNet", "RNet"]


class PNet(nn.Module):
    """Proposals: fully convolutional, one 12-px window for every second pixel.

    Returns
    -------
    probability : (n, h', w')
        That the window holds a face.
    offsets : (n, 4, h', w')
        Of its sides, in parts of the window's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network; see the class."""
        x = _max_pool(self.prelu1(self.conv1(x)), 2)
        x = self.prelu2(self.conv2(x))
        x = self.prelu3(self.conv3(x))
        return _face_probability(self.conv4_1(x)), self.conv4_2(x)


class RNet(nn.Module):
    """Refinement: judges 24-px crops.

    Returns
    -------
    probability : (n,)
    offsets : (n, 4)
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network; see the class."""
        x = _max_pool(self.prelu1(self.conv1(x)), 3)
        x = _max_pool(self.prelu2(self.conv2(x)), 3)
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(_flatten(x)))
        return _face_probability(self.dense5_1(x)), self.dense5_2(x)


class ONet(nn.Module):
    """Output: judges 48-px crops and places five landmarks.

    Returns
    -------
    probability : (n,)
    offsets : (n, 4)
    landmarks : (n, 10)
        The five x, then the five y, in parts of the crop's side.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network; see the class."""
        x = _max_pool(self.prelu1(self.conv1(x)), 3)
        x = _max_pool(self.prelu2(self.conv2(x)), 3)
        x = _max_pool(self.prelu3(self.conv3(x)), 2)
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(_flatten(x)))
        return _face_probability(self.dense6_1(x)), self.dense6_2(x), self.dense6_3(x)


def _max_pool(x: Tensor, kernel: int) -> Tensor:
    """Max pooling with stride 2 and a last window that may be cut short (``ceil_mode``).

    Elementwise maxima of shifted views: for channels last on a CPU, 8 times as fast as torch's own
    for windows of 2 and twice as fast for 3.
    """
    for axis in (2, 3):
        shape = list(x.shape)
        whole = (shape[axis] - kernel) // 2 + 1
        cut = (shape[axis] - kernel) % 2
        shape[axis] = whole + cut
        pooled = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        first, *others = (
            x[(slice(None),) * axis + (slice(shift, shift + 2 * whole - 1, 2),)] for shift in range(kernel)
        )
        target = pooled.narrow(axis, 0, whole)
        for other in others:
            first = torch.maximum(first, other, out=target)
        if cut:
            rest = x.narrow(axis, 2 * whole, x.shape[axis] - 2 * whole)
            pooled.narrow(axis, whole, 1).copy_(rest.amax(axis, keepdim=True))
        x = pooled
    return x


def _face_probability(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=1)[:, 1]


def _flatten(x: Tensor) -> Tensor:
    # The dense layers were trained on Caffe-MATLAB's order of axes: width before height, channels last.
    return x.permute(0, 3, 2, 1).flatten(1)
