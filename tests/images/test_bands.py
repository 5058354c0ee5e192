"""Conversions in bands give what conversions of the whole photo give, and hold no second copy."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from faceindex import images
from faceindex.errors import ImageError, Reason
from faceindex.images import bands as module
from faceindex.images.bands import bands, to_array
from faceindex.images.limits import limit_memory
from faceindex.images.rgb import to_rgb

WIDTH, HEIGHT = 23, 17


def _noise(mode: str) -> Image.Image:
    rng = np.random.default_rng(3)
    if mode == "F":
        return Image.fromarray(rng.normal(100, 50, (HEIGHT, WIDTH)).astype(np.float32))
    if mode == "I":
        return Image.fromarray(rng.integers(-9, 99_999, (HEIGHT, WIDTH)).astype(np.int32))
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65_535, (HEIGHT, WIDTH)).astype(np.uint16))
    channels = len(Image.new(mode, (1, 1)).getbands())
    data = rng.integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8).tobytes()
    if mode == "1":
        return Image.frombytes("L", (WIDTH, HEIGHT), data).convert("1")
    image = Image.frombytes(mode, (WIDTH, HEIGHT), data)
    if mode == "P":
        image.putpalette(rng.integers(0, 256, 768, np.uint8).tobytes())
        image.info["transparency"] = 7
    return image


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of a row or two."""
    monkeypatch.setattr(module, "_BAND_PIXELS", 50)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"])
@pytest.mark.parametrize("shrink", [1, 2, 8])
def test_bands_give_the_same_pixels(mode: str, shrink: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = _noise(mode)
    whole = np.asarray(to_rgb(image, shrink))
    monkeypatch.setattr(module, "_BAND_PIXELS", 50)
    assert len(list(bands(image))) == 9
    assert np.array_equal(np.asarray(to_rgb(image, shrink)), whole)
    assert whole.shape == (-(-HEIGHT // shrink), -(-WIDTH // shrink), 3)


@pytest.mark.parametrize("transposition", [None, *Image.Transpose])
def test_photos_are_turned_in_bands(transposition: Image.Transpose | None, narrow: None) -> None:
    image = _noise("RGB")
    turned = image if transposition is None else image.transpose(transposition)
    array = to_array(image, transposition)
    assert np.array_equal(array, np.asarray(turned))
    assert array.flags.c_contiguous
    assert array.flags.writeable


def test_floats_are_converted_without_copies_of_all() -> None:
    """Pillow's own pixels are not counted; copies in NumPy took 20 bytes a pixel and more."""
    image = Image.fromarray(np.zeros((1500, 1500), np.float32))
    to_rgb(image.crop((0, 0, 9, 9)))
    tracemalloc.start()
    to_rgb(image, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def _stated(mode: str) -> bytes:
    """Return a PNG whose header states 16.8 megapixels, of which it has none."""
    stream = io.BytesIO()
    Image.new(mode, (1, 1)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = struct.pack(">II", 4100, 4100)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_a_photo_that_would_not_fit_is_refused_before_its_pixels_are_decoded() -> None:
    """64 MiB are 4 bytes for each of 16 megapixels. Grey pixels take less, and are decoded."""
    with limit_memory("832M"):
        with pytest.raises(ImageError, match=r"decoding it takes .* MiB of memory") as caught:
            images.decode(_stated("RGB"), "big.png", shrink=8)
        assert caught.value.reason is Reason.MEMORY
        with pytest.raises(ImageError) as caught:
            images.decode(_stated("L"), "grey.png", shrink=8)
        assert caught.value.reason is Reason.TRUNCATED


def test_crops_of_very_large_photos_are_cut_from_a_reduced_one(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    _noise("RGB").resize((230, 170)).save(stream, "JPEG")
    whole = images.decode(stream.getvalue(), "a.jpg").image
    assert np.array_equal(images.decode_to_fit(stream.getvalue(), "a.jpg").image, whole)
    sizes = iter([3 << 30, 2 << 30, 1000])
    monkeypatch.setattr("faceindex.images.decoder.decode_bytes", lambda *_: next(sizes))
    reduced = images.decode_to_fit(stream.getvalue(), "a.jpg")
    assert reduced.image.shape == (43, 58, 3)
    assert (reduced.width, reduced.height) == (230, 170)
    monkeypatch.setattr("faceindex.images.decoder.decode_bytes", lambda *_: 2 << 30)
    with pytest.raises(ImageError, match="decoding it takes 2 GiB"):
        images.decode_to_fit(stream.getvalue(), "a.jpg")
