"""Picture identity: the hash ignores metadata and nothing else; orientation and capture date."""

from __future__ import annotations

import importlib.util
import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import PngImagePlugin, features

from faceindex.errors import ImageError
from faceindex.images import decoder, openers, read, read_picture, sniff
from faceindex.images.decoder import decode_with
from faceindex.images.exif import TRANSPOSITIONS, exif_orientation
from faceindex.images.pixel_data import gif_data, jpeg_data, png_data, webp_data
from faceindex.images.pixel_data_heif import heif_data
from faceindex.images.pixel_data_tiff import tiff_data

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, on damaged files
PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow with AVIF")
needs_heif = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs pillow-heif")
FORMATS = [
    *("JPEG", "PNG", "WEBP", "TIFF"),
    pytest.param("AVIF", marks=needs_avif),
    pytest.param("HEIF", marks=needs_heif),
]


def image(seed: int = 0, mode: str = "RGB") -> PIL.Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8)
    return PIL.Image.fromarray(noise).convert(mode)


def encode(picture: PIL.Image.Image, image_format: str, **options: object) -> bytes:
    if image_format == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def exif(orientation: int | None = None, taken: str | None = None, note: str = "") -> bytes:
    fields = PIL.Image.Exif()
    if orientation is not None:
        fields[0x0112] = orientation
    if taken is not None:
        fields.get_ifd(0x8769)[0x9003] = taken
    fields[0x010E] = note or "a description"
    fields[0x0132] = "2024:05:06 07:08:09"  # the last edit
    fields.get_ifd(0x8769)[0x9004] = "2023:05:06 07:08:09"  # the scan
    return fields.tobytes()


def hash_of(data: bytes) -> bytes:
    return read_picture(data).hash


def segment(marker: int, payload: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, position = [], 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        found.append((kind, data[position + 8 : position + 8 + length]))
        position += length + 12
    return found


# Metadata ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", FORMATS)
def test_exif_that_is_added_rewritten_and_removed(image_format: str) -> None:
    plain = encode(image(), image_format)
    versions = [
        encode(image(), image_format, exif=exif(1, "2019:08:07 06:05:04")),
        encode(image(), image_format, exif=exif(None, None, "a longer note " * 100)),
    ]
    assert len({plain, *versions}) == 3
    assert {hash_of(version) for version in versions} == {hash_of(plain)}
    assert hash_of(encode(image(1), image_format)) != hash_of(plain)


@pytest.mark.parametrize("image_format", [name for name in FORMATS if "AVIF" not in str(name)])
def test_a_colour_profile_is_no_part_of_the_picture(image_format: str) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(image(), image_format, icc_profile=profile)
    assert profile[20:60] in data or image_format == "PNG"  # compressed there
    assert hash_of(data) == hash_of(encode(image(), image_format))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"restart_marker_rows": 1},
        {"quality": 100, "subsampling": 0},
        {"optimize": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_segments_of_a_jpeg(mode: str, options: dict[str, object]) -> None:
    plain = encode(image(mode=mode), "JPEG", **options)
    if "restart_marker_rows" in options:
        assert b"\xff\xd0" in plain
    expected = hash_of(plain)
    thumbnail = encode(image(2).resize((16, 16)), "JPEG")
    metadata = (
        segment(0xE1, b"Exif\0\0" + thumbnail) + segment(0xED, b"Photoshop 3.0\0") + segment(0xFE, b"x")
    )
    table = plain.index(b"\xff\xdb")
    scan = plain.index(b"\xff\xda")
    rewritten = {
        "first": plain[:2] + metadata + plain[2:],
        "before the tables": plain[:table] + metadata + plain[table:],
        "before the scan": plain[:scan] + metadata + plain[scan:],
        "padding before markers": plain[:table] + b"\xff\xff\xff" + plain[table:],
        "padding at the end": plain[:-2] + b"\xff\xff" + plain[-2:],
        "no end": plain[:-2],
        "appended": plain + b"a video, as phones append it" + thumbnail,
    }
    for name, data in rewritten.items():
        assert hash_of(data) == expected, name
        if name != "no end":  # Pillow wants it
            decode_with(data, "x.jpg", 1, 10**6, lambda *_: None)
    if mode != "CMYK":
        without_jfif = plain[:2] + plain[2 + 18 :]
        assert b"JFIF" in plain[:20]
        assert hash_of(without_jfif) == expected
    cut = plain[: (scan + len(plain)) // 2]
    assert len({expected, hash_of(cut), hash_of(cut[:-9])}) == 3


def test_every_byte_of_the_pixels_counts() -> None:
    data = bytearray(encode(image(), "JPEG", quality=60))
    scan = data.index(b"\xff\xda") + 14
    seen = {hash_of(bytes(data))}
    places = [place for place in range(scan, len(data) - 2) if 0xFF not in data[place - 1 : place + 2]]
    for place in places[::40]:
        data[place] ^= 1
        seen.add(hash_of(bytes(data)))
        data[place] ^= 1
    table = data.index(b"\xff\xdb") + 10
    data[table] ^= 1
    seen.add(hash_of(bytes(data)))
    assert len(seen) == len(places[::40]) + 2


def test_adobe_segments_count_only_where_they_change_the_colours() -> None:
    plain = encode(image(), "JPEG")
    bare = plain[:2] + plain[20:]  # without JFIF

    def adobe(transform: int) -> bytes:
        return bare[:2] + segment(0xEE, b"Adobe" + bytes([0, 100, 0, 0, 0, 0, transform])) + bare[2:]

    def pixels(data: bytes) -> bytes:
        return decoder.decode(data, "x.jpg").image.tobytes()

    versions = [plain, bare, adobe(1), adobe(0), plain[:20] + adobe(0)[2:]]
    by_hash: dict[bytes, set[bytes]] = {}
    for data in versions:
        by_hash.setdefault(hash_of(data), set()).add(pixels(data))
    assert len(by_hash) == 2
    assert [len(found) for found in by_hash.values()] == [1, 1]
    assert hash_of(adobe(0)) != hash_of(plain)
    cmyk = encode(image(mode="CMYK"), "JPEG")
    place = cmyk.index(b"Adobe") + 11
    assert hash_of(cmyk[:place] + b"\2" + cmyk[place + 1 :]) != hash_of(cmyk)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16"])
def test_chunks_of_a_png(mode: str) -> None:
    picture = image().convert("L").convert("I;16") if mode == "I;16" else image(mode=mode)
    plain = encode(picture, "PNG")
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "rated five stars")
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    assert hash_of(encode(picture, "PNG", pnginfo=text, dpi=(72, 72))) == hash_of(plain)
    chunks = png_chunks(plain)
    pixels = b"".join(payload for kind, payload in chunks if kind == b"IDAT")
    before = [(kind, payload) for kind, payload in chunks if kind not in (b"IDAT", b"IEND")]
    divided = [(b"IDAT", pixels[i : i + 100]) for i in range(0, len(pixels), 100)]
    for parts in ([*before, *divided], [*before, (b"tIME", bytes(7)), *divided, (b"eXIf", exif(3)[6:])]):
        data = plain[:8] + b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])
        assert hash_of(data) == hash_of(plain)
        assert decoder.probe(data, "x.png")
    changed = [*before, (b"IDAT", pixels[:-1] + b"x"), (b"IEND", b"")]
    assert hash_of(plain[:8] + b"".join(chunk(*part) for part in changed)) != hash_of(plain)


