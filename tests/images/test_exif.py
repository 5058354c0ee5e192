"""The orientation: of EXIF and of codecs, never of XMP."""

from __future__ import annotations

import importlib.util
import io

import PIL.Image
import pytest
from PIL import features
from PIL.PngImagePlugin import PngInfo

from faceindex.images import decode, probe, read_picture
from faceindex.images.inputs import from_pixels

needs_heif = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs pillow-heif")
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow with AVIF")

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def exif(orientation: int) -> bytes:
    tags = PIL.Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def encoded(image_format: str, orientation: int | None) -> bytes:
    """A photo of 40 x 20 pixels, with the orientation 6 in XMP, and another or none in EXIF."""
    image = PIL.Image.new("RGB", (40, 20), "red")
    options: dict[str, object] = {"xmp": XMP}
    if image_format == "PNG":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": text}
    elif image_format.startswith("TIFF"):
        image_format, _, compression = image_format.partition(" ")
        options = {"tiffinfo": {700: XMP}, "compression": compression or None}
    if orientation is not None:
        options["exif"] = exif(orientation)
        if "tiffinfo" in options:
            options["tiffinfo"] = {700: XMP, 274: orientation}
            del options["exif"]
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    assert b"tiff:Orientation" in buffer.getvalue()
    return buffer.getvalue()


FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "TIFF tiff_lzw", pytest.param("AVIF", marks=needs_avif)]


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("orientation", [None, 1, 8])
def test_xmp_turns_no_photo(image_format: str, orientation: int | None) -> None:
    data = encoded(image_format, orientation)
    size = (20, 40) if orientation == 8 else (40, 20)
    decoded = decode(data, "x")
    assert (decoded.width, decoded.height) == size == decoded.image.shape[1::-1] == probe(data, "x")[:2]
    assert read_picture(data).orientation == (orientation or 1)


@pytest.mark.parametrize("orientation", [None, 1, 8])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_xmp_turns_no_image_of_pillow(image_format: str, orientation: int | None) -> None:
    opened = PIL.Image.open(io.BytesIO(encoded(image_format, orientation)))
    decoded = from_pixels(opened, "x")
    assert (decoded.width, decoded.height) == ((20, 40) if orientation == 8 else (40, 20))
    assert any("xmp" in key for key in opened.info)  # the caller's image is as before


def test_an_orientation_set_by_the_caller_counts() -> None:
    image = PIL.Image.new("RGB", (40, 20))
    image.getexif()[0x0112] = 6
    assert from_pixels(image, "x").width == 20


@needs_avif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_turn_of_an_avif_does_not_depend_on_the_decoder(
    orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow reports it as EXIF orientation; pillow-heif before 1.0 applies it, and reports 1."""
    image = PIL.Image.new("RGB", (40, 20))
    buffer = io.BytesIO()
    image.save(buffer, "AVIF", exif=exif(orientation))
    assert read_picture(buffer.getvalue()).orientation == orientation
    monkeypatch.setattr("faceindex.images.picture.exif_orientation", lambda *_: 1)
    assert read_picture(buffer.getvalue()).orientation == orientation
