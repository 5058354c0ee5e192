"""Layers of the dlib networks that `faceindex.models.dlib_format` reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from faceindex.types import F32

__all__ = [
    "Add",
    "Affine",
    "AveragePool",
    "Convolution",
    "Input",
    "Layer",
    "LayerKind",
    "Linear",
    "MaxPool",
    "PyramidInput",
    "ReLU",
    "Skip",
    "SlidingWindow",
    "Tag",
]


@dataclass(frozen=True, slots=True)
class Input:
    """``input_rgb_image_sized``: subtract `mean` (red, green, blue) and divide by 256."""

    mean: tuple[float, float, float]
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class PyramidInput:
    """``input_rgb_image_pyramid``: normalise as `Input`, and tile the levels of an image pyramid.

    `padding` pixels separate the levels, and `outer_padding` pixels surround the tiling.
    """

    mean: tuple[float, float, float]
    padding: int
    outer_padding: int


@dataclass(frozen=True, slots=True)
class SlidingWindow:
    """Options of ``loss_mmod`` that detection needs.

    Attributes
    ----------
    width, height : int
        Size of the window in pixels.
    iou, covered : float
        The box with the lower score is dropped if two boxes have an intersection over union above `iou`,
        or if one covers the other by a share above `covered`.
    """

    width: int
    height: int
    iou: float
    covered: float


@dataclass(frozen=True, slots=True)
class Convolution:
    """``con_``: `weight` (out, in, height, width) float32, `bias` (out,) float32."""

    weight: F32
    bias: F32
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Affine:
    """``affine_``: `scale` (channels,) float32 and `shift` (channels,) float32; frozen batch norm.

    A ``bn_con`` layer is converted to this when it is read, as dlib does.
    """

    scale: F32
    shift: F32


@dataclass(frozen=True, slots=True)
class Linear:
    """``fc_`` without a bias: `weight` (out, in) float32."""

    weight: F32


@dataclass(frozen=True, slots=True)
class MaxPool:
    """``max_pool_``; a window of 0 covers the whole plane."""

    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class AveragePool:
    """``avg_pool_``; a window of 0 covers the whole plane."""

    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ReLU:
    """``relu_``."""


@dataclass(frozen=True, slots=True)
class Add:
    """``add_prev_``: add a tagged layer; if sizes differ, the smaller is padded with zeros."""


@dataclass(frozen=True, slots=True)
class Tag:
    """``add_tag_layer``: make its input available to `Add` and `Skip`. Stores nothing."""


@dataclass(frozen=True, slots=True)
class Skip:
    """``add_skip_layer``: continue from a tagged layer. Stores nothing."""


Layer: TypeAlias = (
    Input | PyramidInput | Convolution | Affine | Linear | MaxPool | AveragePool | ReLU | Add | Tag | Skip
)
LayerKind: TypeAlias = type[Layer]