def test_transparency_and_palette_of_a_png_count() -> None:
    plain = encode(image(mode="P"), "PNG")
    assert hash_of(encode(image(mode="P"), "PNG", transparency=3)) != hash_of(plain)
    other = image(mode="P")
    other.putpalette(list(reversed(other.getpalette() or [])))
    assert hash_of(encode(other, "PNG")) != hash_of(plain)


def test_further_frames_of_a_png_do_not_count_and_those_of_a_webp_do() -> None:
    def animation(last: int, image_format: str) -> bytes:
        return encode(
            image(), image_format, save_all=True, append_images=[image(1), image(last)], duration=100, loop=0
        )

    assert hash_of(animation(2, "PNG")) == hash_of(animation(3, "PNG"))
    assert hash_of(animation(2, "WEBP")) != hash_of(animation(3, "WEBP"))


def test_gif_without_comments_and_application_blocks() -> None:
    plain = encode(image(mode="P"), "GIF")
    assert hash_of(encode(image(mode="P"), "GIF", comment=b"a comment " * 60, loop=3)) == hash_of(plain)
    control = b"\x21\xf9\4\1\0\0\3\0"  # colour 3 is transparent
    frame = plain.index(b"\x2c\0\0\0\0\x38\0\x28\0")
    assert hash_of(plain[:frame] + control + plain[frame:]) != hash_of(plain)
    assert hash_of(encode(image(1, mode="P"), "GIF")) != hash_of(plain)


def test_webp_without_its_metadata_chunks() -> None:
    for options in ({"lossless": True}, {"quality": 80}):
        plain = encode(image(mode="RGBA"), "WEBP", **options)
        data = encode(image(mode="RGBA"), "WEBP", exif=exif(3), xmp=b"<x:xmpmeta/>", **options)
        assert b"XMP " in data
        assert hash_of(data) == hash_of(plain)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_first_page_of_a_tiff(mode: str, compression: str | None) -> None:
    plain = encode(image(mode=mode), "TIFF", compression=compression)
    described = encode(
        image(mode=mode), "TIFF", compression=compression, description="x" * 99, dpi=(300, 300)
    )
    pages = encode(
        image(mode=mode), "TIFF", compression=compression, save_all=True, append_images=[image(1, mode)]
    )
    assert hash_of(described) == hash_of(plain)
    assert hash_of(pages) == hash_of(plain)
    assert hash_of(encode(image(1, mode), "TIFF", compression=compression)) != hash_of(plain)


