"""Text on images: labels below thumbnails, numbered boxes around faces."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from faceindex.types import F32, U8, Image

__all__ = ["draw_boxes", "label_tiles"]

_Font: TypeAlias = "PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont"

_FONT_SIZE = 13  # pixels; some 16 letters fit below a tile of 112 pixels
_LABEL_HEIGHT = 18
_BOX, _EDGE, _TEXT = (255, 213, 0), (0, 0, 0), (0, 0, 0)  # yellow and black: visible on light and on dark
_QUOTES = str.maketrans("‘’“”", "''\"\"")


def label_tiles(tiles: U8, labels: Sequence[str]) -> U8:
    """Add a strip with one line of text below each tile, black on white.

    Text that does not fit is cut in its middle, so that a file name keeps its number and its suffix.
    Pillow's default font has only ASCII letters: accents are dropped, and other letters become question
    marks.

    Parameters
    ----------
    tiles : (n, h, w, 3) uint8
    labels : sequence of str
        One for each tile; may be empty.

    Returns
    -------
    (n, h + 18, w, 3) uint8
    """
    font = _font(_FONT_SIZE)
    width = tiles.shape[2]
    strips = np.full((len(tiles), _LABEL_HEIGHT, width, 3), 255, np.uint8)
    _, top, _, bottom = font.getbbox("Ag")
    for strip, label in zip(strips, labels, strict=True):
        text = _shorten(_to_ascii(label), font, width - 2)
        canvas = PIL.Image.new("RGB", (width, _LABEL_HEIGHT), "white")
        position = ((width - font.getlength(text)) / 2, (_LABEL_HEIGHT - top - bottom) / 2)
        PIL.ImageDraw.Draw(canvas).text(position, text, _TEXT, font)
        strip[:] = np.asarray(canvas)
    return np.concatenate([tiles, strips], axis=1)


def draw_boxes(image: Image, boxes: F32, labels: Sequence[str]) -> Image:
    """Draw a box with a label around each face, on a copy of the image.

    Lines and letters grow with the image, so that they stay legible when it is scaled down, but not beyond
    the size of the faces, so that the labels of a crowd cover few faces.

    Parameters
    ----------
    image : (h, w, 3) uint8
    boxes : (n, 4) float32
        ``x1 y1 x2 y2`` in pixels of the image; may exceed it.
    labels : sequence of str
        One for each box, for example its number. Letters as in `label_tiles`.

    Returns
    -------
    (h, w, 3) uint8
    """
    height, width = image.shape[:2]
    canvas = PIL.Image.fromarray(image)
    draw = PIL.ImageDraw.Draw(canvas)
    longest = max(height, width)
    face = float(np.median(boxes[:, 3] - boxes[:, 1])) if len(boxes) else 0.0
    font = _font(max(_FONT_SIZE, round(min(longest / 45, face / 2))))
    line = max(2, round(min(longest / 400, face / 12)))
    edge = max(1, line // 4)
    limits = np.array([width - 1, height - 1] * 2)
    corners = np.clip(np.rint(boxes), 0, limits).astype(int).tolist()
    for left, top, right, bottom in corners:
        draw.rectangle((left, top, right, bottom), outline=_EDGE, width=line + 2 * edge)
        if min(right - left, bottom - top) > 2 * edge:
            inner = (left + edge, top + edge, right - edge, bottom - edge)
            draw.rectangle(inner, outline=_BOX, width=line)
    # Labels are drawn after all boxes, so that no line crosses them.
    for (left, top, _, _), label in zip(corners, labels, strict=True):
        text = _shorten(_to_ascii(label), font, width)
        _, text_top, _, text_bottom = font.getbbox("Ag")
        tag_width, tag_height = font.getlength(text) + 2 * line, text_bottom - text_top + 2 * line
        x = max(0.0, min(float(left), width - tag_width))
        y = top - tag_height if top >= tag_height else top  # above the box, or in it if there is no room
        draw.rectangle((x, y, x + tag_width, y + tag_height), fill=_BOX, outline=_EDGE, width=edge)
        draw.text((x + line, y + line - text_top), text, _TEXT, font)
    return np.array(canvas)


def _font(size: int) -> _Font:
    try:
        return PIL.ImageFont.load_default(size=size)
    except ImportError:  # a Pillow without FreeType has one bitmap font of one size
        return PIL.ImageFont.load_default()


def _to_ascii(text: str) -> str:
    """Replace what the default font cannot draw: drop accents, then replace other letters by ``?``."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in plain)


def _shorten(text: str, font: _Font, width: float) -> str:
    """Cut text to a width in pixels; three dots replace its middle."""
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept:
        kept -= 1
        shortened = f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
        if kept and font.getlength(shortened) <= width:
            return shortened
    return ""
