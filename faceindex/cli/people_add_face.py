"""``faceindex people add-face``: add a face that the detector missed."""

from __future__ import annotations

from typing import Annotated

import typer

from faceindex.cli.completion import complete_people
from faceindex.cli.errors import session
from faceindex.cli.options import (
    WAIT,
    DebugFlag,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    expand_home,
)
from faceindex.cli.people_common import DecisionDryRunFlag, moved_text, print_decided
from faceindex.errors import UsageError

__all__ = ["add_face"]


def add_face(
    photo: Annotated[
        str,
        typer.Argument(metavar="PHOTO", callback=expand_home, help="A photo of the index, by name or path."),
    ],
    box: Annotated[
        str,
        typer.Argument(
            metavar="X1,Y1,X2,Y2",
            help="The box of the face, in pixels of the upright photo at full resolution.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Who it is.", autocompletion=complete_people),
    ] = None,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Add a face that the detector missed.

    The face is embedded at once. It is a decision: it is kept whatever happens to the photo, the clusters and
    the models. Once a detector finds a face there, that face takes its place. Without a name it is in no
    cluster until `faceindex cluster`. If the index has a face there already, that face gets the name.

    Examples:
      faceindex people add-face photos/party.jpg 120,80,180,160
      faceindex people add-face photos/party.jpg 120,80,180,160 Anna
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        corners = _corners(box)
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            face, decided = found.add_face(photo, corners, name=name, dry_run=dry_run)
            if not decided.command.startswith("people add-face"):
                text = f"{decided.people[0]}: face {face}, which the index had already, is named"
                text += moved_text(decided)
            elif name is None:
                text = f"Face {face} is added."
            else:
                text = f"{decided.people[0]}: face {face} is added."
            print_decided(out, "add-face", decided, text, dry_run=dry_run, face=face)


def _corners(text: str) -> list[float]:
    try:
        corners = [float(part) for part in text.split(",")]
    except ValueError:
        corners = []
    if len(corners) != 4:
        raise UsageError(f"'{text}' is not a box.", "Write it as X1,Y1,X2,Y2, such as 120,80,180,160.")
    return corners
