"""The models that an index is pinned to: from what was asked for, and back to networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from faceindex.models.spec import DetectorSpec, EmbedderSpec, Kind, Spec
from faceindex.store import Pins

if TYPE_CHECKING:
    from faceindex.recognition import Recogniser

__all__ = ["Settings", "check_pins", "load_recogniser", "make_pins", "missing_models", "pinned_embedder"]

Settings: TypeAlias = Mapping[str, "bool | int | float"]
"""Values of models' options by name; ``min_face`` is an option of every detector."""

_LEAST_MIN_FACE = 5  # pixels; below, an image pyramid takes minutes for one photo


def make_pins(detector: str, embedder: str, settings: Settings) -> Pins:
    """What a new index is pinned to.

    Raises
    ------
    UnknownModel, WeightsNotFound, WeightsInvalid
    UsageError
        If a setting is none of these models, or has a value that it cannot have.
    """
    detector_spec, embedder_spec = _specs(detector, embedder)
    options = {option.name: option for option in (*detector_spec.options, *embedder_spec.options)}
    for name in settings:
        if name != "min_face" and name not in options:
            raise UsageError(
                f"Neither the detector {detector} nor the embedder {embedder} has an option --{_flag(name)}.",
                "Leave it out.",
            )
    settings = _with_upsample(detector_spec, settings)
    chosen: dict[str, bool | int | float] = {"min_face": float(settings["min_face"])}
    for name, option in options.items():
        value = settings.get(name, option.default)
        if isinstance(value, bool) != isinstance(option.default, bool) or not 0 <= value <= option.most:
            raise UsageError(f"--{_flag(name)} {value} is not possible.", f"Choose one in 0..{option.most}.")
        chosen[name] = value
    return Pins(
        detector=detector,
        embedder=embedder,
        dimension=embedder_spec.dimension,
        settings=chosen,
        weights=_weights(detector_spec, embedder_spec),
    )


def _with_upsample(spec: DetectorSpec, settings: Settings) -> Settings:
    """The settings with a smallest face, and with the doublings that it takes to find it."""
    asked = settings.get("min_face")
    if asked is not None and not (math.isfinite(asked) and asked >= _LEAST_MIN_FACE):
        raise UsageError(
            f"A smallest face of {asked:g} px makes no sense.",
            f"Choose {_LEAST_MIN_FACE} or more; 20 px is about the least that can be told apart.",
        )
    option = next((option for option in spec.options if option.name == "upsample"), None)
    if spec.window is None or option is None:
        return {"min_face": spec.min_face, **settings}
    upsample = settings.get("upsample")
    if upsample is None:
        needed = 0 if asked is None else math.ceil(math.log2(spec.window / asked))
        upsample = max(option.default, needed)
    found: float = spec.window / 2**upsample
    if asked is not None and asked < found:
        most = spec.window / 2**option.most
        raise UsageError(
            f"{spec.name} finds faces from {found:g} px with --upsample {upsample}, not from {asked:g} px.",
            f"Choose --min-face {max(most, found):g}, or another --upsample (0..{option.most}).",
        )
    return {**settings, "min_face": found if asked is None else asked, "upsample": upsample}


def check_pins(
    pins: Pins, directory: Path, detector: str | None, embedder: str | None, settings: Settings
) -> None:
    """See that what is asked for is what an index is pinned to.

    Raises
    ------
    PinnedModelError
        If it is not; names both.
    """
    asked: dict[str, object] = {"detector": detector, "embedder": embedder, **settings}
    pinned: dict[str, object] = {"detector": pins.detector, "embedder": pins.embedder, **pins.settings}
    for what, value in asked.items():
        if value is not None and value != pinned.get(what):
            has = _told(what, pinned[what]) if what in pinned else f"models that have no --{_flag(what)}"
            raise PinnedModelError(
                f"The index {directory} is pinned to {has}, and {_told(what, value)} was asked for.",
                f"Leave out --{_flag(what)}, or make another index with --index DIR.",
            )


