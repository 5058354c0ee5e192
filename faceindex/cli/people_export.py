"""``faceindex people export``: write all decisions to a file."""

from __future__ import annotations

from typing import Annotated

import typer

from faceindex.cli.errors import session
from faceindex.cli.options import (
    DebugFlag,
    IndexOption,
    JsonFlag,
    PublicFlag,
    QuietFlag,
    VerboseFlag,
    expand_home,
)
from faceindex.cli.render import count

__all__ = ["export"]

_SCHEMA = "faceindex/people-export/1"


def export(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", callback=expand_home, help="JSON Lines; an older file is replaced."),
    ],
    public: PublicFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write all decisions to a file.

    `faceindex people apply` reads it, as a backup or on another machine. Faces are written as places on
    pictures, so that the decisions hold for the same pictures under other paths, and with other models.

    Example: faceindex people export people.jsonl
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        from faceindex.api import FaceIndex

        with FaceIndex.open(index) as found:
            number = found.people.export(file, public=public)
            out.paragraph(f"Wrote {count(number, 'decision')} to {file}.")
            if json:
                out.document(_SCHEMA, index=str(found.directory), file=file, decisions=number)
