"""Parts of photos have the same pixels as the whole photo, in every stored orientation."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest

from faceindex.errors import ImageError, UsageError
from faceindex.images import decode, decode_parts
from faceindex.types import F32

BOXES: F32 = np.array(
    [
        [10, 6, 50, 30],
        [20.4, 10.2, 21.1, 10.9],
        [-30, -40, 33, 25],
        [90, 60, 500, 400],
        [300, 20, 400, 50],
        [-50, -50, -20, -20],
        [40, 40, 40, 40],
        [0, 0, 97, 97],
    ],
    np.float32,
)


def photo(image_format: str, orientation: int = 1) -> bytes:
    pixels = np.random.default_rng(3).integers(0, 256, (67, 97, 3), dtype=np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, image_format, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("shrink", [1, 2, 4])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF"])
def test_parts_equal_the_whole_photo(image_format: str, orientation: int, shrink: int) -> None:
    data = photo(image_format, orientation)
    whole = decode(data, "x", shrink=shrink)
    parts = decode_parts(data, "x", BOXES, shrink=shrink)
    assert len(parts) == len(BOXES)
    limits = whole.image.shape[1::-1]
    for part, box in zip(parts, BOXES, strict=True):
        height, width, _ = part.image.shape
        expected = whole.image[part.top : part.top + height, part.left : part.left + width]
        np.testing.assert_array_equal(part.image, expected)
        assert part.image.flags.c_contiguous
        assert part.scale == pytest.approx(whole.scale)
        scaled = box * np.tile(whole.scale, 2)
        for first, size, low, high, limit in zip(
            (part.left, part.top), (width, height), scaled[:2], scaled[2:], limits, strict=True
        ):
            assert size >= 1
            assert first <= np.clip(low, 0, limit - 1)
            assert first + size >= np.clip(high, 1, limit)
            assert size <= max(high - low + 2, 1)


def test_no_boxes_give_no_parts() -> None:
    assert decode_parts(photo("JPEG"), "x", np.empty((0, 4), np.float32)) == []


def test_errors_are_those_of_decode() -> None:
    with pytest.raises(UsageError, match="`shrink` is 3"):
        decode_parts(photo("JPEG"), "x", BOXES, shrink=3)
    with pytest.raises(ImageError, match="more than the limit"):
        decode_parts(photo("JPEG"), "x", BOXES, max_pixels=100)
    with pytest.raises(ImageError, match="x: "):
        decode_parts(photo("PNG")[:200], "x", BOXES)
