"""Photos as arguments: arrays and PIL images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceindex.errors import ImageError, Reason
from faceindex.images import inputs
from faceindex.images.inputs import from_pixels, input_name, is_one_photo


def test_names_of_inputs(tmp_path: Path) -> None:
    photos = ["a.jpg", tmp_path, b"", bytearray(), np.zeros((1, 1, 3), np.uint8), Image.new("RGB", (1, 1))]
    names = ["a.jpg", str(tmp_path), "<bytes>", "<bytes>", "<ndarray>", "<Image>"]
    assert list(map(input_name, photos)) == names  # type: ignore[arg-type]
    assert all(map(is_one_photo, photos))
    assert not is_one_photo(iter(photos))


@pytest.mark.parametrize("shape", [(7, 5), (64, 48), (65, 129), (1, 300), (300, 1)])
@pytest.mark.parametrize("band", [1, 200, 1 << 20])
def test_a_reduced_pixel_is_the_mean_of_those_that_it_covers(
    shape: tuple[int, int], band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "_BAND_PIXELS", band)
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    decoded = from_pixels(pixels[:, ::-1], "x", reduce_above=shape[0] * shape[1] // 4)
    shrink = 2 if shape[0] * shape[1] % 4 == 0 else 4
    height, width = -(-shape[0] // shrink), -(-shape[1] // shrink)
    assert decoded.image.shape == (height, width, 3)
    assert (decoded.width, decoded.height) == shape[::-1]
    for y, x in ((0, 0), (height - 1, width - 1), (height // 2, width // 2)):
        covered = pixels[:, ::-1][y * shrink : (y + 1) * shrink, x * shrink : (x + 1) * shrink]
        np.testing.assert_allclose(decoded.image[y, x], covered.mean(axis=(0, 1)), atol=0.99)


def test_pixels_below_the_limit_are_not_reduced() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(from_pixels(pixels, "x", reduce_above=600).image, pixels)
    assert from_pixels(pixels, "x", reduce_above=1).image.shape == (3, 4, 3)  # an eighth is the least


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "DEFAULT_MAX_PIXELS", 500)
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "PNG")
    opened = Image.open(io.BytesIO(file.getvalue()[:60]))  # decoding it would fail otherwise
    for photo in (np.zeros((20, 30, 3), np.uint8), opened):
        with pytest.raises(ImageError, match="30 x 20 pixels are more than the limit") as caught:
            from_pixels(photo, "x")
        assert caught.value.reason is Reason.TOO_LARGE
