"""The user's own embedders: ONNX files in the folder of weight files, each with a description.

``NAME.own.onnx`` is the network, ``NAME.embedder.json`` its description: SHA-256, dimension, and how to make
the input. The input is described in full, so a later version of the built-in embedder that it was taken from
changes nothing. `faceindex.embed.own.add_embedder` adds an embedder, because it runs the network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceindex.errors import UnknownModel, UsageError
from faceindex.files import sha256_of, write_durably
from faceindex.models.builtin_onnx import ONNX_TARGET
from faceindex.models.install import as_model_error, make_folder
from faceindex.models.predictor import SHAPE_PREDICTOR
from faceindex.models.spec import Alignment, EmbedderSpec, PixelScale, WeightFile
from faceindex.models.validate import spec_problem
from faceindex.models.weights import weight_locations, weights_folder

__all__ = ["OwnEmbedder", "find_own_embedder", "is_valid_name", "own_embedders", "remove_own", "save_own"]

_SCHEMA = "faceindex/own-embedder/1"
_SUFFIX = ".embedder.json"
_NETWORK_SUFFIX = ".own.onnx"  # of no published file: an own embedder may have the name of one
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_MOST_BYTES = 1 << 16  # of a description; ours have about 400
_MOST_INTEGER = 1 << 53  # JSON has integers of any size; larger ones than this are not exact as float
_SHA256 = re.compile(r"[0-9a-f]{64}")

_FIELDS: dict[str, tuple[type, ...]] = {
    "schema": (str,),
    "name": (str,),
    "like": (str,),
    "bytes": (int,),
    "sha256": (str,),
    "dimension": (int,),
    "alignment": (str,),
    "size": (int,),
    "colour": (str,),
    "mean": (int, float),
    "divisor": (int, float),
    "threshold": (int, float),
}


@dataclass(frozen=True, slots=True)
class OwnEmbedder:
    """An embedder of the user's own.

    Attributes
    ----------
    name : str
    path : Path
        The description.
    spec : EmbedderSpec or None
        None if the description cannot be used.
    reason : str
        Why not, as a clause; empty if it can.
    """

    name: str
    path: Path
    spec: EmbedderSpec | None
    reason: str = ""


def is_valid_name(name: str) -> bool:
    """Return whether an own embedder may have this name: it becomes the name of files."""
    return _NAME.fullmatch(name) is not None and name != "auto"


def own_embedders() -> dict[str, OwnEmbedder]:
    """Read the descriptions of the user's own embedders, by name, in alphabetical order.

    The weight files are not read here; `faceindex.models.weights.read_weights` verifies them.
    """
    try:
        paths = [path for path in weights_folder().iterdir() if path.name.endswith(_SUFFIX)]
    except OSError:  # the folder is made when the first file is added
        return {}
    names = [path.name.removesuffix(_SUFFIX) for path in sorted(paths)]
    return {name: own for name in names if (own := find_own_embedder(name))}


def find_own_embedder(name: str) -> OwnEmbedder | None:
    """Read the description of one own embedder; None if there is none of this name."""
    if not is_valid_name(name):
        return None
    path = _description_path(name)
    try:
        if path.stat().st_size > _MOST_BYTES:
            return OwnEmbedder(name, path, None, "its description is too long")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        return OwnEmbedder(name, path, None, f"its description cannot be read ({reason})")
    try:
        return OwnEmbedder(name, path, _parse(text, name))
    except ValueError as error:
        return OwnEmbedder(name, path, None, f"its description is invalid ({error})")


def save_own(name: str, content: bytes, sha256: str, dimension: int, like: EmbedderSpec) -> EmbedderSpec:
    """Store a network and its description in the user's folder.

    Parameters
    ----------
    name : str
        A valid name that no other model has.
    content : bytes
        The network.
    sha256 : str
        Its digest, in hexadecimal.
    dimension : int
        Values that it returns for a chip.
    like : EmbedderSpec
        Describes the input.

    Raises
    ------
    UsageError
        If a file of the network's name exists where weight files are searched, and has another content.
    ModelError
        If the folder cannot be written.
    """
    assert is_valid_name(name)
    assert like.scale is not None
    document = {
        "schema": _SCHEMA,
        "name": name,
        "like": like.name,
        "bytes": len(content),
        "sha256": sha256,
        "dimension": dimension,
        "alignment": like.alignment.name,
        "size": like.alignment.size,
        "colour": like.colour,
        "mean": like.scale.mean,
        "divisor": like.scale.divisor,
        "threshold": like.threshold,
    }
    text = json.dumps(document, indent=1) + "\n"
    spec = _parse(text, name)
    folder = make_folder()
    with as_model_error(folder):
        for path in weight_locations(spec.weights[0]):
            if path.is_file() and sha256_of(path) != sha256:
                raise UsageError(f"{path} exists and is another file.", "Choose another name, or delete it.")
        # The network first: a description without it would be an embedder with a missing file.
        write_durably(folder / spec.weights[0].name, content)
        write_durably(_description_path(name), text.encode())
    return spec


def remove_own(name: str) -> Path:
    """Delete an own embedder: its description and its network in the user's folder.

    Indexes that were made with it can still be read; see `faceindex.errors.ModelNotInstalled`.

    Returns
    -------
    Path
        The file of the network, which is gone.

    Raises
    ------
    UnknownModel
        If there is no own embedder of this name.
    ModelError
        If a file cannot be deleted.
    """
    own = find_own_embedder(name)
    if own is None:
        names = ", ".join(own_embedders()) or "none"
        raise UnknownModel(
            f"There is no embedder of your own named '{name}'.", f"Your own embedders: {names}."
        )
    network = own.path.with_name(f"{name}{_NETWORK_SUFFIX}")
    with as_model_error(own.path.parent):
        own.path.unlink(missing_ok=True)
        network.unlink(missing_ok=True)
    return network


def _description_path(name: str) -> Path:
    return weights_folder() / f"{name}{_SUFFIX}"


def _parse(text: str, name: str) -> EmbedderSpec:
    """Check a description and make the spec.

    Raises
    ------
    ValueError
        If it is not one; the message is a clause.
    """
    document = _check_types(text)
    if document["schema"] != _SCHEMA:
        raise ValueError(f"its schema is {document['schema']!r}, expected {_SCHEMA!r}")
    if document["name"] != name:
        raise ValueError(f"its name is {document['name']!r}, but that of the file {name!r}")
    if not _SHA256.fullmatch(document["sha256"]):
        raise ValueError("its sha256 is not 64 hexadecimal digits")
    mean, divisor, like = document["mean"], document["divisor"], document["like"]
    spec = EmbedderSpec(
        name=name,
        target=ONNX_TARGET,
        summary=f"A network of your own; input as for {like}",
        dimension=document["dimension"],
        alignment=Alignment(document["alignment"], document["size"]),
        colour=document["colour"],
        normalisation=f"(x - {mean:g}) / {divisor:g}",
        threshold=document["threshold"],
        threshold_source=f"that of {like}; not measured with this network",
        calibration=None,
        licence="that of your file",
        weights=(
            WeightFile(
                f"{name}{_NETWORK_SUFFIX}", document["bytes"], document["sha256"], source="your own copy"
            ),
            SHAPE_PREDICTOR,
        ),
        scale=PixelScale(mean, divisor),
        run_by_us=False,
    )
    if problem := spec_problem(spec):
        raise ValueError(problem)
    return spec


def _check_types(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(document, dict) or set(document) != set(_FIELDS):
        raise ValueError(f"it is not an object with the fields {', '.join(_FIELDS)}")
    for field, types in _FIELDS.items():
        value = document[field]
        if not isinstance(value, types) or isinstance(value, bool):
            raise ValueError(f"its {field} is {value!r}")
        if isinstance(value, int) and abs(value) > _MOST_INTEGER:
            raise ValueError(f"its {field} is too large")
    return document
