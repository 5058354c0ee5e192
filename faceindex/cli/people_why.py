"""``faceindex people why``: why a face shows whom it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.answers import percent
from faceindex.cli.completion import complete_references
from faceindex.cli.errors import session
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Output, columns
from faceindex.errors import UsageError
from faceindex.images.moments import at_moment
from faceindex.people.references import parse_references

if TYPE_CHECKING:
    from faceindex.api.question_results import Explanation

__all__ = ["why"]

_SCHEMA = "faceindex/people-why/1"


def why(
    face: Annotated[
        str, typer.Argument(metavar="FACE", help="A face, such as f123.", autocompletion=complete_references)
    ],
    neighbours: Annotated[
        int, typer.Option("--neighbours", metavar="N", min=1, help="Number of most similar faces to print.")
    ] = 5,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Explain why a face shows whom it shows.

    Prints the rules that placed it: what you said, its cluster, or why it has none. Then the person that
    it resembles most with the similarity that is needed, the lead over the next one, the decisions about it,
    and the most similar faces.

    Examples:
      faceindex people why f123
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        found = parse_references([face])
        if len(found.faces) != 1:
            raise UsageError(
                f"{face} is not a face.", "Write a face such as f123; `faceindex faces` lists them."
            )
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as opened:
            explanation = opened.people.why(found.faces[0], neighbours)
            if out.json:
                out.document(_SCHEMA, index=str(opened.directory), **explanation.as_dict())
            else:
                _print(out, explanation)


def _print(out: Output, found: Explanation) -> None:
    face = found.face
    x1, y1, x2, y2 = (round(value) for value in face.box)
    where = f"{at_moment(face.photo)} at {x1},{y1} to {x2},{y2}"
    out.paragraph(f"Face f{face.face} on {where}: {face.person or 'nobody known'}")
    for rule in found.rules:
        out.paragraph(rule, indent=2, hang=4)
    if found.best is not None:
        out.paragraph(
            f"Most similar: {found.best}, similarity {found.similarity:.4f}; {found.needed:.4f} is needed to"
            f" name it. Without what was decided, the probability is {percent(found.probability)}.",
            indent=2,
            hang=4,
        )
    if found.second is not None:
        out.paragraph(f"Next: {found.second}, margin {found.margin:.4f}.", indent=2, hang=4)
    if found.decisions:
        out.answer("Decisions:")
    for entry in found.decisions:
        out.paragraph(f"{entry.number}  {entry.at:%Y-%m-%d %H:%M} UTC  {entry.command}", indent=2, hang=6)
    if found.nearest:
        out.answer("Most similar faces:")
    cells = [
        (
            f"{near.similarity:.4f}",
            f"f{near.face.face}",
            near.face.person or ("-" if near.face.cluster is None else f"cluster {near.face.cluster}"),
            at_moment(near.face.photo),
        )
        for near in found.nearest
    ]
    for line in columns(cells, header=("similarity", "face", "person", "photo"), right=[0], width=out.width):
        out.answer(f"  {line}")
