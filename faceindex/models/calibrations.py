"""Calibrations that the user measured: one small JSON document for each embedder.

They are in the user's data folder, because they take work to make: ``$XDG_DATA_HOME/faceindex/calibrations``,
else the folder of the system for such data. A document is valid for the weights that it was measured with,
and replaces the calibration of the spec. `faceindex.models.get` returns specs with it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from faceindex.errors import ModelError, Uncalibrated, UsageError, WeightsInvalid, WeightsNotFound
from faceindex.files import home, write_durably
from faceindex.models.spec import Calibration, EmbedderSpec
from faceindex.models.weights import pinned_sha256

__all__ = [
    "StoredCalibration",
    "calibration_of",
    "calibration_path",
    "check_replaceable",
    "forget_calibration",
    "in_range",
    "save_calibration",
    "stored_calibration",
    "with_stored",
]

_SCHEMA = "faceindex/calibration/2"
_OLDER = "faceindex/calibration/1"  # without the numbers of `_ADDED`, which have defaults
_NUMBERS = {  # least and greatest value; the slope must be more than the least
    "slope": (0.0, 1e6),
    "midpoint": (-1.0, 1.0),
    "consensus": (0.0, 100.0),
    "blurred": (0.0, 100.0),
    "strangers": (-100.0, 0.0),
    "known": (0.0, 200.0),
    "poor": (0.0, 100.0),
}
_ADDED = {"strangers", "known", "poor"}
_KEYS = {"schema", "embedder", "weights", "source", "created", *_NUMBERS}


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    """A calibration in the user's data folder.

    Attributes
    ----------
    calibration : Calibration or None
        None if it does not apply; `problem` is the reason.
    created : datetime or None
        When it was measured; None if that cannot be read.
    path : Path
        Its document.
    problem : str
        Why it does not apply, as a sentence; empty if it does.
    damaged : bool
        Whether the document cannot be read. If it can, but is for other weights, the calibration of the
        spec applies.
    """

    calibration: Calibration | None
    created: datetime | None
    path: Path
    problem: str = ""
    damaged: bool = False


def calibration_path(name: str) -> Path:
    """Return the path of the document of an embedder; it need not exist."""
    return _data_directory() / "calibrations" / f"{quote(name, safe='')}.json"


def stored_calibration(spec: EmbedderSpec) -> StoredCalibration | None:
    """Read the user's calibration of an embedder; None if there is none."""
    path = calibration_path(spec.name)
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return StoredCalibration(None, None, path, f"{path} cannot be read: {error.strerror}.", damaged=True)
    try:
        calibration, created, weights = _parse(content, spec.name)
    except ValueError as error:
        return StoredCalibration(None, None, path, f"{path} is damaged: {error}.", damaged=True)
    if weights != _weights(spec):
        problem = f"{path} was measured with other weights than those installed."
        return StoredCalibration(None, created, path, problem)
    return StoredCalibration(calibration, created, path)


def with_stored(spec: EmbedderSpec) -> EmbedderSpec:
    """Return the spec with the calibration that applies.

    It is the user's, if there is one for the weights that are installed; else that of the spec. It is None
    if the document of the user's is damaged: the calibration that the user replaced must not be used
    unnoticed.
    """
    stored = stored_calibration(spec)
    if stored is None or (stored.calibration is None and not stored.damaged):
        return spec
    return dataclasses.replace(spec, calibration=stored.calibration)


def calibration_of(spec: EmbedderSpec) -> Calibration:
    """Return the calibration of a spec of `faceindex.models.get`.

    Raises
    ------
    Uncalibrated
        If it has none.
    """
    if spec.calibration is not None:
        return spec.calibration
    stored = stored_calibration(spec)
    reason = stored.problem if stored is not None and stored.problem else ""
    raise Uncalibrated(
        f"The embedder {spec.name} is not calibrated: from which similarity two faces show one person has "
        f"not been measured. {reason}".strip(),
        f"Run `faceindex models calibrate {spec.name} FOLDER` with a folder that has a subfolder of photos "
        f"for each person, or `faceindex models calibrate {spec.name}` to use the group photos of an index.",
    )


