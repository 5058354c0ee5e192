"""Photos: find them, read them, decode them to upright RGB.

The names that need numpy and Pillow are imported when they are first asked for, so that walking a
folder costs neither.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from faceindex.images.formats import IMAGE_SUFFIXES, content_hash, read, sniff
from faceindex.images.walk import Candidate, walk

if TYPE_CHECKING:
    from faceindex.images.photo import DEFAULT_MAX_PIXELS, Photo, decode, probe

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "IMAGE_SUFFIXES",
    "Candidate",
    "Photo",
    "content_hash",
    "decode",
    "probe",
    "read",
    "sniff",
    "walk",
]

# No submodule may be called like one of these: once imported, it would hide the function.
_LAZY = frozenset({"DEFAULT_MAX_PIXELS", "Photo", "decode", "probe"})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module("faceindex.images.photo"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
