"""Photos of which only the metadata, or the last bytes, are damaged."""

from __future__ import annotations

import importlib.util
import io
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ImageFile, PngImagePlugin, features

from faceindex.errors import ImageError, Reason
from faceindex.images import decode, probe, read_picture
from faceindex.images.jpeg_end import lacks_rows, rebuild_jpeg
from faceindex.images.pixel_data_heif import find_metadata_items
from faceindex.types import Image

PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_heif = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs pillow-heif")
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow with AVIF")


def picture(width: int = 96, height: int = 64) -> Image:
    """Noise, so that every block of a JPEG has many coefficients."""
    noise = np.random.default_rng(5).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return np.kron(noise, np.ones((4, 4, 1), np.uint8))


def encode(image_format: str, **options: object) -> bytes:
    if image_format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture()).save(buffer, image_format, **options)
    return buffer.getvalue()


def exif(orientation: int = 6) -> bytes:
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


NOTE = "Its metadata are damaged or too large; it was read without them."
NO_END = "Its end marker is missing; its pixels are complete."


def check_read(damaged: bytes, intact: bytes, *, orientation: int = 1, note: str = NOTE) -> None:
    """The photo is read with a note; picture, size, orientation and pixels are those of the intact file."""
    decoded, expected = decode(damaged, "x"), decode(intact, "x")
    assert decoded.note is not None
    assert decoded.note == note
    assert expected.note is None
    assert np.array_equal(decoded.image, expected.image)
    assert (decoded.width, decoded.height) == probe(damaged, "x")[:2] == probe(intact, "x")[:2]
    assert read_picture(damaged) == read_picture(intact)
    assert read_picture(damaged).orientation == orientation
    assert decode(damaged, "x", shrink=4).note == decoded.note


# PNG -----------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes, *, intact: bool = True) -> bytes:
    checksum = zlib.crc32(kind + content) ^ (not intact)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


BOMB = zlib.compress(bytes(2 << 20))
MANY = b"".join(chunk(b"tEXt", b"key %d\0" % i + bytes(1 << 20)) for i in range(65))


@pytest.mark.parametrize("place", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    "added",
    [
        pytest.param(chunk(b"zTXt", b"key\0\0" + BOMB), id="text"),
        pytest.param(chunk(b"iTXt", b"key\0\1\0\0\0" + BOMB), id="international"),
        pytest.param(chunk(b"iCCP", b"key\0\0" + BOMB), id="profile"),
        pytest.param(MANY, id="many"),
        pytest.param(chunk(b"pHYs", b"\0"), id="short"),
        pytest.param(chunk(b"zTXt", b"key\0\5xyz"), id="method"),
        pytest.param(chunk(b"acTL", b"\0"), id="animation"),
        pytest.param(chunk(b"tEXt", b"key\0value", intact=False), id="checksum"),
    ],
)
def test_metadata_of_a_png(added: bytes, place: bytes) -> None:
    limits = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, ImageFile.LOAD_TRUNCATED_IMAGES
    intact = encode("PNG", exif=exif())
    at = intact.index(place) - 4
    damaged = intact[:at] + added + intact[at:]
    if place == b"IEND" and b"value" in added:  # Pillow does not compare checksums there
        assert decode(damaged, "x").note is None
    else:
        check_read(damaged, intact, orientation=6)
    # Other code of the process may rely on these.
    assert limits == (
        *(PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, ImageFile.LOAD_TRUNCATED_IMAGES),
    )


def test_transparency_of_a_png_that_is_too_short() -> None:
    intact = encode("PNG", exif=exif())
    at = intact.index(b"IDAT") - 4
    decoded = decode(intact[:at] + chunk(b"tRNS", b"\0") + intact[at:], "x")
    assert decoded.note is not None
    assert np.array_equal(decoded.image, decode(intact, "x").image)


