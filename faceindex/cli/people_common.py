"""What the commands of ``faceindex people`` share: arguments, and how a decision is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from faceindex.cli.completion import complete_people, complete_references
from faceindex.cli.render import Output, count, shell_quoted
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api import FaceIndex
    from faceindex.api.people_results import Decided
    from faceindex.api.references import Selection
    from faceindex.documents import Json

__all__ = [
    "DecisionDryRunFlag",
    "FacesArgument",
    "PersonArgument",
    "ReferencesArgument",
    "listed",
    "moved_text",
    "print_decided",
    "print_nothing",
    "select_faces",
]

_SCHEMA = "faceindex/people-decision/1"

ReferencesArgument: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="REF",
        help="Clusters, such as 7; faces, such as f123; or people, by name.",
        autocompletion=complete_references,
    ),
]
FacesArgument: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="REF",
        help="Faces, such as f123; or clusters, such as 7, for all their faces.",
        autocompletion=complete_references,
    ),
]
PersonArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="NAME", help="A person.", autocompletion=complete_people)
]
DecisionDryRunFlag: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Print what would change, and store nothing.")
]


def print_decided(
    out: Output,
    verb: str,
    decided: Decided,
    sentence: str,
    *,
    dry_run: bool,
    unchanged: str = "Nothing changes: you have said so already.",
    **fields: Json,
) -> None:
    """Print what a decision changed: one sentence, or a document.

    Parameters
    ----------
    out : Output
    verb : str
        The command.
    decided : Decided
    sentence : str
    dry_run : bool
    unchanged : str
        The sentence for a terminal if the decision says nothing new.
    fields : JSON values
        Further fields of the document.
    """
    if out.json:
        out.document(
            _SCHEMA,
            verb=verb,
            dry_run=dry_run,
            decision=decided.number,
            command=decided.command,
            people=list(decided.people),
            faces=decided.faces,
            moved=decided.moved,
            summary=sentence,
            **fields,
        )
        return
    if decided.number is None and not dry_run:
        out.paragraph(unchanged)
        return
    out.paragraph(f"Dry run, nothing is stored. {sentence}" if dry_run else sentence)
    if not dry_run:
        out.hint("Undo it with: faceindex people undo")


def print_nothing(out: Output, verb: str, *, dry_run: bool) -> None:
    """Print the document of a command that decided nothing."""
    out.document(
        _SCHEMA, verb=verb, dry_run=dry_run, decision=None, command=None, people=[], faces=0, moved=0,
        summary="Nothing changes.",
    )  # fmt: skip


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: ``a, b and c``."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def moved_text(decided: Decided) -> str:
    """Return how many faces changed their cluster, as the end of a sentence."""
    if not decided.moved:
        return "."
    return f"; {count(decided.moved, 'face')} changed cluster."


def select_faces(found: FaceIndex, words: list[str]) -> Selection:
    """Find faces and clusters.

    Raises
    ------
    UsageError
        If a word is the name of a person, or the index has no such face or cluster.
    """
    chosen = found.people.select(words)
    if chosen.people:
        raise UsageError(
            f"{chosen.people[0]} is a person, but faces or clusters are needed.",
            f"`faceindex faces --person {shell_quoted(chosen.people[0])}` lists the faces.",
        )
    return chosen
