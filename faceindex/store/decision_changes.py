"""Check what the journal says that decisions changed, for `faceindex.store.decisions`."""

from __future__ import annotations

from typing import Any

from faceindex.store.checked_json import Check, Malformed, fields, list_of, natural, optional, text

__all__ = ["change"]

_MOST = 2**63 - 1  # that SQLite stores


def _anything(value: object, name: str) -> object:
    return value


def _row(*checks: Check) -> Check:
    """Require a list with one value for each check."""

    def check_row(value: object, name: str) -> list[Any]:
        found = list_of(_anything)(value, name)
        if len(found) != len(checks):
            raise Malformed(f"{name} has {len(found)} values")
        return [check(item, name) for check, item in zip(checks, found, strict=True)]

    return check_row


_STATE = _row(natural, optional(natural), natural)
_LINK = optional(_row(_anything, natural))
_PERSON = fields(
    name=optional(text), born=optional(text), died=optional(text), hidden=_anything, note=optional(text),
    into=optional(natural), written=natural,
)  # fmt: skip
_CHANGES: dict[object, Check] = {
    "mark": _row(text, natural, _STATE, _STATE),
    "rejection": _row(text, natural, natural, optional(natural), optional(natural)),
    "link": _row(text, natural, natural, _LINK, _LINK),
    "person": _row(text, natural, optional(_PERSON), optional(_PERSON)),
    "cluster": _row(text, natural, optional(natural), optional(natural)),
    "face": _row(text, natural, optional(natural), optional(natural)),
}


def _is_state(value: object) -> bool:
    """Whether a value is the state of a mark for certain; `_STATE` reports what is wrong."""
    if not isinstance(value, list) or len(value) != 3:
        return False
    label, person, written = value
    return (
        type(label) is type(written) is int
        and (person is None or (type(person) is int and 0 <= person <= _MOST))
        and 0 <= label <= _MOST
        and 0 <= written <= _MOST
    )


def change(value: object, name: str) -> list[Any]:
    """Return a change of a decision, as `faceindex.people.editor` stores it; raises `Malformed`."""
    if isinstance(value, list) and len(value) == 4 and value[0] == "mark":  # thousands of these are read
        _, mark, before, after = value
        if type(mark) is int and 0 <= mark <= _MOST and _is_state(before) and _is_state(after):
            return value
    kind = list_of(_anything)(value, name)[:1]
    check = _CHANGES.get(kind[0]) if kind and isinstance(kind[0], str) else None
    if check is None:
        raise Malformed(f"{name} is not a change")
    change: list[Any] = check(value, name)
    return change
