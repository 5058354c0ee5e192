"""Models by name, of all kinds, and their weight files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from faceindex import models
from faceindex.cli.model_details import weights_of
from faceindex.errors import UnknownModel
from faceindex.models import Plugin, Spec, WeightFile

__all__ = ["select_models", "weight_files"]


def select_models(names: Sequence[str]) -> tuple[list[Spec], list[Plugin]]:
    """Select models of all kinds by name; all models if there are no names.

    Returns
    -------
    list of Spec
        Models that can be used.
    list of Plugin
        Models that cannot.

    Raises
    ------
    UnknownModel
    """
    specs = [models.get(kind, name) for kind in models.KINDS for name in models.names(kind)]
    broken = [plugin for kind in models.KINDS for plugin in models.unusable(kind)]
    if not names:
        return specs, broken
    valid = list(dict.fromkeys(entry.name for entry in (*specs, *broken)))
    for name in names:
        if name not in valid:
            close = difflib.get_close_matches(name, valid, n=1)
            hint = f"Did you mean '{close[0]}'? " if close else ""
            raise UnknownModel(
                f"There is no model named '{name}'.", f"{hint}Valid names: {', '.join(valid)}."
            )
    return [s for s in specs if s.name in names], [p for p in broken if p.name in names]


def weight_files(names: Sequence[str]) -> Iterable[tuple[str, WeightFile]]:
    """Find the weight files of models, each with the first model that uses it.

    Raises
    ------
    UnknownModel
    BrokenModel
        If a named model cannot be used.
    """
    specs, broken = select_models(names)
    if names:
        for plugin in broken:
            if all(spec.name != plugin.name for spec in specs):
                raise plugin.error()
    files: dict[WeightFile, str] = {}
    for spec in specs:
        for state in weights_of(spec):
            files.setdefault(state.file, spec.name)
    return [(model, weight) for weight, model in files.items()]
