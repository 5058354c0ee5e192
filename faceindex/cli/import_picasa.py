"""``faceindex import picasa``: names of Picasa."""

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
from faceindex.cli.options import DebugFlag, IndexOption, JsonFlag, QuietFlag, VerboseFlag, expand_home

__all__ = ["picasa"]


def picasa(
    path: Annotated[Path, source_argument("The folder of the photos, with .picasa.ini files in it.")],
    contacts: Annotated[
        Path | None,
        typer.Option(
            "--contacts",
            metavar="FILE",
            callback=expand_home,
            help="Picasa's contacts.xml, or backup.xml of a backup. Without it, the one in PATH, if any.",
        ),
    ] = None,
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
    """Import the names of Picasa.

    They are in the file .picasa.ini of each folder of photos, and in contacts.xml.

    Example: faceindex import picasa ~/Pictures
    """
    with session(json=json, quiet=quiet, verbose=verbose, debug=debug) as out:
        carry_out(
            out,
            "picasa",
            path,
            photos=photos,
            whole_photos=whole_photos,
            prefer=prefer,
            dry_run=dry_run,
            index=index,
            contacts=contacts,
        )
