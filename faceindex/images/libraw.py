"""RAW files without a full-size preview, decoded from the sensor data by LibRaw (the extra ``raw``)."""

from __future__ import annotations

import contextlib
import ctypes
import io
import platform
import sys
import threading
from collections.abc import Iterator
from typing import Any

import PIL.Image
from PIL.ImageFile import ImageFile

__all__ = ["RawImageFile"]

# LibRaw's `flip`, as dcraw's: 3 is 180 degrees, 5 is 90 anti-clockwise, 6 is 90 clockwise.
_ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}
_ORIENTATION = 0x0112


class _Silence:
    """How many threads want C's standard error to be silent, and what it was before."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.before: int | None = None


_silence = _Silence()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep LibRaw from printing that data are damaged: the line names no file, and the error does.

    rawpy does not set LibRaw's callback. Only what C code prints is lost meanwhile, in the whole process:
    Python does not write through the variable ``stderr`` of the C library. With another C library than
    glibc, the lines stay.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    stream = ctypes.c_void_p.in_dll(library, "stderr")
    with _silence.lock:
        _silence.users += 1
        if _silence.users == 1:
            library.fopen.restype = ctypes.c_void_p
            _silence.before, stream.value = stream.value, library.fopen(b"/dev/null", b"w") or stream.value
    try:
        yield
    finally:
        with _silence.lock:
            _silence.users -= 1
            if not _silence.users and stream.value != _silence.before:
                library.fclose(ctypes.c_void_p(stream.value))
                stream.value = _silence.before


class RawImageFile(ImageFile):
    """A RAW file whose pixels are computed from the sensor data when it is loaded.

    The picture is in 8-bit sRGB, with the white balance of the camera, as stored: not turned. Its size is
    known after opening. The EXIF data have the orientation alone, as LibRaw reports it.

    Raises
    ------
    ImportError
        If rawpy is not installed.
    ValueError, OSError
        If LibRaw cannot read the file.
    """

    format = "RAW"
    format_description = "RAW file of a camera"

    def _open(self) -> None:
        import rawpy

        assert self.fp is not None
        try:
            with _quiet():
                self._raw: Any = rawpy.imread(io.BytesIO(self.fp.read()))
        except rawpy.LibRawError as error:
            raise _as_ours(error) from error
        sizes = self._raw.sizes
        width, height = sizes.iwidth, sizes.iheight
        if sizes.pixel_aspect < 1:  # LibRaw stretches the shorter side
            height = round(height / sizes.pixel_aspect)
        elif sizes.pixel_aspect > 1:
            width = round(width * sizes.pixel_aspect)
        self._size = (width, height)
        self._mode = "RGB"
        self._half = False
        self._orientation = _ORIENTATIONS.get(sizes.flip, 1)

    def halve(self) -> None:
        """Load at half the sides, rounded up: each square of four sensors becomes a pixel, in less time."""
        self._half = True

    def getexif(self) -> PIL.Image.Exif:
        """Return the orientation."""
        exif = PIL.Image.Exif()
        exif[_ORIENTATION] = self._orientation
        return exif

    def load(self) -> Any:
        """Compute the pixels."""
        if self._raw is not None:
            with _quiet():
                image = self._process()
            self._raw.close()
            self._raw = None
            self._size = image.size
            self.im = image.im
        return PIL.Image.Image.load(self)

    def _process(self) -> PIL.Image.Image:
        import rawpy

        try:
            mosaic = self._raw.raw_image
            if mosaic is not None and mosaic.size and mosaic.min() == mosaic.max():
                # LibRaw reports no error for sensor data that it cannot decode, or that are not there.
                raise ValueError("its sensor data have a single value")
            pixels = self._raw.postprocess(
                use_camera_wb=True,
                user_flip=0,
                output_bps=8,
                half_size=self._half,
                demosaic_algorithm=rawpy.DemosaicAlgorithm.PPG,
            )
        except rawpy.LibRawError as error:
            raise _as_ours(error) from error
        width, height = self._size
        if self._half:
            width, height = -(-width // 2), -(-height // 2)
        image = PIL.Image.fromarray(pixels).convert("RGB")
        # Sensors that are built diagonally, and pixels that are not square, may change the size by a pixel.
        return image if image.size == (width, height) else image.resize((width, height))


def _as_ours(error: Exception) -> Exception:
    """Convert an error of LibRaw, whose message is bytes."""
    import rawpy

    message = error.args[0] if error.args else ""
    text = message.decode("ascii", "replace") if isinstance(message, bytes) else str(message)
    if isinstance(error, rawpy.LibRawUnsufficientMemoryError):
        return MemoryError(text)
    if isinstance(error, rawpy.LibRawIOError):
        return OSError(f"unexpected end of file: {text}")
    return ValueError(f"LibRaw: {text}")
