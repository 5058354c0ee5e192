"""Estimate the memory that decoding a photo takes, from its header.

The factors are from benchmarks/decode_memory.py, which measures each format, mode and compression in a
process of its own; ``results/decode_memory.json`` has the estimate beside each measurement.
"""

from __future__ import annotations

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from faceindex.images.libraw import RawImageFile
from faceindex.images.scans import has_one_scan

__all__ = ["decode_bytes"]

# Bytes that Pillow stores for a pixel, by mode; 4 for all others (Pillow, Storage.c).
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
_RGB, _ARRAY = 4, 3

# Bytes per pixel of the whole photo that the codec holds beside Pillow's pixels. libwebp: two RGBA canvases
# and the frame that Pillow copies. libheif and libavif: planes, their RGB, and a copy. libjxl: most for
# lossless pictures, whose planes have 4 bytes a sample.
_CODEC = {"WEBP": 12.5, "HEIF": 5.2, "AVIF": 8.0, "JXL": 16.0}
# LibRaw: the sensor data; and for a pixel of the result, 4 samples of 16 bits, twice, and the result.
_MOSAIC, _DEMOSAICED = 3, 17
_DEEP = 7.0
_COEFFICIENT = 2  # libjpeg keeps those of all scans in a virtual array (jdcoefct.c)

_COMPRESSION, _BITS, _SAMPLES = 259, 258, 277
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_LENGTH, _PLANES = 278, 322, 323, 284
_UNCOMPRESSED, _JPEG_IN_TIFF = 1, 7
_OVERHEAD = 16 << 20  # bands (of floats: 2 MiB each for some steps), tables, the state of the codec


def decode_bytes(opened: ImageFile, data: bytes, shrink: int) -> int:
    """Estimate the bytes that are taken while a photo is decoded, with those of its file.

    Parameters
    ----------
    opened : ImageFile
        Before its pixels are loaded, and before `draft`.
    data : bytes
        The whole file.
    shrink : int
        As in `faceindex.images.decode`.
    """
    width, height = opened.size
    pixels = width * height
    by_codec = isinstance(opened, JpegImageFile)
    loaded = _reduced(width, height, shrink) if by_codec else pixels
    if isinstance(opened, RawImageFile) and shrink > 1:
        loaded = _reduced(width, height, 2)
    result = _reduced(width, height, shrink)
    mode = opened.mode
    stored = _STORED.get(mode, 4)
    converted = mode != "RGB" or "transparency" in opened.info or (shrink > 1 and not by_codec)
    decoding = stored * loaded + _codec_bytes(opened, data, pixels, loaded)
    using = stored * loaded + (_RGB if converted else _ARRAY) * result
    if opened.format == "HEIF":  # it keeps what it decoded as long as its pixels
        using += stored * loaded
    handing_over = (_RGB + _ARRAY) * result
    return len(data) + _OVERHEAD + int(max(decoding, using, handing_over))


def _reduced(width: int, height: int, shrink: int) -> int:
    return -(-width // shrink) * -(-height // shrink)


def _codec_bytes(opened: ImageFile, data: bytes, pixels: int, loaded: int) -> float:
    if isinstance(opened, JpegImageFile):
        return _coefficient_bytes(opened, data, pixels)
    if isinstance(opened, TiffImageFile):
        return _strip_bytes(opened)
    if isinstance(opened, RawImageFile):
        return _MOSAIC * pixels + _DEMOSAICED * loaded
    factor: float = _CODEC.get(opened.format or "", 0)
    if opened.info.get("bit_depth", 8) > 8:  # pillow-heif: the planes of HEIF have 2 bytes a sample, twice
        factor += _DEEP
    return factor * pixels


def _coefficient_bytes(opened: JpegImageFile, data: bytes, pixels: int) -> float:
    """Return the size of the coefficients of a JPEG with several scans; that with one keeps some rows."""
    if has_one_scan(data):
        return 0
    samples = [(layer[1], layer[2]) for layer in opened.layer]
    most = max(across for across, _ in samples) * max(down for _, down in samples)
    return _COEFFICIENT * pixels * sum(across * down for across, down in samples) / most


def _strip_bytes(opened: TiffImageFile) -> float:
    """Return the size of a decoded strip or tile of a TIFF, of which libtiff holds one."""
    tags = opened.tag_v2
    compression = tags.get(_COMPRESSION, _UNCOMPRESSED)
    if compression == _UNCOMPRESSED:
        return 0
    width, height = opened.size
    if _TILE_WIDTH in tags:
        area = tags[_TILE_WIDTH] * tags.get(_TILE_LENGTH, 1)
    else:
        area = width * min(height, tags.get(_ROWS_PER_STRIP, height))
    bits = tags.get(_BITS, (1,))
    size = max(bits) / 8 * (1 if tags.get(_PLANES) == 2 else tags.get(_SAMPLES, 1))
    if compression == _JPEG_IN_TIFF:
        size = 4 + 3 * _COEFFICIENT  # RGBA; it may be progressive
    return float(area * size)
