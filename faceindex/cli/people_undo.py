"""``faceindex people undo``: take decisions back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.asking import agrees, require_terminal
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag, YesFlag
from faceindex.cli.render import Output, count

if TYPE_CHECKING:
    from faceindex.api.people_results import Decided, JournalEntry

__all__ = ["undo"]

_SCHEMA = "faceindex/people-undo/1"


def undo(
    number: Annotated[int, typer.Argument(metavar="N", min=1, help="How many decisions; 1 without it.")] = 1,
    yes: YesFlag = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be undone, and change nothing.")
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Take back the last decisions, the newest first.

    Prints what it will restore, and waits for your answer. The journal keeps the decisions, and the undo as
    an entry of its own. What a later decision changed stays as that one left it.

    Examples:
      faceindex people undo
      faceindex people undo 3 --dry-run
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if not (yes or dry_run):
            require_terminal("undo", "see what it would restore", json=json)
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            planned = found.people.undo(number, dry_run=True)
            done = None
            if dry_run or not yes:
                _print(out, planned, "This would be undone:" if dry_run else "This will be undone:")
            if not dry_run and (yes or agrees(out, "Undo?")):
                done = found.people.undo(number)
                if yes:
                    _print(out, done, "Undone:")
                else:
                    out.paragraph(f"{count(len(done), 'decision is', 'decisions are')} undone.")
            elif not dry_run:
                out.exit_code = PARTIAL
                out.note("Nothing is undone.")
            if json:
                out.document(
                    _SCHEMA,
                    dry_run=dry_run,
                    undone=[
                        {"entry": entry.as_dict(), "change": decided.as_dict()}
                        for entry, decided in done or planned
                    ],
                )


def _print(out: Output, undone: Sequence[tuple[JournalEntry, Decided]], head: str) -> None:
    out.answer(head)
    for entry, decided in undone:
        out.paragraph(f"{entry.number}. {entry.command}", indent=2, hang=6)
        out.paragraph(f"{entry.at.astimezone():%Y-%m-%d %H:%M}; {_restored(decided)}", indent=6)


def _restored(decided: Decided) -> str:
    parts = [f"restores what was said of {count(decided.faces, 'face')}"] if decided.faces else []
    if decided.moved:
        parts.append(f"moves {count(decided.moved, 'face')} to another cluster")
    if decided.removed:
        parts.append(f"removes {count(decided.removed, 'face')} that you drew")
    if decided.kept:
        parts.append(f"{count(decided.kept, 'value stays', 'values stay')}, changed by a later decision")
    return ", ".join(parts) or "no face changes"