def test_a_big_tiff_has_the_picture_of_a_tiff() -> None:
    plain, big = encode(image(), "TIFF"), encode(image(), "TIFF", big_tiff=True)
    assert big[2] == 43
    assert hash_of(big) == hash_of(plain)


def test_the_byte_order_of_a_tiff_counts_for_its_samples_only() -> None:
    def tiff(order: str, bits: int) -> bytes:
        pixels = bytes(range(2 * 3 * bits // 8))
        tags = [
            (256, 2),
            (257, 3),
            (258, bits),
            (259, 1),
            (262, 1),
            (273, 8),
            (277, 1),
            (278, 3),
            (279, len(pixels)),
        ]
        start = 8 + len(pixels)
        start += start % 2
        body = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start) + pixels
        directory = struct.pack(f"{order}H", len(tags)) + b"".join(
            struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags
        )
        return body.ljust(start, b"\0") + directory + bytes(4)

    assert (
        decoder.decode(tiff(">", 8), "x.tif").image.tolist()
        == decoder.decode(tiff("<", 8), "x.tif").image.tolist()
    )
    assert hash_of(tiff("<", 8)) == hash_of(tiff(">", 8))
    assert hash_of(tiff("<", 16)) != hash_of(tiff(">", 16))


def test_hashes_never_change() -> None:
    """Indexes and decisions of users contain them."""
    jpeg = (
        b"\xff\xd8"
        + segment(0xC0, b"\x08\0\1\0\1\1\1\x11\0")
        + segment(0xDA, b"\1\1\0\0?\0")
        + b"abc\xff\xd9"
    )
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes(13)) + chunk(b"IDAT", b"abc") + chunk(b"IEND", b"")
    found = {name: hash_of(data).hex() for name, data in {"jpeg": jpeg, "png": png, "other": b"abc"}.items()}
    assert found == {
        "jpeg": "3c22d2b78f0c28963252ad229fbc2814",
        "png": "fef6b272f5b116f210e039d884c635a8",
        "other": "6b29f0fb4eed1515ca989686f6a93f82",
    }
    assert hash_of(jpeg[:2] + segment(0xFE, b"comment") + jpeg[2:]).hex() == found["jpeg"]


# Damage --------------------------------------------------------------------------------------------

PARSERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (jpeg_data, b"\xff\xd8\xff"),
    (png_data, b"\x89PNG\r\n\x1a\n"),
    (webp_data, b"RIFF\0\0\0\0WEBP"),
    (gif_data, b"GIF89a"),
    (tiff_data, b"II*\0\x08\0\0\0"),
    (heif_data, b"\0\0\0\x18ftypheic\0\0\0\0heicmif1"),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([head for _, head in PARSERS]), st.binary(max_size=300))
def test_random_bytes_never_raise(head: bytes, rest: bytes) -> None:
    picture = read_picture(head + rest)
    assert len(picture.hash) == 16
    assert 1 <= picture.orientation <= 8
    assert read_picture(head + rest) == picture
    assert len(read_picture(rest).hash) == 16


@pytest.mark.parametrize("image_format", [*FORMATS, "GIF", "BMP"])
def test_damaged_files_never_raise(image_format: str) -> None:
    options = {} if image_format in ("GIF", "BMP") else {"exif": exif(6, "2019:08:07 06:05:04")}
    data = encode(image(), image_format, **options)
    rng = random.Random(0)
    for _ in range(150):
        damaged = bytearray(data[: rng.randrange(len(data))] if rng.random() < 0.5 else data)
        for _ in range(rng.randrange(1, 9)):
            if damaged:
                damaged[rng.randrange(min(len(damaged), 400))] = rng.randrange(256)
        assert len(read_picture(bytes(damaged)).hash) == 16


def test_files_without_pixels_are_hashed_whole() -> None:
    for parser, head in PARSERS:
        with pytest.raises(Exception):  # noqa: B017 - of any kind
            parser(head + b"nothing that could be a picture")
        assert hash_of(head + b"a") != hash_of(head + b"b")
    assert hash_of(b"") != hash_of(b"\0")


