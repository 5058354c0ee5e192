"""The models that an index is pinned to: choose them, check them, load them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from faceindex import models
from faceindex.errors import (
    FaceIndexError,
    ModelError,
    ModelNotInstalled,
    PinnedModelError,
    UnknownModel,
    UsageError,
)
from faceindex.models.spec import DetectorSpec, EmbedderSpec, Kind
from faceindex.store import Pins
from faceindex.store.records import LEAST_MIN_FACE

if TYPE_CHECKING:
    from faceindex.recognition import Recogniser

__all__ = [
    "Settings",
    "check_pins",
    "keeps_boxes",
    "load_recogniser",
    "make_pins",
    "missing_models",
    "new_pins",
    "pinned_embedder",
    "pinned_min_face",
    "pinned_specs",
]

Settings: TypeAlias = Mapping[str, "bool | int | float"]
"""Values of model options by name; every detector has the option ``min_face``."""


def make_pins(detector: str, embedder: str, settings: Settings) -> Pins:
    """Choose the pins of a new index.

    Raises
    ------
    UnknownModel, WeightsNotFound, WeightsInvalid
    UsageError
        If neither model has such a setting, or its value is out of range.
    """
    detector_spec, embedder_spec = models.get("detector", detector), models.get("embedder", embedder)
    options = {option.name: option for option in (*detector_spec.options, *embedder_spec.options)}
    for name in settings:
        if name != "min_face" and name not in options:
            raise UsageError(
                f"Neither the detector {detector} nor the embedder {embedder} has the option `{name}`.",
                "Leave it out.",
            )
    settings = _with_upsample(detector_spec, settings)
    chosen: dict[str, bool | int | float] = {"min_face": float(settings["min_face"])}
    for name, option in options.items():
        value = settings.get(name, option.default)
        if isinstance(value, bool) != isinstance(option.default, bool) or not 0 <= value <= option.most:
            raise UsageError(f"`{name}` is {value}.", f"Choose one in 0..{option.most}.")
        chosen[name] = value
    return Pins(
        detector=detector,
        embedder=embedder,
        dimension=embedder_spec.dimension,
        settings=chosen,
        weights=_weights(detector_spec, embedder_spec),
    )


def new_pins(pins: Pins, detector: str | None, embedder: str | None, settings: Settings) -> Pins:
    """Choose the pins of an index that moves to other models.

    Parameters
    ----------
    pins : Pins
        The present ones.
    detector, embedder : str, optional
        None keeps the model; `AUTO` chooses it as for a new index.
    settings : Settings
        Options that are not in it stay as they are for a model that is kept, and `min_face` also for another
        detector, if it was chosen. Other options take their defaults.

    Raises
    ------
    UnknownModel, WeightsNotFound, WeightsInvalid, UsageError
        As `make_pins`.
    """
    choice = models.choose(detector or pins.detector, embedder or pins.embedder)
    detector, embedder = choice.detector, choice.embedder
    options: list[str] = []
    size = {"min_face", "upsample"}  # each of them may determine the other
    if embedder == pins.embedder:
        options += [option.name for option in models.get("embedder", embedder).options]
    if detector == pins.detector:
        options += [option.name for option in models.get("detector", detector).options]
    if not size & settings.keys() and (
        detector == pins.detector or pins.settings.get("min_face") != _usual_min_face(pins.detector)
    ):
        options.append("min_face")
    elif size & settings.keys():
        options = [option for option in options if option != "upsample"]
    kept = {name: pins.settings[name] for name in options if name in pins.settings}
    return make_pins(detector, embedder, {**_as_settings(kept), **settings})


def _as_settings(values: Mapping[str, object]) -> dict[str, bool | int | float]:
    return {name: value for name, value in values.items() if isinstance(value, (bool, int, float))}


def _usual_min_face(detector: str) -> float | None:
    """Return the default of a detector; None if it is not installed."""
    try:
        spec = models.get("detector", detector)
    except ModelError:
        return None
    return float(_with_upsample(spec, {})["min_face"])


def keeps_boxes(pins: Pins, new: Pins) -> bool:
    """Whether both pins have the same detector with the same weights and options, so the same boxes.

    If the detector is not installed, whatever both pins have in common must be the same.
    """
    if pins.detector != new.detector:
        return False
    try:
        spec = models.get("detector", new.detector)
    except ModelError:  # its options are among those that both pins have
        options = [name for name in pins.settings if name in new.settings]
        weights = [name for name in pins.weights if name in new.weights]
    else:
        options = ["min_face", *(option.name for option in spec.options)]
        weights = [weight.name for weight in spec.weights]
    return all(pins.settings.get(name) == new.settings.get(name) for name in options) and all(
        pins.weights.get(name) == new.weights.get(name) for name in weights
    )


def _with_upsample(spec: DetectorSpec, settings: Settings) -> Settings:
    """Return the settings with `min_face`, and with the `upsample` that it needs."""
    wanted = settings.get("min_face")
    if wanted is not None and not (math.isfinite(wanted) and wanted >= LEAST_MIN_FACE):
        raise UsageError(
            f"`min_face` is {wanted:g} px.",
            f"Choose {LEAST_MIN_FACE} or more; people can be distinguished from about 20 px.",
        )
    option = next((option for option in spec.options if option.name == "upsample"), None)
    if spec.window is None or option is None:
        return {"min_face": spec.min_face, **settings}
    upsample = settings.get("upsample")
    if upsample is None:
        needed = 0 if wanted is None else math.ceil(math.log2(spec.window / wanted))
        upsample = max(option.default, needed)
    found: float = spec.window / 2**upsample
    if wanted is not None and wanted < found:
        most = spec.window / 2**option.most
        raise UsageError(
            f"{spec.name} finds faces from {found:g} px with `upsample={upsample}`, not from {wanted:g} px.",
            f"Choose `min_face={max(most, found):g}`, or another `upsample` (0..{option.most}).",
        )
    return {**settings, "min_face": found if wanted is None else wanted, "upsample": upsample}


def check_pins(
    pins: Pins, directory: Path, detector: str | None, embedder: str | None, settings: Settings
) -> None:
    """Check that the requested models and settings are the pinned ones.

    Raises
    ------
    PinnedModelError
        If one is not; names both.
    """
    detector, embedder = (None if name == models.AUTO else name for name in (detector, embedder))
    requested: dict[str, object] = {"detector": detector, "embedder": embedder, **settings}
    pinned: dict[str, object] = {"detector": pins.detector, "embedder": pins.embedder, **pins.settings}
    for what, value in requested.items():
        if value is not None and value != pinned.get(what):
            has = _setting(what, pinned[what]) if what in pinned else f"models without the option `{what}`"
            raise PinnedModelError(
                f"The index {directory} is pinned to {has}; {_setting(what, value)} was requested.",
                f"Leave out `{what}`, move the index with `faceindex migrate`, or pass another `directory`.",
            )


def load_recogniser(pins: Pins, directory: Path, device: str) -> Recogniser:
    """Load the networks that an index is pinned to.

    Raises
    ------
    ModelNotInstalled, BrokenModel, WeightsNotFound, WeightsInvalid
    PinnedModelError
        If the weights differ from those that the index was made with.
    """
    from faceindex.recognition import Recogniser

    pinned_specs(pins, directory)
    return Recogniser.load(
        pins.detector,
        pins.embedder,
        min_face=pinned_min_face(pins),
        device=device,
        settings=pins.settings,
    )


def pinned_specs(pins: Pins, directory: Path) -> tuple[DetectorSpec, EmbedderSpec]:
    """Return the specs of the models that an index is pinned to, after comparing their weights.

    Raises
    ------
    ModelNotInstalled, BrokenModel, WeightsNotFound, WeightsInvalid, PinnedModelError
        As `load_recogniser`.
    """
    detector, embedder = _pinned_detector(pins, directory), pinned_embedder(pins, directory)
    _check_weights(pins, directory, detector)
    _check_weights(pins, directory, embedder)
    return detector, embedder


def pinned_min_face(pins: Pins) -> float:
    """Return the side in pixels of the smallest face that an index is pinned to."""
    return float(pins.settings.get("min_face") or models.DEFAULT_MIN_FACE)


def missing_models(pins: Pins, directory: Path) -> list[FaceIndexError]:
    """List the models and weights that are missing for adding and identifying photos.

    Returns
    -------
    list of FaceIndexError
        As `load_recogniser` would raise them; empty if nothing is missing. Weight files are not opened.
    """
    errors: list[FaceIndexError] = []
    for find_spec in (_pinned_detector, pinned_embedder):
        try:
            _check_weights(pins, directory, find_spec(pins, directory))
        except (ModelError, PinnedModelError) as error:  # noqa: PERF203 - two rounds
            errors.append(error)
    return errors


def pinned_embedder(pins: Pins, directory: Path) -> EmbedderSpec:
    """Return the spec of the embedder that an index is pinned to.

    Raises
    ------
    ModelNotInstalled, BrokenModel
    """
    with _not_installed(directory, "embedder", pins.embedder):
        spec = models.get("embedder", pins.embedder)
        with suppress(ModelError):  # a missing file is found where it is needed
            if any(pins.weights.get(name) != found for name, found in _weights(spec).items()):
                # The user's calibration belongs to the installed weights, not to those of this index.
                return models.original_embedder(pins.embedder)
        return spec


def _pinned_detector(pins: Pins, directory: Path) -> DetectorSpec:
    with _not_installed(directory, "detector", pins.detector):
        return models.get("detector", pins.detector)


@contextmanager
def _not_installed(directory: Path, kind: Kind, name: str) -> Iterator[None]:
    """Raise `ModelNotInstalled` for a pinned model that is unknown."""
    try:
        yield
    except UnknownModel as error:
        own = "add the file again under this name if it was your own, "
        raise ModelNotInstalled(
            f"The index {directory} was made with the {kind} '{name}', which is not installed.",
            f"Install the package that provides it (with an entry point in {models.GROUPS[kind]}), "
            f"{own if kind == 'embedder' else ''}"
            "or make another index: pass another `directory`.",
        ) from error


def _check_weights(pins: Pins, directory: Path, spec: DetectorSpec | EmbedderSpec) -> None:
    remedy = "Install what it was made with, or make another index: pass another `directory`."
    if isinstance(spec, EmbedderSpec) and spec.dimension != pins.dimension:
        raise PinnedModelError(
            f"The index {directory} has vectors of {pins.dimension} dimensions; the installed embedder "
            f"{spec.name} has {spec.dimension}.",
            remedy,
        )
    for name, found in _weights(spec).items():
        pinned = pins.weights.get(name)
        if found != pinned:
            raise PinnedModelError(
                f"The index {directory} was made with another {name} (SHA-256 {pinned}) than the one "
                f"installed ({found}).",
                remedy,
            )


def _weights(*specs: DetectorSpec | EmbedderSpec) -> dict[str, str]:
    return {weight.name: models.pinned_sha256(weight) for spec in specs for weight in spec.weights}


def _setting(name: str, value: object) -> str:
    """Write a setting as a Python argument; the command line turns it into a flag."""
    return f"`{name}={value:g}`" if isinstance(value, float) else f"`{name}={value!r}`"
