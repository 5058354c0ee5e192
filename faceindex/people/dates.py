"""Dates of birth and death, which may be a year, a month or a day, and ages."""

from __future__ import annotations

import calendar
import re
from datetime import date, datetime, timedelta

from faceindex.errors import UsageError

__all__ = ["ages", "clean_date", "first_second", "last_second", "moment_of"]

_FORM = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")
_EPOCH = datetime(1970, 1, 1)


def clean_date(written: str) -> str:
    """Return a date in the form ``1950``, ``1950-06`` or ``1950-06-14``.

    Raises
    ------
    UsageError
        If it is not a date of this form.
    """
    match = _FORM.fullmatch(written.strip())
    if match:
        year, month, day = (None if part is None else int(part) for part in match.groups())
        try:
            date(year or 0, month or 1, day or 1)
        except ValueError:
            pass
        else:
            return "-".join(
                f"{part:0{width}}" for part, width in ((year, 4), (month, 2), (day, 2)) if part is not None
            )
    raise UsageError(
        f"'{written}' is not a date.", "Write a year, a month or a day, such as 1950, 1950-06 or 1950-06-14."
    )


def first_second(day: str) -> int:
    """Return the first second of a date of `clean_date`, in seconds since 1970-01-01T00:00."""
    year, month, number = (*map(int, day.split("-")), 1, 1)[:3]
    return _seconds(datetime(year, month, number))


def last_second(day: str) -> int:
    """Return the last second of a date of `clean_date`, in seconds since 1970-01-01T00:00."""
    parts = [int(part) for part in day.split("-")]
    year = parts[0]
    month = parts[1] if len(parts) > 1 else 12
    number = parts[2] if len(parts) > 2 else calendar.monthrange(year, month)[1]
    return _seconds(datetime(year, month, number, 23, 59, 59))


def ages(born: str, taken: int) -> tuple[int, int]:
    """Return the youngest and the oldest age, in full years, of a person at some time.

    They differ if only the year or the month of birth is known. Both are negative before birth.

    Parameters
    ----------
    born : str
        Of `clean_date`.
    taken : int
        Seconds since 1970-01-01T00:00.
    """
    at = moment_of(taken)
    return _age(last_second(born), at), _age(first_second(born), at)


def _age(born: int, at: datetime) -> int:
    birth = moment_of(born)
    return at.year - birth.year - ((at.month, at.day) < (birth.month, birth.day))


def moment_of(taken: int) -> datetime:
    """Return a capture time, in seconds since 1970-01-01T00:00 of the camera's local time, as a datetime."""
    return _EPOCH + timedelta(seconds=taken)


def _seconds(moment: datetime) -> int:
    return int((moment - _EPOCH).total_seconds())
