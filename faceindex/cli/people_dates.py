"""``faceindex people born`` and ``died``: the dates of a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import DecisionDryRunFlag, PersonArgument, moved_text, print_decided
from faceindex.cli.render import Output
from faceindex.people.dates import clean_date

if TYPE_CHECKING:
    from faceindex.api.people_results import Decided

__all__ = ["born", "died"]

DateArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="DATE", help="A year, a month or a day: 1950, 1950-06 or 1950-06-14; - removes the date."
    ),
]


def born(
    person: PersonArgument,
    date: DateArgument,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Set the date of birth. Nobody is found on photos that were taken earlier.

    Example: faceindex people born Anna 1950-06-14
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            _set(out, "born", "birth", found.people.born, person, date, dry_run)


def died(
    person: PersonArgument,
    date: DateArgument,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Set the date of death.

    Example: faceindex people died Anna 1950-06-14
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            _set(out, "died", "death", found.people.died, person, date, dry_run)


def _set(
    out: Output, verb: str, noun: str, decide: Callable[..., Decided], person: str, date: str, dry_run: bool
) -> None:
    decided = decide(person, None if date == "-" else date, dry_run=dry_run)
    what = f"no date of {noun}." if date == "-" else f"{verb} {clean_date(date)}{moved_text(decided)}"
    print_decided(out, verb, decided, f"{decided.people[0]}: {what}", dry_run=dry_run)