def save_calibration(spec: EmbedderSpec, calibration: Calibration, *, replace: bool = False) -> Path:
    """Store a calibration of an embedder; processes that start later use it.

    Parameters
    ----------
    spec : EmbedderSpec
        As registered, or from `faceindex.models.get`.
    calibration : Calibration
        `Calibration.source` is a text for people on how it was measured.
    replace : bool
        Replace a calibration that exists, the user's or that of the spec.

    Returns
    -------
    Path
        The document.

    Raises
    ------
    UsageError
        If the embedder has a calibration and `replace` is false, or a number is out of range.
    WeightsNotFound, WeightsInvalid
        If the weights of the embedder are missing: the calibration belongs to them.
    ModelError
        If the document cannot be written.
    """
    check_replaceable(spec, replace=replace)
    document = {
        "schema": _SCHEMA,
        "embedder": spec.name,
        "weights": {weight.name: pinned_sha256(weight) for weight in spec.weights},
        **{name: float(getattr(calibration, name)) for name in _NUMBERS},
        "source": calibration.source,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    content = (json.dumps(document, indent=2) + "\n").encode()
    try:
        _parse(content, spec.name)
    except ValueError as error:
        raise UsageError(f"The calibration cannot be used: {error}.", "Measure it on other photos.") from None
    path = calibration_path(spec.name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(path, content)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be written: {error.strerror}.", "Check the disk and the permissions."
        ) from error
    return path


def check_replaceable(spec: EmbedderSpec, *, replace: bool) -> None:
    """Raise `UsageError` if an embedder has a calibration and it is not to be replaced."""
    if not replace and (spec.calibration is not None or stored_calibration(spec) is not None):
        raise UsageError(
            f"The embedder {spec.name} has a calibration already.",
            "Pass `replace=True` to use a new one instead.",
        )


def forget_calibration(name: str) -> bool:
    """Delete the user's calibration of an embedder; return whether there was one.

    Raises
    ------
    ModelError
        If it cannot be deleted.
    """
    path = calibration_path(name)
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ModelError(
            f"{path} cannot be deleted: {error.strerror}.", "Check the permissions of its folder."
        ) from error
    return True


def in_range(name: str, number: float) -> float:
    """Return the number of a calibration, or the nearest one that a document may have."""
    least, most = _NUMBERS[name]
    return min(max(number, least), most)


def _parse(content: bytes, name: str) -> tuple[Calibration, datetime, dict[str, str]]:
    """Read a document; raises `ValueError` with a clause on the first thing that is wrong."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(document, dict) or document.get("schema") not in (_SCHEMA, _OLDER):
        raise ValueError(f"it is not of the schema {_SCHEMA}")
    expected = _KEYS - _ADDED if document["schema"] == _OLDER else _KEYS
    if document.keys() != expected:
        wrong = sorted(document.keys() ^ expected)[0]
        raise ValueError(f"the key '{wrong}' is {'missing' if wrong in expected else 'unknown'}")
    for key in ("embedder", "source", "created"):
        if not isinstance(document[key], str) or not document[key]:
            raise ValueError(f"'{key}' is not text")
    if document["embedder"] != name:
        raise ValueError(f"it is for the embedder '{document['embedder']}'")
    weights = document["weights"]
    if not isinstance(weights, dict) or not all(isinstance(digest, str) for digest in weights.values()):
        raise ValueError("'weights' does not map file names to SHA-256")
    numbers: dict[str, float] = {}
    for key, (least, most) in _NUMBERS.items():
        if key not in document:
            continue
        value = document[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"'{key}' is not a number")
        try:
            number = float(value)
        except OverflowError:  # JSON has integers of any size
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"'{key}' is not a number")
        if not least <= number <= most or (key == "slope" and number == least):
            raise ValueError(f"'{key}' is {number:g}, out of range")
        numbers[key] = number
    try:
        created = datetime.fromisoformat(document["created"])
    except ValueError:
        raise ValueError("'created' is not a time") from None
    return Calibration(source=document["source"], **numbers), created, weights


def _weights(spec: EmbedderSpec) -> dict[str, str]:
    """Return the SHA-256 of each weight file that is installed, or was published if it is missing."""
    found = {}
    for weight in spec.weights:
        try:
            found[weight.name] = pinned_sha256(weight)
        except (WeightsNotFound, WeightsInvalid):  # noqa: PERF203 - two or three files
            found[weight.name] = weight.sha256
    return found


def _data_directory() -> Path:
    if folder := os.environ.get("XDG_DATA_HOME"):
        return Path(folder) / "faceindex"
    if sys.platform == "darwin":
        return home() / "Library" / "Application Support" / "faceindex"
    if sys.platform == "win32" and (folder := os.environ.get("LOCALAPPDATA")):
        return Path(folder) / "faceindex" / "Data"
    return home() / ".local" / "share" / "faceindex"
