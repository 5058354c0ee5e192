"""Files with several pages or frames, of which the first is read."""

from __future__ import annotations

import importlib.util
import io
import struct

import PIL.Image
import pytest
from PIL import features

from faceindex.images import decode
from faceindex.images.frames import note_on_frames

needs_heif = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs pillow-heif")
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow with AVIF")


def encoded(image_format: str, frames: int, **options: object) -> bytes:
    first, *rest = (PIL.Image.new("RGB", (32, 24), (80 * i, 90, 200)) for i in range(frames))
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": rest} if rest else {}
    first.save(buffer, image_format, **more, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "WEBP", "TIFF"])
def test_pages_and_frames_are_counted(image_format: str) -> None:
    assert decode(encoded(image_format, 1), "x").note is None
    word = "pages" if image_format == "TIFF" else "frames"
    decoded = decode(encoded(image_format, 3), "x")
    assert decoded.note == f"It has 3 {word}; only the first is read."
    assert decoded.image[0, 0, 0] < 20


def test_pages_of_a_big_tiff() -> None:
    assert note_on_frames(encoded("TIFF", 2, big_tiff=True)) == "It has 2 pages; only the first is read."


@needs_avif
def test_an_avif_sequence() -> None:
    assert decode(encoded("AVIF", 1), "x").note is None
    assert decode(encoded("AVIF", 2), "x").note == "It is a sequence; only its first picture is read."


@needs_heif
def test_further_pictures_of_jpeg_and_heic_do_not_count() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    for image_format in ("MPO", "HEIF"):
        assert decode(encoded(image_format, 2), "x").note is None


def test_directories_in_a_circle_end() -> None:
    data = bytearray(encoded("TIFF", 1))
    (start,) = struct.unpack_from("<I", data, 4)
    (number,) = struct.unpack_from("<H", data, start)
    data[start + 2 + 12 * number : start + 6 + 12 * number] = struct.pack("<I", start)
    assert note_on_frames(bytes(data)) is None


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "WEBP", "TIFF"])
def test_damaged_files_have_a_note_or_none(image_format: str) -> None:
    data = encoded(image_format, 3)
    for end in range(8, len(data), 7):
        note_on_frames(data[:end])
    assert note_on_frames(b"") is None
    assert note_on_frames(b"text") is None
