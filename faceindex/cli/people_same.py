"""``faceindex people same``: say that faces show one person."""

from __future__ import annotations

from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import (
    DecisionDryRunFlag,
    ReferencesArgument,
    listed,
    moved_text,
    print_decided,
)
from faceindex.errors import UsageError

__all__ = ["same"]


def same(
    references: ReferencesArgument,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say that faces or clusters show one person, whoever it is.

    For a cluster, the two faces nearest its middle stand. To name them too, use `name`.

    Example: faceindex people same 7 12
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            chosen = found.people.select(references)
            if len(references) < 2:
                raise UsageError(f"'{references[0]}' alone cannot be the same.", "Give two or more.")
            decided = found.people.same(chosen.middle, dry_run=dry_run)
            text = f"{listed(references)} show one person{moved_text(decided)}"
            print_decided(out, "same", decided, text, dry_run=dry_run)
