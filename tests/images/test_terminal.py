from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image as PillowImage

from faceindex.images.terminal import iterm_sequence, kitty_sequence, sixel_sequence
from faceindex.types import Image


def png(data: bytes) -> Image:
    return np.array(PillowImage.open(io.BytesIO(data)))


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def decode_sixel(text: str) -> Image:
    """Draw sixels as described in the manual of the VT340."""
    header = re.match(r'\x1bP0;1;0q"1;1;(\d+);(\d+)', text)
    assert header is not None
    assert text.endswith("\x1b\\")
    width, height = int(header[1]), int(header[2])
    canvas = np.full((height + 6, width, 3), 255, np.uint8)
    colours: dict[int, tuple[int, ...]] = {}
    colour = x = top = 0
    for token in re.finditer(
        r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)([?-~])|([?-~])|(\$)|(-)", text[header.end() : -2]
    ):
        define, red, green, blue, choose, times, repeated, single, back, down = token.groups()
        if define:
            colours[int(define)] = tuple(round(int(part) * 2.55) for part in (red, green, blue))
        elif choose:
            colour = int(choose)
        elif back:
            x = 0
        elif down:
            x, top = 0, top + 6
        else:
            count = int(times or 1)
            bits = ord(repeated or single) - 63
            for row in range(6):
                if bits >> row & 1:
                    canvas[top + row, x : x + count] = colours[colour]
            x += count
            assert x <= width
    assert (canvas[height:] == 255).all()
    return canvas[:height]


def test_kitty_sequence_is_exact() -> None:
    image = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)
    text = kitty_sequence(image)
    found = re.fullmatch(r"\x1b_Ga=T,f=100,q=2,m=0;([A-Za-z0-9+/=]+)\x1b\\", text)
    assert found is not None
    assert np.array_equal(png(base64.b64decode(found[1])), image)


def test_kitty_sequence_is_chunked() -> None:
    image = noise(60, 60)
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty_sequence(image))
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in chunks) == kitty_sequence(image)
    assert len(chunks) > 2
    assert [keys for keys, _ in chunks] == ["a=T,f=100,q=2,m=1", *["m=1"] * (len(chunks) - 2), "m=0"]
    assert all(len(data) == 4096 for _, data in chunks[:-1])
    assert np.array_equal(png(base64.b64decode("".join(data for _, data in chunks))), image)


def test_iterm_sequence_is_exact() -> None:
    image = noise(5, 7)
    found = re.fullmatch(
        r"\x1b\]1337;File=inline=1;size=(\d+);width=7px;height=5px;preserveAspectRatio=1:([A-Za-z0-9+/=]+)\x07",
        iterm_sequence(image),
    )
    assert found is not None
    data = base64.b64decode(found[2])
    assert len(data) == int(found[1])
    assert np.array_equal(png(data), image)


def test_sixel_sequence_is_exact() -> None:
    image = np.zeros((2, 5, 3), np.uint8)
    image[:, :4] = (255, 0, 0)
    image[0, 4] = (0, 0, 255)
    image[1, 4] = (255, 0, 0)
    text = sixel_sequence(image)
    colours = dict(re.findall(r"#(\d);2;(\d+;\d+;\d+)", text))
    red, blue = (
        next(key for key, value in colours.items() if value == wanted) for wanted in ("100;0;0", "0;0;100")
    )
    drawn = {red: f"#{red}!4BA", blue: f"#{blue}!4?@"}
    assert text == (
        '\x1bP0;1;0q"1;1;5;2'
        + "".join(f"#{key};2;{value}" for key, value in sorted(colours.items()))
        + "$".join(drawn[key] for key in sorted(drawn))
        + "-\x1b\\"
    )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (6, 9), (13, 31), (40, 20)])
def test_sixels_decode_to_the_image(height: int, width: int) -> None:
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    image = np.stack([np.tile(ramp, (height, 1))] * 3, axis=2)
    image[:, : width // 2, 0] = 200
    difference = np.abs(decode_sixel(sixel_sequence(image)).astype(int) - image)
    assert difference.max() <= 4  # colours are rounded to percent and reduced to 256


def test_sixels_of_many_colours_are_close() -> None:
    image = noise(24, 24)
    difference = np.abs(decode_sixel(sixel_sequence(image)).astype(int) - image)
    assert difference.mean() < 16
