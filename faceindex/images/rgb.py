"""Convert every pixel mode of Pillow to 8-bit RGB."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import PIL.Image

from faceindex.images.bands import bands

__all__ = ["to_rgb"]

_Convert = Callable[[PIL.Image.Image], PIL.Image.Image]


def to_rgb(image: PIL.Image.Image, shrink: int = 1) -> PIL.Image.Image:
    """Convert a loaded image to mode ``"RGB"``; an RGB image without transparency is returned unchanged.

    The image is converted in bands: beside it and the result, a band is in memory.

    - *Transparent images* are drawn over white, as in viewers and browsers, so that a cut-out portrait
      has no dark rim. If every pixel is fully transparent, the alpha channel is ignored as an error of
      the program that wrote it.
    - *16-bit grey* keeps its high byte, as Pillow does with 16-bit colour.
    - *32-bit integers and floats* have no standard range. The smallest of 0..1 (floats), 0..255 and
      0..65535 that contains all values is mapped to 0..255; if none does, the range from minimum to maximum
      is. NaN becomes black.
    - *CMYK* becomes RGB by the formula ``(255 - c) * (255 - k) / 255``, without a press profile. (Pillow
      has already inverted the values of a JPEG, which Adobe and other programs store inverted.)
    - *CIELAB* is converted by LittleCMS.

    Parameters
    ----------
    image : PIL.Image.Image
    shrink : int
        Divide both sides by this after the conversion, rounding up; a pixel is the mean of a square.
    """
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        convert = _wide_grey(image)
    elif mode == "LAB":
        convert = _lab()
    elif image.has_transparency_data:
        if not _alpha_says_nothing(image):
            return _over_white(image, shrink)
        convert = _without_alpha
    elif mode != "RGB":
        convert = _plain
    elif shrink > 1:
        return image.reduce(shrink)
    else:
        return image
    return _in_bands(image, convert, shrink)


def _in_bands(image: PIL.Image.Image, convert: _Convert, shrink: int) -> PIL.Image.Image:
    width, height = image.size
    result = PIL.Image.new("RGB", (-(-width // shrink), -(-height // shrink)))
    for top, band in bands(image, shrink):
        band.info = image.info  # the transparency of palettes
        rgb = convert(band)
        result.paste(rgb.reduce(shrink) if shrink > 1 else rgb, (0, top // shrink))
    return result


def _plain(band: PIL.Image.Image) -> PIL.Image.Image:
    return band.convert("RGB")


def _rgba(band: PIL.Image.Image) -> PIL.Image.Image:
    return band if band.mode == "RGBA" else band.convert("RGBA")


def _without_alpha(band: PIL.Image.Image) -> PIL.Image.Image:
    return _rgba(band).convert("RGB")


def _over_white(image: PIL.Image.Image, shrink: int) -> PIL.Image.Image:
    width, height = image.size
    result = PIL.Image.new("RGB", (-(-width // shrink), -(-height // shrink)), "white")
    if shrink == 1 and image.mode == "RGBA":
        result.paste(image, mask=image)
        return result
    for top, band in bands(image, shrink):
        band.info = image.info
        band = _rgba(band)
        if shrink == 1:
            result.paste(band, (0, top), mask=band)
            continue
        canvas = PIL.Image.new("RGB", band.size, "white")
        canvas.paste(band, mask=band)
        result.paste(canvas.reduce(shrink), (0, top // shrink))
    return result


def _alpha_says_nothing(image: PIL.Image.Image) -> bool:
    """Return whether all pixels are opaque, or all are fully transparent."""
    least, most = 255, 0
    for _, band in bands(image):
        band.info = image.info
        low, high = _rgba(band).getextrema()[3]
        least, most = min(least, int(low)), max(most, int(high))
        if least < 255 and most > 0:
            return False
    return True


def _wide_grey(image: PIL.Image.Image) -> _Convert:
    if image.mode.startswith("I;16"):
        return lambda band: _from_grey((np.asarray(band) >> 8).astype(np.uint8))
    # Pillow before version 11 reads 16-bit PNGs as 32-bit integers.
    low, high = (0.0, 65535.0) if image.format == "PNG" else _range(image)

    def scale(band: PIL.Image.Image) -> PIL.Image.Image:
        scaled = (np.asarray(band).astype(np.float64) - low) * (255 / (high - low))
        grey = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255).round()
        return _from_grey(grey.astype(np.uint8))

    return scale


def _from_grey(grey: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> PIL.Image.Image:
    return PIL.Image.fromarray(grey).convert("RGB")


def _range(image: PIL.Image.Image) -> tuple[float, float]:
    least, most, decimals = np.inf, -np.inf, image.mode == "F"
    for _, band in bands(image):
        values = np.asarray(band)
        finite = values[np.isfinite(values)]
        if finite.size:
            least, most = min(least, float(finite.min())), max(most, float(finite.max()))
    if least > most:
        return 0.0, 1.0
    for nominal in (1.0, 255.0, 65535.0) if decimals else (255.0, 65535.0):
        if least >= 0 and most <= nominal:
            return 0.0, nominal
    return least, most if most > least else least + 1.0


def _lab() -> _Convert:
    from PIL import ImageCms  # LittleCMS is an optional part of Pillow

    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )

    def convert(band: PIL.Image.Image) -> PIL.Image.Image:
        converted = ImageCms.applyTransform(band, transform)
        if converted is None:
            raise ValueError("CIELAB cannot be converted")
        return converted

    return convert
