"""Forms of values of the table ``meta`` of a catalog; see `faceindex.store.checked_json`."""

from __future__ import annotations

import math
import re

from faceindex.store.checked_json import (
    Check,
    Malformed,
    fields,
    integer,
    mapping,
    natural,
    scalar,
    text,
    up_to,
)
from faceindex.store.directory import is_vectors_name
from faceindex.store.records import LEAST_MIN_FACE

__all__ = [
    "BUILT_IN",
    "HNSW",
    "NOT_SEARCHED",
    "NO_TRANSFER",
    "PINS",
    "SEARCHED",
    "TRANSFER",
    "address",
    "index_id",
    "vectors_name",
]

_MOST_DIMENSIONS = 1 << 16
_MOST_MIN_FACE = 100_000  # pixels


def _setting(value: object, name: str) -> object:
    """Require a value that a model can have; a smaller `min_face` would take minutes for each photo."""
    if isinstance(scalar(value, name), float) and not math.isfinite(float(str(value))):
        raise Malformed(f"{name} is not a finite number")
    if name.endswith("settings.min_face") and not (
        isinstance(value, (int, float)) and LEAST_MIN_FACE <= value <= _MOST_MIN_FACE
    ):
        raise Malformed(f"{name} is not a size in {LEAST_MIN_FACE}..{_MOST_MIN_FACE} px")
    return value


PINS: Check = fields(
    detector=text,
    embedder=text,
    dimension=up_to(_MOST_DIMENSIONS),
    settings=mapping(_setting),
    weights=mapping(text),
)
TRANSFER: Check = fields(pins=PINS, rows=natural)
NO_TRANSFER: dict[str, object] = {}  # compared by identity: a stored {} lacks its keys


def _seed(value: object, name: str) -> int:
    if not 0 <= integer(value, name) < 1 << 32:
        raise Malformed(f"{name} is not in 0..{(1 << 32) - 1}")
    return integer(value, name)


# An HNSW index with more links than this takes gigabytes; hnswlib's own example has 48 at most.
HNSW: Check = fields(m=up_to(1024), ef_construction=up_to(100_000), ef=up_to(100_000), seed=_seed)


def vectors_name(value: object, name: str) -> str:
    """Require the name of a vector file: that file is written and deleted."""
    if not is_vectors_name(text(value, name)):
        raise Malformed(f"{name} is not the name of a vector file")
    return str(value)


_LONGEST_ADDRESS = 1000
BUILT_IN = ""
NOT_SEARCHED: dict[str, object] = {"vectors": "", "rows": 0, "faces": 0}


def address(value: object, name: str) -> str:
    """Require printable text of the form of an address; who connects to it checks the rest."""
    found = text(value, name)
    if not found.isprintable() or ":" not in found or len(found) > _LONGEST_ADDRESS:
        raise Malformed(f"{name} is not an address")
    return found


def _faces(value: object, name: str) -> object:
    if integer(value, name) < -1:
        raise Malformed(f"{name} is not a number of faces")
    return value


SEARCHED: Check = fields(vectors=vectors_name, rows=natural, faces=_faces)


def index_id(value: object, name: str) -> str:
    """Require the 32 hexadecimal digits of a UUID."""
    if not re.fullmatch("[0-9a-f]{32}", text(value, name)):
        raise Malformed(f"{name} is not a UUID")
    return str(value)
