"""Find weight files and verify their content."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from faceindex.errors import WeightsInvalid, WeightsNotFound
from faceindex.files import naming, sha256_of
from faceindex.models.spec import ClustererSpec, WeightFile

__all__ = [
    "Acceptance",
    "acceptance_path",
    "digest_and_size",
    "find_acceptance",
    "find_weights",
    "is_foreign",
    "is_in_weights_folder",
    "pinned_sha256",
    "read_weights",
    "verify_weights",
    "weight_locations",
    "weights_folder",
]

_ENVIRONMENT_VARIABLE = "FACEINDEX_WEIGHTS"


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The user's acceptance of a file that is not the published one; valid only for this content."""

    sha256: str
    size: int


def weights_folder() -> Path:
    """Return the user's own folder of weight files, the last place searched; it need not exist."""
    return _cache_directory() / "weights"


def weight_locations(weight: WeightFile) -> Iterator[Path]:
    """Yield every path at which a weight file may be, in search order.

    The order is: the package that ships the file, ``$FACEINDEX_WEIGHTS``, ``weights/`` of a source
    checkout, the user's cache directory, the places in `WeightFile.elsewhere`. In each folder, the name of
    the file comes before the names in `WeightFile.also`. Files of packages are found by the package's
    metadata, without an import.
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
    for variant in variants:
        yield from _elsewhere(variant)


def find_weights(weight: WeightFile) -> Path:
    """Return the first path of `weight_locations` that is a file. Its content is not checked.

    The files of other programs (`WeightFile.elsewhere`) may be other versions under the same name. Those
    of another size are passed over.

    Raises
    ------
    WeightsNotFound
        If there is none. The message names the command that downloads the file, or the folder to put it in.
    """
    foreign = _foreign(weight)
    for path in weight_locations(weight):
        if _is_same_size(path, foreign[path]) if path in foreign else path.is_file():
            return path
    raise WeightsNotFound(f"The weight file {weight.name} was not found.", _remedy_if_missing(weight))


def read_weights(weight: WeightFile) -> bytes:
    """Read a weight file and verify its content.

    The file must have the SHA-256 of the published file or of one in `WeightFile.also`, under any of their
    names, or be an unverified file that the user accepted (`faceindex.models.install.add_weights`). The
    content is hashed at every read, and no result is cached, so a changed file is always detected. With
    the SHA instructions of the CPU this takes about a second per gigabyte.

    Raises
    ------
    WeightsNotFound
        If the file is missing.
    WeightsInvalid
        If the file has another content.
    """
    path = find_weights(weight)
    valid = _valid_sizes(weight, path)
    with naming(path), path.open("rb") as file:
        if os.fstat(file.fileno()).st_size not in valid.values():
            raise _invalid(weight, path, *digest_and_size(file))  # hashed in blocks, to save memory
        content = file.read()
    found = hashlib.sha256(content).hexdigest()
    if found not in valid:
        raise _invalid(weight, path, found, len(content))
    return content


def verify_weights(weight: WeightFile) -> Path:
    """Verify a weight file as `read_weights` does, without loading it into memory.

    Returns
    -------
    Path
        The verified file.

    Raises
    ------
    WeightsNotFound, WeightsInvalid
        As in `read_weights`.
    """
    path = find_weights(weight)
    with naming(path), path.open("rb") as file:
        found, size = digest_and_size(file)
    if found not in _valid_sizes(weight, path):
        raise _invalid(weight, path, found, size)
    return path


def pinned_sha256(weight: WeightFile) -> str:
    """Return the SHA-256 that an index stores for a weight file, after checking that the file exists.

    Returns
    -------
    str
        ``weight.sha256`` for every file that holds the published weights, including those in
        `WeightFile.also`; the file's own SHA-256 for an accepted unverified file. The file is not hashed
        here, because `read_weights` accepts no other content.

    Raises
    ------
    WeightsNotFound
        If the file is missing.
    """
    acceptance = find_acceptance(find_weights(weight))
    return acceptance.sha256 if acceptance else weight.sha256


def find_acceptance(path: Path) -> Acceptance | None:
    """Return the user's acceptance of the file at `path`; None if there is none.

    Only files in the user's own folder can be accepted.

    Raises
    ------
    WeightsInvalid
        If the acceptance is damaged or cannot be read.
    """
    if not is_in_weights_folder(path):
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


def is_in_weights_folder(path: Path) -> bool:
    """Return whether `path` is directly in the user's own folder, also by a link or a relative path."""
    return path.parent.resolve() == weights_folder().resolve()


