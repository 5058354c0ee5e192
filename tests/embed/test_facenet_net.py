"""facenet's network with random weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from faceindex.embed.facenet_net import InceptionResnetV1


@pytest.fixture(scope="module")
def network() -> InceptionResnetV1:
    """Random weights, with batch norms that change their input."""
    torch.manual_seed(0)
    network = InceptionResnetV1().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.002, 0.1)
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.2, 0.2)
    return network


def test_keys_and_shapes_equal_those_of_the_published_file(network: InceptionResnetV1) -> None:
    # The keys in facenet-pytorch's 20180402-114759-vggface2.pt, without logits.weight and logits.bias.
    state = network.state_dict()
    assert len(state) == 714
    assert (
        sum(value.numel() for key, value in state.items() if "num_batches_tracked" not in key) == 23_512_224
    )
    shapes = {
        "conv2d_1a.conv.weight": (32, 3, 3, 3),
        "conv2d_4b.bn.running_var": (256,),
        "repeat_1.4.branch2.2.conv.weight": (32, 32, 3, 3),
        "mixed_6a.branch1.2.conv.weight": (256, 192, 3, 3),
        "repeat_2.9.branch1.1.conv.weight": (128, 128, 1, 7),
        "mixed_7a.branch2.1.bn.num_batches_tracked": (),
        "repeat_3.0.conv2d.bias": (1792,),
        "block8.branch1.2.conv.weight": (192, 192, 3, 1),
        "last_linear.weight": (512, 1792),
        "last_bn.running_mean": (512,),
    }
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


def test_folding_batch_norm_keeps_the_outputs(network: InceptionResnetV1) -> None:
    folded = InceptionResnetV1().eval()
    folded.load_state_dict(network.state_dict(), strict=True)
    folded.fold()
    folded.fold()  # a second call has nothing left to fold
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in folded.modules())
    faces = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected, found = network(faces.clone()), folded(faces.clone())
    assert expected.shape == (2, 512)
    assert expected.std() > 1e-3
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_input_is_not_modified(network: InceptionResnetV1) -> None:
    faces = torch.rand(1, 3, 160, 160)
    before = faces.clone()
    with torch.inference_mode():
        network(faces)
    assert torch.equal(faces, before)
