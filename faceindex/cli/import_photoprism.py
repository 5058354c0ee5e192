"""``faceindex import photoprism``: names of PhotoPrism."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from faceindex.cli.errors import session
from faceindex.cli.import_common import (
    ImportDryRunFlag,
    PhotosAtOption,
    PreferOption,
    WholePhotosFlag,
    carry_out,
    source_argument,
)
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag

__all__ = ["photoprism"]


def photoprism(
    path: Annotated[Path, source_argument("index.db, or JSON of the API: a file, or a folder with some.")],
    confirmed: Annotated[
        bool,
        typer.Option("--confirmed", help="Only faces that PhotoPrism has not matched by itself."),
    ] = False,
    photos: PhotosAtOption = None,
    whole_photos: WholePhotosFlag = False,
    prefer: PreferOption = None,
    dry_run: ImportDryRunFlag = False,
    index: IndexOption = None,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Import the names of PhotoPrism.

    PhotoPrism does not store which faces a user has confirmed: those of people with a name count.

    Example: faceindex import photoprism storage/index.db --photos ~/Pictures
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        carry_out(
            out,
            "photoprism",
            path,
            photos=photos,
            whole_photos=whole_photos,
            prefer=prefer,
            dry_run=dry_run,
            index=index,
            trust_automatic=not confirmed,
        )
