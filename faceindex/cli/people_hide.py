"""``faceindex people hide`` and ``unhide``: leave a person out of lists, the gallery and exports."""

from __future__ import annotations

from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import DecisionDryRunFlag, PersonArgument, print_decided

__all__ = ["hide", "unhide"]


def hide(
    person: PersonArgument,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Leave a person out of the list, the gallery and exports.

    The faces and all that you said of them stay.

    Example: faceindex people hide Anna
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            decided = found.people.hide(person, dry_run=dry_run)
            print_decided(out, "hide", decided, f"{decided.people[0]} is hidden.", dry_run=dry_run)


def unhide(
    person: PersonArgument,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Show a hidden person again.

    Example: faceindex people unhide Anna
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            decided = found.people.hide(person, False, dry_run=dry_run)
            print_decided(
                out, "unhide", decided, f"{decided.people[0]} is no longer hidden.", dry_run=dry_run
            )
