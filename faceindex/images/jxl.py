"""JPEG XL: the header and the boxes of its files, and decoding by libjxl (the extra ``jxl``).

Source: ISO/IEC 18181-1 (codestream, annexes B and D) and 18181-2 (boxes). The codestream has the orientation;
that of EXIF does not count (18181-2, section 9.4), and decoders turn the picture themselves.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import PIL.Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from faceindex.images.exif import ORIENTATION, SWAPS_SIDES, TRANSPOSITIONS
from faceindex.images.pixel_data import Parts

__all__ = ["CODESTREAM", "CONTAINER", "JxlHeader", "JxlImageFile", "jxl_data", "jxl_header"]

CODESTREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
"""How a file begins: without and with boxes."""

_HEADER_BYTES = 64  # of the codestream: more than its size and orientation take
_SIZE_BITS = (9, 13, 18, 30)
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_TIFF = (b"II*\0", b"MM\0*")
_MODES = frozenset({"L", "LA", "RGB", "RGBA", "I;16", "F"})


@dataclass(frozen=True, slots=True)
class JxlHeader:
    """The header of a codestream.

    Attributes
    ----------
    width, height : int
        In pixels, upright.
    orientation : int
        1 to 8, as in EXIF: what the decoder applies.
    """

    width: int
    height: int
    orientation: int


class _Bits:
    """Reads unsigned integers, the least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._bits, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def __call__(self, number: int) -> int:
        self._left -= number
        if self._left < 0:
            raise ValueError("the file ends in its header")
        value = self._bits & (1 << number) - 1
        self._bits >>= number
        return value

    def size(self, small: int) -> int:
        """Read one side of the picture."""
        return 8 * (self(5) + 1) if small else 1 + self(_SIZE_BITS[self(2)])


def jxl_header(data: bytes) -> JxlHeader:
    """Read the header of a JPEG XL file.

    Raises
    ------
    ValueError
        If there is no codestream, or the file ends in its header.
    """
    head = b"".join(bytes(part[:_HEADER_BYTES]) for part in jxl_data(data))
    if not head.startswith(CODESTREAM):
        raise ValueError("it has no codestream")
    bits = _Bits(head[2 : 2 + _HEADER_BYTES])
    small = bits(1)
    height = bits.size(small)
    ratio = bits(3)
    width = height * _RATIOS[ratio][0] // _RATIOS[ratio][1] if ratio else bits.size(small)
    orientation = 1
    if not bits(1) and bits(1):  # not all fields have their defaults, and there are extra fields
        orientation = 1 + bits(3)
    if orientation in SWAPS_SIDES:
        width, height = height, width
    return JxlHeader(width, height, orientation)


def jxl_data(data: bytes) -> Parts:
    """Return the codestream, without the boxes of metadata around it.

    Raises ValueError if there is none.
    """
    view = memoryview(data)
    if data.startswith(CODESTREAM):
        return [view]
    parts: Parts = []
    for kind, start, end in _boxes(data):
        if kind == b"jxlc":
            parts.append(view[start:end])
        elif kind == b"jxlp":
            parts.append(view[start + 4 : end])  # behind its number
    if not parts:
        raise ValueError("it has no codestream")
    return parts


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, start and end of the content of each box; the last one may be cut short."""
    position = 0
    while position + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1 and start + 8 <= len(data):
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        stop = position + size if size else len(data)
        if stop < start:
            raise ValueError("a box is shorter than its header")
        yield kind, start, min(stop, len(data))
        position = stop


class JxlImageFile(ImageFile):
    """A JPEG XL file; its header is read when it is opened, and its pixels are decoded when it is loaded.

    The class of pillow-jxl-plugin decodes when it opens a file: too late to refuse what does not fit into
    memory. Upright after loading; the EXIF data have no orientation.

    Raises
    ------
    ImportError
        If pillow-jxl-plugin is not installed.
    ValueError, RuntimeError
        If it is damaged.
    """

    format = "JXL"
    format_description = "JPEG XL"

    def _open(self) -> None:
        assert self.fp is not None
        self._data: bytes | None = self.fp.read()
        header = jxl_header(self._data)
        self._orientation = header.orientation
        self._size = (header.width, header.height)
        self._mode = "RGB"
        for kind, start, end in _boxes(self._data) if self._data.startswith(CONTAINER) else ():
            if kind == b"Exif" and end - start > 4:
                if not self._data.startswith(_TIFF, start):  # some writers leave out the offset of the header
                    start += 4 + int.from_bytes(self._data[start : start + 4], "big")
                self.info["exif"] = b"Exif\0\0" + self._data[start:end]
                break

    def getexif(self) -> PIL.Image.Exif:
        """Return the EXIF data, without the orientation."""
        exif = super().getexif()
        exif.pop(ORIENTATION, None)
        return exif

    def load(self) -> Any:
        """Decode the pixels."""
        if self._data is not None:
            image = _decode(self._data, self._orientation)
            if image.size != self._size:
                raise ValueError(f"its pixels are {image.size[0]} x {image.size[1]}")
            self._data = None
            self._mode = image.mode
            self.im = image.im
        return PIL.Image.Image.load(self)


def _decode(data: bytes, orientation: int) -> PIL.Image.Image:
    import pillow_jxl

    # One thread: photos are decoded in several threads already.
    is_jpeg, info, pixels, *_ = pillow_jxl.Decoder(num_threads=1)(data)
    if is_jpeg:  # the JPEG from which it was made: as stored, with its own EXIF data
        jpeg = JpegImageFile(io.BytesIO(pixels))
        transposition = TRANSPOSITIONS.get(orientation)
        jpeg.load()
        return jpeg if transposition is None else jpeg.transpose(transposition)
    size = info.width, info.height
    if info.mode == "F;16":
        return PIL.Image.frombytes("F", size, pixels, "raw", "F;16")
    if info.mode not in _MODES:
        raise ValueError(f"pixels of the kind {info.mode}")
    return PIL.Image.frombytes(info.mode, size, pixels)
