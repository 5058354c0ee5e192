"""``faceindex people show``: all about one person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faceindex.cli.errors import session
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.people_common import PersonArgument
from faceindex.cli.render import columns, shell_quoted

if TYPE_CHECKING:
    from faceindex.api.people_results import Person

__all__ = ["show"]

_SCHEMA = "faceindex/people-show/1"


def show(
    person: PersonArgument,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Show a person: faces, photos, dates, note, clusters.

    Example: faceindex people show Anna
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            one = found.people.get(person)
            if json:
                out.document(_SCHEMA, index=str(found.directory), person=one.as_dict())
                return
            for line in columns(_rows(one, all=verbose), width=out.width):
                name, gap, rest = line.partition("  ")
                out.answer(out.styled(name, "bold") + gap + rest if name else line)
            out.hint(f"Next: faceindex faces --person {shell_quoted(one.name)}")


def _rows(person: Person, *, all: bool) -> list[tuple[str, str]]:
    clusters = ", ".join(map(str, person.clusters))
    rows = [
        ("name", person.name + (" (hidden)" if person.hidden else "")),
        ("faces", f"{person.faces:,}: {person.confirmed:,} confirmed, {person.named:,} named by cluster"),
        ("photos", f"{person.photos:,}"),
    ]
    if person.first is not None and person.last is not None:
        rows.append(("taken", f"{person.first:%Y-%m-%d} to {person.last:%Y-%m-%d}"))
    rows += [
        (title, value)
        for title, value in (
            ("born", person.born),
            ("died", person.died),
            ("note", person.note),
            ("clusters", clusters or "none"),
            ("uid", person.uid if all else None),
        )
        if value is not None
    ]
    return rows
