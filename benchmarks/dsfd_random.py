"""Random weights and random photos for comparing implementations of DSFD."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from faceindex.detect.dsfd import to_input

__all__ = ["random_photos", "randomise"]


def randomise(net: nn.Module, seed: int) -> None:
    """Set random weights that keep activations near 1, and random batch norm that fits them.

    Weights are scaled layer by layer, so that scores are spread. Batch norm gets the statistics of a random
    photo, with noise.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(tensor: Tensor, scale: float) -> None:
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)

    def uniform(tensor: Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            normal(module.weight, math.sqrt(2 / module.weight[0].numel()))
            if module.bias is not None:
                normal(module.bias, 0.3)
        elif isinstance(module, nn.BatchNorm2d):
            # The last of a residual block is small; otherwise 50 blocks would add up.
            residual = name.endswith("bn3")
            uniform(module.weight, *((0.05, 0.2) if residual else (0.6, 1.4)))
            normal(module.bias, 0.3)

    def settle(name: str, module: nn.Module) -> Callable[..., Tensor | None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if isinstance(module, nn.BatchNorm2d):
                mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
                # A channel that hardly varies on this photo must not explode on another.
                deviation = variance.sqrt().clamp(min=float(variance.mean().sqrt()) / 2)
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.copy_(mean + noise(len(mean)) * deviation * 0.2)
                module.running_var.copy_((deviation * torch.exp(noise(len(mean)) * 0.2)) ** 2)
                return nn.functional.batch_norm(
                    inputs[0], module.running_mean, module.running_var, module.weight, module.bias
                )
            if not isinstance(module, nn.Conv2d) or module.bias is None:
                return None
            # Standard deviation 1, and less for offsets. The factors of the pyramid have mean 1; otherwise
            # products of products would be 0 in some places and huge in others.
            product = name.startswith(("latlayer", "smooth"))
            last = name.endswith("conv4")
            wanted = 0.3 if product else 0.5 if last and name.startswith("loc") else 1.0
            factor, shift = wanted / float(output.std().clamp(min=1e-6)), float(product)
            module.weight.mul_(factor)
            module.bias.mul_(factor).add_(shift)
            return output * factor + shift

        return hook

    def noise(count: int) -> Tensor:
        return torch.randn(count, generator=generator)

    handles = [module.register_forward_hook(settle(name, module)) for name, module in net.named_modules()]
    photo = random_photos(np.random.default_rng(seed), 320, 288)
    net(to_input(photo, photo[0].shape[:2], torch.device("cpu")).contiguous(), 0.5, 0.3)
    for handle in handles:
        handle.remove()


def random_photos(rng: np.random.Generator, height: int, width: int) -> list[np.ndarray]:
    """Return two RGB photos of blobs and noise."""
    photos = []
    for _ in range(2):
        image = rng.normal(0, 25, (height, width, 3))
        y, x = np.mgrid[:height, :width]
        for _ in range(12):
            centre, radius = rng.random(2) * (height, width), rng.uniform(4, 120)
            blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / radius**2)
            image += blob[..., None] * rng.normal(0, 90, 3)
        photos.append((image + 118).clip(0, 255).astype(np.uint8))
    return photos
