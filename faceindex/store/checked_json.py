"""JSON documents of the catalog, read with all types checked.

A check is a function of a value and of its name in messages. It returns the value or raises `Malformed`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

__all__ = [
    "Check",
    "Malformed",
    "blob",
    "fields",
    "id_of_row",
    "integer",
    "list_of",
    "mapping",
    "moment",
    "natural",
    "optional",
    "parse",
    "path",
    "positive",
    "scalar",
    "text",
    "up_to",
]

Check: TypeAlias = Callable[[object, str], Any]

_MOST = (1 << 63) - 1  # that SQLite stores


class Malformed(ValueError):
    """A value does not have the expected form; the message names it."""


def parse(document: object, name: str, check: Check) -> Any:
    """Parse a JSON document and check its value.

    Raises
    ------
    Malformed
    """
    if not isinstance(document, str):
        raise Malformed(f"{name} is not text")
    try:
        value = json.loads(document)
    except (ValueError, RecursionError):
        raise Malformed(f"{name} is not valid JSON") from None
    return check(value, name)


def text(value: object, name: str) -> str:
    """Require a string."""
    if not isinstance(value, str):
        raise Malformed(f"{name} is not text")
    return value


def integer(value: object, name: str) -> int:
    """Require an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed(f"{name} is not an integer")
    return value


def natural(value: object, name: str) -> int:
    """Require an integer of at least 0."""
    if integer(value, name) < 0:
        raise Malformed(f"{name} is negative")
    if integer(value, name) > _MOST:
        raise Malformed(f"{name} is too large")
    return integer(value, name)


def positive(value: object, name: str) -> int:
    """Require an integer of at least 1."""
    if integer(value, name) < 1:
        raise Malformed(f"{name} is less than 1")
    return integer(value, name)


def up_to(most: int) -> Check:
    """Require an integer from 1 to a limit."""

    def check_limit(value: object, name: str) -> int:
        if positive(value, name) > most:
            raise Malformed(f"{name} is more than {most}")
        return positive(value, name)

    return check_limit


def id_of_row(value: object, name: str) -> int:
    """Require an integer that can be the id of a row."""
    if positive(value, name) > _MOST:
        raise Malformed(f"{name} is too large")
    return positive(value, name)


def blob(value: object, name: str) -> bytes:
    """Require bytes."""
    if not isinstance(value, bytes):
        raise Malformed(f"{name} is not binary")
    return value


def path(value: object, name: str) -> str:
    """Require bytes that can be a path, and decode them as the system's file names."""
    content = blob(value, name)
    if not content or b"\0" in content:
        raise Malformed(f"{name} is not a path")
    return os.fsdecode(content)


def scalar(value: object, name: str) -> str | int | float | bool | None:
    """Require a string, a number, true, false or null."""
    if value is not None and not isinstance(value, (str, int, float)):
        raise Malformed(f"{name} is not a single value")
    return value


def moment(value: object, name: str) -> datetime:
    """Require a time in ISO 8601."""
    try:
        return datetime.fromisoformat(text(value, name))
    except ValueError:
        raise Malformed(f"{name} is not a time") from None


def optional(check: Check) -> Check:
    """Allow null too."""
    return lambda value, name: None if value is None else check(value, name)


def list_of(check: Check) -> Check:
    """Require a list whose items pass a check."""

    def check_list(value: object, name: str) -> list[Any]:
        if not isinstance(value, list):
            raise Malformed(f"{name} is not a list")
        return [check(item, f"{name}[{number}]") for number, item in enumerate(value)]

    return check_list


def mapping(check: Check = lambda value, name: value) -> Check:
    """Require an object of any keys, whose values pass a check."""

    def check_mapping(value: object, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Malformed(f"{name} is not an object")
        return {key: check(item, f"{name}.{key}") for key, item in value.items()}

    return check_mapping


def fields(**checks: Check) -> Check:
    """Require an object of exactly these keys, whose values pass their checks."""

    def check_fields(value: object, name: str) -> dict[str, Any]:
        found = mapping()(value, name)
        if unknown := sorted(found.keys() - checks.keys()):
            raise Malformed(f"{name} has an unknown key '{unknown[0]}'")
        if missing := sorted(checks.keys() - found.keys()):
            raise Malformed(f"{name} has no key '{missing[0]}'")
        return {key: check(found[key], f"{name}.{key}") for key, check in checks.items()}

    return check_fields
