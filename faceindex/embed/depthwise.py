"""Compiled loops of MobileFaceNet that torch has no fused form of: PReLU and depthwise convolutions.

A network of 1 x 1 convolutions spends its time in matrix products, which torch computes at the speed of the
processor. PReLU and depthwise convolutions between them do little arithmetic, and as separate passes over
memory they take as long as the products. Each loop here reads the output of a product once: it adds the bias,
applies PReLU, convolves, adds the bias, applies PReLU, and writes the input of the next product.

All arrays have the channels last in memory. PReLU (He et al. 2015, https://arxiv.org/abs/1502.01852) is
``max(x, 0) + slope * min(x, 0)``, with a slope for each channel.
"""

from __future__ import annotations

import numpy as np

from faceindex.compiled import compiled
from faceindex.types import F32, U8

__all__ = ["convolve", "cut_patches", "pool"]

_ZERO = np.float32(0)
_MIDDLE, _RANGE = np.float32(127.5), np.float32(1 / 128)


@compiled(nogil=True)
def cut_patches(chips: U8, patches: F32) -> None:
    """Cut the windows of a 3 x 3 convolution of stride 2 out of chips, normalised as ``(x - 127.5) / 128``.

    Parameters
    ----------
    chips : (n, h, w, 3) uint8
    patches : (n, h / 2, w / 2, 27) float32
        Written: rows, columns and colours of each window, in this order. Beyond the last row and column, the
        normalised values are 0 (padding ``SAME`` of TensorFlow).
    """
    n, height, width, _ = chips.shape
    for i in range(n):
        for y in range(patches.shape[1]):
            for x in range(patches.shape[2]):
                patch = patches[i, y, x]
                for row in range(3):
                    for column in range(3):
                        at = (3 * row + column) * 3
                        if 2 * y + row < height and 2 * x + column < width:
                            pixel = chips[i, 2 * y + row, 2 * x + column]
                            for colour in range(3):
                                patch[at + colour] = (np.float32(pixel[colour]) - _MIDDLE) * _RANGE
                        else:
                            patch[at : at + 3] = _ZERO


@compiled(nogil=True, fastmath={"contract"})
def convolve(
    x: F32, bias: F32, slope: F32, weight: F32, bias_out: F32, slope_out: F32, stride: int, out: F32
) -> None:
    """Bias, PReLU, depthwise 3 x 3 convolution, bias, PReLU.

    Parameters
    ----------
    x : (n, h, w, c) float32
    bias, slope : (c,) float32
        Before the convolution.
    weight : (9, c) float32
        In the order of rows and columns.
    bias_out, slope_out : (c,) float32
        After the convolution.
    stride : int
        1 pads all sides by one; 2 pads the end of even sides (``SAME`` of TensorFlow).
    out : (n, ceil(h / stride), ceil(w / stride), c) float32
        Written.
    """
    n, height, width, channels = x.shape
    before = 1 if stride == 1 else 0  # rows and columns of padding at the beginning
    rows = np.zeros((3, width + 2, channels), np.float32)  # the activated rows of one window
    for i in range(n):
        rows[:] = _ZERO
        activated = -1  # last row of x in `rows`
        for y in range(out.shape[1]):
            top = y * stride - before
            while activated < min(top + 2, height - 1):
                activated += 1
                row = rows[activated % 3]
                for column in range(width):
                    source, target = x[i, activated, column], row[column + before]
                    for c in range(channels):
                        value = source[c] + bias[c]
                        target[c] = max(value, _ZERO) + slope[c] * min(value, _ZERO)
            if top + 2 >= height:
                rows[(top + 2) % 3] = _ZERO
            above, here, below = rows[top % 3], rows[(top + 1) % 3], rows[(top + 2) % 3]
            for column in range(out.shape[2]):
                k = column * stride
                # One expression, so that the compiler keeps the sum in a register.
                a0, a1, a2 = above[k], above[k + 1], above[k + 2]
                b0, b1, b2 = here[k], here[k + 1], here[k + 2]
                c0, c1, c2 = below[k], below[k + 1], below[k + 2]
                target = out[i, y, column]
                for c in range(channels):
                    value = (
                        bias_out[c]
                        + a0[c] * weight[0, c]
                        + a1[c] * weight[1, c]
                        + a2[c] * weight[2, c]
                        + b0[c] * weight[3, c]
                        + b1[c] * weight[4, c]
                        + b2[c] * weight[5, c]
                        + c0[c] * weight[6, c]
                        + c1[c] * weight[7, c]
                        + c2[c] * weight[8, c]
                    )
                    target[c] = max(value, _ZERO) + slope_out[c] * min(value, _ZERO)


@compiled(nogil=True, fastmath={"contract"})
def pool(x: F32, bias: F32, slope: F32, weight: F32, out: F32) -> None:
    """Bias, PReLU, and the sum over all positions weighted for each channel (a global depthwise convolution).

    Parameters
    ----------
    x : (n, p, c) float32
    bias, slope : (c,) float32
    weight : (p, c) float32
    out : (n, c) float32
        Written.
    """
    n, positions, channels = x.shape
    for i in range(n):
        target = out[i]
        target[:] = _ZERO
        for position in range(positions):
            source = x[i, position]
            for c in range(channels):
                value = source[c] + bias[c]
                target[c] += (max(value, _ZERO) + slope[c] * min(value, _ZERO)) * weight[position, c]
