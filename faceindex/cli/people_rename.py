"""``faceindex people rename``: give a person another name."""

from __future__ import annotations

from typing import Annotated

import typer

from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import DecisionDryRunFlag, PersonArgument, print_decided

__all__ = ["rename"]


def rename(
    person: PersonArgument,
    name: Annotated[str, typer.Argument(metavar="NEW", help="The new name, in quotes if it has a space.")],
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Give a person another name.

    To say that faces show somebody else, use `name` or `reject`. If another person has the name already, use
    `merge`.

    Example: faceindex people rename Anna 'Anna Maria'
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            before = found.people.get(person).name
            decided = found.people.rename(person, name, dry_run=dry_run)
            print_decided(
                out, "rename", decided, f"{before} is called {decided.people[0]} now.", dry_run=dry_run
            )
