"""The library's face: one object for one index. What it is made of is loaded when it is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faceindex.api.adding import find_index
    from faceindex.api.index import FaceIndex
    from faceindex.api.results import ClusterResult, Face, IdentifiedFace, Query

__all__ = ["ClusterResult", "Face", "FaceIndex", "IdentifiedFace", "Query", "find_index"]

_HOMES = {
    "ClusterResult": "results",
    "FaceIndex": "index",
    "Face": "results",
    "Query": "results",
    "IdentifiedFace": "results",
    "find_index": "adding",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"faceindex.api.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