def test_a_png_that_ends_in_its_metadata() -> None:
    intact = encode("PNG", exif=exif())
    at = intact.index(b"IEND") - 4
    check_read(intact[:at] + chunk(b"tEXt", b"key\0" + bytes(99))[:50], intact, orientation=6)


def test_exif_of_a_png_with_a_wrong_checksum_do_not_count() -> None:
    plain = encode("PNG")
    for place in (b"IDAT", b"IEND"):
        at = plain.index(place) - 4
        for intact, expected in ((True, 6), (False, 1)):
            data = plain[:at] + chunk(b"eXIf", exif()[6:], intact=intact) + plain[at:]
            assert read_picture(data).orientation == expected
            assert decode(data, "x").image.shape == ((96, 64, 3) if expected == 6 else (64, 96, 3))


def test_pixels_of_a_png_that_are_cut_short() -> None:
    data = encode("PNG")
    for missing in (30, 60, 500):
        with pytest.raises(ImageError) as caught:
            decode(data[:-missing], "x")
        assert caught.value.reason is Reason.TRUNCATED


def test_pixels_of_a_png_with_a_wrong_checksum_have_a_note() -> None:
    intact = encode("PNG")
    damaged = intact[:-14] + b"??" + intact[-12:]
    decoded = decode(damaged, "x")
    assert decoded.note == "A checksum of its pixels is wrong, so some of them may be damaged."
    assert np.array_equal(decoded.image, decode(intact, "x").image)


# JPEG ----------------------------------------------------------------------------------------------


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize(
    "added",
    [segment(0xE2, b"ICC_PROFILE\0"), segment(0xE0, b"JFIF"), segment(0xEE, b"Adobe")],
    ids=["profile", "JFIF", "Adobe"],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_metadata_of_a_jpeg(added: bytes, mode: str) -> None:
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture()).convert(mode).save(buffer, "JPEG", exif=exif())
    intact = buffer.getvalue()
    check_read(intact[:2] + added + intact[2:], intact, orientation=6)


JPEGS: list[dict[str, object]] = [
    {"quality": 90},
    {"quality": 90, "subsampling": "4:2:0"},
    {"progressive": True},
    {"restart_marker_rows": 1},
]


@pytest.mark.parametrize("options", JPEGS, ids=str)
def test_a_jpeg_without_its_end_marker(options: dict[str, object]) -> None:
    intact = encode("JPEG", exif=exif(), **options)
    for damaged in (intact[:-2], intact[:-1], intact[:-2] + b"\xff\xff"):
        check_read(damaged, intact, orientation=6, note=NO_END)
    # Zeros are part of the scan, and of the hash.
    assert np.array_equal(decode(intact[:-2] + bytes(999), "x").image, decode(intact, "x").image)


