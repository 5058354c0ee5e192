"""Find photos, read them, and decode them to upright RGB.

Everything except `walk` is imported at first use, so that walking folders loads neither NumPy nor Pillow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from faceindex.images.walk import Candidate, walk

if TYPE_CHECKING:
    from faceindex.images.decoder import DEFAULT_MAX_PIXELS, DecodedImage, decode, probe
    from faceindex.images.formats import IMAGE_SUFFIXES, content_hash, read, sniff
    from faceindex.images.parts import Part, decode_parts, decode_to_fit
    from faceindex.images.picture import Picture, read_picture

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "IMAGE_SUFFIXES",
    "Candidate",
    "DecodedImage",
    "Part",
    "Picture",
    "content_hash",
    "decode",
    "decode_parts",
    "decode_to_fit",
    "probe",
    "read",
    "read_picture",
    "sniff",
    "walk",
]

# No submodule may have one of these names: once imported, it would hide the function.
_HOMES = {
    **dict.fromkeys(("IMAGE_SUFFIXES", "content_hash", "read", "sniff"), "formats"),
    **dict.fromkeys(("Part", "decode_parts", "decode_to_fit"), "parts"),
    **dict.fromkeys(("Picture", "read_picture"), "picture"),
    **dict.fromkeys(("DEFAULT_MAX_PIXELS", "DecodedImage", "decode", "probe"), "decoder"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"faceindex.images.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
