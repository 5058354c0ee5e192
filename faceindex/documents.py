"""JSON documents: the types of their values, and plain values from dataclasses and arrays.

Imports no numpy: without it, there are no arrays to convert.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Json", "Result", "Scalar", "as_json"]

Scalar: TypeAlias = "str | int | float | bool | None"
Json: TypeAlias = "Scalar | Sequence[Json] | Mapping[str, Json]"


class Result:
    """Base of the results of the library, which are frozen dataclasses."""

    __slots__ = ()

    def as_dict(self) -> dict[str, Json]:
        """Return the fields as plain JSON values; NaN becomes None."""
        return cast("dict[str, Json]", as_json(self))


def as_json(value: object) -> Json:
    """Convert a value to what `json.dumps` writes: dicts, lists, strings, numbers, booleans and None.

    =========================================  ==========================================================
    value                                      result
    =========================================  ==========================================================
    dataclass, named tuple                     dict by field name, in the order of the fields
    mapping                                    dict; keys become strings as in `json.dumps`
    list, tuple, other sequence                list
    set                                        sorted list
    numpy array, numpy scalar                  (nested) list, number
    NaN, infinity                              None: JSON has neither
    enum member                                its value
    path                                       str; undecodable bytes are surrogate-escaped
    bytes                                      str of hexadecimal digits
    datetime, date, time                       str in ISO 8601
    exception                                  dict of ``type`` and its public attributes; of ``type`` and
                                               ``message`` if it has none
    =========================================  ==========================================================

    Parameters
    ----------
    value : object

    Returns
    -------
    Json
        Shares no mutable object with `value`.

    Raises
    ------
    TypeError
        If `value` contains an object of any other type.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):  # before str and int, which an enum may be too
        return as_json(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): as_json(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return as_json(value._asdict())
    return _less_common(value)


def _less_common(value: object) -> Json:
    numpy: Any = sys.modules.get("numpy")
    if hasattr(numpy, "ndarray"):  # not while another thread is importing it
        if isinstance(value, numpy.ndarray):
            return _array(value, numpy)
        if isinstance(value, numpy.generic):
            return as_json(value.item())
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value.hex()
    if isinstance(value, Sequence):
        return [as_json(item) for item in value]
    if isinstance(value, Set):
        return [as_json(item) for item in sorted(value)]
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, BaseException):
        attributes = {name: as_json(item) for name, item in vars(value).items() if not name.startswith("_")}
        return {"type": type(value).__name__, **(attributes or {"message": str(value)})}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _array(array: np.ndarray[Any, Any], numpy: Any) -> Json:
    """Convert a whole array at once: one call for each number takes about ten times as long."""
    if array.dtype.kind in "biu":
        return array.tolist()  # type: ignore[no-any-return]
    if array.dtype.kind == "f":
        finite = numpy.isfinite(array)
        return (array if finite.all() else numpy.where(finite, array, None)).tolist()  # type: ignore[no-any-return]
    return as_json(array.tolist())


def _key(key: object) -> str:
    plain = as_json(key)
    if isinstance(plain, str):
        return plain
    if plain is None or isinstance(plain, bool):
        return {None: "null", True: "true", False: "false"}[plain]
    if isinstance(plain, (int, float)):
        return repr(plain)
    raise TypeError(f"{type(key).__name__} cannot be the key of a JSON object")