def load_recogniser(pins: Pins, directory: Path, device: str) -> Recogniser:
    """The networks that an index is pinned to.

    Raises
    ------
    ModelNotInstalled, BrokenModel, WeightsNotFound, WeightsInvalid
    PinnedModelError
        If the weights are others than those with which the index was made.
    """
    from faceindex.recognition import Recogniser

    detector, embedder = _pinned_spec(pins, directory, "detector"), pinned_embedder(pins, directory)
    assert isinstance(detector, DetectorSpec)
    _check_weights(pins, directory, detector)
    _check_weights(pins, directory, embedder)
    min_face = pins.settings.get("min_face") or models.DEFAULT_MIN_FACE
    return Recogniser.load(
        pins.detector,
        pins.embedder,
        min_face=float(min_face),
        device=device,
        settings=pins.settings,
    )


def missing_models(pins: Pins, directory: Path) -> list[FaceIndexError]:
    """What stands in the way of adding and identifying photos: models and weights that are not here.

    Returns
    -------
    list of FaceIndexError
        As they would be raised; empty if all is there. What is in the weight files is not looked at.
    """
    kinds: tuple[Kind, ...] = ("detector", "embedder")
    return [error for kind in kinds if (error := _obstacle(pins, directory, kind)) is not None]


def pinned_embedder(pins: Pins, directory: Path) -> EmbedderSpec:
    """The embedder that an index is pinned to.

    Raises
    ------
    ModelNotInstalled, BrokenModel
    """
    spec = _pinned_spec(pins, directory, "embedder")
    assert isinstance(spec, EmbedderSpec)
    return spec


def _pinned_spec(pins: Pins, directory: Path, kind: Kind) -> Spec:
    name = pins.detector if kind == "detector" else pins.embedder
    try:
        return models.get(kind, name)
    except UnknownModel as error:
        raise ModelNotInstalled(
            f"The index {directory} was made with the {kind} '{name}', which is not installed.",
            f"Install the package that brings it (with an entry point in {models.GROUPS[kind]}), "
            "or make another index with --index DIR.",
        ) from error


def _obstacle(pins: Pins, directory: Path, kind: Kind) -> FaceIndexError | None:
    try:
        spec = _pinned_spec(pins, directory, kind)
        assert isinstance(spec, (DetectorSpec, EmbedderSpec))
        _check_weights(pins, directory, spec)
    except (ModelError, PinnedModelError) as error:
        return error
    return None


def _check_weights(pins: Pins, directory: Path, spec: DetectorSpec | EmbedderSpec) -> None:
    remedy = "Use what it was made with, or make another index with --index DIR."
    if isinstance(spec, EmbedderSpec) and spec.dimension != pins.dimension:
        raise PinnedModelError(
            f"The index {directory} has vectors of {pins.dimension} dimensions, and the embedder "
            f"{spec.name} that is installed makes {spec.dimension}.",
            remedy,
        )
    for name, found in _weights(spec).items():
        pinned = pins.weights.get(name)
        if found != pinned:
            raise PinnedModelError(
                f"The index {directory} was made with another {name} (SHA-256 {pinned}) than is here "
                f"({found}).",
                remedy,
            )


def _specs(detector: str, embedder: str) -> tuple[DetectorSpec, EmbedderSpec]:
    detector_spec = models.get("detector", detector)
    embedder_spec = models.get("embedder", embedder)
    assert isinstance(detector_spec, DetectorSpec)
    assert isinstance(embedder_spec, EmbedderSpec)
    return detector_spec, embedder_spec


def _weights(*specs: DetectorSpec | EmbedderSpec) -> dict[str, str]:
    return {weight.name: models.weight_identity(weight) for spec in specs for weight in spec.weights}


def _told(name: str, value: object) -> str:
    """A setting as a user would ask for it."""
    if isinstance(value, bool):
        return f"--{'' if value else 'no-'}{_flag(name)}"
    return f"{_flag(name)} {value:g}" if isinstance(value, float) else f"{_flag(name)} {value}"


def _flag(name: str) -> str:
    return name.replace("_", "-")
