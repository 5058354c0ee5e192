"""``faceindex people``: list the people, and the commands that name and correct them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from faceindex.cli.commands import App, Group
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import CsvFlag, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_add_face import add_face
from faceindex.cli.people_apply import apply
from faceindex.cli.people_confirm import confirm
from faceindex.cli.people_dates import born, died
from faceindex.cli.people_different import different
from faceindex.cli.people_export import export
from faceindex.cli.people_hide import hide, unhide
from faceindex.cli.people_ignore import ignore
from faceindex.cli.people_log import log
from faceindex.cli.people_merge import merge
from faceindex.cli.people_name import name
from faceindex.cli.people_not_a_face import not_a_face
from faceindex.cli.people_note import note
from faceindex.cli.people_reject import reject
from faceindex.cli.people_rename import rename
from faceindex.cli.people_same import same
from faceindex.cli.people_show import show
from faceindex.cli.people_split import split
from faceindex.cli.people_suggest import suggest
from faceindex.cli.people_undo import undo
from faceindex.cli.people_why import why
from faceindex.cli.render import Output, columns, count, shell_quoted
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from faceindex.api import FaceIndex
    from faceindex.api.people_results import Person

__all__ = ["app"]

_SCHEMA = "faceindex/people/1"
_CSV_HEADER = (
    *("name", "faces", "photos", "first", "last", "confirmed", "questions", "clusters"),
    *("born", "died", "hidden", "note"),
)
_TABLE_HEADER = _CSV_HEADER[:8]
_CLUSTERS = 4  # of a person, in a table


class PeopleGroup(Group):
    """Commands on people; a name in place of a command is an error that names `show`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that a word names; raises `UsageError` if there is none."""
        try:
            return super().resolve_command(ctx, args)
        except UsageError as error:
            remedy = f"{error.remedy} For a person: `faceindex people show {shell_quoted(args[0])}`."
            raise UsageError(error.problem, remedy) from error


app = App(cls=PeopleGroup, subcommand_metavar="[COMMAND] [ARGS]...")


@app.callback(invoke_without_command=True)
def people(
    context: typer.Context,
    everybody: Annotated[bool, typer.Option("--all", help="Also list hidden people.")] = False,
    as_csv: CsvFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """List the people, name them, and correct the program.

    A cluster is what the program believes; a person is what you say. A person has a name and any number of
    clusters. What you say is a decision: it is kept whatever happens to photos and clusters, nothing
    automatic overrules it, and `undo` takes it back.

    Without a command, lists the people with their faces and photos, the dates of the first and the last
    photo, the faces that you confirmed one by one, the questions of `suggest` that wait, and the clusters.
    A terminal gets a table, a pipe or a file gets CSV. Exit code 1 if nobody has a name.

    Clusters are written 7, faces f123, and people by name: 'Anna Maria'.

    Examples:
      faceindex people name 7 Anna    cluster 7 is Anna
      faceindex people reject f123    face 123 is not
      faceindex people undo           take that back
    """
    if context.invoked_subcommand is not None:
        return
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if as_csv and json:
            raise UsageError("--csv and --json exclude each other.", "Choose one.")
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            _list(out, found, as_csv, everybody)


def _list(out: Output, found: FaceIndex, as_csv: bool, everybody: bool) -> None:
    people = found.people
    everyone = people.list()
    questions = people.count_questions_by_person() if everyone else None
    rows = [person for person in everyone if everybody or not person.hidden]
    if not rows:
        out.exit_code = PARTIAL
        _explain(out, found, hidden=len(everyone))
    if out.json:
        out.document(
            _SCHEMA,
            index=str(found.directory),
            total=len(everyone),
            hidden=sum(person.hidden for person in everyone),
            people=[{**person.as_dict(), "questions": _questions(person, questions)} for person in rows],
        )
    elif as_csv or not out.terminal:
        _write_csv(out, rows, questions)
    elif rows:
        _print_table(out, rows, questions)
        if len(rows) < len(everyone):
            more = count(len(everyone) - len(rows), "hidden person", "hidden people")
            out.answer(f"and {more}; --all lists all")
        out.hint(f"Next: faceindex faces --person {shell_quoted(rows[0].name)}, or faceindex people --help")


def _explain(out: Output, found: FaceIndex, hidden: int) -> None:
    """Say why the list is empty; raises `NotClustered` if that is the reason."""
    if hidden:
        out.note(f"{count(hidden, 'person is', 'people are')} hidden; --all lists them.")
        return
    clusters = found.clusters()
    example, what = (clusters[0].cluster, "cluster") if clusters else ("f123", "face")
    out.note(
        "Nobody has a name yet. `faceindex people suggest` asks you who people are, and "
        f"`faceindex people name {example} Anna` names a {what}."
    )


def _questions(person: Person, questions: dict[int, int] | None) -> int | None:
    return None if questions is None else questions.get(person.id, 0)


def _write_csv(out: Output, rows: Sequence[Person], questions: dict[int, int] | None) -> None:
    writer = out.table()
    writer.writerow(_CSV_HEADER)
    for row in rows:
        first = (row.name, row.faces, row.photos, _day(row.first), _day(row.last), row.confirmed)
        asked = _questions(row, questions)
        clusters = " ".join(map(str, row.clusters))
        rest = (row.born or "", row.died or "", "yes" if row.hidden else "", row.note or "")
        writer.writerow((*first, "" if asked is None else asked, clusters, *rest))


def _print_table(out: Output, rows: Sequence[Person], questions: dict[int, int] | None) -> None:
    cells = [
        (
            row.name,
            f"{row.faces:,}",
            f"{row.photos:,}",
            _day(row.first) or "-",
            _day(row.last) or "-",
            f"{row.confirmed:,}",
            "-" if (asked := _questions(row, questions)) is None else f"{asked:,}",
            _clusters(row.clusters),
        )
        for row in rows
    ]
    for line in columns(cells, header=_TABLE_HEADER, right=[1, 2, 5, 6], width=out.width):
        out.answer(line)


def _clusters(clusters: Sequence[int]) -> str:
    shown = ", ".join(map(str, clusters[:_CLUSTERS]))
    more = len(clusters) - _CLUSTERS
    return (f"{shown} and {more} more" if more > 0 else shown) or "-"


def _day(moment: datetime | None) -> str:
    return "" if moment is None else moment.date().isoformat()


app.command("show")(show)
app.command("name")(name)
app.command("confirm")(confirm)
app.command("reject")(reject)
app.command("ignore")(ignore)
app.command("not-a-face")(not_a_face)
app.command("add-face")(add_face)
app.command("same")(same)
app.command("different")(different)
app.command("rename")(rename)
app.command("merge")(merge)
app.command("hide")(hide)
app.command("unhide")(unhide)
app.command("born")(born)
app.command("died")(died)
app.command("note")(note)
app.command("suggest")(suggest)
app.command("split")(split)
app.command("why")(why)
app.command("log")(log)
app.command("undo")(undo)
app.command("export")(export)
app.command("apply")(apply)
