"""The point in time of `faceindex.pipeline.selection.Selection.newer_than_ns`, as a user writes it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from faceindex.errors import UsageError

__all__ = ["parse_newer_than"]

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(min|[hdw])")
_SECONDS = {"min": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_FIRST_NS, _LAST_NS = -(1 << 63), (1 << 63) - 1


def parse_newer_than(value: str | datetime | timedelta) -> int:
    """Return a point in time in nanoseconds since 1970.

    Parameters
    ----------
    value : str, datetime or timedelta
        A date or a time, local unless it has a zone, or how long ago: a text such as ``"2024-01-31"``,
        ``"2024-01-31 18:00"``, ``"7d"``, ``"12h"``, ``"90min"`` or ``"2w"``.

    Raises
    ------
    UsageError
        If the text is neither.
    """
    try:
        if isinstance(value, str):
            found = _DURATION.fullmatch(value.strip().lower())
            value = (
                timedelta(seconds=float(found[1]) * _SECONDS[found[2]])
                if found is not None
                else datetime.fromisoformat(value.strip())
            )
        if isinstance(value, timedelta):
            value = datetime.now().astimezone() - value
        seconds = value.timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"`newer_than` is '{value}', which is neither a date nor a duration.",
            "Write it like 2024-01-31, 7d, 12h or 2w.",
        ) from None
    return min(max(int(seconds * 1_000_000_000), _FIRST_NS), _LAST_NS)
