"""Decoding: formats, orientation, scale, limits, damage. Pixel modes are tested in test_rgb.py."""

from __future__ import annotations

import importlib.util
import io
import mmap
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ImageFile, features
from PIL.WebPImagePlugin import WebPImageFile

from faceindex.errors import ImageError, Reason, UsageError
from faceindex.images import DEFAULT_MAX_PIXELS, DecodedImage, decode, openers, probe, read
from faceindex.types import Image

PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data"
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
needs_heif = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs pillow-heif")
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow with AVIF")


def picture(width: int = 96, height: int = 64) -> Image:
    """A smooth image that every flip and rotation changes."""
    y, x = np.mgrid[:height, :width]
    channels = (x * 255 / width, y * 255 / height, 255 - (x + y) * 200 / (width + height))
    image: Image = np.stack(channels, axis=-1).astype(np.uint8)
    return image


def encode(array: Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    defaults: dict[str, dict[str, object]] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}
    PIL.Image.fromarray(array).save(buffer, image_format, **{**defaults.get(image_format, {}), **options})
    return buffer.getvalue()


def turned(array: Image, orientation: int) -> Image:
    """Turn an image upright as a viewer does, by the definition of the tag in Exif 2.32 (section 4.6.4 A)."""
    views: dict[int, Image] = {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.transpose(1, 0, 2),
        6: array[::-1].transpose(1, 0, 2),
        7: array[::-1, ::-1].transpose(1, 0, 2),
        8: array[:, ::-1].transpose(1, 0, 2),
    }
    return views[orientation]


def exif(orientation: int) -> bytes:
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def difference(a: Image, b: Image) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b).mean())


def failure(data: bytes, **options: int) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, "some/photo.xyz", **options)
    assert "some/photo.xyz" in str(caught.value)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("image_format", FORMATS)
def test_formats_are_decoded(image_format: str) -> None:
    array = picture()
    data = encode(array, image_format)
    decoded = decode(data, "x")
    assert difference(decoded.image, array) < (12 if image_format == "GIF" else 1.5)
    assert (decoded.width, decoded.height, decoded.scale) == (96, 64, (1.0, 1.0))
    assert decoded.image.dtype == np.uint8
    assert decoded.image.flags.c_contiguous
    assert decoded.image.flags.writeable
    assert probe(data, "x") == (96, 64, image_format)


