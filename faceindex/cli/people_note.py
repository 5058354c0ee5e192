"""``faceindex people note``: keep a note about a person."""

from __future__ import annotations

from typing import Annotated

import typer

from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import DecisionDryRunFlag, PersonArgument, print_decided

__all__ = ["note"]


def note(
    person: PersonArgument,
    text: Annotated[
        str, typer.Argument(metavar="NOTE", help="The note, which replaces the last one; - removes it.")
    ],
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Keep a note about a person.

    Example: faceindex people note Anna 'sister of Ben'
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            decided = found.people.note(person, None if text == "-" else text, dry_run=dry_run)
            what = "the note is removed" if text == "-" else "the note is kept"
            print_decided(out, "note", decided, f"{decided.people[0]}: {what}.", dry_run=dry_run)
