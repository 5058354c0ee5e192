"""Pixel modes: all images become 8-bit RGB that looks the same."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from faceindex.images import decode
from faceindex.types import Image

RAMP = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
COLOURS = np.stack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 90)], axis=-1)


def through(image: PIL.Image.Image, image_format: str, shrink: int = 1, **options: object) -> Image:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return decode(buffer.getvalue(), "x", shrink=shrink).image


def grey(array: NDArray[np.generic]) -> Image:
    return np.repeat(array.astype(np.uint8)[..., None], 3, axis=-1)


def difference(a: Image, b: NDArray[np.generic]) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "JPEG"])
def test_grey_is_converted(image_format: str) -> None:
    assert difference(through(PIL.Image.fromarray(RAMP), image_format), grey(RAMP)) <= 2


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_converted(image_format: str) -> None:
    bits = (RAMP > 100) * np.uint8(255)
    assert difference(through(PIL.Image.fromarray(bits).convert("1"), image_format), grey(bits)) == 0


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "GIF", "BMP"])
def test_palettes_are_converted(image_format: str) -> None:
    image = PIL.Image.fromarray(COLOURS).convert("P", palette=PIL.Image.Palette.ADAPTIVE)
    expected = np.asarray(image.convert("RGB"))
    assert difference(through(image, image_format), expected) == 0
    # The average of palette indices would be an unrelated colour.
    half = through(image, image_format, shrink=2)
    assert difference(half, expected.reshape(8, 2, 128, 2, 3).mean((1, 3))) <= 1


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_transparent_images_are_drawn_over_white(image_format: str) -> None:
    alpha = np.linspace(0, 255, 16).round().astype(np.uint8)[:, None] * np.ones((1, 256), np.uint8)
    image = PIL.Image.fromarray(np.dstack([COLOURS, alpha]))
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    weight = alpha[..., None] / 255
    expected = (COLOURS * weight + 255 * (1 - weight)).round()
    assert difference(through(image, image_format, **options), expected) <= 1


def test_transparent_grey_images_are_drawn_over_white() -> None:
    alpha = np.where(np.arange(256) < 128, 0, 255).astype(np.uint8) * np.ones((16, 1), np.uint8)
    image = PIL.Image.merge("LA", [PIL.Image.fromarray(RAMP), PIL.Image.fromarray(alpha)])
    assert difference(through(image, "PNG"), grey(np.where(alpha == 0, 255, RAMP))) == 0


def test_opaque_and_fully_transparent_alpha_are_ignored() -> None:
    for value in (255, 0):
        image = PIL.Image.fromarray(np.dstack([COLOURS, np.full_like(RAMP, value)]))
        assert difference(through(image, "PNG"), COLOURS) == 0


def test_transparent_palette_entries_and_colours_become_white() -> None:
    image = PIL.Image.fromarray((RAMP // 64).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 50, 60, 70, 100, 110, 120, 200, 210, 220])
    for image_format in ("PNG", "GIF"):
        decoded = through(image, image_format, transparency=0)
        assert decoded[0, 10].tolist() == [255, 255, 255], image_format
        assert decoded[0, 100].tolist() == [50, 60, 70], image_format
    decoded = through(PIL.Image.fromarray(COLOURS), "PNG", transparency=(10, 245, 90))
    assert decoded[0, 10].tolist() == [255, 255, 255]
    assert difference(decoded[:, 11:], COLOURS[:, 11:]) == 0
    decoded = through(PIL.Image.fromarray(RAMP), "PNG", transparency=7)
    assert difference(decoded, grey(np.where(RAMP == 7, 255, RAMP))) == 0


@pytest.mark.parametrize("image_format", ["TIFF", "JPEG"])
@pytest.mark.parametrize("shrink", [1, 2])
def test_cmyk_is_converted(image_format: str, shrink: int) -> None:
    """Pillow writes CMYK JPEGs as Adobe does, inverted."""
    image = PIL.Image.fromarray(COLOURS).convert("CMYK")
    options = {"quality": 95, "subsampling": 0} if image_format == "JPEG" else {}
    decoded = through(image, image_format, shrink, **options)
    expected = COLOURS[:, ::shrink] if shrink == 1 else COLOURS.reshape(8, 2, 128, 2, 3).mean((1, 3))
    assert difference(decoded, expected) <= 6


def adobe_jpeg(transform: int | None) -> bytes:
    """A CMYK JPEG of one ink with the given transform in its Adobe segment, or without the segment."""
    buffer = io.BytesIO()
    PIL.Image.new("CMYK", (32, 32), (200, 0, 0, 0)).save(buffer, "JPEG", quality=95)
    data = buffer.getvalue()
    start = data.index(b"\xff\xee")
    length = struct.unpack(">H", data[start + 2 : start + 4])[0]
    segment = data[start : start + 2 + length]
    replacement = b"" if transform is None else segment[:-1] + bytes([transform])
    return data[:start] + replacement + data[start + len(segment) :]


def test_cmyk_jpegs_are_inverted_with_and_without_an_adobe_segment() -> None:
    for transform in (0, None):  # 200 of cyan leaves 55 of red
        assert (
            difference(decode(adobe_jpeg(transform), "x").image[8:9, 8:9], np.array([[[55, 255, 255]]])) <= 3
        )


def test_ycck_is_converted() -> None:
    # Marked as YCCK, the stored values 55, 255, 255 are read as Y, Cb and Cr. libjpeg converts them to red
    # 55 + 1.402 * 127 = 233, green below 0 and blue above 255, and returns the complements as ink.
    assert difference(decode(adobe_jpeg(2), "x").image[8:9, 8:9], np.array([[[255 - 233, 255, 0]]])) <= 4


def png16(values: NDArray[np.uint16]) -> bytes:
    """A 16-bit PNG of 1 (grey) or 3 channels, which some versions of Pillow cannot write."""
    height, width, channels = values.shape

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("dark", [1, 64])
def test_16_bit_pngs_are_scaled(dark: int) -> None:
    wide = (RAMP.astype(np.uint16) * 257) // dark
    assert difference(decode(png16(wide[..., None]), "x").image, grey(wide // 257)) <= 1
    colour = (COLOURS.astype(np.uint16) * 257) // dark
    assert difference(decode(png16(colour), "x").image, colour // 257) <= 1


def test_16_bit_tiffs_are_scaled() -> None:
    for order in ("<u2", ">u2"):
        image = PIL.Image.fromarray((RAMP.astype(np.uint16) * 257).astype(order))
        assert difference(through(image, "TIFF"), grey(RAMP)) == 0, order
        assert through(image, "TIFF", shrink=2).shape == (8, 128, 3)


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1, 0), (257, 0), (1_000_000, 0), (1000, -100_000)],
    ids=["8", "16", "wide", "signed"],
)
def test_32_bit_integers_are_scaled(scale: int, offset: int) -> None:
    image = PIL.Image.fromarray(RAMP.astype(np.int32) * scale + offset)
    assert difference(through(image, "TIFF"), grey(RAMP)) <= 1


@pytest.mark.parametrize(
    ("scale", "offset"), [(1 / 255, 0), (1, 0), (257, 0), (0.01, -3.0)], ids=["unit", "8", "16", "signed"]
)
def test_floats_are_scaled(scale: float, offset: float) -> None:
    values = RAMP.astype(np.float32) * np.float32(scale) + np.float32(offset)
    assert difference(through(PIL.Image.fromarray(values), "TIFF"), grey(RAMP)) <= 1


def test_nan_and_infinity_are_converted() -> None:
    values = RAMP.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    expected = RAMP.copy()
    expected[0, :3] = 0, 255, 0
    assert difference(through(PIL.Image.fromarray(values), "TIFF"), grey(expected)) == 0
    blank = PIL.Image.fromarray(np.full((4, 4), np.nan, np.float32))
    assert through(blank, "TIFF").max() == 0
    flat = PIL.Image.fromarray(np.full((4, 4), -5.0, np.float32))
    assert through(flat, "TIFF").max() == 0


def test_cielab_is_converted() -> None:
    # CIELAB as stored in Pillow: L * 255 / 100, a + 128, b + 128. Mid grey, and a saturated red:
    # sRGB (255, 0, 0) is L 54.3, a 80.8, b 69.9 under D50 (Lindbloom).
    neutral = through(PIL.Image.new("LAB", (8, 8), (137, 128, 128)), "TIFF")[0, 0]
    assert np.ptp(neutral.astype(int)) <= 2
    assert 120 < neutral.mean() < 136
    red = through(PIL.Image.new("LAB", (8, 8), (138, 128 + 81, 128 + 70)), "TIFF")[0, 0]
    assert red[0] > 245
    assert red[1:].max() < 25


def test_a_ycbcr_tiff_is_converted() -> None:
    decoded = through(PIL.Image.fromarray(COLOURS), "TIFF", compression="jpeg", quality=95)
    assert float(np.abs(decoded.astype(int) - COLOURS).mean()) < 3
