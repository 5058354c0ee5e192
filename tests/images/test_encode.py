from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest

from faceindex.images.encode import encode, writable_suffix


def picture() -> np.ndarray:
    rows, columns = np.mgrid[0:40, 0:60]
    return np.stack([rows * 6, columns * 4, 255 - columns * 4], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("suffix", "image_format", "tolerance"),
    [
        (".jpg", "JPEG", 6),
        (".JPEG", "JPEG", 6),
        (".png", "PNG", 0),
        (".webp", "WEBP", 16),
        (".bmp", "BMP", 0),
        (".tif", "TIFF", 0),
    ],
)
def test_encoded_images_are_close_and_have_no_metadata(
    suffix: str, image_format: str, tolerance: int
) -> None:
    image = picture()
    assert writable_suffix(suffix) == suffix
    with PIL.Image.open(io.BytesIO(encode(image, suffix))) as read:
        assert read.format == image_format
        difference = np.abs(np.asarray(read.convert("RGB")).astype(int) - image)
        assert not read.getexif().keys() - set(range(0x200))  # TIFF stores its sizes in these tags
    assert difference.max() <= tolerance


@pytest.mark.parametrize(
    ("suffix", "instead"),
    [(".gif", ".png"), (".heic", ".jpg"), (".mpo", ".jpg"), ("", ".jpg"), (".TIF", ".TIF")],
)
def test_other_suffixes_are_replaced(suffix: str, instead: str) -> None:
    assert writable_suffix(suffix) == instead
