"""``faceindex people reject``: say that faces do not show a person."""

from __future__ import annotations

from typing import Annotated

import typer

from faceindex.cli.completion import complete_people
from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import (
    DecisionDryRunFlag,
    FacesArgument,
    moved_text,
    print_decided,
    select_faces,
)
from faceindex.cli.render import count

__all__ = ["reject"]


def reject(
    references: FacesArgument,
    person: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            autocompletion=complete_people,
            help="The person whom they do not show; by default the one whom the program believes.",
        ),
    ] = None,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say that faces do not show a person.

    They never return to that person, unless you name them so. In a cluster without a name, they are kept
    apart from the faces in its middle.

    Examples:
      faceindex people reject f123
      faceindex people reject f12 f13 --from Anna
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            faces = select_faces(found, references).all_faces
            decided = found.people.reject(faces, person, dry_run=dry_run)
            who = f"{' and '.join(decided.people)}: " if decided.people else ""
            what = f"{count(min(decided.faces, len(faces)), 'face')} rejected{moved_text(decided)}"
            if not decided.faces:
                what = "nothing changes; the faces are rejected already."
            text = f"{who}{what}"
            print_decided(out, "reject", decided, text, dry_run=dry_run, unchanged=text)
