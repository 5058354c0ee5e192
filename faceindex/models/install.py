"""Put a weight file into the user's folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from faceindex.errors import ModelError, UsageError, WeightsInvalid
from faceindex.models.spec import WeightFile
from faceindex.models.weights import (
    acceptance_path,
    is_users_own,
    sha256_of,
    weight_locations,
    weights_folder,
)

__all__ = ["add_weights", "make_folder", "put_in_place", "remove_acceptance"]


def add_weights(weights: Sequence[WeightFile], file: Path, *, unverified: bool = False) -> Path:
    """Copy a file into the user's folder, as one of a model's weight files.

    Parameters
    ----------
    weights : sequence of WeightFile
        Those of the model. Which one the file is, is told by its hash; that of a file that nobody
        published by its name, or by being the only one that no package ships.
    file : Path
        It is copied, and stays.
    unverified : bool
        Accept a file that nobody published, on the user's word: it is used from then on, as long as
        it has this content, and an index that is made with it is pinned to it. The word is kept beside
        it (``NAME.unverified.json``). Does nothing for a published file.

    Returns
    -------
    Path
        The copy.

    Raises
    ------
    WeightsInvalid
        If it is none of the published files and `unverified` is false; names the hashes.
    UsageError
        If the model has no weight files, if there is no such file, if it cannot be told which one it is,
        or if another file would be used before it.
    ModelError
        If the folder cannot be written.
    """
    if not weights:
        raise UsageError("The model needs no weight files.", "There is nothing to add to it.")
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # reading a pipe might never end
            raise UsageError(
                f"{file} cannot be read: it is not a regular file.", "Give the weight file itself."
            )
        with file.open("rb") as source:
            found, size = sha256_of(source)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Check its name.") from error
    for weight in weights:
        for variant in (weight, *weight.also):
            if variant.sha256 == found:
                _refuse_hidden(weight, variant.name)
                copy = _copy(file, variant.name, found)
                _withdraw(weight, copy)
                return copy
    if not unverified:
        expected = "; ".join(
            f"{variant.name} {variant.sha256} ({variant.size:,} bytes)"
            for weight in weights
            for variant in (weight, *weight.also)
        )
        raise WeightsInvalid(
            f"{file} is none of the published files: SHA-256 {found} ({size:,} bytes), expected {expected}.",
            "Get the published file, or add it with --unverified if you know what it is.",
        )
    weight = _which(weights, file)
    _refuse_hidden(weight, weight.name)
    destination = make_folder() / weight.name
    # Before the file: should this be the last that happens, the file is refused, and never used unasked.
    _write_whole(acceptance_path(destination), json.dumps({"sha256": found, "bytes": size}) + "\n")
    return _copy(file, weight.name, found)


def make_folder() -> Path:
    """The user's folder, made if there is none, for the user alone.

    Raises
    ------
    ModelError
        If it cannot be made.
    """
    folder = weights_folder()
    with _explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
    return folder


def put_in_place(temporary: Path, destination: Path) -> None:
    """Give a whole file its name, so that after a power cut it is there or not, but never half.

    Raises
    ------
    ModelError
        If that cannot be done.
    """
    with _explained(destination.parent):
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(destination)
        if os.name == "posix":
            folder = os.open(destination.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def remove_acceptance(path: Path) -> None:
    """The file at `path` is a published one from now on."""
    with _explained(path.parent):
        acceptance_path(path).unlink(missing_ok=True)


def _which(weights: Sequence[WeightFile], file: Path) -> WeightFile:
    named = [weight for weight in weights if file.name in {v.name for v in (weight, *weight.also)}]
    lone = [weight for weight in weights if not weight.package]
    for candidates in (named, lone, weights):
        if len(candidates) == 1:
            return candidates[0]
    names = ", ".join(weight.name for weight in weights)
    raise UsageError(
        f"It cannot be told which file of the model {file.name} is to be.",
        f"Give it one of the names {names}.",
    )


def _refuse_hidden(weight: WeightFile, name: str) -> None:
    folder = weights_folder()
    for path in weight_locations(weight):
        own = is_users_own(path)
        if own and path.name == name:
            return
        # What was added unverified gives way: see _withdraw.
        if path.is_file() and not (own and acceptance_path(path).exists()):
            raise UsageError(
                f"{weight.name} is there already: {path} is used before anything in {folder}.",
                "Remove that file first if it is not to be used.",
            )


def _withdraw(weight: WeightFile, copy: Path) -> None:
    """Take away what was added unverified before: the published file was asked for."""
    for variant in (weight, *weight.also):
        path = weights_folder() / variant.name
        if acceptance_path(path).exists():
            if path != copy:
                with _explained(path.parent):
                    path.unlink(missing_ok=True)
            remove_acceptance(path)


def _copy(file: Path, name: str, sha256: str) -> Path:
    destination = make_folder() / name
    with _temporary(destination) as temporary:
        with file.open("rb") as source, temporary.open("wb") as copy, _explained(destination.parent):
            shutil.copyfileobj(source, copy, 1 << 20)
        with temporary.open("rb") as copied:
            if sha256_of(copied)[0] != sha256:
                raise UsageError(f"{file} changed while it was copied.", "Try again.")
        put_in_place(temporary, destination)
    return destination


def _write_whole(path: Path, text: str) -> None:
    with _temporary(path) as temporary:
        with _explained(path.parent):
            temporary.write_text(text, encoding="utf-8")
        put_in_place(temporary, path)


@contextlib.contextmanager
def _temporary(destination: Path) -> Iterator[Path]:
    """A file of its own beside the destination, gone in the end."""
    with _explained(destination.parent):
        fd, name = tempfile.mkstemp(prefix=f".{destination.name}.", dir=destination.parent)
        os.close(fd)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written: {error.strerror}.",
            "Check the disk and the permissions, or put the file into a folder named by $FACEINDEX_WEIGHTS.",
        ) from error
