"""``faceindex sidecar write``: names for other programs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import typer

from faceindex.cli.completion import complete_from
from faceindex.cli.errors import INTERRUPTED, PARTIAL, session
from faceindex.cli.import_common import PreferOption, most
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag
from faceindex.cli.render import Output, columns, count
from faceindex.cli.sidecar_common import SidecarPaths, checked_prefer
from faceindex.errors import UsageError

if TYPE_CHECKING:
    from faceindex.api.sidecar_results import SidecarChange, WriteReport

__all__ = ["sidecar_write"]

_SCHEMA: Final = "faceindex/sidecar-write/1"


def sidecar_write(
    paths: SidecarPaths = None,
    prefer: PreferOption = None,
    embed: Annotated[
        bool,
        typer.Option(
            "--embed", help="Write into the photos, through ExifTool, instead of into new sidecars."
        ),
    ] = False,
    style: Annotated[
        str,
        typer.Option(
            "--style",
            metavar="STYLE",
            autocompletion=complete_from("full", "stem"),
            help="Names of new sidecars: full for a.jpg.xmp, stem for a.xmp.",
        ),
    ] = "full",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be written. Writes nothing.")
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write the faces that you named to the sidecars of their photos.

    Sidecars of other programs are merged with; what these wrote stays. What only the program believes is not
    written, nor are hidden people. A photo itself is written with --embed only. Exit code 1 if something was
    left out.

    Example: faceindex sidecar write ~/Pictures --dry-run
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        choice = checked_prefer(prefer)
        if style not in ("full", "stem"):
            raise UsageError(f"--style is '{style}'.", "Choose full or stem.")
        from faceindex.api import FaceIndex
        from faceindex.cli.progress import Bar
        from faceindex.cli.stopping import stoppable

        with contextlib.ExitStack() as stack:
            found = stack.enter_context(FaceIndex.open(index, write=True, wait=WAIT))
            bar = stack.enter_context(Bar(out, "Writing"))
            should_stop = stack.enter_context(stoppable(out))
            report = found.sidecars.write(
                paths or (),
                prefer=choice,
                embed=embed,
                style=cast(Literal["full", "stem"], style),
                dry_run=dry_run,
                progress=bar.update,
                should_stop=should_stop,
            )
            bar.close()
            out.exit_code = _exit_code(report)
            if out.json:
                out.document(_SCHEMA, index=str(found.directory), **report.as_dict())
            elif not out.quiet:
                _print(out, report)


def _exit_code(report: WriteReport) -> int:
    if report.stopped:
        return INTERRUPTED
    return PARTIAL if report.conflicting or report.failed or report.cropped or report.missing else 0


def _print(out: Output, report: WriteReport) -> None:
    for problem in report.failed[: most(out)]:
        out.warning(problem)
    for conflict in report.conflicts[: most(out)]:
        out.warning(f"{conflict.photo}, {conflict.here}: {conflict.problem}")
    for photo in report.cropped[: most(out)]:
        out.warning(f"{photo}: its regions are of a picture of another shape.")
    if report.dry_run or out.verbose:
        for change in report.changes:
            out.answer(f"{change.path}: {_described(change)}")
    dry = "; dry run, nothing is written" if report.dry_run else ""
    files = f"{count(report.written, 'file')}, {report.new:,} new{dry}"
    out.answer(out.styled(f"{count(report.named, 'photo')} with named faces, {files}", "bold"))
    rows = [
        ("added", report.added, ""),
        ("renamed", report.renamed, ""),
        ("removed", report.removed, "they have no name here any more"),
        ("known already", report.known, ""),
        ("changed there", report.unread, "read them with: faceindex sidecar read"),
        ("removed there", report.gone, "not written again; see --prefer"),
        ("contradict the file", report.conflicting, "left as they are; see --prefer"),
        ("of hidden people", report.hidden, "left as they are"),
        ("without a name", report.nameless, ""),
        ("inside files or stores", report.inside, "nothing is written beside these"),
        ("not at their paths", report.missing, ""),
        ("cropped or turned", len(report.cropped), "after their regions were stored"),
        ("not written", len(report.failed), ""),
    ]
    shown = [(title, f"{number:,}", note) for title, number, note in rows if number]
    for line in columns(shown, right=[1], indent=2, width=out.width):
        out.answer(line)


def _described(change: SidecarChange) -> str:
    parts = [f"+ {name}" for name in change.added]
    parts += [f"{before} -> {after}" for before, after in change.renamed]
    parts += [f"- {name}" for name in change.removed]
    return ", ".join(parts)
