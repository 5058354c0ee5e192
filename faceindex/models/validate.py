"""What is wrong with the spec of another package, told before anything relies on it."""

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
    Spec,
    WeightFile,
)

__all__ = ["spec_fault"]

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_PARTS = (Alignment, BoxShape, Calibration, ModelOption, WeightFile)
_POSITIVE = {"dimension", "size", "slope", "side", "min_face", "decoded_face", "window", "pyramid"}
_RESERVED = {"min_face", "device"}  # keywords with which every target is called


def spec_fault(spec: Spec) -> str:
    """The first thing that is wrong with a spec: a field of another type than its annotation, or of no use.

    Returns
    -------
    str
        A clause; empty if nothing is wrong.
    """
    if reason := _fault_of_fields(spec, ""):
        return reason
    if not _TARGET.fullmatch(spec.target):
        return f"the target of its spec is {spec.target!r}, not 'module:Class'"
    if isinstance(spec, EmbedderSpec) and spec.alignment.name not in ALIGNMENTS:
        return f"its spec names the alignment {spec.alignment.name!r}; there are {' and '.join(ALIGNMENTS)}"
    names = [option.name for option in spec.options]
    for name in names:
        if name in _RESERVED or names.count(name) > 1:
            return f"the name {name!r} of an option of its spec is taken"
    return ""


def _fault_of_fields(thing: object, owner: str) -> str:
    hints = get_type_hints(type(thing))
    for field in fields(thing):  # type: ignore[arg-type]  # a spec, or a part of one
        name, value = f"{owner}{field.name}", getattr(thing, field.name)
        if not _fits(value, hints[field.name]):
            return f"{name} of its spec is {reprlib.repr(value)}, where {field.type} is needed"
        if field.name in _POSITIVE and value is not None and not value > 0:
            return f"{name} of its spec is {value!r}, where more than 0 is needed"
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, _PARTS) and (reason := _fault_of_fields(part, f"{name}.")):
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
        # A bool is an int to Python, and NaN a float; neither is a number to anybody here.
        number = isinstance(value, int if hint is int else (int, float)) and not isinstance(value, bool)
        return number and -math.inf < value < math.inf  # type: ignore[operator]  # it is a number
    assert isinstance(hint, type)
    return isinstance(value, hint)