def acceptance_path(path: Path) -> Path:
    """Return the path at which the user's acceptance of the file at `path` is stored."""
    return path.with_name(f"{path.name}.unverified.json")


def digest_and_size(file: BinaryIO) -> tuple[str, int]:
    """Compute the SHA-256 (hexadecimal) and the size in bytes of a file that was just opened."""
    return sha256_of(file), file.tell()


def is_foreign(weight: WeightFile, path: Path) -> bool:
    """Return whether `path` is a file of another program (`WeightFile.elsewhere`)."""
    return path in _foreign(weight)


def _foreign(weight: WeightFile) -> dict[Path, int]:
    """Return the places where other programs keep a weight file, with its size in bytes."""
    return {path: variant.size for variant in (weight, *weight.also) for path in _elsewhere(variant)}


def _elsewhere(weight: WeightFile) -> Iterator[Path]:
    """Yield the places where other programs keep a file; those in a variable that is not set are left out."""
    for place in weight.elsewhere:
        path = Path(os.path.expandvars(os.path.expanduser(place)))  # noqa: PTH111 - raises without a home
        if path.is_absolute():
            yield path


def _is_same_size(path: Path, size: int) -> bool:
    try:
        found = path.stat()
    except OSError:  # missing, or in a folder of another user
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _valid_sizes(weight: WeightFile, path: Path) -> dict[str, int]:
    """Return the size in bytes of every valid content of the file at `path`, by SHA-256."""
    if acceptance := find_acceptance(path):
        return {acceptance.sha256: acceptance.size}
    return {variant.sha256: variant.size for variant in (weight, *weight.also)}


def _invalid(weight: WeightFile, path: Path, sha256: str, size: int) -> WeightsInvalid:
    valid = " or ".join(f"{sha256} ({size:,} bytes)" for sha256, size in _valid_sizes(weight, path).items())
    model = _first_user(weight)
    if find_acceptance(path):
        problem = f"{path} is no longer the file that was added unverified"
        remedy = f"Add it again with `faceindex models add {model} FILE`, or delete it."
    else:
        problem = f"{path} is not the published {weight.name}"
        remedy = f"Delete it and get it again from {weight.source}."
        if is_foreign(weight, path):  # it belongs to another program
            remedy = f"Leave it to the program that it belongs to. {_remedy_if_missing(weight)}"
        elif weight.package:
            remedy = f"Delete it and get it again with `pip install --force-reinstall {weight.package}`."
        elif _has_url(weight):
            remedy = f"Delete it and get it again with `faceindex models fetch {model}`."
    return WeightsInvalid(f"{problem}: SHA-256 {sha256} ({size:,} bytes), expected {valid}.", remedy)


def _remedy_if_missing(weight: WeightFile) -> str:
    folders = f"{weights_folder()} or the folder in ${_ENVIRONMENT_VARIABLE}"
    if weight.package:
        return (
            f"Install it with `pip install {weight.package}`, or put the file from {weight.source} "
            f"into {folders} as {weight.name}."
        )
    if _has_url(weight):
        return (
            f"Download it with `faceindex models fetch {_first_user(weight)}`, or put the file into "
            f"{folders} as {weight.name}."
        )
    return (
        f"Get it from {weight.source} and run `faceindex models add {_first_user(weight)} FILE`, or put it "
        f"into {folders} as {weight.name}."
    )


def _has_url(weight: WeightFile) -> bool:
    return any(variant.url for variant in (weight, *weight.also))


def _first_user(weight: WeightFile) -> str:
    """Return the name of the first model that uses a weight file."""
    from faceindex.models import registry  # the registry lists own embedders, whose files this module finds

    for kind in registry.KINDS:
        for name in registry.names(kind):
            spec = registry.original(kind, name)
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
