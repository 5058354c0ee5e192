"""From the content of a weight file to a network that is ready to run."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from faceindex.errors import WeightsInvalid
from faceindex.models.spec import WeightFile

__all__ = ["fold_batch_norm", "load_network"]

_UNUSED = "num_batches_tracked"  # a counter for training that torch has kept since 0.4.1
_SHOWN = 3


def load_network(build: Callable[[], nn.Module], weight: WeightFile, content: bytes) -> nn.Module:
    """A network with the weights of a file; its batch norm is not yet folded.

    Parameters
    ----------
    build : callable
        Makes the network; its own weights are never allocated.
    weight : WeightFile
        Named in errors.
    content : bytes
        What `torch.save` made of a state dict.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, without gradients, on the CPU.

    Raises
    ------
    WeightsInvalid
        If the content is no state dict, its keys and shapes are not those of the network (names the
        first differences), or a value is not finite. Counters of batches may be missing, since old
        files lack them.
    """
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises whatever its parsers stumble on
        raise _invalid(weight, "it cannot be read as a torch file") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise _invalid(weight, "it does not hold a state dict of tensors")
    with torch.device("meta"):
        net = build()
    expected = net.state_dict()
    if found := _differences(expected, state):
        more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise _invalid(weight, f"{', '.join(found[:_SHOWN])}{more}")
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise _invalid(weight, "some of its values are not finite")
    net.load_state_dict({key: _as(state.get(key), value) for key, value in expected.items()}, assign=True)
    return net.eval().requires_grad_(False)


def fold_batch_norm(net: nn.Module) -> None:
    """Replace each convolution that batch norm follows, and the batch norm, by one convolution.

    Exact but for rounding: in evaluation mode batch norm is an affine map of each channel. A batch
    norm belongs to the convolution that its module holds just before it and that makes its channels.
    """
    for module in list(net.modules()):
        children = list(module.named_children())
        for (name, convolution), (norm_name, norm) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, _folded(convolution, norm))
                setattr(module, norm_name, nn.Identity())


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    # In double precision, so that rounding happens once.
    factor = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    bias = -mean.double() * factor + norm.bias.double()
    if convolution.bias is not None:
        bias += convolution.bias.double() * factor
    weight = (convolution.weight.double() * factor[:, None, None, None]).float()
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    convolution.bias = nn.Parameter(bias.float(), requires_grad=False)
    return convolution


def _differences(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    missing = [f"{key} is missing" for key in expected if key not in state and not key.endswith(_UNUSED)]
    shapes = [
        f"{key} is {_shape(state[key])} instead of {_shape(value)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    unknown = [f"{key} is unknown" for key in state if key not in expected]
    return missing + shapes + unknown


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a number"


def _as(found: Tensor | None, wanted: Tensor) -> Tensor:
    if found is None:
        return torch.zeros(wanted.shape, dtype=wanted.dtype)
    return found.to(wanted.dtype)


def _invalid(weight: WeightFile, problem: str) -> WeightsInvalid:
    return WeightsInvalid(
        f"{weight.name} does not hold the weights of this network: {problem}.",
        f"Get it again from {weight.source}.",
    )
