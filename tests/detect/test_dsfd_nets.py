"""The networks of DSFD and lightDSFD and their anchors, with random weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from faceindex.detect.dsfd_anchors import STRIDES, anchors, decode
from faceindex.detect.dsfd_folding import fold_batch_norm
from faceindex.detect.dsfd_light_nets import LightDSFDNet
from faceindex.detect.dsfd_nets import DSFDNet, FeatureEnhance, Head, max_in_out, upsampled_product


def shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build().state_dict().items()}


def numbers(found: dict[str, tuple[int, ...]]) -> int:
    return sum(int(np.prod(shape)) for shape in found.values())


def random_light(seed: int = 0) -> nn.Module:
    """Return lightDSFD with random weights and statistics."""
    torch.manual_seed(seed)
    net = LightDSFDNet().eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    return net


def test_dsfd_has_the_keys_and_shapes_of_the_port() -> None:
    found = shapes(DSFDNet)
    counters = {key for key in found if key.endswith("num_batches_tracked")}
    assert len(found) == 1126
    assert numbers({key: shape for key, shape in found.items() if key not in counters}) == 120_212_646
    # A sample of the keys in hukkelas/DSFD-Pytorch-Inference; benchmarks/dsfd_equality.py compares all.
    for key, shape in {
        "layer1.0.weight": (64, 3, 7, 7),
        "layer1.1.running_var": (64,),
        "layer1.4.0.downsample.0.weight": (256, 64, 1, 1),
        "layer3.0.35.conv3.weight": (1024, 256, 1, 1),
        "layer5.3.bias": (512,),
        "latlayer3.weight": (1024, 2048, 1, 1),
        "cpm7.cpm2.weight": (256, 2048, 3, 3),
        "loc.1.conv4.weight": (8, 256, 1, 1),
        "conf.0.conv4.weight": (4, 256, 1, 1),
        "conf.5.conv4.weight": (8, 256, 1, 1),
    }.items():
        assert found[key] == shape


def test_light_dsfd_has_the_tensors_of_the_published_file() -> None:
    found = shapes(LightDSFDNet)
    published = {key: s for key, s in found.items() if not key.endswith("num_batches_tracked")}
    assert len(published) == 642
    assert numbers(published) == 991_716
    assert published["conv3.conv.weight"] == (64, 64, 5, 5)
    assert published["inception1.branch3x3_reduce_2.conv.weight"] == (8, 64, 1, 1)
    assert published["conf.5.conv3.weight"] == (2, 16, 1, 1)


def test_anchors_of_a_small_image_equal_those_computed_by_hand() -> None:
    found = anchors(20, 12).numpy()
    # Stride 4: 5 x 3 cells; 8: 3 x 2; 16: 2 x 1; one for each further level.
    assert found.shape == (15 + 6 + 2 + 1 + 1 + 1, 4)
    assert found.dtype == np.float32
    root = 1.5**0.5
    # The second cell of the third row at stride 4: an area of 16 x 16 px, clipped to the image's width.
    np.testing.assert_allclose(found[7], [6 / 12, 10 / 20, 1, 16 * root / 20], rtol=1e-6)
    assert 16 / root / 12 > 1
    # At stride 8 the last cell extends beyond the bottom, and its anchor is larger than the image.
    np.testing.assert_allclose(found[15 + 5], [1, 1, 1, 1])
    np.testing.assert_allclose(found[15 + 4], [4 / 12, 1, 1, 1], rtol=1e-6)


def test_large_images_have_anchors_of_six_sizes() -> None:
    found = anchors(1280, 1280).numpy()
    first = np.cumsum([0, *((1280 // stride) ** 2 for stride in STRIDES)])[:-1]
    sides = np.sqrt(found[first, 2] * found[first, 3]) * 1280
    np.testing.assert_allclose(sides, [16, 32, 64, 128, 256, 512], rtol=1e-6)
    np.testing.assert_allclose(found[first, 3] / found[first, 2], 1.5, rtol=1e-6)


def test_offsets_are_decoded_to_boxes() -> None:
    prior = torch.tensor([[0.5, 0.5, 0.2, 0.4]])
    torch.testing.assert_close(decode(torch.zeros(1, 4), prior), torch.tensor([[0.4, 0.3, 0.6, 0.7]]))
    # One tenth of the width to the right; twice as wide, half as high.
    offsets = torch.tensor([[1.0, 0.0, 5 * np.log(2), -5 * np.log(2)]], dtype=torch.float32)
    torch.testing.assert_close(decode(offsets, prior), torch.tensor([[0.32, 0.4, 0.72, 0.6]]))


def test_max_in_out_takes_the_largest_of_three_outputs() -> None:
    outputs = torch.tensor([1.0, 3.0, 2.0, 9.0]).view(1, 4, 1, 1)
    assert max_in_out(outputs, first=True).flatten().tolist() == [3, 9]
    assert max_in_out(outputs, first=False).flatten().tolist() == [9, 3]


def test_upsampling_aligns_corners() -> None:
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).view(1, 1, 2, 2)
    y = torch.full((1, 1, 3, 5), 2.0)
    expected = torch.tensor([[0, 0.5, 1, 1.5, 2], [2, 2.5, 3, 3.5, 4], [4, 4.5, 5, 5.5, 6]])
    torch.testing.assert_close(upsampled_product(x, y)[0, 0], expected)


def test_enhanced_features_keep_the_size_of_the_level() -> None:
    torch.manual_seed(0)
    found = FeatureEnhance(8)(torch.randn(2, 8, 5, 7))
    assert found.shape == (2, 512, 5, 7)
    assert Head(6)(found).shape == (2, 6, 5, 7)


@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 33), (1, 1)])
def test_light_dsfd_gives_one_output_for_each_anchor(height: int, width: int) -> None:
    net = random_light()
    batch = torch.randn(2, 3, height, width) * 50
    with torch.inference_mode():
        logits, offsets = net(batch)
        assert logits.shape == (2, len(anchors(height, width)), 2)
        assert offsets.shape == (2, len(anchors(height, width)), 4)
        assert torch.isfinite(logits).all()
        again = net(batch)[0]
        torch.testing.assert_close(logits, again, rtol=0, atol=0)
        for index in range(2):
            single = net(batch[index : index + 1])
            torch.testing.assert_close(single[0][0], logits[index], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(single[1][0], offsets[index], rtol=1e-5, atol=1e-5)


def test_dsfd_gives_one_output_for_each_anchor_of_each_image() -> None:
    torch.manual_seed(0)
    net = DSFDNet().eval().requires_grad_(False)
    batch = torch.randn(2, 3, 37, 66)
    with torch.inference_mode():
        logits, offsets = net(batch)
        assert logits.shape == (2, len(anchors(37, 66)), 2)
        assert offsets.shape == (2, len(anchors(37, 66)), 4)
        for index in range(2):
            single = net(batch[index : index + 1])
            torch.testing.assert_close(single[0][0], logits[index], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(single[1][0], offsets[index], rtol=1e-5, atol=1e-5)


def test_folding_batch_norm_keeps_the_outputs() -> None:
    net = random_light()
    batch = torch.randn(1, 3, 64, 64) * 50
    with torch.inference_mode():
        before = net(batch)
        fold_batch_norm(net)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
        after = net(batch)
    assert before[0].std() > 1e-3
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
