"""Put weight files into the user's folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from faceindex.errors import ModelError, UsageError, WeightsInvalid
from faceindex.files import replace_durably, write_durably
from faceindex.models.spec import WeightFile
from faceindex.models.weights import (
    acceptance_path,
    digest_and_size,
    is_in_weights_folder,
    weight_locations,
    weights_folder,
)

__all__ = ["add_weights", "as_model_error", "make_folder", "move_into_place", "remove_acceptance"]

_BLOCK = 1 << 20


def add_weights(weights: Sequence[WeightFile], file: Path, *, unverified: bool = False) -> Path:
    """Copy a file into the user's folder, as one of a model's weight files.

    Parameters
    ----------
    weights : sequence of WeightFile
        The weight files of the model. A published file is identified by its SHA-256. An unverified file
        is identified by its name, or else must be the only one that no package ships.
    file : Path
        File to copy.
    unverified : bool
        Accept a file that nobody published. It is used as long as it keeps this content, and an index made
        with it is pinned to it. The acceptance is stored beside it (``NAME.unverified.json``). No effect
        on a published file.

    Returns
    -------
    Path
        The copy.

    Raises
    ------
    WeightsInvalid
        If the file is not a published one and `unverified` is false. The message lists the hashes.
    UsageError
        If the model has no weight files, `file` cannot be read, it is ambiguous which weight file it is,
        or a file in another place would be used instead of it.
    ModelError
        If the folder cannot be written.
    """
    if not weights:
        raise UsageError("The model needs no weight files.", "There is nothing to add to it.")
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe might never end
            raise UsageError(
                f"{file} cannot be read: it is not a regular file.", "Pass the weight file itself."
            )
        with file.open("rb") as source:
            found, size = digest_and_size(source)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Check its name.") from error
    for weight in weights:
        for variant in (weight, *weight.also):
            if variant.sha256 == found:
                _check_precedence(weight, variant.name)
                copy = _copy(file, variant.name, found)
                _remove_unverified(weight, copy)
                return copy
    if not unverified:
        expected = "; ".join(
            f"{variant.name} {variant.sha256} ({variant.size:,} bytes)"
            for weight in weights
            for variant in (weight, *weight.also)
        )
        raise WeightsInvalid(
            f"{file} is not a published file: SHA-256 {found} ({size:,} bytes), expected {expected}.",
            "Get the published file, or pass `unverified=True` if you trust this one.",
        )
    weight = _choose_weight(weights, file)
    _check_precedence(weight, weight.name)
    destination = make_folder() / weight.name
    # The acceptance is written first. After a crash in between, a file that is there already does not match
    # it and is refused until a file is added again.
    _write_text(acceptance_path(destination), json.dumps({"sha256": found, "bytes": size}) + "\n")
    return _copy(file, weight.name, found)


def make_folder() -> Path:
    """Create the user's folder if it is missing, readable only by the user, and return it.

    Raises
    ------
    ModelError
        If it cannot be created or written.
    """
    folder = weights_folder()
    with as_model_error(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    return folder


def move_into_place(temporary: Path, destination: Path) -> None:
    """Rename a complete temporary file. After a power cut, `destination` is complete or unchanged.

    Raises
    ------
    ModelError
        If that fails.
    """
    with as_model_error(destination.parent):
        replace_durably(temporary, destination)


def remove_acceptance(path: Path) -> None:
    """Remove the user's acceptance of the file at `path`, if there is one.

    Raises
    ------
    ModelError
        If that fails.
    """
    with as_model_error(path.parent):
        acceptance_path(path).unlink(missing_ok=True)


def _choose_weight(weights: Sequence[WeightFile], file: Path) -> WeightFile:
    """Return the weight file that an unverified `file` replaces."""
    same_name = [weight for weight in weights if file.name in {v.name for v in (weight, *weight.also)}]
    unpackaged = [weight for weight in weights if not weight.package]
    for candidates in (same_name, unpackaged, weights):
        if len(candidates) == 1:
            return candidates[0]
    names = " or ".join(weight.name for weight in weights)
    raise UsageError(
        f"{file.name} could be any of several weight files of the model.", f"Rename it to {names}."
    )


def _check_precedence(weight: WeightFile, name: str) -> None:
    """Raise `UsageError` if another file would be used instead of `name` in the user's folder."""
    folder = weights_folder()
    for path in weight_locations(weight):
        own = is_in_weights_folder(path)
        if own and path.name == name:
            return
        # An unverified file in the user's folder is no obstacle: `_remove_unverified` deletes it.
        if path.is_file() and not (own and acceptance_path(path).exists()):
            raise UsageError(
                f"{weight.name} already exists: {path} takes precedence over {folder}.",
                "Delete that file first if another one is to be used.",
            )


def _remove_unverified(weight: WeightFile, copy: Path) -> None:
    """Delete the unverified variants of a weight file and their acceptances, but keep the file `copy`."""
    for variant in (weight, *weight.also):
        path = weights_folder() / variant.name
        if acceptance_path(path).exists():
            if path != copy:
                with as_model_error(path.parent):
                    path.unlink(missing_ok=True)
            remove_acceptance(path)


def _copy(file: Path, name: str, sha256: str) -> Path:
    destination = make_folder() / name

    def copy(target: BinaryIO) -> None:
        digest = hashlib.sha256()
        with file.open("rb") as source:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
        if digest.hexdigest() != sha256:
            raise UsageError(f"{file} changed while it was copied.", "Try again.")

    with as_model_error(destination.parent):
        write_durably(destination, copy)
    return destination


def _write_text(path: Path, text: str) -> None:
    with as_model_error(path.parent):
        write_durably(path, text.encode())


@contextlib.contextmanager
def as_model_error(folder: Path) -> Iterator[None]:
    """Turn an `OSError` of writing into the user's folder into a `ModelError`."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written: {error.strerror}.",
            "Check the disk and the permissions, or put the file into the folder in $FACEINDEX_WEIGHTS.",
        ) from error
