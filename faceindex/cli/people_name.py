"""``faceindex people name``: say who clusters and faces are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.completion import complete_people, complete_references
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import (
    WAIT,
    DebugFlag,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    expand_home,
)
from faceindex.cli.people_common import DecisionDryRunFlag, listed, moved_text, print_decided, print_nothing
from faceindex.cli.render import Output, count, shell_quoted
from faceindex.errors import UsageError
from faceindex.people.references import looks_like_reference, parse_references

if TYPE_CHECKING:
    from pathlib import Path

    from faceindex.api.people_results import Decided
    from faceindex.api.references import Selection

__all__ = ["name"]

_REMEDY = "Write clusters or faces, then the name: `faceindex people name 7 'Anna Maria'`."


def name(
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REF",
            help="Clusters, such as 7, or faces, such as f123.",
            autocompletion=complete_references,
        ),
    ] = None,
    title: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="The name, in quotes if it has a space.", autocompletion=complete_people
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            callback=expand_home,
            help="Read them from a CSV file with the columns face,person or cluster,person; - is standard "
            "input.",
        ),
    ] = None,
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

    A file of --from is one decision. All its rows are checked first, and rows without a person are skipped.
    The output of `faceindex faces` and `faceindex clusters` is such a file: edit the column person. Only
    edited rows count then.

    Examples:
      faceindex people name 7 Anna
      faceindex people name f12 f13 'Anna Maria'
      faceindex people name --from people.csv --dry-run
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if file is not None:
            if references or title:
                raise UsageError("--from takes neither REF nor NAME.", "Leave them out, or --from.")
            _name_from(out, file, index, dry_run)
            return
        references, title = _checked([*(references or []), *([title] if title else [])])
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            chosen = found.people.select(references)
            decided = found.people.name(title, clusters=chosen.clusters, faces=chosen.faces, dry_run=dry_run)
            text = _sentence(decided, chosen)
            print_decided(out, "name", decided, text, dry_run=dry_run, unchanged=text)


def _checked(words: list[str]) -> tuple[list[str], str]:
    if not words:
        raise UsageError("`faceindex people name` needs REF and NAME, or --from FILE.", _REMEDY)
    *references, title = words
    if looks_like_reference(title):
        raise UsageError(f"The name is missing: '{title}' is a cluster or a face.", _REMEDY)
    if not references:
        raise UsageError(f"There is nothing to give the name '{title}'.", _REMEDY)
    if others := parse_references(references).names:
        whole = shell_quoted(" ".join([*others, title]))
        raise UsageError(
            f"'{others[0]}' is neither a cluster nor a face.",
            f"Quote a name with spaces: {whole}. To change a name, use `faceindex people rename`.",
        )
    return references, title


def _sentence(decided: Decided, chosen: Selection) -> str:
    person = decided.people[0]
    number = len(chosen.all_faces)
    if not decided.faces:
        had = "the face has" if number == 1 else f"all {number:,} faces have"
        return f"{person}: nothing changes; {had} this name."
    before = [f"{n:,} of them {name} until now" for name, n in chosen.shown.items() if name != person]
    taken = f", {', '.join(before)}" if before else ""
    text = f"{person}: {count(decided.faces, 'face')} named{taken}{moved_text(decided)}"
    if chosen.around and not decided.moved:
        clusters = listed([str(cluster) for cluster in chosen.around])
        what = f"cluster {clusters}" if len(chosen.around) == 1 else f"clusters {clusters}"
        number = sum(chosen.around.values())
        others = count(number, "other face of {what} is", "other faces of {what} are").format(what=what)
        text += f" The {others} believed to show {person}, too."
    return text


def _name_from(out: Output, file: str, index: Path | None, dry_run: bool) -> None:
    from faceindex.api import FaceIndex

    source = sys.stdin.buffer.read() if file == "-" else file
    title = "standard input" if file == "-" else file
    with FaceIndex.open(index, write=True, wait=WAIT) as found:
        table = found.people.read_table(source)
        if table.problems:
            for problem in table.problems:
                out.error(f"{title}, {problem}")
            wrong = count(len(table.problems), "row is", "rows are")
            raise UsageError(f"{wrong} wrong in {title}; nothing is stored.", "Correct them and try again.")
        left_out = [
            text
            for number, text in (
                (table.empty, f"{count(table.empty, 'row')} without a person"),
                (table.unchanged, f"{count(table.unchanged, 'row')} that the index has already"),
            )
            if number
        ]
        if left_out:
            out.note(f"Skipped {' and '.join(left_out)}.")
        if not table.faces and not table.clusters:
            out.exit_code = PARTIAL
            out.note("No row names anybody anew; nothing is stored.")
            if out.json:
                print_nothing(out, "name", dry_run=dry_run)
            return
        decided = found.people.name_many(faces=table.faces, clusters=table.clusters, dry_run=dry_run)
        people = count(len(decided.people), "person", "people")
        text = f"{people}: {count(decided.faces, 'face')} named{moved_text(decided)}"
        print_decided(out, "name", decided, text, dry_run=dry_run)
