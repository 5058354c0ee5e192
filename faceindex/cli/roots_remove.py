"""``faceindex roots remove``: remove the photos of a folder from the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.asking import agrees, require_terminal
from faceindex.cli.errors import PARTIAL, session
from faceindex.cli.options import (
    WAIT,
    DebugFlag,
    IndexOption,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    YesFlag,
    expand_home,
)
from faceindex.cli.render import Output, count

if TYPE_CHECKING:
    from faceindex.api.roots import RemovedRoot

__all__ = ["remove"]

_SCHEMA = "faceindex/roots-remove/1"
_PEOPLE = 5  # names that are printed


def remove(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            callback=expand_home,
            help="An indexed folder, one in it or above it, or a photo. It need not exist any more.",
        ),
    ],
    yes: YesFlag = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and change nothing.")
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Remove the photos of a folder from the index.

    Their faces are removed with them, for good. The files stay as they are. What you decided stays, too: it
    counts again if the photos are indexed again. Prints what will be lost, and waits for your answer.

    Example: faceindex roots remove /media/old-disk --dry-run
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        if not (yes or dry_run):
            require_terminal("remove", "see what it would remove", json=json)
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=not dry_run, wait=WAIT) as found:
            done = found.roots.remove(path, dry_run=True)
            if not json:
                _print(out, done, "Would be removed" if dry_run else "Will be removed")
            if not dry_run and (yes or agrees(out, "Remove?")):
                done = found.roots.remove(path)
                if not json:
                    out.paragraph("Removed.")
            elif not dry_run:
                out.exit_code = PARTIAL
                out.note("Nothing is removed.")
            if json:
                out.document(_SCHEMA, index=str(found.directory), **done.as_dict())


def _print(out: Output, done: RemovedRoot, head: str) -> None:
    parts = [f"{count(done.photos, 'photo')} with {count(done.faces, 'face')}"]
    if done.gone:
        parts.append(f"the kept faces of {count(done.gone, 'photo that is', 'photos that are')} gone")
    out.paragraph(f"{head} from the index: {' and '.join(parts)}, of {done.path}.")
    if done.people:
        shown = ", ".join(done.people[:_PEOPLE])
        more = f" and {len(done.people) - _PEOPLE:,} more" if len(done.people) > _PEOPLE else ""
        out.paragraph(f"No face is left of {shown}{more}.")
    if done.decisions:
        out.paragraph(
            f"What you decided about {count(done.decisions, 'face')} stays, and counts again if the photos "
            "are indexed again."
        )
