"""``faceindex people merge``: say that several people are one."""

from __future__ import annotations

from typing import Annotated

import typer

from faceindex.cli.completion import complete_people
from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import DecisionDryRunFlag, listed, moved_text, print_decided
from faceindex.errors import UsageError

__all__ = ["merge"]


def merge(
    people: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME", help="Two or more people; the first name stays.", autocompletion=complete_people
        ),
    ],
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say that several people are one; the first name stays.

    Their clusters stay as they are. To merge clusters, give them one name.

    Example: faceindex people merge Anna 'Anna Maria'
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            if len(people) < 2:
                raise UsageError("One person cannot be merged.", "Name two or more people.")
            titles = [found.people.get(person).name for person in people]
            decided = found.people.merge(*people, dry_run=dry_run)
            are = "is" if len(titles) == 2 else "are"
            text = f"{listed(titles[1:])} {are} {titles[0]} now{moved_text(decided)}"
            print_decided(out, "merge", decided, text, dry_run=dry_run)
