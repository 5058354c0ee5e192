"""Convert every pixel mode of Pillow to 8-bit RGB."""

from __future__ import annotations

import numpy as np
import PIL.Image

__all__ = ["to_rgb"]


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Convert a loaded image to mode ``"RGB"``; an RGB image without transparency is returned unchanged.

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
    """
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _from_wide_grey(image)
    if mode == "LAB":
        return _from_lab(image)
    if image.has_transparency_data:
        return _over_white(image if mode == "RGBA" else image.convert("RGBA"))
    return image if mode == "RGB" else image.convert("RGB")


def _over_white(image: PIL.Image.Image) -> PIL.Image.Image:
    least, most = image.getchannel("A").getextrema()
    if least == 255 or most == 0:
        return image.convert("RGB")
    canvas = PIL.Image.new("RGB", image.size, "white")
    canvas.paste(image, mask=image)
    return canvas


def _from_wide_grey(image: PIL.Image.Image) -> PIL.Image.Image:
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        grey = (values >> 8).astype(np.uint8)
    else:
        # Pillow before version 11 reads 16-bit PNGs as 32-bit integers.
        low, high = (0.0, 65535.0) if image.format == "PNG" else _range(values)
        scaled = (values.astype(np.float64) - low) * (255 / (high - low))
        grey = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255).round().astype(np.uint8)
    return PIL.Image.fromarray(grey).convert("RGB")


def _range(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    nominal = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    for most in nominal:
        if low >= 0 and high <= most:
            return 0.0, most
    return low, high if high > low else low + 1.0


def _from_lab(image: PIL.Image.Image) -> PIL.Image.Image:
    from PIL import ImageCms  # LittleCMS is an optional part of Pillow

    transform = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ValueError("CIELAB cannot be converted")
    return converted
