"""The table of models: look up a spec by its name and build the model it describes."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, overload

from faceindex.errors import FaceIndexError, ModelError, UnknownModel, UsageError
from faceindex.models.builtin import BUILTIN
from faceindex.models.own import OwnEmbedder, find_own_embedder, own_embedders
from faceindex.models.plugins import GROUPS, Plugin, one_line, plugins
from faceindex.models.spec import ClustererSpec, DetectorSpec, EmbedderSpec, Kind, Spec

__all__ = [
    "KINDS",
    "get",
    "isolated",
    "load",
    "names",
    "original",
    "original_embedder",
    "register",
    "unusable",
]

KINDS: tuple[Kind, ...] = tuple(GROUPS)

_REQUIRED_ATTRIBUTES: dict[Kind, tuple[str, ...]] = {
    "detector": ("spec", "min_face", "detect"),
    "embedder": ("spec", "embed"),
    "clusterer": ("spec", "fit"),
}

_registry: dict[tuple[Kind, str], Spec] = {(spec.kind, spec.name): spec for spec in BUILTIN}


def register(spec: Spec, *, replace: bool = False) -> None:
    """Add a model to the table.

    Parameters
    ----------
    spec : DetectorSpec, EmbedderSpec or ClustererSpec
    replace : bool
        Replace a model of the same kind and name.

    Raises
    ------
    UsageError
        If the name is taken and `replace` is false.
    """
    key = (spec.kind, spec.name)
    if key in _registry and not replace:
        raise UsageError(
            f"There is already a {spec.kind} named '{spec.name}'.",
            "Choose another name, or pass `replace=True`.",
        )
    _registry[key] = spec


@contextmanager
def isolated(specs: Iterable[Spec] | None = None) -> Iterator[None]:
    """Restore the table of models at the end of the ``with``; for tests that register models.

    Parameters
    ----------
    specs : iterable of Spec, optional
        The models that are registered at its beginning. None keeps those that are registered now.
    """
    before = dict(_registry)
    if specs is not None:
        specs = list(specs)
        _registry.clear()
        _registry.update({(spec.kind, spec.name): spec for spec in specs})
    try:
        yield
    finally:
        _registry.clear()
        _registry.update(before)


def names(kind: Kind) -> list[str]:
    """List the usable models of a kind.

    Registered models come first, in order of registration, then the user's own, then those of other
    packages.
    """
    found = [name for registered_kind, name in _registry if registered_kind == kind]
    found += [own.name for own in _own(kind).values() if own.spec and own.name not in found]
    return [*found, *(p.name for p in plugins(kind).values() if p.spec and p.name not in found)]


def unusable(kind: Kind) -> list[Plugin]:
    """List the models of other packages and of the user that cannot be used, each with the reason."""
    taken = f"faceindex itself has a {kind} of this name"
    own = _own(kind)
    found = []
    for name, one in own.items():
        reason = taken if (kind, name) in _registry else one.reason
        if reason:
            found.append(Plugin(kind, name, str(one.path), None, reason, own=True))
    for plugin in plugins(kind).values():
        if (kind, plugin.name) in _registry:
            found.append(Plugin(kind, plugin.name, plugin.distribution, None, taken))
        elif plugin.name in own:
            reason = "an embedder of your own has this name"
            found.append(Plugin(kind, plugin.name, plugin.distribution, None, reason))
        elif plugin.spec is None:
            found.append(plugin)
    return found


@overload
def get(kind: Literal["detector"], name: str) -> DetectorSpec: ...
@overload
def get(kind: Literal["embedder"], name: str) -> EmbedderSpec: ...
@overload
def get(kind: Literal["clusterer"], name: str) -> ClustererSpec: ...
@overload
def get(kind: Kind, name: str) -> Spec: ...
def get(kind: Kind, name: str) -> Spec:
    """Return the spec of a model.

    The entry points of other packages are read only if no registered or own model has this name. An embedder
    that the user calibrated has that calibration (`faceindex.models.calibrations`).

    Raises
    ------
    UnknownModel
        If no model has this name. The message lists the valid names.
    BrokenModel
        If another package offers a model of this name that cannot be used, or the description of an own
        embedder is damaged.
    """
    spec = original(kind, name)
    if isinstance(spec, EmbedderSpec):
        from faceindex.models.calibrations import with_stored  # looks for weights, which looks for specs

        return with_stored(spec)
    return spec


def original_embedder(name: str) -> EmbedderSpec:
    """Return the spec of an embedder without a calibration by the user; raises as `get`."""
    spec = original("embedder", name)
    assert isinstance(spec, EmbedderSpec)
    return spec


def original(kind: Kind, name: str) -> Spec:
    """Return the spec of a model as it was registered, without a calibration by the user; raises as `get`."""
    if spec := _registry.get((kind, name)):
        return spec
    if kind == "embedder" and (own := find_own_embedder(name)):
        if own.spec is None:
            raise Plugin(kind, name, str(own.path), None, own.reason, own=True).error()
        return own.spec
    plugin = plugins(kind).get(name)
    if plugin is None:
        raise UnknownModel(f"There is no {kind} named '{name}'.", _suggest(name, names(kind)))
    if plugin.spec is None:
        raise plugin.error()
    return plugin.spec


def load(spec: Spec, /, **options: Any) -> Any:
    """Import the class that a spec names and create the model.

    Parameters
    ----------
    spec : Spec
    **options
        Passed to the class: ``target(spec, **options)``.

    Raises
    ------
    ModelError
        If the class cannot be imported.
    BrokenModel
        If the model comes from another package and cannot be imported or created, or lacks an attribute
        that its protocol requires. Errors of faceindex, such as missing weights, are raised unchanged.
    """
    plugin = None if (spec.kind, spec.name) in _registry else plugins(spec.kind).get(spec.name)
    if plugin is not None and plugin.provides(spec):
        return _load_plugin(plugin, spec, options)
    try:
        target = _import_target(spec)
    except (ImportError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ModelError(
            f"The {spec.kind} '{spec.name}' cannot be loaded: {spec.target} ({reason}).",
            "Install missing packages with `pip install --upgrade faceindex`.",
        ) from error
    return target(spec, **options)


def _load_plugin(plugin: Plugin, spec: Spec, options: dict[str, Any]) -> Any:
    failure = "does not load"
    try:
        target = _import_target(spec)
        failure = "cannot be built"
        model = target(spec, **options)
        missing = [name for name in _REQUIRED_ATTRIBUTES[spec.kind] if not hasattr(model, name)]
    except FaceIndexError:
        raise
    except (Exception, SystemExit) as error:
        raise replace(plugin, reason=f"{spec.target} {failure} ({one_line(error)})").error() from error
    if missing:
        raise replace(plugin, reason=f"{spec.target} has no {' and no '.join(missing)}").error()
    return model


def _own(kind: Kind) -> dict[str, OwnEmbedder]:
    return own_embedders() if kind == "embedder" else {}


def _import_target(spec: Spec) -> Any:
    module, _, attribute = spec.target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _suggest(name: str, valid: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Valid names: {', '.join(valid)}."
