"""``faceindex roots relocate``: tell the index where photos are now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from faceindex.cli.errors import session
from faceindex.cli.options import WAIT, DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag, expand_home
from faceindex.cli.render import Output, count

if TYPE_CHECKING:
    from faceindex.api.roots import Relocated

__all__ = ["relocate"]

_SCHEMA = "faceindex/roots-relocate/1"


def relocate(
    old: Annotated[
        str,
        typer.Argument(
            metavar="OLD",
            callback=expand_home,
            help="An indexed folder, or one in it or above it. It need not exist any more.",
        ),
    ],
    new: Annotated[
        str, typer.Argument(metavar="NEW", callback=expand_home, help="Where its photos are now.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check whether the photos are there, and change nothing.")
    ] = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Set where the photos of a folder are now.

    They keep their faces, clusters and decisions, and are not searched again. Reads up to 50 of them in NEW,
    and compares their contents and pictures. If less than half of them are there, nothing changes.
    `faceindex index` on the new folder does the same, but reads more files.

    Example: faceindex roots relocate /media/disk/photos ~/Pictures
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index, write=not dry_run, wait=WAIT) as found:
            done = found.roots.relocate(old, new, dry_run=dry_run)
            if out.json:
                out.document(_SCHEMA, index=str(found.directory), **done.as_dict())
            else:
                _print(out, done)


def _print(out: Output, done: Relocated) -> None:
    what = f"{count(done.photos, 'photo')} with {count(done.faces, 'face')}"
    verb = "would be taken" if done.dry_run else "are taken"
    out.paragraph(
        f"{what} {verb} from {done.new} now. Of {count(done.sampled, 'photo')} that were compared, "
        f"{done.found:,} are there."
    )
    if not done.dry_run:
        out.hint(f"Next: faceindex index {done.new}")
