"""Add an embedder of the user's own: any ONNX network that takes chips as a built-in embedder does."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from faceindex import models
from faceindex.embed.onnx import output_size
from faceindex.errors import UsageError, WeightsInvalid
from faceindex.models.builtin import BUILTIN
from faceindex.models.own import is_valid_name, save_own
from faceindex.models.spec import EmbedderSpec

__all__ = ["add_embedder", "templates"]

_MOST_BYTES = 1 << 31  # Protocol Buffers, the format of ONNX files, have this limit
_MOST_DIMENSIONS = 4096


def templates() -> dict[str, EmbedderSpec]:
    """Return the built-in embedders whose input an own one can have, by the names that `like` accepts.

    Besides their own names, these are the names without the part after the last hyphen, such as
    ``"arcface"``: the first embedder whose name begins so.
    """
    usable = [spec for spec in BUILTIN if isinstance(spec, EmbedderSpec) and spec.scale is not None]
    found = {spec.name: spec for spec in usable}
    for spec in usable:
        found.setdefault(spec.name.rpartition("-")[0] or spec.name, spec)
    return found


def add_embedder(name: str, file: Path, *, like: str) -> EmbedderSpec:
    """Copy an ONNX network into the user's folder, as an embedder of its own.

    This and later processes find it by its name. It is hashed whenever it is read. It has no calibration.

    Parameters
    ----------
    name : str
        Up to 64 lower-case letters, digits, hyphens and underscores; no other model may have it.
    file : Path
        The network. One chip is passed through it, to find its dimension.
    like : str
        A built-in embedder, one of `templates`: chips are cut, coloured and normalised as for it.

    Returns
    -------
    EmbedderSpec

    Raises
    ------
    UsageError
        If the name is invalid or taken, `like` is unknown, or `file` cannot be read.
    WeightsInvalid
        If the file is no ONNX network, or takes another input than that embedder.
    ModelError
        If the folder cannot be written.
    """
    if not is_valid_name(name):
        raise UsageError(
            f"'{name}' cannot be the name of an embedder.",
            "Use lower-case letters, digits, hyphens and underscores, at most 64; 'auto' is reserved.",
        )
    for kind in models.KINDS:
        broken = [plugin.name for plugin in models.unusable(kind)]
        if name in models.names(kind) or name in broken:
            raise UsageError(f"The name '{name}' is taken by a model ({kind}).", "Choose another name.")
    known = templates()
    if like not in known:
        raise UsageError(f"`like` is '{like}', which is no such embedder.", f"Use one of {', '.join(known)}.")
    spec = known[like]
    content = _read(file)
    dimension = output_size(content, file.name, spec)
    if dimension > _MOST_DIMENSIONS:
        raise WeightsInvalid(
            f"{file.name} returns {dimension:,} values for a face; vectors have at most "
            f"{_MOST_DIMENSIONS:,}.",
            "Use a network that ends with its embedding.",
        )
    return save_own(name, content, hashlib.sha256(content).hexdigest(), dimension, spec)


def _read(file: Path) -> bytes:
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size >= _MOST_BYTES:  # reading a pipe might never end
            raise UsageError(
                f"{file} cannot be read: it is not a regular file of less than 2 GiB.",
                "Pass the ONNX file itself.",
            )
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Check its name.") from error