@pytest.mark.parametrize("options", JPEGS, ids=str)
@pytest.mark.parametrize("end", [b"", b"\xff", bytes(5000), b"\xff\xd9"], ids=["", "ff", "zero", "marker"])
def test_a_jpeg_that_lacks_blocks(options: dict[str, object], end: bytes) -> None:
    data = encode("JPEG", **options)
    # With an end marker, scans of a progressive JPEG that are missing are as good as never written.
    shares = (0.3, 0.6, 0.9) if end != b"\xff\xd9" else () if "progressive" in options else (0.4, 0.7)
    for share in shares:
        with pytest.raises(ImageError) as caught:
            decode(data[: int(len(data) * share)] + end, "x")
        assert caught.value.reason is Reason.TRUNCATED, share


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("end", [b"", b"\xff", bytes(5000), b"\xff\xd9"], ids=["", "ff", "zero", "marker"])
def test_a_jpeg_that_lacks_restart_intervals(blocks: int, end: bytes) -> None:
    """Cut between two intervals, no bit of the first one that is missing has begun."""
    data = encode("JPEG", restart_marker_blocks=blocks)
    markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    for cut in (markers[len(markers) // 3], markers[len(markers) // 3] + 2, markers[-1]):
        if end == b"\xff\xd9" and cut == markers[-1]:
            continue  # blocks in the last row
        with pytest.raises(ImageError) as caught:
            decode(data[:cut] + end, "x")
        assert caught.value.reason is Reason.TRUNCATED


def test_the_first_scan_of_a_progressive_jpeg_is_cut_short() -> None:
    data = encode("JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    with pytest.raises(ImageError) as caught:
        decode(data[: (first + data.index(b"\xff\xda", first + 2)) // 2] + b"\xff\xd9", "x")
    assert caught.value.reason is Reason.TRUNCATED


def test_a_jpeg_of_grey_is_complete() -> None:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (64, 64), (128, 128, 128)).save(buffer, "JPEG")
    assert decode(buffer.getvalue(), "x").note is None
    check_read(buffer.getvalue()[:-2], buffer.getvalue(), note=NO_END)


def test_rows_that_are_missing() -> None:
    stream = rebuild_jpeg(encode("JPEG", subsampling="4:4:4", quality=90), keep_exif=False)
    assert stream is not None
    assert lacks_rows(stream) is None
    scan = stream.index(b"\xff\xda")
    rows = [lacks_rows(stream[: scan + (len(stream) - scan) * part // 8 - 20]) for part in range(1, 9)]
    assert rows == sorted(rows, key=lambda row: -1 if row is None else row)
    assert all(row is not None and abs(row - 8 * i) <= 8 for i, row in enumerate(rows))
    assert lacks_rows(stream[:-20], but_the_last=True) is None
    assert lacks_rows(stream[: len(stream) // 2], but_the_last=True) is not None


def test_a_thumbnail_is_never_read_as_the_photo() -> None:
    """A segment that ends too early leaves its thumbnail in the way."""
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (16, 16), "red").save(buffer, "JPEG")
    lying = bytes((0xFF, 0xE1)) + struct.pack(">H", 20) + b"Exif\0\0" + bytes(30) + buffer.getvalue()
    data = encode("JPEG")
    assert rebuild_jpeg(data[:2] + lying + data[2:], keep_exif=True) is None
    with pytest.raises(ImageError):
        decode(data[:2] + lying + data[2:], "x")


# WebP, GIF, TIFF, HEIC, AVIF ---------------------------------------------------------------------------


def test_metadata_of_a_webp() -> None:
    intact = encode("WEBP", exif=exif(), xmp=b"<xmp/>" * 9, icc_profile=b"profile" * 9)
    check_read(intact[:-20], intact, orientation=6)
    at = intact.index(b"ICCP") + 4
    with pytest.raises(ImageError):  # no pixels are found behind a chunk of a wrong size
        decode(intact[:at] + struct.pack("<I", 1 << 30) + intact[at + 4 :], "x")


def test_a_gif_without_its_end() -> None:
    intact = encode("GIF")
    assert decode(intact[:-1], "x").note is None
    text = b"!\xfe\x04abcd\0"
    at = 13 + 3 * 256
    decoded = decode(intact[:at] + text + intact[at:-2], "x")
    assert np.array_equal(decoded.image, decode(intact, "x").image)


def with_entry(data: bytes, *entries: bytes) -> bytes:
    """Add entries to the directory of a little-endian TIFF."""
    (start,) = struct.unpack_from("<I", data, 4)
    (number,) = struct.unpack_from("<H", data, start)
    old = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(number)]
    new = sorted([*old, *entries], key=lambda entry: struct.unpack("<H", entry[:2]))
    directory = struct.pack("<H", len(new)) + b"".join(new) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_private_tags_of_a_tiff(compression: str) -> None:
    intact = encode("TIFF", compression=compression, tiffinfo={274: 6})
    for tag, kind, count, value in (
        (65000, 2, 1 << 20, 1 << 30),
        (65000, 99, 1, 0),
        (34675, 7, 1 << 30, 8),
        (34665, 4, 1, 1 << 30),
        (700, 12, 2, 8),
    ):
        decoded = decode(with_entry(intact, struct.pack("<HHII", tag, kind, count, value)), "x")
        assert np.array_equal(decoded.image, decode(intact, "x").image)


def test_a_tiff_is_read_without_a_tag_that_pillow_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL.TiffImagePlugin import TiffImageFile

    original: Callable[[TiffImageFile], None] = TiffImageFile._setup

    def refuse(self: TiffImageFile) -> None:
        if 65000 in self.tag_v2:
            raise ValueError("a private tag")
        original(self)

    monkeypatch.setattr(TiffImageFile, "_setup", refuse)
    intact = encode("TIFF", compression="tiff_lzw", tiffinfo={274: 6})
    damaged = with_entry(intact, struct.pack("<HHII", 65000, 4, 1, 0))
    check_read(damaged, intact, orientation=6)
    # The directory of the copy is behind the pixels: it must not complete pixels that are cut short.
    (start,) = struct.unpack_from("<I", damaged, 4)
    strips = next(i for i in range(start, len(damaged)) if damaged[i : i + 2] == struct.pack("<H", 279))
    longer = bytearray(damaged)
    longer[strips + 8 : strips + 12] = struct.pack("<I", len(damaged))
    with pytest.raises(ImageError):
        decode(bytes(longer), "x")


@pytest.mark.parametrize(
    "image_format", [pytest.param("HEIF", marks=needs_heif), pytest.param("AVIF", marks=needs_avif)]
)
def test_metadata_items_beyond_the_file(image_format: str) -> None:
    intact = encode(image_format, xmp=b"<xmp/>" * 9)
    (found,) = [(kind, place) for kind, place in find_metadata_items(intact) if kind == b"mime"]
    xmp = intact.index(b"<xmp/>")
    at = intact.index(struct.pack(">I", xmp))
    damaged = intact[:at] + struct.pack(">I", len(intact) - 3) + intact[at + 4 :]
    check_read(damaged, intact)
    assert intact[found[1] : found[1] + 4] == b"mime"


@needs_avif
def test_an_avif_whose_associations_are_in_two_tables() -> None:
    """As link-u's cavif wrote AVIFs with alpha: libavif refuses them."""
    intact = encode("AVIF")
    at = intact.index(b"ipma") - 4
    (size,) = struct.unpack_from(">I", intact, at)
    empty = struct.pack(">I4sII", 16, b"ipma", 0, 0)
    damaged = bytearray(intact[:at] + empty + intact[at:])
    for kind in (b"meta", b"iprp"):
        place = intact.index(kind) - 4
        damaged[place : place + 4] = struct.pack(">I", struct.unpack_from(">I", intact, place)[0] + 16)
    # The places of the pixels move with it.
    start = intact.index(b"mdat") + 4
    place = intact.index(struct.pack(">I", start))
    damaged[place : place + 4] = struct.pack(">I", start + 16)
    check_read(bytes(damaged), intact)
    assert size > 16


@pytest.mark.skipif(not (PHOTOS / "formats").is_dir(), reason="needs ../shared/data")
def test_photographs_of_many_sources_that_end_early() -> None:
    """JPEGs of cameras: without the end marker they are read, with half of their bytes they are not."""
    read = refused = 0
    for path in sorted((PHOTOS / "formats").rglob("*.jpg")):
        data = path.read_bytes()
        if len(data) > 150_000 or not data.endswith(b"\xff\xd9"):
            continue
        try:
            intact = decode(data, path)
        except ImageError:
            continue
        if intact.note is None:
            assert np.array_equal(decode(data[:-2], path).image, intact.image), path
            read += 1
            with pytest.raises(ImageError):
                decode(data[: len(data) * 2 // 3], path)
            refused += 1
    assert read == refused > 10
