"""``faceindex people name``: say who clusters and faces are."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.completion import complete_people, complete_references
from faceindex.cli.errors import session
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import DecisionDryRunFlag, moved_text, print_decided
from faceindex.cli.render import count
from faceindex.errors import UsageError
from faceindex.people.references import looks_like_reference, parse_references

if TYPE_CHECKING:
    from faceindex.api.people_results import Decided
    from faceindex.api.references import Selection

__all__ = ["name"]

_REMEDY = "Write clusters or faces, then the name: `faceindex people name 7 'Anna Maria'`."


def name(
    references: Annotated[
        list[str],
        typer.Argument(
            metavar="REF",
            help="Clusters, such as 7, or faces, such as f123.",
            autocompletion=complete_references,
        ),
    ],
    title: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="The name, in quotes if it has a space.", autocompletion=complete_people
        ),
    ],
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say who clusters and faces are.

    Adds the person if nobody has this name. All faces of the clusters have the name from now on, whatever
    becomes of the clusters. Faces that are named one by one count as confirmed.

    Examples:
      faceindex people name 7 Anna
      faceindex people name f12 f13 'Anna Maria'
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        _check(references, title)
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True) as found:
            chosen = found.people.select(references)
            decided = found.people.name(title, clusters=chosen.clusters, faces=chosen.faces, dry_run=dry_run)
            print_decided(out, "name", decided, _sentence(decided, chosen), dry_run=dry_run)


def _check(references: list[str], title: str) -> None:
    if looks_like_reference(title):
        raise UsageError(f"The name is missing: '{title}' is a cluster or a face.", _REMEDY)
    if others := parse_references(references).names:
        whole = shlex.quote(" ".join([*others, title]))
        raise UsageError(
            f"'{others[0]}' is neither a cluster nor a face.",
            f"Quote a name with spaces: {whole}. To change a name, use `faceindex people rename`.",
        )


def _sentence(decided: Decided, chosen: Selection) -> str:
    person = decided.people[0]
    number = len(chosen.all_faces)
    if not decided.faces:
        had = "the face has" if number == 1 else f"all {number:,} faces have"
        return f"{person}: nothing changes; {had} this name."
    others = [f"{n:,} of them {name} until now" for name, n in chosen.shown.items() if name != person]
    taken = f", {', '.join(others)}" if others else ""
    return f"{person}: {count(decided.faces, 'face')} named{taken}{moved_text(decided)}"
