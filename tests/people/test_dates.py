from __future__ import annotations

from datetime import datetime

import pytest

from faceindex.errors import UsageError
from faceindex.people.dates import ages, clean_date, first_second, last_second, moment_of


@pytest.mark.parametrize(
    ("written", "clean"), [("1950", "1950"), (" 1950-6 ", "1950-06"), ("1950-06-4", "1950-06-04")]
)
def test_dates_are_a_year_a_month_or_a_day(written: str, clean: str) -> None:
    assert clean_date(written) == clean


@pytest.mark.parametrize(
    "written", ["", "50", "1950-13", "1950-02-30", "0000", "14.6.1950", "1950-06-14-1", "x"]
)
def test_what_is_no_date_is_an_error(written: str) -> None:
    with pytest.raises(UsageError, match="is not a date"):
        clean_date(written)


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        ("1950", datetime(1950, 1, 1), datetime(1950, 12, 31, 23, 59, 59)),
        ("2024-02", datetime(2024, 2, 1), datetime(2024, 2, 29, 23, 59, 59)),
        ("1969-12-31", datetime(1969, 12, 31), datetime(1969, 12, 31, 23, 59, 59)),
    ],
)
def test_a_date_begins_and_ends(day: str, first: datetime, last: datetime) -> None:
    assert moment_of(first_second(day)) == first
    assert moment_of(last_second(day)) == last


def test_ages_are_full_years() -> None:
    def at(year: int, month: int, day: int) -> int:
        return int((datetime(year, month, day, 12) - datetime(1970, 1, 1)).total_seconds())

    assert ages("2000-06-15", at(2010, 6, 14)) == (9, 9)
    assert ages("2000-06-15", at(2010, 6, 15)) == (10, 10)
    assert ages("2000", at(2010, 6, 15)) == (9, 10)
    assert ages("2000-06", at(2010, 6, 15)) == (9, 10)
    assert ages("2000", at(1999, 6, 15)) == (-2, -1)
    assert ages("1900", at(1969, 1, 1)) == (68, 69)
