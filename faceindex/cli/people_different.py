"""``faceindex people different``: say that faces show two people."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from faceindex.cli.completion import complete_references
from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import DecisionDryRunFlag, listed, moved_text, print_decided

__all__ = ["different"]

OneArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="A cluster, such as 7, a face, such as f123, or a person.",
        autocompletion=complete_references,
    ),
]


def different(
    one: OneArgument,
    other: OneArgument,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say that two faces or clusters show two people.

    For a cluster, the two faces nearest its middle stand.

    Example: faceindex people different 7 12
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            first, second = found.people.select([one]), found.people.select([other])
            decided = found.people.different(first.middle, second.middle, dry_run=dry_run)
            text = f"{listed([one, other])} show two people{moved_text(decided)}"
            print_decided(out, "different", decided, text, dry_run=dry_run)
