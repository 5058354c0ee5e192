"""``faceindex sidecar read``: names in sidecars and photos."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Final

import typer

from faceindex.cli.errors import INTERRUPTED, PARTIAL, session
from faceindex.cli.import_common import PreferOption, WholePhotosFlag, exit_code, most, print_import
from faceindex.cli.options import (
    WAIT,
    DebugFlag,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
)
from faceindex.cli.render import Output, columns, count
from faceindex.cli.sidecar_common import SidecarPaths, checked_prefer

if TYPE_CHECKING:
    from faceindex.api.sidecar_results import ReadReport

__all__ = ["sidecar_read"]

_SCHEMA: Final = "faceindex/sidecar-read/1"


def sidecar_read(
    paths: SidecarPaths = None,
    whole_photos: WholePhotosFlag = False,
    prefer: PreferOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would change. Stores nothing.")
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Read the names in photos and their sidecars.

    A name goes to the face at its place; a face that no detector found is added. All names are one decision,
    which `faceindex people undo` takes back. A region that another program removed is listed; its face keeps
    its name here, unless --prefer is file. Exit code 1 if something was left out.

    Example: faceindex sidecar read --dry-run
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        choice = checked_prefer(prefer)
        from faceindex.api import FaceIndex
        from faceindex.cli.progress import Bar
        from faceindex.cli.stopping import stoppable

        with contextlib.ExitStack() as stack:
            found = stack.enter_context(FaceIndex.open(index, write=True, wait=WAIT))
            bar = stack.enter_context(Bar(out, "Reading"))
            should_stop = stack.enter_context(stoppable(out))

            def progress(what: str, done: int, total: int | None) -> None:
                if total is not None and what == "photos":
                    bar.update(done, total)

            report = found.sidecars.read(
                paths or (),
                whole_photos=whole_photos,
                prefer=choice,
                dry_run=dry_run,
                progress=progress,
                should_stop=should_stop,
            )
            bar.close()
            out.exit_code = _exit_code(report)
            if out.json:
                out.document(_SCHEMA, index=str(found.directory), **report.as_dict())
            elif not out.quiet:
                _print(out, report, clustered=found.clustering is not None)


def _exit_code(report: ReadReport) -> int:
    if report.imported.stopped:
        return INTERRUPTED
    imported = report.imported
    if report.conflicts or report.missing or (report.removed and not report.rejected):
        return PARTIAL
    return exit_code(imported) if imported.photos else (PARTIAL if imported.problems else 0)


def _print(out: Output, report: ReadReport, *, clustered: bool) -> None:
    for conflict in (*report.conflicts, *report.removed_regions)[: most(out)]:
        out.warning(f"{conflict.photo}: {conflict.problem}")
    rows = [
        ("with people", report.with_people, ""),
        ("not at their paths", report.missing, ""),
        ("moments of videos", report.inside, "which have no sidecars"),
        ("names unchanged", report.unchanged, "since the last exchange"),
        ("removed there", report.removed - report.rejected, "named here still; see --prefer"),
        ("changed on both sides", report.conflicting, "left as they are; see --prefer"),
        ("rejected here", report.rejected, "they were removed there"),
    ]
    print_import(out, report.imported, clustered=clustered, photos=count(report.photos, "photo"))
    for line in columns(
        [(title, f"{number:,}", note) for title, number, note in rows if number],
        right=[1],
        indent=2,
        width=out.width,
    ):
        out.answer(line)
