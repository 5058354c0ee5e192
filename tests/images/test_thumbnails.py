from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from faceindex.errors import ImageError
from faceindex.images import DecodedImage
from faceindex.images.thumbnails import cut_squares, encode_jpeg, fit, shown_by_browsers, shrink_for


def encoded(image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    PillowImage.new("RGB", (8, 6), "red").save(stream, image_format, **options)
    return stream.getvalue()


def turned(orientation: int) -> PillowImage.Exif:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    return exif


def gradient(width: int, height: int) -> np.ndarray:
    """An image whose red increases to the right and green downwards."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = np.linspace(0, 255, width).astype(np.uint8)
    image[:, :, 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return image


def test_a_square_contains_box_and_margin() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[80:120, 100:140] = 255
    (square,) = cut_squares(
        DecodedImage(image, 300, 200), np.array([[100, 80, 140, 120]], np.float32), 60, margin=0.25
    )
    assert square.shape == (60, 60, 3)
    white = square[:, :, 0] > 128
    assert np.flatnonzero(white.any(axis=0))[[0, -1]].tolist() == [10, 49]
    assert np.flatnonzero(white.any(axis=1))[[0, -1]].tolist() == [10, 49]


def test_squares_do_not_depend_on_the_scale_of_the_photo() -> None:
    boxes = np.array([[100, 40, 180, 140], [220, 100, 260, 150]], np.float32)
    full = cut_squares(DecodedImage(gradient(320, 240), 320, 240), boxes, 24, margin=0.3)
    half = cut_squares(DecodedImage(gradient(160, 120), 320, 240), boxes, 24, margin=0.3)
    assert np.abs(full.astype(int) - half).max() < 6


@pytest.mark.parametrize(
    "box",
    [
        (-30, -20, 40, 50),
        (280, 200, 360, 280),
        (-500, -500, -400, -400),
        (0, 0, 5000, 5000),
        (10, 10, 10, 10),
    ],
)
def test_squares_are_moved_into_the_photo(box: tuple[float, ...]) -> None:
    decoded = DecodedImage(gradient(320, 240), 320, 240)
    (square,) = cut_squares(decoded, np.array([box], np.float32), 16, margin=0.3)
    assert square.shape == (16, 16, 3)
    # The square is a part of the gradient without padding: it increases to the right and downwards.
    assert (np.diff(square[:, :, 0].astype(int), axis=1) >= 0).all()
    assert (np.diff(square[:, :, 1].astype(int), axis=0) >= 0).all()
    assert (square[:, :, 2] == 0).all()


@pytest.mark.parametrize(("side", "shrink"), [(100, 1), (223, 1), (224, 2), (447, 2), (448, 4), (5000, 8)])
def test_shrink_leaves_enough_pixels(side: int, shrink: int) -> None:
    assert shrink_for(side, 112) == shrink


def test_fit_scales_down_only() -> None:
    assert fit(gradient(320, 240), 100).shape == (75, 100, 3)
    assert fit(gradient(1000, 1), 10).shape == (1, 10, 3)
    small = gradient(20, 10)
    assert fit(small, 100) is small


def test_jpegs_are_close_and_have_no_metadata() -> None:
    image = gradient(64, 48)
    with PillowImage.open(io.BytesIO(encode_jpeg(image, quality=90))) as back:
        assert back.format == "JPEG"
        assert not back.getexif()
        assert np.abs(np.asarray(back).astype(int) - image).mean() < 4


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_formats_that_browsers_display(image_format: str) -> None:
    assert shown_by_browsers(encoded(image_format), "x")


def test_photos_that_browsers_do_not_display_upright() -> None:
    assert not shown_by_browsers(encoded("TIFF"), "x")
    for image_format in ("PNG", "WEBP"):
        assert shown_by_browsers(encoded(image_format, exif=turned(1)), "x")
        assert not shown_by_browsers(encoded(image_format, exif=turned(6)), "x")
    assert shown_by_browsers(encoded("JPEG", exif=turned(6))[:64], "x")
    with pytest.raises(ImageError):
        shown_by_browsers(b"no image at all", "x")