def test_large_photos_are_copied_completely() -> None:
    """The photo has several bands, and the last one is not full."""
    array = np.random.default_rng(0).integers(0, 256, (701, 999, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(encode(array, "BMP"), "x").image, array)


def test_large_photos_have_their_own_memory_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the operating system provides no pages, they are allocated on the heap."""
    small, large = picture(64, 48), picture(640, 480)
    maps: list[int] = []
    mapped = mmap.mmap

    def spy(file: int, size: int, **flags: int) -> object:
        maps.append(size)
        return mapped(file, size, **flags)

    def refuse(file: int, size: int, **flags: int) -> object:
        raise OSError("too many maps")

    for replacement in (spy, refuse):
        monkeypatch.setattr(mmap, "mmap", replacement)
        for array in (small, large):
            decoded = decode(encode(array, "BMP"), "x").image
            np.testing.assert_array_equal(decoded, array)
            assert decoded.flags.writeable
            assert decoded.flags.c_contiguous
    assert maps == ([640 * 480 * 3] if hasattr(mmap, "MAP_ANONYMOUS") else [])


def test_the_first_frame_is_decoded() -> None:
    for image_format in ("MPO", "GIF", "WEBP", "TIFF", "PNG"):
        frames = [PIL.Image.fromarray(picture()), PIL.Image.new("RGB", (96, 64), "lime")]
        buffer = io.BytesIO()
        frames[0].save(buffer, image_format, save_all=True, append_images=frames[1:])
        assert difference(decode(buffer.getvalue(), "x").image, picture()) < 12, image_format
        assert probe(buffer.getvalue(), "x")[:2] == (96, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "TIFF-LZW"])
def test_orientation_is_applied(image_format: str, orientation: int) -> None:
    array = picture()
    options = {"compression": "tiff_lzw"} if image_format == "TIFF-LZW" else {}
    data = encode(array, image_format[:4], exif=exif(orientation), **options)
    expected = turned(array, orientation)
    decoded = decode(data, "x")
    assert difference(decoded.image, expected) < 1.5
    assert decoded.image.flags.c_contiguous
    assert (decoded.height, decoded.width) == expected.shape[:2]
    assert probe(data, "x")[:2] == (decoded.width, decoded.height)
    half = decode(data, "x", shrink=2)
    assert difference(half.image, expected.reshape(len(expected) // 2, 2, -1, 2, 3).mean((1, 3))) < 2
    assert (half.width, half.height, half.scale) == (decoded.width, decoded.height, (0.5, 0.5))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "image_format", [pytest.param("HEIF", marks=needs_heif), pytest.param("AVIF", marks=needs_avif)]
)
def test_orientation_of_heif_and_avif_is_applied_once(image_format: str, orientation: int) -> None:
    if image_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    image = PIL.Image.fromarray(picture())
    buffer = io.BytesIO()
    # Both writers convert the tag to the container's own rotation: one reads `info`, one the argument.
    image.info["exif"] = exif(orientation)
    image.save(buffer, image_format, exif=exif(orientation), quality=95)
    decoded = decode(buffer.getvalue(), "x")
    assert difference(decoded.image, turned(picture(), orientation)) < 4
    assert probe(buffer.getvalue(), "x") == (decoded.width, decoded.height, image_format)
    assert (decoded.height, decoded.width) == decoded.image.shape[:2]


def test_exif_behind_the_pixels_of_a_png_is_applied() -> None:
    data = encode(picture(), "PNG")
    tags = exif(6)[6:]
    chunk = struct.pack(">I", len(tags)) + b"eXIf" + tags + struct.pack(">I", zlib.crc32(b"eXIf" + tags))
    data = data[:-12] + chunk + data[-12:]
    assert difference(decode(data, "x").image, turned(picture(), 6)) == 0
    assert probe(data, "x")[:2] == (64, 96)


@pytest.mark.parametrize("bad", [0, 9, 4096])
def test_invalid_orientations_are_ignored(bad: int) -> None:
    assert difference(decode(encode(picture(), "PNG", exif=exif(bad)), "x").image, picture()) == 0


def test_a_photo_with_damaged_exif_is_decoded() -> None:
    data = encode(picture(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff" + b"\xee" * 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert difference(decode(data, "x").image, picture()) < 1.5


@pytest.mark.parametrize("shrink", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [(96, 64), (97, 63), (1, 1), (5, 200), (3, 2), (17, 9)])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_shrink_divides_the_size(image_format: str, size: tuple[int, int], shrink: int) -> None:
    width, height = size
    decoded = decode(encode(picture(width, height), image_format), "x", shrink=shrink)
    assert decoded.image.shape == (-(-height // shrink), -(-width // shrink), 3)
    assert (decoded.width, decoded.height) == size
    assert decoded.scale == (decoded.image.shape[1] / width, decoded.image.shape[0] / height)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("shrink", [2, 4, 8])
def test_jpegs_are_reduced_by_the_codec(
    shrink: int, subsampling: str, progressive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("decoded at full scale, then reduced")

    monkeypatch.setattr(PIL.Image.Image, "reduce", forbidden)
    array = picture(320, 240)
    decoded = decode(
        encode(array, "JPEG", subsampling=subsampling, progressive=progressive), "x", shrink=shrink
    )
    averaged = array.reshape(240 // shrink, shrink, 320 // shrink, shrink, 3).mean((1, 3))
    assert difference(decoded.image, averaged) < 2


def test_other_values_of_shrink_are_errors() -> None:
    for shrink in (0, 3, 16):
        with pytest.raises(UsageError, match="shrink"):
            decode(encode(picture(), "PNG"), "x", shrink=shrink)


def test_decoding_in_threads_gives_the_same_pixels() -> None:
    files = [
        encode(picture(200 + i, 100), f, exif=exif(1 + i % 8))
        for i, f in enumerate(["JPEG", "PNG", "WEBP"] * 4)
    ]
    alone = [decode(data, "x", shrink=2).image for data in files]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: decode(data, "x", shrink=2).image, files * 5))
    for i, image in enumerate(together):
        np.testing.assert_array_equal(image, alone[i % len(files)])


# --- limits -----------------------------------------------------------------------------------------


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000)))


def with_size(data: bytes, image_format: str, width: int, height: int) -> bytes:
    """A file with a wrong size in its header."""
    if image_format == "BMP":
        return data[:18] + struct.pack("<ii", width, height) + data[26:]
    start = data.index(b"\xff\xc0")  # JPEG: start of frame
    return data[: start + 5] + struct.pack(">HH", height, width) + data[start + 9 :]


def test_decompression_bombs_are_rejected_by_their_header() -> None:
    bombs = [png_header(30_000, 30_000)]
    bombs += [with_size(encode(picture(), f), f, 30_000, 30_000) for f in ("BMP", "JPEG")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in bombs:
            error = failure(data)
            assert error.reason is Reason.TOO_LARGE
            assert "30,000 x 30,000" in error.problem
            with pytest.raises(ImageError) as caught:
                probe(data, "x")
            assert caught.value.reason is Reason.TOO_LARGE


def test_panoramas_are_accepted() -> None:
    assert 200_000_000 < DEFAULT_MAX_PIXELS < 900_000_000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe(png_header(40_000, 5_000), "x") == (40_000, 5_000, "PNG")


def test_photos_above_max_pixels_are_rejected() -> None:
    data = encode(picture(), "PNG")
    assert decode(data, "x", max_pixels=96 * 64).width == 96
    assert failure(data, max_pixels=96 * 64 - 1).reason is Reason.TOO_LARGE


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_the_limit_of_pillow_has_no_effect_and_is_not_changed(
    image_format: str, compression: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"compression": compression} if image_format == "TIFF" else {}
    data = encode(picture(), image_format, **options)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert difference(decode(data, "x").image, picture()) < 12
        probe(data, "x")
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


def test_the_pillow_limit_of_webp_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def bomb(*_: object) -> None:
        raise PIL.Image.DecompressionBombError("too big for Pillow")

    monkeypatch.setattr(WebPImageFile, "__init__", bomb)
    assert failure(encode(picture(), "WEBP")).reason is Reason.TOO_LARGE


def test_out_of_memory_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", exhausted)
    error = failure(encode(picture(), "BMP"))
    assert error.reason is Reason.FAILED  # tried again by the next run
    assert "memory" in error.problem


# --- damage -----------------------------------------------------------------------------------------


def test_empty_files_and_other_content_are_errors() -> None:
    assert failure(b"").reason is Reason.EMPTY
    assert failure(b"hello, world").reason is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("image_format", [*FORMATS, pytest.param("HEIF", marks=needs_heif)])
def test_truncated_files_are_errors(image_format: str) -> None:
    if image_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = encode(picture(), image_format)
    for keep in (0.3, 0.6, 0.9):
        error = failure(data[: int(len(data) * keep)])
        assert error.reason is Reason.TRUNCATED, (keep, error)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_truncated_jpeg_at_reduced_scale_is_an_error() -> None:
    data = encode(picture(400, 300), "JPEG")
    assert failure(data[: len(data) // 2], shrink=8).reason is Reason.TRUNCATED


def test_corrupt_files_are_errors() -> None:
    data = encode(picture(), "PNG")
    middle = data.index(b"IDAT") + 20
    error = failure(data[:middle] + bytes(40) + data[middle + 40 :])
    assert error.reason is Reason.CORRUPT
    assert "PNG" in error.problem


def test_every_exception_of_a_codec_is_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def surprise(*_: object) -> None:
        raise ZeroDivisionError("codec\nsurprise")

    monkeypatch.setattr(ImageFile.ImageFile, "load", surprise)
    error = failure(encode(picture(), "BMP"))
    assert error.reason is Reason.CORRUPT
    assert "codec surprise" in error.problem


def outcome(call: Callable[..., object], data: bytes) -> object:
    try:
        result = call(data, "x", max_pixels=1_000_000)
    except ImageError as error:
        return error.reason
    if isinstance(result, DecodedImage):
        assert result.image.ndim == 3
    return type(result)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.filterwarnings("ignore")
def test_randomly_damaged_files_give_a_photo_or_an_image_error(image_format: str) -> None:
    rng = np.random.default_rng(7)
    intact = encode(picture(40, 30), image_format, **({"exif": exif(6)} if image_format != "GIF" else {}))
    outcomes: set[object] = set()
    for _ in range(300):
        data = bytearray(intact)
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(0, len(data))] = rng.integers(0, 256)
        if rng.random() < 0.3:
            data = data[: rng.integers(0, len(data))]
        outcomes |= {outcome(probe, bytes(data)), outcome(decode, bytes(data))}
    assert {DecodedImage, tuple} < outcomes
    assert outcomes & {Reason.CORRUPT, Reason.TRUNCATED}


# --- optional decoders --------------------------------------------------------------------------


@pytest.mark.parametrize(("image_format", "package"), [("HEIC", "pillow-heif"), ("AVIF", "pillow")])
def test_the_error_for_a_missing_decoder_names_its_package(
    image_format: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openers, "optional_opener", lambda _: None)
    brand = image_format.lower().encode()
    error = failure(b"\0\0\0\x14ftyp" + brand + b"\0\0\0\0" + brand)
    assert error.reason is Reason.UNSUPPORTED
    assert image_format in error.problem
    assert f"`pip install --upgrade {package}`" in error.remedy


@needs_heif
def test_heif_is_decoded() -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    data = encode(picture(), "HEIF", quality=95)
    assert difference(decode(data, "x").image, picture()) < 3
    assert decode(data, "x", shrink=4).image.shape == (16, 24, 3)


@needs_avif
def test_avif_is_decoded() -> None:
    data = encode(picture(), "AVIF", quality=95)
    assert difference(decode(data, "x").image, picture()) < 3
    assert decode(data, "x", shrink=4).image.shape == (16, 24, 3)


# --- real photographs -------------------------------------------------------------------------------


@pytest.mark.skipif(not (PHOTOS / "groups").is_dir(), reason="needs ../shared/data")
def test_real_photos_are_decoded_as_by_pillow() -> None:
    files = sorted(p for p in (PHOTOS / "groups").iterdir() if p.suffix in (".jpg", ".png"))
    assert files
    for path in files:
        data = read(path)
        full, half = decode(data, path), decode(data, path, shrink=2)
        with PIL.Image.open(path) as reference:
            assert (full.width, full.height) == reference.size
            if reference.mode == "RGB":
                np.testing.assert_array_equal(full.image, np.asarray(reference))
        assert half.image.shape[:2] == (-(-full.height // 2), -(-full.width // 2))
        assert abs(float(half.image.mean()) - float(full.image.mean())) < 1
