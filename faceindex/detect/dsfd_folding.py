"""Folding of batch norm into convolutions."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

__all__ = ["fold_batch_norm"]


def fold_batch_norm(net: nn.Module) -> None:
    """Replace each convolution that is followed by batch norm, and the batch norm, by one convolution.

    The result is exact except for rounding: in evaluation mode, batch norm is an affine map of each
    channel. A batch norm is folded into the convolution that stands directly before it in the same module,
    which must be the one that computes its input.
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
    # In double precision, so that the result is rounded only once.
    factor = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    bias = -mean.double() * factor + norm.bias.double()
    if convolution.bias is not None:
        bias += convolution.bias.double() * factor
    weight = (convolution.weight.double() * factor[:, None, None, None]).float()
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    convolution.bias = nn.Parameter(bias.float(), requires_grad=False)
    return convolution
