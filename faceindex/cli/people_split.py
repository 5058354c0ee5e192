"""``faceindex people split``: divide a person or a cluster in two."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.completion import complete_people, complete_references
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag, YesFlag
from faceindex.cli.people_common import DecisionDryRunFlag
from faceindex.cli.render import Output, count
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api.question_results import Split
    from faceindex.api.references import Selection
    from faceindex.api.results import Face

__all__ = ["split"]

_SCHEMA = "faceindex/people-split/1"


def split(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="REF [FACE]...",
            help="A person or a cluster; then faces, such as f123, of the part to split off.",
            autocompletion=complete_references,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Who the part is.", autocompletion=complete_people),
    ] = None,
    yes: YesFlag = False,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Divide a person or a cluster that shows two people.

    With faces, splits off these and all that resemble them more than the rest. Without, divides by what
    distinguishes the faces most, and refuses if that is no better than chance. Of a person with several
    clusters, whole clusters are split off if these differ.

    Prints the division, and waits for your answer. The part becomes a new cluster, and never returns to the
    person. Faces that you confirmed stay, unless you name them here.

    Examples:
      faceindex people split Anna f12 f40
      faceindex people split 7 --name Ben
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        terminal = _is_terminal() and not json
        if not (yes or dry_run or terminal):
            raise UsageError(
                "`split` waits for an answer, which needs a terminal.",
                "Add --yes, or --dry-run to see the division.",
            )
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            chosen = found.people.select(words)
            proposed = found.people.propose_split(_subject(chosen), chosen.faces)
            if not json:
                _print(out, proposed)
            decided = None
            if not dry_run and (yes or _confirmed(out)):
                _, decided = found.people.split(proposed, name=name)
            if out.json:
                out.document(
                    _SCHEMA,
                    dry_run=dry_run,
                    decision=None if decided is None else decided.number,
                    name=name,
                    **proposed.as_dict(),
                )
            elif decided is None:
                out.exit_code = 0 if dry_run else PARTIAL
                out.answer("Dry run, nothing is stored." if dry_run else "Nothing is changed.")
            else:
                part = count(len(proposed.part), "face")
                out.answer(f"{part} split off{'' if name is None else f'; they are {name}'}.")
                out.hint("Undo it with: faceindex people undo")


def _subject(chosen: Selection) -> str | int:
    subjects: list[str | int] = [*chosen.people, *chosen.clusters]
    if len(subjects) != 1:
        raise UsageError(
            "`split` divides one person or one cluster.",
            "Name one, then faces of the part: `faceindex people split Anna f12`.",
        )
    return subjects[0]


def _print(out: Output, split: Split) -> None:
    title = split.person if split.cluster is None else f"Cluster {split.cluster}"
    out.paragraph(f"{title}: {len(split.part):,} faces would be split off, {len(split.rest):,} stay.")
    sure = "clearly different" if split.clear else "hardly different, perhaps one person"
    clusters = f" The part is {count(len(split.clusters), 'whole cluster')}." if split.clusters else ""
    doubtful = f" {count(split.uncertain, 'face is', 'faces are')} uncertain." if split.uncertain else ""
    out.paragraph(f"The two sides are {sure} (likeness {split.likeness:.2f} of 1).{clusters}{doubtful}")
    for title, faces in (("Split off", split.part_samples), ("Stay", split.rest_samples)):
        out.answer(f"{title}, for example:")
        for face in faces:
            out.answer(f"  {_place(face)}")


def _place(face: Face) -> str:
    x1, y1, x2, y2 = (round(value) for value in face.box)
    return f"f{face.face}  {face.photo} at {x1},{y1} to {x2},{y2}"


def _confirmed(out: Output) -> bool:
    try:
        return out.ask("Split? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _is_terminal() -> bool:
    return sys.stdin.isatty()
