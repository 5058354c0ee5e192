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

__all__ = ["ONet", "PNet", "RNet", "max_pool"]


class PNet(nn.Module):
    """Proposals: fully convolutional, one window of 12 px for every second pixel.

    Parameters
    ----------
    masked : (m,) int64
        Pixels of the first convolution's output, in the order of memory, that the pooling ignores.

    Returns
    -------
    probability : (n, h', w')
        That the window contains a face.
    features : (n, h', w', 32)
        Input of `offsets`, which is computed for the few windows that need it.
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

    def forward(self, x: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network; see the class."""
        x = _prelu_of_rows(self.conv1(x), self.prelu1.weight)
        x.permute(0, 2, 3, 1).flatten(0, 2).index_fill_(0, masked, -torch.inf)
        x = max_pool(x, 2)
        x = self.prelu2(self.conv2(x))
        x = self.prelu3(self.conv3(x)).permute(0, 2, 3, 1)
        # The softmax of two logits is the logistic function of their difference. As a product with one
        # vector it is ten times as fast as a convolution with so few channels.
        weight, bias = self.conv4_1.weight[:, :, 0, 0], self.conv4_1.bias
        assert bias is not None
        return torch.sigmoid(x @ (weight[1] - weight[0]) + (bias[1] - bias[0])), x

    def offsets(self, features: Tensor) -> Tensor:
        """Compute offsets (m, 4) of windows, as fractions of their size, from features (m, 32)."""
        return nn.functional.linear(features, self.conv4_2.weight[:, :, 0, 0], self.conv4_2.bias)


class RNet(nn.Module):
    """Refinement: classifies crops of 24 px.

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
        x = max_pool(self.prelu1(self.conv1(x)), 3)
        x = max_pool(self.prelu2(self.conv2(x)), 3)
        x = self.prelu3(self.conv3(x))
        x = self.prelu4(self.dense4(_flatten(x)))
        return _face_probability(self.dense5_1(x)), self.dense5_2(x)


class ONet(nn.Module):
    """Output: classifies crops of 48 px and locates five landmarks.

    Returns
    -------
    probability : (n,)
    offsets : (n, 4)
    landmarks : (n, 10)
        The five x, then the five y, as fractions of the crop's side.
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
        x = max_pool(self.prelu1(self.conv1(x)), 3)
        x = max_pool(self.prelu2(self.conv2(x)), 3)
        x = max_pool(self.prelu3(self.conv3(x)), 2)
        x = self.prelu4(self.conv4(x))
        x = self.prelu5(self.dense5(_flatten(x)))
        return _face_probability(self.dense6_1(x)), self.dense6_2(x), self.dense6_3(x)


def max_pool(x: Tensor, kernel: int) -> Tensor:
    """Max pooling with stride 2, in which the last window may be incomplete (``ceil_mode``).

    It is computed as elementwise maxima of shifted views. For channels last on a CPU, this is 8 times as
    fast as torch's own pooling for windows of 2, and twice as fast for windows of 3.
    """
    for axis in (2, 3):
        count = -(-(x.shape[axis] - kernel) // 2) + 1
        views = [x[(slice(None),) * axis + (slice(shift, None, 2),)] for shift in range(kernel)]
        *firsts, last = (view.narrow(axis, 0, min(count, view.shape[axis])) for view in views)
        x = firsts[0]
        for view in firsts[1:]:
            x = torch.maximum(x, view)
        whole = last.shape[axis]  # an incomplete window lacks its last pixel
        if whole == count:
            x = torch.maximum(x, last)
        else:
            cut = x.narrow(axis, whole, 1)
            x = torch.cat([torch.maximum(x.narrow(axis, 0, whole), last), cut], dim=axis)
    return x


def _prelu_of_rows(x: Tensor, weight: Tensor) -> Tensor:
    """PReLU of an image with few channels that are last in memory.

    torch vectorises PReLU over the channels, and ten channels do not fill a vector. With the channels of a
    whole row of pixels side by side, it takes a tenth of the time.
    """
    n, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(n * height, width * channels)
    rows = nn.functional.prelu(rows, weight.repeat(width))
    return rows.view(n, height, width, channels).permute(0, 3, 1, 2)


def _face_probability(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=1)[:, 1]


def _flatten(x: Tensor) -> Tensor:
    # The dense layers were trained with the axes in the order of Caffe-MATLAB: width, height, channels.
    return x.permute(0, 3, 2, 1).flatten(1)
