"""Layers of MTCNN's networks that differ from torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import max_pool2d

from faceindex.detect.mtcnn_nets import ONet, PNet, RNet, max_pool


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize(
    "shape", [(1, 3, 3, 3), (2, 5, 8, 9), (4, 28, 22, 22), (3, 1, 11, 4), (0, 7, 22, 22)]
)
def test_max_pool_equals_torch(kernel: int, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    expected = max_pool2d(x, kernel, stride=2, ceil_mode=True)
    assert torch.equal(max_pool(x, kernel), expected)
    assert torch.equal(max_pool(x.contiguous(memory_format=torch.channels_last), kernel), expected)


def test_outputs_have_the_documented_shapes() -> None:
    with torch.inference_mode():
        pnet = PNet()
        probability, features = pnet(torch.zeros(2, 3, 12, 31), torch.empty(0, dtype=torch.int64))
        assert probability.shape == (2, 1, 11)
        assert features.shape == (2, 1, 11, 32)
        assert pnet.offsets(features[0, 0]).shape == (11, 4)
        for count in (0, 3):
            shapes = [tuple(output.shape) for output in RNet()(torch.zeros(count, 3, 24, 24))]
            assert shapes == [(count,), (count, 4)]
            shapes = [tuple(output.shape) for output in ONet()(torch.zeros(count, 3, 48, 48))]
            assert shapes == [(count,), (count, 4), (count, 10)]
