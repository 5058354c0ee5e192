"""``faceindex people log``: list the decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import CsvFlag, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Output, columns
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api.people_results import JournalEntry

__all__ = ["log"]

_SCHEMA = "faceindex/people-log/1"
_CSV_HEADER = ("decision", "at", "command", "faces", "undone_by")
_ROWS = 20  # in a table without -n


def log(
    limit: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--limit",
            min=1,
            metavar="N",
            help=f"Only the N newest. Without it, {_ROWS} in a table, and all in CSV and JSON.",
        ),
    ] = None,
    as_csv: CsvFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List what you said about faces and people, newest first.

    Every command that names or corrects people is a decision, and so is `undo`. Runs of `index` and `cluster`
    are none; `faceindex status` shows the last one. A terminal gets a table, a pipe or a file gets CSV. Exit
    code 1 if there are no decisions.

    Example: faceindex people log -n 5
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if as_csv and json:
            raise UsageError("--csv and --json exclude each other.", "Choose one.")
        as_table = out.terminal and not as_csv and not json
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            asked = (limit or _ROWS) + 1 if as_table else limit  # one more, to see whether there are more
            entries = found.people.log(asked)
            if not entries:
                out.exit_code = PARTIAL
                out.note("There are no decisions yet: `faceindex people name` makes one.")
            if json:
                out.document(
                    _SCHEMA, index=str(found.directory), decisions=[entry.as_dict() for entry in entries]
                )
            elif not as_table:
                _write_csv(out, entries)
            elif entries:
                _print_table(out, entries, limit or _ROWS)


def _write_csv(out: Output, entries: Sequence[JournalEntry]) -> None:
    writer = out.table()
    writer.writerow(_CSV_HEADER)
    for entry in entries:
        undone = "" if entry.undone_by is None else entry.undone_by
        writer.writerow((entry.number, entry.at.isoformat(), entry.command, entry.faces, undone))


def _print_table(out: Output, entries: Sequence[JournalEntry], most: int) -> None:
    cells = [
        (
            str(entry.number),
            f"{entry.at.astimezone():%Y-%m-%d %H:%M}",
            f"{entry.faces:,}",
            "" if entry.undone_by is None else f"by {entry.undone_by}",
            entry.command,
        )
        for entry in entries[:most]
    ]
    header = ("decision", "at", "faces", "undone", "command")
    for line in columns(cells, header=header, right=[0, 2], width=out.width):
        out.answer(line)
    if len(entries) > most:
        out.answer(f"and earlier ones; -n {most * 10} shows more")
    out.hint("Next: faceindex people undo --dry-run")
