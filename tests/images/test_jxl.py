"""JPEG XL: its header, its orientation, its identity, and what is refused before it is decoded."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from faceindex.errors import ImageError, Reason
from faceindex.images import decode, openers, probe, read_picture, sniff
from faceindex.images.jxl import CODESTREAM, CONTAINER, jxl_header
from faceindex.images.limits import BASE_BYTES, limit_memory
from faceindex.types import Image

FORMATS = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats"

# The header of a codestream of 64 x 40 pixels: small sides, and orientation 6 among the extra fields.
TURNED = CODESTREAM + (0b1 | 4 << 1 | 0 << 6 | 7 << 9 | 0 << 14 | 1 << 15 | 5 << 16).to_bytes(64, "little")


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, kind) + payload


def contained(codestream: bytes, *more: bytes) -> bytes:
    return CONTAINER + box(b"ftyp", b"jxl \0\0\0\0jxl ") + b"".join(more) + box(b"jxlc", codestream)


def exif(orientation: int, taken: str | None = None) -> bytes:
    fields = PIL.Image.Exif()
    fields[0x0112] = orientation
    if taken is not None:
        fields.get_ifd(0x8769)[0x9003] = taken
    return fields.tobytes().removeprefix(b"Exif\0\0")


def picture() -> Image:
    pixels = np.full((40, 64, 3), 100, np.uint8)
    pixels[:20, :32] = 230, 20, 20
    return pixels


def encode(**options: object) -> bytes:
    pytest.importorskip("pillow_jxl")
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture()).save(buffer, "JXL", lossless=True, **options)
    return buffer.getvalue()


def test_the_header() -> None:
    assert sniff(TURNED) == sniff(contained(TURNED)) == "JXL"
    for data in (TURNED, contained(TURNED)):
        header = jxl_header(data)
        assert (header.width, header.height, header.orientation) == (40, 64, 6)
    parts = box(b"jxlp", b"\0\0\0\0" + TURNED[:3]) + box(b"jxlp", b"\x80\0\0\1" + TURNED[3:])
    assert jxl_header(CONTAINER + parts).orientation == 6
    large = CODESTREAM + (1 << 1 | 2999 << 3 | 1 << 16 | 1 << 19).to_bytes(64, "little")
    assert (jxl_header(large).width, jxl_header(large).height) == (3000, 3000)
    for damaged in (CODESTREAM, CONTAINER, CONTAINER + box(b"jxlc", b"not one"), CODESTREAM + b"\1"):
        with pytest.raises(ValueError, match=r"it has no|the file ends"):
            jxl_header(damaged)


def test_without_its_decoder_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openers, "optional_opener", lambda _: None)
    with pytest.raises(ImageError) as caught:
        decode(contained(TURNED), "a.jxl")
    assert caught.value.reason is Reason.UNSUPPORTED
    assert "a JPEG XL file" in caught.value.detail
    assert 'pip install "faceindex[jxl]"' in caught.value.remedy


def test_pixels_are_decoded_and_reduced() -> None:
    data = encode()
    assert np.array_equal(decode(data, "x").image, picture())
    assert probe(data, "x") == (64, 40, "JXL")
    assert decode(data, "x", shrink=8).image.shape == (5, 8, 3)
    assert decode(data, "x", shrink=8).image[0, 0].tolist() == [230, 20, 20]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16", "F"])
def test_other_kinds_of_pixels(mode: str) -> None:
    pytest.importorskip("pillow_jxl")
    grey = PIL.Image.fromarray(picture()).convert("L")
    pixels = np.asarray(grey).astype(np.uint16) * 257
    image = PIL.Image.fromarray(pixels) if mode == "I;16" else grey.convert(mode)
    if mode == "F":
        image = image.point(lambda value: value / 255)
    buffer = io.BytesIO()
    image.save(buffer, "JXL", lossless=True)
    found = decode(buffer.getvalue(), "x").image
    assert np.abs(found.astype(int) - np.asarray(grey)[:, :, None]).max() <= 1


def test_the_orientation_of_exif_does_not_count() -> None:
    data = encode(exif=exif(6, "2019:08:07 06:05:04"), use_container=True)
    assert np.array_equal(decode(data, "x").image, picture())
    found = read_picture(data)
    assert (found.orientation, found.taken) == (1, 1565157904)


def test_a_jpeg_inside_is_turned_once(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    PIL.Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif(6), quality=95)
    buffer = io.BytesIO()
    with PIL.Image.open(tmp_path / "a.jpg") as opened:
        opened.save(buffer, "JXL", lossless_jpeg=True)
    decoded = decode(buffer.getvalue(), "x")
    assert (decoded.width, decoded.height) == (40, 64) == probe(buffer.getvalue(), "x")[:2]
    of_jpeg = decode((tmp_path / "a.jpg").read_bytes(), "x")
    assert np.abs(decoded.image.astype(int) - of_jpeg.image).max() < 20


def test_metadata_do_not_change_the_picture() -> None:
    data = encode()
    assert data.startswith(CODESTREAM)
    versions = [
        contained(data),
        contained(data, box(b"Exif", bytes(4) + exif(3))),
        contained(data, box(b"xml ", b"<x/>" * 99)),
        contained(b"")[:-8] + box(b"jxlp", b"\0\0\0\0" + data[:40]) + box(b"jxlp", b"\x80\0\0\1" + data[40:]),
    ]
    assert {read_picture(version).hash for version in versions} == {read_picture(data).hash}
    assert all(np.array_equal(decode(version, "x").image, picture()) for version in versions)


def test_what_is_cut_short_or_damaged() -> None:
    data = encode(exif=exif(1), use_container=True)
    with pytest.raises(ImageError) as caught:
        decode(data[:-20], "x")
    assert caught.value.reason is Reason.TRUNCATED
    bare = encode()
    for damaged in (bare[: len(bare) // 2], bare[:30] + bytes(20) + bare[50:]):
        with pytest.raises(ImageError) as caught:
            decode(damaged, "x")
        assert caught.value.reason in (Reason.CORRUPT, Reason.TRUNCATED)


def test_the_limits_hold_before_pixels_are_decoded() -> None:
    pytest.importorskip("pillow_jxl")
    side = (1 << 30) - 1
    bomb = CODESTREAM + (3 << 1 | side << 3 | 1 << 33 | 1 << 36).to_bytes(64, "little")
    with pytest.raises(ImageError) as caught:
        probe(bomb, "x")
    assert caught.value.reason is Reason.TOO_LARGE
    large = CODESTREAM + (3 << 1 | 11_999 << 3 | 1 << 33 | 1 << 36).to_bytes(64, "little")
    with limit_memory(BASE_BYTES + (1 << 30)), pytest.raises(ImageError) as caught:
        decode(large, "x")
    assert caught.value.reason is Reason.MEMORY


@pytest.mark.skipif(not FORMATS.is_dir(), reason="needs ../shared/data")
def test_the_conformance_files() -> None:
    pytest.importorskip("pillow_jxl")
    sizes = {}
    for path in sorted((FORMATS / "jxl").glob("*.jxl")):
        data = path.read_bytes()
        if sniff(data) == "JXL":
            header = jxl_header(data)
            sizes[path.name.partition("__")[0]] = (header.width, header.height)
    assert sizes["sunset_logo"] == (924, 1386)  # turned
    assert len(sizes) == 6
