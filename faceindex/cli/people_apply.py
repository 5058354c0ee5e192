"""``faceindex people apply``: apply the decisions of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from faceindex.cli.completion import complete_from
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag, expand_home
from faceindex.cli.people_common import DecisionDryRunFlag
from faceindex.cli.render import Output, count
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api.people_results import Replay

__all__ = ["apply"]

_SCHEMA = "faceindex/people-apply/1"


def apply(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", callback=expand_home, help="Written by `faceindex people export`."),
    ],
    same_names: Annotated[
        bool,
        typer.Option(
            "--same-names", help="People of one name are one person, although they were added separately."
        ),
    ] = False,
    prefer: Annotated[
        str | None,
        typer.Option(
            metavar="CHOICE",
            autocompletion=complete_from("file", "index"),
            help="Which decision counts where two contradict each other: of the file, or of the index. "
            "Without it, those of the file are listed and left out.",
        ),
    ] = None,
    dry_run: DecisionDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Apply the decisions of a file.

    Decisions that the index has already are skipped. Those about photos that are not in the index wait for
    them. Exit code 1 if some contradict a decision of this index.

    Example: faceindex people apply people.jsonl --dry-run
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if prefer not in (None, "file", "index"):
            raise UsageError(f"--prefer is '{prefer}'.", "Choose file or index.")
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=True, wait=WAIT) as found:
            done = found.people.apply(
                file,
                dry_run=dry_run,
                same_names=same_names,
                prefer=cast(Literal["file", "index"] | None, prefer),
            )
            if done.conflicts:
                out.exit_code = PARTIAL
            if json:
                out.document(_SCHEMA, index=str(found.directory), file=file, **done.as_dict())
            else:
                _print(out, done)


def _print(out: Output, done: Replay) -> None:
    for conflict in done.conflicts:
        where = "" if conflict.photo is None else f" ({conflict.photo})"
        when = f"{conflict.at.astimezone():%Y-%m-%d %H:%M}"
        out.warning(f"`{conflict.command}` of {when}{where} is left out: {conflict.problem}")
    parts = [f"{count(done.decisions, 'decision')} applied, {done.known:,} known already"]
    if done.faces:
        parts.append(f"{count(done.faces, 'face')} concerned")
    if done.unmatched:
        parts.append(f"{count(done.unmatched, 'place waits', 'places wait')} for the photos")
    if done.conflicts:
        parts.append(f"{count(len(done.conflicts), 'conflict')}; see --prefer")
    if done.forgotten:
        parts.append(
            f"{count(done.forgotten, 'decision')} left out, at least in part: about people or faces that were"
            " forgotten here"
        )
    if done.unread:
        out.warning(
            f"The pictures of {count(done.unread, 'photo')} are not known yet: run `faceindex index` on their"
            " folders, then decisions about them count."
        )
    text = f"{'; '.join(parts)}."
    out.paragraph(f"Dry run, nothing is stored. {text}" if done.dry_run else text)
