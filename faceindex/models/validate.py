"""Check the spec of another package before it is used."""

from __future__ import annotations

import math
import re
import reprlib
from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

from faceindex.models.spec import (
    ALIGNMENTS,
    Alignment,
    BoxShape,
    Calibration,
    EmbedderSpec,
    ModelOption,
    PixelScale,
    Spec,
    WeightFile,
)

__all__ = ["spec_problem"]

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_NESTED = (Alignment, BoxShape, Calibration, ModelOption, PixelScale, WeightFile)
_POSITIVE = {"dimension", "size", "slope", "divisor", "side", "min_face", "decoded_face", "window", "pyramid"}
_RESERVED = {"min_face", "device"}  # keyword arguments that targets receive anyway


def spec_problem(spec: Spec) -> str:
    """Describe the first field of a spec that has a wrong type or an invalid value.

    Returns
    -------
    str
        The problem as a clause; empty if the spec is valid.
    """
    if reason := _field_problem(spec, ""):
        return reason
    if not _TARGET.fullmatch(spec.target):
        return f"target in its spec is {spec.target!r}, expected 'module:Class'"
    if isinstance(spec, EmbedderSpec) and spec.alignment.name not in ALIGNMENTS:
        return f"alignment.name in its spec is {spec.alignment.name!r}, expected {' or '.join(ALIGNMENTS)}"
    names = [option.name for option in spec.options]
    for name in names:
        if name in _RESERVED:
            return f"an option in its spec has the reserved name {name!r}"
        if names.count(name) > 1:
            return f"two options in its spec are named {name!r}"
    return ""


def _field_problem(spec: object, prefix: str) -> str:
    hints = get_type_hints(type(spec))
    for field in fields(spec):  # type: ignore[arg-type]  # a spec, or a dataclass inside one
        name, value = f"{prefix}{field.name}", getattr(spec, field.name)
        if not _fits(value, hints[field.name]):
            return f"{name} in its spec is {reprlib.repr(value)}, expected {field.type}"
        if field.name in _POSITIVE and value is not None and not value > 0:
            return f"{name} in its spec is {value!r}, expected more than 0"
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, _NESTED) and (reason := _field_problem(part, f"{name}.")):
                return reason
    return ""


def _fits(value: object, hint: object) -> bool:
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return value in kinds
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(part, kinds[0]) for part in value)
    if kinds:
        return any(_fits(value, kind) for kind in kinds)
    if hint is int or hint is float:
        # bool is a subclass of int, and NaN is a float; neither is accepted.
        number = isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
        return number and -math.inf < value < math.inf  # type: ignore[operator]
    return isinstance(hint, type) and isinstance(value, hint)
