"""Encode images as escape sequences of terminals: kitty, iTerm2, sixel."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import PIL.Image

from faceindex.types import Image

__all__ = ["iterm_sequence", "kitty_sequence", "sixel_sequence"]

_KITTY_CHUNK = 4096
_SIXEL_COLOURS = 256


def kitty_sequence(image: Image) -> str:
    """Encode an image for kitty's graphics protocol, as PNG in chunks.

    Parameters
    ----------
    image : (h, w, 3) uint8

    Notes
    -----
    https://sw.kovidgoyal.net/kitty/graphics-protocol/: ``a=T`` transmits and displays the image, ``f=100``
    means PNG, ``q=2`` suppresses responses, and ``m=1`` marks that more chunks follow. A chunk has at most
    4,096 base64 characters.
    """
    text = base64.b64encode(_png(image)).decode()
    chunks = [text[start : start + _KITTY_CHUNK] for start in range(0, len(text), _KITTY_CHUNK)]
    parts = []
    for number, chunk in enumerate(chunks):
        keys = "a=T,f=100,q=2," if number == 0 else ""
        parts.append(f"\x1b_G{keys}m={int(number < len(chunks) - 1)};{chunk}\x1b\\")
    return "".join(parts)


def iterm_sequence(image: Image) -> str:
    """Encode an image for iTerm2's inline images protocol, as PNG.

    Parameters
    ----------
    image : (h, w, 3) uint8

    Notes
    -----
    https://iterm2.com/documentation-images.html; ``size`` is the size of the PNG in bytes.
    """
    data = _png(image)
    height, width = image.shape[:2]
    keys = f"inline=1;size={len(data)};width={width}px;height={height}px;preserveAspectRatio=1"
    return f"\x1b]1337;File={keys}:{base64.b64encode(data).decode()}\x07"


def sixel_sequence(image: Image) -> str:
    """Encode an image as sixels, in a palette of up to 256 colours.

    Parameters
    ----------
    image : (h, w, 3) uint8

    Notes
    -----
    DEC, VT330/VT340 Programmer Reference Manual, volume 2, chapter 14. Each character from ``?`` (63) on
    encodes a column of six pixels. ``#`` selects a colour, or defines it in percent; ``!`` repeats a
    character; ``$`` returns to the start of the band; ``-`` starts the next band.
    """
    height, width = image.shape[:2]
    picture = PIL.Image.fromarray(image)
    reduced = picture.quantize(_SIXEL_COLOURS, method=PIL.Image.Quantize.MEDIANCUT)
    palette = np.array(reduced.getpalette() or [], int).reshape(-1, 3)
    pixels = np.asarray(reduced)
    parts = [f'\x1bP0;1;0q"1;1;{width};{height}']
    for colour in np.unique(pixels).tolist():
        red, green, blue = ((palette[colour] * 100 + 127) // 255).tolist()
        parts.append(f"#{colour};2;{red};{green};{blue}")
    parts.extend("$".join(_band(pixels[top : top + 6])) + "-" for top in range(0, height, 6))
    return "".join(parts) + "\x1b\\"


def _band(rows: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Iterator[str]:
    weights = (1 << np.arange(len(rows)))[:, None]
    for colour in np.unique(rows).tolist():
        values = ((rows == colour) * weights).sum(axis=0) + 63
        changes = np.flatnonzero(np.diff(values)) + 1
        starts = np.concatenate([[0], changes, [len(values)]])
        yield f"#{colour}" + "".join(
            _repeated(chr(values[start]), int(end - start)) for start, end in pairwise(starts)
        )


def _repeated(letter: str, times: int) -> str:
    return f"!{times}{letter}" if times > 3 else letter * times


def _png(image: Image) -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()
