"""``faceindex people confirm``: say that faces show the person whom the program believes."""

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

__all__ = ["confirm"]


def confirm(
    references: FacesArgument,
    person: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", autocompletion=complete_people, help="The person whom they show."
        ),
    ] = None,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say that faces show whom the program believes, or --as NAME.

    Confirmed faces are certain: they stay with the person, and other faces are compared with them.

    Example: faceindex people confirm f12 f13
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            faces = select_faces(found, references).all_faces
            decided = found.people.confirm(faces, person, dry_run=dry_run)
            what = f"{count(decided.faces, 'face')} confirmed{moved_text(decided)}"
            if not decided.faces:
                what = "nothing changes; the faces are confirmed already."
            text = f"{' and '.join(decided.people)}: {what}"
            print_decided(out, "confirm", decided, text, dry_run=dry_run, unchanged=text)