def test_strips_that_overlap_take_no_time() -> None:
    data = encode(image(), "TIFF")
    count = 10_000
    offsets = struct.pack(f"<{count}I", *[8] * count)
    sizes = struct.pack(f"<{count}I", *[len(data)] * count)
    tags = [(256, 9), (257, 9), (258, 8), (259, 1), (262, 1), (277, 1)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    end = 8 + 2 + 12 * 8 + 4
    entries += [
        struct.pack("<HHII", 273, 4, count, end),
        struct.pack("<HHII", 279, 4, count, end + 4 * count),
    ]
    bomb = b"II*\0\x08\0\0\0" + struct.pack("<H", 8) + b"".join(entries) + bytes(4) + offsets + sizes
    with pytest.raises(ValueError, match="overlap"):
        tiff_data(bomb)


# Orientation and capture date ----------------------------------------------------------------------


def applied(data: bytes) -> int:
    """The orientation that `decode` applies, from the transposition."""
    if sniff(data) == "TIFF":  # Pillow turns these itself
        return exif_orientation(openers.opener_for("TIFF", "")(io.BytesIO(data)), data)
    found, _ = decode_with(data, "x", 1, 10**8, lambda image, transposition, *_: transposition)
    return {value: key for key, value in TRANSPOSITIONS.items()}.get(found, 1)


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("orientation", [1, 2, 5, 6, 8, 0, 9, None])
def test_the_orientation_is_the_one_that_decode_applies(image_format: str, orientation: int | None) -> None:
    data = encode(image(), image_format, exif=exif(orientation))
    assert read_picture(data).orientation == applied(data)
    if image_format not in ("HEIF", "AVIF"):  # there, the codec turns the picture
        assert read_picture(data).orientation == (orientation if orientation in range(1, 9) else 1)


@pytest.mark.skipif(not (PHOTOS / "orientation").exists(), reason="needs ../shared/data")
def test_the_orientation_of_photographs() -> None:
    turned = 0
    for folder in ("orientation", "formats"):
        for path in sorted((PHOTOS / folder).rglob("*")):
            if not path.is_file() or path.stat().st_size > 3_000_000:
                continue
            try:
                data = read(path)
                expected = applied(data)
            except (ImageError, SyntaxError):  # damaged on purpose
                continue
            assert read_picture(data).orientation == expected, path
            turned += expected != 1
    assert turned > 10


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_capture_date(image_format: str) -> None:
    data = encode(image(), image_format, exif=exif(6, "2019:08:07 06:05:04"))
    assert read_picture(data).taken == 1565157904
    assert read_picture(encode(image(), image_format, exif=exif(6))).taken is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970:01:01 00:00:00", 0),
        ("1969:12:31 23:59:59", -1),
        ("1901:02:03 04:05:06", -2174586894),
        ("2200:01:01 00:00:00", 7258118400),
        ("2019:08:07 06:05:04\0", 1565157904),
        ("2019-08-07T06:05:04.250+02:00", 1565157904),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2019:02:30 06:05:04", None),
        ("2019:08:07 24:05:04", None),
        ("1825:12:31 23:59:59", None),
        ("2201:01:01 00:00:00", None),
        ("yesterday", None),
        ("2019:08:07", None),
        ("", None),
    ],
)
def test_capture_dates_of_many_forms(text: str, seconds: int | None) -> None:
    assert read_picture(encode(image(), "JPEG", exif=exif(None, text))).taken == seconds


def test_damaged_metadata_leave_the_hash() -> None:
    plain = encode(image(), "JPEG")
    for junk in (
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0",
        b"Exif\0\0MM\0*" + b"\0\0\0\x08" + b"\xff" * 40,
    ):
        data = plain[:2] + segment(0xE1, junk) + plain[2:]
        picture = read_picture(data)
        assert (picture.hash, picture.orientation, picture.taken) == (hash_of(plain), 1, None)


@needs_heif
def test_a_turn_in_the_codec_is_part_of_the_picture() -> None:
    """Decoders apply it, so that boxes on the picture are others."""
    data = encode(image(), "HEIF", exif=exif(6))
    assert b"irot" in data
    assert hash_of(data) != hash_of(encode(image(), "HEIF"))
    assert read_picture(data).orientation == 1


@pytest.mark.skipif(not (PHOTOS / "formats").exists(), reason="needs ../shared/data")
def test_photographs_of_many_sources() -> None:
    parsers = {"JPEG": jpeg_data, "PNG": png_data, "WEBP": webp_data, "TIFF": tiff_data, "HEIF": heif_data}
    parsers |= {"AVIF": heif_data, "GIF": gif_data}
    tried: list[str] = []
    failed: list[str] = []
    for path in sorted((PHOTOS / "formats").rglob("*")):
        if not path.is_file() or path.stat().st_size > 3_000_000:
            continue
        data = path.read_bytes()
        image_format = sniff(data)
        if image_format not in parsers:
            continue
        tried.append(path.name)
        try:
            parsers[image_format](data)
        except Exception:
            failed.append(path.name)
    assert len(tried) > 100
    assert len(failed) < 0.1 * len(tried), failed
